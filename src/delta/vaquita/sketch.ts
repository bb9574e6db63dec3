// Finds what content has in common with files seen before: a rolling hash over every 24 bytes, of which one in some is kept with where it stood.
import { assert } from '../../lib/errors.ts';

const SHINGLE_BYTES = 24;
const FACTOR = 0x2f0b4a27;
/** FACTOR to the power of SHINGLE_BYTES: what the byte that leaves has been multiplied with. */
const LEAVING = (() => {
  let power = 1;
  for (let i = 0; i < SHINGLE_BYTES; i++) power = Math.imul(power, FACTOR);
  return power;
})();
/** The hash of one place in 32 of content is kept, of fewer in large bases. */
const FINEST_LOG = 5;
/** Bytes of memory per place that can be kept. */
const SLOT_BYTES = 12;
const MAX_LOAD = 0.8;
/** Files that one hash is kept of. */
const MAX_SAME = 6;

/** Bytes `from` to `to` of a file. */
export interface Range { file: number; from: number; to: number }

/** A place of the content that is also in these files, there at these offsets. */
interface Sample { files: number[]; offsets: number[] }

/** What to look for, and among which files. */
export interface CoverNeeds {
  /** Wins over equals; -1 for none. */
  prefer: number;
  mayUse: (file: number) => boolean;
  sizeBytes: (file: number) => number;
}

/** Bytes around a place that is alike which are taken with it. */
const MARGIN_BYTES = 2048;
const MAX_ROUNDS = 24;

export class Sketch {
  readonly #keys: Uint32Array;
  readonly #files: Int32Array;
  readonly #offsets: Uint32Array;
  readonly #mask: number;
  readonly #shift: number;
  #used = 0;

  /** For so much content, in no more than `memoryBytes`. */
  constructor(contentBytes: number, memoryBytes: number) {
    let log = FINEST_LOG;
    const slotsFor = (sampleLog: number) => {
      let slots = 4096;
      while (slots * MAX_LOAD < contentBytes / 2 ** sampleLog) slots *= 2;
      return slots;
    };
    while (log < 16 && slotsFor(log) * SLOT_BYTES > memoryBytes) log++;
    const slots = slotsFor(log);
    this.#keys = new Uint32Array(slots);
    this.#files = new Int32Array(slots).fill(-1);
    this.#offsets = new Uint32Array(slots);
    this.#mask = slots - 1;
    this.#shift = 32 - log;
  }

  /** A file, in pieces one behind the other. */
  add(file: number): (bytes: Buffer, start: number, end: number) => void {
    assert(file >= 0, 'files have numbers');
    return this.#sampler((hash, at) => { this.#keep(hash, file, at); });
  }

  /** Counts how many places of content, taken in pieces, each file has; `alike` says it, the most first. */
  count(): { take: (bytes: Buffer, start: number, end: number) => void; alike: () => Array<{ file: number; places: number }> } {
    const counts = new Map<number, number>();
    return {
      take: this.scan((_at, files) => { for (const file of files) counts.set(file, (counts.get(file) ?? 0) + 1); }),
      alike: () => [...counts].map(([file, places]) => ({ file, places })).sort((a, b) => b.places - a.places || a.file - b.file),
    };
  }

  /** A small set of ranges that have what the content has: again and again the file that explains most of what is left. */
  cover(content: Buffer, { prefer, mayUse, sizeBytes }: CoverNeeds): Range[] {
    let left = this.#samples(content);
    const total = left.length, ranges: Range[] = [];
    for (let round = 0; round < MAX_ROUNDS && left.length > 0; round++) {
      const best = bestFile(left, { prefer: round === 0 ? prefer : -1, mayUse });
      if (best.file < 0 || best.places < Math.max(round === 0 ? 2 : 3, total / 100)) break;
      const offsets: number[] = [];
      left = left.filter((sample) => {
        const before = offsets.length;
        sample.files.forEach((file, index) => { if (file === best.file) offsets.push(sample.offsets[index] ?? 0); });
        return offsets.length === before;
      });
      ranges.push(...around(best.file, offsets.sort((a, b) => a - b), sizeBytes(best.file)));
    }
    return ranges;
  }

