// Where the arrays for one file come from: new ones, or memory that was another file's before.
//
// Arrays lie outside of the runtime's heap, which has no reason to collect them for a long time: each of hundreds of patched files left megabytes.

/** Arrays of zeros. */
export interface Arrays {
  bytes(length: number): Buffer;
  words(length: number): Uint32Array;
  integers(length: number): Int32Array;
}

export const newArrays: Arrays = {
  bytes: (length) => Buffer.alloc(length),
  words: (length) => new Uint32Array(length),
  integers: (length) => new Int32Array(length),
};

/** So many bytes, of which those that nobody ever takes cost nothing; arrays that do not fit any more are new ones. */
export class Arena implements Arrays {
  readonly #memory: ArrayBuffer;
  #taken = 0;

  constructor(bytes: number) { this.#memory = new ArrayBuffer(bytes); }

  /** From here on all of it is given out again: arrays from before are not to be used any more. */
  reset(): void {
    new Uint8Array(this.#memory, 0, this.#taken).fill(0);
    this.#taken = 0;
  }

  bytes(length: number): Buffer {
    const at = this.#take(length);
    return at === undefined ? newArrays.bytes(length) : Buffer.from(this.#memory, at, length);
  }

  words(length: number): Uint32Array {
    const at = this.#take(length * Uint32Array.BYTES_PER_ELEMENT);
    return at === undefined ? newArrays.words(length) : new Uint32Array(this.#memory, at, length);
  }

  integers(length: number): Int32Array {
    const at = this.#take(length * Int32Array.BYTES_PER_ELEMENT);
    return at === undefined ? newArrays.integers(length) : new Int32Array(this.#memory, at, length);
  }

  #take(bytes: number): number | undefined {
    const at = Math.ceil(this.#taken / 8) * 8;
    if (at + bytes > this.#memory.byteLength) return undefined;
    this.#taken = at + bytes;
    return at;
  }
}
