// Go's spelling of durations: what it reads, what it refuses in which words, and what it writes.
import assert from 'node:assert/strict';
import test from 'node:test';
import { formatDuration, formatMillis, parseDuration } from './duration.ts';

const [S, M, H] = [1_000_000_000n, 60_000_000_000n, 3_600_000_000_000n];
const MAX = 9_223_372_036_854_775_807n;

test('durations are read as Go reads them', () => {
  const table: Array<[string, bigint]> = [
    ['0', 0n], ['-0', 0n], ['+0', 0n], ['0s', 0n], ['5s', 5n * S], ['+5s', 5n * S], ['-1.5h', -H * 3n / 2n], ['1h2m3.5s', H + 2n * M + 7n * S / 2n], ['1h1m1.000000001s', H + M + S + 1n],
    ['.5s', S / 2n], ['5.s', 5n * S], ['1.004s', 1_004_000_000n], ['0.29s', 290_000_000n], ['10ns', 10n], ['11us', 11_000n], ['12µs', 12_000n], ['12μs', 12_000n], ['13ms', 13_000_000n], ['3s4s', 7n * S],
    ['0.9ns', 0n], ['1.0000000019s', S + 1n], ['0.3333333333333333333h', 20n * M], ['0.100000000000000000000h', 6n * M], [`.${'0'.repeat(40)}1h`, 0n],
    [`${MAX}ns`, MAX], ['9223372036854775.807us', MAX], ['9223372036s854ms775us807ns', MAX], [`-${MAX + 1n}ns`, -MAX - 1n], ['2562047h47m16.854775807s', MAX],
  ];
  for (const [text, nanos] of table) assert.equal(parseDuration(text), nanos, text);
});

test('what is no duration is refused in Go\'s words', () => {
  for (const text of ['', '+', '-', '.', '-.', 's', '.s', '+.s', 'x', ' 1s', '--1s', `${MAX + 1n}ns`, `-${MAX + 2n}ns`, '9223372036854775.808us', '2562048h', '9'.repeat(100), '9223372036854ms775us808ns'])
    assert.equal(parseDuration(text), `time: invalid duration "${text}"`);
  for (const text of ['3', '1h2', '1.5', '1..5s', '-7', `${MAX + 1n}`]) assert.equal(parseDuration(text), `time: missing unit in duration "${text}"`);
  assert.equal(parseDuration('1x'), 'time: unknown unit "x" in duration "1x"');
  assert.equal(parseDuration('1s '), 'time: unknown unit "s " in duration "1s "');
  assert.equal(parseDuration('1s-3s'), 'time: unknown unit "s-" in duration "1s-3s"');
  assert.equal(parseDuration('1µ'), 'time: unknown unit "\\xc2\\xb5" in duration "1\\xc2\\xb5"');
  assert.equal(parseDuration('"\n'), 'time: invalid duration "\\"\\x0a"');
});

test('durations are written as Go writes them, and read back', () => {
  const table: Array<[bigint, string]> = [
    [0n, '0s'], [1n, '1ns'], [1100n, '1.1µs'], [500_000n, '500µs'], [2_200_000n, '2.2ms'], [300_000_000n, '300ms'], [S, '1s'], [3n * S / 2n, '1.5s'], [M, '1m0s'], [90_500_000_000n, '1m30.5s'],
    [H, '1h0m0s'], [5n * M + S + 1_000_000n, '5m1.001s'], [100n * H + 1n, '100h0m0.000000001s'], [-M, '-1m0s'], [MAX, '2562047h47m16.854775807s'], [-MAX - 1n, '-2562047h47m16.854775808s'],
  ];
  for (const [nanos, text] of table) assert.deepEqual([formatDuration(nanos), parseDuration(text)], [text, nanos]);
  assert.deepEqual([formatMillis(1500), formatMillis(0.25)], ['1.5s', '250µs']);
});
