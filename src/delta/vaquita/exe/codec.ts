// Codes a region of the new file by the old bytes aligned with it: blocks of about 16 bytes, in which references are predicted through the mapper.
import type { ByteView } from '../../bytes.ts';
import { newArrays, type Arrays } from './arena.ts';
import { Block, type BlockNeeds, type Stretch } from './block.ts';
import { spanAt, type Span } from './elf.ts';
import { WINDOW_AFTER, WINDOW_BEFORE } from './scanner.ts';

/** Regions are coded in chunks of this many bytes; a block ends with its chunk. */
export const CHUNK_BYTES = 64 << 10;
/** A reference that begins in a chunk may reach beyond it. */
const CHUNK_REACH_BYTES = 16;
const READ_AHEAD_BYTES = 16 << 10;

export interface CodecNeeds extends BlockNeeds {
  readonly old: ByteView;
  /** Encoding: the new file. Decoding: undefined. */
  readonly wanted: ByteView | undefined;
  /** Is given what is made. */
  readonly emit: (bytes: Buffer, start: number, end: number) => void;
  readonly arrays?: Arrays | undefined;
}

export class ExeCodec {
  readonly #needs: CodecNeeds;
  readonly #block: Block;
  readonly #old: Buffer;
  readonly #made: Buffer;
  /** What the window holds of the old file. */
  #oldStart = 0;
  #oldEnd = 0;

  constructor(needs: CodecNeeds) {
    const { arrays = newArrays } = needs;
    this.#needs = needs;
    this.#old = arrays.bytes(WINDOW_BEFORE + CHUNK_BYTES + 2 * WINDOW_AFTER);
    this.#made = arrays.bytes(CHUNK_BYTES + CHUNK_REACH_BYTES);
    this.#block = new Block(needs, this.#old, this.#made);
  }

  /** The `bytes` bytes at `newAt` of the new file, by those at `oldAt` of the old one; both are inside their files. */
  region(newAt: number, oldAt: number, bytes: number): void {
    this.#needs.predictor?.references.reset();
    let at = 0;
    while (at < bytes) {
      const end = Math.min(bytes, at + CHUNK_BYTES);
      this.#load(oldAt + at, newAt + at, end - at);
      const done = this.#chunk({ newAt, oldAt, bytes, from: at, to: end });
      this.#needs.emit(this.#made, 0, done - at);
      at = done;
    }
  }

  #load(oldAt: number, newAt: number, bytes: number): void {
    const { old, wanted, predictor } = this.#needs;
    const from = Math.max(0, oldAt - WINDOW_BEFORE), to = Math.min(old.sizeBytes, oldAt + bytes + WINDOW_AFTER);
    if (from < this.#oldStart || to > this.#oldEnd) {
      // Regions are most often short and one behind the other: some more bytes save the next reads.
      this.#oldStart = from;
      this.#oldEnd = Math.min(old.sizeBytes, Math.max(to, from + READ_AHEAD_BYTES));
      old.read(from, this.#old, { start: 0, end: this.#oldEnd - from });
      this.#old.fill(0, this.#oldEnd - from, this.#oldEnd - from + WINDOW_AFTER);
      predictor?.references.look(this.#old, from, old.sizeBytes);
    }
    if (wanted !== undefined) wanted.read(newAt, this.#made, { start: 0, end: Math.min(bytes + CHUNK_REACH_BYTES, wanted.sizeBytes - newAt) });
  }

  /** Returns how far it came: to the end of the chunk, or of a reference that begins in it. */
  #chunk(run: { newAt: number; oldAt: number; bytes: number; from: number; to: number }): number {
    const { newAt, oldAt, bytes, from, to } = run, block = this.#block;
    let at = from;
    while (at < to) {
      const stretch = this.#stretch(newAt + at, oldAt + at, bytes - at);
      const limit = at + stretch.bytes, stop = Math.min(limit, to);
      block.enter(stretch, { limit: oldAt + limit, stop: oldAt + stop, oldStart: this.#oldStart, madeStart: oldAt + from });
      while (at < stop) at += block.code(oldAt + at);
    }
    return at;
  }

  /** How both files go on from here: until either comes to another section or segment. */
  #stretch(newAt: number, oldAt: number, most: number): Stretch {
    const { predictor } = this.#needs;
    if (predictor === undefined) return { place: 0, bytes: most, oldShift: 0, newShift: 0 };
    const { image: { sections }, segments } = predictor, from = spanAt(sections, oldAt), to = spanAt(segments, newAt);
    const bytes = Math.min(most, untilChange(sections, from, oldAt), untilChange(segments, to, newAt));
    if (from === undefined || to === undefined) return { place: 0, bytes, oldShift: 0, newShift: 0 };
    const oldShift = from.address - from.offset;
    return { place: from.code ? 1 : 2, bytes, oldShift, newShift: to.address - to.offset + newAt - oldAt };
  }
}

/** Bytes from `at` to the end of its span, or to the first span behind it. */
function untilChange(spans: readonly Span[], span: Span | undefined, at: number): number {
  if (span !== undefined) return span.offset + span.bytes - at;
  let next = Infinity;
  for (const other of spans) if (other.offset > at) next = Math.min(next, other.offset - at);
  return next;
}
