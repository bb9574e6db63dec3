// PAX extended headers: "length key=value\n" records, those that matter here checked and decoded.
import { corrupt } from '../lib/errors.ts';

/** What the records say; what they leave out stands in the header block. Names are byte strings. */
export interface Pax {
  path?: string;
  linkPath?: string;
  sizeBytes?: number;
  uid?: number;
  gid?: number;
  mtimeNs?: bigint;
  atimeNs?: bigint;
  xattrs?: Map<string, Uint8Array>;
  sparse?: PaxSparse;
}

/** GNU's three ways to say in PAX records which parts of a file are not holes. */
export interface PaxSparse {
  major?: string;
  minor?: string;
  name?: string;
  /** Length of the file with its holes. */
  realSizeBytes?: number;
  /** Offsets and lengths in turn (formats 0.0 and 0.1). */
  map?: number[];
}

const XATTR_PREFIX = 'SCHILY.xattr.';
const SPARSE_PREFIX = 'GNU.sparse.';
const NEWLINE = 0x0a, BLANK = 0x20, EQUALS = 0x3d;
/** Digits of the largest length that a record of a header of at most 1 MiB can have. */
const MAX_LENGTH_DIGITS = 8;

export function parsePax(body: Buffer, length: number): Pax {
  const pax: Pax = {};
  for (let at = 0; at < length;) {
    const blank = body.indexOf(BLANK, at);
    const digits = blank < 0 || blank - at > MAX_LENGTH_DIGITS ? '' : body.toString('latin1', at, blank);
    const end = at + decimal(digits, 'length of a record');
    const equals = body.indexOf(EQUALS, blank);
    if (end > length || equals < 0 || equals >= end || body[end - 1] !== NEWLINE || equals === blank + 1) {
      throw corrupt('tar: an extended header has a broken record');
    }
    take(pax, body.toString('latin1', blank + 1, equals), body.subarray(equals + 1, end - 1));
    at = end;
  }
  return pax;
}

/** An empty value takes nothing back here: the header block's own value stays, as in Docker. */
function take(pax: Pax, key: string, value: Buffer): void {
  if (key.startsWith(XATTR_PREFIX)) {
    // Copied: the body's memory is used again for the next header.
    (pax.xattrs ??= new Map()).set(key.slice(XATTR_PREFIX.length), Uint8Array.from(value));
    return;
  }
  if (value.length === 0) return;
  const text = value.toString('latin1');
  if (key.startsWith(SPARSE_PREFIX)) { takeSparse(pax.sparse ??= {}, key.slice(SPARSE_PREFIX.length), text); return; }
  switch (key) {
    case 'path': pax.path = withoutNul(text, key); break;
    case 'linkpath': pax.linkPath = withoutNul(text, key); break;
    case 'size': pax.sizeBytes = decimal(text, key); break;
    case 'uid': pax.uid = decimal(text, key); break;
    case 'gid': pax.gid = decimal(text, key); break;
    case 'mtime': pax.mtimeNs = time(text, key); break;
    case 'atime': pax.atimeNs = time(text, key); break;
    default: // uname, gname, ctime, comments, other tools' keys
  }
}

function takeSparse(sparse: PaxSparse, key: string, text: string): void {
  switch (key) {
    case 'major': sparse.major = text; break;
    case 'minor': sparse.minor = text; break;
    case 'name': sparse.name = withoutNul(text, `GNU.sparse.${key}`); break;
    case 'size': case 'realsize': sparse.realSizeBytes = decimal(text, `GNU.sparse.${key}`); break;
    case 'offset': case 'numbytes': (sparse.map ??= []).push(decimal(text, `GNU.sparse.${key}`)); break; // given in turn
    case 'map': sparse.map = text.split(',').map((part) => decimal(part, 'GNU.sparse.map')); break;
    default:
  }
}

function withoutNul(text: string, key: string): string {
  if (text.includes('\0')) throw corrupt(`tar: ${key} of an extended header has a NUL byte in it`);
  return text;
}

function decimal(text: string, key: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value)) throw corrupt(`tar: ${key} of an extended header is no sane number`);
  return value;
}

function time(text: string, key: string): bigint {
  const match = /^(-?)(\d{1,12})(?:\.(\d*))?$/.exec(text);
  if (!match) throw corrupt(`tar: ${key} of an extended header is no time`);
  const fraction = (match[3] ?? '').slice(0, 9).padEnd(9, '0');
  const ns = BigInt(match[2] ?? '0') * 1_000_000_000n + BigInt(fraction);
  return match[1] === '-' ? -ns : ns;
}
