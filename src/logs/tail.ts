// Where the last so many lines of a log begin, found from its end: a log of gigabytes costs no more than what is asked for.
import { BLOCK_BYTES, blocksOf, type LogFile } from './files.ts';
import { isFull, LineCutter, MAX_LINE_BYTES } from './record.ts';

/** The file to begin with, and how far into it: bytes of a plain file, lines of a compressed one. */
export interface Start { index: number; offset: number; skipLines: number }

const NEWLINE = 0x0a;

/** Parts of a long line count as one with what ends it; parts at the very end, not ended yet, as one too. */
export async function findTail(files: readonly LogFile[], lines: number): Promise<Start> {
  let wanted = lines;
  let last = true; // no complete line seen yet: parts here are the beginning of an unfinished one
  for (let index = files.length - 1; index >= 0; index--) {
    const file = files[index];
    if (!file) break;
    const found: Found = file.compressed ? await fromFront(file, wanted) : await fromBack(file, { wanted, last });
    if (found.start !== undefined) return { index, offset: 0, skipLines: 0, ...found.start };
    wanted -= found.counted;
    last = last && !found.seen;
  }
  return { index: 0, offset: 0, skipLines: 0 };
}

interface Found { start?: { offset: number } | { skipLines: number }; counted: number; seen: boolean }

async function fromBack(file: LogFile, ask: { wanted: number; last: boolean }): Promise<Found> {
  const { size } = await file.handle.stat();
  let counted = 0, seen = false;
  for await (const { line, end } of linesBackwards(file, size)) {
    const counts = isFull(line) || (ask.last && !seen);
    seen = true;
    if (counts && counted === ask.wanted) return { start: { offset: end }, counted, seen };
    if (counts) counted++;
  }
  return { counted, seen };
}

/** A compressed file has no way back: its lines are counted, and those before the wanted ones passed over later. */
async function fromFront(file: LogFile, wanted: number): Promise<Found> {
  let full = 0, all = 0;
  for await (const { line } of numbered(file)) { all++; if (isFull(line)) full++; }
  if (full <= wanted) return { counted: full, seen: all > 0 };
  let passed = 0;
  for await (const { line, number } of numbered(file)) {
    if (isFull(line) && ++passed === full - wanted) return { start: { skipLines: number }, counted: wanted, seen: true };
  }
  return { counted: full, seen: true };
}

async function * numbered(file: LogFile): AsyncGenerator<{ line: Uint8Array; number: number }> {
  const cutter = new LineCutter();
  let number = 0;
  for await (const block of blocksOf(file, 0)) for (const line of cutter.push(block)) yield { line, number: ++number };
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
