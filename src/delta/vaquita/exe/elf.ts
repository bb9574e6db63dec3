// The few facts about an ELF image that predict its addresses, read from any file without trusting it.
import type { ByteView } from '../../bytes.ts';

/** A run of bytes of the file and where it is in memory. */
export interface Span { readonly offset: number; readonly address: number; readonly bytes: number; readonly code: boolean }
/** A table in the file. */
export interface Table { readonly offset: number; readonly bytes: number }

/** Addresses of an image that stored ones are written against. */
export interface Anchors {
  readonly segments: readonly Span[];
  /** Of .eh_frame_hdr, .dynsym and .dynstr; 0: none. */
  readonly frameIndex: number;
  readonly symbols: number;
  readonly names: number;
  /** The global offset table of i386, from which its position-independent code counts; 0: none. */
  readonly got: number;
  /** What the offsets of Go's function tables count from: code, functions, names, tables of code, units, files, (number of functions), function data. */
  readonly go: readonly number[];
}

export interface ElfImage {
  readonly wide: boolean;
  readonly machine: number;
  /** All addresses are from `low` and below `high`. */
  readonly low: number;
  readonly high: number;
  readonly anchors: Anchors;
  /** Sorted by offset; the segments, when there is no table of sections. */
  readonly sections: readonly Span[];
  /** .eh_frame_hdr, when it has the usual form, and the rest of the segment from .eh_frame on. */
  readonly frameIndex: Table | undefined;
  readonly frames: Table | undefined;
  /** .ARM.exidx */
  readonly unwind: Table | undefined;
  /** .dynsym */
  readonly symbols: Table | undefined;
  /** .rel.* and .rela.* with the bytes of an entry. */
  readonly relocations: readonly (Table & { readonly entryBytes: number })[];
  /** .gopclntab */
  readonly go: Table | undefined;
}

export const I386 = 3, ARM = 40, X86_64 = 62, ARM64 = 183;

/** Addresses above are not predicted: sums with them stay exact numbers. */
const MAX_ADDRESS = 2 ** 48;
/** From the lowest to the highest address of an image: differences fit 32 bits. */
export const MAX_SPREAD = 2 ** 30;
export const MAX_SEGMENTS = 64;
const MAX_SECTIONS = 256, MAX_ENTRY_BYTES = 256;
const PT_LOAD = 1, PT_DYNAMIC = 2, PT_GNU_EH_FRAME = 0x6474e550, PT_ARM_EXIDX = 0x70000001;
const SHT_NULL = 0, SHT_RELA = 4, SHT_NOBITS = 8, SHT_REL = 9, SHT_DYNSYM = 11;
const SHF_ALLOC = 2, SHF_EXECINSTR = 4;
const DT_NULL = 0, DT_PLTGOT = 3, MAX_DYNAMIC_BYTES = 2048;

/** The facts of a little-endian ELF image, or undefined: another kind of file, a damaged one, or one beyond the limits. */
export function readElf(file: ByteView): ElfImage | undefined {
  const head = readPart(file, 0, 64);
  if (head === undefined || head.readUInt32BE(0) !== 0x7f454c46 || head[5] !== 1) return undefined;
  const wide = head[4] === 2, machine = head.readUInt16LE(18), fields = fieldsOf(wide);
  const programs = entriesOf(file, { offset: fields.word(head, wide ? 32 : 28), entryBytes: head.readUInt16LE(wide ? 54 : 42), count: head.readUInt16LE(wide ? 56 : 44) }, MAX_SEGMENTS);
  const loaded = programs === undefined ? undefined : readSegments(programs, { wide, machine, fileBytes: file.sizeBytes });
  if (loaded === undefined) return undefined;
  const sectionTable = { offset: fields.word(head, wide ? 40 : 32), entryBytes: head.readUInt16LE(wide ? 58 : 46), count: head.readUInt16LE(wide ? 60 : 48) };
  const named = readSections(entriesOf(file, sectionTable, MAX_SECTIONS) ?? [], wide, file.sizeBytes);
  const sections = named.sections.length > 0 ? named.sections : loaded.segments;
  const frames = readFrameIndex(file, loaded);
  const go = findGo(file, sections, loaded);
  return {
    wide, machine, low: loaded.low, high: loaded.high, sections, unwind: loaded.unwind, symbols: named.symbols, relocations: named.relocations,
    frameIndex: frames?.index, frames: frames?.frames, go: go?.table,
    anchors: { segments: loaded.segments, frameIndex: frames === undefined ? 0 : loaded.frameIndexAddress, symbols: named.symbolsAddress, names: named.namesAddress, got: readGot(file, loaded.dynamic), go: go?.anchors ?? [] },
  };
}

