// Names in tar headers: read out of them, and put into headers in the ways in which archivers write names that are too long for their field.
import { BLOCK_BYTES, FIELD, padded, paxRecord, readNumber, writeChecksum, writeNumber } from './tar-entries.ts';

/** How a name is written: in its field, split into prefix and name, in a block of GNU's, in a record of an extension header. */
export type NameStyle = 0 | 1 | 2 | 3;
const PLAIN = 0, SPLIT = 1, GNU = 2, PAX = 3;

const NAME_BYTES = FIELD.name.bytes, PREFIX_BYTES = FIELD.prefix.bytes;
/** What a header looks like before there was any: GNU's, of a file of root. */
const FIRST_FIELDS = '0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00000000\x00 0';

export function firstHeader(): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES);
  header.write(FIRST_FIELDS, FIELD.mode.at, 'latin1');
  header.write('ustar\x0000', FIELD.magic.at, 'latin1');
  return header;
}

/** How the name in these header blocks is written. */
export function styleOf(header: Buffer): NameStyle {
  if (header.length > BLOCK_BYTES) return header[FIELD.type.at] === 0x4c ? GNU : PAX;
  return isSplit(header) ? SPLIT : PLAIN;
}

/** The name of an entry out of its header blocks, byte by byte (latin1). */
export function pathOf(header: Buffer): string {
  let path: string | undefined;
  for (let at = 0; at + BLOCK_BYTES < header.length;) {
    const type = header[at + FIELD.type.at], bytes = readNumber(header.subarray(at, at + BLOCK_BYTES), 'size'), from = at + BLOCK_BYTES;
    if (from + bytes > header.length) break;
    if (type === 0x4c) path = textUntilZero(header, from, from + bytes);
    if (type === 0x78) path = paxRecord(header.subarray(from, from + bytes), 'path') ?? path;
    at = from + padded(bytes);
  }
  if (path !== undefined) return path;
  const main = header.length - BLOCK_BYTES, name = fieldText(header, main + FIELD.name.at, NAME_BYTES);
  return isSplit(header) ? `${fieldText(header, main + FIELD.prefix.at, PREFIX_BYTES)}/${name}` : name;
}

/** The same place under whatever an archiver puts before it. */
export const plainPath = (path: string) => path.startsWith('./') ? path.slice(2) : path.startsWith('/') ? path.slice(1) : path;

/** The name that a link leads to, out of the last header block. */
export const linkOf = (header: Buffer) => fieldText(header, header.length - BLOCK_BYTES + FIELD.link.at, FIELD.link.bytes);

/** Writes headers for names; what it cannot know of extension headers is as it was in the last ones seen. */
export class NameWriter {
  #long = longTemplate();
  #pax = paxTemplate();

  /** Learns from an entry's header blocks. */
  saw(header: Buffer): void {
    if (header.length === BLOCK_BYTES) return;
    const type = header[FIELD.type.at];
    if (type === 0x4c) header.copy(this.#long, 0, 0, BLOCK_BYTES);
    if (type === 0x78) header.copy(this.#pax, 0, 0, BLOCK_BYTES);
  }

  /** Header blocks of an entry called `path` that is otherwise as the last block of `like` says. */
  write(path: string, style: NameStyle, like: Buffer): Buffer {
    const main = Buffer.from(like.subarray(like.length - BLOCK_BYTES));
    main.fill(0, FIELD.name.at, FIELD.name.at + NAME_BYTES);
    if (isUstar(main)) main.fill(0, FIELD.prefix.at, FIELD.prefix.at + PREFIX_BYTES);
    switch (style) {
      case PLAIN: main.write(path.slice(0, NAME_BYTES), 0, 'latin1'); return main;
      case SPLIT: {
        const cut = splitAt(path);
        main.write(path.slice(0, Math.max(0, cut)).slice(0, PREFIX_BYTES), FIELD.prefix.at, 'latin1');
        main.write(path.slice(cut + 1, cut + 1 + NAME_BYTES), 0, 'latin1');
        return main;
      }
      case GNU: main.write(path.slice(0, NAME_BYTES), 0, 'latin1'); return Buffer.concat([extension(this.#long, `${path}\0`), main]);
      case PAX: {
        main.write(path.slice(0, NAME_BYTES), 0, 'latin1');
        const before = Buffer.from(this.#pax);
        before.fill(0, 0, NAME_BYTES);
        before.write(paxName(path).slice(0, NAME_BYTES), 0, 'latin1');
        return Buffer.concat([extension(before, paxText('path', path)), main]);
      }
      default: return style satisfies never;
    }
  }
}

/** An extension header with its body. */
function extension(template: Buffer, body: string): Buffer {
  const blocks = Buffer.alloc(BLOCK_BYTES + padded(body.length));
  template.copy(blocks, 0, 0, BLOCK_BYTES);
  blocks.write(body, BLOCK_BYTES, 'latin1');
  const header = blocks.subarray(0, BLOCK_BYTES);
  writeNumber(header, 'size', body.length);
  writeChecksum(header, 0);
  return blocks;
}

/** The last slash that leaves at most 100 bytes behind it and 155 before it; -1: none does. */
function splitAt(path: string): number {
  const end = path.length > PREFIX_BYTES + 1 ? PREFIX_BYTES + 1 : path.endsWith('/') ? path.length - 1 : path.length;
  return path.lastIndexOf('/', end - 1);
}

function paxText(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let bytes = rest.length + 1;
  while (`${bytes}`.length + rest.length !== bytes) bytes = `${bytes}`.length + rest.length;
  return `${bytes}${rest}`;
}

/** As Go's archive/tar names extension headers. */
function paxName(path: string): string {
  const bare = path.endsWith('/') ? path.slice(0, -1) : path, slash = bare.lastIndexOf('/');
  return `${bare.slice(0, slash + 1)}PaxHeaders.0/${bare.slice(slash + 1)}`;
}

function longTemplate(): Buffer {
  const header = firstHeader();
  header.write('././@LongLink', 0, 'latin1');
  header[FIELD.type.at] = 0x4c;
  header.write('ustar  \0', FIELD.magic.at, 'latin1');
  header.write('root', 265, 'latin1');
  header.write('root', 297, 'latin1');
  return header;
}

function paxTemplate(): Buffer {
  const header = firstHeader();
  header.write('0000000', FIELD.mode.at, 'latin1');
  header[FIELD.type.at] = 0x78;
  return header;
}

const isUstar = (header: Buffer) => header.toString('latin1', header.length - BLOCK_BYTES + FIELD.magic.at, header.length - BLOCK_BYTES + FIELD.magic.at + 6) === 'ustar\0';
const isSplit = (header: Buffer) => isUstar(header) && header[header.length - BLOCK_BYTES + FIELD.prefix.at] !== 0;
const fieldText = (header: Buffer, at: number, bytes: number) => textUntilZero(header, at, at + bytes);

function textUntilZero(bytes: Buffer, start: number, end: number): string {
  const zero = bytes.indexOf(0, start);
  return bytes.toString('latin1', start, zero < 0 || zero > end ? end : zero);
}
