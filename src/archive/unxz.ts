// Unpacks xz, which clients may send archives in: streams of LZMA2 blocks, without the filters for machine code.
// Source: the .xz file format 1.1.0 and the LZMA specification.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { corrupt } from '../lib/errors.ts';
import { ByteSource } from './byte-source.ts';
import { Lzma } from './lzma.ts';

const MAGIC = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]);
const HEADER_BYTES = 12, FOOTER_BYTES = 12;
const LZMA2 = 0x21;
/** What `xz -9` takes. */
const MAX_DICTIONARY_BYTES = 64 << 20;

/** By its first bytes. */
export const isXz = (head: Uint8Array): boolean => MAGIC.every((byte, at) => head[at] === byte);

/** A piece is valid until the next one is asked for. Throws `corrupt` for anything but whole streams, one behind the other. */
export function* unxz(pieces: Iterable<Buffer>): Generator<Buffer> {
  const source = new ByteSource(pieces, 'xz stream');
  for (let first = source.byte(); first >= 0; first = source.poll()) {
    if (first === 0) continue; // padding between streams
    const header = Buffer.concat([Buffer.from([first]), source.bytes(HEADER_BYTES - 1)]);
    if (!header.subarray(0, 6).equals(MAGIC) || header.readUInt32LE(8) !== crc32(header.subarray(6, 8))) throw corrupt('xz stream: wrong header');
    yield* oneStream(source, (header[7] ?? 0) & 0x0f);
  }
}

function* oneStream(source: ByteSource, check: number): Generator<Buffer> {
  for (;;) {
    const size = source.byte();
    if (size === 0) return skipIndex(source);
    const dictionaryBytes = blockHeader(source, size);
    const sum = checkOf(check);
    const counted = new Counted(source);
    const lzma = new Lzma(counted, dictionaryBytes);
    for (const piece of lzma.pieces()) { sum.update(piece); yield piece; }
    for (let at = counted.count; at % 4 !== 0; at++) if (source.byte() !== 0) throw corrupt('xz stream: wrong padding');
    const want = source.bytes(sum.bytes);
    if (sum.digest && !sum.digest().equals(want)) throw corrupt('xz stream: wrong checksum');
  }
}

/** Counts what passes, since blocks are padded to whole words. */
class Counted {
  count = 0;
  readonly #source: ByteSource;
  constructor(source: ByteSource) { this.#source = source; }
  byte(): number { this.count++; return this.#source.byte(); }
}

/** Size of the dictionary. */
function blockHeader(source: ByteSource, size: number): number {
  const rest = source.bytes(size * 4 - 1);
  const crc = source.bytes(4).readUInt32LE(0);
  const header = Buffer.concat([Buffer.from([size]), rest]);
  if (crc32(header) !== crc) throw corrupt('xz stream: wrong header of a block');
  const flags = header[1] ?? 0;
  let at = 2;
  const number = () => { const [value, next] = numberAt(header, at); at = next; return value; };
  if ((flags & 0x3f) !== 0) throw corrupt('xz stream: filters other than LZMA2 are not supported');
  if ((flags & 0x40) !== 0) number();
  if ((flags & 0x80) !== 0) number();
  const filter = number(), properties = number();
  if (filter !== LZMA2 || properties !== 1) throw corrupt('xz stream: filters other than LZMA2 are not supported');
  const bits = header[at] ?? 0;
  const dictionaryBytes = bits > 39 ? Infinity : (2 | (bits & 1)) * 2 ** (Math.floor(bits / 2) + 11);
  if (dictionaryBytes > MAX_DICTIONARY_BYTES) throw corrupt(`xz stream: it takes ${dictionaryBytes} bytes of memory, ${MAX_DICTIONARY_BYTES} are the most`);
  return dictionaryBytes;
}

function numberAt(bytes: Buffer, start: number): [value: number, next: number] {
  let value = 0;
  for (let at = start, scale = 1; at < start + 7; at++, scale *= 128) {
    const byte = bytes[at] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, at + 1];
  }
  throw corrupt('xz stream: a number is too large');
}

/** What the blocks were; they have said so themselves. */
function skipIndex(source: ByteSource): void {
  let read = 1;
  const number = () => {
    let value = 0;
    for (let scale = 1, n = 0; n < 9; scale *= 128, n++) {
      const byte = source.byte();
      read++;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw corrupt('xz stream: a number is too large');
  };
  for (let left = number() * 2; left > 0; left--) number();
  for (; read % 4 !== 0; read++) source.byte();
  source.bytes(4);
  const footer = source.bytes(FOOTER_BYTES);
  if (footer.toString('latin1', 10) !== 'YZ' || footer.readUInt32LE(0) !== crc32(footer.subarray(4, 10))) throw corrupt('xz stream: wrong end');
}

interface Check { bytes: number; update(piece: Buffer): void; digest?: () => Buffer }

/** Those that nobody writes are passed over by their length, as the format says. */
function checkOf(type: number): Check {
  if (type === 1) {
    let sum = 0;
    return { bytes: 4, update: (piece) => { sum = crc32(piece, sum); }, digest: () => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(sum >>> 0); return bytes; } };
  }
  if (type === 4) return crc64();
  if (type === 10) {
    const hash = createHash('sha256');
    return { bytes: 32, update: (piece) => { hash.update(piece); }, digest: () => hash.digest() };
  }
  return { bytes: [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64][type] ?? 0, update() {} };
}

/** ECMA-182, in two halves: tar-split's has another polynomial. */
function crc64(): Check {
  const high = new Uint32Array(256), low = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    let h = 0, l = i;
    for (let bit = 0; bit < 8; bit++) {
      const odd = l & 1;
      l = (l >>> 1) | ((h & 1) << 31);
      h >>>= 1;
      if (odd) { h ^= 0xc96c_5795; l ^= 0xd787_0f42; }
    }
    high[i] = h;
    low[i] = l;
  }
  let h = 0xffff_ffff, l = 0xffff_ffff;
  return {
    bytes: 8,
    update(piece) {
      for (const byte of piece) {
        const at = (l ^ byte) & 0xff;
        l = ((l >>> 8) | (h << 24)) ^ (low[at] ?? 0);
        h = (h >>> 8) ^ (high[at] ?? 0);
      }
    },
    digest() {
      const bytes = Buffer.alloc(8);
      bytes.writeUInt32LE(~l >>> 0, 0);
      bytes.writeUInt32LE(~h >>> 0, 4);
      return bytes;
    },
  };
}
