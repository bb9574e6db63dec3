// Where in the base each chosen shingle stands: a table of fixed size, however much there is to remember.
//
// Buckets of eight, the next ones being asked when one is full. A shingle that is everywhere (zeros, a licence) keeps four places, taken fairly
// among all of its own, so that most of them lie in the longest repetitions. Nothing needs to be certain: other shingles of the same match are found.
import { assert } from '../../lib/errors.ts';
import { PATIENCE_BYTES, SHINGLE_BYTES, fingerprint } from './sampler.ts';

const SLOTS = 8;
/** Looked at, from the first of a bucket on, until one is free. */
const MAX_PROBES = 4 * SLOTS;
/** Places kept of one shingle. */
export const MAX_PLACES = 4;
/** A tag and a place, and an eighth of a counter. */
const SLOT_BYTES = 2 + 4 + 1 / SLOTS;
/** Of slots in use: less wastes memory, more loses shingles to full buckets. */
const IDEAL_LOAD = 0.5, MAX_LOAD = 0.6;
/** Places are kept in 32 bits: what lies beyond the first 4 GiB of a base is not looked at. */
export const MAX_INDEXED_BYTES = 2 ** 32 - 1;
/** Of small bases more places go in, where every byte counts and time does not; in large ones of real files, one of eight instead of one of sixteen gained nothing. */
const MIN_RATES: ReadonlyArray<readonly [baseBytes: number, rateLog: number]> = [[4 << 20, 1], [32 << 20, 2], [96 << 20, 3], [Infinity, 4]];
const MAX_RATE_LOG = 12;
const BATCH = 256;

export class Places {
  /** One of 2^rateLog places of the base goes in: as many as the memory holds. */
  readonly rateLog: number;
  readonly #tags: Uint16Array;
  readonly #places: Uint32Array;
  /** Of each bucket: about the logarithm of how many shingles came when there were MAX_PLACES of them. */
  readonly #crowds: Uint8Array;
  readonly #buckets: number;
  readonly #hash = new Int32Array(2);
  readonly #found = new Float64Array(MAX_PLACES);
  /** Of each byte: where its longest run in the base is first met, and how long it is from there. And the run that was met last. */
  readonly #runs = new Float64Array(256);
  readonly #runBytes = new Float64Array(256);
  #run = { byte: -1, from: 0, to: 0 };
  readonly #waitingBuckets = new Int32Array(BATCH);
  readonly #waitingTags = new Int32Array(BATCH);
  readonly #waitingPlaces = new Uint32Array(BATCH);
  #waiting = 0;
  #random = 0x1234_5678;

  constructor(baseBytes: number, memoryBytes: number) {
    const fits = (rateLog: number) => baseBytes / 2 ** rateLog / MAX_LOAD * SLOT_BYTES <= memoryBytes;
    let rateLog = MIN_RATES.find(([most]) => baseBytes <= most)?.[1] ?? MAX_RATE_LOG;
    while (rateLog < MAX_RATE_LOG && !fits(rateLog)) rateLog++;
    this.rateLog = rateLog;
    const slots = Math.min(baseBytes / 2 ** rateLog / IDEAL_LOAD, memoryBytes / SLOT_BYTES);
    this.#buckets = Math.max(16, Math.ceil(slots / SLOTS));
    this.#tags = new Uint16Array(this.#buckets * SLOTS + MAX_PROBES);
    this.#places = new Uint32Array(this.#buckets * SLOTS + MAX_PROBES);
    this.#crowds = new Uint8Array(this.#buckets);
  }

