// One line of conmon's k8s-file format: "RFC3339Nano stdout|stderr F|P text". Pure.
import { parseNanos } from '../lib/clock.ts';
import type { Part } from './pieces.ts';

const SPACE = 0x20;
const NEWLINE = 0x0a;
const FULL = 0x46;

/** Longest line that is kept while its end is not there yet. conmon's are below 9 KiB: a longer one is damage and passed over. */
export const MAX_LINE_BYTES = 64 * 1024;

/** `line` ends with its newline. undefined for what conmon never wrote: a power cut may leave anything at the end of a file. */
export function parseRecord(line: Uint8Array): Part | undefined {
  const time = line.indexOf(SPACE);
  const stream = line.indexOf(SPACE, time + 1);
  if (time < 0 || stream < 0 || line[stream + 2] !== SPACE) return undefined;
  const timeNs = parseNanos(latin(line, 0, time));
  const name = latin(line, time + 1, stream);
  if (timeNs === undefined || (name !== 'stdout' && name !== 'stderr')) return undefined;
  return { stream: name, timeNs, bytes: line.subarray(stream + 3, isFull(line) ? line.length : line.length - 1) };
}

/** Whether the record ends a line of the program's: false for a part of one. Damaged lines count as whole. */
export function isFull(line: Uint8Array): boolean {
  const stream = line.indexOf(SPACE, line.indexOf(SPACE) + 1);
  return stream < 0 || line[stream + 1] === FULL || line[stream + 2] !== SPACE;
}

/** Cuts a stream of chunks into lines with their newline; what has no end yet is kept for the next chunk, up to a limit. */
export class LineCutter {
  #rest: Uint8Array = new Uint8Array(0);
  #skipping = false;

  /** The lines lie in `chunk` where they can, so it must not be written to again. */
  * push(chunk: Uint8Array): Generator<Uint8Array> {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const piece = chunk.subarray(start, end + 1);
      start = end + 1;
      if (this.#skipping) this.#skipping = false;
      else if (this.#rest.length === 0) yield piece;
      else {
        const line = Buffer.concat([this.#rest, piece]);
        this.#rest = new Uint8Array(0);
        yield line;
      }
    }
    if (this.#skipping || start === chunk.length) return;
    const rest = chunk.subarray(start);
    this.#skipping = this.#rest.length + rest.length > MAX_LINE_BYTES;
    this.#rest = this.#skipping ? new Uint8Array(0) : Buffer.concat([this.#rest, rest]); // a copy: the chunk may be large
  }
}

function latin(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}
