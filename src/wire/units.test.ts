import assert from 'node:assert/strict';
import test from 'node:test';
import { bytesSize, formatG, humanDuration, humanSize, parseBytes } from './units.ts';

test('sizes are rounded to the digits people know', () => {
  assert.deepEqual([0, 999, 1000, 1095, 1985000, 187654321, 5e12].map((n) => humanSize(n)), ['0B', '999B', '1kB', '1.095kB', '1.985MB', '187.7MB', '5TB']);
  assert.deepEqual([1095, 999900, 187654321].map((n) => humanSize(n, 3)), ['1.09kB', '1e+03kB', '188MB']);
  assert.deepEqual([1024, 25276502016].map(bytesSize), ['1KiB', '23.54GiB']);
  assert.equal(formatG(-1.864e8, 4), '-1.864e+08');
});

test('ages are told as people tell them', () => {
  const seconds = [0, 1, 59, 60, 119, 120, 3599, 3600, 5400, 47 * 3600, 48 * 3600, 14 * 86400, 60 * 86400, 400 * 86400, 800 * 86400];
  assert.deepEqual(seconds.map((s) => humanDuration(s * 1000)), [
    'Less than a second', '1 second', '59 seconds', 'About a minute', 'About a minute', '2 minutes', '59 minutes', 'About an hour', '2 hours', '47 hours', '2 days',
    '2 weeks', '2 months', '13 months', '2 years',
  ]);
});

test('sizes are read, and nothing else', () => {
  assert.deepEqual(['64m', '1.5g', '512kb', '10', '1GiB'].map(parseBytes), [67108864, 1610612736, 524288, 10, 1073741824]);
  assert.deepEqual(['', 'x', '1x', '-1', 'm'].map(parseBytes), [undefined, undefined, undefined, undefined, undefined]);
});