/** The span that holds a byte of the file, or undefined. */
export function spanAt(spans: readonly Span[], offset: number): Span | undefined {
  for (const span of spans) if (offset >= span.offset && offset < span.offset + span.bytes) return span;
  return undefined;
}

/** Bytes of a file, or undefined where it has none. */
export function readPart(file: ByteView, offset: number, bytes: number): Buffer | undefined {
  if (offset < 0 || offset + bytes > file.sizeBytes) return undefined;
  const part = Buffer.alloc(bytes);
  file.read(offset, part, { start: 0, end: bytes });
  return part;
}

interface Fields { word(bytes: Buffer, at: number): number }
const fieldsOf = (wide: boolean): Fields => ({ word: (bytes, at) => wide ? readWide(bytes, at) : bytes.readUInt32LE(at) });
export const readWide = (bytes: Buffer, at: number): number => bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;

function entriesOf(file: ByteView, table: { offset: number; entryBytes: number; count: number }, max: number): Buffer[] | undefined {
  const { offset, entryBytes, count } = table;
  if (count === 0 || count > max || entryBytes < 32 || entryBytes > MAX_ENTRY_BYTES) return undefined;
  const all = readPart(file, offset, entryBytes * count);
  return all === undefined ? undefined : Array.from({ length: count }, (_, k) => all.subarray(k * entryBytes, (k + 1) * entryBytes));
}

interface Loaded { segments: Span[]; dynamic: Table | undefined; low: number; high: number; frameIndex: Table | undefined; frameIndexAddress: number; unwind: Table | undefined }

function readSegments(entries: readonly Buffer[], image: { wide: boolean; machine: number; fileBytes: number }): Loaded | undefined {
  const { wide, machine, fileBytes } = image, fields = fieldsOf(wide);
  const loaded: Loaded = { segments: [], dynamic: undefined, low: Infinity, high: 0, frameIndex: undefined, frameIndexAddress: 0, unwind: undefined };
  for (const entry of entries) {
    if (wide && entry.length < 56) return undefined;
    const type = entry.readUInt32LE(0), flags = entry.readUInt32LE(wide ? 4 : 24);
    const offset = fields.word(entry, wide ? 8 : 4), address = fields.word(entry, wide ? 16 : 8);
    const bytes = fields.word(entry, wide ? 32 : 16), inMemory = fields.word(entry, wide ? 40 : 20);
    const whole = offset + bytes <= fileBytes;
    if (type === PT_LOAD) {
      if (!whole || address + Math.max(inMemory, bytes) > MAX_ADDRESS) return undefined;
      loaded.segments.push({ offset, address, bytes, code: (flags & 1) !== 0 });
      loaded.low = Math.min(loaded.low, address);
      loaded.high = Math.max(loaded.high, address + inMemory);
    } else if (type === PT_GNU_EH_FRAME && whole && address < MAX_ADDRESS) {
      loaded.frameIndex = { offset, bytes };
      loaded.frameIndexAddress = address;
    } else if (type === PT_DYNAMIC && machine === I386 && whole) loaded.dynamic = { offset, bytes };
    else if (type === PT_ARM_EXIDX && machine === ARM && whole) loaded.unwind = { offset, bytes };
  }
  return loaded.segments.length === 0 || loaded.high - loaded.low > MAX_SPREAD ? undefined : loaded;
}

interface Sections { sections: Span[]; symbols: Table | undefined; symbolsAddress: number; namesAddress: number; relocations: (Table & { entryBytes: number })[] }

