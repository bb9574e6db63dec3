// Bytes and words that are no references, coded by the old ones in their place.
import type { Coder } from '../range-coder.ts';
import { RUNS, type ExeModels } from './models.ts';
import { putWord32, word32 } from './scanner.ts';

/** A place in the predicted bytes and in the new ones. */
export interface Spot { readonly predicted: Uint8Array; readonly at: number; readonly made: Uint8Array; readonly madeAt: number }

const RECENT = 8;
/** What became of a word: two bits of history. */
const SAME = 0, KNOWN_DISTANCE = 1, NEW_DISTANCE = 2, OTHER_BYTES = 3;

export class ByteCoder {
  readonly #models: ExeModels;
  readonly #coder: Coder;
  /** Bytes and references as predicted since the last that was not. */
  run = 0;
  /** 1 for each byte that was not kept, the last one lowest. */
  #misses = 0;
  /** The old byte and the new one of the last place. */
  #lastOld = 0;
  #lastNew = 0;
  readonly #kept = { at: new Int32Array(3), context: 0, bit: 0 };
  readonly #bits = { at: new Int32Array(3), context: 0, bit: 0 };
  #wordHistory = 0;
  readonly #recent = new Int32Array(RECENT);
  #recentCount = 0;
  #lastRank = 0;

  constructor(models: ExeModels, coder: Coder) {
    this.#models = models;
    this.#coder = coder;
  }

  /** A byte; returns the new one. `place`: 0 no known address, 1 code, 2 data. */
  byte(wanted: number, old: number, place: number): number {
    const { kept, keptMixer } = this.#models, run = Math.min(this.run, RUNS - 1), query = this.#kept;
    query.at[0] = (place * RUNS + run) * 256 + old;
    query.at[1] = (this.#lastOld << 8 | old) * 2 + (this.#misses & 1);
    query.at[2] = (place * 256 + (this.#misses & 255)) * RUNS + run;
    query.context = place * RUNS + run;
    query.bit = wanted === old ? 1 : 0;
    const hit = keptMixer.bit(this.#coder, kept, query);
    this.#misses = this.#misses << 1 | (hit ^ 1);
    const made = hit !== 0 ? old : this.#changed(wanted, old, place);
    this.#lastOld = old;
    this.#lastNew = made;
    // Bytes can come out as they were although they were coded as changed.
    this.run = made === old ? this.run + 1 : 0;
    return made;
  }

  #changed(wanted: number, old: number, place: number): number {
    const { byte, byteMixer } = this.#models, query = this.#bits;
    const high = old * 16 + (this.#lastOld >> 4), before = (this.#misses >> 1 & 3) * 256 + this.#lastNew;
    let node = 1;
    for (let k = 7; k >= 0; k--) {
      query.at[0] = (place * 256 + old) * 256 + node;
      query.at[1] = before * 256 + node;
      query.at[2] = high * 256 + node;
      query.context = place * 256 + node;
      query.bit = wanted >> k & 1;
      node = node * 2 + byteMixer.bit(this.#coder, byte, query);
    }
    return node & 255;
  }

  /** Words of a block that came out as predicted. */
  sameWords(count: number): void {
    this.#wordHistory = count > 3 ? 0 : this.#wordHistory << 2 * count & 255;
  }

  /** Four aligned bytes of data; they go to where they are made. */
  word(spot: Spot, place: number): void {
    const { predicted, at, made, madeAt } = spot, models = this.#models;
    const wanted = word32(made, madeAt), old = word32(predicted, at), history = this.#wordHistory;
    let what = SAME;
    if (this.#coder.bit(models.sameWord, history * 2 + (old === 0 ? 1 : 0), wanted === old ? 1 : 0) !== 0) {
      putWord32(made, madeAt, old);
      this.run += 4;
    } else {
      const distance = wanted - old | 0, rank = this.#rankOf(distance);
      const asDistance = this.#coder.bit(models.wordForm, history * 4, rank >= 0 || isSmall(distance, old, wanted) ? 1 : 0);
      if (asDistance !== 0) {
        what = this.#coder.bit(models.wordForm, history * 4 + 1, rank >= 0 ? 1 : 0) !== 0 ? KNOWN_DISTANCE : NEW_DISTANCE;
        const coded = what === KNOWN_DISTANCE ? this.#knownDistance(rank) : this.#newDistance(distance);
        putWord32(made, madeAt, old + coded | 0);
        this.run = 0;
      } else {
        what = OTHER_BYTES;
        for (let k = 0; k < 4; k++) made[madeAt + k] = this.byte(made[madeAt + k] ?? 0, predicted[at + k] ?? 0, place);
      }
    }
    this.#wordHistory = (history << 2 | what) & 255;
  }

  #rankOf(distance: number): number {
    for (let k = 0; k < this.#recentCount; k++) if (this.#recent[k] === distance) return k;
    return -1;
  }

  #knownDistance(wanted: number): number {
    const context = this.#lastRank * RECENT;
    let rank = 0;
    while (rank < this.#recentCount - 1 && this.#coder.bit(this.#models.wordRecent, context + rank, wanted > rank ? 1 : 0) !== 0) rank++;
    this.#lastRank = rank;
    return this.#toFront(rank, this.#recent[rank] ?? 0);
  }

  #newDistance(wanted: number): number {
    const distance = this.#models.wordDistance.signed(this.#coder, 0, wanted) | 0;
    this.#lastRank = RECENT - 1;
    if (this.#recentCount < RECENT) this.#recentCount++;
    return this.#toFront(this.#recentCount - 1, distance);
  }

  #toFront(rank: number, distance: number): number {
    for (let k = rank; k > 0; k--) this.#recent[k] = this.#recent[k - 1] ?? 0;
    return this.#recent[0] = distance;
  }
}

/** Worth a difference (the encoder's choice): in the lower half, or below 20 bits on something that is no text. */
function isSmall(distance: number, old: number, wanted: number): boolean {
  const size = Math.abs(distance), top = old >>> 24;
  return ((wanted ^ old) >>> 16 === 0 && size < 65536) || (size < 1 << 20 && (top === 0 || top === 255));
}
