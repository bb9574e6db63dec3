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
    const dictionary = this.#dictionary.with(ranges, this.#limits.dictionaryBytes);
    if (dictionary === undefined) {
      if (this.#bytes > 0) {
        this.cut();
        return false;
      }
      this.#dictionary.fill(ranges, this.#limits.dictionaryBytes);
    } else this.#dictionary = dictionary;
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

/** Ranges of entries, those that touch joined. */
class Dictionary {
  #ranges = new Map<number, ReadonlyArray<{ from: number; to: number }>>();
  #bytes = 0;

  get bytes(): number { return this.#bytes; }

  /** This and more; undefined when it would be larger than `maxBytes`. */
  with(ranges: readonly Range[], maxBytes: number): Dictionary | undefined {
    const more = new Dictionary();
    more.#ranges = new Map(this.#ranges);
    more.#bytes = this.#bytes;
    for (const range of ranges) more.#add(range);
    return more.#bytes <= maxBytes ? more : undefined;
  }

  /** Takes as much of the ranges as there is room for. */
  fill(ranges: readonly Range[], maxBytes: number): void {
    for (const { file, from, to } of ranges) {
      const room = maxBytes - this.#bytes;
      if (room > 0) this.#add({ file, from, to: Math.min(to, from + room) });
    }
  }

  picks(): Pick[] {
    return [...this.#ranges].sort(([a], [b]) => a - b).flatMap(([entry, ranges]) => ranges.map(({ from, to }) => ({ entry, from, to })));
  }

  #add({ file, from, to }: Range): void {
    const before = this.#ranges.get(file) ?? [], joined: Array<{ from: number; to: number }> = [];
    for (const range of [...before, { from, to }].sort((a, b) => a.from - b.from)) {
      const last = joined.at(-1);
      if (last !== undefined && range.from <= last.to) last.to = Math.max(last.to, range.to);
      else joined.push({ ...range });
    }
    this.#ranges.set(file, joined);
    this.#bytes += length(joined) - length(before);
  }
}

const length = (ranges: ReadonlyArray<{ from: number; to: number }>) => ranges.reduce((sum, { from, to }) => sum + to - from, 0);
