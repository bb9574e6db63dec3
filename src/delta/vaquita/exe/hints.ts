// Where references really lead: runs of addresses that moved by another distance than the alignment says become hints.
import { MAX_SPREAD, spanAt } from './elf.ts';
import type { Mapper } from './mapper.ts';
import { IMAGE_WINDOW_BYTES, type ImageReader } from './normalize.ts';
import type { Hint, Regions } from './regions.ts';
import type { Found, Scanner } from './scanner.ts';

/** A hint costs about as much as two or three mispredicted references. */
const MIN_RUN = 3;

/** Hints for the references that stand at aligned places. `mapper` says what is predicted without them; at most `most` come back. */
export function findHints(old: ImageReader, made: ImageReader, alignment: { regions: Regions; mapper: Mapper; most: number }): Hint[] {
  const { regions, mapper, most } = alignment, votes = new Votes();
  for (let k = 0; k < regions.count; k++) {
    old.references.reset();
    made.references.reset();
    const oldAt = regions.oldAt[k] ?? 0, newAt = regions.newAt[k] ?? 0, bytes = regions.bytes[k] ?? 0;
    for (let at = 0; at < bytes;) at += comparePart(old, made, { oldAt: oldAt + at, newAt: newAt + at, bytes: bytes - at, votes });
  }
  return hintsOf(votes, mapper).slice(0, most);
}

/** Compares the references of a part of a region that stays in one section of either file and in the windows. Returns its length. */
function comparePart(old: ImageReader, made: ImageReader, part: { oldAt: number; newAt: number; bytes: number; votes: Votes }): number {
  const { oldAt, newAt, votes } = part, a = spanAt(old.image.sections, oldAt), b = spanAt(made.image.sections, newAt);
  if (a === undefined || b === undefined || a.code !== b.code) return Math.min(part.bytes, SKIP_BYTES);
  const bytes = Math.min(part.bytes, a.offset + a.bytes - oldAt, b.offset + b.bytes - newAt, IMAGE_WINDOW_BYTES);
  const from = a.code ? old.references.code : old.references.data, to = b.code ? made.references.code : made.references.data;
  if (from === undefined || to === undefined) return bytes;
  old.show(oldAt, bytes);
  made.show(newAt, bytes);
  from.enter(a.address - a.offset, oldAt + bytes);
  to.enter(b.address - b.offset, newAt + bytes);
  forBoth({ scanner: from, found: old.references.found, at: oldAt }, { scanner: to, found: made.references.found, at: newAt }, {
    bytes,
    seen: (address, newAddress) => votes.vote(address - old.image.low, newAddress - address),
  });
  return bytes;
}
/** Sections begin at multiples of this, or so close behind one that nothing is lost. */
const SKIP_BYTES = 16;

interface Side { readonly scanner: Scanner; readonly found: Found; readonly at: number }

/** Tells where references of the same kind in the same place lead. */
function forBoth(old: Side, made: Side, { bytes, seen }: { bytes: number; seen: (address: number, newAddress: number) => void }): void {
  const shift = made.at - old.at, stop = old.at + bytes;
  let other = made.scanner.next(made.at, stop + shift);
  for (let at = old.scanner.next(old.at, stop); at < stop; at = old.scanner.next(at + old.found.bytes, stop)) {
    const place = at + shift;
    while (other < place) other = made.scanner.next(Math.min(other + made.found.bytes, place), stop + shift);
    if (other === place && old.found.kind === made.found.kind) seen(old.found.address, made.found.address);
  }
}

/** For each old address the distance that most of its references moved by: the one that outlives all others when unlike votes cancel each other. */
class Votes {
  #slots = 1 << 12;
  #count = 0;
  #keys = new Uint32Array(this.#slots);
  #deltas = new Int32Array(this.#slots);
  #counts = new Uint16Array(this.#slots);

  vote(address: number, delta: number): void {
    if (address < 0 || address > 2 * MAX_SPREAD || Math.abs(delta) >= 2 ** 31 || this.#count >= MAX_VOTES) return;
    if (this.#count * 4 > this.#slots * 3) this.#grow();
    const slot = this.#find(address + 1);
    if (this.#keys[slot] === 0) {
      this.#keys[slot] = address + 1;
      this.#count++;
    }
    const count = this.#counts[slot] ?? 0;
    if (count === 0) this.#deltas[slot] = delta;
    if (count === 0 || this.#deltas[slot] === delta) this.#counts[slot] = Math.min(count + 1, 65535);
    else this.#counts[slot] = count - 1;
  }

  /** Addresses with a winner, in order. */
  addresses(): Uint32Array {
    const list = new Uint32Array(this.#count);
    let n = 0;
    for (let slot = 0; slot < this.#slots; slot++) if ((this.#keys[slot] ?? 0) !== 0 && (this.#counts[slot] ?? 0) > 0) list[n++] = (this.#keys[slot] ?? 0) - 1;
    return list.subarray(0, n).sort();
  }

  deltaOf(address: number): number { return this.#deltas[this.#find(address + 1)] ?? 0; }

  #find(key: number): number {
    let slot = Math.imul(key, 0x9e3779b1) >>> 7 & this.#slots - 1;
    while ((this.#keys[slot] ?? 0) !== 0 && this.#keys[slot] !== key) slot = slot + 1 & this.#slots - 1;
    return slot;
  }

  #grow(): void {
    const keys = this.#keys, deltas = this.#deltas, counts = this.#counts;
    this.#slots *= 2;
    this.#keys = new Uint32Array(this.#slots);
    this.#deltas = new Int32Array(this.#slots);
    this.#counts = new Uint16Array(this.#slots);
    for (let k = 0; k < keys.length; k++) {
      if ((keys[k] ?? 0) === 0) continue;
      const slot = this.#find(keys[k] ?? 0);
      this.#keys[slot] = keys[k] ?? 0;
      this.#deltas[slot] = deltas[k] ?? 0;
      this.#counts[slot] = counts[k] ?? 0;
    }
  }
}
/** At ten bytes for each slot of 4 million this is 40 MB. */
const MAX_VOTES = 3_000_000;

function hintsOf(votes: Votes, mapper: Mapper): Hint[] {
  const hints: Hint[] = [];
  let run: { start: number; last: number; delta: number; length: number } | undefined;
  const close = (): void => {
    if (run !== undefined && run.length >= MIN_RUN) hints.push({ start: mapper.low + run.start, end: mapper.low + run.last + 1, delta: run.delta });
    run = undefined;
  };
  for (const address of votes.addresses()) {
    const delta = votes.deltaOf(address), predicted = mapper.project(mapper.low + address, 0) - mapper.low - address;
    if (delta === predicted) close();
    else if (run !== undefined && run.delta === delta) {
      run.last = address;
      run.length++;
    } else {
      close();
      run = { start: address, last: address, delta, length: 1 };
    }
  }
  close();
  return hints;
}
