// Bytes one after another out of pieces of any length, for formats that are read byte by byte.
import { corrupt } from '../lib/errors.ts';

export class ByteSource {
  readonly #pieces: Iterator<Buffer>;
  readonly #what: string;
  #piece: Buffer = Buffer.alloc(0);
  #at = 0;

  /** Pieces need to be valid until the next one is asked for. `what` is named in errors. */
  constructor(pieces: Iterable<Buffer>, what: string) {
    this.#pieces = pieces[Symbol.iterator]();
    this.#what = what;
  }

  /** The next byte; -1 at the end. */
  poll(): number {
    while (this.#at === this.#piece.length) {
      const next = this.#pieces.next();
      if (next.done === true) return -1;
      this.#piece = next.value;
      this.#at = 0;
    }
    return this.#piece[this.#at++] ?? -1;
  }

  /** The next byte, which must be there. */
  byte(): number {
    if (this.#at < this.#piece.length) return this.#piece[this.#at++] ?? 0;
    const value = this.poll();
    if (value < 0) throw corrupt(`${this.#what}: unexpected end`);
    return value;
  }

  bytes(count: number): Buffer {
    const result = Buffer.alloc(count);
    for (let i = 0; i < count; i++) result[i] = this.byte();
    return result;
  }
}
