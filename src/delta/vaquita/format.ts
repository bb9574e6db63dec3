// The outer shape of our deltas: magic, header with limits, frames with their digests. docs/delta-format.md is the specification.
import { crc32 } from 'node:zlib';
import { corrupt } from '../../lib/errors.ts';

export const MAGIC = Buffer.from('VQDL', 'latin1');
export const VERSION = 1;
/** Bits of what a decoder must be able to do. */
export const FEATURE = { executables: 1 } as const;
const KNOWN_FEATURES = FEATURE.executables;

export const FRAME = { entries: 1, content: 2, patch: 3, opaque: 4, end: 5 } as const;
export type FrameType = (typeof FRAME)[keyof typeof FRAME];

/** Magic, version, and the length of what follows, which takes up to 3 bytes. */
const PREAMBLE_BYTES = MAGIC.length + 1 + 3;
/** Room for a thousand sources. */
const MAX_HEADER_BYTES = 1 << 16;
export const CRC_BYTES = 4;

/** What the decoder needs room for, in bytes; every frame is held to it. */
export interface Limits {
  /** Frames that are here but not used up yet. */
  waiting: number;
  /** New content of one frame. */
  content: number;
  /** The dictionary of one frame. */
  dictionary: number;
  /** Header blocks of one frame. */
  headers: number;
  /** What patches of executables need beyond that. */
  patches: number;
}

export interface Source {
  diffId: string;
  tarBytes: number;
  entries: number;
}

export interface VaquitaHeader {
  features: number;
  target: { diffId: string; tarBytes: number; entries: number };
  sources: readonly Source[];
  limits: Limits;
  /** What applying takes beyond an idle process, by `neededMemory`. */
  memoryBytes: number;
}

/** What is there besides the buffers that the limits are for: code, models, the C libraries' own tables. */
const FIXED_BYTES = 12 << 20;

/** Memory that a decoder takes: its buffers, twice the dictionary (the libraries make a copy), the window, and its notes on each entry. */
export function neededMemory({ target, sources, limits }: Pick<VaquitaHeader, 'target' | 'sources' | 'limits'>): number {
  const window = 2 ** windowLog(limits.content);
  const notes = target.entries * 16 + sources.reduce((sum, source) => sum + source.entries * 32, 0);
  return FIXED_BYTES + limits.waiting + limits.content + 2 * limits.dictionary + window + 2 * limits.headers + limits.patches + notes;
}

/** The smallest window, as a power of two, that frames of so much content are allowed to need. */
export const windowLog = (contentBytes: number) => Math.max(16, Math.ceil(Math.log2(contentBytes + 16)));

/** The header's bytes. */
export function writeHeader(header: Omit<VaquitaHeader, 'memoryBytes'>): Buffer {
  const body = Buffer.concat([
    varint(header.features), digestBytes(header.target.diffId), varint(header.target.tarBytes), varint(header.target.entries), varint(header.sources.length),
    ...header.sources.flatMap((source) => [digestBytes(source.diffId), varint(source.tarBytes), varint(source.entries)]),
    ...limitNames.map((name) => varint(header.limits[name])),
  ]);
  return sealed(Buffer.concat([MAGIC, Buffer.from([VERSION]), varint(body.length), body]));
}

const limitNames = ['waiting', 'content', 'dictionary', 'headers', 'patches'] as const satisfies ReadonlyArray<keyof Limits>;

/** The header that `bytes` begins with and its length; undefined while it is not complete. Error: corrupt (no delta of ours, damaged, of a later version, needs features that are not known). */
export function readHeader(bytes: Buffer): { header: VaquitaHeader; headerBytes: number } | undefined {
  const known = Math.min(bytes.length, MAGIC.length);
  if (bytes.compare(MAGIC, 0, known, 0, known) !== 0) throw corrupt('these bytes are no delta of the format vaquita');
  if (bytes.length < PREAMBLE_BYTES) return undefined;
  if (bytes[MAGIC.length] !== VERSION) throw corrupt(`the delta is of version ${bytes[MAGIC.length]} of the format vaquita, this engine knows ${VERSION}`);
  const cursor = new Cursor(bytes, MAGIC.length + 1, bytes.length);
  const bodyBytes = cursor.varint();
  if (bodyBytes > MAX_HEADER_BYTES) throw corrupt(`the delta has a header of ${bodyBytes} bytes`);
  const end = cursor.at + bodyBytes;
  if (bytes.length < end + CRC_BYTES) return undefined;
  if (bytes.readUInt32LE(end) !== crc32(bytes.subarray(0, end))) throw corrupt('the header of the delta is damaged');
  return { header: readBody(new Cursor(bytes, cursor.at, end)), headerBytes: end + CRC_BYTES };
}

