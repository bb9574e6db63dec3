// Which words of two tables are addresses: exception frames and Go's functions are walked once, and a bit or four are kept for each word.
import { type ByteView } from '../../bytes.ts';
import { newArrays, type Arrays } from './arena.ts';
import { spanAt, type ElfImage, type Table } from './elf.ts';

/** Longer tables are not looked into: what is kept of them is held in memory by a device. */
export const MAX_TABLE_BYTES = 32 << 20;
const WINDOW_BYTES = 16 << 10;

/** What is known of the words of an image. */
export interface WordTables {
  /** .eh_frame, as far as it was understood. */
  readonly frames: (Table & { readonly starts: Uint8Array }) | undefined;
  readonly go: (Table & { readonly kinds: Uint8Array }) | undefined;
}

/** Bytes that `readWordTables` keeps at most. */
export function wordTableBytes(image: ElfImage): number {
  const { frames, go } = image;
  return (frames === undefined ? 0 : bitBytes(Math.min(frames.bytes, MAX_TABLE_BYTES))) + (go === undefined || go.bytes > MAX_TABLE_BYTES ? 0 : kindBytes(go.bytes));
}

export function readWordTables(file: ByteView, image: ElfImage, arrays: Arrays = newArrays): WordTables {
  return {
    frames: image.frames === undefined ? undefined : walkFrames(file, image.frames, arrays),
    go: image.go === undefined || image.go.bytes > MAX_TABLE_BYTES ? undefined : walkGo({ file, image, arrays }, image.go),
  };
}

/** Does word `index` of .eh_frame hold the start of a function? */
export const isFrameStart = (starts: Uint8Array, index: number): boolean => ((starts[index >> 3] ?? 0) >> (index & 7) & 1) !== 0;
/** What word `index` of Go's table is: 0 no offset, otherwise the anchor it counts from, from 1 on. */
export const goKind = (kinds: Uint8Array, index: number): number => (kinds[index >> 1] ?? 0) >> (index & 1) * 4 & 15;

const bitBytes = (bytes: number): number => (bytes >> 5) + 2;
const kindBytes = (bytes: number): number => (bytes >> 3) + 2;

/** Entries one behind the other: length, 0 or the distance to the owner, start of the function … An entry of no length or one that is not whole ends them. */
function walkFrames(file: ByteView, table: Table, arrays: Arrays): Table & { starts: Uint8Array } {
  const limit = Math.min(table.bytes, MAX_TABLE_BYTES), words = new WordReader(file, { offset: table.offset, bytes: limit }, arrays);
  const starts = arrays.bytes(bitBytes(limit));
  let at = 0;
  while (at + 8 <= limit) {
    const length = words.at(at);
    if (length === 0 || at + 4 + length > limit) break;
    if (length >= 8 && (at & 3) === 0 && words.at(at + 4) !== 0) {
      const index = (at + 8) >> 2;
      starts[index >> 3] = (starts[index >> 3] ?? 0) | 1 << (index & 7);
    }
    at += 4 + length;
  }
  return { offset: table.offset, bytes: at, starts };
}

const NONE = 0xffffffff;
const TEXT = 1, FUNCTIONS = 2, NAMES = 3, CODE_TABLES = 4, UNITS = 5, FILES = 6, FUNCTION_DATA = 7;
const MAX_CODE_TABLES = 64, FUNCTION_BYTES = 44;

/** The list of functions (place of the code, place of the description), each description, and the list of files. */
function walkGo({ file, image, arrays }: { file: ByteView; image: ElfImage; arrays: Arrays }, table: Table): Table & { kinds: Uint8Array } {
  const kinds = arrays.bytes(kindBytes(table.bytes));
  const mark = (at: number, kind: number): void => {
    if (at < 0 || at + 4 > table.bytes || (at & 3) !== 0) return;
    const shift = (at >> 2 & 1) * 4;
    kinds[at >> 3] = (kinds[at >> 3] ?? 0) & ~(15 << shift) | kind << shift;
  };
  const [, functions = 0, , , units = 0, files = 0, count = 0, functionData = 0] = image.anchors.go;
  const section = spanAt(image.sections, table.offset);
  const start = functions - (section?.address ?? 0);
  const result = { offset: table.offset, bytes: table.bytes, kinds };
  if (start < 0 || start + count * 8 + 4 > table.bytes) return result;
  const list = new WordReader(file, table, arrays), details = new WordReader(file, table, arrays);
  let last = 0;
  for (let k = 0; k < count; k++) {
    const at = start + k * 8, description = start + list.at(at + 4);
    mark(at, TEXT);
    mark(at + 4, FUNCTIONS);
    // Descriptions stand in the order of the list; others would make the reader jump.
    if (description <= last || description + FUNCTION_BYTES > table.bytes || (description & 3) !== 0) continue;
    last = description;
    markFunction({ words: details, mark, bytes: table.bytes, withData: functionData !== 0 }, description);
  }
  mark(start + count * 8, TEXT);
  const end = files - functions + start;
  for (let at = units - functions + start; at >= 0 && at + 4 <= Math.min(end, table.bytes); at += 4) if (list.at(at) !== NONE) mark(at, FILES);
  return result;
}

function markFunction(go: { words: WordReader; mark: (at: number, kind: number) => void; bytes: number; withData: boolean }, at: number): void {
  const { words, mark } = go;
  mark(at, TEXT);
  mark(at + 4, NAMES);
  for (const field of [16, 20, 24]) if (words.at(at + field) !== 0) mark(at + field, CODE_TABLES);
  mark(at + 32, UNITS);
  const count = words.at(at + 40) >>> 24, tables = words.at(at + 28), data = at + FUNCTION_BYTES + tables * 4;
  if (tables > MAX_CODE_TABLES || data > go.bytes) return;
  for (let place = at + FUNCTION_BYTES; place < data; place += 4) if (words.at(place) !== 0) mark(place, CODE_TABLES);
  if (go.withData) for (let k = 0, place = data; k < count && place + 4 <= go.bytes; k++, place += 4) if (words.at(place) !== NONE) mark(place, FUNCTION_DATA);
}

/** Words of a table, read through a window. */
class WordReader {
  readonly #file: ByteView;
  readonly #table: Table;
  readonly #window: Buffer;
  #from = 0;
  #bytes = 0;

  constructor(file: ByteView, table: Table, arrays: Arrays) {
    this.#file = file;
    this.#table = table;
    this.#window = arrays.bytes(WINDOW_BYTES);
  }

  /** 32 bits, low byte first; `at` lies 4 bytes before the end or earlier. */
  at(at: number): number {
    if (at < this.#from || at + 4 > this.#from + this.#bytes) {
      this.#from = at;
      this.#bytes = Math.min(WINDOW_BYTES, this.#table.bytes - at);
      this.#file.read(this.#table.offset + at, this.#window, { start: 0, end: this.#bytes });
    }
    return this.#window.readUInt32LE(at - this.#from);
  }
}
