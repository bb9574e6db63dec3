// Unpacks bzip2, which clients may send archives in. Source: the format as bzip2 1.0 writes it; randomised blocks of 0.9 are refused.
import { corrupt } from '../lib/errors.ts';
import { ByteSource } from './byte-source.ts';

const BLOCK_MAGIC = 0x314159265359, END_MAGIC = 0x177245385090;
const GROUP_SYMBOLS = 50, MAX_CODE_BITS = 20;
const OUTPUT_BYTES = 64 * 1024;

/** By its first bytes. */
export const isBzip2 = (head: Uint8Array): boolean => head[0] === 0x42 && head[1] === 0x5a && head[2] === 0x68;

/** A piece is valid until the next one is asked for. Throws `corrupt` for anything but whole streams, one behind the other. */
export function* bunzip2(pieces: Iterable<Buffer>): Generator<Buffer> {
  const source = new ByteSource(pieces, 'bzip2 stream');
  for (let first = source.byte(); first >= 0; first = source.poll()) {
    const [z, h, level] = [source.byte(), source.byte(), source.byte() - 0x30]; // 'B' came first
    if (first !== 0x42 || z !== 0x5a || h !== 0x68 || level < 1 || level > 9) throw corrupt('bzip2 stream: wrong header');
    yield* oneStream(new Bits(source), level * 100_000);
  }
}

class Bits {
  readonly #source: ByteSource;
  #held = 0;
  #count = 0;

