// References in code of 32-bit ARM, both instruction sets: calls and jumps, and the words between functions that instructions load addresses from.
import { ADDRESS32, CALL, JUMP, NOWHERE, POOL, putWord32, word32, type Found, type Scanner, type ScannerNeeds, type Window } from './scanner.ts';

/** Loads reach 4096 bytes; a word of a pool is remembered under the low bits of its place. */
const POOL_WORDS = 1024;
/** From the load of a distance to the instruction that adds its own address to it, in bytes. */
const ADD_REACH_BYTES = 64;
const NO_ANCHOR = -1;

/** Words that code loads: distances from an instruction, or addresses. */
class Pools {
  readonly #words = new Float64Array(POOL_WORDS);
  readonly #anchors = new Float64Array(POOL_WORDS);
  /** Per register: the word that was loaded last, and where. */
  readonly #loaded = new Float64Array(16);
  readonly #loadedAt = new Float64Array(16);

  reset(): void {
    this.#words.fill(-1);
    this.#loaded.fill(-1);
  }

  /** The instruction at `place` loads `register` from the word at `from`. */
  load(register: number, place: number, from: number): void {
    this.#loaded[register] = from;
    this.#loadedAt[register] = place;
    const slot = from >> 2 & POOL_WORDS - 1;
    if (this.#words[slot] === from) return;
    this.#words[slot] = from;
    this.#anchors[slot] = NO_ANCHOR;
  }

  /** The instruction at `place` adds its own address to `register`. */
  add(register: number, place: number): void {
    const from = this.#loaded[register] ?? -1, slot = from >> 2 & POOL_WORDS - 1;
    if (from >= 0 && place - (this.#loadedAt[register] ?? 0) < ADD_REACH_BYTES && this.#words[slot] === from) this.#anchors[slot] = place;
    this.#loaded[register] = -1;
  }

  /** Fills `found` when the word at `place` is an address that code loads. `ahead`: what the program counter is ahead of an instruction. */
  find(place: number, ahead: number, { found, window, low, high, shift }: ScannerNeeds & { shift: number }): boolean {
    const slot = place >> 2 & POOL_WORDS - 1;
    if (this.#words[slot] !== place) return false;
    const anchor = this.#anchors[slot] ?? NO_ANCHOR, word = word32(window.bytes, place - window.start);
    const address = anchor === NO_ANCHOR ? word >>> 0 : anchor + shift + ahead + word;
    if (address < low + (anchor === NO_ANCHOR ? LOWEST_ADDRESS : 0) || address >= high) return false;
    found.kind = anchor === NO_ANCHOR ? ADDRESS32 : POOL;
    found.bytes = 4;
    found.word = word;
    found.context = anchor === NO_ANCHOR ? 2 | word & 1 : 0;
    found.address = anchor === NO_ANCHOR ? address - (word & 1) : address;
    found.anchor = anchor - place;
    return true;
  }
}
/** Small numbers are no addresses. */
const LOWEST_ADDRESS = 0x1000;

/** What `Pools.find` found, written for its new place. */
function putPooled(into: Uint8Array, at: number, { found, ahead }: { found: Found; ahead: number }): void {
  const { kind, word, anchor, newAddress, newPlace } = found;
  if (kind === ADDRESS32) putWord32(into, at, newAddress | word & 1);
  else putWord32(into, at, newPlace === NOWHERE ? newAddress : newAddress - newPlace - anchor - ahead);
}

const wordAt = (window: Window, place: number): number => word32(window.bytes, place - window.start);

/** What both instruction sets have: pools between functions, and where the code at hand stands. */
abstract class PooledCode {
  protected readonly needs: ScannerNeeds & { shift: number };
  protected readonly pools = new Pools();
  protected limit = 0;

  constructor(needs: ScannerNeeds) {
    this.needs = { ...needs, shift: 0 };
  }

  reset(): void { this.pools.reset(); }

  enter(shift: number, limit: number): void {
    this.needs.shift = shift;
    this.limit = limit;
  }
}

/** Thumb: instructions of 2 and 4 bytes. */
export class ThumbScanner extends PooledCode implements Scanner {
  next(from: number, stop: number): number {
    const end = Math.min(stop, this.limit - 3), { window } = this.needs;
    for (let place = from + 1 & ~1; place < end; place += 2) {
      const word = wordAt(window, place);
      this.#follow(word, place);
      if ((place & 3) === 0 && this.pools.find(place, THUMB_AHEAD, this.needs)) return place;
      if (this.#branches(word, place)) return place;
    }
    return stop;
  }

  /** Loads from pools, and additions of the program counter. */
  #follow(word: number, place: number): void {
    const first = word & 0xffff, second = word >>> 16;
    if ((first & 0xf800) === 0x4800) this.pools.load(first >> 8 & 7, place, (place + 4 & ~3) + (first & 255) * 4);
    else if (first === 0xf8df) this.pools.load(second >> 12, place, (place + 4 & ~3) + (second & 0xfff));
    else if ((first & 0xff78) === 0x4478) this.pools.add(first & 7 | first >> 4 & 8, place);
  }

  #branches(word: number, place: number): boolean {
    const first = word & 0xffff, second = word >>> 16;
    if ((first & 0xf800) !== 0xf000 || ((second & 0x9000) !== 0x9000 && (second & 0xd001) !== 0xc000)) return false;
    const { found, shift, low, high } = this.needs, toThumb = (second & 0x1000) !== 0;
    const address = base(place + shift, toThumb) + thumbDistance(word);
    if (address < low || address >= high) return false;
    found.kind = (second & 0x4000) !== 0 ? CALL : JUMP;
    found.bytes = 4;
    found.word = word;
    found.context = toThumb ? 1 : 0;
    found.address = address;
    return true;
  }

  put(into: Uint8Array, at: number): void {
    const { found } = this.needs, { kind, word, newAddress, newPlace } = found;
    if (kind !== CALL && kind !== JUMP) putPooled(into, at, { found, ahead: THUMB_AHEAD });
    else putWord32(into, at, withThumbDistance(word, newAddress - (newPlace === NOWHERE ? 0 : base(newPlace, (word & 0x10000000) !== 0))));
  }

  mask(kind: number): number { return kind === CALL || kind === JUMP ? 0x2fff07ff : -1; }
  field(word: number, kind: number): number { return kind === CALL || kind === JUMP ? thumbDistance(word) / 2 : word; }
  withField(word: number, kind: number, field: number): number { return kind === CALL || kind === JUMP ? withThumbDistance(word, field * 2) : field | 0; }
  step(_word: number, kind: number): number { return kind === CALL || kind === JUMP ? 2 : 1; }
}
const THUMB_AHEAD = 4;

/** What a Thumb branch counts from; one to ARM code (BLX) from a multiple of four. */
const base = (place: number, toThumb: boolean): number => toThumb ? place + THUMB_AHEAD : Math.floor((place + THUMB_AHEAD) / 4) * 4;

/** The distance is spread over both halves; two bits of it are stored as whether they differ from the sign. */
export function thumbDistance(word: number): number {
  const first = word & 0xffff, second = word >>> 16, sign = first >> 10 & 1;
  return (sign !== 0 ? -1 << 24 : 0) | (second >> 13 & 1 ^ sign ^ 1) << 23 | (second >> 11 & 1 ^ sign ^ 1) << 22 | (first & 0x3ff) << 12 | (second & 0x7ff) << 1;
}

function withThumbDistance(word: number, distance: number): number {
  const sign = distance < 0 ? 1 : 0;
  const second = (distance >> 23 & 1 ^ 1 ^ sign) << 13 | (distance >> 22 & 1 ^ 1 ^ sign) << 11 | distance >> 1 & 0x7ff;
  return word & ~0x2fff07ff | sign << 10 | distance >> 12 & 0x3ff | second << 16;
}

/** ARM: instructions of 4 bytes. */
export class ArmScanner extends PooledCode implements Scanner {
  next(from: number, stop: number): number {
    const { window, found, low, high } = this.needs, end = Math.min(stop, this.limit - 3);
    for (let place = from + 3 & ~3; place < end; place += 4) {
      if (this.pools.find(place, ARM_AHEAD, this.needs)) return place;
      const word = wordAt(window, place);
      if (isArmBranch(word)) {
        const address = place + this.needs.shift + ARM_AHEAD + (word << 8 >> 6);
        if (address < low || address >= high) continue;
        found.kind = (word & 0x01000000) !== 0 ? CALL : JUMP;
        found.bytes = 4;
        found.word = word;
        found.context = word >>> 28;
        found.address = address;
        return place;
      }
      // A load relative to the program counter, up or down, and the addition of it.
      if ((word & 0x0f7f0000) === 0x051f0000) this.pools.load(word >> 12 & 15, place, place + ARM_AHEAD + ((word & 0x00800000) !== 0 ? word & 0xfff : -(word & 0xfff)));
      else if ((word & 0x0fff0ff0) === 0x008f0000) this.pools.add(word & 15, place);
    }
    return stop;
  }

  put(into: Uint8Array, at: number): void {
    const { found } = this.needs, { kind, word, newAddress, newPlace } = found;
    if (kind !== CALL && kind !== JUMP) putPooled(into, at, { found, ahead: ARM_AHEAD });
    else putWord32(into, at, withArmField(word, Math.floor((newAddress - (newPlace === NOWHERE ? 0 : newPlace + ARM_AHEAD)) / 4)));
  }

  mask(kind: number): number { return kind === CALL || kind === JUMP ? 0x00ffffff : -1; }
  field(word: number, kind: number): number { return kind === CALL || kind === JUMP ? word << 8 >> 8 : word; }
  withField(word: number, kind: number, field: number): number { return kind === CALL || kind === JUMP ? withArmField(word, field) : field | 0; }
  step(_word: number, kind: number): number { return kind === CALL || kind === JUMP ? 4 : 1; }
}
const ARM_AHEAD = 8;

/** B and BL under any condition. */
const isArmBranch = (word: number): boolean => (word & 0x0e000000) === 0x0a000000 && word >>> 28 !== 15;
const withArmField = (word: number, field: number): number => word & ~0x00ffffff | field & 0x00ffffff;
