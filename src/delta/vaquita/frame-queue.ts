// Takes the bytes of frames as they come, and hands each frame on when it is whole and undamaged. Frames of new content wait, packed as they are, until they are asked for.
import { crc32 } from 'node:zlib';
import { corrupt } from '../../lib/errors.ts';
import { CRC_BYTES, Cursor, FRAME } from './format.ts';

/** The payload of a frame between two places of a buffer; good until the call that hands it out returns, or its release. */
export interface Frame {
  type: number;
  bytes: Buffer;
  start: number;
  end: number;
}

interface Waiting { from: number; start: number; end: number; to: number }

/** Type and length of a frame take at most so many bytes. */
const MAX_PREFIX_BYTES = 6;

export class FrameQueue {
  readonly #buffer: Buffer;
  readonly #onFrame: (frame: Frame) => void;
  readonly #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #filled = 0;
  /** Where the frame begins that is not complete yet. */
  #at = 0;
  #frames = 0;

  /** `capacityBytes` hold all that waits, and the frame that is coming. `onFrame` is told of every frame, of new content when it is waiting. */
  constructor(capacityBytes: number, onFrame: (frame: Frame) => void) {
    this.#buffer = Buffer.alloc(capacityBytes);
    this.#onFrame = onFrame;
  }

  write(bytes: Buffer, start: number, end: number): void {
    for (let from = start; from < end;) {
      if (this.#filled === this.#buffer.length) this.#compact();
      const n = bytes.copy(this.#buffer, this.#filled, from, end);
      if (n === 0) throw this.#tooLong();
      this.#filled += n;
      from += n;
      while (this.#step());
    }
  }

  finish(): void {
    if (this.#at < this.#filled) throw corrupt(`the delta is cut short in frame ${this.#frames + 1}`);
  }

  /** Whether new content waits. */
  get ready(): boolean { return this.#waiting.length > 0; }

  /** Hands out the next frame of new content and lets go of it. */
  use(onContent: (frame: Frame) => void): void {
    const first = this.#waiting[0];
    if (first === undefined) throw corrupt('the delta lacks new content');
    onContent({ type: FRAME.content, bytes: this.#buffer, start: first.start, end: first.end });
    this.#waiting.shift();
    this.#waitingBytes -= first.to - first.from;
  }

  /** Takes the next frame, if it is complete. */
  #step(): boolean {
    const from = this.#at, prefix = this.#buffer.subarray(from, Math.min(this.#filled, from + MAX_PREFIX_BYTES));
    if (prefix.length < 2 || (prefix.length < MAX_PREFIX_BYTES && prefix.subarray(1).every((byte) => byte >= 128))) return false;
    const cursor = new Cursor(prefix, 1, prefix.length), payloadBytes = cursor.varint();
    const start = from + cursor.at, end = start + payloadBytes, to = end + CRC_BYTES;
    if (this.#waitingBytes + (to - from) > this.#buffer.length) throw this.#tooLong();
    if (to > this.#filled) return false;
    this.#frames++;
    if (this.#buffer.readUInt32LE(end) !== crc32(this.#buffer.subarray(from, end))) throw corrupt(`frame ${this.#frames} of the delta is damaged`);
    const type = prefix[0] ?? 0;
    this.#at = to;
    if (type === FRAME.content) {
      this.#waiting.push({ from, start, end, to });
      this.#waitingBytes += to - from;
    }
    this.#onFrame({ type, bytes: this.#buffer, start, end });
    if (type !== FRAME.content) this.#drop(from, to);
    return true;
  }

  /** Makes room where a frame stood that is used up. */
  #drop(from: number, to: number): void {
    this.#buffer.copyWithin(from, to, this.#filled);
    this.#filled -= to - from;
    this.#at = from;
  }

  /** Moves what is needed to the beginning. */
  #compact(): void {
    let at = 0;
    for (const waiting of this.#waiting) {
      const by = waiting.from - at;
      this.#buffer.copyWithin(at, waiting.from, waiting.to);
      waiting.from -= by;
      waiting.start -= by;
      waiting.end -= by;
      waiting.to -= by;
      at = waiting.to;
    }
    this.#buffer.copyWithin(at, this.#at, this.#filled);
    this.#filled -= this.#at - at;
    this.#at = at;
  }

  #tooLong() { return corrupt(`frame ${this.#frames + 1} of the delta takes more than the ${this.#buffer.length} bytes that are declared`); }
}
