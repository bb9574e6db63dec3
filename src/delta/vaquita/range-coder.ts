// Adaptive binary range coder with its models: what the metadata and the executables of our deltas are written with.
//
// One code path describes a format for both directions: `Encoder.bit` codes its argument, `Decoder.bit` ignores it, and both return the bit.
// All of it is integer arithmetic, so that every machine gets the same bits; docs/delta-format.md says each step of it.
import { assert, corrupt } from '../../lib/errors.ts';

/** Either direction. */
export interface Coder {
  /** A bit by the estimate that stands in `model` at `index`, which learns from it. */
  bit(model: Model, index: number, bit: number): number;
  /** A bit that is one with `chance` of 65536, 1 to 65535. */
  raw(chance: number, bit: number): number;
  /** The lowest `bits` bits of a number, each as likely to be one as not; at most 52. */
  direct(bits: number, value: number): number;
}

/** Estimates of bits, each the mean of one that learns fast and one that learns slowly. */
export class Model {
  readonly fast: Uint16Array;
  readonly slow: Uint16Array;
  /** `start`: what all of them begin with, in 65536ths. */
  constructor(slots: number, start = EVEN) {
    this.fast = new Uint16Array(slots).fill(start);
    this.slow = new Uint16Array(slots).fill(start);
  }
}

const EVEN = 32768;
const FAST_SHIFT = 4, SLOW_SHIFT = 7;
/** Below this the range is too small to be split: a byte goes out or comes in. */
const RENORMALIZE_BELOW = 0x1000000;
/** The decoder is this far ahead of what it has decoded; so many zeros at the end need not be written. */
const LOOKAHEAD_BYTES = 4;

/** The chance of a one, 1 to 4095 of 4096. */
function chanceOf(model: Model, index: number): number {
  const chance = ((model.fast[index] ?? 0) + (model.slow[index] ?? 0)) >>> 5;
  return chance < 1 ? 1 : chance > 4095 ? 4095 : chance;
}

function learn(model: Model, index: number, bit: number): void {
  const { fast, slow } = model;
  const a = fast[index] ?? 0, b = slow[index] ?? 0;
  if (bit !== 0) {
    fast[index] = a + ((65535 - a) >> FAST_SHIFT);
    slow[index] = b + ((65535 - b) >> SLOW_SHIFT);
  } else {
    fast[index] = a - (a >> FAST_SHIFT);
    slow[index] = b - (b >> SLOW_SHIFT);
  }
}

export class Encoder implements Coder {
  #low = 0;
  #range = 0xffffffff;
  /** The byte that a carry may still change, and how many bytes of 255 follow it. */
  #cache = 0;
  #pending = 1;
  #out = new Uint8Array(4096);
  #length = 0;

  bit(model: Model, index: number, bit: number): number {
    this.#split((this.#range >>> 12) * chanceOf(model, index), bit);
    learn(model, index, bit);
    return bit;
  }

  raw(chance: number, bit: number): number {
    this.#split((this.#range >>> 16) * chance, bit);
    return bit;
  }

  direct(bits: number, value: number): number {
    for (let k = bits - 1; k >= 0; k--) {
      this.#range >>>= 1;
      if (bitOf(value, k) !== 0) this.#low += this.#range;
      this.#normalize();
    }
    return value;
  }

  /** What was coded, as short as it can be. The encoder is spent. */
  finish(): Uint8Array {
    // Any number of the range will do: the one with the most zeros at its end, which the decoder reads behind the end anyway.
    for (let bits = 32; bits >= 0; bits--) {
      const step = 2 ** bits, round = Math.ceil(this.#low / step) * step;
      if (round - this.#low < this.#range) {
        this.#low = round;
        break;
      }
    }
    for (let k = 0; k < 5; k++) this.#shift();
    let length = this.#length;
    while (length > 1 && this.#length - length < LOOKAHEAD_BYTES && this.#out[length - 1] === 0) length--;
    return this.#out.slice(1, length); // the first byte is what a carry out of nothing would change
  }

  /** Ones have the lower part of the range. */
  #split(bound: number, bit: number): void {
    if (bit !== 0) this.#range = bound;
    else {
      this.#low += bound;
      this.#range = (this.#range - bound) >>> 0;
    }
    this.#normalize();
  }

  #normalize(): void {
    while (this.#range < RENORMALIZE_BELOW) {
      this.#range = (this.#range << 8) >>> 0;
      this.#shift();
    }
  }

