// Incremental tar reader: takes the bytes as they come and calls back with entries, their content, and every other byte as it stands.
//
// Reads what Go's archive/tar reads, since that is what Docker's layers are held to: ustar, GNU (long names, binary numbers, sparse),
// PAX, v7. Global PAX headers are passed over, as Docker does. Every refusal is `corrupt` and names the entry.
import { corrupt } from '../lib/errors.ts';
import { textOf } from './byte-string.ts';
import { BLOCK_BYTES, isZeroBlock, parseHeader, type Header } from './tar-header.ts';
import { parsePax, type Pax } from './tar-pax.ts';
import { SparseText, oldSparseMap, checkedSparseMap, oldSparseRealSize, takeOldSparseBlock } from './tar-sparse.ts';

export type EntryType = 'file' | 'dir' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo';

export interface TarEntry {
  /** Byte string, just as the archive has it (see byte-string.ts). */
  name: string;
  linkName: string;
  type: EntryType;
  mode: number;
  uid: number;
  gid: number;
  /** Length of the file as extracted, holes included; 0 for what has no content. */
  sizeBytes: number;
  mtimeNs: bigint;
  /** Where the archive gives one. */
  atimeNs: bigint | undefined;
  devMajor: number;
  devMinor: number;
  xattrs: ReadonlyMap<string, Uint8Array> | undefined;
  /** The content comes with holes, and its bytes in the archive are not the file's bytes. */
  sparse: boolean;
}

/** All memory that is handed over belongs to the caller again when the callback returns. */
export interface TarHandler {
  /** Bytes of the archive that are nobody's content: headers, padding, the end. In order with `data`, nothing left out. */
  raw(bytes: Buffer, start: number, end: number): void;
  entry(entry: TarEntry): void;
  /** The next bytes of the last entry's content. */
  data(bytes: Buffer, start: number, end: number): void;
  /** So many zeros come next in the last entry's content; the archive does not hold them. */
  hole(bytes: number): void;
  /** The last entry is complete. Called for each one. */
  entryEnd(): void;
}

/** PAX headers and GNU long names; Go has the same limit. */
const MAX_META_BYTES = 1 << 20;
/** PATH_MAX of Linux. */
const MAX_NAME_BYTES = 4096;
/** The number of all ones means "leave as it is" to chown(2). */
const MAX_ID = 0xffff_fffe;
const NS = 1_000_000_000n;

type State = 'header' | 'meta' | 'old-sparse' | 'sparse-text' | 'data' | 'padding' | 'zero' | 'rest';

export class TarReader {
  readonly #handler: TarHandler;
  #state: State = 'header';
  /** A block of which only `#held` bytes have come. */
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  #held = 0;
  /** Bytes left of the state that counts them. */
  #left = 0;
  #padding = 0;
  #meta = Buffer.alloc(0);
  #metaLength = 0;
  #metaFlag = '';
  #pax: Pax | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;
  #entry: TarEntry | undefined;
  /** Where content stands in a sparse file: offset and length in turn. */
  #map: number[] | undefined;
  #mapIndex = 0;
  #position = 0;
  #text: SparseText | undefined;

