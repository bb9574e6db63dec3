// Gathers new content into frames, each with a dictionary of what its content is like, and keeps back the other frames that have to come behind it.
import { encodePicks, readDictionary, type Pick } from './picks.ts';
import { varint } from './format.ts';
import type { FrameWriter } from './frame-writer.ts';
import { pack } from './pack.ts';
import type { Range } from './sketch.ts';

export interface ContentLimits { contentBytes: number; dictionaryBytes: number }

/** Reads entries, those of this layer numbered on behind those of the base. */
export type ReadPick = (pick: Pick, into: Buffer, at: number) => void;

export class ContentWriter {
  readonly #frames: FrameWriter;
  readonly #limits: ContentLimits;
  readonly #read: ReadPick;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #dictionary = new Dictionary();
  #behind: Array<() => void> = [];
  /** Where in the stream of new content the frame begins that is being gathered. */
  #frameStart = 0;

  constructor(frames: FrameWriter, { limits, read }: { limits: ContentLimits; read: ReadPick }) {
    this.#frames = frames;
    this.#limits = limits;
    this.#read = read;
  }

  /** Bytes until the frame is full; never 0. */
  get room(): number { return this.#limits.contentBytes - this.#bytes; }

  get frameStart(): number { return this.#frameStart; }

  get at(): number { return this.#frameStart + this.#bytes; }

  /** Adds at most `room` bytes that are like these ranges. False: the frame was full of other dictionary and has been written; ask again, since what may be in a dictionary has changed. */
  add(bytes: Buffer, ranges: readonly Range[]): boolean {
    if (!this.#dictionary.take(ranges, this.#limits.dictionaryBytes)) {
      if (this.#bytes > 0) {
        this.cut();
        return false;
      }
      this.#dictionary.fill(ranges, this.#limits.dictionaryBytes);
    }
    this.#pieces.push(bytes);
    this.#bytes += bytes.length;
    if (this.room === 0) this.cut();
    return true;
  }

  /** Writes another frame, now or behind the content that is being gathered. */
  behind(write: () => void): void {
    if (this.#bytes === 0) write();
    else this.#behind.push(write);
  }

  /** Ends the frame. */
  cut(): void {
    if (this.#bytes === 0) return;
    const content = Buffer.concat(this.#pieces, this.#bytes), picks = this.#dictionary.picks();
    const bytes = Buffer.alloc(this.#dictionary.bytes), { check } = readDictionary(picks, bytes, this.#read);
    const coded = picks.length === 0 ? Buffer.alloc(0) : encodePicks(picks);
    const payload = [varint(content.length), varint(coded.length), coded, ...(picks.length === 0 ? [] : [check.bytes()]), pack(content, bytes)];
    this.#frames.content(payload, { contentBytes: content.length, dictionaryBytes: bytes.length });
    this.#frameStart += this.#bytes;
    this.#pieces = [];
    this.#bytes = 0;
    this.#dictionary = new Dictionary();
    const behind = this.#behind;
    this.#behind = [];
    for (const write of behind) write();
  }
}

/** Ranges in one dictionary: naming each takes bytes, and of many small files each is worth little. */
const MAX_RANGES = 8192;

interface Span { from: number; to: number }

/** Ranges of entries, those that touch joined. */
class Dictionary {
  readonly #spans = new Map<number, readonly Span[]>();
  #bytes = 0;
  #ranges = 0;

  get bytes(): number { return this.#bytes; }

  /** Takes these, too; all of them or, when that were too much, none. */
  take(ranges: readonly Range[], maxBytes: number): boolean {
    const changed = new Map<number, readonly Span[]>();
    let bytes = this.#bytes, count = this.#ranges;
    for (const { file, from, to } of ranges) {
      const before = changed.get(file) ?? this.#spans.get(file) ?? [], after = joined(before, { from, to });
      changed.set(file, after);
      bytes += length(after) - length(before);
      count += after.length - before.length;
    }
    if (bytes > maxBytes || count > MAX_RANGES) return false;
    for (const [file, spans] of changed) this.#spans.set(file, spans);
    [this.#bytes, this.#ranges] = [bytes, count];
    return true;
  }

  /** Takes as much of the ranges as there is room for. */
  fill(ranges: readonly Range[], maxBytes: number): void {
    for (const { file, from, to } of ranges) this.take([{ file, from, to: Math.min(to, from + maxBytes - this.#bytes) }], maxBytes);
  }

  picks(): Pick[] {
    return [...this.#spans].sort(([a], [b]) => a - b).flatMap(([entry, spans]) => spans.map(({ from, to }) => ({ entry, from, to })));
  }
}

function joined(spans: readonly Span[], more: Span): Span[] {
  const result: Span[] = [];
  for (const span of [...spans, more].sort((a, b) => a.from - b.from)) {
    const last = result.at(-1);
    if (last !== undefined && span.from <= last.to) last.to = Math.max(last.to, span.to);
    else if (span.to > span.from) result.push({ ...span });
  }
  return result;
}

const length = (spans: readonly Span[]) => spans.reduce((sum, { from, to }) => sum + to - from, 0);
