// The base's layers as the delta counts them: all entries of all layers, one layer behind the other.
import { corrupt } from '../../lib/errors.ts';
import type { ByteView } from '../bytes.ts';
import type { BaseEntries } from './headers.ts';
import { pathOf } from './names.ts';
import { indexTar, type TarIndex } from './tar-entries.ts';

export interface OpenSource { diffId: string; tar: ByteView; index: TarIndex }

/** Walks the tar of a base layer that must have `entries` of them. */
export function openSource({ diffId, tarBytes, entries }: { diffId: string; tarBytes: number; entries: number }, tar: ByteView): OpenSource {
  if (tar.sizeBytes !== tarBytes) throw corrupt(`base layer ${diffId} has ${tar.sizeBytes} bytes, not the ${tarBytes} it had when the delta was made`);
  const index = indexTar(tar, entries);
  if (index.count !== entries) throw corrupt(`base layer ${diffId} has not the ${entries} entries that it had when the delta was made`);
  return { diffId, tar, index };
}

export class Sources implements BaseEntries {
  readonly #sources: readonly OpenSource[];
  /** Number of the first entry of each. */
  readonly #firsts: number[] = [];
  readonly count: number;
  #header = Buffer.alloc(4096);

  constructor(sources: readonly OpenSource[]) {
    this.#sources = sources;
    let count = 0;
    for (const { index } of sources) {
      this.#firsts.push(count);
      count += index.count;
    }
    this.count = count;
  }

  sizeBytes(index: number): number {
    const { source, local } = this.#find(index);
    return source.index.sizeBytes(local);
  }

  header(index: number): Buffer {
    const { source, local } = this.#find(index), { startBytes, contentBytes } = source.index.entry(local), bytes = contentBytes - startBytes;
    if (bytes > this.#header.length) this.#header = Buffer.alloc(bytes);
    source.tar.read(startBytes, this.#header, { start: 0, end: bytes });
    return this.#header.subarray(0, bytes);
  }

  /** Reads content of an entry. Error: corrupt, when that reaches beyond its end. */
  read(index: number, position: number, { into, start, end }: { into: Buffer; start: number; end: number }): void {
    const { source, local } = this.#find(index), { contentBytes, sizeBytes } = source.index.entry(local);
    if (position < 0 || position + (end - start) > sizeBytes) throw corrupt(`the delta names bytes ${position} to ${position + end - start} of ${this.name(index)}, which has ${sizeBytes}`);
    source.tar.read(contentBytes + position, into, { start, end });
  }

  /** Content of an entry. */
  view(index: number): ByteView {
    return { sizeBytes: this.sizeBytes(index), read: (position, into, { start, end }) => { this.read(index, position, { into, start, end }); } };
  }

  /** For words. */
  name(index: number): string {
    const { source } = this.#find(index), header = this.header(index);
    return `${header.length === 0 ? 'the end' : JSON.stringify(pathOf(header))} of base layer ${source.diffId}`;
  }

  /** Which layer an entry belongs to. */
  layerOf(index: number): number {
    let [low, high] = [0, this.#firsts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#firsts[middle] ?? 0) <= index) low = middle;
      else high = middle - 1;
    }
    return low; // not one without entries: the next one begins where it does
  }

  firstOf(layer: number): number { return this.#firsts[layer] ?? this.count; }

  #find(index: number): { source: OpenSource; local: number } {
    const layer = this.layerOf(index), source = this.#sources[layer];
    if (source === undefined || index < 0 || index >= this.count) throw corrupt(`the delta names entry ${index} of ${this.count} of its base`);
    return { source, local: index - (this.#firsts[layer] ?? 0) };
  }
}
