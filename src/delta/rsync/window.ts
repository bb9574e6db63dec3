// The part of a target that is in memory: what is not said yet, and what comes next.
import type { ByteView } from '../bytes.ts';

/** What balenaEngine's encoder puts into one LITERAL at most. */
const MAX_LITERAL_BYTES = 16 << 20;
/** So much is known of what comes, unless the target ends before: matches are compared as far as that. */
const AHEAD_BYTES = 256 << 10;
const MIN_WINDOW_BYTES = 4 * AHEAD_BYTES;

export class Window {
  readonly bytes: Buffer;
  readonly sizeBytes: number;
  /** A literal of this length must be said, so that the window can go on. */
  readonly literalBytes: number;
  readonly #target: ByteView;
  /** Where in the target the first byte stands, and the end of what is known. */
  #start = 0;
  #limit = 0;

  /** `memoryBytes` bound it, but it is never larger than what one literal needs. */
  constructor(target: ByteView, memoryBytes: number) {
    this.#target = target;
    this.sizeBytes = target.sizeBytes;
    const most = MAX_LITERAL_BYTES + MIN_WINDOW_BYTES;
    const size = Math.min(most, Math.max(MIN_WINDOW_BYTES, memoryBytes), target.sizeBytes);
    this.bytes = Buffer.allocUnsafeSlow(size);
    this.literalBytes = Math.min(MAX_LITERAL_BYTES, Math.max(1, size - MIN_WINDOW_BYTES / 2));
  }

  get start(): number { return this.#start; }
  get limit(): number { return this.#limit; }

  /** Up to here places can be looked up. */
  get scanEnd(): number { return this.#limit === this.sizeBytes ? this.sizeBytes : this.#limit - AHEAD_BYTES; }

  needsMore(at: number): boolean { return at >= this.scanEnd && this.#limit < this.sizeBytes; }

  /** Knows what comes up to there, unless the target ends before; may forget what is before `keep`. */
  reach(to: number, keep: number): void {
    if (this.#limit < Math.min(to, this.sizeBytes)) this.advance(keep);
  }

  /** Forgets what is before `keep`, and knows all that fits. */
  advance(keep: number): void {
    const from = Math.max(this.#start, Math.min(keep, this.#limit));
    this.bytes.copyWithin(0, from - this.#start, this.#limit - this.#start);
    this.#start = from;
    const limit = Math.min(this.sizeBytes, from + this.bytes.length);
    if (limit > this.#limit) this.#target.read(this.#limit, this.bytes, { start: this.#limit - from, end: limit - from });
    this.#limit = Math.max(this.#limit, limit);
  }
}
