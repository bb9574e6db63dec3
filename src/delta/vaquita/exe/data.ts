// References in data: tables whose form is known (exception frames, unwinding, symbols, relocations, Go's functions), and words that look like addresses.
import { ARM, type ElfImage, type Table } from './elf.ts';
import { ADDRESS32, ADDRESS64, FRAME_INDEX, FRAME_OWNER, FRAME_START, GO_OFFSET, NAME, NOWHERE, putWord32, SYMBOL, UNWIND, word32, type DataNeeds, type Scanner } from './scanner.ts';
import { goKind, isFrameStart, type WordTables } from './tables.ts';

/** Tables, and what is between them. */
const PLAIN_DATA = 0, IN_FRAME_INDEX = 1, IN_FRAMES = 2, IN_GO = 3, IN_UNWIND = 4, IN_RELOCATIONS = 5, IN_SYMBOLS = 6;
interface Area { readonly from: number; readonly to: number; readonly holds: number; readonly entryBytes: number }

/** Small numbers are no addresses, and neither are those with more than 53 bits. */
const LOWEST_ADDRESS_64 = 0x200, LOWEST_ADDRESS_32 = 0x1000, HIGHEST_WORD = 0x200000;
/** Of Go's anchors: units are counted in words. */
const UNITS = 5;

export class DataScanner implements Scanner {
  readonly #needs: DataNeeds;
  readonly #image: ElfImage;
  readonly #tables: WordTables;
  readonly #areas: readonly Area[];
  #area: Area = { from: 0, to: 0, holds: PLAIN_DATA, entryBytes: 0 };
  #shift = 0;
  #limit = 0;

  constructor(needs: DataNeeds, image: ElfImage, tables: WordTables) {
    this.#needs = needs;
    this.#image = image;
    this.#tables = tables;
    this.#areas = areasOf(image, tables);
  }

  reset(): void { /* it remembers nothing */ }

  enter(shift: number, limit: number): void {
    this.#shift = shift;
    this.#limit = limit;
  }

  next(from: number, stop: number): number {
    const { found, window } = this.#needs;
    const end = Math.min(stop, this.#limit - 3);
    for (let place = Math.ceil(from / 4) * 4; place < end; place += 4) {
      if (place < this.#area.from || place >= this.#area.to) this.#area = areaAt(this.#areas, place);
      found.word = word32(window.bytes, place - window.start);
      found.bytes = 4;
      found.context = 0;
      found.kind = this.#classify(place);
      if (found.kind !== 0) return place;
    }
    return stop;
  }

  #classify(place: number): number {
    const area = this.#area;
    switch (area.holds) {
      case IN_FRAME_INDEX: return place + 4 <= area.to ? this.#frameIndex(place) : 0;
      case IN_FRAMES: return this.#frame(place);
      case IN_GO: return this.#go(place - area.from);
      case IN_UNWIND: return this.#unwind(place);
      case IN_RELOCATIONS: return this.#relocation((place - area.from) % area.entryBytes) ?? this.#address(place);
      case IN_SYMBOLS: return this.#name((place - area.from) % area.entryBytes) ?? this.#address(place);
      default: return this.#address(place);
    }
  }

  #frameIndex(place: number): number {
    const { found } = this.#needs;
    found.context = place >> 2 & 1;
    found.address = this.#image.anchors.frameIndex + found.word;
    return FRAME_INDEX;
  }

