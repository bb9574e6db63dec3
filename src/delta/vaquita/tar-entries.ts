// Where the entries of a layer's tar lie, kept in few bytes each: what both sides of a delta count entries by.
//
// The walk is part of the format (docs/delta-format.md, "Entries"): a decoder that counted otherwise would take other files. It says nothing about
// what an entry means; whoever extracts the tar judges that.
import type { ByteView } from '../bytes.ts';

export const BLOCK_BYTES = 512;
/** Longest run of header blocks of one entry (extension headers, their bodies and its own). What has more is no entry. */
export const MAX_HEADER_BYTES = 1 << 20;
/** Sizes from here on are none. */
const MAX_NUMBER = 2 ** 48;

/** Offsets in a tar header. */
export const FIELD = {
  name: { at: 0, bytes: 100 }, mode: { at: 100, bytes: 8 }, uid: { at: 108, bytes: 8 }, gid: { at: 116, bytes: 8 }, size: { at: 124, bytes: 12 },
  mtime: { at: 136, bytes: 12 }, checksum: { at: 148, bytes: 8 }, type: { at: 156, bytes: 1 }, link: { at: 157, bytes: 100 }, magic: { at: 257, bytes: 8 }, prefix: { at: 345, bytes: 155 },
} as const;

export type NumberField = 'mode' | 'uid' | 'gid' | 'size' | 'mtime';

const TYPE_PAX = 0x78, TYPE_PAX_GLOBAL = 0x67, TYPE_LONG_NAME = 0x4c, TYPE_LONG_LINK = 0x4b;
const isExtension = (type: number) => type === TYPE_PAX || type === TYPE_PAX_GLOBAL || type === TYPE_LONG_NAME || type === TYPE_LONG_LINK;

/** Whether content follows a header of this type: all but links, devices, folders and pipes. */
export const hasContent = (type: number) => type < 0x31 || type > 0x36;

export interface Entry {
  /** Where its first header block stands. */
  startBytes: number;
  /** Where its content stands, or would stand. */
  contentBytes: number;
  sizeBytes: number;
}

/** Entries by their number. 16 bytes each. */
export class TarIndex {
  #starts = new Uint32Array(256);
  #contents = new Uint32Array(256);
  #sizes = new Float64Array(256);
  #count = 0;