  constructor(source: ByteSource) { this.#source = source; }

  /** At most 24 at once. */
  take(bits: number): number {
    while (this.#count < bits) {
      this.#held = ((this.#held & 0xff_ffff) << 8) | this.#source.byte();
      this.#count += 8;
    }
    this.#count -= bits;
    return (this.#held >>> this.#count) & ((1 << bits) - 1);
  }

  long(): number { return this.take(16) * 2 ** 16 + this.take(16); }
}

function* oneStream(bits: Bits, blockBytes: number): Generator<Buffer> {
  const block = new Uint32Array(blockBytes);
  let combined = 0;
  for (;;) {
    const magic = bits.take(24) * 2 ** 24 + bits.take(24);
    const crc = bits.long();
    if (magic === END_MAGIC) {
      if (crc !== combined >>> 0) throw corrupt('bzip2 stream: wrong checksum');
      return;
    }
    if (magic !== BLOCK_MAGIC) throw corrupt('bzip2 stream: a block has a wrong beginning');
    if (bits.take(1) === 1) throw corrupt('bzip2 stream: randomised blocks are not supported');
    const start = bits.take(24);
    const length = readBlock(bits, block);
    if (start >= length) throw corrupt('bzip2 stream: a block points out of itself');
    const got = yield* written(block, length, start);
    if (got !== crc) throw corrupt('bzip2 stream: wrong checksum of a block');
    combined = ((combined << 1) | (combined >>> 31)) ^ crc;
  }
}

/** Symbols into `block`, each in its low byte; how many. */
function readBlock(bits: Bits, block: Uint32Array): number {
  const symbols = usedSymbols(bits);
  const { tables, selectors } = readTables(bits, symbols.length + 2);
  const end = symbols.length + 1;
  let length = 0, run = 0, weight = 1, group = -1, left = 0;
  let table = tables[0];
  const put = (value: number, count: number) => {
    if (length + count > block.length) throw corrupt('bzip2 stream: a block is too long');
    block.fill(value, length, length + count);
    length += count;
  };
  for (;;) {
    if (left === 0) {
      left = GROUP_SYMBOLS;
      table = tables[selectors[++group] ?? -1];
      if (table === undefined) throw corrupt('bzip2 stream: a block has no end');
    }
    left--;
    const symbol = table?.read(bits) ?? end;
    if (symbol <= 1) {
      run += weight << symbol;
      weight <<= 1;
      if (run > block.length) throw corrupt('bzip2 stream: a run is too long');
      continue;
    }
    if (run > 0) { put(symbols[0] ?? 0, run); run = 0; weight = 1; }
    if (symbol === end) return length;
    const value = symbols[symbol - 1] ?? 0;
    symbols.copyWithin(1, 0, symbol - 1);
    symbols[0] = value;
    put(value, 1);
  }
}

function usedSymbols(bits: Bits): Uint8Array {
  const groups = bits.take(16);
  const used: number[] = [];
  for (let i = 0; i < 16; i++) {
    if ((groups & (0x8000 >> i)) === 0) continue;
    const map = bits.take(16);
    for (let j = 0; j < 16; j++) if ((map & (0x8000 >> j)) !== 0) used.push(i * 16 + j);
  }
  if (used.length === 0) throw corrupt('bzip2 stream: a block without symbols');
  return Uint8Array.from(used);
}

function readTables(bits: Bits, symbols: number): { tables: Huffman[]; selectors: Uint8Array } {
  const count = bits.take(3), selectorCount = bits.take(15);
  if (count < 2 || count > 6 || selectorCount === 0) throw corrupt('bzip2 stream: wrong number of tables');
  const order = Uint8Array.from({ length: count }, (_none, i) => i);
  const selectors = new Uint8Array(selectorCount);
  for (let i = 0; i < selectorCount; i++) {
    let at = 0;
    while (bits.take(1) === 1) if (++at >= count) throw corrupt('bzip2 stream: a selector of no table');
    const table = order[at] ?? 0;
    order.copyWithin(1, 0, at);
    order[0] = table;
    selectors[i] = table;
  }
  return { selectors, tables: Array.from({ length: count }, () => new Huffman(readLengths(bits, symbols))) };
}

function readLengths(bits: Bits, symbols: number): Uint8Array {
  const lengths = new Uint8Array(symbols);
  let length = bits.take(5);
  for (let i = 0; i < symbols; i++) {
    while (bits.take(1) === 1) length += bits.take(1) === 1 ? -1 : 1;
    if (length < 1 || length > MAX_CODE_BITS) throw corrupt('bzip2 stream: a code of an impossible length');
    lengths[i] = length;
  }
  return lengths;
}

/** Canonical: of each length, codes in the order of their symbols. */
class Huffman {
  readonly #limits = new Int32Array(MAX_CODE_BITS + 2).fill(-1);
  readonly #offsets = new Int32Array(MAX_CODE_BITS + 2);
  readonly #symbols: number[] = [];

  constructor(lengths: Uint8Array) {
    let code = 0;
    for (let length = 1; length <= MAX_CODE_BITS; length++) {
      this.#offsets[length] = this.#symbols.length - code;
      for (let symbol = 0; symbol < lengths.length; symbol++) if (lengths[symbol] === length) { this.#symbols.push(symbol); code++; }
      this.#limits[length] = code - 1;
      code <<= 1;
    }
  }

  read(bits: Bits): number {
    let code = 0;
    for (let length = 1; length <= MAX_CODE_BITS; length++) {
      code = (code << 1) | bits.take(1);
      if (code <= (this.#limits[length] ?? -1)) {
        const symbol = this.#symbols[code + (this.#offsets[length] ?? 0)];
        if (symbol !== undefined) return symbol;
      }
    }
    throw corrupt('bzip2 stream: a code of no symbol');
  }
}

const CRC = Uint32Array.from({ length: 256 }, (_none, i) => {
  let crc = i << 24;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000_0000) === 0 ? crc << 1 : (crc << 1) ^ 0x04c1_1db7;
  return crc >>> 0;
});

/** Turns the transform back and its runs of four into longer ones; gives the checksum. */
function* written(block: Uint32Array, length: number, start: number): Generator<Buffer, number> {
  const counts = new Uint32Array(256);
  for (let i = 0; i < length; i++) { const value = (block[i] ?? 0) & 0xff; counts[value] = (counts[value] ?? 0) + 1; }
  for (let i = 0, sum = 0; i < 256; i++) { const count = counts[i] ?? 0; counts[i] = sum; sum += count; }
  for (let i = 0; i < length; i++) {
    const value = (block[i] ?? 0) & 0xff;
    const to = counts[value] ?? 0;
    counts[value] = to + 1;
    block[to] = ((block[to] ?? 0) & 0xff) | (i << 8);
  }
  const out = Buffer.allocUnsafe(OUTPUT_BYTES + 256);
  let at = (block[start] ?? 0) >>> 8, filled = 0, crc = 0xffff_ffff, last = -1, same = 0;
  for (let i = 0; i < length; i++) {
    const entry = block[at] ?? 0;
    at = entry >>> 8;
    const value = entry & 0xff;
    let count = 1;
    let write = value;
    if (same === 4) { count = value; write = last; same = 0; last = -1; }
    else if (value === last) same++;
    else { last = value; same = 1; }
    for (; count > 0; count--) { out[filled++] = write; crc = (crc << 8) ^ (CRC[(crc >>> 24) ^ write] ?? 0); }
    if (filled < OUTPUT_BYTES) continue;
    yield out.subarray(0, filled);
    filled = 0;
  }
  if (filled > 0) yield out.subarray(0, filled);
  return ~crc >>> 0;
}
