import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinViews, viewOf } from './bytes.ts';

test('views behind each other read as one, across every border and not beyond the end', () => {
  const parts = ['abc', '', 'd', 'efgh', ''].map((text) => viewOf(Buffer.from(text)));
  const whole = joinViews(parts);
  assert.equal(whole.sizeBytes, 8);
  for (let position = 0; position <= 8; position++) {
    for (let length = 0; position + length <= 8; length++) {
      const into = Buffer.from('.'.repeat(length + 2));
      whole.read(position, into, { start: 1, end: 1 + length });
      assert.equal(into.toString(), `.${'abcdefgh'.slice(position, position + length)}.`);
    }
  }
  for (const [position, length] of [[8, 1], [-1, 2], [0, 9]] as const) {
    assert.throws(() => whole.read(position, Buffer.alloc(9), { start: 0, end: length }), { kind: 'corrupt' });
    assert.throws(() => viewOf(Buffer.alloc(8)).read(position, Buffer.alloc(9), { start: 0, end: length }), { kind: 'corrupt' });
  }
  assert.throws(() => joinViews([]).read(0, Buffer.alloc(1), { start: 0, end: 1 }), { kind: 'corrupt' });
});
