// Promises of the range coder: what was coded comes back, is short, and bytes that are not a code end in `corrupt`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf } from '../../lib/errors.ts';
import { ByteModel, Decoder, Encoder, IntModel, Mixer, Model, type Coder } from './range-coder.ts';

/** A generator of numbers below 2^32 (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = state + 0x6d2b79f5 | 0;
    let t = Math.imul(state ^ state >>> 15, state | 1);
    t = t + Math.imul(t ^ t >>> 7, t | 61) ^ t;
    return (t ^ t >>> 14) >>> 0;
  };
}

/** One of everything, in an order that the seed decides; what the decoder is told is nonsense. */
function talk(coder: Coder, { seed, count, honest }: { seed: number; count: number; honest: boolean }): number[] {
  const next = random(seed), models = [new Model(16), new Model(16), new Model(16)];
  const ints = new IntModel(2), bytes = new ByteModel(2), mixer = new Mixer(3, 4), at = new Int32Array(3);
  const told: number[] = [], say = (value: number) => honest ? value : 0;
  for (let i = 0; i < count; i++) {
    const r = next(), skewed = next() % 20 === 0 ? 1 : 0, model = models[0];
    if (model === undefined) throw new Error('no model');
    at.set([r & 15, r >> 4 & 15, r >> 8 & 15]);
    switch (r % 6) {
      case 0: told.push(coder.bit(model, r >> 8 & 15, say(skewed))); break;
      case 1: told.push(coder.raw(1 + r % 65535, say(skewed))); break;
      case 2: told.push(coder.direct(next() % 53, 0)); break;
      case 3: told.push(ints.signed(coder, 0, say((next() - 2 ** 31) / 2 ** (next() % 33) | 0))); break;
      case 4: told.push(bytes.code(coder, r & 1, say(next() & 255 & next()))); break;
      default: told.push(mixer.bit(coder, models, { at, context: r & 3, bit: say(skewed) }));
    }
  }
  return told;
}

test('what one side codes, the other decodes, and nothing is left over', () => {
  for (let seed = 1; seed < 200; seed++) {
    const encoder = new Encoder(), count = seed * 3, told = talk(encoder, { seed, count, honest: true });
    const bytes = encoder.finish(), decoder = new Decoder(bytes);
    assert.deepEqual(talk(decoder, { seed, count, honest: false }), told, `seed ${seed}`);
    decoder.assertEnd();
  }
});

test('numbers up to 52 bits', () => {
  const numbers = [0, 1, 2, 7, 8, 255, 2 ** 31 - 2, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 5, 2 ** 52 - 2];
  const encoder = new Encoder(), writing = new IntModel(1);
  for (const n of numbers) writing.code(encoder, 0, n);
  for (const n of numbers) writing.signed(encoder, 0, -Math.floor(n / 2));
  const decoder = new Decoder(encoder.finish()), reading = new IntModel(1);
  assert.deepEqual(numbers.map(() => reading.code(decoder, 0, 0)), numbers);
  assert.deepEqual(numbers.map(() => 0 - reading.signed(decoder, 0, 0)), numbers.map((n) => Math.floor(n / 2)));
});

test('what is likely costs little: nothing coded is no byte, a thousand like bits are few', () => {
  assert.equal(new Encoder().finish().length, 0);
  const encoder = new Encoder(), model = new Model(1);
  for (let i = 0; i < 1000; i++) encoder.bit(model, 0, 1);
  assert.ok(encoder.finish().length < 10);
});

test('carries run through any number of bytes', () => {
  const encoder = new Encoder();
  for (let i = 0; i < 64; i++) encoder.raw(1, 0); // low climbs to the top of the range,
  for (let i = 0; i < 64; i++) encoder.direct(8, 255);
  for (let i = 0; i < 9; i++) encoder.raw(65535, 0); // and over it
  const decoder = new Decoder(encoder.finish());
  for (let i = 0; i < 64; i++) assert.equal(decoder.raw(1, 1), 0);
  for (let i = 0; i < 64; i++) assert.equal(decoder.direct(8, 0), 255);
  for (let i = 0; i < 9; i++) assert.equal(decoder.raw(65535, 1), 0);
});

test('bytes that are cut short, too many or nonsense end in corrupt', () => {
  const encoder = new Encoder();
  talk(encoder, { seed: 7, count: 500, honest: true });
  const bytes = encoder.finish();
  const read = (input: Uint8Array) => {
    const decoder = new Decoder(input);
    talk(decoder, { seed: 7, count: 500, honest: false });
    decoder.assertEnd();
  };
  assert.throws(() => read(bytes.subarray(0, bytes.length - 8)), (error) => kindOf(error) === 'corrupt');
  assert.throws(() => read(Buffer.concat([bytes, Buffer.alloc(8)])), (error) => kindOf(error) === 'corrupt');
  for (let seed = 1; seed < 300; seed++) {
    const next = random(seed), noise = Uint8Array.from({ length: next() % 600 }, () => next() & 255);
    try { read(noise); } catch (error) { if (kindOf(error) !== 'corrupt') throw new Error(`seed ${seed}`, { cause: error }); }
  }
  const ones = new Decoder(new Uint8Array(64)), int = new IntModel(1);
  assert.throws(() => { for (;;) int.code(ones, 0, 0); }, (error) => kindOf(error) === 'corrupt');
});
