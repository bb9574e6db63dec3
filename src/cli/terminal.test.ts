import assert from 'node:assert/strict';
import test from 'node:test';
import { Detached, parseDetachKeys, untilDetachKeys } from './terminal.ts';

async function pass(chunks: readonly number[][], keys = parseDetachKeys('')): Promise<{ bytes: number[]; detached: boolean }> {
  const bytes: number[] = [];
  async function* input() { for (const chunk of chunks) yield Uint8Array.from(chunk); }
  try {
    for await (const chunk of untilDetachKeys(input(), keys)) bytes.push(...chunk);
    return { bytes, detached: false };
  } catch (error) {
    assert.ok(error instanceof Detached);
    return { bytes, detached: true };
  }
}

test('keys that let go are read from their names', () => {
  assert.deepEqual([...parseDetachKeys('')], [16, 17]);
  assert.deepEqual([...parseDetachKeys('ctrl-a,x,ctrl-@,ctrl-_')], [1, 120, 0, 31]);
  assert.throws(() => parseDetachKeys('ctrl-1'), /unknown character/);
});

test('ctrl-p ctrl-q lets go, in one piece or two, and what was typed before arrives', async () => {
  assert.deepEqual(await pass([[97, 16, 17, 98]]), { bytes: [97], detached: true });
  assert.deepEqual(await pass([[97, 16], [17]]), { bytes: [97], detached: true });
});

test('a single ctrl-p reaches the program with the next key', async () => {
  assert.deepEqual(await pass([[16], [97]]), { bytes: [16, 97], detached: false });
  assert.deepEqual(await pass([[16, 16, 17]]), { bytes: [16], detached: true });
});
