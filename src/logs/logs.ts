// The logs of all containers: by driver, where they are written, who takes care of them, and how they are read.
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { Kernel } from '../kernel/index.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { EngineError, errnoOf, messageOf, unreachable } from '../lib/errors.ts';
import { KeyedLock } from '../lib/lock.ts';
import type { Log } from '../lib/log.ts';
import { extraAttributes, tagOf, type Attributes } from './attributes.ts';
import type { LogQuery, LogRecord, Logs, LogSubject, LogTarget } from './index.ts';
import { journalName } from './journal-format.ts';
import { canReadJournal, readJournal } from './journal-read.ts';
import { JournalSink, JOURNAL_SOCKET } from './journal-sink.ts';
import { Keeper } from './keeper.ts';
import { cacheLimits, jsonFileLimits, localLimits, noSuchDriver, refusal, type Limits } from './options.ts';
import { Pace } from './pace.ts';
import { readFiles } from './read.ts';
import { openShipper } from './shipper.ts';
import type { Sink } from './sink.ts';
import { parseFacility, parseSyslogAddress } from './syslog-format.ts';
import { openSyslogSink, resumeSyslogSink, type SyslogOptions } from './syslog-sink.ts';
import { hardBound } from './turns.ts';

/** What waits to be passed on lies in memory: so much of it per container, and as much again in the file that is being written. */
const SPOOL: Limits = { maxBytes: 1 << 20, maxFiles: 4, compress: false };
/** How long a removal, or who reads the journal, waits for what is still to be passed on. */
const DRAIN_MS = 3000;
const FILE_NAME = 'container.log';

export interface LogsOptions {
  kernel: Pick<Kernel, 'sockets' | 'programs'>;
  log: Log;
  clock?: Clock;
  /** On tmpfs, below the exec root. */
  spoolRoot: string;
  /** Asks a container's conmon to open its log anew; false when none listens. */
  reopen(id: string): Promise<boolean>;
  /** What a syslog shows beside the tag. */
  daemonPid: number;
  /** For tests. */
  journalSocket?: string;
}

export function openLogs(options: LogsOptions): Logs {
  mkdirSync(options.spoolRoot, { recursive: true, mode: 0o700 });
  return new AllLogs({ ...options, clock: options.clock ?? systemClock, journalSocket: options.journalSocket ?? JOURNAL_SOCKET });
}

/** What the options of a container mean. */
type Plan =
  | { kind: 'none' }
  | { kind: 'file'; limits: Limits | undefined; attributes: Attributes }
  | { kind: 'journal'; tag: string; extra: Attributes }
  | { kind: 'syslog'; syslog: SyslogOptions; cache: Limits | undefined; attributes: Attributes };

class AllLogs implements Logs {
  readonly #options: Required<LogsOptions>;
  readonly #pace: Pace;
  readonly #keepers = new Map<string, Keeper>();
  readonly #locks = new KeyedLock();

  constructor(options: Required<LogsOptions>) {
    this.#options = options;
    this.#pace = new Pace(options.clock);
  }

  async prepare(subject: LogSubject): Promise<LogTarget> {
    try {
      const plan = this.#plan(subject);
      const place = this.#place(subject, plan);
      if (!place) return { path: undefined, maxBytes: undefined };
      const { path, limits } = place;
      if (limits && limits.maxFiles === 1 && sizeOf(path) >= limits.maxBytes) rmSync(path, { force: true }); // begun anew when it is full
      await this.#keep(subject, plan, async () => await this.#openSink(subject, plan));
      return { path, maxBytes: limits && hardBound(limits) };
    } catch (cause) {
      if (!(cause instanceof EngineError)) throw cause;
      throw new EngineError(cause.kind, `failed to initialize logging driver: ${cause.message}`, { cause });
    }
  }

