// Reads the exact tar of a committed layer at any place, out of its tar-split and its files, with little memory and few open files.
//
// Kept per file with content: where it begins in the tar, how much content comes before it, where its name stands. Headers and names are
// kept packed (see packed-bytes.ts): a layer of 50,000 files takes some 5 MB, not the 50 MB of its headers.
import { closeSync, fstatSync, openSync } from 'node:fs';
import { textOf } from '../archive/byte-string.ts';
import type { ByteView } from '../delta/bytes.ts';
import { openFiles } from '../kernel/index.ts';
import { corrupt, errnoOf, kindOf, messageOf } from '../lib/errors.ts';
import type { LayerFiles } from './index.ts';
import { FILES_AHEAD, OpenFiles, type PageCache, type Wanted } from './open-files.ts';
import { BlockCache, PackedBytes } from './packed-bytes.ts';
import { openResolver } from './resolve.ts';
import { openRegular, readTarSplit } from './tarsplit.ts';

/** What the views of one job share. Dispose of it after them. */
export interface ViewShare extends Disposable {
  readonly files: PageCache;
  readonly open: OpenFiles;
  readonly blocks: BlockCache;
  /** Runs what opens a file by its path: a process that lives in another root steps out for it. */
  outside<T>(run: () => T): T;
}

export function openViewShare(options: { files?: PageCache; outside?<T>(run: () => T): T } = {}): ViewShare {
  const files = options.files ?? openFiles();
  const [open, blocks] = [new OpenFiles(files), new BlockCache()];
  return {
    files, open, blocks,
    outside: (run) => (options.outside ? options.outside(run) : run()),
    [Symbol.dispose]() { open[Symbol.dispose](); blocks[Symbol.dispose](); },
  };
}

/**
 * Reads the layer's tar-split once, from beginning to end; its files only when they are asked for. A file that is missing, has another size
 * or cannot be read is `corrupt`, with layer and file in the message; what else may have changed in it is not noticed. What was read
 * leaves the page cache. `share` is for several views in turn; without it the view has one of its own.
 */
export function openLayerView(layer: LayerFiles, options: { share?: ViewShare } = {}): ByteView & Disposable {
  const own = options.share ? undefined : openViewShare();
  const share = options.share ?? own ?? openViewShare();
  try {
    const view = new LayerView(layer, share);
    return { sizeBytes: view.sizeBytes, read: (position, into, range) => view.read(position, into, range), [Symbol.dispose]: () => own?.[Symbol.dispose]() };
  } catch (error) {
    own?.[Symbol.dispose]();
    throw error;
  }
}

/** Larger ones have the kernel's own read-ahead. */
const AHEAD_BYTES = 128 << 10;
/** So many files may be passed over. */
const IN_ORDER = 4;

class LayerView {
  sizeBytes = 0;
  readonly #layer: LayerFiles;
  readonly #share: ViewShare;
  readonly #resolve: (name: string) => string | Buffer;
  /** Of each file with content: where it begins in the tar. */
  #starts = new Float64Array(64);
  /** How many bytes of content come before it; one more entry than there are files. */
  #before = new Float64Array(65);
  /** Where its name begins among the names; one more entry likewise. */
  #nameStarts = new Uint32Array(65);
  #count = 0;
  readonly #segments: PackedBytes;
  readonly #names: PackedBytes;
  /** Where the last read ended: the next one mostly goes on there. */
  #last = 0;
  /** The file that was read last, and the first that has not been read ahead. */
  #lastFile = -1;
  #aheadTo = 0;

  constructor(layer: LayerFiles, share: ViewShare) {
    this.#layer = layer;
    this.#share = share;
    this.#resolve = openResolver(layer.diffPath);
    this.#segments = new PackedBytes(share.blocks);
    this.#names = new PackedBytes(share.blocks);
    this.#load();
  }

