// What the maker of deltas knows of a base: its entries, where each name and each content stands, and a sketch of all content.
import { createHash, hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ByteView } from '../bytes.ts';
import { KeyIndex } from './key-index.ts';
import { pathOf, plainPath } from './names.ts';
import { Sketch } from './sketch.ts';
import { Sources, type OpenSource } from './sources.ts';
import { indexTar } from './tar-entries.ts';

export interface BaseLayer { diffId: string; tar: ByteView }

/** Of the memory that is allowed, the sketch of the base takes one part in so many. */
const SKETCH_SHARE = 4;
const READ_BYTES = 1 << 20;

export class BaseIndex {
  readonly layers: readonly OpenSource[];
  readonly entries: Sources;
  readonly sketch: Sketch;
  readonly #paths = new KeyIndex();
  readonly #contents = new KeyIndex();
  /** For each entry the first one with the same content; -1 for none. */
  readonly #firsts: Int32Array;

  constructor(layers: readonly BaseLayer[], { memoryBytes, onProgress }: { memoryBytes: number; onProgress?: ((currentBytes: number, totalBytes: number) => void) | undefined }) {
    this.layers = layers.map(({ diffId, tar }) => ({ diffId, tar, index: indexTar(tar, Number.MAX_SAFE_INTEGER) }));
    this.entries = new Sources(this.layers);
    const totalBytes = layers.reduce((sum, { tar }) => sum + tar.sizeBytes, 0);
    this.sketch = new Sketch(totalBytes, memoryBytes / SKETCH_SHARE);
    this.#firsts = new Int32Array(this.entries.count).fill(-1);
    let before = 0, entry = 0;
    for (const { tar, index } of this.layers) {
      for (let local = 0; local < index.count; local++, entry++) {
        this.#add(entry);
        onProgress?.(before + index.entry(local).contentBytes, totalBytes);
      }
      before += tar.sizeBytes;
      onProgress?.(before, totalBytes);
    }
  }

  /** Entries of that name, the topmost first. */
  named(path: string): Generator<number, undefined> { return this.#paths.all(keyOfPath(path)); }

  /** The first entry with that content; undefined when there is none. */
  withContent(key: Buffer): number | undefined { return this.#contents.all(key).next().value; }

  /** The first entry with the same content as this one; -1 when it has none. */
  firstLike(entry: number): number { return this.#firsts[entry] ?? -1; }

  #add(entry: number): void {
    const header = this.entries.header(entry), sizeBytes = this.entries.sizeBytes(entry);
    if (header.length > 0) this.#paths.add(keyOfPath(pathOf(header)), entry);
    if (sizeBytes === 0) return;
    const { key } = hashContent(sizeBytes, (position, range) => { this.entries.read(entry, position, range); });
    const first = this.withContent(key);
    this.#firsts[entry] = first ?? entry;
    if (first !== undefined) return;
    this.#contents.add(key, entry);
    const keep = this.sketch.add(entry);
    readThrough(sizeBytes, (position, range) => { this.entries.read(entry, position, range); }, keep);
  }
}

export type ReadRange = (position: number, range: { into: Buffer; start: number; end: number }) => void;

const buffer = Buffer.alloc(READ_BYTES);

/** Content in pieces, through one buffer. */
export function readThrough(sizeBytes: number, read: ReadRange, take: (bytes: Buffer, start: number, end: number) => void): void {
  for (let at = 0; at < sizeBytes; at += READ_BYTES) {
    const n = Math.min(READ_BYTES, sizeBytes - at);
    read(at, { into: buffer, start: 0, end: n });
    take(buffer, 0, n);
  }
}

/** A key that no other content has, and the checksum that deltas have of it. */
export function hashContent(sizeBytes: number, read: ReadRange): { key: Buffer; crc: number } {
  const sha256 = createHash('sha256');
  let crc = 0;
  readThrough(sizeBytes, read, (bytes, start, end) => {
    sha256.update(bytes.subarray(start, end));
    crc = crc32(bytes.subarray(start, end), crc);
  });
  return { key: sha256.digest(), crc };
}

const keyOfPath = (path: string) => hash('sha256', plainPath(path), 'buffer');