  get count(): number { return this.#count; }

  /** Of a number below `count`. */
  entry(index: number): Entry {
    return { startBytes: (this.#starts[index] ?? 0) * BLOCK_BYTES, contentBytes: (this.#contents[index] ?? 0) * BLOCK_BYTES, sizeBytes: this.#sizes[index] ?? 0 };
  }

  sizeBytes(index: number): number { return this.#sizes[index] ?? 0; }

  add(entry: Entry): void {
    if (this.#count === this.#sizes.length) {
      this.#starts = grown(this.#starts, new Uint32Array(this.#count * 2));
      this.#contents = grown(this.#contents, new Uint32Array(this.#count * 2));
      this.#sizes = grown(this.#sizes, new Float64Array(this.#count * 2));
    }
    this.#starts[this.#count] = entry.startBytes / BLOCK_BYTES;
    this.#contents[this.#count] = entry.contentBytes / BLOCK_BYTES;
    this.#sizes[this.#count++] = entry.sizeBytes;
  }
}

function grown<T extends Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** Where a walk ended: behind the last entry. `odd`: what stands there is no end of an archive. */
export interface WalkEnd { atBytes: number; odd: boolean }

/** Tells `onEntry` every entry in order. Once `limit` entries are told and more come, it returns with `odd`. */
export function walkTar(tar: ByteView, limit: number, onEntry: (entry: Entry) => void): WalkEnd {
  const block = Buffer.alloc(BLOCK_BYTES);
  let at = 0;
  for (let count = 0; at + BLOCK_BYTES <= tar.sizeBytes; count++) {
    let position = at, paxSize: number | undefined;
    tar.read(position, block, { start: 0, end: BLOCK_BYTES });
    if (isZero(block)) return { atBytes: at, odd: false };
    while (isChecked(block) && isExtension(typeOf(block))) {
      const bytes = readNumber(block, 'size'), type = typeOf(block);
      const next = position + BLOCK_BYTES + padded(bytes);
      if (next + BLOCK_BYTES - at > MAX_HEADER_BYTES || next + BLOCK_BYTES > tar.sizeBytes) return { atBytes: at, odd: true };
      if (type === TYPE_PAX) {
        const body = Buffer.alloc(bytes);
        tar.read(position + BLOCK_BYTES, body, { start: 0, end: bytes });
        const size = paxRecord(body, 'size');
        if (size !== undefined && /^[0-9]{1,15}$/.test(size)) paxSize = Number(size);
      }
      position = next;
      tar.read(position, block, { start: 0, end: BLOCK_BYTES });
    }
    if (!isChecked(block) || count >= limit) return { atBytes: at, odd: true };
    const sizeBytes = hasContent(typeOf(block)) ? paxSize ?? readNumber(block, 'size') : 0;
    const contentBytes = position + BLOCK_BYTES;
    if (sizeBytes >= MAX_NUMBER || contentBytes + padded(sizeBytes) > tar.sizeBytes) return { atBytes: at, odd: true };
    onEntry({ startBytes: at, contentBytes, sizeBytes });
    at = contentBytes + padded(sizeBytes);
  }
  return { atBytes: at, odd: at < tar.sizeBytes };
}

/** The index of a base layer. What follows the last entry, when it is no end of an archive, is one more: without headers, all of it content. */
export function indexTar(tar: ByteView, limit: number): TarIndex {
  const index = new TarIndex();
  const end = walkTar(tar, limit, (entry) => { index.add(entry); });
  if (end.odd) index.add({ startBytes: end.atBytes, contentBytes: end.atBytes, sizeBytes: tar.sizeBytes - end.atBytes });
  return index;
}

/** How far padding to whole blocks goes. */
export const padded = (bytes: number) => Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;

/** The type of the entry whose header ends `header`; old archives write files as 0. */
export const typeOf = (header: Buffer) => (header[header.length - BLOCK_BYTES + FIELD.type.at] ?? 0) || 0x30;

/** A number of the last header block of `header`: octal digits, blanks ignored, to the first other byte; or, marked by its highest bit, bytes. What needs more than 48 bits is 0. */
export function readNumber(header: Buffer, field: NumberField): number {
  const { at, bytes } = FIELD[field], from = header.length - BLOCK_BYTES + at;
  let value = 0;
  const first = header[from] ?? 0;
  if ((first & 0x80) !== 0) {
    for (let i = 0; i < bytes; i++) {
      const byte = i === 0 ? first & 0x7f : header[from + i] ?? 0;
      if (byte !== 0 && i < bytes - 6) return 0;
      value = value * 256 + byte;
    }
    return value;
  }
  for (let i = from; i < from + bytes; i++) {
    const byte = header[i] ?? 0;
    if (byte >= 0x30 && byte <= 0x37) value = value * 8 + byte - 0x30;
    else if (byte !== 0x20) break;
  }
  return value;
}

/** Writes a number below 2^48: octal digits that end as the field ended before, or bytes. */
export function writeNumber(header: Buffer, field: NumberField, value: number): void {
  const { at, bytes } = FIELD[field], from = header.length - BLOCK_BYTES + at;
  if (value < 8 ** (bytes - 1)) {
    header.write(value.toString(8).padStart(bytes - 1, '0'), from, 'latin1');
    if (header[from + bytes - 1] !== 0x20) header[from + bytes - 1] = 0;
    return;
  }
  for (let i = bytes - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) header[from + i] = rest % 256;
  header[from] = (header[from] ?? 0) | 0x80;
}

/** Writes the checksum of the header block from `at`: six octal digits, 0, blank. */
export function writeChecksum(header: Buffer, at: number): void {
  header.write(`${checksumOf(header, at).toString(8).padStart(6, '0')}\0 `, at + FIELD.checksum.at, 'latin1');
}

/** Sum of the bytes with the checksum taken as blanks. */
function checksumOf(header: Buffer, at: number): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < BLOCK_BYTES; i++) if (i < 148 || i >= 156) sum += header[at + i] ?? 0;
  return sum;
}

function isChecked(block: Buffer): boolean {
  const digits = /^[ 0]*([0-7]{1,7})/.exec(block.toString('latin1', FIELD.checksum.at, FIELD.checksum.at + FIELD.checksum.bytes));
  return digits !== null && Number.parseInt(digits[1] ?? '', 8) === checksumOf(block, 0);
}

function isZero(block: Buffer): boolean {
  for (let i = 0; i < BLOCK_BYTES; i++) if (block[i] !== 0) return false;
  return true;
}

/** The value of the last record `key` of an extension header, byte by byte; undefined when there is none. Reading ends at the first record that is malformed. */
export function paxRecord(body: Buffer, key: string): string | undefined {
  let value: string | undefined;
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(0x20, at);
    if (space <= at || space - at > 7) return value;
    const digits = body.toString('latin1', at, space), bytes = Number(digits);
    if (!/^[0-9]+$/.test(digits) || bytes <= space - at + 1 || at + bytes > body.length || body[at + bytes - 1] !== 0x0a) return value;
    const record = body.toString('latin1', space + 1, at + bytes - 1);
    if (record.startsWith(`${key}=`)) value = record.slice(key.length + 1);
    at += bytes;
  }
  return value;
}
