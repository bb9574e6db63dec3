// Chooses places in a stream by what stands there, so that the same bytes are chosen wherever they stand, and tells them apart.
//
// A place is chosen when the hash of the 16 bytes up to it begins with some zero bits: one place of 8 (or 16, 32 …) in a base, and the
// same ones in a target, are all that is looked up. Blocks at fixed places (as rsync has them) would have to be looked up at every byte.

/** So many bytes are hashed, and no match is shorter. */
export const SHINGLE_BYTES = 16;
/** Bytes that repeat themselves may never be chosen. After so many the base takes one all the same, and the target takes every one. */
export const PATIENCE_BYTES = 128;

/** Random numbers that never change: two processes must choose alike only within one run, but equal input shall give equal deltas. */
const GEAR = Int32Array.from({ length: 256 }, (_none, i) => mix(Math.imul(i + 1, 0x9e37_79b1)));

function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return h ^ (h >>> 16);
}

export class Sampler {
  readonly #shift: number;
  /** How soon the next place comes among bytes that repeat themselves. */
  readonly #everyBytes: number;
  #hash = 0;
  #patience = PATIENCE_BYTES;

  /** One of 2^`rateLog` places is chosen. */
  constructor(rateLog: number, side: 'base' | 'target') {
    this.#shift = 32 - rateLog;
    this.#everyBytes = side === 'base' ? PATIENCE_BYTES : 1;
  }

  /** Forgets what it saw; `from` to `from + SHINGLE_BYTES - 1` is read, and the next place asked for is behind that. */
  restart(bytes: Uint8Array, from: number): void {
    let hash = 0;
    for (let i = from; i < from + SHINGLE_BYTES - 1; i++) hash = ((hash << 2) + (GEAR[bytes[i] ?? 0] ?? 0)) | 0;
    this.#hash = hash;
    this.#patience = PATIENCE_BYTES;
  }

  /** The first chosen place from `from` on: the last byte of a shingle. `to` when there is none before it. Every byte must be shown once, in order. */
  next(bytes: Uint8Array, from: number, to: number): number {
    const limit = Math.min(to, from + this.#patience);
    const shift = this.#shift;
    let hash = this.#hash;
    for (let i = from; i < limit; i++) {
      hash = ((hash << 2) + (GEAR[bytes[i] ?? 0] ?? 0)) | 0; // two bits a byte: sixteen bytes, then one has left it
      if (hash >>> shift !== 0) continue;
      this.#hash = hash;
      this.#patience = PATIENCE_BYTES;
      return i;
    }
    this.#hash = hash;
    this.#patience -= limit - from;
    if (this.#patience > 0) return to;
    this.#patience = this.#everyBytes;
    return limit - 1;
  }
}

/** Two hashes of the shingle at `at`, of 32 and of 16 bits, that have nothing to do with each other. */
export function fingerprint(bytes: Uint8Array, at: number, into: Int32Array): void {
  const a = word(bytes, at), b = word(bytes, at + 4), c = word(bytes, at + 8), d = word(bytes, at + 12);
  const x = mix(Math.imul(a, 0x2c1b_3c6d) ^ Math.imul(b, 0x297a_2d39) ^ (c >>> 3));
  const y = mix((Math.imul(c, 0x1656_67b1) + Math.imul(d, 0x27d4_eb2f) + x) | 0);
  into[0] = y;
  into[1] = mix(x ^ Math.imul(y, 0x1656_67b1) ^ b) & 0xffff;
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
}
