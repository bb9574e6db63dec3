// Aligns new bytes with old ones: exact matches from a suffix array, grown over mismatches while at least half of the bytes agree.
import { suffixArray } from './suffix-array.ts';

/** A run of new bytes like a run of old ones. */
export type TakeRegion = (newAt: number, oldAt: number, bytes: number) => void;

/** A match must explain so many more bytes than the alignment at hand does. */
const SLACK_BYTES = 8;
const LONG_BYTES = 256;

/** Finds the longest match of any bytes in a text. */
export class TextIndex {
  readonly text: Uint8Array;
  /** Of the last search: where the match is. */
  at = 0;
  readonly #order: Int32Array;
  /** Where the suffixes with each two first bytes begin. */
  readonly #starts: Int32Array;

  /** `memory`: a number for each byte of the text or more. */
  constructor(text: Uint8Array, memory?: Int32Array<ArrayBuffer>) {
    this.text = text;
    this.#order = suffixArray(text, memory);
    this.#starts = startsByTwoBytes(text);
  }

  /** The length of the longest match of what stands in `bytes` from `from` on. */
  search(bytes: Uint8Array, from: number): number {
    const text = this.text, order = this.#order;
    this.at = 0;
    if (from + 1 >= bytes.length || order.length === 0) return 0;
    const key = (bytes[from] ?? 0) << 8 | (bytes[from + 1] ?? 0);
    let low = this.#starts[key] ?? 0, high = (this.#starts[key + 1] ?? 0) - 1;
    if (high < low) return 0;
    let lowLength = matchLength(text, order[low] ?? 0, { bytes, from }), highLength = matchLength(text, order[high] ?? 0, { bytes, from });
    let best = Math.max(lowLength, highLength);
    this.at = (lowLength >= highLength ? order[low] : order[high]) ?? 0;
    while (high - low > 1) {
      const middle = (low + high) >>> 1, place = order[middle] ?? 0, skip = Math.min(lowLength, highLength);
      const length = skip + matchLength(text, place + skip, { bytes, from: from + skip });
      if (length > best) {
        best = length;
        this.at = place;
      }
      if (from + length < bytes.length && (place + length >= text.length || (text[place + length] ?? 0) < (bytes[from + length] ?? 0))) {
        low = middle;
        lowLength = length;
      } else {
        high = middle;
        highLength = length;
      }
    }
    return best;
  }
}

function startsByTwoBytes(text: Uint8Array): Int32Array {
  const starts = new Int32Array(65537), last = text[text.length - 1];
  for (let k = 0; k + 1 < text.length; k++) {
    const key = ((text[k] ?? 0) << 8 | (text[k + 1] ?? 0)) + 1;
    starts[key] = (starts[key] ?? 0) + 1;
  }
  for (let key = 0, sum = 0; key < 65536; key++) {
    sum += starts[key] ?? 0;
    if (last !== undefined && key === last << 8) sum++; // the last byte alone comes before those with a second one
    starts[key] = sum;
  }
  starts[65536] = text.length;
  return starts;
}

function matchLength(text: Uint8Array, at: number, { bytes, from }: { bytes: Uint8Array; from: number }): number {
  const most = Math.min(text.length - at, bytes.length - from);
  let length = 0;
  while (length < most && text[at + length] === bytes[from + length]) length++;
  return length;
}

/** The state of the search: where it is, the match it has, and the alignment that stands. */
interface Search { scan: number; length: number; at: number; lastScan: number; lastAt: number; lastOffset: number }

/** Tells the regions in the order of the new bytes; they do not overlap there. */
export function align(index: TextIndex, bytes: Uint8Array, take: TakeRegion): void {
  const search: Search = { scan: 0, length: 0, at: 0, lastScan: 0, lastAt: 0, lastOffset: 0 };
  while (search.scan < bytes.length) {
    const explained = nextMatch(index, bytes, search);
    if (search.length === explained && search.scan < bytes.length) continue;
    const { forward, backward } = grow(index.text, bytes, search);
    if (forward > 0) take(search.lastScan, search.lastAt, forward);
    search.lastScan = search.scan - backward;
    search.lastAt = search.at - backward;
    search.lastOffset = search.at - search.scan;
  }
}

/** Goes to the next match that explains more than the standing alignment does; returns how much that one explains of it. */
function nextMatch(index: TextIndex, bytes: Uint8Array, search: Search): number {
  const { text } = index, offset = search.lastOffset;
  const agrees = (at: number): number => at + offset < text.length && at + offset >= 0 && text[at + offset] === bytes[at] ? 1 : 0;
  let explained = 0, scored = search.scan += search.length;
  while (search.scan < bytes.length) {
    search.length = index.search(bytes, search.scan);
    search.at = index.at;
    for (; scored < search.scan + search.length; scored++) explained += agrees(scored);
    if ((search.length === explained && search.length !== 0) || search.length > explained + SLACK_BYTES) break;
    // A long match that explains no more than what stands will be little shorter at the next places: to look at each of them takes hours where bytes repeat.
    const step = Math.min(search.length >= LONG_BYTES ? search.length >> 3 : 1, bytes.length - search.scan);
    for (const end = search.scan + step; search.scan < end; search.scan++) explained -= agrees(search.scan);
  }
  return explained;
}

/** How far the standing alignment reaches forwards and the new one backwards; where both would, they meet at the best place. */
function grow(text: Uint8Array, bytes: Uint8Array, search: Search): { forward: number; backward: number } {
  const { scan, at, lastScan, lastAt } = search;
  let forward = 0, backward = 0;
  for (let k = 0, same = 0, best = 0; lastScan + k < scan && lastAt + k < text.length;) {
    if (text[lastAt + k] === bytes[lastScan + k]) same++;
    k++;
    if (same * 2 - k <= best) continue;
    best = same * 2 - k;
    forward = k;
  }
  if (scan < bytes.length) {
    for (let k = 1, same = 0, best = 0; scan >= lastScan + k && at >= k; k++) {
      if (text[at - k] === bytes[scan - k]) same++;
      if (same * 2 - k <= best) continue;
      best = same * 2 - k;
      backward = k;
    }
  }
  const overlap = lastScan + forward - (scan - backward);
  if (overlap <= 0) return { forward, backward };
  let kept = 0;
  for (let k = 0, score = 0, best = 0; k < overlap; k++) {
    if (bytes[lastScan + forward - overlap + k] === text[lastAt + forward - overlap + k]) score++;
    if (bytes[scan - backward + k] === text[at - backward + k]) score--;
    if (score <= best) continue;
    best = score;
    kept = k + 1;
  }
  return { forward: forward - overlap + kept, backward: backward - kept };
}
