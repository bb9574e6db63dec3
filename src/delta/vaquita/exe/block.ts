// A block: up to 16 old bytes, with the references that begin in them, predicted together and then coded, most often with a single bit.
import type { Coder } from '../range-coder.ts';
import { ByteCoder } from './bytes.ts';
import type { ElfImage, Span } from './elf.ts';
import type { Mapper } from './mapper.ts';
import type { ExeModels } from './models.ts';
import type { References } from './references.ts';
import { PAGE, putWord32, word32, type Scanner } from './scanner.ts';

/** The old file as an image, and where things are in the new one. */
export interface Predictor { readonly image: ElfImage; readonly references: References; readonly mapper: Mapper; readonly segments: readonly Span[] }

export interface BlockNeeds {
  readonly models: ExeModels;
  readonly coder: Coder;
  /** undefined: files without known addresses. */
  readonly predictor: Predictor | undefined;
}

/** How both files go on from a place: whether addresses are known there, and which. */
export interface Stretch {
  /** 0: no known addresses, 1: code, 2: data. */
  readonly place: number;
  readonly bytes: number;
  /** From places in the old file to addresses of the old image, and to addresses of the new one. */
  readonly oldShift: number;
  readonly newShift: number;
}

const BLOCK_BYTES = 16;
/** None is shorter than four bytes. */
const MAX_REFERENCES = 4;

export class Block {
  readonly #models: ExeModels;
  readonly #coder: Coder;
  readonly #predictor: Predictor | undefined;
  readonly #bytes: ByteCoder;
  readonly #old: Uint8Array;
  readonly #made: Uint8Array;
  /** The places of the first bytes of `#old` and `#made`, as places in the old file. */
  #oldStart = 0;
  #madeStart = 0;
  #stretch: Stretch = { place: 0, bytes: 0, oldShift: 0, newShift: 0 };
  #stop = 0;
  #scanner: Scanner | undefined;
  /** Where the next reference begins; the scanner has it at hand. */
  #nextReference = 0;
  /** Blocks that were not as predicted, the last one lowest. */
  #history = 0;
  /** How sure the projections are: the least sure one of the block. */
  #worst = 0;

  readonly #predicted = new Uint8Array(BLOCK_BYTES + 8);
  /** What begins in the block is words and bytes up to here; only a reference may reach beyond it. */
  #end = 0;
  #references = 0;
  readonly #at = new Uint8Array(MAX_REFERENCES);
  readonly #kind = new Uint8Array(MAX_REFERENCES);
  readonly #length = new Uint8Array(MAX_REFERENCES);
  readonly #confidence = new Uint8Array(MAX_REFERENCES);
  readonly #context = new Uint8Array(MAX_REFERENCES);
  readonly #low = new Int32Array(MAX_REFERENCES);
  readonly #address = new Float64Array(MAX_REFERENCES);
  readonly #expected = new Float64Array(MAX_REFERENCES);

  constructor({ models, coder, predictor }: BlockNeeds, old: Uint8Array, made: Uint8Array) {
    this.#models = models;
    this.#coder = coder;
    this.#predictor = predictor;
    this.#bytes = new ByteCoder(models, coder);
    this.#old = old;
    this.#made = made;
  }

  /** Blocks from here on lie in `stretch`: they begin before `stop`, and references end at `limit` or before it. All are places in the old file. */
  enter(stretch: Stretch, window: { limit: number; stop: number; oldStart: number; madeStart: number }): void {
    this.#stretch = stretch;
    this.#stop = window.stop;
    this.#oldStart = window.oldStart;
    this.#madeStart = window.madeStart;
    const references = this.#predictor?.references;
    this.#scanner = stretch.place === 0 ? undefined : stretch.place === 1 ? references?.code : references?.data;
    this.#scanner?.enter(stretch.oldShift, window.limit);
    this.#nextReference = this.#scanner === undefined ? Infinity : -1;
  }

  /** Codes the block that begins at a place in the old file; returns its length. */
  code(from: number): number {
    const bytes = this.#predict(from), { place } = this.#stretch;
    const predicted = this.#predicted, made = this.#made, madeAt = from - this.#madeStart;
    let same = 1;
    for (let k = 0; k < bytes; k++) {
      if (made[madeAt + k] === predicted[k]) continue;
      same = 0;
      break;
    }
    same = this.#coder.bit(this.#models.block, (this.#history & 15) * 64 + this.#worst * 8 + place, same);
    this.#history = this.#history << 1 | (same ^ 1);
    if (same !== 0) this.#take(from, bytes);
    else this.#codeItems(from, bytes);
    return bytes;
  }