  #shift(): void {
    if (this.#low < 0xff000000 || this.#low >= 0x100000000) {
      const carry = this.#low >= 0x100000000 ? 1 : 0;
      for (let byte = this.#cache; this.#pending > 0; this.#pending--, byte = 255) this.#put((byte + carry) & 255);
      this.#cache = Math.floor(this.#low / 0x1000000) & 255;
    }
    this.#pending++;
    this.#low = (this.#low & 0xffffff) * 256;
  }

  #put(byte: number): void {
    if (this.#length === this.#out.length) {
      const more = new Uint8Array(this.#length * 2);
      more.set(this.#out);
      this.#out = more;
    }
    this.#out[this.#length++] = byte;
  }
}

/** Any bytes decode to something; errors: corrupt, when it asks for more than `bytes` can hold. */
export class Decoder implements Coder {
  #range = 0xffffffff;
  #code = 0;
  #at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    for (let k = 0; k < LOOKAHEAD_BYTES; k++) this.#code = (this.#code << 8 | this.#next()) >>> 0;
  }

  bit(model: Model, index: number, _bit: number): number {
    const bit = this.#split((this.#range >>> 12) * chanceOf(model, index));
    learn(model, index, bit);
    return bit;
  }

  raw(chance: number, _bit: number): number {
    return this.#split((this.#range >>> 16) * chance);
  }

  direct(bits: number, _value: number): number {
    let value = 0;
    for (let k = 0; k < bits; k++) {
      this.#range >>>= 1;
      const bit = this.#code >= this.#range ? 1 : 0;
      if (bit !== 0) this.#code = (this.#code - this.#range) >>> 0;
      value = value * 2 + bit;
      this.#normalize();
    }
    return value;
  }

  /** Error: corrupt, unless all bytes were needed. */
  assertEnd(): void {
    if (this.#at < this.#bytes.length) throw corrupt(`${this.#bytes.length - this.#at} bytes behind the end of what is range coded`);
  }

  #split(bound: number): number {
    if (this.#code < bound) {
      this.#range = bound;
      this.#normalize();
      return 1;
    }
    this.#code = (this.#code - bound) >>> 0;
    this.#range = (this.#range - bound) >>> 0;
    this.#normalize();
    return 0;
  }

  #normalize(): void {
    while (this.#range < RENORMALIZE_BELOW) {
      this.#range = (this.#range << 8) >>> 0;
      this.#code = (this.#code << 8 | this.#next()) >>> 0;
    }
  }

  #next(): number {
    if (this.#at < this.#bytes.length) return this.#bytes[this.#at++] ?? 0;
    if (this.#at++ >= this.#bytes.length + LOOKAHEAD_BYTES) throw corrupt('what is range coded is cut short');
    return 0;
  }
}

/** Numbers are below 2^52. */
const MAX_EXPONENT = 52;
const EXPONENT_SLOTS = 64;
const MANTISSA_SLOTS = 8;

/** Numbers from 0 to 2^52 - 2: Elias gamma codes with an estimated exponent and estimates for the three highest bits below it. */
export class IntModel {
  readonly #exponent: Model;
  readonly #mantissa: Model;
  constructor(contexts: number) {
    this.#exponent = new Model(contexts * EXPONENT_SLOTS);
    this.#mantissa = new Model(contexts * EXPONENT_SLOTS * MANTISSA_SLOTS);
  }

