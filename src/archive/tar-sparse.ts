// Maps of sparse files in tar archives: which parts of the file the archive holds; everything between is zeros.
import { corrupt } from '../lib/errors.ts';
import { textOf } from './byte-string.ts';
import { BLOCK_BYTES, parseNumber } from './tar-header.ts';

// Source: GNU tar manual, "Storing Sparse Files"; header layout of struct oldgnu_header and struct sparse_header.
const MAIN_ENTRIES_AT = 386, MAIN_ENTRIES = 4, MAIN_MORE_AT = 482, REAL_SIZE_AT = 483;
const NEXT_ENTRIES = 21, NEXT_MORE_AT = 504;
const NUMBER_BYTES = 12;

/** Parts of one file; a map of more is no file anyone stored. */
const MAX_PARTS = 65536;
const MAX_TEXT_BYTES = 1 << 20;

export function oldSparseRealSize(block: Buffer, { at, name }: { at: number; name: string }): number {
  const size = parseNumber(block, { at: at + REAL_SIZE_AT, length: NUMBER_BYTES, field: 'real size', name });
  if (size < 0) throw corrupt(`tar: ${textOf(name)}: a size of ${size} bytes`);
  return size;
}

/** Reads the map in a header of type 'S'; true when further blocks of it follow. */
export function oldSparseMap(map: number[], block: Buffer, at: number): boolean {
  takeParts(map, block, { at: at + MAIN_ENTRIES_AT, parts: MAIN_ENTRIES });
  return block[at + MAIN_MORE_AT] !== 0;
}

/** Reads a further block of it; true when another one follows. */
export function takeOldSparseBlock(map: number[], block: Buffer, at: number): boolean {
  takeParts(map, block, { at, parts: NEXT_ENTRIES });
  return block[at + NEXT_MORE_AT] !== 0;
}

/** The map of format 1.0: decimal numbers in lines, in front of the content: how many parts, then offset and length of each. */
export class SparseText {
  readonly map: number[] = [];
  #parts: number | undefined;
  #rest = '';
  #bytes = 0;

  /** True when the map is complete; it is padded to whole blocks. */
  take(block: Buffer, at: number): boolean {
    this.#bytes += BLOCK_BYTES;
    if (this.#bytes > MAX_TEXT_BYTES) throw corrupt(`tar: a sparse map of more than ${MAX_TEXT_BYTES} bytes`);
    const lines = (this.#rest + block.toString('latin1', at, at + BLOCK_BYTES)).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > BLOCK_BYTES * 2) throw corrupt('tar: a sparse map has a line of no number');
    for (const line of lines) {
      if (this.#complete()) return true;
      const value = /^\d{1,16}$/.test(line) ? Number(line) : NaN;
      if (!Number.isSafeInteger(value)) throw corrupt('tar: a sparse map has a line of no number');
      if (this.#parts === undefined) this.#parts = limited(value);
      else this.map.push(value);
    }
    return this.#complete();
  }

  #complete(): boolean { return this.#parts !== undefined && this.map.length === this.#parts * 2; }
}

/** Throws unless the parts follow each other inside of the file and are together what the archive holds. */
export function checkedSparseMap(map: readonly number[], file: { name: string; dataBytes: number; sizeBytes: number }): void {
  let position = 0, held = 0;
  limited(map.length / 2);
  for (let i = 0; i < map.length; i += 2) {
    const offset = map[i] ?? -1, length = map[i + 1] ?? -1;
    if (offset < position || length < 0 || offset + length > file.sizeBytes) throw corrupt(`tar: ${textOf(file.name)}: its sparse map is out of order or out of the file`);
    position = offset + length;
    held += length;
  }
  if (held !== file.dataBytes) throw corrupt(`tar: ${textOf(file.name)}: its sparse map tells of ${held} bytes and the archive of ${file.dataBytes}`);
}

/** An empty pair ends the list; pairs of no length in its middle or at its end only mark the size. */
function takeParts(map: number[], block: Buffer, { at, parts }: { at: number; parts: number }): void {
  for (let i = 0; i < parts; i++) {
    const offsetAt = at + i * 2 * NUMBER_BYTES;
    if (block[offsetAt] === 0) return;
    const number = (from: number) => parseNumber(block, { at: from, length: NUMBER_BYTES, field: 'sparse map', name: 'a sparse file' });
    map.push(number(offsetAt), number(offsetAt + NUMBER_BYTES));
  }
  limited(map.length / 2);
}

function limited(parts: number): number {
  if (parts > MAX_PARTS) throw corrupt(`tar: a sparse file in ${parts} parts; at most ${MAX_PARTS} are read`);
  return parts;
}
