// Where an address of the old file went: as learned from references before, as the hints and the alignment say, or as its neighbourhood did.
import { newArrays, type Arrays } from './arena.ts';
import { MAX_SPREAD, spanAt, type ElfImage, type Span } from './elf.ts';
import type { Hint, Regions } from './regions.ts';

/** Shorter regions say too little. */
const MIN_REGION_BYTES = 8;
const MIN_SLOT_BITS = 8, MAX_SLOT_BITS = 18;
const MAX_INT32 = 2 ** 31;

/** How an address was projected: contexts of the coder, so these numbers are part of the format. */
const SURE = 0, LEARNED = 1, ALIGNED = 2, NEAR_64 = 3, NEAR_4096 = 4, GUESSED = 5, ELSEWHERE = 6;

/** Bytes of memory a mapper takes. */
export function mapperBytes(oldBytes: number, counts: { regions: number; hints: number }): number {
  return (2 << slotBits(oldBytes)) * 17 + counts.regions * (RANGE_BYTES + SORT_BYTES) + counts.hints * RANGE_BYTES;
}
const RANGE_BYTES = 12;
/** While the ranges are made. */
const SORT_BYTES = 8;

/** One slot for sixteen bytes of code, roughly. */
function slotBits(oldBytes: number): number {
  let bits = MIN_SLOT_BITS;
  while (bits < MAX_SLOT_BITS && 16 * 2 ** bits < oldBytes) bits++;
  return bits;
}

interface Alignment { readonly regions: Regions; readonly hints: readonly Hint[]; readonly segments: readonly Span[] }

export class Mapper {
  /** How sure the last projection is. */
  confidence = SURE;
  /** The lowest address of the old image. */
  readonly low: number;
  readonly #hints: Ranges;
  readonly #regions: Ranges;
  /** Slots for addresses met in code, then as many for those met in data. */
  readonly #mask: number;
  readonly #keys: Uint32Array;
  readonly #deltas: Int32Array;
  readonly #counts: Uint8Array;
  /** The same for pieces of 64 and of 4096 bytes. */
  readonly #nearKeys: Uint32Array;
  readonly #nearDeltas: Int32Array;

  constructor(image: ElfImage, alignment: Alignment, { oldBytes, arrays = newArrays }: { oldBytes: number; arrays?: Arrays | undefined }) {
    const slots = 2 ** slotBits(oldBytes);
    this.low = image.low;
    this.#hints = rangesOfHints(alignment.hints, image.low, arrays);
    this.#regions = rangesOfRegions(image, alignment, arrays);
    this.#mask = slots - 1;
    this.#keys = arrays.words(2 * slots);
    this.#deltas = arrays.integers(2 * slots);
    this.#counts = arrays.bytes(2 * slots);
    this.#nearKeys = arrays.words(2 * slots);
    this.#nearDeltas = arrays.integers(2 * slots);
  }

