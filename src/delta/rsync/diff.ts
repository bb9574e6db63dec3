// Goes through a target once and says it in words of librsync: COPY what the base has, byte by byte as far as it is the same, and LITERAL for the rest.
//
// A COPY is taken when it costs less than its bytes would as literals once the delta is gzip'd: what is short and like the literals before
// it stays a literal. What is as long as a block of balenaEngine's is always a COPY, so that no delta is larger than balenaEngine's.
import type { ByteView, Output } from '../bytes.ts';
import { LiteralPrices, copyBits } from './cost.ts';
import type { Pages } from './pages.ts';
import type { Places } from './places.ts';
import { SHINGLE_BYTES, Sampler } from './sampler.ts';
import { Window } from './window.ts';
import { DeltaWriter } from './writer.ts';

/** How much is done, and how much there is. */
export type Progress = (currentBytes: number, totalBytes: number) => void;

/** Matches of this length are not weighed. */
const SURE_BYTES = 256;
/** Behind a COPY, what follows in the base is looked at for so long: bytes that were changed in place. */
const RESUME_BYTES = 64, MIN_RESUMED_BYTES = 8;

interface Match { position: number; start: number; end: number }

export interface DifferOptions {
  places: Places;
  pages: Pages;
  target: ByteView;
  windowBytes: number;
  output: Output;
  onProgress?: Progress | undefined;
}

export class Differ {
  readonly #places: Places;
  readonly #pages: Pages;
  readonly #window: Window;
  readonly #writer: DeltaWriter;
  readonly #sampler: Sampler;
  readonly #prices = new LiteralPrices();
  readonly #onProgress: Progress | undefined;
  /** All places in the target are counted from its beginning. Up to here all is said: */
  #said = 0;
  /** and up to here the prices know the literals. */
  #learned = 0;
  /** Where the base goes on behind the last COPY, seen from the target: its place is the target's and this. */
  #offset = 0;

  constructor({ places, pages, target, windowBytes, output, onProgress }: DifferOptions) {
    this.#places = places;
    this.#pages = pages;
    this.#window = new Window(target, windowBytes);
    this.#writer = new DeltaWriter(output);
    this.#sampler = new Sampler(places.rateLog, 'target');
    this.#onProgress = onProgress;
  }

  run(): void {
    const window = this.#window;
    let at = this.#restart(0);
    for (;;) {
      if (window.needsMore(at)) this.#more(at);
      const end = window.scanEnd;
      if (at >= end) break;
      const found = this.#scan(at, end);
      at = found === undefined ? end : this.#take(found);
    }
    this.#literal(window.sizeBytes);
    this.#writer.end();
    this.#onProgress?.(window.sizeBytes, window.sizeBytes);
  }

