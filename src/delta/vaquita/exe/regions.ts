// How two files are aligned: runs of bytes of the new file, in order, each like a run of the old one; and hints on where addresses went.
import { corrupt } from '../../../lib/errors.ts';
import { IntModel, Model, type Coder } from '../range-coder.ts';
import type { Arrays } from './arena.ts';

/** Three numbers per run. What lies between runs of the new file is new. */
export interface Regions {
  readonly count: number;
  readonly newAt: Uint32Array;
  readonly oldAt: Uint32Array;
  readonly bytes: Uint32Array;
}

/** Old addresses from `start` to `end` moved by `delta`, whatever the regions say. */
export interface Hint { readonly start: number; readonly end: number; readonly delta: number }

export function emptyRegions(count: number, arrays: Arrays): Regions {
  return { count, newAt: arrays.words(count), oldAt: arrays.words(count), bytes: arrays.words(count) };
}

/** Runs most often go on along a diagonal (old place minus new place) of a moment ago. */
const RECENT = 8;

/** Learns from file to file. */
export class RegionModels {
  readonly count = new IntModel(1);
  readonly adjacent = new Model(16);
  readonly gap = new IntModel(4);
  readonly recent = new Model(4 * 2 * RECENT);
  readonly diagonal = new IntModel(4);
  readonly bytes = new IntModel(4);
  readonly hint = new IntModel(3);
}

/** Number of regions: of the ones given, or as decoded. Error: corrupt, when there are more than `most`. */
export function codeCount(coder: Coder, model: IntModel, { count, most, what }: { count: number; most: number; what: string }): number {
  const coded = model.code(coder, 0, count);
  if (coded > most) throw corrupt(`${coded} ${what} are more than the ${most} that fit`);
  return coded;
}

/** Codes the regions, or fills them. Error: corrupt, for one outside of the files. */
export function codeRegions(coder: Coder, models: RegionModels, { regions, decoding, oldBytes, newBytes }: { regions: Regions; decoding: boolean; oldBytes: number; newBytes: number }): void {
  const { newAt, oldAt, bytes, count } = regions, recent = new Float64Array(RECENT);
  let end = 0, rank = 0, lastShort = 1;
  for (let k = 0; k < count; k++) {
    const want = decoding ? NOTHING : { at: newAt[k] ?? 0, diagonal: (oldAt[k] ?? 0) - (newAt[k] ?? 0), bytes: bytes[k] ?? 1 };
    const adjacent = coder.bit(models.adjacent, rank * 2, want.at === end ? 1 : 0);
    const at = adjacent !== 0 ? end : end + models.gap.code(coder, rank, decoding ? 0 : want.at - end - 1) + 1;
    let place = 0;
    while (place < RECENT && coder.bit(models.recent, (rank * 2 + adjacent) * RECENT + place, recent[place] === want.diagonal ? 1 : 0) === 0) place++;
    const latest = recent[0] ?? 0;
    const diagonal = place < RECENT ? recent[place] ?? 0 : latest + models.diagonal.signed(coder, adjacent * 2 + (lastShort !== 0 ? 0 : 1), decoding ? 0 : want.diagonal - latest);
    for (let q = Math.min(place, RECENT - 1); q > 0; q--) recent[q] = recent[q - 1] ?? 0;
    recent[0] = diagonal;
    const length = models.bytes.code(coder, (place < RECENT ? 0 : 1) + adjacent * 2, want.bytes - 1) + 1;
    end = at + length;
    if (end > newBytes || at + diagonal < 0 || end + diagonal > oldBytes) throw corrupt(`region ${k}: ${length} bytes at ${at + diagonal} for ${at} are outside of files of ${oldBytes} and ${newBytes} bytes`);
    newAt[k] = at;
    oldAt[k] = at + diagonal;
    bytes[k] = length;
    lastShort = length < 32 ? 1 : 0;
    rank = place === 0 ? 0 : place < 3 ? 1 : place < RECENT ? 2 : 3;
  }
}
const NOTHING = { at: 0, diagonal: 0, bytes: 1 };

/** Addresses of hints are not above this, and neither is what they add. */
const MAX_HINT = 2 ** 48;

/** Codes hints sorted by address that do not overlap. Error: corrupt, for others. */
export function codeHints(coder: Coder, models: RegionModels, { hints, most }: { hints: readonly Hint[] | undefined; most: number }): Hint[] {
  const count = codeCount(coder, models.hint, { count: hints?.length ?? 0, most, what: 'hints' }), coded: Hint[] = [];
  let last = 0;
  for (let k = 0; k < count; k++) {
    const hint = hints?.[k];
    const start = last + models.hint.code(coder, 1, hint === undefined ? 0 : hint.start - last);
    const end = start + models.hint.code(coder, 1, hint === undefined ? 0 : hint.end - hint.start);
    const delta = models.hint.signed(coder, 2, hint?.delta ?? 0);
    if (end > MAX_HINT || Math.abs(delta) > MAX_HINT) throw corrupt(`hint ${k}: addresses from ${start} to ${end} by ${delta}`);
    coded.push({ start, end, delta });
    last = end;
  }
  return coded;
}

/** Collects regions in the order of the new file; those that go on where the last one ended become one with it. */
export class RegionList {
  #count = 0;
  #newAt = new Uint32Array(1024);
  #oldAt = new Uint32Array(1024);
  #bytes = new Uint32Array(1024);

  add(newAt: number, oldAt: number, bytes: number): void {
    const last = this.#count - 1, lastBytes = this.#bytes[last] ?? 0;
    if (last >= 0 && (this.#newAt[last] ?? 0) + lastBytes === newAt && (this.#oldAt[last] ?? 0) + lastBytes === oldAt) {
      this.#bytes[last] = lastBytes + bytes;
      return;
    }
    if (this.#count === this.#newAt.length) [this.#newAt, this.#oldAt, this.#bytes] = [doubled(this.#newAt), doubled(this.#oldAt), doubled(this.#bytes)];
    this.#newAt[this.#count] = newAt;
    this.#oldAt[this.#count] = oldAt;
    this.#bytes[this.#count++] = bytes;
  }

  regions(): Regions {
    const count = this.#count;
    return { count, newAt: this.#newAt.slice(0, count), oldAt: this.#oldAt.slice(0, count), bytes: this.#bytes.slice(0, count) };
  }
}

function doubled(list: Uint32Array): Uint32Array<ArrayBuffer> {
  const longer = new Uint32Array(list.length * 2);
  longer.set(list);
  return longer;
}

/** Those of `least` bytes or more. */
export function thinned(regions: Regions, least: number): Regions {
  const list = new RegionList();
  for (let k = 0; k < regions.count; k++) {
    const bytes = regions.bytes[k] ?? 0;
    if (bytes >= least) list.add(regions.newAt[k] ?? 0, regions.oldAt[k] ?? 0, bytes);
  }
  return list.regions();
}