  /** The new address; `data` is 1 for a reference in data, 0 for one in code. */
  project(address: number, data: number): number {
    const key = (address - this.low) >>> 0, slots = this.#mask + 1, own = data * slots, other = slots - own;
    const slot = hash(key) & this.#mask, count = this.#keys[own + slot] === key ? this.#counts[own + slot] ?? 0 : 0;
    if (count > 0) {
      this.confidence = count > 1 ? SURE : LEARNED;
      return address + (this.#deltas[own + slot] ?? 0);
    }
    const hint = this.#hints.find(key);
    if (hint !== undefined) {
      this.confidence = ALIGNED;
      return address + hint;
    }
    const region = this.#regions.find(key);
    if (region !== undefined) {
      this.confidence = ALIGNED;
      return address + region;
    }
    if (this.#keys[other + slot] === key && (this.#counts[other + slot] ?? 0) > 0) {
      this.confidence = ELSEWHERE;
      return address + (this.#deltas[other + slot] ?? 0);
    }
    return address + this.#near(key, own);
  }

  #near(key: number, own: number): number {
    const small = key >>> 6, smallSlot = own + (hash(small) & this.#mask);
    if (this.#nearKeys[smallSlot] === small) {
      this.confidence = NEAR_64;
      return this.#nearDeltas[smallSlot] ?? 0;
    }
    const large = (key >>> 12) + LARGE, largeSlot = own + (hash(large) & this.#mask);
    if (this.#nearKeys[largeSlot] === large) {
      this.confidence = NEAR_4096;
      return this.#nearDeltas[largeSlot] ?? 0;
    }
    this.confidence = GUESSED;
    return this.#regions.before();
  }

  /** `address` turned out to have become `to`. */
  learn(address: number, to: number, data: number): void {
    const delta = to - address;
    if (delta < -MAX_INT32 || delta >= MAX_INT32) return;
    const key = (address - this.low) >>> 0, own = data * (this.#mask + 1), slot = own + (hash(key) & this.#mask);
    const count = this.#counts[slot] ?? 0;
    if (this.#keys[slot] === key && count > 0 && this.#deltas[slot] === delta) {
      if (count < 255) this.#counts[slot] = count + 1;
    } else {
      this.#keys[slot] = key;
      this.#deltas[slot] = delta;
      this.#counts[slot] = 1;
    }
    const small = key >>> 6, smallSlot = own + (hash(small) & this.#mask);
    this.#nearKeys[smallSlot] = small;
    this.#nearDeltas[smallSlot] = delta;
    const large = (key >>> 12) + LARGE, largeSlot = own + (hash(large) & this.#mask);
    this.#nearKeys[largeSlot] = large;
    this.#nearDeltas[largeSlot] = delta;
  }
}

/** Keys of large pieces are above those of small ones. */
const LARGE = 0x5bd1e995;
const hash = (key: number): number => Math.imul(key, 0x9e3779b1) >>> 8;

/** Sorted ranges that do not overlap, of addresses above the lowest, each with what it is moved by. */
class Ranges {
  readonly #count: number;
  readonly #starts: Uint32Array;
  readonly #ends: Uint32Array;
  readonly #deltas: Int32Array;
  /** The last range that begins at or before what was asked last; -1: none does. */
  #at = -1;

  constructor(ranges: { count: number; starts: Uint32Array; ends: Uint32Array; deltas: Int32Array }) {
    this.#count = ranges.count;
    this.#starts = ranges.starts;
    this.#ends = ranges.ends;
    this.#deltas = ranges.deltas;
  }

  /** What the range of `key` is moved by; undefined: it is in none. */
  find(key: number): number | undefined {
    const starts = this.#starts;
    let at = this.#at;
    if (at < 0 || (starts[at] ?? 0) > key || (at + 1 < this.#count && (starts[at + 1] ?? 0) <= key)) {
      let low = 0, high = this.#count;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if ((starts[middle] ?? 0) <= key) low = middle + 1;
        else high = middle;
      }
      this.#at = at = low - 1;
    }
    return at >= 0 && key < (this.#ends[at] ?? 0) ? this.#deltas[at] ?? 0 : undefined;
  }

  /** What the range in front of the last key asked for is moved by; for keys in front of all ranges the first one, without ranges 0. */
  before(): number {
    return this.#deltas[Math.max(0, this.#at)] ?? 0;
  }
}

const rangesOfLength = (length: number, arrays: Arrays) => ({ count: 0, starts: arrays.words(length), ends: arrays.words(length), deltas: arrays.integers(length) });

/** Hints outside of the image or beyond 32 bits are of no use. */
function rangesOfHints(hints: readonly Hint[], low: number, arrays: Arrays): Ranges {
  const ranges = rangesOfLength(hints.length, arrays);
  for (const { start, end, delta } of hints) {
    if (start < low || end > low + 2 * MAX_SPREAD || delta < -MAX_INT32 || delta >= MAX_INT32) continue;
    ranges.starts[ranges.count] = start - low;
    ranges.ends[ranges.count] = end - low;
    ranges.deltas[ranges.count++] = delta;
  }
  return new Ranges(ranges);
}

/** Regions as addresses. Of two that overlap the longer keeps what it has. */
function rangesOfRegions(image: ElfImage, { regions, segments }: Alignment, arrays: Arrays): Ranges {
  const order = sortedByOldPlace(regions, arrays), ranges = rangesOfLength(order.length, arrays);
  const { starts, ends, deltas } = ranges, old = image.anchors.segments;
  for (const k of order) {
    const oldAt = regions.oldAt[k] ?? 0, newAt = regions.newAt[k] ?? 0, from = spanAt(old, oldAt), to = spanAt(segments, newAt);
    if (from === undefined || to === undefined) continue;
    const address = oldAt - from.offset + from.address, end = address - image.low + (regions.bytes[k] ?? 0);
    const delta = newAt - to.offset + to.address - address;
    if (delta < -MAX_INT32 || delta >= MAX_INT32) continue;
    let start = address - image.low;
    const last = ranges.count - 1, lastEnd = ends[last] ?? 0;
    if (last >= 0 && lastEnd > start) {
      if (end <= lastEnd) continue;
      if (lastEnd - (starts[last] ?? 0) >= end - start) start = lastEnd;
      else ends[last] = start;
    }
    if (end <= start) continue;
    starts[ranges.count] = start;
    ends[ranges.count] = end;
    deltas[ranges.count++] = delta;
  }
  return new Ranges(ranges);
}

/** Numbers of the regions that are long enough, by old place; of those at one place the longest first, then in their order. */
function sortedByOldPlace(regions: Regions, arrays: Arrays): Uint32Array {
  const { oldAt, bytes } = regions;
  let count = 0;
  for (let k = 0; k < regions.count; k++) if ((bytes[k] ?? 0) >= MIN_REGION_BYTES) count++;
  let order = arrays.words(count), next = arrays.words(count);
  for (let k = 0, n = 0; k < regions.count; k++) if ((bytes[k] ?? 0) >= MIN_REGION_BYTES) order[n++] = k;
  // A radix sort, least important byte first: it needs no more memory than the result again, and keeps the order of equals.
  const places = new Uint32Array(257);
  for (let pass = 0; pass < 8; pass++) {
    const shift = (pass & 3) * 8, digit = (k: number): number => (pass < 4 ? ~(bytes[k] ?? 0) : oldAt[k] ?? 0) >>> shift & 255;
    places.fill(0);
    for (const k of order) places[digit(k) + 1] = (places[digit(k) + 1] ?? 0) + 1;
    for (let d = 0; d < 256; d++) places[d + 1] = (places[d + 1] ?? 0) + (places[d] ?? 0);
    for (const k of order) {
      const place = places[digit(k)] ?? 0;
      next[place] = k;
      places[digit(k)] = place + 1;
    }
    [order, next] = [next, order];
  }
  return order;
}
