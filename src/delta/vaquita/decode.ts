// Applies a delta as it comes in: bytes in any pieces in, the layer's tar out, with memory that the delta's header declares.
//
// One run of a generator is the whole of it: it stops where it needs a frame that is not here, and goes on when that has come. Frames of new
// content may come before they are needed and wait, packed as they are; all others come when it is their turn.
import { crc32 } from 'node:zlib';
import { assert, corrupt, kindOf, messageOf } from '../../lib/errors.ts';
import type { ByteView, Decoder as PatchDecoder, Output } from '../bytes.ts';
import { Arena } from './exe/arena.ts';
import { decodeExe } from './exe/decode.ts';
import { ExeModels } from './exe/models.ts';
import { Check, Cursor, FRAME, readHeader, type VaquitaHeader } from './format.ts';
import { FrameQueue, type Frame } from './frame-queue.ts';
import { HeaderCodec, KIND, MAX_PIECES_PER_FRAME, type Piece } from './headers.ts';
import { FreshContent } from './fresh.ts';
import { Decoder } from './range-coder.ts';
import { openSource, Sources } from './sources.ts';
import { BLOCK_BYTES, padded } from './tar-entries.ts';

export interface PatchNeeds {
  /** The tar of a layer that is here; undefined when it is not. */
  source(diffId: string): ByteView | undefined;
  /** What has been put out so far. */
  made: ByteView;
  output: Output;
  limits: { memoryBytes: number };
}

const COPY_BYTES = 1 << 16;
/** The header is looked for in so many bytes. */
const MAX_HEADER_BYTES = 1 << 17;

/** Error of `write` and `finish`: corrupt, naming the file of the base when that is not what it was; also when a layer of the base is not here or the delta is of a later version. Nothing is asked of the base before the header is known to be whole and to need no more memory than allowed. */
export function openVaquitaPatch(needs: PatchNeeds): PatchDecoder {
  let head = Buffer.alloc(0), queue: FrameQueue | undefined, patch: Patch | undefined;
  const begin = (header: VaquitaHeader) => {
    if (header.memoryBytes > needs.limits.memoryBytes) throw corrupt(`the delta needs ${header.memoryBytes} bytes of memory to apply, ${needs.limits.memoryBytes} are allowed`);
    const queue = new FrameQueue(header.limits.waiting, (frame) => patch?.take(frame));
    patch = new Patch(header, needs, queue);
    return queue;
  };
  return {
    write(bytes, start, end) {
      if (queue === undefined) {
        head = Buffer.concat([head, bytes.subarray(start, end)]);
        const read = readHeader(head);
        if (read === undefined) {
          if (head.length > MAX_HEADER_BYTES) throw corrupt('the delta has no header');
          return;
        }
        queue = begin(read.header);
        queue.write(head, read.headerBytes, head.length);
        head = Buffer.alloc(0);
      } else queue.write(bytes, start, end);
    },
    finish() {
      if (queue === undefined || patch === undefined) throw corrupt('the delta is cut short in its header');
      queue.finish();
      patch.finish();
    },
  };
}

/** What the generator waits for: a frame of entries (or opaque content, or the end), one of new content, one of an executable. */
type Need = 'entries' | 'content' | 'patch' | 'nothing';

/** The entries of one frame, by their place in it; few bytes each and the same memory for every frame. */
class Planned {
  readonly kinds: Uint8Array;
  readonly sources: Int32Array;
  /** Where in the header blocks of the frame each one's end. */
  readonly headerEnds: Uint32Array;
  readonly pieces = new Map<number, readonly Piece[]>();

  constructor(most: number) {
    this.kinds = new Uint8Array(most);
    this.sources = new Int32Array(most);
    this.headerEnds = new Uint32Array(most);
  }
}

class Patch {
  readonly #header: VaquitaHeader;
  readonly #needs: PatchNeeds;
  readonly #base: Sources;
  readonly #codec: HeaderCodec;
  readonly #fresh: FreshContent;
  readonly #run: Generator<Need, void, Frame | undefined>;
  readonly #buffer = Buffer.alloc(COPY_BYTES);
  readonly #headers: Buffer;
  readonly #plans: Planned;
  /** Where the content of each entry so far begins, and how long it is. */
  readonly #starts: Float64Array;
  readonly #sizes: Float64Array;
  #exe: { models: ExeModels; arena: Arena } | undefined;
  #planned = 0;
  #done = 0;
  #madeBytes = 0;
  #waitsFor: Need = 'nothing';
  #crc = 0;