  get memoryBytes(): number { return this.#tags.byteLength + this.#places.byteLength + this.#crowds.byteLength; }

  /** `at` is the first byte of the shingle in `bytes`, `place` that of the same in the base. It is found from the next `settle` on. */
  add(bytes: Uint8Array, at: number, place: number): void {
    if (isUniform(bytes, at)) {
      this.#addRun(bytes[at] ?? 0, place);
      return;
    }
    fingerprint(bytes, at, this.#hash);
    const n = this.#waiting++;
    this.#waitingBuckets[n] = this.#bucket();
    this.#waitingTags[n] = this.#tag();
    this.#waitingPlaces[n] = place;
    if (this.#waiting === BATCH) this.settle();
  }

  /** Zeros are everywhere: of a byte that stands again and again, only the longest run is worth knowing. */
  #addRun(byte: number, place: number): void {
    const run = this.#run;
    if (run.byte !== byte || place - run.to > SHINGLE_BYTES + PATIENCE_BYTES) run.from = place;
    run.byte = byte;
    run.to = place;
    if (place - run.from + 1 <= (this.#runBytes[byte] ?? 0)) return;
    this.#runBytes[byte] = place - run.from + 1;
    this.#runs[byte] = run.from;
  }

  /** Puts all that were added into the table. In batches: memory answers many questions at once as quickly as one, which halves the time. */
  settle(): void {
    let touched = 0;
    for (let n = 0; n < this.#waiting; n++) touched |= this.#tags[(this.#waitingBuckets[n] ?? 0) * SLOTS] ?? 0;
    for (let n = 0; n < this.#waiting; n++) this.#put(this.#waitingBuckets[n] ?? 0, this.#waitingTags[n] ?? 0, this.#waitingPlaces[n] ?? 0);
    assert(touched >= 0, 'tags are not negative'); // and so that the touching is not left out as useless
    this.#waiting = 0;
  }

  #put(bucket: number, tag: number, place: number): void {
    const tags = this.#tags;
    const first = bucket * SLOTS;
    let same = 0;
    for (let slot = first; slot < first + MAX_PROBES; slot++) {
      const there = tags[slot] ?? 0;
      if (there === 0) {
        tags[slot] = tag;
        this.#places[slot] = place;
        return;
      }
      if (there === tag && ++same === MAX_PLACES) {
        this.#replace(bucket, tag, place);
        return;
      }
    }
  }

  /** How many places of this shingle are known; `placeAt` tells them until the next call. */
  find(bytes: Uint8Array, at: number): number {
    if (isUniform(bytes, at)) {
      const byte = bytes[at] ?? 0;
      this.#found[0] = this.#runs[byte] ?? 0;
      return (this.#runBytes[byte] ?? 0) > 0 ? 1 : 0;
    }
    fingerprint(bytes, at, this.#hash);
    const tag = this.#tag();
    const first = this.#bucket() * SLOTS;
    const tags = this.#tags;
    let count = 0;
    for (let slot = first; slot < first + MAX_PROBES; slot++) {
      const there = tags[slot] ?? 0;
      if (there === 0) break;
      if (there === tag && count < MAX_PLACES) this.#found[count++] = this.#places[slot] ?? 0;
    }
    return count;
  }

  placeAt(index: number): number { return this.#found[index] ?? 0; }

  #bucket(): number { return (((this.#hash[0] ?? 0) >>> 0) / 2 ** 32 * this.#buckets) | 0; }

  /** 0 marks a slot that is free. */
  #tag(): number { return this.#hash[1] || 1; }

  /** Each of n places shall stay with the same chance: the n-th replaces one of the four with the chance of 4/n. */
  #replace(bucket: number, tag: number, place: number): void {
    const crowd = this.#crowds[bucket] ?? 0;
    const chance = this.#chance();
    if (crowd < 31 && chance < 2 ** -crowd) this.#crowds[bucket] = crowd + 1;
    if (chance >= MAX_PLACES / (MAX_PLACES + 2 ** crowd)) return;
    let nth = Math.floor(this.#chance() * MAX_PLACES);
    for (let slot = bucket * SLOTS; slot < bucket * SLOTS + MAX_PROBES; slot++) {
      if (this.#tags[slot] === tag && nth-- === 0) this.#places[slot] = place;
    }
  }

  #chance(): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x;
    return (x >>> 0) / 2 ** 32;
  }
}

function isUniform(bytes: Uint8Array, at: number): boolean {
  const byte = bytes[at];
  if (byte !== bytes[at + SHINGLE_BYTES - 1] || byte !== bytes[at + 7]) return false;
  for (let i = at + 1; i < at + SHINGLE_BYTES; i++) if (bytes[i] !== byte) return false;
  return true;
}
