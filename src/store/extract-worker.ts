// The extract worker: a child of the daemon that takes one layer after another from its stdin, with synchronous calls only.
//
// It holds hostile bytes, so it works chrooted into the layer's directory; a descriptor of the real root is the way back out.
// See extract-protocol.ts for what it reads and answers.
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, statSync, writeSync } from 'node:fs';
import { openUnpacker, type Codec } from '../archive/compress.ts';
import { Crc64 } from '../archive/crc64.ts';
import { TarReader } from '../archive/tar-read.ts';
import type { Decoder, Output } from '../delta/bytes.ts';
import { dieWithParent, openFiles, stayLean, type Files } from '../kernel/index.ts';
import { systemClock } from '../lib/clock.ts';
import { collectAsBytesPass } from '../lib/collect.ts';
import { assert, errnoOf, kindOf, messageOf } from '../lib/errors.ts';
import { Enclosure } from './enclosure.ts';
import { DEFAULT_ACL, Extraction, SETGID } from './extract.ts';
import { Delta } from './extract-delta.ts';
import { FRAME, FRAME_HEADER_BYTES, MAX_JOB_BYTES, type Answer, type Extracted, type Failure, type Job } from './extract-protocol.ts';
import { WriteWindow } from './extract-window.ts';
import { TarSplitWriter } from './tarsplit.ts';

const INPUT_BYTES = 128 * 1024;
const UNPACKED_BYTES = 256 * 1024;
const UNPACKED_DELTA_BYTES = 64 * 1024;
/** Of the tar that is made; it costs a 140th of the time where programs are patched. */
const COLLECT_EVERY_BYTES = 4 << 20;
const PROGRESS_BYTES = 512 * 1024;
const PROGRESS_MS = 100;

/** Serves layers until its stdin ends. */
export function runExtractWorker(): void {
  dieWithParent(); // the next daemon sweeps what this one has begun, and nobody may write there meanwhile
  stayLean();
  process.umask(0); // modes are the archive's
  createHash('sha256').update('').digest(); // whatever this loads is to be loaded before the first chroot
  const worker = new ExtractWorker(openFiles());
  const input = Buffer.allocUnsafeSlow(INPUT_BYTES);
  for (let n; (n = readSync(0, input, 0, INPUT_BYTES, null)) > 0;) worker.take(input, n);
}

/** Takes frames apart, wherever the chunks divide them. */
class ExtractWorker {
  readonly #shared: Shared;
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerLength = 0;
  #type = 0;
  #left = 0;
  #job = Buffer.alloc(0);
  #layer: Layer | undefined;
  #consumed = 0;
  #reported = 0;
  #reportedAtMs = 0;

  constructor(files: Files) {
    this.#shared = { files, crc: new Crc64({ bufferBytes: UNPACKED_BYTES }), devices: !inUserNamespace(), passed: collectAsBytesPass(COLLECT_EVERY_BYTES) };
  }

