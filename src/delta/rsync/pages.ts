// Reads a base here and there in bounded memory, and compares it with a target.
import type { ByteView } from '../bytes.ts';

const PAGE_BYTES = 32 << 10;
const MIN_PAGES = 32;
/** How many bytes may be fetched for each byte of the target that is done: what bounds the time when everything is everywhere. */
const FETCH_FACTOR = 8;
const FETCH_ADVANCE_BYTES = 64 << 20;
/** Compared at once, by memcmp. */
const STRIDE_BYTES = 1024;

/** Bytes of the target in memory, as far as they are known. */
export interface Known { bytes: Buffer; at: number; limit: number }

export class Pages {
  readonly #view: ByteView;
  readonly #frames: Buffer[] = [];
  readonly #maxFrames: number;
  /** Of each page: its frame and one, 0 for none. */
  readonly #frameOf: Uint32Array;
  /** Of each frame. */
  readonly #pageOf: number[] = [];
  readonly #used: Uint8Array;
  #hand = 0;
  #creditBytes = FETCH_ADVANCE_BYTES;

  constructor(view: ByteView, memoryBytes: number) {
    this.#view = view;
    const pages = Math.ceil(view.sizeBytes / PAGE_BYTES);
    this.#maxFrames = Math.min(Math.max(1, pages), Math.max(MIN_PAGES, Math.floor(memoryBytes / PAGE_BYTES)));
    this.#frameOf = new Uint32Array(pages);
    this.#used = new Uint8Array(this.#maxFrames);
  }

  /** So much of the target is done. */
  earn(bytes: number): void { this.#creditBytes = Math.min(this.#creditBytes + bytes * FETCH_FACTOR, 2 * FETCH_ADVANCE_BYTES); }

  /** Whether looking at this place is affordable: it is in memory, or may be fetched. */
  affords(position: number): boolean {
    return this.#creditBytes > 0 || this.#frameOf[Math.floor(position / PAGE_BYTES)] !== 0;
  }

  /** How many bytes from `position` on are those of the target from `at` on, before `limit`. */
  matchForward(position: number, { bytes, at, limit }: Known): number {
    const total = Math.min(limit - at, this.#view.sizeBytes - position);
    for (let done = 0; done < total;) {
      const from = (position + done) % PAGE_BYTES;
      const page = this.#page(position + done);
      const n = Math.min(PAGE_BYTES - from, total - done);
      const same = commonPrefix(page, from, { bytes, at: at + done, limit: at + done + n });
      done += same;
      if (same < n) return done;
    }
    return Math.max(0, total);
  }

  /** How many bytes before `position` are those of the target before `at`, down to `limit`. */
  matchBackward(position: number, { bytes, at, limit }: Known): number {
    const total = Math.min(at - limit, position);
    let done = 0;
    while (done < total) {
      const end = position - done;
      const from = (end - 1) % PAGE_BYTES;
      const page = this.#page(end - 1);
      const n = Math.min(from + 1, total - done);
      let same = 0;
      while (same < n && page[from - same] === bytes[at - done - 1 - same]) same++;
      done += same;
      if (same < n) break;
    }
    return done;
  }

  /** How many bytes before `position` are the same as the one there. */
  runBefore(position: number, mostBytes: number): number {
    const byte = this.#page(position)[position % PAGE_BYTES];
    const most = Math.min(position, mostBytes);
    let run = 0;
    while (run < most) {
      const end = position - run;
      const page = this.#page(end - 1);
      let at = (end - 1) % PAGE_BYTES;
      while (run < most && at >= 0 && page[at] === byte) { at--; run++; }
      if (at >= 0) break;
    }
    return run;
  }

  #page(position: number): Buffer {
    const page = Math.floor(position / PAGE_BYTES);
    const known = this.#frameOf[page] ?? 0;
    if (known > 0) {
      this.#used[known - 1] = 1;
      return this.#frames[known - 1] ?? EMPTY;
    }
    return this.#fetch(page);
  }

  #fetch(page: number): Buffer {
    const frame = this.#freeFrame();
    const buffer = this.#frames[frame] ??= Buffer.allocUnsafeSlow(PAGE_BYTES);
    const end = Math.min(PAGE_BYTES, this.#view.sizeBytes - page * PAGE_BYTES);
    this.#view.read(page * PAGE_BYTES, buffer, { start: 0, end });
    this.#creditBytes -= end;
    this.#pageOf[frame] = page;
    this.#frameOf[page] = frame + 1;
    this.#used[frame] = 1;
    return buffer;
  }

  /** Takes the next one that was not used since it was looked at last. */
  #freeFrame(): number {
    if (this.#frames.length < this.#maxFrames) return this.#frames.length;
    for (;;) {
      const frame = this.#hand;
      this.#hand = (frame + 1) % this.#maxFrames;
      if (this.#used[frame] !== 0) { this.#used[frame] = 0; continue; }
      this.#frameOf[this.#pageOf[frame] ?? 0] = 0;
      return frame;
    }
  }
}

const EMPTY = Buffer.alloc(0);

function commonPrefix(page: Buffer, from: number, { bytes, at, limit }: Known): number {
  const n = limit - at;
  let done = 0;
  while (done < n) {
    const stop = Math.min(n, done + STRIDE_BYTES);
    if (stop - done === STRIDE_BYTES && done > 0 && page.compare(bytes, at + done, at + stop, from + done, from + stop) === 0) { done = stop; continue; }
    while (done < stop && page[from + done] === bytes[at + done]) done++;
    if (done < stop) return done;
  }
  return n;
}
