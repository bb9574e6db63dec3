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
import { DeltaWriter, MAX_LITERAL_BYTES, SHORT_COPY_BYTES } from './writer.ts';

/** How much is done, and how much there is. */
export type Progress = (currentBytes: number, totalBytes: number) => void;

/** Behind a COPY, what follows in the base is looked at for so long: bytes that were changed in place. */
const RESUME_BYTES = 32, MIN_RESUMED_BYTES = 8;
/** Of equal bytes in the base. */
const MAX_RUN_BYTES = 1 << 20;
/** The last matches are not written yet: one that comes later may reach back over them and save their commands. */
const HELD_BYTES = 64 << 10, MAX_HELD = 32;

interface Match { position: number; start: number; end: number }

export interface DifferOptions {
  places: Places;
  pages: Pages;
  target: ByteView;
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
  /** All places in the target are counted from its beginning. Up to here all is written: */
  #said = 0;
  /** these come next, with literals between them, */
  readonly #held: Match[] = [];
  /** which end here; */
  #front = 0;
  /** and up to here the prices know the literals. */
  #learned = 0;
  /** Where the base goes on behind the last COPY, seen from the target: its place is the target's and this. */
  #offset = 0;

  constructor({ places, pages, target, output, onProgress }: DifferOptions) {
    this.#places = places;
    this.#pages = pages;
    this.#window = new Window(target);
    this.#writer = new DeltaWriter(output, (from, to, sink) => { this.#window.take(from, to, sink); });
    this.#sampler = new Sampler(places.rateLog, 'target');
    this.#onProgress = onProgress;
  }

  run(): void {
    const window = this.#window;
    let at = this.#restart();
    for (;;) {
      if (at >= window.scanEnd && window.limit < window.sizeBytes) this.#more(at);
      const end = window.scanEnd;
      if (at >= end) break;
      const found = this.#scan(at, end);
      at = found === undefined ? end : this.#take(found);
    }
    this.#settle(0);
    this.#literal(window.sizeBytes);
    this.#writer.end();
    this.#onProgress?.(window.sizeBytes, window.sizeBytes);
  }

  /** Behind a COPY, or at the beginning: the next place to look up is the one whose shingle ends there, however far it reaches back. */
  #restart(): number {
    const from = Math.max(0, this.#front - (SHINGLE_BYTES - 1));
    this.#window.reach(from + SHINGLE_BYTES);
    this.#sampler.restart(this.#window.bytes, from - this.#window.start);
    return from + SHINGLE_BYTES - 1;
  }

  #more(at: number): void {
    this.#learn(at); // while it is known
    if (at - this.#said > MAX_LITERAL_BYTES) {
      this.#settle(0);
      while (at - this.#said > MAX_LITERAL_BYTES) this.#literal(this.#said + MAX_LITERAL_BYTES);
    }
    this.#window.advance(at);
    this.#onProgress?.(at, this.#window.sizeBytes);
  }

