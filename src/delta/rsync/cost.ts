// What a literal costs once the delta is compressed: an estimate as gzip would see it, good enough to tell whether a COPY is cheaper.
import { widthIndex } from './wire.ts';

/** gzip looks back so far. */
const HISTORY_BYTES = 32 << 10;
const RING_BYTES = 2 * HISTORY_BYTES;
const MIN_MATCH = 4;
const HASH_BITS = 15;
/** Of a match in gzip: length and distance, mostly. */
const MATCH_BITS = 20;
/** Counts are halved after so many bytes, so that prices follow the content. */
const MEMORY_BYTES = 16 << 10;
/** Of a COPY: its opcode, and each byte of its numbers, which do not compress. Measured on the pairs of bench/delta, as all prices here. */
const OPCODE_BITS = 4, NUMBER_BITS = 8.5;
/** A literal that begins anew: its opcode, and what gzip loses by the interruption. */
const RESUME_BITS = 12;

/** `alone`: a literal stands in front of it, and one comes behind it. */
export function copyBits({ position, length, alone }: { position: number; length: number; alone: boolean }): number {
  return OPCODE_BITS + NUMBER_BITS * ((1 << widthIndex(position)) + (1 << widthIndex(length))) + (alone ? RESUME_BITS : 0);
}

export class LiteralPrices {
  /** The last literals, each byte at its number modulo the ring's size. */
  readonly #ring = new Uint8Array(RING_BYTES);
  #count = 0;
  /** Of four bytes: the number of the first one where they stood last, plus one. */
  readonly #last = new Float64Array(1 << HASH_BITS);
  readonly #counts = new Float64Array(256).fill(1);
  readonly #bits = new Float64Array(256).fill(6);
  #counted = 0;

  /** These bytes are, or are about to become, literals. */
  learn(bytes: Uint8Array, start: number, end: number): void {
    for (let i = start; i < end; i++) {
      const byte = bytes[i] ?? 0;
      this.#ring[this.#count % RING_BYTES] = byte;
      this.#count++;
      this.#counts[byte] = (this.#counts[byte] ?? 0) + 1;
      if (++this.#counted === MEMORY_BYTES) this.#reprice();
      if (i + 1 - start >= MIN_MATCH) this.#last[hash(bytes, i + 1 - MIN_MATCH)] = this.#count - MIN_MATCH + 1;
    }
  }

  /** Bits that these bytes would take as literals now; stops counting at `enough`. */
  bitsOf(bytes: Uint8Array, { start, end }: { start: number; end: number }, enough: number): number {
    let bits = 0;
    for (let i = start; i < end && bits < enough;) {
      const length = end - i >= MIN_MATCH ? this.#matchAt(bytes, i, end) : 0;
      if (length >= MIN_MATCH) {
        bits += Math.min(MATCH_BITS, length * 5);
        i += length;
      } else bits += this.#bits[bytes[i++] ?? 0] ?? 8;
    }
    return bits;
  }

  #matchAt(bytes: Uint8Array, at: number, end: number): number {
    const number = (this.#last[hash(bytes, at)] ?? 0) - 1;
    if (number < 0 || number < this.#count - HISTORY_BYTES) return 0;
    const known = this.#count - number;
    let length = 0;
    while (at + length < end && length < known && this.#ring[(number + length) % RING_BYTES] === bytes[at + length]) length++;
    if (length === known) while (at + length < end && bytes[at + length] === bytes[at + length - known]) length++; // reaches into itself
    return length;
  }

  #reprice(): void {
    let total = 0;
    for (let i = 0; i < 256; i++) total += this.#counts[i] ?? 0;
    for (let i = 0; i < 256; i++) {
      this.#bits[i] = Math.min(12, Math.max(1, Math.log2(total / (this.#counts[i] ?? 1))));
      this.#counts[i] = Math.max(1, (this.#counts[i] ?? 0) / 2);
    }
    this.#counted = 0;
  }
}

function hash(bytes: Uint8Array, at: number): number {
  const word = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
  return Math.imul(word, 0x9e37_79b1) >>> (32 - HASH_BITS);
}
