// One 512-byte header block of a tar archive: v7, ustar, GNU and star, decoded and checked.
import { corrupt } from '../lib/errors.ts';
import { textOf } from './byte-string.ts';

export const BLOCK_BYTES = 512;

/** The fields as the block has them; names are byte strings. */
export interface Header {
  name: string;
  linkName: string;
  /** '\0' of the oldest archives is given as '0'. */
  typeFlag: string;
  mode: number;
  uid: number;
  gid: number;
  sizeBytes: number;
  mtimeSeconds: number;
  devMajor: number;
  devMinor: number;
}

/** undefined for a block of zeros, which ends an archive. The block must be whole. */
export function parseHeader(block: Buffer, at: number): Header | undefined {
  if (block[at] === 0 && isZeroBlock(block, at)) return undefined;
  if (!checksumHolds(block, at)) throw corrupt('tar: a header block has a wrong checksum');
  const name = nameOf(block, at);
  const number = (offset: number, length: number, field: string) => parseNumber(block, { at: at + offset, length, field, name });
  const flag = block[at + 156] ?? 0;
  const typeFlag = flag === 0 ? '0' : String.fromCharCode(flag);
  const device = typeFlag === '3' || typeFlag === '4'; // elsewhere some writers leave rubbish in these fields
  return {
    name,
    linkName: textField(block, at + 157, 100),
    typeFlag,
    mode: number(100, 8, 'mode') & 0o7777,
    uid: number(108, 8, 'uid'),
    gid: number(116, 8, 'gid'),
    sizeBytes: number(124, 12, 'size'),
    mtimeSeconds: number(136, 12, 'mtime'),
    devMajor: device ? number(329, 8, 'device number') : 0,
    devMinor: device ? number(337, 8, 'device number') : 0,
  };
}

/** Bytes up to the first NUL, as a byte string. */
export function textField(block: Buffer, at: number, length: number): string {
  let end = at;
  while (end < at + length && block[end] !== 0) end++;
  return block.toString('latin1', at, end);
}

/** Octal digits, or with the top bit set a big-endian two's complement number (GNU); not exact ones are refused. */
export function parseNumber(block: Buffer, field: { at: number; length: number; field: string; name: string }): number {
  const { at, length } = field;
  const first = block[at] ?? 0;
  if (first >= 0x80) return binaryNumber(block, field);
  let i = at;
  const end = at + length;
  while (i < end && (block[i] === 0x20 || block[i] === 0)) i++;
  let value = 0;
  for (; i < end; i++) {
    const c = block[i] ?? 0;
    if (c === 0 || c === 0x20) break;
    if (c < 0x30 || c > 0x37) throw corrupt(`tar: ${textOf(field.name)}: the ${field.field} of its header is no number`);
    value = value * 8 + (c - 0x30);
  }
  return value;
}

export function isZeroBlock(block: Buffer, at: number): boolean {
  for (let i = at; i < at + BLOCK_BYTES; i++) if (block[i] !== 0) return false;
  return true;
}

function binaryNumber(block: Buffer, { at, length, field, name }: { at: number; length: number; field: string; name: string }): number {
  const first = block[at] ?? 0;
  const negative = (first & 0x40) !== 0;
  let value = negative ? (first & 0x7f) - 0x80 : first & 0x7f;
  for (let i = at + 1; i < at + length; i++) value = value * 256 + (block[i] ?? 0);
  if (!Number.isSafeInteger(value)) throw corrupt(`tar: ${textOf(name)}: the ${field} of its header is out of range`);
  return value;
}

/** The prefix field joins in only where the format has one; GNU keeps other things there. */
function nameOf(block: Buffer, at: number): string {
  const name = textField(block, at, 100);
  const ustar = block[at + 257] === 0x75 && block.toString('latin1', at + 257, at + 263) === 'ustar\0';
  if (!ustar || block[at + 345] === 0) return name;
  const star = block.toString('latin1', at + 508, at + 512) === 'tar\0';
  const prefix = textField(block, at + 345, star ? 131 : 155);
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** The sum of all bytes with the checksum itself as blanks; some old writers added bytes as signed numbers. */
function checksumHolds(block: Buffer, at: number): boolean {
  let unsigned = 8 * 0x20;
  let high = 0;
  for (let i = at; i < at + 148; i++) { const c = block[i] ?? 0; unsigned += c; high += c >> 7; }
  for (let i = at + 156; i < at + BLOCK_BYTES; i++) { const c = block[i] ?? 0; unsigned += c; high += c >> 7; }
  let want = 0;
  let i = at + 148;
  while (i < at + 156 && (block[i] === 0x20 || block[i] === 0)) i++;
  for (; i < at + 156; i++) {
    const c = block[i] ?? 0;
    if (c < 0x30 || c > 0x37) break;
    want = want * 8 + (c - 0x30);
  }
  return want === unsigned || want === unsigned - 256 * high;
}
