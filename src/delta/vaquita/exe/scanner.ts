// What all scanners share: the kinds of stored addresses, the window they look through, and what they found in it.
import type { Anchors } from './elf.ts';

/** Kinds of references; they are contexts of the coder, so their numbers are part of the format. */
export const CALL = 1, JUMP = 2, BRANCH = 3, RELATIVE = 4, TEST_BRANCH = 5, PAGE = 6, NEAR = 7, LOW_BITS = 8, POOL = 9,
  FRAME_INDEX = 10, FRAME_START = 11, UNWIND = 12, ADDRESS64 = 13, ADDRESS32 = 14, FRAME_OWNER = 15, SYMBOL = 16, NAME = 17, GO_OFFSET = 18, GOT_RELATIVE = 19;
/** From 0, which is no reference. */
export const KINDS = 20;

/** Bytes of the old file. In front of `start` of a chunk are BEFORE more, behind it AFTER, as far as the file has them. */
export class Window {
  bytes: Uint8Array = new Uint8Array(0);
  /** Place of the first byte in the file. */
  start = 0;
  /** Of the file. */
  fileBytes = 0;
}
export const WINDOW_BEFORE = 8, WINDOW_AFTER = 80;

/** The reference at hand, and where it is to lead. */
export class Found {
  kind = 0;
  /** 4 or 8 */
  bytes = 4;
  /** Its first 32 bits. */
  word = 0;
  context = 0;
  /** What it refers to. */
  address = 0;
  /** x86, POOL: what the distance counts from, as bytes behind its place. */
  anchor = 0;
  /** PAGE: the low bits that are added to it, or -1 when they are not near. */
  low = -1;
  /** What it shall refer to. */
  newAddress = 0;
  /** Where it will stand; NOWHERE: write the address without regard to the place, for comparing code that moved. */
  newPlace = 0;
}
export const NOWHERE = -1;

/** Finds references in one kind of sections and writes others in their place. The methods on words say how a reference is taken apart. */
export interface Scanner {
  /** Forgets what was seen: what comes does not follow it. */
  reset(): void;
  /** `shift`: addresses minus places in the file; `limit`: references end here or earlier. */
  enter(shift: number, limit: number): void;
  /** The place of the first reference at `from` or behind it, or `stop` when none begins before `stop`; it stands in `found` then. */
  next(from: number, stop: number): number;
  /** The bytes of what `next` found with its `newAddress` and `newPlace`, into `into` at `at`. */
  put(into: Uint8Array, at: number): void;
  /** Which bits of its first 32 are the address: -1 all of them, 0 none that can be counted in. */
  mask(kind: number): number;
  /** The address bits as a number. */
  field(word: number, kind: number): number;
  withField(word: number, kind: number, field: number): number;
  /** By how much the address grows when the field grows by one. */
  step(word: number, kind: number, context: number): number;
}

/** What a scanner needs. */
export interface ScannerNeeds { readonly window: Window; readonly found: Found; readonly low: number; readonly high: number }
/** What some need beyond that: anchors of the new file. */
export type DataNeeds = ScannerNeeds & { readonly anchors: Anchors };

export const word32 = (bytes: Uint8Array, at: number): number => (bytes[at] ?? 0) | (bytes[at + 1] ?? 0) << 8 | (bytes[at + 2] ?? 0) << 16 | (bytes[at + 3] ?? 0) << 24;

export function putWord32(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word;
  bytes[at + 1] = word >> 8;
  bytes[at + 2] = word >> 16;
  bytes[at + 3] = word >> 24;
}
