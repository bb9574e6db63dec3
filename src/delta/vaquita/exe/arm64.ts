// References in code of 64-bit ARM: branches, page addresses with the low bits that other instructions add, and near addresses.
import { BRANCH, CALL, JUMP, LOW_BITS, NEAR, NOWHERE, PAGE, putWord32, TEST_BRANCH, word32, type Scanner, type ScannerNeeds } from './scanner.ts';

/** How far behind a page address its low bits are used, in instructions and in bytes. */
const LOOKAHEAD = 8, PAGE_REACH_BYTES = 64;
const LONG_AGO = -1e9;
const PAGE_BYTES = 4096;

export class Arm64Scanner implements Scanner {
  readonly #needs: ScannerNeeds;
  #shift = 0;
  #limit = 0;
  /** Per register: where its last page address was loaded, and the page. */
  readonly #loadedAt = new Float64Array(32);
  readonly #page = new Float64Array(32);

  constructor(needs: ScannerNeeds) {
    this.#needs = needs;
  }

  reset(): void { this.#loadedAt.fill(LONG_AGO); }

  enter(shift: number, limit: number): void {
    this.#shift = shift;
    this.#limit = limit;
  }

  next(from: number, stop: number): number {
    const { window: { bytes, start }, found, low, high } = this.#needs;
    const end = Math.min(stop, this.#limit - 3);
    for (let place = from + 3 & ~3; place < end; place += 4) {
      const word = word32(bytes, place - start);
      if (this.#classify(word, place) === 0 || found.address < low || found.address >= high) continue;
      found.bytes = 4;
      found.word = word;
      return place;
    }
    return stop;
  }

  #classify(word: number, place: number): number {
    const { found } = this.#needs, here = place + this.#shift;
    found.context = 0;
    if ((word & 0x7c000000) === 0x14000000) {
      found.address = here + ((word << 6) >> 6) * 4;
      return found.kind = word < 0 ? CALL : JUMP;
    }
    if ((word & 0xff000010) === 0x54000000 || (word & 0x7e000000) === 0x34000000) {
      found.address = here + ((word << 8) >> 13) * 4;
      found.context = word >>> 24 & 15;
      return found.kind = BRANCH;
    }
    if ((word & 0x7e000000) === 0x36000000) {
      found.address = here + ((word << 13) >> 18) * 4;
      return found.kind = TEST_BRANCH;
    }
    if ((word & 0x1f000000) === 0x10000000) return word < 0 ? this.#pageOf(word, place) : this.#near(word, here);
    return addsLowBits(word) ? this.#lowBits(word, place) : 0;
  }

  #near(word: number, here: number): number {
    this.#needs.found.address = here + nearField(word);
    return this.#needs.found.kind = NEAR;
  }

  #pageOf(word: number, place: number): number {
    const { found, window } = this.#needs, register = word & 31;
    const page = Math.floor((place + this.#shift) / PAGE_BYTES) * PAGE_BYTES + nearField(word) * PAGE_BYTES;
    let low = -1;
    for (let k = 1; k <= LOOKAHEAD && place + 4 * k + 4 <= window.fileBytes; k++) {
      const later = word32(window.bytes, place + 4 * k - window.start);
      if ((later >>> 5 & 31) === register && addsLowBits(later)) {
        low = lowBitsOf(later);
        break;
      }
      if ((later & 0x9f000000) === (0x90000000 | 0) && (later & 31) === register) break;
    }
    this.#loadedAt[register] = place;
    this.#page[register] = page;
    found.address = page + Math.max(low, 0);
    found.context = low < 0 ? 1 : 0;
    found.low = low;
    return found.kind = PAGE;
  }

  #lowBits(word: number, place: number): number {
    const { found } = this.#needs, register = word >>> 5 & 31, loadedAt = this.#loadedAt[register] ?? LONG_AGO;
    if (place - loadedAt > PAGE_REACH_BYTES || loadedAt > place) return 0;
    found.address = (this.#page[register] ?? 0) + lowBitsOf(word);
    found.context = word >>> 28;
    return found.kind = LOW_BITS;
  }

  put(into: Uint8Array, at: number): void {
    const { kind, word, newAddress, newPlace } = this.#needs.found;
    const from = newPlace === NOWHERE ? 0 : newPlace;
    let field: number;
    if (kind === PAGE) field = Math.floor(newAddress / PAGE_BYTES) - Math.floor(from / PAGE_BYTES);
    else if (kind === LOW_BITS) field = Math.floor((newAddress - Math.floor(newAddress / PAGE_BYTES) * PAGE_BYTES) / scaleOf(word));
    else if (kind === NEAR) field = newAddress - from;
    else field = Math.floor((newAddress - from) / 4);
    putWord32(into, at, this.withField(word, kind, field));
  }

  mask(kind: number): number { return maskOf(kind); }

  field(word: number, kind: number): number {
    switch (kind) {
      case CALL: case JUMP: return word << 6 >> 6;
      case BRANCH: return word << 8 >> 13;
      case TEST_BRANCH: return word << 13 >> 18;
      case PAGE: case NEAR: return nearField(word);
      default: return word >>> 10 & 0xfff;
    }
  }

  withField(word: number, kind: number, field: number): number {
    return word & ~maskOf(kind) | placed(kind, field);
  }

  step(word: number, kind: number): number {
    return kind === LOW_BITS ? scaleOf(word) : kind === NEAR ? 1 : kind === PAGE ? PAGE_BYTES : 4;
  }
}

/** The field of addresses near and of pages: two bits lie apart. */
const nearField = (word: number): number => (word << 8 >> 13) * 4 + (word >>> 29 & 3);

/** ADD of 12 bits without shift, or a load or store with an unsigned offset. */
const addsLowBits = (word: number): boolean => (word & 0x7fc00000) === 0x11000000 || (word & 0x3b000000) === 0x39000000;
const lowBitsOf = (word: number): number => (word >>> 10 & 0xfff) * scaleOf(word);

/** Offsets of loads and stores count in units of what is loaded. */
function scaleOf(word: number): number {
  if ((word & 0x7fc00000) === 0x11000000) return 1;
  return 1 << ((word & 0x04800000) === 0x04800000 ? 4 : word >>> 30);
}

function maskOf(kind: number): number {
  switch (kind) {
    case CALL: case JUMP: return 0x03ffffff;
    case BRANCH: return 0x00ffffe0;
    case TEST_BRANCH: return 0x0007ffe0;
    case PAGE: case NEAR: return 0x60ffffe0;
    default: return 0x003ffc00;
  }
}

function placed(kind: number, field: number): number {
  switch (kind) {
    case CALL: case JUMP: return field & 0x03ffffff;
    case BRANCH: return (field & 0x7ffff) << 5;
    case TEST_BRANCH: return (field & 0x3fff) << 5;
    case PAGE: case NEAR: return (field >> 2 & 0x7ffff) << 5 | (field & 3) << 29;
    default: return (field & 0xfff) << 10;
  }
}