  take(input: Buffer, length: number): void {
    for (let at = 0; at < length;) {
      if (this.#left === 0) {
        const n = input.copy(this.#header, this.#headerLength, at, length);
        at += n;
        this.#headerLength += n;
        if (this.#headerLength === FRAME_HEADER_BYTES) this.#frame();
        continue;
      }
      const n = Math.min(this.#left, length - at);
      this.#left -= n;
      if (this.#type === FRAME.job) this.#jobBytes(input.subarray(at, at + n));
      else this.#data(input, at, at + n);
      at += n;
    }
    if (this.#layer) this.#progress();
  }

  #frame(): void {
    this.#headerLength = 0;
    this.#type = this.#header.readUInt8(0);
    this.#left = this.#header.readUInt32LE(1);
    switch (this.#type) {
      case FRAME.job: assert(this.#layer === undefined && this.#left <= MAX_JOB_BYTES, 'a layer begins when the last one has ended'); break;
      case FRAME.end: this.#end(); break;
      default: assert(this.#type === FRAME.data, `a frame of type ${this.#type}`);
    }
  }

  #jobBytes(bytes: Buffer): void {
    this.#job = Buffer.concat([this.#job, bytes]);
    if (this.#left > 0) return;
    const job = JSON.parse(this.#job.toString('utf8')) as Job;
    this.#job = Buffer.alloc(0);
    this.#consumed = this.#reported = 0;
    this.#attempt(() => {
      this.#layer = new Layer(this.#shared, job);
      this.#layer.open();
    });
  }

  #data(bytes: Buffer, start: number, end: number): void {
    this.#consumed += end - start;
    if (this.#layer) this.#attempt(() => this.#layer?.write(bytes, start, end));
  }

  #end(): void {
    const layer = this.#layer;
    if (layer === undefined) return; // it has failed and that has been told
    this.#attempt(() => {
      const done = layer.finish();
      this.#layer = undefined;
      layer.close();
      answer({ done });
    });
  }

  /** What fails, fails the layer; the worker lives on. */
  #attempt(run: () => void): void {
    try { run(); } catch (error) {
      const failed = failureOf(error, this.#layer);
      this.#layer?.close();
      this.#layer = undefined;
      answer({ failed });
    }
  }

  #progress(): void {
    const now = systemClock.monotonicMs();
    if (this.#consumed === this.#reported || (this.#consumed - this.#reported < PROGRESS_BYTES && now - this.#reportedAtMs < PROGRESS_MS)) return;
    this.#reported = this.#consumed;
    this.#reportedAtMs = now;
    answer({ consumed: this.#consumed });
  }
}

/** What all layers use, one after another. */
interface Shared { files: Files; crc: Crc64; devices: boolean; passed: (bytes: number) => void }

/** One layer on its way: chrooted from construction until `finish` or `close`. */
class Layer {
  readonly #files: Files;
  readonly #passed: (bytes: number) => void;
  readonly #hash = createHash('sha256');
  readonly #reader: TarReader;
  readonly #unpacker: Codec;
  readonly #tarSplit: TarSplitWriter;
  readonly #window: WriteWindow;
  readonly #extraction: Extraction;
  readonly #tarSplitFd: number;
  readonly #enclosure: Enclosure;
  readonly #delta: Delta | undefined;
  #decoder: Decoder | undefined;
  #tarBytes = 0;
  #gotNoLayer = false;
  #closed = false;

  constructor({ files, crc, devices, passed }: Shared, job: Job) {
    crc.take(); // a layer that failed in the middle of a file has left half a sum
    this.#files = files;
    this.#passed = passed;
    const inherits = (statSync(job.into).mode & SETGID) !== 0 || files.getXattr(job.into, DEFAULT_ACL) !== undefined;
    this.#tarSplitFd = openSync(job.tarSplitPath, 'w', 0o644);
    this.#tarSplit = new TarSplitWriter(this.#tarSplitFd);
    this.#window = new WriteWindow(files);
    this.#extraction = new Extraction({ files, crc, tarSplit: this.#tarSplit, window: this.#window, devices, inherits, idMap: job.idMap });
    try { this.#enclosure = new Enclosure(files, job.into); } catch (error) { closeSync(this.#tarSplitFd); throw error; }
    try {
      this.#delta = job.delta && new Delta(job.delta, { files, enclosure: this.#enclosure, extraction: this.#extraction });
      this.#reader = new TarReader(this.#delta?.handler ?? this.#extraction);
      this.#unpacker = this.#delta
        ? openUnpacker(Buffer.allocUnsafeSlow(UNPACKED_DELTA_BYTES), (bytes, start, end) => this.#decoder?.write(bytes, start, end))
        : openUnpacker(crc.buffer, this.#take);
    } catch (error) { // no memory: the next layer must not begin in the root of this one
      this.#enclosure.leave();
      closeSync(this.#tarSplitFd);
      throw error;
    }
  }

  /** Whether the bytes are to blame for an error, or what they made of a base. */
  get blame(): 'bytes' | 'result' { return this.#delta !== undefined && this.#gotNoLayer ? 'result' : 'bytes'; }

  /** The entry at work, where an error is about it. */
  get current(): string { return this.#delta === undefined || this.#gotNoLayer ? this.#extraction.current : ''; }

  open(): void { this.#decoder = this.#delta?.open(this.#take); }

  write(bytes: Buffer, start: number, end: number): void { this.#unpacker.write(bytes, start, end); }

  /** Everything is on the disk when this returns, and out of the page cache. */
  finish(): Extracted {
    this.#unpacker.finish();
    this.#decoder?.finish();
    this.#made(() => this.#reader.finish());
    this.#extraction.finish();
    this.#tarSplit.finish();
    this.#window.flush(); // inside the layer's root still: the one sync that makes layer and tar-split durable
    this.#enclosure.leave();
    this.#files.dropCache(this.#tarSplitFd);
    const { sizeBytes, entries } = this.#extraction;
    return { diffId: `sha256:${this.#hash.digest('hex')}`, sizeBytes, tarBytes: this.#tarBytes, entries };
  }

  /** Lets go of everything, whether it is finished or has failed. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#enclosure.leave();
    this.#delta?.[Symbol.dispose]();
    this.#extraction.abandon();
    this.#window.abandon();
    this.#tarSplit.close();
    this.#unpacker.close();
    closeSync(this.#tarSplitFd);
  }

  /** Bytes of the layer's tar. */
  readonly #take: Output = (bytes, start, end) => {
    assert(this.#enclosure.isInside, 'archives are handled inside');
    this.#hash.update(bytes.subarray(start, end));
    this.#tarBytes += end - start;
    this.#made(() => this.#reader.write(bytes, start, end));
    this.#passed(end - start);
  };

  #made(run: () => void): void {
    try { run(); } catch (error) {
      this.#gotNoLayer ||= kindOf(error) === 'corrupt';
      throw error;
    }
  }
}

/** The first user namespace maps all numbers to themselves. */
function inUserNamespace(): boolean {
  return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'latin1'));
}

function failureOf(error: unknown, layer: Layer | undefined): Failure {
  const message = messageOf(error);
  const current = layer?.current ?? '';
  const named = current === '' || message.includes(current) ? message : `${current}: ${message}`;
  return { kind: kindOf(error), code: errnoOf(error), message: named, ...(layer?.blame === 'result' ? { blames: 'result' } : {}) };
}

/** stdout may be non-blocking (a terminal's is): then the line is tried again until the reader has made room. */
function answer(what: Answer): void {
  const line = Buffer.from(`${JSON.stringify(what)}\n`, 'utf8');
  for (let at = 0; at < line.length;) {
    try { at += writeSync(1, line, at, line.length - at); } catch (error) { if (errnoOf(error) !== 'EAGAIN') throw error; }
  }
}
