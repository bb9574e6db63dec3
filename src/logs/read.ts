// Reads logs in files: what is asked for of what is there, then what comes, through any rotation.
import { watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { errnoOf } from '../lib/errors.ts';
import { blocksOf, identityOf, openLogFiles, type LogFile } from './files.ts';
import type { LogQuery, LogRecord } from './index.ts';
import { Joiner, type Part, type Piece } from './pieces.ts';
import { LineCutter, parseRecord } from './record.ts';
import { findTail } from './tail.ts';

/** inotify tells at once; this finds what it could not tell, such as a folder made after the question. */
const PATROL_MS = 5_000;

export async function * readFiles(path: string, query: LogQuery, clock: Clock): AsyncGenerator<LogRecord> {
  using alarm = query.follow ? new Alarm(path, { query, clock }) : undefined; // set before the first look: nothing falls between
  await using reader = new Reader(path);
  const lines = new Lines(query, await reader.begin(query));
  for (;;) {
    const last = !alarm || alarm.ended;
    for await (const part of reader.read()) {
      for (const record of lines.take(part)) {
        if (query.signal?.aborted || (query.untilNs !== undefined && record.timeNs > query.untilNs)) return;
        if (lines.wanted(record)) yield record;
      }
    }
    if (query.signal?.aborted) return;
    if (alarm && await reader.moveOn()) continue;
    if (alarm && !last) await alarm.wait();
    else break;
    if (query.signal?.aborted) return;
  }
  if (alarm || !query.running) for (const record of lines.rest()) if (lines.wanted(record)) yield record;
}

/** Parts become lines, unless they are wanted as they were written. */
class Lines {
  readonly #query: LogQuery;
  readonly #joiner = new Joiner();
  #skip: number;

  constructor(query: LogQuery, skip: number) {
    this.#query = query;
    this.#skip = skip;
  }

  take(part: Part): LogRecord[] { return this.#query.as === 'written' ? [part] : this.#joiner.push(part).map(recordOf); }
  rest(): LogRecord[] { return this.#joiner.flush().map(recordOf); }

  wanted({ stream, timeNs }: LogRecord): boolean {
    const { sinceNs, untilNs, stdout, stderr } = this.#query;
    if (this.#skip > 0) { this.#skip--; return false; }
    if ((sinceNs !== undefined && timeNs < sinceNs) || (untilNs !== undefined && timeNs > untilNs)) return false;
    return stream === 'stdout' ? stdout : stderr;
  }
}

function recordOf({ stream, timeNs, bytes, ends }: Piece): LogRecord {
  return { stream, timeNs, bytes: ends ? Buffer.concat([bytes, Buffer.from('\n')]) : bytes };
}

/** A place in the sequence of files that a log is. */
class Reader implements AsyncDisposable {
  readonly #path: string;
  #files: LogFile[] = [];
  #index = 0;
  #offset = 0;
  #skipLines = 0;
  /** Who does not follow gets what is there when he asks: a program may write faster than anybody reads. */
  #asOpened = false;
  /** When the last record that was read of the present file had been written. */
  #readNs: bigint | undefined;
  #cutter = new LineCutter();

  constructor(path: string) { this.#path = path; }

  /** Finds the place to begin at, and gives how many records behind it are to be passed over. */
  async begin({ tail, running = false, as, follow }: LogQuery): Promise<number> {
    this.#asOpened = !follow;
    this.#files = await openLogFiles(this.#path);
    if (tail === 'all') return 0;
    const start = await findTail(this.#files, { records: Math.max(0, tail), running });
    [this.#index, this.#offset, this.#skipLines] = [start.index, start.offset, start.skipLines];
    return as === 'written' ? 0 : start.skipPieces;
  }

  /** Every record from here to the end of the newest file that is open. */
  async * read(): AsyncGenerator<Part> {
    for (;;) {
      const file = this.#files[this.#index];
      if (!file) return;
      const done = file.compressed && this.#offset > 0; // nothing is ever added to a compressed one
      if (!done) for await (const block of blocksOf(file, this.#offset, this.#asOpened ? file.sizeBytes : Infinity)) {
        this.#offset += block.length;
        for (const line of this.#cutter.push(block)) {
          if (this.#skipLines > 0) { this.#skipLines--; continue; }
          const record = parseRecord(line);
          if (!record) continue;
          this.#readNs = record.timeNs;
          yield record;
        }
      }
      if (this.#index + 1 >= this.#files.length) return;
      this.#index++;
      this.#restart();
    }
  }

  /** Whether there is a newer file, or the same one anew: to be called at the end of all that is open. */
  async moveOn(): Promise<boolean> {
    const current = this.#files[this.#index];
    const found = await stat(this.#path, { bigint: true }).catch(undefinedWhenMissing);
    if (found && current && current.identity === identityOf(found)) {
      if (Number(found.size) >= this.#offset) return false;
      this.#restart(); // cut to nothing by someone
      return true;
    }
    // None at the path: it was turned, and its program may have ended before there was a new one. Those behind ours are to be read all the same.
    const files = await openLogFiles(this.#path);
    const at = current ? files.findIndex((file) => file.identity === current.identity) : -1;
    const next = files.splice(at >= 0 || !current ? at + 1 : await this.#firstUnread(files));
    await Promise.all(files.map((file) => file.handle.close()));
    if (next.length === 0) return false;
    // The old file stays until it is read once more: its last lines may have come between our last look and the new file.
    const done = this.#files.splice(0, this.#index);
    await Promise.all(done.map((file) => file.handle.close()));
    this.#files.push(...next);
    this.#index = 0;
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#files.map((file) => file.handle.close()));
  }

  /** Where ours is not among them, since it was compressed or deleted meanwhile: only their times tell which of them were not read. */
  async #firstUnread(files: readonly LogFile[]): Promise<number> {
    let first = files.length;
    for (let file = files[first - 1]; file; file = files[first - 1]) {
      const beganNs = file.path === this.#path ? undefined : await firstTime(file);
      if (file.path !== this.#path && (this.#readNs === undefined || beganNs === undefined || beganNs <= this.#readNs)) break;
      first--;
    }
    return first;
  }

  #restart(): void {
    this.#offset = 0;
    this.#readNs = undefined;
    this.#cutter = new LineCutter();
  }
}

/** Of its first record; undefined when there is none. */
async function firstTime(file: LogFile): Promise<bigint | undefined> {
  const cutter = new LineCutter();
  for await (const block of blocksOf(file, 0)) {
    for (const line of cutter.push(block)) return parseRecord(line)?.timeNs;
  }
  return undefined;
}

/** Wakes a follower when the file or its folder changed, the log ended, or the client left. */
class Alarm implements Disposable {
  ended = false;
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  readonly #watcher: { close(): void } | undefined;
  #rung = false;
  #ring: () => void = () => {};
  readonly #onAbort = () => this.#wake();

  constructor(path: string, needs: { query: LogQuery; clock: Clock }) {
    this.#clock = needs.clock;
    this.#signal = needs.query.signal;
    this.#watcher = watchName(path, () => this.#wake());
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
    const end = () => { this.ended = true; this.#wake(); };
    needs.query.ended.then(end, end);
  }

  /** Returns at once when something happened since the last wait. */
  async wait(): Promise<void> {
    if (!this.#rung && !this.#signal?.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#ring = resolve;
      using _patrol = this.#clock.after(PATROL_MS, resolve);
      await promise;
    }
    this.#rung = false;
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }

  #wake(): void {
    this.#rung = true;
    this.#ring();
  }
}

/** The folder is watched, since a rotation gives the name to another file. */
function watchName(path: string, changed: () => void): { close(): void } | undefined {
  const name = basename(path);
  try {
    const watcher = watch(dirname(path), (_event, changedName) => { if (changedName === null || changedName === name) changed(); });
    watcher.on('error', changed); // the folder went: the next look tells
    return watcher;
  } catch (error) {
    if (['ENOENT', 'ENOSPC', 'EMFILE'].includes(errnoOf(error) ?? '')) return undefined; // the patrol has to do
    throw error;
  }
}

function undefinedWhenMissing(error: unknown): undefined {
  if (errnoOf(error) === 'ENOENT') return undefined;
  throw error;
}
