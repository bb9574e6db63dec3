// The few files that are open while layers are read at any place: the last used stay open, and what was read leaves the page cache.
import { closeSync, readSync } from 'node:fs';
import type { Files } from '../kernel/index.ts';

const OPEN_FILES = 8;
/** Of one file at once in the page cache. */
const CACHED_BYTES = 8 << 20;

interface Held { owner: object; index: number; fd: number; readBytes: number }

export class OpenFiles implements Disposable {
  readonly #files: Pick<Files, 'dropCache'>;
  /** The last used first. */
  readonly #held: Held[] = [];

  constructor(files: Pick<Files, 'dropCache'>) { this.#files = files; }

  /** Reads file `index` of `owner`, which `open` opens when it is not open. Gives fewer bytes than asked for only where the file ends. */
  read({ owner, index, open }: { owner: object; index: number; open: () => number }, position: number, into: Buffer, range: { start: number; end: number }): number {
    const held = this.#find(owner, index) ?? this.#open(owner, index, open());
    let at = range.start;
    for (let n = -1; n !== 0 && at < range.end; at += n) n = readSync(held.fd, into, at, range.end - at, position + at - range.start);
    held.readBytes += at - range.start;
    if (held.readBytes > CACHED_BYTES) {
      this.#files.dropCache(held.fd);
      held.readBytes = 0;
    }
    return at - range.start;
  }

  [Symbol.dispose](): void { while (this.#held.length > 0) this.#closeLast(); }

  #find(owner: object, index: number): Held | undefined {
    const place = this.#held.findIndex((one) => one.index === index && one.owner === owner);
    const held = this.#held[place];
    if (held !== undefined && place > 0) this.#held.unshift(...this.#held.splice(place, 1));
    return held;
  }

  #open(owner: object, index: number, fd: number): Held {
    const held: Held = { owner, index, fd, readBytes: 0 };
    this.#held.unshift(held);
    if (this.#held.length > OPEN_FILES) this.#closeLast();
    return held;
  }

  #closeLast(): void {
    const last = this.#held.pop();
    if (last === undefined) return;
    try { this.#files.dropCache(last.fd); } finally { closeSync(last.fd); }
  }
}
