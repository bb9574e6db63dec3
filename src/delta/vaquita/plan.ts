// Decides where the content of each entry of a target layer comes from, and which layers of the base are needed at all.
import { corrupt } from '../../lib/errors.ts';
import type { ByteView } from '../bytes.ts';
import { hashContent, readThrough, type BaseIndex } from './base.ts';
import { KeyIndex } from './key-index.ts';
import { pathOf } from './names.ts';
import { padded, walkTar, type Entry } from './tar-entries.ts';

/** An entry of the target; `number` counts them. */
export interface PlannedEntry extends Entry {
  what: 'entry';
  number: number;
  path: string;
  /** The content: none, the base's (its first entry with it), an earlier one's, or new (and what entry of the base it may be a version of). */
  content: { kind: 'none' } | { kind: 'base'; first: number; crc: number } | { kind: 'again'; number: number } | { kind: 'fresh'; alike: number; crc: number };
}

/** Bytes of the target's tar that are no entries, or not as a tar should be. */
export interface OpaqueRun { what: 'opaque'; startBytes: number; endBytes: number }

export interface Plan {
  items: ReadonlyArray<PlannedEntry | OpaqueRun>;
  entries: number;
  /** Zeros at the end. */
  zeroBytes: number;
  freshBytes: number;
  /** Which layers of the base are used. */
  layers: readonly boolean[];
}

/** A layer that lends nothing but headers is used when it lends as many as this. */
const WORTHWHILE_HEADERS = 16;
/** How much of a file is looked at to find what it is like. */
const LOOK_BYTES = 4 << 20;
/** Files that share fewer places are not alike. */
const MIN_PLACES = 2;

export function planLayer(target: ByteView, base: BaseIndex, onProgress?: (atBytes: number) => void): Plan {
  const planner = new Planner(target, base);
  const end = walkTar(target, Number.MAX_SAFE_INTEGER, (entry) => {
    planner.add(entry);
    onProgress?.(entry.contentBytes + entry.sizeBytes);
  });
  return planner.finish(end.atBytes);
}

class Planner {
  readonly #target: ByteView;
  readonly #base: BaseIndex;
  readonly #items: Array<PlannedEntry | OpaqueRun> = [];
  readonly #own = new KeyIndex();
  readonly #needed: boolean[];
  readonly #headers: number[];
  #entries = 0;
  #freshBytes = 0;

  constructor(target: ByteView, base: BaseIndex) {
    this.#target = target;
    this.#base = base;
    this.#needed = base.layers.map(() => false);
    this.#headers = base.layers.map(() => 0);
  }

  add(entry: Entry): void {
    const end = entry.contentBytes + padded(entry.sizeBytes);
    if (!isZero(this.#target, entry.contentBytes + entry.sizeBytes, end)) {
      this.#addOpaque(entry.startBytes, end);
      return;
    }
    const header = Buffer.alloc(entry.contentBytes - entry.startBytes);
    this.#target.read(entry.startBytes, header, { start: 0, end: header.length });
    const path = pathOf(header), like = this.#base.named(path).next().value;
    if (like !== undefined) {
      const layer = this.#base.entries.layerOf(like);
      this.#headers[layer] = (this.#headers[layer] ?? 0) + 1;
    }
    const number = this.#entries++;
    this.#items.push({ what: 'entry', number, path, ...entry, content: this.#content(entry, { like, number }) });
  }

  finish(atBytes: number): Plan {
    const end = lastByte(this.#target, atBytes);
    if (end > atBytes) this.#addOpaque(atBytes, end);
    return {
      items: this.#items, entries: this.#entries, zeroBytes: this.#target.sizeBytes - Math.max(end, atBytes), freshBytes: this.#freshBytes,
      layers: this.#needed.map((needed, layer) => needed || (this.#headers[layer] ?? 0) >= WORTHWHILE_HEADERS),
    };
  }

  #content(entry: Entry, { like, number }: { like: number | undefined; number: number }): PlannedEntry['content'] {
    if (entry.sizeBytes === 0) return { kind: 'none' };
    const { key, crc } = hashContent(entry.sizeBytes, (position, { into, start, end }) => { this.#target.read(entry.contentBytes + position, into, { start, end }); });
    const first = this.#base.withContent(key);
    if (first !== undefined) {
      this.#need(like !== undefined && this.#base.firstLike(like) === first ? like : first);
      return { kind: 'base', first, crc };
    }
    const before = this.#own.all(key).next().value;
    if (before !== undefined) return { kind: 'again', number: before };
    this.#own.add(key, number);
    this.#freshBytes += entry.sizeBytes;
    return { kind: 'fresh', alike: this.#look({ fromBytes: entry.contentBytes, sizeBytes: entry.sizeBytes, like }), crc };
  }

  #addOpaque(startBytes: number, endBytes: number): void {
    this.#freshBytes += endBytes - startBytes;
    this.#look({ fromBytes: startBytes, sizeBytes: endBytes - startBytes, like: undefined });
    const last = this.#items.at(-1);
    if (last?.what === 'opaque' && last.endBytes === startBytes) last.endBytes = endBytes;
    else this.#items.push({ what: 'opaque', startBytes, endBytes });
  }

  /** The file of the base that the beginning of this is most like, `like` unless another is much more so; -1 for none. Notes which layers have something of all of it. */
  #look({ fromBytes, sizeBytes, like }: { fromBytes: number; sizeBytes: number; like: number | undefined }): number {
    let best = like !== undefined && this.#base.entries.sizeBytes(like) > 0 ? like : -1;
    for (let at = 0; at < sizeBytes; at += LOOK_BYTES) {
      const count = this.#base.sketch.count();
      readThrough(Math.min(LOOK_BYTES, sizeBytes - at), (position, { into, start, end }) => { this.#target.read(fromBytes + at + position, into, { start, end }); }, count.take);
      const alike = count.alike(), most = alike[0]?.places ?? 0;
      for (const { file, places } of alike) if (places >= MIN_PLACES && places * 10 >= most) this.#need(file);
      if (at > 0 || most < MIN_PLACES) continue;
      const named = best < 0 ? -1 : this.#base.firstLike(best), shared = alike.find(({ file }) => file === named)?.places ?? 0;
      if (shared * 2 < most) best = alike[0]?.file ?? -1;
    }
    if (best >= 0) this.#need(best);
    return best;
  }

  #need(entry: number): void { this.#needed[this.#base.entries.layerOf(entry)] = true; }
}

/** Where the last byte that is not zero ends, not before `from`. */
function lastByte(view: ByteView, from: number): number {
  let end = from, at = from;
  readThrough(view.sizeBytes - from, (position, { into, start, end: to }) => { view.read(from + position, into, { start, end: to }); }, (bytes, start, to) => {
    for (let i = to - 1; i >= start; i--) {
      if (bytes[i] === 0) continue;
      end = at + i + 1 - start;
      break;
    }
    at += to - start;
  });
  return end;
}

const block = Buffer.alloc(512);

function isZero(view: ByteView, start: number, end: number): boolean {
  if (end - start > block.length) throw corrupt(`padding of ${end - start} bytes`);
  if (end > start) view.read(start, block, { start: 0, end: end - start });
  return block.subarray(0, end - start).every((byte) => byte === 0);
}
