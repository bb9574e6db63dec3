// Where in the base each chosen shingle stands: a table of fixed size, however much there is to remember.
//
// Buckets of eight. A shingle that is everywhere (zeros, a licence) keeps four places, taken fairly among all of its own, so that most of
// them lie in the longest repetitions; a bucket that is full takes no more. Nothing needs to be certain: other shingles of the same match are found.
import { fingerprint } from './sampler.ts';

const SLOTS = 8;
/** Places kept of one shingle. */
export const MAX_PLACES = 4;
/** A tag and a place, and an eighth of a counter. */
const SLOT_BYTES = 2 + 4 + 1 / SLOTS;
/** Of slots in use: less wastes memory, more loses shingles to full buckets. */
const IDEAL_LOAD = 0.5, MAX_LOAD = 0.75;
/** Places are kept in 32 bits: what lies beyond the first 4 GiB of a base is not looked at. */
export const MAX_INDEXED_BYTES = 2 ** 32 - 1;
const MIN_RATE_LOG = 3, MAX_RATE_LOG = 12;

export class Places {
  /** One of 2^rateLog places of the base goes in: as many as the memory holds. */
  readonly rateLog: number;
  readonly #tags: Uint16Array;
  readonly #places: Uint32Array;
  /** Of each bucket: about the logarithm of how many shingles came when there were MAX_PLACES of them. */
  readonly #crowds: Uint8Array;
  readonly #buckets: number;
  readonly #found = new Float64Array(MAX_PLACES);
  #random = 0x1234_5678;

  constructor(baseBytes: number, memoryBytes: number) {
    const fits = (rateLog: number) => baseBytes / 2 ** rateLog / MAX_LOAD * SLOT_BYTES <= memoryBytes;
    let rateLog = MIN_RATE_LOG;
    while (rateLog < MAX_RATE_LOG && !fits(rateLog)) rateLog++;
    this.rateLog = rateLog;
    const slots = Math.min(baseBytes / 2 ** rateLog / IDEAL_LOAD, memoryBytes / SLOT_BYTES);
    this.#buckets = Math.max(16, Math.ceil(slots / SLOTS));
    this.#tags = new Uint16Array(this.#buckets * SLOTS);
    this.#places = new Uint32Array(this.#buckets * SLOTS);
    this.#crowds = new Uint8Array(this.#buckets);
  }

  get memoryBytes(): number { return this.#tags.byteLength + this.#places.byteLength + this.#crowds.byteLength; }

  /** `at` is the first byte of the shingle in `bytes`, `place` that of the same in the base. */
  add(bytes: Uint8Array, at: number, place: number): void {
    const hash = fingerprint(bytes, at);
    const bucket = this.#bucketOf(hash);
    const tag = tagOf(hash);
    const first = bucket * SLOTS;
    let same = 0;
    for (let slot = first; slot < first + SLOTS; slot++) {
      const there = this.#tags[slot];
      if (there === 0) {
        this.#tags[slot] = tag;
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
    const hash = fingerprint(bytes, at);
    const tag = tagOf(hash);
    const first = this.#bucketOf(hash) * SLOTS;
    let count = 0;
    for (let slot = first; slot < first + SLOTS; slot++) {
      const there = this.#tags[slot];
      if (there === 0) break;
      if (there === tag && count < MAX_PLACES) this.#found[count++] = this.#places[slot] ?? 0;
    }
    return count;
  }

  placeAt(index: number): number { return this.#found[index] ?? 0; }

  #bucketOf(hash: number): number { return Math.floor((hash / 2 ** 48) * this.#buckets); }

  /** Each of n places shall stay with the same chance: the n-th replaces one of the four with the chance of 4/n. */
  #replace(bucket: number, tag: number, place: number): void {
    const crowd = this.#crowds[bucket] ?? 0;
    const chance = this.#chance();
    if (crowd < 31 && chance < 2 ** -crowd) this.#crowds[bucket] = crowd + 1;
    if (chance >= MAX_PLACES / (MAX_PLACES + 2 ** crowd)) return;
    let nth = Math.floor(this.#chance() * MAX_PLACES);
    for (let slot = bucket * SLOTS; slot < (bucket + 1) * SLOTS; slot++) {
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

/** 0 marks a slot that is free. */
const tagOf = (hash: number): number => hash % 0x1_0000 || 1;
