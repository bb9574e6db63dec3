// tar-split: what of a layer's tar is not file content, kept beside the extracted files so that the exact tar can be put together again.
//
// The format is Docker's (tar-split.json.gz): gzip of JSON lines, segments {"type":2,"payload":base64,"position":n} of raw bytes and files
// {"type":1,"name":…,"size":n,"payload":base64 of the content's CRC-64,"position":n}; names that are no UTF-8 stand in name_raw, as base64.
// A file of size 0 adds no bytes. Content that cannot be read back from disk (of whiteouts, of sparse files) is kept as segments.
import { isUtf8 } from 'node:buffer';
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, writeSync } from 'node:fs';
import { textOf } from '../archive/byte-string.ts';
import { openGzip, openInflater } from '../archive/compress.ts';
import { Crc64 } from '../archive/crc64.ts';
import { corrupt, errnoOf } from '../lib/errors.ts';
import { openResolver } from './resolve.ts';

/** One segment holds at most so much; a multiple of three, so that base64 of it needs no padding. */
const SEGMENT_BYTES = 48 * 1024;
const LINE_BUFFER_BYTES = 256 * 1024;
const PACKED_BUFFER_BYTES = 32 * 1024;
/** Of 24,000 entries (27 MB of lines) level 2 makes 1.35 MB in 0.04 s, Docker's level 6 1.07 MB in 0.11 s. */
const LEVEL = 2;

export class TarSplitWriter {
  readonly #fd: number;
  readonly #gzip;
  readonly #segment = Buffer.allocUnsafe(SEGMENT_BYTES);
  #segmentLength = 0;
  readonly #lines = Buffer.allocUnsafe(LINE_BUFFER_BYTES);
  #linesLength = 0;
  #position = 0;

  /** Writes to `fd`, which stays the caller's. */
  constructor(fd: number) {
    this.#fd = fd;
    this.#gzip = openGzip({ level: LEVEL, buffer: Buffer.allocUnsafe(PACKED_BUFFER_BYTES), output: (bytes, start, end) => writeAll(this.#fd, bytes, start, end) });
  }

