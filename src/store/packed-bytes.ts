// Bytes put away packed, block by block, and read again at any place: a layer's headers are many and alike (50 MB of them become 3 MB).
import { openBlockCodec, type BlockCodec } from '../archive/compress.ts';
import { assert } from '../lib/errors.ts';

const BLOCK_BYTES = 64 * 1024;
/** Headers of one layer are read in order: a few blocks are enough for reading several layers, and names, in turn. */
const CACHED_BLOCKS = 6;
const LEVEL = 1;

/** Unpacked blocks, the last used first, and what packs and unpacks them: one for all that is read in turn. */
export class BlockCache implements Disposable {
  readonly codec: BlockCodec = openBlockCodec({ blockBytes: BLOCK_BYTES, level: LEVEL });
  readonly #held: Array<{ packed: Buffer; bytes: Buffer }> = [];

  unpacked(packed: Buffer): Buffer {
    const index = this.#held.findIndex((one) => one.packed === packed);
    const found = this.#held[index];
    if (found !== undefined) {
      if (index > 0) this.#held.unshift(...this.#held.splice(index, 1));
      return found.bytes;
    }
    const bytes = (this.#held.length < CACHED_BLOCKS ? undefined : this.#held.pop()?.bytes) ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
    this.codec.unpack(packed, bytes);
    this.#held.unshift({ packed, bytes });
    return bytes;
  }

  [Symbol.dispose](): void {
    this.codec.close();
    this.#held.length = 0;
  }
}

/** Appended to at its end; what was appended can be read at once. */
export class PackedBytes {
  readonly #cache: BlockCache;
  readonly #blocks: Buffer[] = [];
  /** The last block, not packed yet; it grows, since most layers have few headers. */
  #open: Buffer = Buffer.allocUnsafeSlow(1024);
  #openLength = 0;

  constructor(cache: BlockCache) { this.#cache = cache; }

  get length(): number { return this.#blocks.length * BLOCK_BYTES + this.#openLength; }

  append(bytes: Buffer, start = 0, end = bytes.length): void {
    for (let at = start; at < end;) {
      this.#makeRoom(Math.min(BLOCK_BYTES, this.#openLength + end - at));
      const n = bytes.copy(this.#open, this.#openLength, at, end);
      this.#openLength += n;
      at += n;
      if (this.#openLength < BLOCK_BYTES) continue;
      this.#blocks.push(this.#cache.codec.pack(this.#open, BLOCK_BYTES));
      this.#openLength = 0;
    }
  }

  /** Nothing more comes: gives back the memory that was kept for it. */
  seal(): void { if (this.#open.length > this.#openLength) this.#open = copyOf(this.#open, this.#openLength); }

  read(position: number, into: Buffer, { start, end }: { start: number; end: number }): void {
    assert(position >= 0 && position + end - start <= this.length, 'read what was put away');
    for (let at = start; at < end;) {
      const from = position + at - start;
      const index = Math.floor(from / BLOCK_BYTES);
      const packed = this.#blocks[index];
      const bytes = packed === undefined ? this.#open : this.#cache.unpacked(packed);
      const offset = from - index * BLOCK_BYTES;
      at += bytes.copy(into, at, offset, Math.min(BLOCK_BYTES, offset + end - at));
    }
  }

  #makeRoom(bytes: number): void {
    if (bytes <= this.#open.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES, Math.max(bytes, this.#open.length * 2)));
    this.#open.copy(larger, 0, 0, this.#openLength);
    this.#open = larger;
  }
}

function copyOf(bytes: Buffer, length: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(length);
  bytes.copy(copy, 0, 0, length);
  return copy;
}