  code(coder: Coder, context: number, value: number): number {
    const writes = coder instanceof Encoder, wanted = writes ? value + 1 : 1; // a decoder is told anything
    let want = 0;
    for (let rest = wanted; rest >= 2; rest = Math.floor(rest / 2)) want++;
    assert(wanted >= 1 && want < MAX_EXPONENT, `${value} is no number that can be coded`);
    let exponent = 0;
    while (coder.bit(this.#exponent, context * EXPONENT_SLOTS + exponent, exponent < want ? 1 : 0) !== 0) {
      if (++exponent >= MAX_EXPONENT) throw corrupt('a number of more than 52 bits');
    }
    const top = exponent < 3 ? exponent : 3;
    let result = 1;
    for (let k = 0; k < top; k++) {
      const slot = (context * EXPONENT_SLOTS + exponent) * MANTISSA_SLOTS + result;
      result = result * 2 + coder.bit(this.#mantissa, slot, bitOf(wanted, exponent - 1 - k));
    }
    const below = exponent - top;
    if (below > 0) result = result * 2 ** below + coder.direct(below, wanted % 2 ** below);
    return result - 1;
  }

  /** 0, -1, 1, -2, 2 … are 0, 1, 2, 3, 4 … */
  signed(coder: Coder, context: number, value: number): number {
    const folded = this.code(coder, context, value < 0 ? -value * 2 - 1 : value * 2);
    return folded % 2 === 1 ? -(folded + 1) / 2 : folded / 2;
  }
}

/** Bytes, bit by bit from the highest, each estimated by those before it. */
export class ByteModel {
  readonly #model: Model;
  constructor(contexts: number) {
    this.#model = new Model(contexts * 256);
  }

  code(coder: Coder, context: number, value: number): number {
    let node = 1;
    for (let k = 7; k >= 0; k--) node = node * 2 + coder.bit(this.#model, context * 256 + node, value >> k & 1);
    return node & 255;
  }
}

/** The logistic function from -2047…2047 (256 to one) to 4096ths, at every 128th place. */
const LOGISTIC = [
  1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101, 1546, 2047, 2549, 2994, 3348, 3607, 3785, 3901, 3975, 4024, 4050, 4068, 4079, 4085, 4089, 4092, 4093, 4094,
];

function squash(x: number): number {
  if (x > 2047) return 4095;
  if (x < -2047) return 1;
  const weight = x & 127, at = (x >> 7) + 16;
  return (LOGISTIC[at] ?? 0) * (128 - weight) + (LOGISTIC[at + 1] ?? 0) * weight + 64 >> 7;
}

/** The inverse of `squash`: for each chance the lowest place that reaches it. */
const STRETCH = new Int16Array(4096).fill(2047);
for (let x = -2047, from = 0; x <= 2047; x++) {
  const to = squash(x);
  for (let chance = from; chance <= to; chance++) STRETCH[chance] = x;
  if (to >= from) from = to + 1;
}

/** Mixes several estimates of one bit into a better one, with weights that learn per context. */
export class Mixer {
  readonly #weights: Int32Array;
  readonly #inputs: number;
  readonly #stretched: Int32Array;
  constructor(inputs: number, contexts: number) {
    this.#inputs = inputs;
    this.#weights = new Int32Array(inputs * contexts).fill(Math.floor(65536 * 1.2 / inputs));
    this.#stretched = new Int32Array(inputs);
  }

  /** A bit that `models` estimate, each at its place in `at`. All of them learn. */
  bit(coder: Coder, models: readonly Model[], { at, context, bit }: { at: Int32Array; context: number; bit: number }): number {
    const weights = this.#weights, stretched = this.#stretched, inputs = this.#inputs, origin = context * inputs;
    let dot = 0;
    for (let k = 0; k < inputs; k++) {
      const model = models[k], index = at[k] ?? 0;
      const value = model === undefined ? 0 : STRETCH[((model.fast[index] ?? 0) + (model.slow[index] ?? 0)) >>> 5] ?? 0;
      stretched[k] = value;
      dot += value * (weights[origin + k] ?? 0);
    }
    const chance = squash(Math.round(dot / 65536));
    const result = coder.raw(chance < 4 ? 64 : chance > 4092 ? 65472 : chance << 4, bit);
    const error = ((result << 12) - chance) * 10;
    for (let k = 0; k < inputs; k++) {
      const model = models[k];
      weights[origin + k] = (weights[origin + k] ?? 0) + ((stretched[k] ?? 0) * error + 0x2000 >> 14);
      if (model !== undefined) learn(model, at[k] ?? 0, result);
    }
    return result;
  }
}

/** Bit `k` of a number that may have more than 32. */
function bitOf(value: number, k: number): number {
  return k < 31 && value < 0x80000000 ? value >> k & 1 : Math.floor(value / 2 ** k) % 2;
}
