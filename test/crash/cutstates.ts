// Disks that a power cut could leave: everything flushed before the cut, and of the rest whatever the dice say.
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { copySparse, SECTOR_BYTES, type LogEntry } from './blocklog.ts';

/** A number in [0, 1), the next one at each call. */
export type Dice = () => number;

/** Sectors [from, to) of one entry that reached the medium. */
export interface Piece { entry: LogEntry; from: number; to: number }

/** Of 100 surviving writes so many are torn between two sectors. */
const TORN_PERCENT = 10;

/** Mulberry32: the seed is the bug report. */
export function diceOf(seed: number): Dice {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Number of entries that are safe when power goes after the first `cut` ones: all up to the last flush among them. */
export function flushedBefore(entries: readonly LogEntry[], cut: number): number {
  for (let n = cut; n > 0; n--) if (entries[n - 1]?.flush) return n;
  return 0;
}

/** What of the unflushed entries [safe, cut) survives. Each cut has its own luck: from nothing at all to everything. */
export function decideSurvivors(entries: readonly LogEntry[], cut: number, dice: Dice): Piece[] {
  const luck = [0, 0.25, 0.5, 0.75, 1][Math.floor(dice() * 5)] ?? 1;
  const pieces: Piece[] = [];
  for (const entry of entries.slice(flushedBefore(entries, cut), cut)) {
    if (entry.sectors === 0) continue;
    // A write with FUA was acknowledged from the medium itself.
    if (!entry.fua && dice() >= luck) continue;
    const torn = !entry.fua && entry.sectors > 1 && dice() * 100 < TORN_PERCENT;
    const at = torn ? 1 + Math.floor(dice() * (entry.sectors - 1)) : entry.sectors;
    pieces.push(torn && dice() < 0.5 ? { entry, from: at, to: entry.sectors } : { entry, from: 0, to: at });
  }
  return pieces;
}

/** Writes one disk per cut; `recorded.baseFile` moves forward with the cuts, which must therefore come in ascending order. */
export class CutDisks {
  readonly #entries: readonly LogEntry[];
  readonly #recorded: { baseFile: string; logFile: string };
  #applied = 0;

  constructor(entries: readonly LogEntry[], recorded: { baseFile: string; logFile: string }) {
    this.#entries = entries;
    this.#recorded = recorded;
  }

  write(cut: number, dice: Dice, diskFile: string): void {
    const safe = flushedBefore(this.#entries, cut);
    if (safe < this.#applied) throw new Error(`cut ${cut} comes after a later one`);
    this.#apply(this.#recorded.baseFile, this.#entries.slice(this.#applied, safe).map(wholly));
    this.#applied = safe;
    copySparse(this.#recorded.baseFile, diskFile);
    this.#apply(diskFile, decideSurvivors(this.#entries, cut, dice));
  }

  /** Every entry, flushed or not: to prove that the recording itself is whole. */
  writeAll(diskFile: string): void {
    copySparse(this.#recorded.baseFile, diskFile);
    this.#apply(diskFile, this.#entries.slice(this.#applied).map(wholly));
  }

  #apply(diskFile: string, pieces: readonly Piece[]): void {
    const log = openSync(this.#recorded.logFile, 'r');
    const disk = openSync(diskFile, 'r+');
    try {
      for (const { entry, from, to } of pieces) {
        const data = Buffer.alloc((to - from) * SECTOR_BYTES); // A discarded range reads as zeros.
        if (!entry.discard) readSync(log, data, 0, data.length, entry.dataOffset + from * SECTOR_BYTES);
        writeSync(disk, data, 0, data.length, (entry.sector + from) * SECTOR_BYTES);
      }
    } finally { closeSync(log); closeSync(disk); }
  }
}

const wholly = (entry: LogEntry): Piece => ({ entry, from: 0, to: entry.sectors });