  #keep(hash: number, file: number, at: number): void {
    if (this.#used > this.#keys.length * MAX_LOAD || at >= 2 ** 32) return;
    let slot = this.#slotOf(hash);
    for (let same = 0; (this.#files[slot] ?? -1) >= 0; slot = (slot + 1) & this.#mask) {
      if (this.#keys[slot] === hash && (this.#files[slot] === file || ++same >= MAX_SAME)) return;
    }
    this.#keys[slot] = hash;
    this.#files[slot] = file;
    this.#offsets[slot] = at;
    this.#used++;
  }

  /** Takes content in pieces and tells every place of it that is known: where it is, and in which files it is where else. */
  scan(onPlace: (at: number, files: number[], offsets: number[]) => void): (bytes: Buffer, start: number, end: number) => void {
    return this.#sampler((hash, at) => {
      let files: number[] | undefined;
      const offsets: number[] = [];
      for (let slot = this.#slotOf(hash); (this.#files[slot] ?? -1) >= 0; slot = (slot + 1) & this.#mask) {
        if (this.#keys[slot] !== hash) continue;
        (files ??= []).push(this.#files[slot] ?? 0);
        offsets.push(this.#offsets[slot] ?? 0);
      }
      if (files !== undefined) onPlace(at, files, offsets);
    });
  }

  #samples(content: Buffer): Sample[] {
    const samples: Sample[] = [];
    this.scan((_at, files, offsets) => { samples.push({ files, offsets }); })(content, 0, content.length);
    return samples;
  }

  #slotOf(hash: number): number { return Math.imul(hash, 0x85ebca6b) >>> 3 & this.#mask; }

  /** Tells the hashes of chosen shingles and where they begin. */
  #sampler(onHash: (hash: number, at: number) => void): (bytes: Buffer, start: number, end: number) => void {
    const ring = new Uint8Array(SHINGLE_BYTES), shift = this.#shift;
    let hash = 0, at = 0, place = 0;
    return (bytes, start, end) => {
      for (let i = start; i < end; i++) {
        const byte = bytes[i] ?? 0;
        hash = Math.imul(hash, FACTOR) + byte + 1 | 0;
        if (at >= SHINGLE_BYTES) hash = hash - Math.imul(LEAVING, (ring[place] ?? 0) + 1) | 0;
        ring[place] = byte;
        place = place === SHINGLE_BYTES - 1 ? 0 : place + 1;
        at++;
        if (at >= SHINGLE_BYTES && Math.imul(hash, 0x9e3779b1) >>> shift === 0) onHash(hash >>> 0, at - SHINGLE_BYTES);
      }
    };
  }
}

function bestFile(samples: readonly Sample[], { prefer, mayUse }: { prefer: number; mayUse: (file: number) => boolean }): { file: number; places: number } {
  const counts = new Map<number, number>();
  for (const { files } of samples) for (const file of files) if (mayUse(file)) counts.set(file, (counts.get(file) ?? 0) + 1);
  let best = { file: -1, places: 0 };
  for (const [file, places] of counts) if (places > best.places || (places === best.places && file === prefer)) best = { file, places };
  const preferred = counts.get(prefer) ?? 0;
  return preferred * 5 >= best.places * 4 && preferred > 0 ? { file: prefer, places: preferred } : best;
}

/** Ranges around places; what is near to each other becomes one. */
function around(file: number, offsets: readonly number[], sizeBytes: number): Range[] {
  const ranges: Range[] = [];
  let last: Range | undefined;
  for (const offset of offsets) {
    const from = Math.max(0, offset - MARGIN_BYTES), to = Math.min(sizeBytes, offset + MARGIN_BYTES);
    if (last !== undefined && from <= last.to + 4 * MARGIN_BYTES) last.to = to;
    else ranges.push(last = { file, from, to });
  }
  return ranges;
}
