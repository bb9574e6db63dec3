// Makes deltas of layers against a base.
import { crc32 } from 'node:zlib';
import type { ByteView, Output } from '../bytes.ts';
import { BaseIndex, hashContent, type BaseLayer } from './base.ts';
import { ContentWriter } from './content-writer.ts';
import { Check, FRAME, neededMemory, uint32, varint, writeFrame, type Limits, type VaquitaHeader } from './format.ts';
import { Executables, isElf, type PreparedPatch } from './executables.ts';
import { FrameWriter } from './frame-writer.ts';
import { HeaderCodec, KIND, MAX_PIECES, MAX_PIECES_PER_FRAME, type Piece, type WantedEntry } from './headers.ts';
import { planLayer, type OpaqueRun, type Plan, type PlannedEntry } from './plan.ts';
import { Encoder } from './range-coder.ts';
import { findRuns } from './runs.ts';
import { Sketch, type Range } from './sketch.ts';
import { Sources } from './sources.ts';

export interface VaquitaBase {
  /** Puts out the delta of one layer; the same input gives the same bytes. `sources`: the layers that applying it reads. Errors: corrupt (a tar is not what it was), those of `output`. */
  make(target: BaseLayer, output: Output, onProgress?: (currentBytes: number) => void): { sources: string[] };
}

export interface MakeOptions {
  /** What making may take in all. */
  memoryBytes: number;
  /** How much of the base is read. */
  onProgress?: ((currentBytes: number, totalBytes: number) => void) | undefined;
}

/** What devices allow for applying a delta, unless they are told otherwise (--delta-apply-memory): none is made that needs more. */
const APPLY_BYTES = 64 << 20;
const CONTENT_BYTES = 4 << 20, LEAST_CONTENT_BYTES = 64 << 10, WAITING_BYTES = 10 << 20, HEADERS_BYTES = 2 << 20, PATCHES_BYTES = 24 << 20;
/** So much below a power of two the window of a frame is that power, and not the next one. */
const WINDOW_SLACK_BYTES = 16;
/** Patches of executables larger than this may need more than what frames of the full size leave them. */
const LARGE_EXECUTABLE_BYTES = 1 << 20;

/** The most that frames are made to need; a decoder takes what the delta declares. Little memory for making makes small frames: packing takes 30 times the content of one. */
function mostFor(memoryBytes: number, { hasLargeExecutables, ...about }: Pick<VaquitaHeader, 'target' | 'sources'> & { hasLargeExecutables: boolean }): Limits {
  const largest = hasLargeExecutables ? CONTENT_BYTES / 2 : CONTENT_BYTES;
  const content = Math.max(LEAST_CONTENT_BYTES, Math.min(largest, 2 ** Math.floor(Math.log2(memoryBytes / 80))));
  const limits = { waiting: WAITING_BYTES, content: content - WINDOW_SLACK_BYTES, dictionary: 2 * content, headers: HEADERS_BYTES, patches: 0 };
  return { ...limits, patches: Math.max(0, Math.min(PATCHES_BYTES, APPLY_BYTES - neededMemory({ ...about, limits }))) };
}
/** Entries of one frame, and where a frame of headers ends at the latest: one more entry must still fit. */
const MAX_ENTRIES = 2048, FULL_HEADER_BYTES = 1 << 20;
/** So much of patches is kept before what came up to now is written. */
const FULL_LITERAL_BYTES = 4 << 20;
/** Files up to this are taken into a dictionary as a whole when a file of that name changed. */
const SMALL_FILE_BYTES = 65536;

/** Files from this on are looked through for long runs that are the base's, of so many bytes at least. */
const LARGE_FILE_BYTES = 1 << 20, LEAST_RUN_BYTES = 65536;
/** Up to this a frame holds all of a file, and packs it better as a whole unless nearly all of it is in runs. */
const HUGE_FILE_BYTES = 8 << 20, NEARLY_ALL = 0.9;
/** What lies around a place between two runs is taken into a dictionary with so much on both sides. */
const GAP_MARGIN_BYTES = 16384;