  #scan(from: number, to: number): Match | undefined {
    const { bytes, start } = this.#window;
    const end = to - start;
    for (let i = from - start; (i = this.#sampler.next(bytes, i, end)) < end; i++) {
      const count = this.#places.find(bytes, i - (SHINGLE_BYTES - 1));
      if (count === 0) continue;
      const match = this.#best(start + i - (SHINGLE_BYTES - 1), count);
      if (match !== undefined && (match.start < this.#front || this.#pays(match))) return match;
    }
    return undefined;
  }

  /** Of all places where this shingle stands in the base the one that says most; among equals the one that goes on where the last COPY ended. */
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

  /** As far as it reaches, also back over held matches; of one that it reaches into, it takes nothing. */
  #around(place: number, at: number): Match | undefined {
    const { bytes, start: origin, limit } = this.#window;
    const forward = this.#pages.matchForward(place, { bytes, at: at - origin, limit: limit - origin });
    const end = at + forward;
    if (forward < SHINGLE_BYTES || end <= this.#front) return undefined;
    let start = at - this.#pages.matchBackward(place, { bytes, at: at - origin, limit: Math.min(at, Math.max(this.#said, origin)) - origin });
    start = Math.max(start, this.#said);
    for (let n = this.#held.length - 1; n >= 0; n--) {
      const held = this.#held[n];
      if (held === undefined || held.end <= start) break;
      if (held.start < start) { start = held.end; break; }
    }
    return this.#slid({ position: place + (start - at), start, end });
  }

  /**
   * Where bytes repeat themselves, the same copy may begin right behind what is said, or instead of the last one that is held, and reach as far;
   * and the same bytes may come from where their run begins and reach farther.
   */
  #slid(match: Match): Match {
    const { bytes, start: origin, limit } = this.#window;
    const { position, start, end } = match;
    const reach = (place: number, at: number) => at + this.#pages.matchForward(place, { bytes, at: at - origin, limit: limit - origin });
    const runStart = position - this.#pages.runBefore(position, MAX_RUN_BYTES);
    for (const from of [this.#held.at(-2)?.end ?? this.#said, this.#front]) {
      if (from >= start || from < origin || start - from > end - start) continue;
      for (const place of runStart < position ? [runStart, position] : [position]) {
        const other = reach(place, from);
        if (other >= end) return { position: place, start: from, end: other };
      }
    }
    if (runStart < position && end < limit) {
      const other = reach(runStart, start);
      if (other > end) return { position: runStart, start, end: other };
    }
    return match;
  }

  #pays({ position, start, end }: Match): boolean {
    const length = end - start;
    if (length >= SHORT_COPY_BYTES) return true;
    const bits = copyBits({ position, length, alone: start > this.#front });
    this.#learn(start);
    const at = this.#window.start;
    return this.#prices.bitsOf(this.#window.bytes, { start: start - at, end: end - at }, bits + 1) > bits;
  }

  /** Takes the match, as far as it goes, and what follows it in the base in spite of changed bytes; the place to look from then. */
  #take(match: Match): number {
    for (let next: Match | undefined = match; next !== undefined; next = this.#resume()) this.#hold(next);
    return this.#restart();
  }

  #hold(match: Match): void {
    for (let last = this.#held.at(-1); last !== undefined && last.start >= match.start; last = this.#held.at(-1)) this.#held.pop();
    this.#learn(match.start);
    this.#learned = match.end;
    this.#held.push(match);
    this.#front = match.end;
    this.#offset = match.position - match.start;
    const window = this.#window;
    if (match.end === window.limit && window.limit < window.sizeBytes) this.#follow(match); // the window ended before the match did
    else while (this.#held.length > MAX_HELD || (this.#held.length > 0 && this.#front - this.#said > HELD_BYTES)) this.#settle(this.#held.length - 1);
  }

  #follow(match: Match): void {
    this.#settle(1);
    this.#literal(match.start);
    const window = this.#window;
    while (match.end === window.limit && window.limit < window.sizeBytes) {
      this.#onProgress?.(match.end, window.sizeBytes);
      window.advance(match.end);
      match.end += this.#pages.matchForward(match.end + this.#offset, { bytes: window.bytes, at: match.end - window.start, limit: window.limit - window.start });
    }
    this.#front = match.end;
    this.#settle(0);
  }

  /** Writes held matches, the oldest first, until no more than so many are left. */
  #settle(left: number): void {
    while (this.#held.length > left) {
      const match = this.#held.shift();
      if (match === undefined) return;
      this.#literal(match.start);
      if (match.end - match.start < SHORT_COPY_BYTES) this.#writer.shortCopy(match.position, match.start, match.end);
      else this.#writer.copy(match.position, match.end - match.start);
      this.#pages.earn(match.end - match.start);
      this.#said = match.end;
    }
    this.#front = Math.max(this.#front, this.#said);
  }

  /** The next bytes that stand where the last COPY would go on, when they are worth one. */
  #resume(): Match | undefined {
    const window = this.#window;
    window.reach(this.#front + RESUME_BYTES);
    const { bytes, start, limit } = window;
    const stop = Math.min(limit, this.#front + RESUME_BYTES);
    for (let at = this.#front + 1; at + MIN_RESUMED_BYTES <= stop; at++) {
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
    this.#writer.literal(this.#said, to);
    this.#said = to;
    this.#front = Math.max(this.#front, to);
  }
}
