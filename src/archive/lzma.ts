// The LZMA2 decoder below xz: chunks, a range decoder, and a dictionary of what was written last. Source: the LZMA specification.
import { corrupt } from '../lib/errors.ts';

interface Bytes { byte(): number }

const HALF = 1024, MOVE_BITS = 5, TOP = 2 ** 24;
const LENGTH_SLOTS = 4, ALIGN_BITS = 4, END_MODEL = 14;
const MAX_PIECE_BYTES = 64 * 1024;

const probabilities = (count: number): Uint16Array => new Uint16Array(count).fill(HALF);

class Range {
  readonly #source: Bytes;
  #range = 0;
  #code = 0;

  constructor(source: Bytes) { this.#source = source; }

  begin(): void {
    if (this.#source.byte() !== 0) throw corrupt('xz stream: a chunk has a wrong beginning');
    this.#range = 0xffff_ffff;
    this.#code = 0;
    for (let i = 0; i < 4; i++) this.#code = ((this.#code << 8) | this.#source.byte()) >>> 0;
  }

  bit(table: Uint16Array, at: number): number {
    const probability = table[at] ?? HALF;
    const bound = Math.imul(this.#range >>> 11, probability) >>> 0;
    let bit = 0;
    if (this.#code < bound) {
      this.#range = bound;
      table[at] = probability + ((2048 - probability) >> MOVE_BITS);
    } else {
      this.#range = (this.#range - bound) >>> 0;
      this.#code = (this.#code - bound) >>> 0;
      table[at] = probability - (probability >> MOVE_BITS);
      bit = 1;
    }
    this.#normalize();
    return bit;
  }

  direct(bits: number): number {
    let value = 0;
    for (let left = bits; left > 0; left--) {
      this.#range >>>= 1;
      const bit = this.#code >= this.#range ? 1 : 0;
      if (bit) this.#code = (this.#code - this.#range) >>> 0;
      value = (value << 1) | bit;
      this.#normalize();
    }
    return value;
  }

  tree(table: Uint16Array, from: number, bits: number): number {
    let at = 1;
    for (let left = bits; left > 0; left--) at = (at << 1) | this.bit(table, from + at);
    return at - (1 << bits);
  }

  reverse(table: Uint16Array, from: number, bits: number): number {
    let at = 1, value = 0;
    for (let i = 0; i < bits; i++) {
      const bit = this.bit(table, from + at);
      at = (at << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  #normalize(): void {
    if (this.#range >= TOP) return;
    this.#range = (this.#range << 8) >>> 0;
    this.#code = ((this.#code << 8) | this.#source.byte()) >>> 0;
  }
}

class Lengths {
  readonly choice = probabilities(2);
  readonly low = probabilities(16 * 8);
  readonly middle = probabilities(16 * 8);
  readonly high = probabilities(256);

  read(range: Range, position: number): number {
    if (range.bit(this.choice, 0) === 0) return range.tree(this.low, position * 8, 3);
    if (range.bit(this.choice, 1) === 0) return 8 + range.tree(this.middle, position * 8, 3);
    return 16 + range.tree(this.high, 0, 8);
  }
}

/** Everything that a reset of the state makes anew. */
class Model {
  state = 0;
  reps: [number, number, number, number] = [0, 0, 0, 0];
  readonly match = probabilities(12 * 16);
  readonly rep = probabilities(12);
  readonly rep0 = probabilities(12);
  readonly rep1 = probabilities(12);
  readonly rep2 = probabilities(12);
  readonly rep0Long = probabilities(12 * 16);
  readonly slots = probabilities(LENGTH_SLOTS * 64);
  readonly special = probabilities(115);
  readonly align = probabilities(1 << ALIGN_BITS);
  readonly length = new Lengths();
  readonly repLength = new Lengths();
  readonly literals: Uint16Array;

  constructor(lc: number, lp: number) { this.literals = probabilities(0x300 << (lc + lp)); }
}

export class Lzma {
  readonly #source: Bytes;
  readonly #range: Range;
  readonly #dictionary: Buffer;
  #at = 0;
  /** How much of it holds something. */
  #filled = 0;
  #total = 0;
  #model: Model | undefined;
  #lc = 0;
  #lp = 0;
  #pb = 0;
  /** A match that a piece has cut in two. */
  #pending = 0;

  constructor(source: Bytes, dictionaryBytes: number) {
    this.#source = source;
    this.#range = new Range(source);
    this.#dictionary = Buffer.alloc(Math.max(4096, dictionaryBytes));
  }

  *pieces(): Generator<Buffer> {
    for (let needsDictionary = true; ;) {
      const control = this.#source.byte();
      if (control === 0) return;
      const resets = control === 1 || control >= 0xe0;
      if ((needsDictionary && !resets) || (control > 2 && control < 0x80)) throw corrupt('xz stream: a chunk of no kind');
      if (resets) { this.#filled = 0; this.#total = 0; needsDictionary = false; }
      let size = control < 0x80 ? 0 : (control & 0x1f) << 16;
      size += ((this.#source.byte() << 8) | this.#source.byte()) + 1;
      if (control >= 0x80) this.#startChunk(control);
      for (let left = size; left > 0;) {
        const start = this.#at;
        const count = Math.min(left, MAX_PIECE_BYTES, this.#dictionary.length - start);
        if (control < 0x80) for (let i = 0; i < count; i++) this.#put(this.#source.byte());
        else this.#decode(count);
        left -= count;
        yield this.#dictionary.subarray(start, start + count);
      }
      if (this.#pending > 0) throw corrupt('xz stream: a chunk ends in the middle');
    }
  }

  #startChunk(control: number): void {
    this.#source.byte(); // the packed length: the range decoder takes just that much
    this.#source.byte();
    if (control >= 0xc0) {
      const properties = this.#source.byte();
      if (properties >= 225) throw corrupt('xz stream: impossible properties');
      this.#lc = properties % 9;
      this.#lp = Math.floor(properties / 9) % 5;
      this.#pb = Math.floor(properties / 45);
      if (this.#lc + this.#lp > 4) throw corrupt('xz stream: impossible properties');
    }
    if (control >= 0xa0) this.#model = new Model(this.#lc, this.#lp);
    if (this.#model === undefined) throw corrupt('xz stream: a chunk without a state');
    this.#range.begin();
  }

  #put(byte: number): void {
    this.#dictionary[this.#at++] = byte;
    if (this.#at === this.#dictionary.length) this.#at = 0;
    if (this.#filled < this.#dictionary.length) this.#filled++;
    this.#total++;
  }

  #back(distance: number): number {
    const at = this.#at - distance - 1;
    return this.#dictionary[at < 0 ? at + this.#dictionary.length : at] ?? 0;
  }

  /** Exactly so many bytes. */
  #decode(count: number): void {
    const model = this.#model;
    if (model === undefined) return;
    for (let left = this.#copy(model.reps[0], count); left > 0;) {
      const position = this.#total & ((1 << this.#pb) - 1);
      const { state } = model;
      if (this.#range.bit(model.match, state * 16 + position) === 0) { this.#literal(model); left--; continue; }
      this.#pending = this.#match(model, position);
      if (model.reps[0] >= this.#filled) throw corrupt('xz stream: a match before the beginning');
      left = this.#copy(model.reps[0], left);
    }
  }

  #copy(distance: number, room: number): number {
    const count = Math.min(this.#pending, room);
    for (let i = 0; i < count; i++) this.#put(this.#back(distance));
    this.#pending -= count;
    return room - count;
  }

  #literal(model: Model): void {
    const before = this.#filled > 0 ? this.#back(0) : 0;
    const context = ((this.#total & ((1 << this.#lp) - 1)) << this.#lc) + (before >> (8 - this.#lc));
    const from = 0x300 * context;
    let symbol = 1;
    if (model.state >= 7) {
      let matched = this.#back(model.reps[0]);
      while (symbol < 0x100) {
        const expected = (matched >> 7) & 1;
        matched <<= 1;
        const bit = this.#range.bit(model.literals, from + ((1 + expected) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        if (expected !== bit) break;
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#range.bit(model.literals, from + symbol);
    this.#put(symbol & 0xff);
    model.state = model.state < 4 ? 0 : model.state < 10 ? model.state - 3 : model.state - 6;
  }

  /** Sets the distance and gives the length. */
  #match(model: Model, position: number): number {
    const range = this.#range;
    const { state, reps } = model;
    if (range.bit(model.rep, state) === 0) {
      model.state = state < 7 ? 7 : 10;
      const length = model.length.read(range, position);
      model.reps = [this.#distance(model, length), reps[0], reps[1], reps[2]];
      return length + 2;
    }
    if (range.bit(model.rep0, state) === 0) {
      if (range.bit(model.rep0Long, state * 16 + position) === 0) {
        model.state = state < 7 ? 9 : 11;
        return 1;
      }
    } else if (range.bit(model.rep1, state) === 0) model.reps = [reps[1], reps[0], reps[2], reps[3]];
    else if (range.bit(model.rep2, state) === 0) model.reps = [reps[2], reps[0], reps[1], reps[3]];
    else model.reps = [reps[3], reps[0], reps[1], reps[2]];
    model.state = state < 7 ? 8 : 11;
    return model.repLength.read(range, position) + 2;
  }

  #distance(model: Model, length: number): number {
    const range = this.#range;
    const slot = range.tree(model.slots, Math.min(length, LENGTH_SLOTS - 1) * 64, 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const base = (2 | (slot & 1)) * 2 ** bits;
    if (slot < END_MODEL) return base + range.reverse(model.special, base - slot, bits);
    return base + range.direct(bits - ALIGN_BITS) * 2 ** ALIGN_BITS + range.reverse(model.align, 0, ALIGN_BITS);
  }
}