  /** Fills in the predicted bytes and lists the references. Returns how long the block is. */
  #predict(from: number): number {
    const old = this.#old, oldAt = from - this.#oldStart, predicted = this.#predicted;
    // Blocks of data end between words.
    const end = Math.min(this.#stop, from + BLOCK_BYTES - (this.#stretch.place === 1 ? 0 : from & 3)), bytes = end - from;
    for (let k = 0; k < bytes; k++) predicted[k] = old[oldAt + k] ?? 0;
    this.#end = end;
    this.#worst = 0;
    let references = 0, reach = end;
    if (this.#nextReference < from) this.#nextReference = this.#scanner?.next(from, this.#stop) ?? Infinity;
    while (this.#nextReference < end) {
      const place = this.#nextReference;
      this.#at[references] = place - from;
      reach = place + this.#predictReference(references++, place, place - from);
      this.#nextReference = this.#scanner?.next(reach, this.#stop) ?? Infinity;
    }
    this.#references = references;
    return Math.max(end, reach) - from;
  }

  #predictReference(item: number, place: number, at: number): number {
    const predictor = this.#predictor, scanner = this.#scanner;
    if (predictor === undefined || scanner === undefined) return 1;
    const { references: { found }, mapper } = predictor;
    const expected = mapper.project(found.address, this.#stretch.place - 1);
    this.#kind[item] = found.kind;
    this.#length[item] = found.bytes;
    this.#confidence[item] = mapper.confidence;
    this.#context[item] = found.context;
    this.#low[item] = found.low;
    this.#address[item] = found.address;
    this.#expected[item] = expected;
    if (mapper.confidence > this.#worst) this.#worst = mapper.confidence;
    found.newAddress = expected;
    found.newPlace = place + this.#stretch.newShift;
    scanner.put(this.#predicted, at);
    return found.bytes;
  }

  /** The block is as predicted. */
  #take(from: number, bytes: number): void {
    const predicted = this.#predicted, made = this.#made, madeAt = from - this.#madeStart;
    for (let k = 0; k < bytes; k++) made[madeAt + k] = predicted[k] ?? 0;
    for (let item = 0; item < this.#references; item++) this.#learnExpected(item, this.#kind[item] ?? 0);
    if (this.#stretch.place === 1) return;
    let words = 0;
    for (let at = 0, item = 0; at < bytes;) {
      if (item < this.#references && at === this.#at[item]) at += this.#length[item++] ?? 4;
      else if (!this.#isWord(from + at)) at++;
      else {
        words++;
        at += 4;
      }
    }
    if (words > 0) this.#bytes.sameWords(words);
  }

  /** Does a word begin here, where no reference does? */
  #isWord(place: number): boolean { return this.#stretch.place !== 1 && (place & 3) === 0 && place + 4 <= this.#end; }

  #codeItems(from: number, length: number): void {
    const { place } = this.#stretch, bytes = this.#bytes, made = this.#made, predicted = this.#predicted, madeAt = from - this.#madeStart;
    bytes.run = 0;
    for (let at = 0, item = 0; at < length;) {
      const target = madeAt + at;
      if (item < this.#references && at === this.#at[item]) {
        this.#codeReference(item, target, from + at - this.#oldStart);
        at += this.#length[item++] ?? 4;
      } else if (this.#isWord(from + at)) {
        bytes.word({ predicted, at, made, madeAt: target }, place);
        at += 4;
      } else {
        made[target] = bytes.byte(made[target] ?? 0, predicted[at] ?? 0, place);
        at++;
      }
    }
  }

  /** A reference in a block that is not as predicted. */
  #codeReference(item: number, madeAt: number, oldAt: number): void {
    const models = this.#models, bytes = this.#bytes, made = this.#made, predicted = this.#predicted, old = this.#old;
    const at = this.#at[item] ?? 0, kind = this.#kind[item] ?? 0, length = this.#length[item] ?? 4;
    const context = this.#context[item] ?? 0, confidence = this.#confidence[item] ?? 0;
    const moved = equal(predicted, at, { other: old, at: oldAt, length }) ? 0 : 1;
    const slot = (((kind * 8 + confidence) * 2 + moved) * 2 + (bytes.run > 3 ? 1 : 0)) * 16 + (context & 15);
    const hit = this.#coder.bit(models.reference, slot, equal(made, madeAt, { other: predicted, at, length }) ? 1 : 0);
    if (hit !== 0) {
      copy(predicted, at, { to: made, at: madeAt, length });
      bytes.run++;
      this.#learnExpected(item, kind);
      return;
    }
    bytes.run = 0;
    if (moved !== 0 && this.#coder.bit(models.unchanged, kind * 256 + context, equal(made, madeAt, { other: old, at: oldAt, length }) ? 1 : 0) !== 0) {
      copy(old, oldAt, { to: made, at: madeAt, length });
      this.#learnMade(item, madeAt);
      return;
    }
    this.#codeOther(item, madeAt);
  }

  /** The same kind of reference to another place, or other bytes altogether. */
  #codeOther(item: number, madeAt: number): void {
    const models = this.#models, bytes = this.#bytes, made = this.#made, predicted = this.#predicted, scanner = this.#scanner;
    const at = this.#at[item] ?? 0, kind = this.#kind[item] ?? 0, length = this.#length[item] ?? 4, context = this.#context[item] ?? 0;
    if (scanner === undefined) return;
    const mask = scanner.mask(kind), expected = word32(predicted, at), wanted = word32(made, madeAt);
    const alike = mask !== 0 && (wanted & ~mask) === (expected & ~mask) && (length === 4 || word32(made, madeAt + 4) === word32(predicted, at + 4));
    if (this.#coder.bit(models.sameKind, kind * 256 + context, alike ? 1 : 0) === 0) {
      for (let k = 0; k < length; k++) {
        bytes.run = 0;
        made[madeAt + k] = bytes.byte(made[madeAt + k] ?? 0, predicted[at + k] ?? 0, this.#stretch.place);
      }
      bytes.run = 0;
      return;
    }
    const wantedDistance = mask === -1 ? wanted - expected | 0 : scanner.field(wanted, kind) - scanner.field(expected, kind);
    const distance = models.distance.signed(this.#coder, kind * 2 + ((this.#confidence[item] ?? 0) > 1 ? 1 : 0), wantedDistance);
    putWord32(made, madeAt, mask === -1 ? expected + distance | 0 : scanner.withField(expected, kind, scanner.field(expected, kind) + distance));
    for (let k = 4; k < length; k++) made[madeAt + k] = predicted[at + k] ?? 0;
    this.#learnMade(item, madeAt);
  }

  /** The reference leads to where it was expected to. A page alone says nothing about the address. */
  #learnExpected(item: number, kind: number): void {
    if (kind === PAGE && (this.#low[item] ?? -1) < 0) return;
    this.#predictor?.mapper.learn(this.#address[item] ?? 0, this.#expected[item] ?? 0, this.#stretch.place - 1);
  }

  /** The reference leads to what its bytes say. */
  #learnMade(item: number, madeAt: number): void {
    const scanner = this.#scanner, kind = this.#kind[item] ?? 0;
    const made = word32(this.#made, madeAt), expected = word32(this.#predicted, this.#at[item] ?? 0);
    if (made === expected) {
      this.#learnExpected(item, kind);
      return;
    }
    const mask = scanner?.mask(kind) ?? 0;
    if (scanner === undefined || mask === 0 || kind === PAGE) return;
    const fields = mask === -1 ? made - expected | 0 : scanner.field(made, kind) - scanner.field(expected, kind);
    const to = (this.#expected[item] ?? 0) + Math.floor(fields * scanner.step(made, kind, this.#context[item] ?? 0));
    this.#predictor?.mapper.learn(this.#address[item] ?? 0, to, this.#stretch.place - 1);
  }
}

interface Other { readonly other: Uint8Array; readonly at: number; readonly length: number }

function equal(bytes: Uint8Array, at: number, { other, at: otherAt, length }: Other): boolean {
  for (let k = 0; k < length; k++) if (bytes[at + k] !== other[otherAt + k]) return false;
  return true;
}

function copy(bytes: Uint8Array, at: number, { to, at: toAt, length }: { to: Uint8Array; at: number; length: number }): void {
  for (let k = 0; k < length; k++) to[toAt + k] = bytes[at + k] ?? 0;
}
