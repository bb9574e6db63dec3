// A block: up to 16 old bytes and the references that begin in them, predicted together and then coded, most often with a single bit.
import type { Coder } from '../range-coder.ts';
import { ByteCoder } from './bytes.ts';
import type { ElfImage, Span } from './elf.ts';
import type { Mapper } from './mapper.ts';
import type { ExeModels } from './models.ts';
import type { References } from './references.ts';
import { PAGE, PLAIN, putWord32, word32, WORD, type Scanner } from './scanner.ts';

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
/** Items of a block: no more than its bytes. */
const MAX_ITEMS = 16;

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
  #limit = 0;
  #stop = 0;
  #scanner: Scanner | undefined;
  /** Where the next reference begins; the scanner has it at hand. */
  #nextReference = 0;
  /** Blocks that were not as predicted, the last one lowest. */
  #history = 0;
  /** How sure the projections are: the least sure one of the block. */
  #worst = 0;

  readonly #predicted = new Uint8Array(BLOCK_BYTES + 8);
  #items = 0;
  readonly #at = new Uint8Array(MAX_ITEMS);
  readonly #kind = new Uint8Array(MAX_ITEMS);
  readonly #length = new Uint8Array(MAX_ITEMS);
  readonly #confidence = new Uint8Array(MAX_ITEMS);
  readonly #context = new Uint8Array(MAX_ITEMS);
  readonly #low = new Int32Array(MAX_ITEMS);
  readonly #address = new Float64Array(MAX_ITEMS);
  readonly #expected = new Float64Array(MAX_ITEMS);

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
    this.#limit = window.limit;
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
    if (same !== 0) this.#take(bytes, madeAt);
    else this.#codeItems(from, madeAt);
    return bytes;
  }

  /** Lays out the block: its items and the predicted bytes. Returns how long it is. */
  #predict(from: number): number {
    const { place } = this.#stretch, old = this.#old, oldStart = this.#oldStart, stop = Math.min(this.#stop, from + BLOCK_BYTES);
    const words = place !== 1, predicted = this.#predicted;
    let at = from, items = 0;
    this.#worst = 0;
    while (at < stop) {
      if (this.#nextReference < at) this.#nextReference = this.#scanner?.next(at, this.#stop) ?? Infinity;
      this.#at[items] = at - from;
      if (at === this.#nextReference && at < this.#stop) at += this.#predictReference(items, at, at - from);
      else if (words && (at & 3) === 0 && at + 4 <= this.#limit) {
        this.#kind[items] = WORD;
        for (let k = 0; k < 4; k++) predicted[at - from + k] = old[at - oldStart + k] ?? 0;
        at += 4;
      } else {
        this.#kind[items] = PLAIN;
        predicted[at - from] = old[at - oldStart] ?? 0;
        at++;
      }
      items++;
    }
    this.#items = items;
    return at - from;
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
  #take(bytes: number, madeAt: number): void {
    const predicted = this.#predicted, made = this.#made;
    for (let k = 0; k < bytes; k++) made[madeAt + k] = predicted[k] ?? 0;
    let words = 0;
    for (let item = 0; item < this.#items; item++) {
      const kind = this.#kind[item] ?? PLAIN;
      if (kind === WORD) words++;
      else if (kind !== PLAIN) this.#learnExpected(item, kind);
    }
    if (words > 0) this.#bytes.sameWords(words);
  }

  #codeItems(from: number, madeAt: number): void {
    const { place } = this.#stretch, bytes = this.#bytes, made = this.#made, predicted = this.#predicted;
    bytes.run = 0;
    for (let item = 0; item < this.#items; item++) {
      const at = this.#at[item] ?? 0, kind = this.#kind[item] ?? PLAIN, target = madeAt + at;
      if (kind === PLAIN) made[target] = bytes.byte(made[target] ?? 0, predicted[at] ?? 0, place);
      else if (kind === WORD) bytes.word({ predicted, at, made, madeAt: target }, place);
      else this.#codeReference(item, target, from + at - this.#oldStart);
    }
  }

  /** A reference in a block that is not as predicted. */
  #codeReference(item: number, madeAt: number, oldAt: number): void {
    const models = this.#models, bytes = this.#bytes, made = this.#made, predicted = this.#predicted, old = this.#old;
    const at = this.#at[item] ?? 0, kind = this.#kind[item] ?? PLAIN, length = this.#length[item] ?? 4;
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
    const at = this.#at[item] ?? 0, kind = this.#kind[item] ?? PLAIN, length = this.#length[item] ?? 4, context = this.#context[item] ?? 0;
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
    const scanner = this.#scanner, kind = this.#kind[item] ?? PLAIN;
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
