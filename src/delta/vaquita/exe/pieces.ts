// Which part of a large old file a piece of the new one is most like: sampled short runs of bytes are looked up, and the part that has most of them wins.
import type { ReadBytes } from './align-files.ts';

const RUN_BYTES = 24;
const FACTOR = 0x2f0b4a27;
const FACTOR_OF_RUN = Array.from({ length: RUN_BYTES }).reduce<number>((power) => Math.imul(power, FACTOR), 1);
/** One of so many places is a sample, by what stands there. */
const SAMPLE_BITS = 7;
const WINDOW_BYTES = 1 << 20;
const EMPTY = 0xffffffff, AMBIGUOUS = 0xfffffffe;

export class PieceFinder {
  readonly #oldBytes: number;
  readonly #mask: number;
  readonly #keys: Uint32Array;
  readonly #places: Uint32Array;

  constructor(readOld: ReadBytes, oldBytes: number) {
    let bits = 10;
    while (2 ** bits < oldBytes / 2 ** (SAMPLE_BITS - 1)) bits++;
    this.#oldBytes = oldBytes;
    this.#mask = 2 ** bits - 1;
    this.#keys = new Uint32Array(2 ** bits);
    this.#places = new Uint32Array(2 ** bits).fill(EMPTY);
    const window = Buffer.allocUnsafeSlow(WINDOW_BYTES);
    for (let from = 0; from + RUN_BYTES <= oldBytes; from += WINDOW_BYTES - RUN_BYTES + 1) {
      const part = window.subarray(0, Math.min(WINDOW_BYTES, oldBytes - from));
      readOld(from, part);
      forSamples(part, (hash, at) => this.#add(hash, from + at));
    }
  }

  /** Where the part of `partBytes` bytes begins that has most in common with the piece, which stands at `from` of `newBytes`. */
  find(piece: Uint8Array, partBytes: number, { from, newBytes }: { from: number; newBytes: number }): number {
    const places: number[] = [];
    forSamples(piece, (hash) => {
      const slot = this.#slot(hash), place = this.#places[slot] ?? EMPTY;
      if (this.#keys[slot] === hash && place < AMBIGUOUS) places.push(place);
    });
    const sorted = Uint32Array.from(places).sort();
    let best = 0, first = 0, last = 0;
    for (let low = 0, high = 0; low < sorted.length; low++) {
      while (high < sorted.length && (sorted[high] ?? 0) < (sorted[low] ?? 0) + partBytes - RUN_BYTES) high++;
      if (high - low <= best) continue;
      best = high - low;
      first = sorted[low] ?? 0;
      last = sorted[high - 1] ?? 0;
    }
    // In the middle of what was found; without anything, where the piece is in its own file.
    const middle = best > 0 ? (first + last) / 2 : (from + piece.length / 2) / newBytes * this.#oldBytes;
    return Math.max(0, Math.min(this.#oldBytes - partBytes, Math.floor(middle - partBytes / 2)));
  }

  #add(hash: number, place: number): void {
    const slot = this.#slot(hash), known = this.#places[slot] ?? EMPTY;
    if (known !== EMPTY) {
      if (this.#keys[slot] === hash) this.#places[slot] = AMBIGUOUS;
      return;
    }
    this.#keys[slot] = hash;
    this.#places[slot] = place;
  }

  #slot(hash: number): number { return Math.imul(hash, 0x85ebca6b) >>> 7 & this.#mask; }
}

/** Tells the places whose bytes make them samples, with the hash of those bytes. */
function forSamples(bytes: Uint8Array, take: (hash: number, at: number) => void): void {
  let hash = 0;
  for (let k = 0; k < bytes.length; k++) {
    hash = Math.imul(hash, FACTOR) + (bytes[k] ?? 0) + 1 | 0;
    if (k >= RUN_BYTES) hash = hash - Math.imul(FACTOR_OF_RUN, (bytes[k - RUN_BYTES] ?? 0) + 1) | 0;
    if (k >= RUN_BYTES - 1 && Math.imul(hash, 0x9e3779b1) >>> 32 - SAMPLE_BITS === 0) take(hash >>> 0, k - RUN_BYTES + 1);
  }
}
