// Takes care of the log of one container while it runs, and until all of it is passed on: turns its files, compresses them, ships them.
import { readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { errnoOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { compress } from './compress.ts';
import { identityOf, liveName, rotatedNames } from './files.ts';
import type { Limits } from './options.ts';
import type { Shipper } from './shipper.ts';
import { turn } from './turns.ts';
import { Wake } from './wake.ts';

/** The next look is when half of what is left of the newest file could be full, within these bounds, and not much later than the one before. */
const LOOK_MS = { least: 10, most: 1000 };
/** A line waits so long at most before it is passed on, when others came just before it. */
const SHIP_MS = 50;
/** inotify tells when a silent log is written to; this finds what it could not tell. */
const PATROL_MS = 30_000;
/** A log that is written to faster is not compressed for now: it would be turned again before that is done. */
const BUSY_BYTES_PER_SECOND = 1 << 20;
/** The loss of output is told of so often at most. */
const TELL_MS = 10_000;

export interface KeeperOptions {
  id: string;
  path: string;
  limits: Limits;
  shipper: Shipper | undefined;
  clock: Clock;
  log: Log;
  reopen: () => Promise<boolean>;
}

export class Keeper {
  readonly #options: KeeperOptions;
  readonly #wake: Wake;
  readonly #stopping = new AbortController();
  /** Resolves when there is nothing more to be done, or it was told to stop. */
  readonly done: Promise<void>;
  #ended = false;
  #finished = false;
  #compressing: { abort: AbortController; done: Promise<void> } | undefined;
  #lastLook = { atMs: 0, sizeBytes: 0 };
  #bytesPerSecond = 0;
  #lookMs = LOOK_MS.least;
  #waiting: Array<() => void> = [];
  /** There may be rotated files that are not compressed. */
  #plain = true;
  #lost = { bytes: 0, toldMs: -TELL_MS };

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#wake = new Wake(options.clock);
    this.done = this.#live();
  }

  /** All was done: it was not told to stop before that. */
  get finished(): boolean { return this.#finished; }

  /** Nothing more is written: it ends when all is done. */
  end(): void {
    this.#ended = true;
    this.#wake.ring();
  }

  /** Until all that is written by now is passed on, or `ms` have passed. */
  async catchUp(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    this.#wake.ring();
    using _late = this.#options.clock.after(ms, resolve);
    await Promise.race([promise, this.done]);
  }

  /** At once; what is left stays for the next one. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake.ring();
    await this.done;
  }

  async #live(): Promise<void> {
    try { await this.#run(); } finally { await this.#options.shipper?.[Symbol.asyncDispose](); }
  }

  async #run(): Promise<void> {
    const { log, id, shipper } = this.#options;
    const { signal } = this.#stopping;
    await this.#sweep();
    while (!signal.aborted) {
      const ended = this.#ended; // asked before the look: what was written before the end is found by it
      const waiting = this.#waiting.splice(0);
      let moved = true;
      try {
        const turned = await this.#look();
        moved = await this.#ship() || turned;
        for (const resolve of waiting) resolve();
        if (ended && !moved) {
          await shipper?.flush(signal);
          await this.#compressAll();
          await rm(liveName(this.#options.path), { force: true }); // nothing will be put in its place
          this.#finished = true;
          break;
        }
      } catch (error) {
        if (signal.aborted) break;
        log.error('the log of a container cannot be taken care of for now', { container: id, error });
        await this.#wake.wait(PATROL_MS);
      }
      if (!signal.aborted && !(ended && moved)) await this.#rest(moved);
    }
    this.#compressing?.abort.abort();
    await this.#compressing?.done;
  }

  async #ship(): Promise<boolean> {
    const { shipper } = this.#options;
    if (!shipper) return false;
    // While a receiver takes its time, files are still turned.
    let over = false;
    const shipping = shipper.ship(this.#stopping.signal).finally(() => { over = true; this.#wake.ring(); });
    shipping.catch(() => {}); // told to who awaits it, below
    while (!over) {
      await this.#wake.wait(this.#lookMs);
      if (!over) await this.#look().catch((error: unknown) => { this.#options.log.error('the files of a log cannot be turned for now', { container: this.#options.id, error }); });
    }
    return await shipping;
  }

  /** Whether it was written to since the last look. */
  async #look(): Promise<boolean> {
    const { clock, limits, path, reopen, shipper } = this.#options;
    const found = await turn(path, limits, {
      clock, reopen, isWritten: () => !this.#ended, beforeNames: () => this.#stopCompressing(),
      beforeDelete: async (name) => { this.#lose(await shipper?.noteDeletion(name) ?? 0); },
    });
    const sizeBytes = found?.sizeBytes ?? 0, turned = found?.turned === true, before = this.#lastLook, atMs = clock.monotonicMs();
    const grown = turned ? limits.maxBytes - before.sizeBytes + sizeBytes : sizeBytes - before.sizeBytes;
    const elapsedMs = Math.max(1, atMs - before.atMs);
    this.#bytesPerSecond = before.atMs === 0 ? 0 : Math.max(0, grown) * 1000 / elapsedMs;
    this.#lastLook = { atMs, sizeBytes };
    // Of files that came and went between two looks nothing is known: a turn means to look more often than the numbers say.
    const soon = turned ? this.#lookMs / 4 : grown <= 0 ? Infinity : Math.max(0, limits.maxBytes - sizeBytes) * elapsedMs / grown / 2;
    this.#lookMs = Math.max(LOOK_MS.least, Math.min(soon, this.#lookMs * 2, shipper ? SHIP_MS : LOOK_MS.most));
    if (turned) this.#plain = true;
    if (limits.compress && this.#plain && this.#bytesPerSecond < BUSY_BYTES_PER_SECOND) await this.#startCompressing();
    return turned || grown !== 0;
  }

  /** A busy log is looked at again in time; for a silent one a change is waited for. */
  async #rest(busy: boolean): Promise<void> {
    if (busy) return await this.#wake.wait(this.#lookMs);
    const { path } = this.#options;
    using _watch = this.#wake.onChange(path) ?? this.#wake.onChange(dirname(path));
    const size = await stat(path).then((found) => found.size, () => 0);
    if (size === this.#lastLook.sizeBytes) await this.#wake.wait(PATROL_MS);
    this.#lookMs = LOOK_MS.least; // it may be a flood
  }

  #lose(bytes: number): void {
    const { clock, log, id } = this.#options;
    this.#lost.bytes += bytes;
    if (this.#lost.bytes === 0 || clock.monotonicMs() - this.#lost.toldMs < TELL_MS) return;
    log.warn('a container writes faster than its output can be passed on: some of it is lost', { container: id, atLeastBytes: this.#lost.bytes });
    this.#lost = { bytes: 0, toldMs: clock.monotonicMs() };
  }

  /** The newest of the rotated files that are not compressed; one at a time. */
  async #startCompressing(): Promise<void> {
    if (this.#compressing || this.#stopping.signal.aborted) return;
    const { path, clock, log, id, shipper } = this.#options;
    const folder = dirname(path);
    const names = (await rotatedNames(path)).map((name) => `${folder}/${name}`);
    const name = names.find((one) => !one.endsWith('.gz'));
    this.#plain = name !== undefined;
    if (name === undefined) return;
    const identities = await Promise.all(names.toReversed().map(identityAt));
    const identity = identities[names.length - 1 - names.indexOf(name)];
    const newest = await identityAt(path);
    if (newest === undefined && !this.#ended) return; // conmon writes to the last one on until it has made a new one
    if (identity === undefined || (shipper && !shipper.isDone(identity, [...identities, newest].filter((one) => one !== undefined)))) return;
    const abort = new AbortController();
    const done = compress(name, { clock, signal: abort.signal }).catch((error: unknown) => {
      if (!abort.signal.aborted) log.warn('a rotated log cannot be compressed', { container: id, path: name, error });
    }).finally(() => { this.#compressing = undefined; this.#wake.ring(); });
    this.#compressing = { abort, done };
  }

  /** Once nothing more is written. Each file is tried once: on a disk that is full none of them may succeed. */
  async #compressAll(): Promise<void> {
    const { limits } = this.#options;
    for (let tries = limits.maxFiles; limits.compress && this.#plain && tries > 0 && !this.#stopping.signal.aborted; tries--) {
      await this.#startCompressing();
      await this.#compressing?.done;
    }
  }

  async #stopCompressing(): Promise<void> {
    this.#compressing?.abort.abort();
    await this.#compressing?.done;
  }

  /** What a daemon that died while it compressed has left. */
  async #sweep(): Promise<void> {
    const { path } = this.#options;
    const names = await readdir(dirname(path)).catch(() => []);
    for (const name of names) if (name.startsWith(`${basename(path)}.`) && name.endsWith('.gz.part')) await rm(`${dirname(path)}/${name}`, { force: true });
  }
}

async function identityAt(path: string): Promise<string | undefined> {
  try {
    return identityOf(await stat(path, { bigint: true }));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
