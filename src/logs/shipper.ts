// Passes a log on to a receiver: file by file from where the last daemon left off, in small bites, and never further than it was taken.
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { errnoOf } from '../lib/errors.ts';
import { identityOf, openLogFiles, type LogFile } from './files.ts';
import type { Pace } from './pace.ts';
import { Joiner, type Piece } from './pieces.ts';
import { LineCutter, parseRecord } from './record.ts';
import type { Sink } from './sink.ts';

/** Read and sent at once: some milliseconds of work on a slow device. */
const BITE_BYTES = 16 * 1024;
/** A position on file is a line of fixed length, so that it is written over in one go. */
const POSITION_LENGTH = 80;

export interface ShipperOptions {
  path: string;
  /** On tmpfs: what it names does not outlive a boot. */
  positionPath: string;
  /** The files are there only to be passed on, from the first to the last, and go when that is done. Otherwise what was there before is not passed on. */
  consume: boolean;
  sink: Sink;
  pace: Pace;
}

interface Position { identity: string; offset: number }
/** A piece, and up to where the file need not be read again once it is taken. */
interface Offer { piece: Piece; offset: number }

/** Resolves before conmon may write. */
export async function openShipper(options: ShipperOptions): Promise<Shipper> {
  const known = readPosition(options.positionPath);
  const present = known || options.consume ? undefined : await stat(options.path, { bigint: true }).catch(undefinedWhenMissing);
  return new Shipper(options, known ?? (present && { identity: identityOf(present), offset: Number(present.size) }));
}

export class Shipper implements AsyncDisposable {
  readonly #options: ShipperOptions;
  readonly #positionFd: number;
  #resume: Position | undefined;
  #file: LogFile | undefined;
  /** It was deleted, and is there only because it is open. */
  #nameless = false;
  #offset = 0;
  #lineEnd = 0;
  #taken = 0;
  #cutter = new LineCutter();
  readonly #joiner = new Joiner();

  constructor(options: ShipperOptions, resume: Position | undefined) {
    this.#options = options;
    this.#resume = resume;
    this.#positionFd = openSync(options.positionPath, constants.O_RDWR | constants.O_CREAT, 0o600); // never without what is in it
    if (resume) this.#save(resume);
  }

