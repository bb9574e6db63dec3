// The few files that are open while layers are read at any place: the last used stay open, and what was read leaves the page cache, unless it was there before.
import { closeSync, fstatSync, readSync } from 'node:fs';
import type { Files } from '../kernel/index.ts';

/** How many may be read ahead: on a disk with 1 ms to a read, 20,000 small files one after the other are 20 s of waiting. */
export const FILES_AHEAD = 16;
const OPEN_FILES = FILES_AHEAD + 8;
/** Of one file at once in the page cache. */
const CACHED_BYTES = 8 << 20;

export type PageCache = Pick<Files, 'dropCache' | 'readAhead' | 'cachedBytes'>;

/** Which file of whom, and how it is opened. */
export interface Wanted { owner: object; index: number; open: () => number }

interface Held { owner: object; index: number; fd: number; readBytes: number; /** Someone reads it: a container's program, most likely. */ stays: boolean }

export class OpenFiles implements Disposable {
  readonly #files: PageCache;
  /** The last used first. */
  readonly #held: Held[] = [];

  constructor(files: PageCache) { this.#files = files; }

  /** Reads file `index` of `owner`, which `open` opens when it is not open. Gives fewer bytes than asked for only where the file ends. */
  read(wanted: Wanted, position: number, into: Buffer, range: { start: number; end: number }): number {
    const held = this.#find(wanted) ?? this.#open(wanted);
    let at = range.start;
    for (let n = -1; n !== 0 && at < range.end; at += n) n = readSync(held.fd, into, at, range.end - at, position + at - range.start);
    held.readBytes += at - range.start;
    if (held.readBytes > CACHED_BYTES) {
      if (!held.stays) this.#files.dropCache(held.fd);
      held.readBytes = 0;
    }
    return at - range.start;
  }

  /** Begins to read small files that will be asked for soon. What is wrong with one is told when it is asked for. */
  readAhead(wanted: Iterable<Wanted>): void {
    for (const one of wanted) {
      if (this.#find(one)) continue;
      try { this.#files.readAhead(this.#open(one).fd); } catch { return; }
    }
  }

  [Symbol.dispose](): void { while (this.#held.length > 0) this.#closeLast(); }

  #find({ owner, index }: Pick<Wanted, 'owner' | 'index'>): Held | undefined {
    const place = this.#held.findIndex((one) => one.index === index && one.owner === owner);
    const held = this.#held[place];
    if (held !== undefined && place > 0) this.#held.unshift(...this.#held.splice(place, 1));
    return held;
  }

  #open({ owner, index, open }: Wanted): Held {
    const fd = open();
    const held: Held = { owner, index, fd, readBytes: 0, stays: this.#files.cachedBytes(fd) * 2 > fstatSync(fd).size };
    this.#held.unshift(held);
    if (this.#held.length > OPEN_FILES) this.#closeLast();
    return held;
  }

  #closeLast(): void {
    const last = this.#held.pop();
    if (last === undefined) return;
    try { if (!last.stays) this.#files.dropCache(last.fd); } finally { closeSync(last.fd); }
  }
}
