// Deterministic tar writer: ustar, with a PAX header in front of what ustar cannot say. Equal entries give equal bytes.
//
// GNU tar, busybox and Go read it: numbers beyond their field stand in the PAX header alone, names beyond ASCII as well.
import { BLOCK_BYTES } from './tar-header.ts';
import type { EntryType } from './tar-read.ts';

/** What is to be written; names are byte strings (see byte-string.ts). */
export interface TarItem {
  name: string;
  type: EntryType;
  /** Permissions; with the bits of the type (S_IFREG …) where the writer wants them, as Docker does. */
  mode: number;
  uid?: number;
  gid?: number;
  /** Of files: how many bytes of content follow the header. */
  sizeBytes?: number;
  mtimeNs?: bigint;
  linkName?: string;
  devMajor?: number;
  devMinor?: number;
  /** ASCII, at most 31 characters; nobody needs them. */
  userName?: string;
  groupName?: string;
  xattrs?: ReadonlyMap<string, Uint8Array> | undefined;
}

/** Two blocks of zeros end an archive. */
export const TAR_END: Uint8Array = new Uint8Array(2 * BLOCK_BYTES);

const TYPE_FLAGS: Record<EntryType, string> = { file: '0', hardlink: '1', symlink: '2', char: '3', block: '4', dir: '5', fifo: '6' };
const NAME_BYTES = 100, PREFIX_BYTES = 155;
const MAX_OCTAL_7 = 0o7777777, MAX_OCTAL_11 = 0o77777777777;
const NS = 1_000_000_000n;

/** The header of one entry, PAX header included; `sizeBytes` of content and then `tarPadding` must follow it. */
export function tarHeader(item: TarItem): Buffer {
  const records = paxRecords(item);
  const split = splitName(item.name);
  const block = ustarBlock({ ...item, name: split?.name ?? item.name.slice(0, NAME_BYTES) }, split?.prefix ?? '');
  if (records.length === 0) return block;
  const body = Buffer.concat(records);
  const slash = item.name.replace(/\/+$/, '').lastIndexOf('/');
  const pax = ustarBlock({ name: `PaxHeaders/${item.name.slice(slash + 1)}`.slice(0, NAME_BYTES), type: 'file', mode: 0o644, sizeBytes: body.length }, '');
  pax.write('x', 156, 'latin1');
  putChecksum(pax);
  return Buffer.concat([pax, body, tarPadding(body.length), block]);
}

/** Zeros that fill the last block of a content. */
export function tarPadding(sizeBytes: number): Uint8Array {
  return TAR_END.subarray(0, (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** A whole small archive at once. */
export function tarBytes(items: Iterable<TarItem & { content?: string | Uint8Array }>): Buffer {
  const parts: Uint8Array[] = [];
  for (const item of items) {
    const content = typeof item.content === 'string' ? Buffer.from(item.content, 'utf8') : item.content ?? new Uint8Array(0);
    parts.push(tarHeader({ ...item, sizeBytes: content.length }), content, tarPadding(content.length));
  }
  return Buffer.concat([...parts, TAR_END]);
}

/** Sorted, so that equal entries give equal bytes. */
function paxRecords(item: TarItem): Buffer[] {
  const records: Buffer[] = [];
  const add = (key: string, value: Uint8Array) => records.push(paxRecord(key, value));
  const bytes = (text: string) => Buffer.from(text, 'latin1');
  const mtimeNs = item.mtimeNs ?? 0n;
  if ((item.gid ?? 0) > MAX_OCTAL_7) add('gid', bytes(String(item.gid)));
  if (!fits(item.linkName ?? '')) add('linkpath', bytes(item.linkName ?? ''));
  if (mtimeNs < 0n || mtimeNs % NS !== 0n || mtimeNs / NS > MAX_OCTAL_11) add('mtime', bytes(paxTime(mtimeNs)));
  if (splitName(item.name) === undefined) add('path', bytes(item.name));
  for (const [name, value] of [...item.xattrs ?? []].sort(([a], [b]) => (a < b ? -1 : 1))) add(`SCHILY.xattr.${name}`, value);
  if ((item.sizeBytes ?? 0) > MAX_OCTAL_11) add('size', bytes(String(item.sizeBytes)));
  if ((item.uid ?? 0) > MAX_OCTAL_7) add('uid', bytes(String(item.uid)));
  return records;
}

/** The length in front counts itself. */
function paxRecord(key: string, value: Uint8Array): Buffer {
  const rest = key.length + value.length + 3; // blank, equals, newline
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`, 'latin1'), value, Buffer.from('\n')]);
}

function paxTime(ns: bigint): string {
  const size = ns < 0n ? -ns : ns;
  const fraction = (size % NS).toString().padStart(9, '0').replace(/0+$/, '');
  return `${ns < 0n ? '-' : ''}${size / NS}${fraction === '' ? '' : `.${fraction}`}`;
}

/** ASCII that fits the field as it is; anything else goes into PAX, where it is clear what it means. */
const fits = (name: string) => name.length <= NAME_BYTES && /^\p{ASCII}*$/u.test(name);

function splitName(name: string): { prefix: string; name: string } | undefined {
  if (fits(name)) return { prefix: '', name };
  if (!/^\p{ASCII}*$/u.test(name)) return undefined;
  // The last slash that leaves both parts short enough, and something in the second one.
  const slash = name.lastIndexOf('/', Math.min(PREFIX_BYTES, name.length - 2));
  if (slash <= 0 || name.length - slash - 1 > NAME_BYTES) return undefined;
  return { prefix: name.slice(0, slash), name: name.slice(slash + 1) };
}

function ustarBlock(item: TarItem, prefix: string): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const text = (value: string, at: number) => block.write(value, at, 'latin1');
  const octal = (value: number, at: number, digits: number) => text(value.toString(8).padStart(digits, '0'), at);
  const within = (value: number, most: number) => (value < 0 || value > most ? 0 : value);
  const seconds = Number((item.mtimeNs ?? 0n) / NS);
  text(item.name, 0);
  octal(item.mode & MAX_OCTAL_7, 100, 7);
  octal(within(item.uid ?? 0, MAX_OCTAL_7), 108, 7);
  octal(within(item.gid ?? 0, MAX_OCTAL_7), 116, 7);
  octal(within(item.type === 'file' ? item.sizeBytes ?? 0 : 0, MAX_OCTAL_11), 124, 11);
  octal(within(seconds, MAX_OCTAL_11), 136, 11);
  text(TYPE_FLAGS[item.type], 156);
  text((item.linkName ?? '').slice(0, NAME_BYTES), 157);
  text('ustar\0' + '00', 257);
  text(item.userName ?? '', 265);
  text(item.groupName ?? '', 297);
  octal(within(item.devMajor ?? 0, MAX_OCTAL_7), 329, 7);
  octal(within(item.devMinor ?? 0, MAX_OCTAL_7), 337, 7);
  text(prefix, 345);
  putChecksum(block);
  return block;
}

function putChecksum(block: Buffer): void {
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}