  constructor(handler: TarHandler) { this.#handler = handler; }

  write(bytes: Buffer, start = 0, end = bytes.length): void {
    for (let at = start; at < end;) at = this.#step(bytes, at, end);
  }

  /** The archive is complete. Some writers leave out the closing zeros, and the padding of the last file. */
  finish(): void {
    const whole = this.#held === 0 && (this.#state === 'header' || this.#state === 'zero' || this.#state === 'rest');
    if (!whole && this.#state !== 'padding') throw corrupt(`tar: ${this.#where()} is cut short`);
  }

  #step(bytes: Buffer, at: number, end: number): number {
    switch (this.#state) {
      case 'header': case 'old-sparse': case 'sparse-text': case 'zero': return this.#collect(bytes, at, end);
      case 'rest': this.#handler.raw(bytes, at, end); return end;
      default: break;
    }
    const n = Math.min(this.#left, end - at);
    this.#left -= n;
    if (this.#state === 'data') this.#content(bytes, at, at + n);
    else {
      this.#handler.raw(bytes, at, at + n);
      if (this.#state === 'meta') this.#metaLength += bytes.copy(this.#meta, this.#metaLength, at, at + n);
    }
    if (this.#left === 0) this.#stateEnd();
    return at + n;
  }

  /** Blocks that lie whole in the chunk, as nearly all do, are read where they are. */
  #collect(bytes: Buffer, at: number, end: number): number {
    if (this.#held === 0 && end - at >= BLOCK_BYTES) {
      this.#blockComplete(bytes, at);
      return at + BLOCK_BYTES;
    }
    const n = bytes.copy(this.#block, this.#held, at, Math.min(end, at + BLOCK_BYTES - this.#held));
    this.#held += n;
    if (this.#held === BLOCK_BYTES) {
      this.#held = 0;
      this.#blockComplete(this.#block, 0);
    }
    return at + n;
  }

  #blockComplete(block: Buffer, at: number): void {
    this.#handler.raw(block, at, at + BLOCK_BYTES);
    if (this.#state === 'header') { this.#header(block, at); return; }
    if (this.#state === 'zero') {
      if (!isZeroBlock(block, at)) throw corrupt('tar: one block of zeros is followed by something else than a second one');
      this.#state = 'rest';
      return;
    }
    const map = this.#map ?? [];
    if (this.#state === 'old-sparse') {
      if (!takeOldSparseBlock(map, block, at)) this.#begin();
      return;
    }
    this.#left -= BLOCK_BYTES;
    if (this.#text?.take(block, at) === true) { this.#map = this.#text.map; this.#begin(); }
    else if (this.#left < BLOCK_BYTES) throw corrupt(`tar: ${this.#where()}: its sparse map is cut short`);
  }

  #header(block: Buffer, at: number): void {
    const header = parseHeader(block, at);
    if (header === undefined) { this.#state = 'zero'; return; }
    if ('xgLKX'.includes(header.typeFlag)) { this.#startMeta(header); return; }
    this.#startEntry(header, block, at);
  }

  #startMeta(header: Header): void {
    const { sizeBytes, typeFlag } = header;
    if (sizeBytes < 0 || sizeBytes > MAX_META_BYTES) {
      throw corrupt(`tar: ${textOf(header.name)}: an extended header of ${sizeBytes} bytes; at most ${MAX_META_BYTES} are read`);
    }
    if (this.#meta.length < sizeBytes) this.#meta = Buffer.alloc(Math.max(4096, sizeBytes));
    this.#metaLength = 0;
    this.#metaFlag = typeFlag;
    this.#padding = paddingOf(sizeBytes);
    this.#enter('meta', sizeBytes);
  }

  #metaComplete(): void {
    const text = () => { const nul = this.#meta.indexOf(0); return this.#meta.toString('latin1', 0, nul < 0 ? this.#metaLength : Math.min(nul, this.#metaLength)); };
    switch (this.#metaFlag) {
      case 'x': case 'X': this.#pax = parsePax(this.#meta, this.#metaLength); break;
      case 'L': this.#longName = text(); break;
      case 'K': this.#longLink = text(); break;
      default: parsePax(this.#meta, this.#metaLength); // global: checked and passed over
    }
    if (this.#meta.length > 65536) this.#meta = Buffer.alloc(0); // rare; the memory is not kept
  }

  #startEntry(header: Header, block: Buffer, at: number): void {
    const pax = this.#pax ?? NO_PAX;
    const entry = mergedEntry(header, pax, { name: this.#longName, linkName: this.#longLink });
    this.#pax = this.#longName = this.#longLink = undefined;
    this.#entry = entry;
    this.#map = this.#text = undefined;
    this.#position = this.#mapIndex = 0;
    this.#left = entry.sizeBytes;
    this.#padding = paddingOf(entry.sizeBytes);
    if (header.typeFlag === 'S') {
      this.#map = [];
      entry.sparse = true;
      entry.sizeBytes = oldSparseRealSize(block, { at, name: entry.name });
      if (oldSparseMap(this.#map, block, at)) { this.#state = 'old-sparse'; return; }
    } else if (entry.sparse) {
      entry.sizeBytes = pax.sparse?.realSizeBytes ?? entry.sizeBytes;
      this.#map = pax.sparse?.map ?? [];
      if (pax.sparse?.major === '1') { this.#text = new SparseText(); this.#state = 'sparse-text'; return; }
    }
    this.#begin();
  }

  /** Header and map are read; what comes now is content. */
  #begin(): void {
    const entry = this.#entry;
    if (entry === undefined) return;
    if (this.#map !== undefined) checkedSparseMap(this.#map, { name: entry.name, dataBytes: this.#left, sizeBytes: entry.sizeBytes });
    this.#handler.entry(entry);
    this.#enter('data', this.#left);
  }

  #content(bytes: Buffer, start: number, end: number): void {
    const map = this.#map;
    if (map === undefined) { if (start < end) this.#handler.data(bytes, start, end); return; }
    for (let at = start; at < end;) {
      const offset = map[this.#mapIndex] ?? 0;
      const stop = offset + (map[this.#mapIndex + 1] ?? 0);
      if (this.#position < offset) { this.#handler.hole(offset - this.#position); this.#position = offset; }
      const n = Math.min(end - at, stop - this.#position);
      if (n > 0) this.#handler.data(bytes, at, at + n);
      at += n;
      this.#position += n;
      if (this.#position === stop) this.#mapIndex += 2;
    }
  }

  #enter(state: State, left: number): void {
    this.#state = state;
    this.#left = left;
    if (left === 0) this.#stateEnd();
  }

  #stateEnd(): void {
    const from = this.#state;
    if (from === 'padding') { this.#state = 'header'; return; }
    if (from === 'meta') this.#metaComplete();
    else {
      const hole = (this.#entry?.sizeBytes ?? 0) - this.#position;
      if (this.#map !== undefined && hole > 0) this.#handler.hole(hole);
      this.#handler.entryEnd();
    }
    this.#enter('padding', this.#padding);
  }

  #where(): string {
    return this.#state === 'header' || this.#entry === undefined ? 'the archive' : textOf(this.#entry.name);
  }
}

const NO_PAX: Pax = {};

/** The strongest word wins: GNU long name, then PAX, then the block. */
function mergedEntry(header: Header, pax: Pax, long: { name: string | undefined; linkName: string | undefined }): TarEntry {
  const sparse = isPaxSparse(pax);
  const name = long.name ?? (sparse ? pax.sparse?.name : undefined) ?? pax.path ?? header.name;
  const linkName = long.linkName ?? pax.linkPath ?? header.linkName;
  const shown = () => textOf(name.slice(0, 256));
  if (name.length > MAX_NAME_BYTES || linkName.length > MAX_NAME_BYTES) throw corrupt(`tar: ${shown()}…: a name of more than ${MAX_NAME_BYTES} bytes`);
  const type = typeOf(header, name);
  const stored = pax.sizeBytes ?? header.sizeBytes;
  const entry: TarEntry = {
    name, linkName, type, sparse,
    mode: header.mode,
    uid: pax.uid ?? header.uid,
    gid: pax.gid ?? header.gid,
    sizeBytes: type === 'file' ? stored : 0,
    mtimeNs: pax.mtimeNs ?? BigInt(header.mtimeSeconds) * NS,
    atimeNs: pax.atimeNs,
    devMajor: header.devMajor,
    devMinor: header.devMinor,
    xattrs: pax.xattrs,
  };
  if (stored < 0) throw corrupt(`tar: ${shown()}: a size of ${stored} bytes`);
  if (entry.uid < 0 || entry.uid > MAX_ID || entry.gid < 0 || entry.gid > MAX_ID) throw corrupt(`tar: ${shown()}: owner ${entry.uid}:${entry.gid} is out of range`);
  if (entry.devMajor < 0 || entry.devMinor < 0 || entry.devMajor > 0xffff_ffff || entry.devMinor > 0xffff_ffff) throw corrupt(`tar: ${shown()}: its device number is out of range`);
  if (sparse && type !== 'file') throw corrupt(`tar: ${shown()}: only a file can be sparse`);
  if (type === 'dir' && header.typeFlag !== '5' && stored > 0) throw corrupt(`tar: ${shown()}: a directory with content`);
  return entry;
}

/** Files whose name ends in a slash are directories, as the oldest archives wrote them. */
function typeOf(header: Header, name: string): EntryType {
  switch (header.typeFlag) {
    case '0': case '7': return name.endsWith('/') ? 'dir' : 'file';
    case 'S': return 'file';
    case '1': return 'hardlink';
    case '2': return 'symlink';
    case '3': return 'char';
    case '4': return 'block';
    case '5': return 'dir';
    case '6': return 'fifo';
    default: throw corrupt(`tar: ${textOf(name)}: unknown type of entry ${JSON.stringify(header.typeFlag)}`);
  }
}

function isPaxSparse({ sparse }: Pax): boolean {
  if (sparse === undefined) return false;
  if (sparse.major !== undefined || sparse.minor !== undefined) {
    const version = `${sparse.major}.${sparse.minor}`;
    if (version !== '1.0' && version !== '0.1' && version !== '0.0') throw corrupt(`tar: a sparse file of the unknown format ${version}`);
    return true;
  }
  return sparse.map !== undefined || sparse.realSizeBytes !== undefined;
}

function paddingOf(sizeBytes: number): number {
  return (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
}
