// Framing on Docker's streams: stdout and stderr in 8-byte frames, and JSON in lines. Decoders take bytes as they come and hold a bounded rest.
import { corrupt } from '../lib/errors.ts';

export type FrameStream = 'stdin' | 'stdout' | 'stderr';

/** A frame, or a piece of one: large frames are handed on as they arrive. */
export interface Frame { stream: FrameStream; bytes: Uint8Array }

export const FRAME_HEADER_BYTES = 8;
/** What one line of JSON may hold before the reader gives up: image configs ride in such lines, nothing larger does. */
export const MAX_LINE_BYTES = 4 * 1024 * 1024;

const CODE: Record<FrameStream, number> = { stdin: 0, stdout: 1, stderr: 2 };
const STREAMS: readonly FrameStream[] = ['stdin', 'stdout', 'stderr'];
const NEWLINE = 0x0a;

/** One byte of stream, three of zero, four of length (big-endian). */
export function frameHeader(stream: FrameStream, lengthBytes: number): Uint8Array {
  const header = new Uint8Array(FRAME_HEADER_BYTES);
  header[0] = CODE[stream];
  new DataView(header.buffer).setUint32(4, lengthBytes);
  return header;
}

export function encodeFrame(stream: FrameStream, bytes: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + bytes.length);
  frame.set(frameHeader(stream, bytes.length));
  frame.set(bytes, FRAME_HEADER_BYTES);
  return frame;
}

/** Takes a framed stream apart. Payloads are views of the chunks given, so nothing is copied and nothing of them is held. */
export class FrameDecoder {
  #header = new Uint8Array(FRAME_HEADER_BYTES);
  #headerBytes = 0;
  #stream: FrameStream = 'stdout';
  #leftBytes = 0;

  /** Throws `corrupt` when the bytes are no frames. */
  push(chunk: Uint8Array): Frame[] {
    const frames: Frame[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#leftBytes > 0) {
        const take = Math.min(this.#leftBytes, chunk.length - at);
        frames.push({ stream: this.#stream, bytes: chunk.subarray(at, at + take) });
        this.#leftBytes -= take;
        at += take;
        continue;
      }
      const take = Math.min(FRAME_HEADER_BYTES - this.#headerBytes, chunk.length - at);
      this.#header.set(chunk.subarray(at, at + take), this.#headerBytes);
      this.#headerBytes += take;
      at += take;
      if (this.#headerBytes === FRAME_HEADER_BYTES) this.#open();
    }
    return frames;
  }

  /** Throws `corrupt` when the stream ended inside a frame. */
  end(): void {
    if (this.#leftBytes > 0 || this.#headerBytes > 0) throw corrupt(`framed stream ended ${this.#leftBytes > 0 ? `${this.#leftBytes} bytes before the end of a frame` : 'inside a frame header'}`);
  }

  #open(): void {
    const stream = STREAMS[this.#header[0] ?? 0xff];
    if (stream === undefined || this.#header[1] !== 0 || this.#header[2] !== 0 || this.#header[3] !== 0)
      throw corrupt(`no stream frame: ${Buffer.from(this.#header).toString('hex')}`);
    this.#stream = stream;
    this.#leftBytes = new DataView(this.#header.buffer).getUint32(4);
    this.#headerBytes = 0;
  }
}

/** Takes a stream of JSON values in lines apart; empty lines are skipped. */
export class JsonLines {
  readonly #maxLineBytes: number;
  #parts: Uint8Array[] = [];
  #heldBytes = 0;

  constructor(options?: { maxLineBytes?: number }) { this.#maxLineBytes = options?.maxLineBytes ?? MAX_LINE_BYTES; }

  /** Throws `corrupt` for a line that is no JSON or too long. */
  push(chunk: Uint8Array): unknown[] {
    const values: unknown[] = [];
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      this.#hold(chunk.subarray(from, end));
      this.#take(values);
      from = end + 1;
    }
    // Copied, because the caller may use the memory of its chunk again.
    if (from < chunk.length) this.#hold(chunk.slice(from));
    return values;
  }

  /** The value of a last line without its newline, if there is one. */
  end(): unknown[] {
    const values: unknown[] = [];
    this.#take(values);
    return values;
  }

  #hold(part: Uint8Array): void {
    this.#heldBytes += part.length;
    if (this.#heldBytes > this.#maxLineBytes) throw corrupt(`a line of JSON is longer than ${this.#maxLineBytes} bytes`);
    this.#parts.push(part);
  }

  #take(values: unknown[]): void {
    const line = Buffer.concat(this.#parts).toString('utf8').trim();
    this.#parts = [];
    this.#heldBytes = 0;
    if (line === '') return;
    try { values.push(JSON.parse(line)); }
    catch (error) { throw corrupt(`no line of JSON: ${JSON.stringify(line.slice(0, 80))}`, { cause: error }); }
  }
}