/** Reads the base once and keeps an index of it; `make` can be called for one layer after another. */
export function openVaquitaBase(sources: readonly BaseLayer[], options: MakeOptions): VaquitaBase {
  const base = new BaseIndex(sources, options);
  return {
    make(target, output, onProgress) {
      const plan = planLayer(target.tar, base, onProgress && ((at) => { onProgress(Math.floor(at / 2)); }));
      const making = new Making({ base, plan, target, output, options });
      making.run(onProgress && ((at) => { onProgress(Math.floor((target.tar.sizeBytes + at) / 2)); }));
      onProgress?.(target.tar.sizeBytes);
      return { sources: base.layers.filter((_layer, index) => plan.layers[index]).map(({ diffId }) => diffId) };
    },
  };
}

interface CheckedPiece extends Piece { crc: number }

interface MakingNeeds { base: BaseIndex; plan: Plan; target: BaseLayer; output: Output; options: MakeOptions }

class Making {
  readonly #base: BaseIndex;
  readonly #plan: Plan;
  readonly #target: ByteView;
  /** The layers that are used, with entries numbered through. */
  readonly #entries: Sources;
  readonly #codec: HeaderCodec;
  readonly #frames: FrameWriter;
  readonly #content: ContentWriter;
  readonly #own: Sketch;
  readonly #planned: readonly PlannedEntry[];
  readonly #executables: Executables;
  /** Patches of the entries that are being written, by their numbers. */
  readonly #patches = new Map<number, PreparedPatch & { source: number }>();
  /** Likewise entries that are made of pieces. */
  readonly #pieces = new Map<number, readonly CheckedPiece[]>();
  /** Where in the stream of new content each new file of this layer ends. */
  readonly #ends = new Map<number, number>();
  /** For each layer of the base what its entries' numbers are less when only used layers are counted; undefined for one that is not used. */
  readonly #shifts: ReadonlyArray<number | undefined>;
  readonly #usedShifts: readonly number[];
  #lastCopy = -1;

