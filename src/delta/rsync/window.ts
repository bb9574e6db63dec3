// The part of a target that is in memory: some of what has been seen, and what comes next. The rest is read again when it is needed.
import type { ByteView, Output } from '../bytes.ts';

/** So much is known of what comes, unless the target ends before: matches are compared as far as that. */
const AHEAD_BYTES = 512 << 10;
/** So much of what has been seen stays: as far matches reach back. */
const BEHIND_BYTES = 1 << 20;
const WINDOW_BYTES = 4 << 20;

export class Window {
  readonly bytes: Buffer;
  readonly sizeBytes: number;
  readonly #target: ByteView;
  /** Where in the target the first byte stands, and the end of what is known. */
  #start = 0;
  #limit = 0;

  constructor(target: ByteView) {
    this.#target = target;
    this.sizeBytes = target.sizeBytes;
    this.bytes = Buffer.allocUnsafeSlow(Math.min(WINDOW_BYTES, target.sizeBytes));
  }

  get start(): number { return this.#start; }
  get limit(): number { return this.#limit; }

  /** Up to here places can be looked up. */
  get scanEnd(): number { return this.#limit === this.sizeBytes ? this.sizeBytes : this.#limit - AHEAD_BYTES; }

  /** Knows what comes up to there, unless the target ends before. */
  reach(to: number): void {
    if (this.#limit < Math.min(to, this.sizeBytes)) this.advance(to);
  }

  /** Goes on to know what comes behind `at`, and forgets what is far before it. */
  advance(at: number): void {
    const from = Math.max(this.#start, Math.min(at, this.#limit) - BEHIND_BYTES);
    this.bytes.copyWithin(0, from - this.#start, this.#limit - this.#start);
    this.#start = from;
    const limit = Math.min(this.sizeBytes, from + this.bytes.length);
    if (limit > this.#limit) this.#target.read(this.#limit, this.bytes, { start: this.#limit - from, end: limit - from });
    this.#limit = Math.max(this.#limit, limit);
  }

  /** The target from `from` to `to`, which is known or was. */
  take(from: number, to: number, output: Output): void {
    if (from < this.#start) {
      const buffer = Buffer.allocUnsafe(64 << 10);
      for (const end = Math.min(to, this.#start); from < end;) {
        const n = Math.min(buffer.length, end - from);
        this.#target.read(from, buffer, { start: 0, end: n });
        output(buffer, 0, n);
        from += n;
      }
    }
    if (from < to) output(this.bytes, from - this.#start, to - this.#start);
  }
}