/** Reads the header alone, out of a delta's first bytes (64 KiB are enough). Errors as those of the decoder. */
export function readVaquitaHeader(bytes: Buffer): VaquitaHeader {
  const read = readHeader(bytes);
  if (read === undefined) throw corrupt('the delta is cut short in its header');
  return read.header;
}

function readBody(cursor: Cursor): VaquitaHeader {
  const features = cursor.varint();
  if (Math.floor(features / (KNOWN_FEATURES + 1)) !== 0) throw corrupt(`the delta needs features of a later version (${features})`);
  const target = { diffId: cursor.digest(), tarBytes: cursor.varint(), entries: cursor.varint() };
  if (target.entries * 512 > target.tarBytes) throw corrupt(`the delta has ${target.entries} entries in a tar of ${target.tarBytes} bytes`);
  const sources: Source[] = [];
  for (let left = cursor.varint(); left > 0; left--) {
    const source = { diffId: cursor.digest(), tarBytes: cursor.varint(), entries: cursor.varint() };
    if ((source.entries - 1) * 512 > source.tarBytes) throw corrupt(`the delta tells of ${source.entries} entries in a base layer of ${source.tarBytes} bytes`);
    sources.push(source);
  }
  const limits: Limits = { waiting: cursor.varint(), content: cursor.varint(), dictionary: cursor.varint(), headers: cursor.varint(), patches: cursor.varint() };
  cursor.assertEnd();
  return { features, target, sources, limits, memoryBytes: neededMemory({ target, sources, limits }) };
}

/** A frame's bytes, checksum included. */
export function writeFrame(type: FrameType, ...parts: readonly Uint8Array[]): Buffer {
  const payload = Buffer.concat(parts);
  return sealed(Buffer.concat([Buffer.from([type]), varint(payload.length), payload]));
}

function sealed(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, uint32(crc32(bytes))]);
}

/** Seven bits a byte, the lowest first. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push(rest % 128 + 128);
  }
}

export function uint32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => { bytes.writeUInt32LE(value, index * 4); });
  return bytes;
}

const digestBytes = (digest: string) => Buffer.from(digest.slice('sha256:'.length), 'hex');

/** Reads one thing after another between two places. Errors: corrupt. */
export class Cursor {
  readonly #bytes: Buffer;
  readonly #end: number;
  at: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes;
    this.at = start;
    this.#end = end;
  }

  get left(): number { return this.#end - this.at; }

  byte(): number {
    if (this.at >= this.#end) throw corrupt('a part of the delta is shorter than it says');
    return this.#bytes[this.at++] ?? 0;
  }

  varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.byte();
      value += (byte & 127) * factor;
      if (value >= 2 ** 48 || factor > 2 ** 48) throw corrupt('the delta has a number of more than 48 bits');
      if (byte < 128) return value;
    }
  }

  uint32(): number {
    return this.bytes(4).readUInt32LE(0);
  }

  digest(): string {
    return `sha256:${this.bytes(32).toString('hex')}`;
  }

  /** Not copied. */
  bytes(count: number): Buffer {
    if (count > this.left) throw corrupt('a part of the delta is shorter than it says');
    this.at += count;
    return this.#bytes.subarray(this.at - count, this.at);
  }

  assertEnd(): void {
    if (this.left > 0) throw corrupt(`a part of the delta is ${this.left} bytes longer than it says`);
  }
}

/** The largest prime of 32 bits. */
const PRIME = 4294967291;

/**
 * A check over several things that finds out which one is wrong: the sum of their checksums, and the sum of each checksum times its place, both modulo a prime.
 * When one thing has changed, the second sum is off by the first one's difference times its place.
 */
export class Check {
  #sum = 0;
  #weighted = 0;
  #count = 0;

  get count(): number { return this.#count; }

  /** The next thing, by its CRC-32. At most 2^20 of them. */
  add(crc: number): void {
    this.#count++;
    this.#sum = (this.#sum + crc) % PRIME;
    this.#weighted = (this.#weighted + this.#count * crc) % PRIME;
  }

  bytes(): Buffer { return uint32(this.#sum, this.#weighted); }

  /** undefined: all is as it was. -1: more than one thing is not. Else the place of the one that is not. */
  wrong(expected: Buffer): number | undefined {
    const sum = (this.#sum + PRIME - expected.readUInt32LE(0) % PRIME) % PRIME, weighted = (this.#weighted + PRIME - expected.readUInt32LE(4) % PRIME) % PRIME;
    if (sum === 0 && weighted === 0) return undefined;
    for (let place = 1, product = sum; place <= this.#count; place++, product = (product + sum) % PRIME) if (product === weighted) return place - 1;
    return -1;
  }
}