  constructor(header: VaquitaHeader, needs: PatchNeeds, queue: FrameQueue) {
    this.#header = header;
    this.#needs = needs;
    this.#base = new Sources(header.sources.map((source) => {
      const tar = needs.source(source.diffId);
      if (tar === undefined) throw corrupt(`the delta needs layer ${source.diffId}, which is not here`);
      return openSource(source, tar);
    }));
    this.#starts = new Float64Array(header.target.entries);
    this.#sizes = new Float64Array(header.target.entries);
    this.#headers = Buffer.alloc(header.limits.headers);
    this.#plans = new Planned(Math.floor(header.limits.headers / BLOCK_BYTES));
    this.#codec = new HeaderCodec(this.#base, (index) => this.#sizes[index] ?? 0);
    this.#fresh = new FreshContent(header.limits, { queue, base: this.#base, readMade: (entry, position, range) => { this.#readMade(entry, position, range); } });
    this.#run = this.#tar();
    this.#resume(undefined);
  }

  /** A frame has come: new content waits in the queue, any other is used up when this returns. */
  take(frame: Frame): void {
    if (frame.type === FRAME.content) {
      if (this.#waitsFor === 'content') this.#resume(undefined);
      return;
    }
    const due = frame.type === FRAME.patch ? 'patch' : 'entries';
    if (this.#waitsFor !== due) throw corrupt(`the delta has a frame of type ${frame.type} where ${this.#waitsFor} is due`);
    this.#resume(frame);
  }

  finish(): void {
    if (this.#waitsFor !== 'nothing') throw corrupt('the delta is cut short');
  }

  #resume(frame: Frame | undefined): void {
    const step = this.#run.next(frame);
    this.#waitsFor = step.done === true ? 'nothing' : step.value;
  }

  *#tar(): Generator<Need, void, Frame | undefined> {
    for (;;) {
      const frame = yield 'entries';
      if (frame === undefined) throw corrupt('the delta lacks a frame');
      const payload = new Cursor(frame.bytes, frame.start, frame.end);
      switch (frame.type) {
        case FRAME.entries: yield* this.#entries(payload); break;
        case FRAME.opaque: {
          const bytes = payload.varint();
          payload.assertEnd();
          yield* this.#freshBytes(bytes);
          break;
        }
        case FRAME.end: {
          const zeros = payload.varint();
          payload.assertEnd();
          this.#zeros(zeros);
          this.#assertComplete();
          return;
        }
        default: throw corrupt(`the delta has a frame of type ${frame.type}, which is none`);
      }
    }
  }

  *#entries(payload: Cursor): Generator<Need, void, Frame | undefined> {
    const countAndFlag = payload.varint(), count = Math.floor(countAndFlag / 2), headersCrc = payload.uint32();
    const expected = countAndFlag % 2 === 1 ? Buffer.from(payload.bytes(8)) : undefined;
    this.#plan(count, payload, headersCrc);
    const check = new Check(), referred: number[] = [];
    const refer = (source: number) => {
      check.add(this.#crc);
      referred.push(source);
    };
    for (let entry = 0, start = 0; entry < count; entry++) {
      const end = this.#plans.headerEnds[entry] ?? 0, sizeBytes = this.#sizes[this.#done] ?? 0;
      this.#put(this.#headers, start, end);
      start = end;
      this.#starts[this.#done] = this.#madeBytes;
      if (sizeBytes > 0) yield* this.#content(entry, sizeBytes, refer);
      this.#zeros(padded(sizeBytes) - sizeBytes);
      this.#done++;
    }
    if ((check.count > 0) !== (expected !== undefined)) throw corrupt('the delta has entries without the check that belongs to them');
    const wrong = expected && check.wrong(expected);
    if (wrong !== undefined) throw this.#damaged(wrong < 0 ? referred : [referred[wrong] ?? 0]);
  }

  /** Decodes the entries of one frame; nothing is put out before their headers are known to be right. */
  #plan(count: number, payload: Cursor, headersCrc: number): void {
    if (count > this.#header.target.entries - this.#planned) throw corrupt(`the delta has more entries than the ${this.#header.target.entries} that it declares`);
    const decoder = new Decoder(payload.bytes(payload.left)), plans = this.#plans;
    let at = 0, pieces = 0;
    plans.pieces.clear();
    for (let i = 0; i < count; i++) {
      const entry = this.#codec.code(decoder);
      if (at + entry.header.length > this.#headers.length) throw corrupt(`the delta has a frame with more than the ${this.#headers.length} bytes of headers that it declares`);
      at += entry.header.copy(this.#headers, at);
      [plans.kinds[i], plans.sources[i], plans.headerEnds[i]] = [entry.kind, entry.source, at];
      if (entry.pieces.length > 0) plans.pieces.set(i, entry.pieces);
      pieces += entry.pieces.length;
      if (pieces > MAX_PIECES_PER_FRAME) throw corrupt(`the delta has a frame of ${pieces} pieces`);
      this.#sizes[this.#planned++] = entry.sizeBytes;
    }
    decoder.assertEnd();
    if (crc32(this.#headers.subarray(0, at)) !== headersCrc) throw corrupt(`the names and attributes in the base are not what they were when the delta was made (${this.#layers()})`);
  }

  *#content(entry: number, sizeBytes: number, referred: (source: number) => void): Generator<Need, void, Frame | undefined> {
    const kind = this.#plans.kinds[entry], source = this.#plans.sources[entry] ?? -1;
    switch (kind) {
      case KIND.same: case KIND.copy:
        this.#copyBase({ freshBytes: 0, source, fromBytes: 0, sizeBytes });
        referred(source);
        return;
      case KIND.again: this.#copyMade(source, sizeBytes); return;
      case KIND.fresh: yield* this.#freshBytes(sizeBytes); return;
      case KIND.pieces: {
        let left = sizeBytes;
        for (const piece of this.#plans.pieces.get(entry) ?? []) {
          yield* this.#freshBytes(piece.freshBytes);
          this.#copyBase(piece);
          referred(piece.source);
          left -= piece.freshBytes + piece.sizeBytes;
        }
        yield* this.#freshBytes(left);
        return;
      }
      case KIND.patch: {
        const frame = yield 'patch';
        if (frame === undefined) throw corrupt('the delta lacks a patch');
        this.#applyPatch({ source, sizeBytes }, frame);
        referred(source);
        return;
      }
      default: assert(false, `content of kind ${kind}`);
    }
  }

  *#freshBytes(bytes: number): Generator<Need, void, Frame | undefined> {
    for (let left = bytes; left > 0;) {
      if (!this.#fresh.ready) {
        yield 'content';
        continue;
      }
      left -= this.#fresh.give(left, (from, start, end) => { this.#put(from, start, end); });
    }
  }

  #applyPatch({ source, sizeBytes }: { source: number; sizeBytes: number }, { bytes, start, end }: Frame): void {
    this.#crc = 0;
    const put: Output = (from, at, to) => {
      this.#crc = crc32(from.subarray(at, to), this.#crc);
      this.#put(from, at, to);
    };
    const literals = (count: number) => {
      for (let left = count; left > 0;) left -= this.#fresh.give(left, put);
    };
    const { patches } = this.#header.limits, { models, arena } = this.#exe ??= { models: new ExeModels(), arena: new Arena(patches) };
    const before = this.#madeBytes;
    try {
      decodeExe(models, bytes.subarray(start, end), { old: this.#base.view(source), newBytes: sizeBytes, literals, emit: put, memoryBytes: patches, arena });
    } catch (error) {
      if (kindOf(error) !== 'corrupt') throw error;
      throw corrupt(`the delta's patch and ${this.#base.name(source)} do not belong together: ${messageOf(error)}`, { cause: error });
    }
    if (this.#madeBytes - before !== sizeBytes) throw corrupt(`the delta makes ${this.#madeBytes - before} bytes of a file of ${sizeBytes}`);
  }

  #copyBase({ source, fromBytes, sizeBytes }: Piece): void {
    this.#crc = 0;
    for (let at = 0; at < sizeBytes;) {
      const n = Math.min(COPY_BYTES, sizeBytes - at);
      this.#base.read(source, fromBytes + at, { into: this.#buffer, start: 0, end: n });
      this.#crc = crc32(this.#buffer.subarray(0, n), this.#crc);
      this.#put(this.#buffer, 0, n);
      at += n;
    }
  }

  #copyMade(entry: number, sizeBytes: number): void {
    for (let at = 0; at < sizeBytes;) {
      const n = Math.min(COPY_BYTES, sizeBytes - at);
      this.#readMade(entry, at, { into: this.#buffer, start: 0, end: n });
      this.#put(this.#buffer, 0, n);
      at += n;
    }
  }

  #readMade(entry: number, position: number, { into, start, end }: { into: Buffer; start: number; end: number }): void {
    if (entry >= this.#done || position + (end - start) > (this.#sizes[entry] ?? 0)) throw corrupt('the delta refers to what it has not made yet');
    this.#needs.made.read((this.#starts[entry] ?? 0) + position, into, { start, end });
  }

  #zeros(count: number): void {
    if (this.#madeBytes + count > this.#header.target.tarBytes) throw this.#tooLong();
    this.#buffer.fill(0, 0, Math.min(COPY_BYTES, count));
    for (let left = count; left > 0; left -= COPY_BYTES) this.#put(this.#buffer, 0, Math.min(COPY_BYTES, left));
  }

  #put(bytes: Buffer, start: number, end: number): void {
    this.#madeBytes += end - start;
    if (this.#madeBytes > this.#header.target.tarBytes) throw this.#tooLong();
    this.#needs.output(bytes, start, end);
  }

  #tooLong() { return corrupt(`the delta makes more than the ${this.#header.target.tarBytes} bytes that it declares`); }

  #assertComplete(): void {
    const { tarBytes, entries } = this.#header.target;
    if (this.#madeBytes !== tarBytes) throw corrupt(`the delta makes ${this.#madeBytes} of the ${tarBytes} bytes that it declares`);
    if (this.#done !== entries) throw corrupt(`the delta makes ${this.#done} of the ${entries} entries that it declares`);
    this.#fresh.assertUsed();
  }

  #damaged(sources: readonly number[]) {
    const names = [...new Set(sources)].slice(0, 3).map((source) => this.#base.name(source));
    return corrupt(`the base is not what it was when the delta was made: ${names.join(', ')}${sources.length > names.length ? ' or others' : ''}`);
  }

  #layers(): string { return this.#header.sources.map(({ diffId }) => diffId).join(', '); }
}