  /** An entry's start of a function, and in front of it the distance back to its owner. */
  #frame(place: number): number {
    const { found } = this.#needs, frames = this.#tables.frames;
    if (frames === undefined) return 0;
    const index = (place - frames.offset) >> 2, here = place + this.#shift;
    if (isFrameStart(frames.starts, index)) {
      found.address = here + found.word;
      return FRAME_START;
    }
    if (!isFrameStart(frames.starts, index + 1)) return 0;
    found.address = here - found.word;
    return FRAME_OWNER;
  }

  #go(at: number): number {
    const { found } = this.#needs, go = this.#tables.go;
    const kind = go === undefined ? 0 : goKind(go.kinds, at >> 2);
    if (kind === 0) return 0;
    found.context = kind;
    found.address = anchorOf(this.#image.anchors.go, kind) + (found.word >>> 0) * (kind === UNITS ? 4 : 1);
    return GO_OFFSET;
  }

  #unwind(place: number): number {
    const { found, low, high } = this.#needs;
    if (found.word < 0 || found.word === 1) return 0;
    const address = place + this.#shift + (found.word << 1 >> 1);
    if (address < low || address >= high) return 0;
    found.context = place >> 2 & 1;
    found.address = address;
    return UNWIND;
  }

  /** The number of a symbol, 0 for none, undefined when the word is something else. */
  #relocation(at: number): number | undefined {
    const { found } = this.#needs, { wide, symbols, anchors } = this.#image;
    if (at !== (wide ? 12 : 4)) return undefined;
    const index = wide ? found.word >>> 0 : found.word >>> 8, bytes = symbolBytes(wide);
    if (index === 0 || index * bytes >= (symbols?.bytes ?? 0)) return 0;
    found.address = anchors.symbols + index * bytes;
    return SYMBOL;
  }

  /** The place of a symbol's name, 0 for none, undefined when the word is something else. */
  #name(at: number): number | undefined {
    const { found } = this.#needs;
    if (at !== 0) return undefined;
    if (found.word <= 0) return 0;
    found.address = this.#image.anchors.names + found.word;
    return NAME;
  }

  #address(place: number): number {
    const { found, low, high, window } = this.#needs;
    if (!this.#image.wide) {
      const address = found.word >>> 0;
      if (address < low + LOWEST_ADDRESS_32 || address >= high) return 0;
      found.context = address & 1;
      found.address = this.#image.machine === ARM ? address - (address & 1) : address;
      return ADDRESS32;
    }
    if (place % 8 !== 0 || place + 8 > this.#limit) return 0;
    const upper = word32(window.bytes, place + 4 - window.start);
    if (upper < 0 || upper >= HIGHEST_WORD) return 0;
    const address = (found.word >>> 0) + upper * 2 ** 32;
    if (address < low + LOWEST_ADDRESS_64 || address >= high) return 0;
    found.bytes = 8;
    found.address = address;
    return ADDRESS64;
  }

  put(into: Uint8Array, at: number): void {
    const { found, anchors } = this.#needs, { kind, word, context, newAddress: to, newPlace } = found;
    const relative = newPlace !== NOWHERE, from = relative ? newPlace : 0, { wide, machine } = this.#image;
    switch (kind) {
      case FRAME_INDEX: putWord32(into, at, relative ? to - anchors.frameIndex : to); break;
      case FRAME_START: putWord32(into, at, to - from); break;
      case FRAME_OWNER: putWord32(into, at, relative ? newPlace - to : to); break;
      case SYMBOL: {
        const index = relative ? Math.round((to - anchors.symbols) / symbolBytes(wide)) : to;
        putWord32(into, at, wide ? index : word & 255 | index << 8);
        break;
      }
      case NAME: putWord32(into, at, relative ? to - anchors.names : to); break;
      case GO_OFFSET: putWord32(into, at, relative ? goOffset(to - anchorOf(anchors.go, context), context) : to); break;
      case UNWIND: putWord32(into, at, (to - from) & 0x7fffffff); break;
      case ADDRESS32: putWord32(into, at, to | (machine === ARM ? word & 1 : 0)); break;
      default: // ADDRESS64
        putWord32(into, at, to % 2 ** 32);
        putWord32(into, at + 4, Math.floor(to / 2 ** 32));
    }
  }

  mask(kind: number): number { return kind === UNWIND ? 0x7fffffff : -1; }
  field(word: number): number { return word; }
  withField(word: number, kind: number, field: number): number { return kind === UNWIND ? field & 0x7fffffff | word & 0x80000000 : field | 0; }

  step(_word: number, kind: number, context: number): number {
    const { wide } = this.#image;
    switch (kind) {
      case FRAME_OWNER: return -1;
      case SYMBOL: return wide ? symbolBytes(wide) : symbolBytes(wide) / 256;
      case GO_OFFSET: return context === UNITS ? 4 : 1;
      default: return 1;
    }
  }
}

const symbolBytes = (wide: boolean): number => wide ? 24 : 16;
/** Function data, kind 7, counts from the last anchor; the one before it is the number of functions. */
const anchorOf = (anchors: readonly number[], kind: number): number => anchors[kind === 7 ? 7 : kind - 1] ?? 0;
const goOffset = (distance: number, kind: number): number => kind === UNITS ? Math.round(distance / 4) : distance;

/** Tables that overlap an earlier one are left out. */
function areasOf(image: ElfImage, tables: WordTables): Area[] {
  const areas: Area[] = [];
  const add = (table: Table | undefined, holds: number, entryBytes = 4): void => {
    if (table === undefined || table.bytes <= 0) return;
    const area = { from: table.offset, to: table.offset + table.bytes, holds, entryBytes };
    if (areas.every((other) => area.to <= other.from || area.from >= other.to)) areas.push(area);
  };
  const { frameIndex } = image;
  if (frameIndex !== undefined) add({ offset: frameIndex.offset + 12, bytes: frameIndex.bytes - 12 }, IN_FRAME_INDEX);
  add(tables.frames, IN_FRAMES);
  add(tables.go, IN_GO);
  add(image.unwind, IN_UNWIND);
  if (image.anchors.symbols !== 0) {
    for (const table of image.relocations) add(table, IN_RELOCATIONS, table.entryBytes);
    add(image.symbols, IN_SYMBOLS, symbolBytes(image.wide));
  }
  return areas;
}

/** The area of a place, or the plain data around it. */
function areaAt(areas: readonly Area[], place: number): Area {
  let from = 0, to = Infinity;
  for (const area of areas) {
    if (place >= area.from && place < area.to) return area;
    if (area.from > place) to = Math.min(to, area.from);
    else from = Math.max(from, area.to);
  }
  return { from, to, holds: PLAIN_DATA, entryBytes: 4 };
}
