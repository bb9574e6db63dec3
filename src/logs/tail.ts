// Where the last so many records of a log begin, found from its end: a log of gigabytes costs no more than what is asked for.
import { BLOCK_BYTES, blocksOf, type LogFile } from './files.ts';
import { Joiner, PIECE_BYTES } from './pieces.ts';
import { isFull, LineCutter, MAX_LINE_BYTES, parseRecord } from './record.ts';

/** The file to begin with, and how far into it: bytes of a plain file, lines of a compressed one; then so many records to be passed over. */
export interface Start { index: number; offset: number; skipLines: number; skipPieces: number }

const NEWLINE = 0x0a;

/**
 * A line counts once, and one that is kept in pieces as often as it has pieces. What is not ended at the very end counts where nothing
 * will end it any more.
 */
export async function findTail(files: readonly LogFile[], want: { records: number; running: boolean }): Promise<Start> {
  const count = new Count(want);
  for (let index = files.length - 1; index >= 0; index--) {
    const file = files[index];
    if (!file) break;
    // Whether it ends in the middle of a line is not worth unpacking all of it.
    if (file.compressed && count.enough) return { index: index + 1, offset: 0, skipLines: 0, skipPieces: count.surplus };
    const found = file.compressed ? await fromFront(file, count) : await fromBack(file, count);
    if (found !== undefined) return { index, offset: 0, skipLines: 0, skipPieces: count.surplus, ...found };
  }
  return { index: 0, offset: 0, skipLines: 0, skipPieces: count.surplus };
}

/** Records met on the way back. */
class Count {
  readonly #want: { records: number; running: boolean };
  /** Length of the line of each stream of which the end was met, as far as it was. */
  readonly #lengths = new Map<string, number>();
  #met = 0;

  constructor(want: { records: number; running: boolean }) { this.#want = want; }

  get enough(): boolean { return this.#met >= this.#want.records; }
  get surplus(): number { return Math.max(0, this.#met - this.#want.records); }
  get missing(): number { return this.#want.records - this.#met; }

  add(records: number): void { this.#met += records; }

  meet(line: Uint8Array): void {
    const record = parseRecord(line);
    if (!record) return;
    const full = isFull(line);
    const length = record.bytes.length - (full ? 1 : 0);
    const before = full ? 0 : this.#lengths.get(record.stream);
    if (full || (before === undefined && !this.#want.running)) this.#met++;
    this.#lengths.set(record.stream, (before ?? 0) + length);
    this.#met += Math.floor(((before ?? 0) + length) / PIECE_BYTES) - Math.floor((before ?? 0) / PIECE_BYTES);
  }
}

async function fromBack(file: LogFile, count: Count): Promise<{ offset: number } | undefined> {
  for await (const { line, end } of linesBackwards(file, file.sizeBytes)) {
    if (count.enough && isFull(line)) return { offset: end };
    count.meet(line);
  }
  return undefined;
}

/** A compressed file has no way back: its records are counted, and those before the wanted ones passed over later. */
async function fromFront(file: LogFile, count: Count): Promise<{ skipLines: number } | undefined> {
  const { missing } = count;
  let all = 0;
  for await (const { pieces } of numbered(file)) all += pieces;
  count.add(all);
  if (all <= missing) return undefined;
  let passed = 0, whole = { skipLines: 0, passed: 0 };
  for await (const { pieces, number, idle } of numbered(file)) {
    passed += pieces;
    if (passed > all - missing) break;
    if (idle) whole = { skipLines: number, passed };
  }
  count.add(-whole.passed); // what lies before the place is not there to be passed over
  return { skipLines: whole.skipLines };
}

async function * numbered(file: LogFile): AsyncGenerator<{ pieces: number; number: number; idle: boolean }> {
  const cutter = new LineCutter(), joiner = new Joiner();
  let number = 0;
  for await (const block of blocksOf(file, 0)) {
    for (const line of cutter.push(block)) {
      const record = parseRecord(line);
      yield { pieces: record ? joiner.push(record).length : 0, number: ++number, idle: joiner.idle };
    }
  }
}

/** Each finished line before `size` with the offset behind it, last one first. */
async function * linesBackwards(file: LogFile, size: number): AsyncGenerator<{ line: Uint8Array; end: number }> {
  let begun: Uint8Array = new Uint8Array(0); // the end of a line whose beginning lies before `at`
  let lineEnd: number | undefined; // where that line ends; undefined until a newline is met: bytes behind the last one are no line yet
  for (let at = size; at > 0;) {
    const length = Math.min(BLOCK_BYTES, at);
    at -= length;
    const { bytesRead, buffer } = await file.handle.read(Buffer.allocUnsafeSlow(length), 0, length, at);
    if (bytesRead < length) return; // truncated meanwhile
    const bytes: Uint8Array = begun.length === 0 ? buffer : Buffer.concat([buffer, begun]);
    let end = bytes.length;
    if (lineEnd === undefined) {
      end = bytes.lastIndexOf(NEWLINE) + 1;
      if (end === 0) continue;
      lineEnd = at + end;
    }
    // The newline at end-1 is the line's own; the one before it ends the line before.
    for (let newline = newlineBefore(bytes, end - 1); newline >= 0; newline = newlineBefore(bytes, newline)) {
      yield { line: bytes.subarray(newline + 1, end), end: lineEnd };
      end = newline + 1;
      lineEnd = at + end;
    }
    if (at === 0) yield { line: bytes.subarray(0, end), end: lineEnd };
    // Longer than any line of conmon's: damage, of which the beginning is enough to tell that.
    begun = bytes.subarray(0, Math.min(end, MAX_LINE_BYTES));
  }
}

function newlineBefore(bytes: Uint8Array, index: number): number {
  return index < 1 ? -1 : bytes.lastIndexOf(NEWLINE, index - 1);
}
