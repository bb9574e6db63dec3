// Makes librsync deltas: what of a base is where, and through it the deltas of any number of targets.
import type { ByteView, Output } from '../bytes.ts';
import { Differ, type Progress } from './diff.ts';
import { Pages } from './pages.ts';
import { MAX_INDEXED_BYTES, Places } from './places.ts';
import { SHINGLE_BYTES, Sampler } from './sampler.ts';

export interface RsyncIndex {
  /** A bare delta that makes `target` of the base. Its memory is used again for the next one. Error: corrupt (a view is not what it was). */
  diff(target: ByteView, output: Output, onProgress?: Progress): void;
}

export interface IndexOptions {
  /** What index, cache and buffers together may take; at least MIN_MEMORY_BYTES are. */
  memoryBytes: number;
  /** How much of the base has been read, and its size. */
  onProgress?: Progress | undefined;
}

const MIN_MEMORY_BYTES = 16 << 20;
/** Of the memory: the table of places. The pages of the base have the rest, without what window and buffers need. */
const TABLE_SHARE = 0.55, BUFFERS_BYTES = 6 << 20;
const READ_BYTES = 1 << 20;

/** Reads the whole base once, from its beginning to its end. */
export function indexBase(base: ByteView, { memoryBytes, onProgress }: IndexOptions): RsyncIndex {
  const memory = Math.max(MIN_MEMORY_BYTES, memoryBytes);
  const places = new Places(base.sizeBytes, memory * TABLE_SHARE);
  fill(places, base, onProgress);
  const pages = new Pages(base, memory - places.memoryBytes - BUFFERS_BYTES);
  return {
    diff: (target, output, onProgress) => { new Differ({ places, pages, target, output, onProgress }).run(); },
  };
}

function fill(places: Places, base: ByteView, onProgress: Progress | undefined): void {
  const total = Math.min(base.sizeBytes, MAX_INDEXED_BYTES);
  const sampler = new Sampler(places.rateLog, 'base');
  const kept = SHINGLE_BYTES - 1; // of the piece before: shingles lie across the border
  const buffer = Buffer.allocUnsafeSlow(kept + READ_BYTES);
  for (let done = 0; done < total;) {
    const n = Math.min(READ_BYTES, total - done);
    base.read(done, buffer, { start: kept, end: kept + n });
    let at = kept;
    if (done === 0) {
      at = 2 * kept;
      if (n > kept) sampler.restart(buffer, kept);
    }
    for (const end = kept + n; (at = sampler.next(buffer, at, end)) < end; at++) places.add(buffer, at - kept, done + at - 2 * kept);
    buffer.copyWithin(0, n, n + kept);
    done += n;
    onProgress?.(done, total);
  }
  places.settle();
}