  /** Bytes of the tar that are no file's content on disk. */
  raw(bytes: Buffer, start: number, end: number): void {
    for (let at = start; at < end;) {
      const n = bytes.copy(this.#segment, this.#segmentLength, at, end);
      this.#segmentLength += n;
      at += n;
      if (this.#segmentLength === SEGMENT_BYTES) this.#flushSegment();
    }
  }

  /** An entry of the tar; `sizeBytes` of content are on disk under its name, with this checksum. Names are byte strings. */
  file(name: string, content: { sizeBytes: number; crc: string } | undefined): void {
    this.#flushSegment();
    const size = content === undefined ? '' : `"size":${content.sizeBytes},`;
    const payload = content === undefined ? 'null' : `"${content.crc}"`;
    this.#line(`{"type":1,${nameField(name)}${size}"payload":${payload},"position":${this.#position++}}\n`);
  }

  /** Everything is in the file when this returns, but not yet on the disk. */
  finish(): void {
    this.#flushSegment();
    this.#flushLines();
    this.#gzip.finish();
  }

  close(): void { this.#gzip.close(); }

  #flushSegment(): void {
    if (this.#segmentLength === 0) return;
    const spaceBytes = Math.ceil(this.#segmentLength / 3) * 4 + 100;
    if (spaceBytes > LINE_BUFFER_BYTES - this.#linesLength) this.#flushLines();
    this.#text('{"type":2,"payload":"');
    this.#linesLength = putBase64(this.#segment, this.#segmentLength, { into: this.#lines, at: this.#linesLength });
    this.#text(`","position":${this.#position++}}\n`);
    this.#segmentLength = 0;
  }

  /** A line is ASCII but for names, which nameField has made UTF-8 in a byte string already. */
  #line(line: string): void {
    if (line.length > LINE_BUFFER_BYTES - this.#linesLength) this.#flushLines();
    this.#text(line);
  }

  #text(text: string): void { this.#linesLength += this.#lines.write(text, this.#linesLength, 'latin1'); }

  #flushLines(): void {
    this.#gzip.write(this.#lines, 0, this.#linesLength);
    this.#linesLength = 0;
  }
}

const DIGITS = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 'latin1');

/** Without the string in between that Buffer would make: of 20,000 headers those were most of the garbage. Gives where it ended. */
function putBase64(bytes: Buffer, length: number, { into, at }: { into: Buffer; at: number }): number {
  const digit = (bits: number) => DIGITS[bits & 63] ?? 0;
  const whole = length - (length % 3);
  for (let i = 0; i < whole; i += 3) {
    const bits = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    into[at++] = digit(bits >> 18);
    into[at++] = digit(bits >> 12);
    into[at++] = digit(bits >> 6);
    into[at++] = digit(bits);
  }
  return whole === length ? at : at + into.write(bytes.toString('base64', whole, length), at, 'latin1');
}

function nameField(name: string): string {
  if (/^[\x20-\x7e]*$/.test(name)) return `"name":${JSON.stringify(name)},`;
  const bytes = Buffer.from(name, 'latin1');
  if (!isUtf8(bytes)) return `"name_raw":"${bytes.toString('base64')}",`;
  return `"name":${Buffer.from(JSON.stringify(bytes.toString('utf8')), 'utf8').toString('latin1')},`;
}

/** One line of a tar-split file. */
export type TarSplitEntry =
  | { type: 'segment'; bytes: Buffer }
  | { type: 'file'; name: string; sizeBytes: number; crc: string };

const READ_BYTES = 64 * 1024;
/** Docker itself writes whatever follows the end of a tar as one segment. */
const MAX_LINE_BYTES = 64 << 20;

/** Told of a file that has been read to its end, before it is closed. */
type OnRead = (fd: number) => void;

/** The lines of a tar-split file, in order. Throws `corrupt` at the first that is none. `open` is for a process that opens files in its own way. */
export function* readTarSplit(path: string, onRead: OnRead = () => {}, open = () => openSync(path, 'r')): Generator<TarSplitEntry> {
  const fd = open();
  const pieces: Buffer[] = [];
  const inflater = openInflater('gzip', { buffer: Buffer.allocUnsafe(READ_BYTES), output: (bytes, start, end) => { pieces.push(Buffer.from(bytes.subarray(start, end))); } });
  let rest = Buffer.alloc(0);
  try {
    const input = Buffer.allocUnsafe(READ_BYTES / 4);
    for (let n = -1; n !== 0;) {
      n = readSync(fd, input, 0, input.length, null);
      if (n === 0) inflater.finish();
      else inflater.write(input, 0, n);
      rest = Buffer.concat([rest, ...pieces.splice(0)]);
      if (rest.length > MAX_LINE_BYTES) throw corrupt(`more than ${MAX_LINE_BYTES} bytes without a newline`);
      let from = 0;
      for (let newline; (newline = rest.indexOf(0x0a, from)) >= 0; from = newline + 1) yield parseLine(rest.toString('utf8', from, newline));
      rest = rest.subarray(from);
    }
    onRead(fd);
    if (rest.length > 0) yield parseLine(rest.toString('utf8'));
  } catch (error) {
    if (errnoOf(error) !== undefined) throw error;
    throw corrupt(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  } finally {
    inflater.close();
    closeSync(fd);
  }
}

/**
 * The exact tar that a layer was extracted from, out of its tar-split file and its directory. Every file is held to its checksum
 * and throws `corrupt` when it is not what it was. A piece is only valid until the next one is asked for.
 */
export function* layerTar(tarSplitPath: string, diffPath: string, onRead: OnRead = () => {}): Generator<Buffer> {
  const crc = new Crc64({ bufferBytes: READ_BYTES * 4 });
  const resolve = openResolver(diffPath);
  for (const entry of readTarSplit(tarSplitPath, onRead)) {
    if (entry.type === 'segment') yield entry.bytes;
    else if (entry.sizeBytes > 0) yield* fileContent(resolve, { entry, crc, onRead });
  }
}

/** Headers come in pieces of 512 bytes: together they cost the reader less. */
const TAR_CHUNK_BYTES = 128 * 1024;

/** The same in chunks that stay as they are. */
export function* layerTarChunks(...layer: Parameters<typeof layerTar>): Generator<Buffer> {
  let pieces: Buffer[] = [];
  let sizeBytes = 0;
  for (const piece of layerTar(...layer)) {
    pieces.push(Buffer.from(piece)); // its memory is used again
    sizeBytes += piece.length;
    if (sizeBytes < TAR_CHUNK_BYTES) continue;
    yield Buffer.concat(pieces);
    pieces = [];
    sizeBytes = 0;
  }
  if (sizeBytes > 0) yield Buffer.concat(pieces);
}

interface Wanted { entry: Extract<TarSplitEntry, { type: 'file' }>; crc: Crc64; onRead: OnRead }

function* fileContent(resolve: (name: string) => string | Buffer, { entry, crc, onRead }: Wanted): Generator<Buffer> {
  const shown = textOf(entry.name);
  const fd = openRegular(resolve, { name: entry.name, shown });
  try {
    const { size } = fstatSync(fd);
    if (size !== entry.sizeBytes) throw corrupt(`${shown} has ${size} bytes and had ${entry.sizeBytes} when its layer was extracted`);
    for (let left = size; left > 0;) {
      const n = readSync(fd, crc.buffer, 0, Math.min(left, crc.buffer.length), null);
      if (n === 0) throw corrupt(`${shown} became shorter while it was read`);
      crc.update(crc.buffer, 0, n);
      left -= n;
      yield crc.buffer.subarray(0, n);
    }
    onRead(fd);
    if (crc.take() !== entry.crc) throw corrupt(`${shown} has changed since its layer was extracted (its checksum differs)`);
  } finally { closeSync(fd); }
}

/** For reading. `corrupt` when there is no such regular file. `shown` is the name in messages. */
export function openRegular(resolve: (name: string) => string | Buffer, { name, shown }: { name: string; shown: string }): number {
  try {
    const path = resolve(name);
    // A later entry may have put a device in the file's place, and opening some of them does things: a watchdog resets the machine.
    if (lstatSync(path).isFile()) return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = errnoOf(error) ?? '';
    if (!['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(code)) throw error;
    throw corrupt(`${shown} is missing from its layer (${code})`, { cause: error });
  }
  throw corrupt(`${shown} is no regular file any more`);
}

function parseLine(line: string): TarSplitEntry {
  const value: unknown = JSON.parse(line);
  if (typeof value !== 'object' || value === null || !('type' in value)) throw corrupt('a line is no entry');
  const { type, payload, name, name_raw: nameRaw, size } = value as Record<string, unknown>;
  const text = typeof payload === 'string' ? payload : '';
  if (type === 2) return { type: 'segment', bytes: Buffer.from(text, 'base64') };
  if (type !== 1 || (size !== undefined && !(Number.isSafeInteger(size) && (size as number) >= 0))) throw corrupt('a line is no entry');
  const raw = typeof nameRaw === 'string' ? Buffer.from(nameRaw, 'base64') : Buffer.from(typeof name === 'string' ? name : '', 'utf8');
  return { type: 'file', name: raw.toString('latin1'), sizeBytes: (size as number | undefined) ?? 0, crc: text };
}

/** A write may take less than it is given, of a nearly full disk for one. */
export function writeAll(fd: number, bytes: Buffer, start: number, end: number): void {
  for (let at = start; at < end;) at += writeSync(fd, bytes, at, end - at);
}
