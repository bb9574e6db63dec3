// What a delta has made of its layer's tar so far, to copy from again: the contents of files, read back out of the files themselves.
//
// Headers are not kept: they are cheaper to make again than to remember. Runs where the layer is extracted, inside of its directory.
import { constants, fstatSync, lstatSync, openSync } from 'node:fs';
import { pathOf, textOf } from '../archive/byte-string.ts';
import type { TarEntry, TarHandler } from '../archive/tar-read.ts';
import type { ByteView } from '../delta/bytes.ts';
import { corrupt, errnoOf, messageOf } from '../lib/errors.ts';
import { cleanPath } from './extract-names.ts';
import type { ViewShare } from './layer-view.ts';
import { PackedBytes } from './packed-bytes.ts';

/** An extraction that tells of the entry at work. */
export interface Storing extends TarHandler {
  /** Descriptor of the file that the last entry's content goes to as it stands in the archive; undefined when it goes nowhere, or not so. */
  readonly storing: number | undefined;
}

export class MadeFiles implements ByteView {
  readonly #share: ViewShare;
  /** Bytes of the tar that have been taken in; the beginning of a header counts when all of it is here. */
  #position = 0;
  #count = 0;
  #starts = new Float64Array(64);
  #ends = new Float64Array(64);
  /** A name of the archive may lead to something else later on; the number of the inode tells. */
  #inodes = new Float64Array(64);
  #nameStarts = new Uint32Array(65);
  readonly #names: PackedBytes;

  constructor(share: ViewShare) {
    this.#share = share;
    this.#names = new PackedBytes(share.blocks);
  }

  get sizeBytes(): number { return this.#position; }

  /** Passes everything on to the extraction and notes where contents go. */
  noting(extraction: Storing): TarHandler {
    return {
      raw: (bytes, start, end) => { this.#position += end - start; extraction.raw(bytes, start, end); },
      entry: (entry) => {
        extraction.entry(entry);
        if (extraction.storing !== undefined) this.#add(entry, extraction.storing);
      },
      data: (bytes, start, end) => { extraction.data(bytes, start, end); this.#position += end - start; },
      hole: (bytes) => extraction.hole(bytes),
      entryEnd: () => extraction.entryEnd(),
    };
  }

  /** Error: corrupt, when that is not all contents of files that are as they were made. */
  read(position: number, into: Buffer, { start, end }: { start: number; end: number }): void {
    if (position < 0 || position + end - start > this.#position) throw corrupt(`bytes ${position} to ${position + end - start} of the layer are asked for after ${this.#position}`);
    if (start === end) return;
    const index = this.#indexAt(position);
    const [from, to] = [this.#starts[index] ?? 0, this.#ends[index] ?? 0];
    if (index < 0 || position + end - start > to) throw corrupt(`bytes ${position} to ${position + end - start} of the layer are no content of one file`);
    const n = this.#share.open.read({ owner: this, index, open: () => this.#open(index) }, position - from, into, { start, end });
    if (n < end - start) throw corrupt(`${textOf(this.#name(index))} became shorter after it was made`);
  }

  #open(index: number): number {
    const name = this.#name(index);
    try {
      const path = pathOf(cleanPath(name));
      const stat = lstatSync(path); // before it is opened: in its place there may be a device that does things then
      if (stat.isFile() && stat.ino === this.#inodes[index]) return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'ENAMETOOLONG'].includes(errnoOf(error) ?? '')) throw error;
      throw corrupt(`${textOf(name)} cannot be read again: ${messageOf(error)}`, { cause: error });
    }
    throw corrupt(`${textOf(name)} cannot be read again: something else has taken its place`);
  }

  /** The last file that begins at or before `position`; -1 before the first. */
  #indexAt(position: number): number {
    let [low, high] = [-1, this.#count - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] ?? 0) <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #name(index: number): string {
    const [start, end] = [this.#nameStarts[index] ?? 0, this.#nameStarts[index + 1] ?? 0];
    const bytes = Buffer.allocUnsafe(end - start);
    this.#names.read(start, bytes, { start: 0, end: bytes.length });
    return bytes.toString('latin1');
  }

  #add({ name, sizeBytes }: TarEntry, fd: number): void {
    if (this.#count === this.#starts.length) this.#grow();
    this.#names.append(Buffer.from(name, 'latin1'));
    this.#starts[this.#count] = this.#position;
    this.#ends[this.#count] = this.#position + sizeBytes;
    this.#inodes[this.#count] = fstatSync(fd).ino;
    this.#count++;
    this.#nameStarts[this.#count] = this.#names.length;
  }

  #grow(): void {
    const larger = (old: Float64Array) => { const grown = new Float64Array(old.length * 2); grown.set(old); return grown; };
    [this.#starts, this.#ends, this.#inodes] = [larger(this.#starts), larger(this.#ends), larger(this.#inodes)];
    const names = new Uint32Array(this.#nameStarts.length * 2);
    names.set(this.#nameStarts);
    this.#nameStarts = names;
  }
}