function readSections(entries: readonly Buffer[], wide: boolean, fileBytes: number): Sections {
  const fields = fieldsOf(wide), found: Sections = { sections: [], symbols: undefined, symbolsAddress: 0, namesAddress: 0, relocations: [] };
  for (const entry of entries) {
    if (entry.length < (wide ? 64 : 40)) return found;
    const type = entry.readUInt32LE(4), flags = fields.word(entry, 8) % 2 ** 32;
    const address = fields.word(entry, wide ? 16 : 12), offset = fields.word(entry, wide ? 24 : 16), bytes = fields.word(entry, wide ? 32 : 20);
    if ((flags & SHF_ALLOC) === 0 || type === SHT_NOBITS || type === SHT_NULL || bytes === 0) continue;
    if (offset + bytes > fileBytes || address + bytes > MAX_ADDRESS) continue;
    found.sections.push({ offset, address, bytes, code: (flags & SHF_EXECINSTR) !== 0 });
    if (type === SHT_DYNSYM) {
      const link = entries[entry.readUInt32LE(wide ? 40 : 24)];
      const names = link === undefined || link.length < (wide ? 64 : 40) ? 0 : fields.word(link, wide ? 16 : 12);
      found.symbols = { offset, bytes };
      found.symbolsAddress = address;
      found.namesAddress = names < MAX_ADDRESS ? names : 0;
    } else if (type === SHT_RELA || type === SHT_REL) {
      found.relocations.push({ offset, bytes, entryBytes: (type === SHT_RELA ? 3 : 2) * (wide ? 8 : 4) });
    }
  }
  found.sections.sort((a, b) => a.offset - b.offset);
  return found;
}

/** .eh_frame_hdr with 32-bit places relative to itself, sorted, as every linker writes it; and .eh_frame, to which it points. */
function readFrameIndex(file: ByteView, loaded: Loaded): { index: Table; frames: Table | undefined } | undefined {
  const index = loaded.frameIndex;
  if (index === undefined || index.bytes < 12) return undefined;
  const head = readPart(file, index.offset, 12);
  if (head === undefined || head[0] !== 1 || head[1] !== 0x1b || head[3] !== 0x3b) return undefined;
  const address = loaded.frameIndexAddress + 4 + head.readInt32LE(4);
  const segment = loaded.segments.find((one) => address >= one.address && address < one.address + one.bytes);
  if (segment === undefined) return { index, frames: undefined };
  const offset = address - segment.address + segment.offset;
  return { index, frames: { offset, bytes: segment.offset + segment.bytes - offset } };
}

/** What an image of i386 says of its global offset table. */
function readGot(file: ByteView, dynamic: Table | undefined): number {
  const entries = dynamic === undefined ? undefined : readPart(file, dynamic.offset, Math.min(dynamic.bytes, MAX_DYNAMIC_BYTES) & ~7);
  for (let at = 0; entries !== undefined && at < entries.length && entries.readUInt32LE(at) !== DT_NULL; at += 8) {
    if (entries.readUInt32LE(at) === DT_PLTGOT) return entries.readUInt32LE(at + 4);
  }
  return 0;
}

/** Go's table of functions (of Go 1.18 and later), known by its first bytes. */
function findGo(file: ByteView, sections: readonly Span[], range: { low: number; high: number }): { table: Table; anchors: number[] } | undefined {
  for (const section of sections) {
    if (section.code || section.bytes <= 4096) continue;
    const head = readPart(file, section.offset, 80);
    if (head === undefined) continue;
    const magic = head.readUInt32LE(0), pointerBytes = head[7];
    if ((magic !== 0xfffffff1 && magic !== 0xfffffff0) || head[4] !== 0 || head[5] !== 0 || (pointerBytes !== 4 && pointerBytes !== 8)) continue;
    const field = (k: number): number => pointerBytes === 8 ? readWide(head, 8 + k * 8) : head.readUInt32LE(8 + k * 4);
    const stored = field(2), text = stored >= range.low && stored < range.high ? stored : sections.find((one) => one.code)?.address ?? 0;
    const places = [7, 3, 6, 4, 5].map((k) => section.address + field(k));
    if (field(0) > section.bytes || places.some((place) => place > section.address + section.bytes)) continue;
    return { table: { offset: section.offset, bytes: section.bytes }, anchors: [text, ...places, field(0)] };
  }
  return undefined;
}