  constructor({ base, plan, target, output, options }: MakingNeeds) {
    const used = base.layers.filter((_layer, index) => plan.layers[index]);
    this.#base = base;
    this.#plan = plan;
    this.#target = target.tar;
    this.#entries = new Sources(used);
    this.#planned = plan.items.filter((item) => item.what === 'entry');
    this.#codec = new HeaderCodec(this.#entries, (index) => this.#planned[index]?.sizeBytes ?? 0);
    const sources = used.map(({ diffId, tar, index }) => ({ diffId, tarBytes: tar.sizeBytes, entries: index.count }));
    const about = { target: { diffId: target.diffId, tarBytes: target.tar.sizeBytes, entries: plan.entries }, sources };
    const hasLargeExecutables = this.#planned.some(({ content, contentBytes, sizeBytes }) => content.kind === 'fresh' && content.alike >= 0
      && base.entries.sizeBytes(content.alike) > LARGE_EXECUTABLE_BYTES && isElf(base.entries.view(content.alike)) && isElf(part(target.tar, contentBytes, sizeBytes)));
    const most = mostFor(options.memoryBytes, { ...about, hasLargeExecutables });
    this.#frames = new FrameWriter(about, most, output);
    this.#content = new ContentWriter(this.#frames, { limits: { contentBytes: most.content, dictionaryBytes: most.dictionary }, read: (pick, into, at) => { this.#readPick(pick, { into, at }); } });
    this.#executables = new Executables({ memoryBytes: options.memoryBytes / 2, decoderBytes: most.patches, waitingBytes: most.waiting - most.content });
    let skipped = 0;
    this.#shifts = base.layers.map(({ index }, layer) => {
      if (plan.layers[layer] === true) return skipped;
      skipped += index.count;
      return undefined;
    });
    this.#usedShifts = this.#shifts.filter((shift) => shift !== undefined);
    this.#own = new Sketch(plan.freshBytes, options.memoryBytes / 8);
  }

  run(onProgress?: (atBytes: number) => void): void {
    let batch: PlannedEntry[] = [], headerBytes = 0;
    const flush = () => {
      if (batch.length > 0) this.#writeEntries(batch);
      for (const entry of batch) this.#addContent(entry);
      onProgress?.(batch.at(-1)?.contentBytes ?? 0);
      [batch, headerBytes] = [[], 0];
    };
    for (const item of this.#plan.items) {
      if (item.what === 'opaque') {
        flush();
        this.#addOpaque(item);
        continue;
      }
      batch.push(item);
      headerBytes += item.contentBytes - item.startBytes;
      if (!this.#preparePatch(item)) this.#preparePieces(item);
      const literalBytes = [...this.#patches.values()].reduce((sum, { literals }) => sum + literals.length, 0);
      if (batch.length >= MAX_ENTRIES || headerBytes >= FULL_HEADER_BYTES || literalBytes >= FULL_LITERAL_BYTES) flush();
    }
    flush();
    this.#content.cut();
    this.#frames.end(varint(this.#plan.zeroBytes));
  }

  #writeEntries(batch: readonly PlannedEntry[]): void {
    const encoder = new Encoder(), check = new Check();
    const patchesAt: number[] = [];
    let crc = 0, headerBytes = 0, contentEnd = this.#content.at;
    for (const entry of batch) {
      const wanted = this.#wanted(entry);
      this.#codec.code(encoder, wanted);
      crc = crc32(wanted.header, crc);
      headerBytes += wanted.header.length;
      const patch = this.#patches.get(entry.number);
      if (patch !== undefined) patchesAt.push(contentEnd);
      const pieces = this.#pieces.get(entry.number) ?? [];
      if (entry.content.kind === 'base' || (entry.content.kind === 'fresh' && patch !== undefined)) check.add(entry.content.crc);
      for (const { crc: of } of pieces) check.add(of);
      if (entry.content.kind === 'fresh') contentEnd += patch?.literals.length ?? entry.sizeBytes - pieces.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    }
    const checked = check.count > 0;
    const frame = writeFrame(FRAME.entries, varint(batch.length * 2 + (checked ? 1 : 0)), uint32(crc), checked ? check.bytes() : Buffer.alloc(0), encoder.finish());
    this.#content.behind(() => { this.#frames.entries(frame, { headerBytes, contentEnd, patchesAt }); });
  }

  #wanted(entry: PlannedEntry): WantedEntry {
    const header = Buffer.alloc(entry.contentBytes - entry.startBytes);
    this.#target.read(entry.startBytes, header, { start: 0, end: header.length });
    const { content, sizeBytes } = entry, pieces = this.#pieces.get(entry.number) ?? [];
    const named = this.#like(entry), source = content.kind === 'base' ? this.#copySource(content.first, named.like) : -1;
    const { like, renamed } = named.like < 0 && source >= 0 && this.#hasHeader(source) ? { like: source, renamed: true } : named;
    const fields = { header, like, renamed, sizeBytes, pieces };
    switch (content.kind) {
      case 'none': return { ...fields, kind: KIND.same, source: -1 };
      case 'base':
        if (source === like) return { ...fields, kind: KIND.same, source };
        this.#lastCopy = source;
        return { ...fields, kind: KIND.copy, source };
      case 'again': return { ...fields, kind: KIND.again, source: content.number };
      case 'fresh': {
        const patch = this.#patches.get(entry.number);
        if (patch === undefined) return { ...fields, kind: pieces.length > 0 ? KIND.pieces : KIND.fresh, source: -1 };
        this.#lastCopy = patch.source;
        return { ...fields, kind: KIND.patch, source: patch.source };
      }
      default: return content satisfies never;
    }
  }

  /** The entry of the base that a header is like: that of its name, the one that was renamed as the last one was, the one that its content is like. */
  #like({ path, content }: PlannedEntry): { like: number; renamed: boolean } {
    const named = this.#usedEntry(path);
    if (named >= 0) return { like: named, renamed: false };
    const former = this.#codec.formerPath(path), before = former === undefined ? -1 : this.#usedEntry(former);
    if (before >= 0) return { like: before, renamed: true };
    const alike = content.kind === 'fresh' ? this.#numberOf(content.alike) : -1;
    return { like: alike >= 0 && this.#hasHeader(alike) ? alike : -1, renamed: true };
  }

  /** The topmost entry of that name in the layers that are used. */
  #usedEntry(path: string): number {
    for (const entry of this.#base.named(path)) {
      const number = this.#numberOf(entry);
      if (number >= 0) return number;
    }
    return -1;
  }

  /** Of all entries with the content whose first one is `first`, the one that is cheapest to name. */
  #copySource(first: number, like: number): number {
    for (const near of [like, this.#lastCopy + 1]) {
      const entry = near >= 0 ? this.#originalOf(near) : -1;
      if (entry >= 0 && this.#base.firstLike(entry) === first) return near;
    }
    return this.#numberOf(first);
  }

  #preparePatch(entry: PlannedEntry): boolean {
    if (entry.content.kind !== 'fresh' || entry.content.alike < 0) return false;
    const source = this.#numberOf(entry.content.alike), made = part(this.#target, entry.contentBytes, entry.sizeBytes);
    const patch = source < 0 ? undefined : this.#executables.prepare({ old: this.#entries.view(source), made });
    if (patch !== undefined) this.#patches.set(entry.number, { ...patch, source });
    return patch !== undefined;
  }

  #preparePieces(entry: PlannedEntry): void {
    if (entry.content.kind !== 'fresh' || entry.sizeBytes < LARGE_FILE_BYTES) return;
    const runs = findRuns(part(this.#target, entry.contentBytes, entry.sizeBytes), {
      sketch: this.#base.sketch, mayUse: (file) => this.#numberOf(file) >= 0, open: (file) => this.#base.entries.view(file), leastBytes: Math.max(LEAST_RUN_BYTES, entry.sizeBytes / MAX_PIECES),
    });
    if (entry.sizeBytes < HUGE_FILE_BYTES && runs.reduce((sum, { bytes }) => sum + bytes, 0) < entry.sizeBytes * NEARLY_ALL) return;
    let end = 0;
    const pieces = runs.map(({ at, file, from, bytes }): CheckedPiece => {
      const freshBytes = at - end, { crc } = hashContent(bytes, (position, { into, start, end: to }) => { this.#base.entries.read(file, from + position, { into, start, end: to }); });
      end = at + bytes;
      return { freshBytes, source: this.#numberOf(file), fromBytes: from, sizeBytes: bytes, crc };
    });
    const others = [...this.#pieces.values()].reduce((sum, { length }) => sum + length, 0);
    if (pieces.length > 0 && others + pieces.length <= MAX_PIECES_PER_FRAME) this.#pieces.set(entry.number, pieces);
  }

  #addContent(entry: PlannedEntry): void {
    if (entry.content.kind !== 'fresh') return;
    const patch = this.#patches.get(entry.number);
    if (patch !== undefined) {
      this.#patches.delete(entry.number);
      this.#addPatch(patch);
      return;
    }
    const pieces = this.#pieces.get(entry.number);
    if (pieces !== undefined) {
      this.#pieces.delete(entry.number);
      this.#addBetween(entry, pieces);
      return;
    }
    const own = this.#own.add(entry.number), like = this.#usedEntry(entry.path);
    this.#addFresh({ fromBytes: entry.contentBytes, sizeBytes: entry.sizeBytes }, like, (bytes) => { own(bytes, 0, bytes.length); });
    this.#ends.set(entry.number, this.#content.at);
  }

  /** What is new between runs of the base; its dictionary has what stands in the base between them. */
  #addBetween(entry: PlannedEntry, pieces: readonly CheckedPiece[]): void {
    let at = 0, old = { file: -1, end: 0 };
    const add = (bytes: number) => {
      const near: Range[] = old.file < 0 ? [] : [{ file: old.file, from: Math.max(0, old.end - GAP_MARGIN_BYTES), to: Math.min(this.#entries.sizeBytes(old.file), old.end + Math.min(bytes, LEAST_RUN_BYTES) + GAP_MARGIN_BYTES) }];
      this.#addFresh({ fromBytes: entry.contentBytes + at, sizeBytes: bytes, near }, -1);
    };
    for (const { freshBytes, source, fromBytes, sizeBytes } of pieces) {
      add(freshBytes);
      at += freshBytes + sizeBytes;
      old = { file: source, end: fromBytes + sizeBytes };
    }
    add(entry.sizeBytes - at);
  }

  /** New content of an executable has the old one for its dictionary, there where it would be. */
  #addPatch({ payload, literals, memoryBytes, source }: PreparedPatch & { source: number }): void {
    const oldBytes = this.#entries.sizeBytes(source);
    for (let at = 0; at < literals.length;) {
      const bytes = literals.subarray(at, Math.min(literals.length, at + this.#content.room));
      const window = Math.min(oldBytes, Math.max(65536, Math.min(2 << 20, 16 * bytes.length))), middle = oldBytes * ((at + bytes.length / 2) / literals.length);
      const from = Math.max(0, Math.min(oldBytes - window, Math.floor(middle - window / 2)));
      if (this.#content.add(bytes, [{ file: source, from, to: from + window }])) at += bytes.length;
    }
    this.#content.behind(() => { this.#frames.patch(payload, memoryBytes); });
  }

  #addOpaque({ startBytes, endBytes }: OpaqueRun): void {
    const contentEnd = this.#content.at + endBytes - startBytes, frame = writeFrame(FRAME.opaque, varint(endBytes - startBytes));
    this.#content.behind(() => { this.#frames.entries(frame, { headerBytes: 0, contentEnd, patchesAt: [] }); });
    this.#addFresh({ fromBytes: startBytes, sizeBytes: endBytes - startBytes }, -1);
  }

  #addFresh({ fromBytes, sizeBytes, near = [] }: { fromBytes: number; sizeBytes: number; near?: readonly Range[] }, like: number, took?: (bytes: Buffer) => void): void {
    for (let at = 0; at < sizeBytes;) {
      const bytes = Buffer.alloc(Math.min(sizeBytes - at, this.#content.room));
      this.#target.read(fromBytes + at, bytes, { start: 0, end: bytes.length });
      if (!this.#content.add(bytes, [...near, ...this.#rangesFor(bytes, like)])) continue;
      took?.(bytes);
      at += bytes.length;
    }
  }

  /** What content is like, of the base and of this layer's files that are there when its frame is opened. */
  #rangesFor(bytes: Buffer, like: number): Range[] {
    const count = this.#entries.count, small = like >= 0 && this.#entries.sizeBytes(like) <= SMALL_FILE_BYTES && this.#entries.sizeBytes(like) > 0;
    const ranges = this.#base.sketch.cover(bytes, {
      prefer: like < 0 ? -1 : this.#base.firstLike(this.#originalOf(like)), mayUse: (file) => this.#numberOf(file) >= 0, sizeBytes: (file) => this.#base.entries.sizeBytes(file),
    }).map((range) => ({ ...range, file: this.#numberOf(range.file) }));
    if (small && !ranges.some(({ file }) => file === like)) ranges.push({ file: like, from: 0, to: this.#entries.sizeBytes(like) });
    const own = this.#own.cover(bytes, {
      prefer: -1, mayUse: (file) => (this.#ends.get(file) ?? Infinity) <= this.#content.frameStart, sizeBytes: (file) => this.#planned[file]?.sizeBytes ?? 0,
    });
    return [...ranges, ...own.map((range) => ({ ...range, file: count + range.file }))];
  }

  #readPick({ entry, from, to }: { entry: number; from: number; to: number }, { into, at }: { into: Buffer; at: number }): void {
    const range = { into, start: at, end: at + to - from }, own = this.#planned[entry - this.#entries.count];
    if (own === undefined) this.#entries.read(entry, from, range);
    else this.#target.read(own.contentBytes + from, into, range);
  }

  /** Number of an entry of the whole base among those of the layers that are used; -1 when its layer is not. */
  #numberOf(entry: number): number {
    const shift = entry < 0 ? undefined : this.#shifts[this.#base.entries.layerOf(entry)];
    return shift === undefined ? -1 : entry - shift;
  }

  /** The other way round. */
  #originalOf(number: number): number {
    return number < this.#entries.count ? number + (this.#usedShifts[this.#entries.layerOf(number)] ?? 0) : -1;
  }

  #hasHeader(number: number): boolean { return this.#entries.header(number).length > 0; }
}

/** Part of what can be read. */
function part(view: ByteView, from: number, sizeBytes: number): ByteView {
  return { sizeBytes, read: (position, into, range) => { view.read(from + position, into, range); } };
}