  read(position: number, into: Buffer, { start, end }: { start: number; end: number }): void {
    if (position < 0 || position + end - start > this.sizeBytes) throw corrupt(`bytes ${position} to ${position + end - start} are asked of ${this.sizeBytes} of layer ${this.#layer.diffId}`);
    let index = this.#indexAt(position);
    for (let at = start; at < end;) {
      const from = position + at - start;
      while (index + 1 < this.#count && (this.#starts[index + 1] ?? 0) <= from) index++;
      const contentStart = index < 0 ? 0 : this.#starts[index] ?? 0;
      const contentBefore = this.#before[index + 1] ?? 0;
      const contentEnd = index < 0 ? 0 : contentStart + contentBefore - (this.#before[index] ?? 0);
      const stop = from < contentEnd ? contentEnd : index + 1 < this.#count ? this.#starts[index + 1] ?? 0 : this.sizeBytes;
      const range = { start: at, end: Math.min(end, at + stop - from) };
      if (from < contentEnd) this.#content(index, from - contentStart, into, range);
      else this.#segments.read(from - contentBefore, into, range);
      at = range.end;
    }
    this.#last = Math.max(0, index);
  }

  /** The last file that begins at or before `position`; -1 before the first. */
  #indexAt(position: number): number {
    const start = (index: number) => (index < this.#count ? this.#starts[index] ?? 0 : Infinity);
    if (this.#count === 0 || position < start(0)) return -1;
    if (start(this.#last) <= position && position < start(this.#last + 1)) return this.#last;
    let [low, high] = [0, this.#count - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (start(middle) <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #content(index: number, offset: number, into: Buffer, range: { start: number; end: number }): void {
    this.#readAhead(index);
    try {
      const n = this.#share.open.read(this.#file(index), offset, into, range);
      if (n < range.end - range.start) throw corrupt(`${textOf(this.#name(index))} became shorter`);
    } catch (error) {
      const [message, shown] = [messageOf(error), textOf(this.#name(index))];
      throw isOfProcess(error) ? error : this.#broken(message.includes(shown) ? message : `${shown}: ${message}`, error);
    }
  }

  #file(index: number): Wanted { return { owner: this, index, open: () => this.#share.outside(() => this.#open(index)) }; }

  /** Whoever goes from one file to the next or nearly so goes on like that: layers are mostly read in their order. */
  #readAhead(index: number): void {
    if (index === this.#lastFile) return;
    const isInOrder = index > this.#lastFile && index <= this.#lastFile + IN_ORDER;
    this.#lastFile = index;
    if (!isInOrder) this.#aheadTo = 0;
    if (!isInOrder || this.#aheadTo > index + FILES_AHEAD / 2) return;
    const from = Math.max(index, this.#aheadTo);
    this.#aheadTo = Math.min(this.#count, index + FILES_AHEAD);
    this.#share.open.readAhead(this.#smallFiles(from, this.#aheadTo));
  }

  *#smallFiles(from: number, to: number): Generator<Wanted> {
    for (let index = from; index < to; index++) if ((this.#before[index + 1] ?? 0) - (this.#before[index] ?? 0) <= AHEAD_BYTES) yield this.#file(index);
  }

  #open(index: number): number {
    const name = this.#name(index);
    const shown = textOf(name);
    const wantBytes = (this.#before[index + 1] ?? 0) - (this.#before[index] ?? 0);
    const fd = openRegular(this.#resolve, { name, shown });
    const { size } = fstatSync(fd);
    if (size === wantBytes) return fd;
    closeSync(fd);
    throw corrupt(`${shown} has ${size} bytes and had ${wantBytes} when its layer was extracted`);
  }

  #name(index: number): string {
    const [start, end] = [this.#nameStarts[index] ?? 0, this.#nameStarts[index + 1] ?? 0];
    const bytes = Buffer.allocUnsafe(end - start);
    this.#names.read(start, bytes, { start: 0, end: bytes.length });
    return bytes.toString('latin1');
  }

  #load(): void {
    try {
      const path = this.#layer.tarSplitPath;
      for (const entry of readTarSplit(path, (fd) => this.#share.files.dropCache(fd), () => this.#share.outside(() => openSync(path, 'r')))) {
        if (entry.type === 'segment') { this.#segments.append(entry.bytes); this.sizeBytes += entry.bytes.length; }
        else if (entry.sizeBytes > 0) this.#add(entry.name, entry.sizeBytes);
      }
    } catch (error) {
      throw isOfProcess(error) ? error : this.#broken(messageOf(error), error);
    }
    this.#starts = this.#starts.slice(0, this.#count);
    this.#before = this.#before.slice(0, this.#count + 1);
    this.#nameStarts = this.#nameStarts.slice(0, this.#count + 1);
    this.#segments.seal();
    this.#names.seal();
  }

  #add(name: string, sizeBytes: number): void {
    if (this.#count === this.#starts.length) this.#grow();
    this.#names.append(Buffer.from(name, 'latin1'));
    this.#starts[this.#count] = this.sizeBytes;
    this.sizeBytes += sizeBytes;
    this.#count++;
    this.#before[this.#count] = (this.#before[this.#count - 1] ?? 0) + sizeBytes;
    this.#nameStarts[this.#count] = this.#names.length;
  }

  #grow(): void {
    const starts = new Float64Array(this.#count * 2), before = new Float64Array(this.#count * 2 + 1), nameStarts = new Uint32Array(this.#count * 2 + 1);
    starts.set(this.#starts);
    before.set(this.#before);
    nameStarts.set(this.#nameStarts);
    [this.#starts, this.#before, this.#nameStarts] = [starts, before, nameStarts];
  }

  #broken(reason: string, cause?: unknown): Error { return corrupt(`layer ${this.#layer.diffId} is damaged: ${reason}`, { cause }); }
}

/** Not the layer's fault. What the disk says of it (EIO) is: the layer cannot be had. */
const isOfProcess = (error: unknown): boolean => kindOf(error) !== 'corrupt' && ['EMFILE', 'ENFILE', 'ENOMEM', undefined].includes(errnoOf(error));
