// The stream of new content: frames of it, unpacked one at a time when the one before is used up, each with a dictionary of the base and of what was made before.
import { corrupt } from '../../lib/errors.ts';
import { Cursor, windowLog, type Limits } from './format.ts';
import type { Frame, FrameQueue } from './frame-queue.ts';
import { unpack } from './pack.ts';
import { decodePicks, readDictionary, type Pick } from './picks.ts';
import type { Sources } from './sources.ts';

/** Reads what this layer has already. Error: corrupt, when it has not. */
export type ReadMade = (entry: number, position: number, range: { into: Buffer; start: number; end: number }) => void;

export class FreshContent {
  readonly #limits: Limits;
  readonly #queue: FrameQueue;
  readonly #base: Sources;
  readonly #readMade: ReadMade;
  readonly #content: Buffer;
  readonly #dictionary: Buffer;
  #at = 0;
  #end = 0;

  constructor(limits: Limits, { queue, base, readMade }: { queue: FrameQueue; base: Sources; readMade: ReadMade }) {
    this.#limits = limits;
    this.#queue = queue;
    this.#base = base;
    this.#readMade = readMade;
    this.#content = Buffer.alloc(limits.content);
    this.#dictionary = Buffer.alloc(limits.dictionary);
  }

  /** Whether some is here. */
  get ready(): boolean { return this.#at < this.#end || this.#queue.ready; }

  /** Puts out up to `bytes` of it, which must be ready, and says how many. */
  give(bytes: number, put: (bytes: Buffer, start: number, end: number) => void): number {
    if (this.#at === this.#end) this.#queue.use((frame) => { this.#open(frame); });
    const n = Math.min(bytes, this.#end - this.#at);
    put(this.#content, this.#at, this.#at + n);
    this.#at += n;
    return n;
  }

  /** Error: corrupt, when some is left. */
  assertUsed(): void {
    if (this.ready) throw corrupt('the delta has new content that nothing needs');
  }

  #open({ bytes, start, end }: Frame): void {
    const payload = new Cursor(bytes, start, end), contentBytes = payload.varint(), picksBytes = payload.varint();
    if (contentBytes === 0 || contentBytes > this.#content.length) throw corrupt(`the delta has a frame of ${contentBytes} bytes of content, ${this.#content.length} are declared`);
    let dictionaryBytes = 0;
    if (picksBytes > 0) {
      const picks = decodePicks(payload.bytes(picksBytes), this.#dictionary.length), expected = payload.bytes(8);
      const dictionary = readDictionary(picks, this.#dictionary, (pick, into, at) => { this.#read(pick, into, at); });
      const wrong = dictionary.check.wrong(expected);
      if (wrong !== undefined) throw this.#damaged(wrong < 0 ? picks : picks.slice(wrong, wrong + 1));
      dictionaryBytes = dictionary.bytes;
    }
    unpack(payload.bytes(payload.left), this.#content.subarray(0, contentBytes), { dictionary: this.#dictionary.subarray(0, dictionaryBytes), window: windowLog(this.#limits.content) });
    this.#at = 0;
    this.#end = contentBytes;
  }

  #read({ entry, from, to }: Pick, into: Buffer, at: number): void {
    const range = { into, start: at, end: at + to - from };
    if (entry < this.#base.count) this.#base.read(entry, from, range);
    else this.#readMade(entry - this.#base.count, from, range);
  }

  #damaged(picks: readonly Pick[]) {
    const entries = [...new Set(picks.map(({ entry }) => entry))], [first] = entries.filter((entry) => entry < this.#base.count);
    const name = first === undefined ? 'what this layer has so far' : this.#base.name(first);
    return corrupt(`the base is not what it was when the delta was made: ${name}${entries.length > 1 ? ` or ${entries.length - 1} others` : ''}`);
  }
}
