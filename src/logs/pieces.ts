// conmon writes a line in as many parts as it was read in; Docker keeps lines, and one longer than 16 KiB in pieces. Pure.

/** The longest piece of a line. Source: dockerd, which reads a program's output into a buffer of that size. */
export const PIECE_BYTES = 16 * 1024;
const NEWLINE = 0x0a;

export interface Part { stream: 'stdout' | 'stderr'; timeNs: bigint; /** Ends with its newline, unless the line goes on. */ bytes: Uint8Array }

export interface Piece {
  stream: 'stdout' | 'stderr';
  timeNs: bigint;
  /** Without the newline. */
  bytes: Uint8Array;
  /** The line ends here with a newline. */
  ends: boolean;
  /** Of a line that did not fit into one piece: which line of the log, and which piece of it, from 1. */
  of: { line: number; ordinal: number } | undefined;
}

interface Begun { chunks: Uint8Array[]; length: number; timeNs: bigint; line: number; pieces: number }

export class Joiner {
  readonly #begun = new Map<'stdout' | 'stderr', Begun>();
  #lines = 0;

  /** Nothing is held back. */
  get idle(): boolean { return this.#begun.size === 0; }

  push(part: Part): Piece[] {
    const { stream, timeNs } = part;
    const ends = part.bytes.at(-1) === NEWLINE;
    const bytes = ends ? part.bytes.subarray(0, -1) : part.bytes;
    let begun = this.#begun.get(stream);
    if (!begun && ends && bytes.length < PIECE_BYTES) return [{ stream, timeNs, bytes, ends, of: undefined }];
    if (!begun) this.#begun.set(stream, begun = { chunks: [], length: 0, timeNs, line: ++this.#lines, pieces: 0 });
    if (begun.pieces === 0) begun.timeNs = timeNs; // a line has the time of its end, or of its first piece
    begun.chunks.push(Uint8Array.from(bytes)); // a copy: it lies in a block that would otherwise be held with it
    begun.length += bytes.length;
    const pieces: Piece[] = [];
    if (begun.length >= PIECE_BYTES) cut(begun, stream, pieces);
    if (!ends) return pieces;
    this.#begun.delete(stream);
    pieces.push(last(begun, stream, true));
    return pieces;
  }

  /** What was begun and will not be ended. */
  flush(): Piece[] {
    const pieces = [...this.#begun].filter(([, begun]) => begun.length > 0).map(([stream, begun]) => last(begun, stream, false));
    this.#begun.clear();
    return pieces;
  }
}

function cut(begun: Begun, stream: Piece['stream'], pieces: Piece[]): void {
  const all = Buffer.concat(begun.chunks);
  let at = 0;
  for (; all.length - at >= PIECE_BYTES; at += PIECE_BYTES) {
    pieces.push({ stream, timeNs: begun.timeNs, bytes: all.subarray(at, at + PIECE_BYTES), ends: false, of: { line: begun.line, ordinal: ++begun.pieces } });
  }
  begun.chunks = [all.subarray(at)];
  begun.length = all.length - at;
}

function last(begun: Begun, stream: Piece['stream'], ends: boolean): Piece {
  return { stream, timeNs: begun.timeNs, bytes: Buffer.concat(begun.chunks), ends, of: begun.pieces === 0 ? undefined : { line: begun.line, ordinal: begun.pieces + 1 } };
}
