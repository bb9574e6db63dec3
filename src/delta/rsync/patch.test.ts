import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rng } from '../../../test/kit/random.ts';
import { viewOf, type ByteView } from '../bytes.ts';
import { openRsyncPatch } from './patch.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const AB = Buffer.concat([Buffer.alloc(512, 'A'), Buffer.alloc(512, 'B')]);

/** Fed in pieces of `step` bytes. */
function patched(base: ByteView, delta: Buffer, step = delta.length): Buffer {
  const out: Buffer[] = [];
  const patch = openRsyncPatch(base, (bytes, start, end) => { out.push(Buffer.from(bytes.subarray(start, end))); });
  for (let at = 0; at < delta.length; at += step) patch.write(delta, at, Math.min(delta.length, at + step));
  patch.finish();
  return Buffer.concat(out);
}

test('the recorded vectors apply, in pieces of any size', () => {
  const zeros = Buffer.alloc(3 * 512);
  for (const [base, delta, want] of [
    [AB, '72730236 4a 0200 0200 41 02 6869 00', `${'B'.repeat(512)}hi`],
    [AB, '72730236 41 02 7878 46 00 0400 00', `xx${AB.toString()}`],
    [zeros, '72730236 4a 0400 0200 4a 0400 0200 00', '\0'.repeat(1024)],
    [AB, '7273023600', ''],
  ] as const) for (const step of [1, 2, 3, 1000]) assert.equal(patched(viewOf(base), hex(delta), step).toString(), want);
});

test('every command is read: literals of each length field, copies of each pair of widths, and none beyond', () => {
  const number = (value: number, bytes: number) => value.toString(16).padStart(2 * bytes, '0');
  const text = 'q'.repeat(0x40);
  for (let op = 1; op <= 0xff; op++) {
    const width = (index: number) => 2 ** (index & 3);
    if (op <= 0x40) assert.equal(patched(viewOf(AB), hex(`72730236 ${number(op, 1)} ${'71'.repeat(op)} 00`)).toString(), text.slice(0, op));
    else if (op <= 0x44) {
      for (const n of [0, 3]) assert.equal(patched(viewOf(AB), hex(`72730236 ${number(op, 1)} ${number(n, width(op - 0x41))} ${'71'.repeat(n)} 00`), 2).toString(), text.slice(0, n));
    } else if (op <= 0x54) {
      const command = `${number(op, 1)} ${number(200, width((op - 0x45) >> 2))}`;
      for (const n of [0, 5, 255]) assert.equal(patched(viewOf(AB), hex(`72730236 ${command} ${number(n, width(op - 0x45))} 00`), 3).toString(), AB.toString('latin1', 200, 200 + n));
    } else assert.throws(() => patched(viewOf(AB), hex(`72730236 ${number(op, 1)}`)), { kind: 'corrupt', message: `applying delta: Bogus command ${op.toString(16)}` });
  }
});

test('what is wrong with a delta is said, in the words of balenaEngine where it has any', () => {
  const EOF = /^applying delta: unexpected EOF$/, BASE = /^applying delta: it copies \d+ bytes from \d+ of a base of 1024 bytes$/;
  for (const [delta, message] of [
    ['baaaaaad 00', /^applying delta: Got magic number baaaaaad rather than expected value 72730236$/],
    ['', EOF], ['727302', EOF], ['72730236', EOF], ['72730236 41', EOF], ['72730236 41 05 6162', EOF], ['72730236 41 02 6162', EOF], ['72730236 46 00 04', EOF], ['72730236 46 00 0400', EOF],
    ['72730236 46 01 0400 00', BASE], ['72730236 4a 0401 0000 00', BASE], ['72730236 54 0000000000000400 0000000000000001 00', BASE],
    ['72730236 54 001fffffffffffff 001fffffffffffff 00', BASE], ['72730236 53 0000000000000000 ffffffff 00', BASE],
    ['72730236 54 0020000000000000 0000000000000001 00', /out of range$/], ['72730236 54 0000000000000000 ffffffffffffffff 00', /out of range$/], ['72730236 44 8000000000000000', /out of range$/],
  ] as const) assert.throws(() => patched(viewOf(AB), hex(delta)), { kind: 'corrupt', message }, delta);
});

test('a long copy goes through in bites, and what follows END does not count', () => {
  let largest = 0, read = 0;
  const base: ByteView = { sizeBytes: 2 ** 33, read: (_position, into, { start, end }) => { largest = Math.max(largest, into.length); into.fill(7, start, end); read += end - start; } };
  let made = 0;
  const patch = openRsyncPatch(base, (_bytes, start, end) => { made += end - start; });
  const delta = hex('72730236 53 0000000100000000 0a000003 00 ff 41');
  patch.write(delta, 0, delta.length);
  patch.finish();
  assert.deepEqual([made, read, largest <= 1 << 20], [0x0a000003, 0x0a000003, true]);
});

test('any bytes get an answer, and none reads outside of the base', () => {
  const first = Number(process.env['FUZZ_SEED'] ?? 1);
  const base: ByteView = { sizeBytes: AB.length, read(position, into, { start, end }) {
    assert.ok(position >= 0 && position + end - start <= AB.length && end <= into.length);
    viewOf(AB).read(position, into, { start, end });
  } };
  let refused = 0;
  for (let seed = first; seed < first + 20_000; seed++) {
    const random = rng(seed);
    const pick = (n: number) => Math.floor(random() * n);
    // A sensible delta of a few commands, and one or two bytes of it changed, removed or repeated.
    let delta = hex('72730236 10 30313233343536373839616263646566 46 10 0100 41 03 616263 4a 0200 0040 4c 0100 00000080 45 05 06 00');
    for (let n = 1 + pick(2); n > 0; n--) {
      const at = 4 + pick(delta.length - 4);
      const how = pick(4);
      if (how === 0) delta = Buffer.concat([delta.subarray(0, at), delta.subarray(at + 1 + pick(3))]);
      else if (how === 1) delta = Buffer.concat([delta.subarray(0, at), delta.subarray(Math.max(4, at - pick(9)))]);
      else delta[at] = pick(256);
    }
    try { assert.ok(patched(base, delta, 1 + pick(40)).length < 100_000); }
    catch (error) {
      if ((error as { kind?: string }).kind !== 'corrupt') throw new Error(`FUZZ_SEED=${seed}`, { cause: error });
      refused++;
    }
  }
  assert.ok(refused > 2000, `${refused} were refused`);
});
