// Aligns files of any size with bounded memory: as a whole when they are small enough, otherwise in pieces of the new file, each with the part of the old one it is most like.
import { align, TextIndex } from './align.ts';
import { PieceFinder } from './pieces.ts';
import { RegionList, type Regions } from './regions.ts';
import { SUFFIX_BYTES_PER_BYTE } from './suffix-array.ts';

/** Fills `into` with what stands from a place on. */
export type ReadBytes = (from: number, into: Buffer) => void;
export interface Readers { readonly readOld: ReadBytes; readonly readNew: ReadBytes }

/** Of the memory: the rest is for everything that is not aligning. */
const SHARE = 0.7;
/** A piece of the new file is looked for in a part of the old one so many times as long. */
const PART_PER_PIECE = 1.5;

export class FileAligner implements Disposable {
  readonly #oldBytes: number;
  readonly #newBytes: number;
  readonly #partBytes: number;
  readonly #pieceBytes: number;
  readonly #order: Int32Array<ArrayBuffer>;
  readonly #part: Buffer;
  readonly #piece: Buffer;
  /** Where the part of the old file begins that belongs to each piece of the new one. */
  #parts: number[] | undefined;

  constructor({ oldBytes, newBytes, memoryBytes }: { oldBytes: number; newBytes: number; memoryBytes: number }) {
    this.#oldBytes = oldBytes;
    this.#newBytes = newBytes;
    const room = Math.floor(memoryBytes * SHARE), whole = oldBytes * (SUFFIX_BYTES_PER_BYTE + 1) + newBytes <= room;
    const partBytes = Math.floor(room / (SUFFIX_BYTES_PER_BYTE + 1 + 1 / PART_PER_PIECE));
    this.#partBytes = whole ? oldBytes : Math.min(oldBytes, partBytes);
    this.#pieceBytes = whole ? newBytes : Math.floor(partBytes / PART_PER_PIECE);
    this.#order = new Int32Array(this.#partBytes);
    this.#part = Buffer.allocUnsafeSlow(this.#partBytes);
    this.#piece = Buffer.allocUnsafeSlow(this.#pieceBytes);
    if (whole) this.#parts = [0];
  }

  /** Gives the memory back at once: the collector may let hundreds of megabytes lie. */
  [Symbol.dispose](): void {
    for (const { buffer } of [this.#order, this.#part, this.#piece]) if (buffer instanceof ArrayBuffer) buffer.transfer(0);
  }

  /** The alignment of what the readers tell of the two files. The first call decides which parts belong together, so it is to see the files as they are. */
  align({ readOld, readNew }: Readers): Regions {
    const list = new RegionList(), finder = this.#parts === undefined ? new PieceFinder(readOld, this.#oldBytes) : undefined;
    const parts = this.#parts ??= [];
    let partAt = -1, index: TextIndex | undefined;
    for (let k = 0, from = 0; from < this.#newBytes; k++, from += this.#pieceBytes) {
      const piece = this.#piece.subarray(0, Math.min(this.#pieceBytes, this.#newBytes - from));
      readNew(from, piece);
      const at = parts[k] ??= finder?.find(piece, this.#partBytes, { from, newBytes: this.#newBytes }) ?? 0;
      if (index === undefined || at !== partAt) {
        readOld(at, this.#part);
        index = new TextIndex(this.#part, this.#order);
        partAt = at;
      }
      align(index, piece, (newAt, oldAt, bytes) => list.add(from + newAt, at + oldAt, bytes));
    }
    return list.regions();
  }
}
