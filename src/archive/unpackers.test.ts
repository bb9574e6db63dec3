// bzip2 and xz as the real programs write them, whole, in pieces, one behind the other, and broken at any place.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { kindOf } from '../lib/errors.ts';
import { bunzip2 } from './bunzip2.ts';
import { unxz } from './unxz.ts';

function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return Math.floor((state / 2 ** 32) * below); };
}

const next = random(7);
const TEXT = Buffer.from(Array.from({ length: 8_000 }, () => ['layer', 'of', 'a', 'container', '\n', String(next(1000))][next(6)]).join(' '));
const NOISE = Buffer.from(Array.from({ length: 70_000 }, () => next(256)));
const CONTENTS = { empty: Buffer.alloc(0), one: Buffer.from('x'), text: TEXT, noise: NOISE, zeros: Buffer.alloc(1_000_000), mixed: Buffer.concat([NOISE.subarray(0, 1000), TEXT, Buffer.alloc(30_000, 'ab'), NOISE]) };

function* inPieces(bytes: Buffer, size: number): Generator<Buffer> { for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size); }
const whole = (unpack: typeof unxz, bytes: Buffer, size = 65536) => Buffer.concat(Array.from(unpack(inPieces(bytes, size)), (piece) => Buffer.from(piece)));

for (const [name, unpack, program, levels] of [
  ['bzip2', bunzip2, 'bzip2', [['-1'], ['-9']]],
  ['xz', unxz, 'xz', [['-0'], ['-6e'], ['--check=crc32'], ['--check=sha256'], ['--check=none'], ['--lzma2=dict=4KiB,lc=1,lp=2,pb=0'], ['--block-size=50000']]],
] as const) {
  const pack = (bytes: Buffer, words: readonly string[]) => execFileSync(program, ['-c', ...words], { input: bytes, maxBuffer: 64 << 20 });
  test(`${name}: what the program has packed`, () => {
    for (const words of levels) for (const [what, bytes] of Object.entries(CONTENTS)) assert.ok(whole(unpack, pack(bytes, words)).equals(bytes), `${what} ${words.join(' ')}`);
    assert.ok(whole(unpack, pack(TEXT, []), 7).equals(TEXT));
    assert.equal(whole(unpack, Buffer.concat([pack(Buffer.from('one '), []), pack(Buffer.from('two'), [])])).toString(), 'one two');
  });
  test(`${name}: broken bytes are refused, whatever is broken`, () => {
    const packed = pack(CONTENTS.mixed.subarray(0, 60_000), []);
    for (let seed = 1; seed <= 40; seed++) {
      const at = random(seed)(packed.length);
      const broken = seed % 2 ? packed.subarray(0, at) : Buffer.from(packed);
      if (seed % 2 === 0) broken[at] = (broken[at] ?? 0) ^ (1 << (seed % 8));
      try { assert.ok(whole(unpack, broken).equals(CONTENTS.mixed.subarray(0, 60_000)), `FUZZ_SEED=${seed}`); }
      catch (error) { if (kindOf(error) !== 'corrupt') throw new Error(`FUZZ_SEED=${seed}`, { cause: error }); }
    }
  });
}
