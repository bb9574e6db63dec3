// One conmon per task or exec: it makes crun run, holds the stdio and the log, and writes the exit code, whatever becomes of the daemon.
import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { createInterface } from 'node:readline';
import type { Clock } from '../lib/clock.ts';
import { EngineError, errnoOf } from '../lib/errors.ts';
import { CHILD_ENV } from './program.ts';

/** Longest wait for conmon to say that crun has made the container: a loaded device unpacking a seccomp profile takes seconds. */
const ANSWER_TIMEOUT_MS = 120_000;
/** What is kept of conmon's own complaints. */
const MAX_STDERR_BYTES = 4096;

export interface MonitorCommand {
  conmonPath: string;
  args: readonly string[];
  /** conmon's working directory: where it puts the `oom` file. */
  bundle: string;
  /** Waits for a second go-ahead, so that nothing is lost between start and attach; called when its socket is there. */
  beforeStart?: () => Promise<void>;
  clock: Clock;
}

/** conmon's answers: one JSON object per line of its sync pipe. */
export interface Monitor {
  pid: number;
  /** The next number that it tells: for an exec, its exit code. undefined when it ended without a word. */
  next(): Promise<number | undefined>;
  /** Stops listening; conmon goes on. */
  release(): void;
}

/** Thrown when crun could not make the container: its own words, to be put in order by the caller. */
export class MonitorRefusal extends Error {
  override readonly name = 'MonitorRefusal';
}

export async function startMonitor(command: MonitorCommand): Promise<Monitor> {
  const child = spawn(command.conmonPath, command.args, {
    cwd: command.bundle,
    env: { ...CHILD_ENV, _OCI_SYNCPIPE: '3', _OCI_STARTPIPE: '4', ...(command.beforeStart ? { _OCI_ATTACHPIPE: '5' } : {}) },
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', ...(command.beforeStart ? ['pipe' as const] : [])],
  });
  const complaints = collect(child);
  const [sync, start, ready] = [pipeOf(child, 3), pipeOf(child, 4), command.beforeStart ? pipeOf(child, 5) : undefined];
  const answers = new Answers(sync, command.clock);
  const release = () => { for (const pipe of [sync, start, ready, child.stderr]) pipe?.destroy(); };
  try {
    await spawned(child);
    start.write('.');
    if (ready && command.beforeStart) {
      await firstByte(ready, child);
      await command.beforeStart();
      start.write('.');
    }
    const [first] = await Promise.all([answers.take(ANSWER_TIMEOUT_MS), exited(child)]);
    if (first === undefined) throw new MonitorRefusal(complaints());
    if (first.data < 0) throw new MonitorRefusal(first.message ?? complaints());
    child.stderr?.destroy();
    start.destroy();
    ready?.destroy();
    return { pid: first.data, next: async () => (await answers.take())?.data, release };
  } catch (error) {
    release();
    throw error;
  }
}

/** Tells conmon through its control fifo: '1 H W' resizes, '2 0 0' opens the log anew. False when no conmon listens. */
export async function tell(bundle: string, message: string): Promise<boolean> {
  try {
    // Not blocking: without a reader, opening a fifo would wait for ever.
    await using fifo = await open(`${bundle}/ctl`, constants.O_WRONLY | constants.O_NONBLOCK);
    await fifo.write(`${message}\n`);
    return true;
  } catch (error) {
    if (['ENXIO', 'ENOENT', 'EPIPE'].includes(errnoOf(error) ?? '')) return false;
    throw error;
  }
}

interface Answer { data: number; message?: string }

class Answers {
  readonly #lines: AsyncIterator<string>;
  readonly #sync: Duplex;
  readonly #clock: Clock;

  constructor(sync: Duplex, clock: Clock) {
    this.#sync = sync;
    this.#clock = clock;
    this.#lines = createInterface({ input: sync, crlfDelay: Infinity })[Symbol.asyncIterator]();
    sync.on('error', () => {}); // told as the end of the lines
  }

  async take(timeoutMs?: number): Promise<Answer | undefined> {
    using _limit = timeoutMs === undefined ? undefined : this.#clock.after(timeoutMs, () => this.#sync.destroy());
    const line = await this.#lines.next();
    return line.done === true ? undefined : parseAnswer(line.value);
  }
}

export function parseAnswer(line: string): Answer {
  let value: unknown;
  try { value = JSON.parse(line); } catch { value = undefined; }
  if (typeof value !== 'object' || value === null || !('data' in value) || typeof value.data !== 'number') {
    throw new EngineError('system', `conmon answered ${JSON.stringify(line.slice(0, 200))}, which is not understood`);
  }
  const { data } = value;
  return 'message' in value && typeof value.message === 'string' ? { data, message: value.message } : { data };
}

function pipeOf(child: ChildProcess, fd: number): Duplex {
  const pipe = child.stdio[fd] as Duplex;
  pipe.on('error', () => {}); // EPIPE when conmon is gone: told by its silence
  return pipe;
}

function collect(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => { text = (text + chunk).slice(-MAX_STDERR_BYTES); });
  return () => text.trim();
}

function spawned(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => reject(new EngineError('system', `conmon cannot be started: ${cause.message}`, { cause })));
  });
}

/** The first conmon ends as soon as the second, which nobody waits for, is on its way. */
function exited(child: ChildProcess): Promise<void> {
  return child.exitCode !== null || child.signalCode !== null ? Promise.resolve() : new Promise((resolve) => { child.once('exit', () => resolve()); });
}

/** Rejects nothing when conmon ends first: the answer then tells why. */
function firstByte(pipe: Duplex, child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    pipe.once('data', () => resolve());
    pipe.once('close', () => resolve());
    child.once('exit', (code) => { if (code !== 0) resolve(); });
  });
}