  /** All that is there now; whether there was anything. Rejects when the signal is aborted: what was not taken comes again later. */
  async ship(signal: AbortSignal): Promise<boolean> {
    let any = false, lastLook = false;
    if (!this.#file && !await this.#open()) return false;
    for (;;) {
      await this.#options.pace.rest(signal);
      const bite = await this.#bite();
      if (bite.length > 0) {
        any = true;
        await this.#deliver(this.#options.pace.work(() => this.#offersOf(bite)), signal);
      } else if (lastLook) {
        lastLook = false;
        if (!await this.#moveOn()) return any;
      } else if (await this.#isNewest()) return any;
      else lastLook = true; // its last lines may have come between the look into it and the look for a newer one
    }
  }

  /** The program has ended: what it began and did not end is all there will be. */
  async flush(signal: AbortSignal): Promise<void> {
    await this.#deliver(this.#joiner.flush().map((piece) => ({ piece, offset: this.#offset })), signal);
  }

  /** To be told of a file that is about to be deleted; the bytes that are so lost. */
  async noteDeletion(path: string): Promise<number> {
    const found = await stat(path, { bigint: true }).catch(undefinedWhenMissing);
    if (!found) return 0;
    if (this.#file?.identity === identityOf(found)) {
      this.#nameless = true; // it stays open, and is read on
      return 0;
    }
    return this.#file && !this.#nameless ? 0 : Number(found.size);
  }

  /** Whether all of this file was passed on; `older` and itself by identity, oldest first. */
  isDone(identity: string, oldestFirst: readonly string[]): boolean {
    const current = this.#file ? oldestFirst.indexOf(this.#file.identity) : -1;
    return oldestFirst.indexOf(identity) < current;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    closeSync(this.#positionFd);
    await this.#file?.handle.close();
  }

  async #open(): Promise<boolean> {
    const files = await openLogFiles(this.#options.path);
    const resume = this.#resume;
    const at = files.findIndex((file) => file.identity === resume?.identity);
    const first = files[Math.max(0, at)];
    await Promise.all(files.filter((file) => file !== first).map((file) => file.handle.close()));
    if (!first) return false;
    this.#resume = undefined;
    const { size } = await first.handle.stat();
    this.#begin(first, at >= 0 && resume && resume.offset <= size ? resume.offset : 0);
    return true;
  }

  #begin(file: LogFile, offset: number): void {
    this.#file = file;
    this.#nameless = false;
    this.#cutter = new LineCutter();
    this.#offset = this.#lineEnd = this.#taken = offset;
  }

  async #bite(): Promise<Uint8Array> {
    if (!this.#file || this.#file.compressed) return new Uint8Array(0); // only what was passed on is compressed
    const { bytesRead, buffer } = await this.#file.handle.read(Buffer.allocUnsafeSlow(BITE_BYTES), 0, BITE_BYTES, this.#offset);
    this.#offset += bytesRead;
    return buffer.subarray(0, bytesRead);
  }

  #offersOf(bite: Uint8Array): Offer[] {
    const offers: Offer[] = [];
    for (const line of this.#cutter.push(bite)) {
      this.#lineEnd += line.length;
      const part = parseRecord(line);
      if (!part) continue;
      const pieces = this.#joiner.push(part);
      // A line that is only begun has to be read again by the next daemon, from its beginning.
      if (this.#joiner.idle) this.#taken = this.#lineEnd;
      for (const piece of pieces) offers.push({ piece, offset: this.#taken });
    }
    return offers;
  }

  async #deliver(offers: readonly Offer[], signal: AbortSignal): Promise<void> {
    const { sink, pace } = this.#options;
    const pieces = offers.map(({ piece }) => piece);
    for (let at = 0; at < pieces.length;) {
      const from = at;
      at += pace.work(() => sink.offer(pieces, from));
      const last = offers[at - 1];
      if (last && this.#file && at > from) this.#save({ identity: this.#file.identity, offset: last.offset });
      if (at === pieces.length) return;
      await sink.ready(signal);
      await pace.rest(signal);
    }
  }

  /** A full file that was turned when its program had ended has none in its place: of those there are, another may still be the newest. */
  async #isNewest(): Promise<boolean> {
    const newest = await stat(this.#options.path, { bigint: true }).catch(undefinedWhenMissing);
    return newest !== undefined && identityOf(newest) === this.#file?.identity;
  }

  /** To the file after this one, which goes if nobody else wants it. */
  async #moveOn(): Promise<boolean> {
    const current = this.#file;
    const files = await openLogFiles(this.#options.path);
    const at = files.findIndex((file) => file.identity === current?.identity);
    const next = files[at + 1]; // of a file that is gone, all that are there are newer
    await Promise.all(files.filter((file) => file !== next).map((file) => file.handle.close()));
    if (!next) return false;
    const name = files[at]?.path;
    if (this.#options.consume && name !== undefined) await rm(name, { force: true });
    await current?.handle.close();
    this.#begin(next, 0);
    this.#save({ identity: next.identity, offset: 0 });
    return true;
  }

  #save({ identity, offset }: Position): void {
    writeSync(this.#positionFd, `${identity} ${offset}`.padEnd(POSITION_LENGTH), 0);
  }
}

function readPosition(path: string): Position | undefined {
  try {
    const match = /^(\d+:\d+) (\d+) *$/.exec(readFileSync(path, 'utf8'));
    return match?.[1] === undefined ? undefined : { identity: match[1], offset: Number(match[2]) };
  } catch (error) {
    return undefinedWhenMissing(error);
  }
}

function undefinedWhenMissing(error: unknown): undefined {
  if (errnoOf(error) === 'ENOENT') return undefined;
  throw error;
}