  adopt(subject: LogSubject, { running }: { running: boolean }): void {
    if (!running && !existsSync(this.#spool(subject.id))) return;
    try {
      const plan = this.#plan(subject);
      const kept = this.#keep(subject, plan, () => Promise.resolve(this.#resumeSink(subject, plan)));
      void kept.then(() => { if (!running) this.ended(subject.id); }).catch((error: unknown) => this.#fail(subject, error));
    } catch (error) {
      this.#fail(subject, error);
    }
  }

  ended(id: string): void { this.#keepers.get(id)?.end(); }

  async release(id: string): Promise<void> {
    using _lock = await this.#locks.hold(id);
    const keeper = this.#keepers.get(id);
    if (keeper) {
      keeper.end();
      const late = Promise.withResolvers<void>();
      using _timer = this.#options.clock.after(DRAIN_MS, late.resolve);
      await Promise.race([keeper.done, late.promise]);
      await keeper.stop();
      this.#keepers.delete(id);
    }
    await rm(this.#spool(id), { recursive: true, force: true });
  }

  read(subject: LogSubject, query: LogQuery): AsyncIterable<LogRecord> {
    const plan = this.#plan(subject);
    const unreadable = () => new EngineError('not-implemented', 'configured logging driver does not support reading');
    switch (plan.kind) {
      case 'none': throw unreadable();
      case 'journal': {
        if (!canReadJournal(this.#options.kernel)) throw unreadable();
        const caughtUp = async () => await this.#keepers.get(subject.id)?.catchUp(DRAIN_MS);
        return readJournal({ kernel: this.#options.kernel, id: subject.id, caughtUp }, query);
      }
      default: {
        if (plan.kind === 'syslog' && !plan.cache) throw unreadable();
        const place = this.#place(subject, plan);
        const records = readFiles(place?.path ?? '', query, this.#options.clock);
        return Object.keys(plan.attributes).length === 0 ? records : withAttributes(records, plan.attributes);
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#keepers.keys()].map(async (id) => { using _lock = await this.#locks.hold(id); }));
    await Promise.all([...this.#keepers.values()].map((keeper) => keeper.stop()));
    this.#keepers.clear();
  }

  #plan(subject: LogSubject): Plan {
    const { driver, options } = subject;
    const host = hostname();
    switch (driver) {
      case 'none': return { kind: 'none' };
      case 'local': return { kind: 'file', limits: localLimits(options), attributes: {} };
      case 'journald': return { kind: 'journal', tag: tagOf(subject, '{{.ID}}', host), extra: extraAttributes(subject, journalName) };
      case 'syslog': return { kind: 'syslog', syslog: syslogOptions(subject, { host, pid: this.#options.daemonPid }), cache: cacheLimits(options), attributes: {} };
      case '': case 'json-file': {
        const limits = jsonFileLimits(options);
        const attributes = extraAttributes(subject);
        return { kind: 'file', limits, attributes: options['tag'] ? { ...attributes, tag: tagOf(subject, '', host) } : attributes };
      }
      default: throw noSuchDriver(driver); // of a container that another engine has made
    }
  }

  /** Where conmon writes, and how much. */
  #place({ id, folder }: LogSubject, plan: Plan): { path: string; limits: Limits | undefined; consume: boolean } | undefined {
    switch (plan.kind) {
      case 'none': return undefined;
      case 'file': return { path: `${folder}/${FILE_NAME}`, limits: plan.limits, consume: false };
      case 'journal': return { path: `${this.#spool(id)}/${FILE_NAME}`, limits: SPOOL, consume: true };
      case 'syslog': return plan.cache ? { path: `${folder}/${FILE_NAME}`, limits: plan.cache, consume: false } : { path: `${this.#spool(id)}/${FILE_NAME}`, limits: SPOOL, consume: true };
      default: return unreachable(plan);
    }
  }

  /** One file, or one without end, is conmon's alone. */
  async #keep(subject: LogSubject, plan: Plan, openSink: () => Promise<Sink | undefined>): Promise<void> {
    const { clock, log, reopen } = this.#options;
    const { id } = subject;
    using _lock = await this.#locks.hold(id);
    const place = this.#place(subject, plan);
    const ships = plan.kind === 'journal' || plan.kind === 'syslog';
    const known = this.#keepers.get(id);
    if (!place?.limits || (!ships && place.limits.maxFiles === 1)) return;
    const sink = ships ? await openSink() : undefined;
    this.#keepers.delete(id);
    if (known) await known.stop(); // it had still something to do for the run before: the next one goes on with that
    if (ships) mkdirSync(this.#spool(id), { recursive: true, mode: 0o700 });
    const shipper = sink && await openShipper({ path: place.path, positionPath: `${this.#spool(id)}/position`, consume: place.consume, sink, pace: this.#pace });
    const keeper = new Keeper({ id, path: place.path, limits: place.limits, shipper, clock, log, reopen: () => reopen(id) });
    this.#keepers.set(id, keeper);
    void this.#forget(id, { keeper, sink });
  }

  /** Once all is done: a log that is told to stop before that is gone on with later. */
  async #forget(id: string, { keeper, sink }: { keeper: Keeper; sink: Sink | undefined }): Promise<void> {
    await keeper.done;
    await sink?.[Symbol.asyncDispose]();
    if (this.#keepers.get(id) !== keeper || !keeper.finished) return;
    this.#keepers.delete(id);
    removeSpool(this.#spool(id));
  }

  async #openSink(subject: LogSubject, plan: Plan): Promise<Sink | undefined> {
    const { kernel, journalSocket } = this.#options;
    if (plan.kind === 'syslog') return await openSyslogSink(plan.syslog, { ...this.#options, container: subject.id });
    if (plan.kind !== 'journal') return undefined;
    try {
      kernel.sockets.sendDatagram(journalSocket, new Uint8Array(0));
    } catch (cause) {
      if (errnoOf(cause) !== 'EAGAIN') throw refusal('journald is not enabled on this host', { cause });
    }
    return this.#resumeSink(subject, plan);
  }

  #resumeSink(subject: LogSubject, plan: Plan): Sink | undefined {
    const { kernel, clock, log, journalSocket } = this.#options;
    if (plan.kind === 'syslog') return resumeSyslogSink(plan.syslog, { ...this.#options, container: subject.id });
    if (plan.kind !== 'journal') return undefined;
    return new JournalSink({ id: subject.id, name: subject.name, imageName: subject.image.name, tag: plan.tag, extra: plan.extra }, { kernel, clock, log, socket: journalSocket });
  }

  #spool(id: string): string { return `${this.#options.spoolRoot}/${id}`; }

  #fail({ id }: LogSubject, error: unknown): void {
    this.#options.log.error('the log of a container cannot be taken care of', { container: id, reason: messageOf(error), error });
  }
}

function syslogOptions(subject: LogSubject, { host: hostName, pid }: { host: string; pid: number }): SyslogOptions {
  const { options } = subject;
  const address = parseSyslogAddress(options['syslog-address'] ?? '');
  return {
    address,
    style: {
      format: options['syslog-format'] ?? '', facility: parseFacility(options['syslog-facility'] ?? ''), tag: tagOf(subject, '{{.ID}}', hostName), hostName, pid,
      counted: address.protocol === 'tcp+tls',
    },
    tls: { ca: options['syslog-tls-ca-cert'], cert: options['syslog-tls-cert'], key: options['syslog-tls-key'], skipVerify: options['syslog-tls-skip-verify'] !== undefined },
  };
}

async function * withAttributes(records: AsyncIterable<LogRecord>, attributes: Attributes): AsyncGenerator<LogRecord> {
  for await (const record of records) yield { ...record, attributes };
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Everything was passed on. How far a log that stays was passed on is still to be known when its container runs again. */
function removeSpool(folder: string): void {
  if (existsSync(`${folder}/${FILE_NAME}`)) rmSync(folder, { recursive: true, force: true });
}