  /** Behind a COPY, or at the beginning: the next place to look up is the one whose shingle ends at `at`, however far it reaches back. */
  #restart(at: number): number {
    const from = Math.max(0, at - (SHINGLE_BYTES - 1));
    this.#window.reach(from + SHINGLE_BYTES, from);
    this.#sampler.restart(this.#window.bytes, from - this.#window.start);
    return from + SHINGLE_BYTES - 1;
  }

  #more(at: number): void {
    const most = this.#window.literalBytes;
    while (at - this.#said > most) this.#literal(this.#said + most);
    this.#window.advance(Math.min(this.#said, at - SHINGLE_BYTES));
    this.#onProgress?.(at, this.#window.sizeBytes);
  }

  #scan(from: number, to: number): Match | undefined {
    const { bytes, start } = this.#window;
    const end = to - start;
    for (let i = from - start; (i = this.#sampler.next(bytes, i, end)) < end; i++) {
      const count = this.#places.find(bytes, i - (SHINGLE_BYTES - 1));
      if (count === 0) continue;
      const match = this.#best(start + i - (SHINGLE_BYTES - 1), count);
      if (match !== undefined && this.#pays(match)) return match;
    }
    return undefined;
  }

  /** Of all places where this shingle stands in the base the one that reaches the farthest; among equals the one that goes on where the last COPY ended. */
  #best(at: number, count: number): Match | undefined {
    let best: Match | undefined;
    for (let n = 0; n < count; n++) {
      const place = this.#places.placeAt(n);
      if (!this.#pages.affords(place)) continue;
      const match = this.#around(place, at);
      if (match === undefined) continue;
      const more = match.end - match.start - (best === undefined ? 0 : best.end - best.start);
      if (more > 0 || (more === 0 && match.position - match.start === this.#offset)) best = match;
    }
    return best;
  }

  #around(place: number, at: number): Match | undefined {
    const { bytes, start, limit } = this.#window;
    const forward = this.#pages.matchForward(place, { bytes, at: at - start, limit: limit - start });
    if (forward < SHINGLE_BYTES) return undefined;
    if (at < this.#said) { // its beginning is said already
      const late = this.#said - at;
      return { position: place + late, start: this.#said, end: at + forward };
    }
    const backward = this.#pages.matchBackward(place, { bytes, at: at - start, limit: this.#said - start });
    return { position: place - backward, start: at - backward, end: at + forward };
  }

  #pays({ position, start, end }: Match): boolean {
    const length = end - start;
    if (length >= SURE_BYTES) return true;
    if (length <= 0) return false;
    const bits = copyBits({ position, length, alone: start > this.#said });
    this.#learn(start);
    const at = this.#window.start;
    return this.#prices.bitsOf(this.#window.bytes, { start: start - at, end: end - at }, bits + 1) > bits;
  }

  /** Says the match, as far as it goes, and what follows it in the base in spite of changed bytes; the place to look from then. */
  #take(match: Match): number {
    for (let next: Match | undefined = match; next !== undefined; next = this.#resume()) this.#copy(next);
    return this.#restart(this.#said);
  }

  #copy({ position, start, end }: Match): void {
    this.#literal(start);
    this.#offset = position - start;
    let to = end;
    const window = this.#window;
    while (to === window.limit && window.limit < window.sizeBytes) { // the window ended before the match did
      this.#onProgress?.(to, window.sizeBytes);
      window.advance(to - SHINGLE_BYTES);
      to += this.#pages.matchForward(to + this.#offset, { bytes: window.bytes, at: to - window.start, limit: window.limit - window.start });
      if (to < window.limit) break;
    }
    this.#pages.earn(to - this.#said);
    this.#writer.copy(position, to - start);
    this.#said = this.#learned = to;
  }

  /** The next bytes that stand where the last COPY would go on, when they are worth one. */
  #resume(): Match | undefined {
    const window = this.#window;
    window.reach(this.#said + RESUME_BYTES, this.#said - SHINGLE_BYTES);
    const { bytes, start, limit } = window;
    const stop = Math.min(limit, this.#said + RESUME_BYTES);
    for (let at = this.#said + 1; at + MIN_RESUMED_BYTES <= stop; at++) {
      const position = at + this.#offset;
      if (!this.#pages.affords(position)) return undefined;
      const length = this.#pages.matchForward(position, { bytes, at: at - start, limit: limit - start });
      if (length >= MIN_RESUMED_BYTES) {
        const match = { position, start: at, end: at + length };
        if (this.#pays(match)) return match;
      }
      at += length;
    }
    return undefined;
  }

  #learn(to: number): void {
    if (to <= this.#learned) return;
    const { bytes, start } = this.#window;
    this.#prices.learn(bytes, Math.max(this.#learned, start) - start, to - start);
    this.#learned = to;
  }

  #literal(to: number): void {
    if (to <= this.#said) return;
    this.#learn(to);
    this.#pages.earn(to - this.#said);
    const { bytes, start } = this.#window;
    this.#writer.literal(bytes, this.#said - start, to - start);
    this.#said = to;
  }
}
