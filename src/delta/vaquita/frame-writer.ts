// Writes frames, and behind the last one the header before them: it declares what the decoder will need, which is known only then.
//
// A delta that has become too large to be held is written with a header that declares the most there may be.
import { assert } from '../../lib/errors.ts';
import type { Output } from '../bytes.ts';
import { FEATURE, FRAME, writeFrame, writeHeader, type Limits, type VaquitaHeader } from './format.ts';

/** Frames that are held until the header can be exact. */
const HELD_BYTES = 32 << 20;

interface Waiting { from: number; bytes: number }

export class FrameWriter {
  readonly #header: Omit<VaquitaHeader, 'memoryBytes' | 'limits' | 'features'>;
  readonly #most: Limits;
  readonly #output: Output;
  readonly #limits: Limits = { waiting: 0, content: 0, dictionary: 0, headers: 0, patches: 0 };
  #held: Buffer[] = [];
  #heldBytes = 0;
  #streaming = false;
  /** Frames of new content that the decoder does not need yet, by where they stand in the stream of it; and how far it can come. */
  #waiting: Waiting[] = [];
  #known = 0;
  #patchesAt: number[] = [];
  #contentAt = 0;

  constructor(header: Omit<VaquitaHeader, 'memoryBytes' | 'limits' | 'features'>, most: Limits, output: Output) {
    this.#header = header;
    this.#most = most;
    this.#output = output;
  }

  /** A frame of entries (or opaque content): up to where in the stream of new content they need it, and where in it those begin that patches belong to. */
  entries(frame: Buffer, { headerBytes, contentEnd, patchesAt }: { headerBytes: number; contentEnd: number; patchesAt: readonly number[] }): void {
    this.#note({ headers: headerBytes });
    this.#push(frame);
    this.#known = contentEnd;
    this.#patchesAt.push(...patchesAt);
    this.#use();
  }

  patch(payload: Uint8Array, memoryBytes: number): void {
    this.#note({ patches: memoryBytes });
    this.#push(writeFrame(FRAME.patch, payload));
    this.#patchesAt.shift();
    this.#use();
  }

  content(payload: readonly Uint8Array[], { contentBytes, dictionaryBytes }: { contentBytes: number; dictionaryBytes: number }): void {
    this.#note({ content: contentBytes, dictionary: dictionaryBytes });
    const frame = writeFrame(FRAME.content, ...payload);
    this.#push(frame);
    this.#waiting.push({ from: this.#contentAt, bytes: frame.length });
    this.#contentAt += contentBytes;
    this.#use();
  }

  end(payload: Uint8Array): void {
    this.#push(writeFrame(FRAME.end, payload));
    if (!this.#streaming) this.#begin(this.#limits);
  }

  #note(needed: Partial<Limits>): void {
    for (const [name, bytes] of Object.entries(needed)) {
      const limit = name as keyof Limits;
      assert(bytes <= this.#most[limit], `a frame needs ${bytes} bytes of ${name}, ${this.#most[limit]} are the most`);
      this.#limits[limit] = Math.max(this.#limits[limit], bytes);
    }
  }

  /** The decoder has gone on as far as it could: to the next patch that it lacks, or to the end of the entries it knows. */
  #use(): void {
    const reach = this.#patchesAt[0] ?? this.#known;
    while (this.#waiting[0] !== undefined && this.#waiting[0].from < reach) this.#waiting.shift();
  }

  #push(frame: Buffer): void {
    this.#note({ waiting: frame.length + this.#waiting.reduce((sum, { bytes }) => sum + bytes, 0) });
    if (this.#streaming) {
      this.#output(frame, 0, frame.length);
      return;
    }
    this.#held.push(frame);
    this.#heldBytes += frame.length;
    if (this.#heldBytes > HELD_BYTES) this.#begin(this.#most);
  }

  #begin(limits: Limits): void {
    this.#streaming = true;
    const header = writeHeader({ ...this.#header, features: limits.patches > 0 ? FEATURE.executables : 0, limits });
    this.#output(header, 0, header.length);
    for (const frame of this.#held) this.#output(frame, 0, frame.length);
    this.#held = [];
  }
}
