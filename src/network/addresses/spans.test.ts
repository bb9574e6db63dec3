// The set of numbers behind every subnet: against a plain Set, and at the size of a /8.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Spans } from './spans.ts';

test('spans hold what a set holds', () => {
  let state = 12345;
  const random = (below: number) => { state = (state * 1103515245 + 12345) % 2147483648; return Math.floor(state / 65536) % below; };
  const spans = new Spans();
  const plain = new Set<number>();
  const lowestFree = (from: number, to: number) => { for (let at = from; at <= to; at++) if (!plain.has(at)) return BigInt(at); return undefined; };
  for (let step = 0; step < 5000; step++) {
    const value = random(64);
    if (random(2) === 0) { spans.add(BigInt(value)); plain.add(value); } else { spans.delete(BigInt(value)); plain.delete(value); }
    const [from, to] = [random(64), random(80)];
    const runs = [...plain].filter((one) => !plain.has(one - 1)).length;
    assert.deepEqual([spans.has(BigInt(from)), spans.lowestFree(BigInt(from), BigInt(to)), spans.runs], [plain.has(from), lowestFree(from, to), runs], `step ${step}`);
  }
});

test('a full run costs as much as one number', () => {
  const spans = new Spans();
  for (let at = 0n; at < 20_000n; at++) spans.add(spans.lowestFree(0n, 1n << 64n) ?? assert.fail('full'));
  assert.deepEqual([spans.runs, spans.lowestFree(0n, 1n << 64n), spans.lowestFree(0n, 19_999n), spans.lowestFree(1n << 127n, 1n << 128n)], [1, 20_000n, undefined, 1n << 127n]);
});
