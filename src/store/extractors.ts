// A few workers that extract layers apart from the daemon: started when there is work, kept for the next layer, ended when idle.
//
// A layer's source is only read as fast as its worker takes it: at most QUEUE_BYTES wait in this process, so that the network and the
// unpacking overlap without the memory of a device paying for it. See extract-protocol.ts for the words between the two.
import type { Kernel, Worker } from '../kernel/index.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { EngineError, assert, invalid } from '../lib/errors.ts';
import type { IdMap } from '../lib/ids.ts';
import { Limiter } from '../lib/lock.ts';
import type { Log } from '../lib/log.ts';
import { parseDiffId, type DiffId } from '../oci/digest.ts';
import type { Compression } from '../oci/manifest.ts';
import { FRAME, frameHeader, MAX_JOB_BYTES, parseAnswer, WrongResult, type Extracted, type Job } from './extract-protocol.ts';
import type { LayerDelta } from './index.ts';

export interface ExtractWork {
  /** An empty directory, by its absolute path. What a failure leaves in it is the caller's to remove. */
  into: string;
  /** On the same file system: one sync covers both. */
  tarSplitPath: string;
  /** What the manifest says; the bytes themselves are believed more, as in Docker. */
  compression: Compression;
  /** The unpacked bytes are a delta. */
  delta?: LayerDelta | undefined;
  /** Chunks must not change after they were yielded. */
  source: AsyncIterable<Uint8Array>;
  onProgress?(consumedBytes: number): void;
  signal?: AbortSignal | undefined;
}

export interface Extractors {
  /**
   * Resolves when every byte of the layer is on the disk (the last syncfs of it has succeeded). Rejects with the source's own error or the signal's reason,
   * with `corrupt` when the bytes are no layer (as `WrongResult`, when they are a good delta that gives none), with `system` when the disk
   * refuses; nothing is written any more once it has rejected.
   */
  extract(work: ExtractWork): Promise<{ diffId: DiffId; sizeBytes: number; tarBytes: number; entries: number }>;
  /** Ends idle workers at once and busy ones after their layer. */
  close(): Promise<void>;
}

const ROLE = 'extract';
/** What waits longer than V8's two young collections is garbage until the next great one: 1 MiB here cost 9 MB, 128 KiB costs nothing that can be measured. The kernel's socket buffers hold more. */
const QUEUE_BYTES = 128 << 10;
/** What is in the queue when a layer is refused is taken by the worker in less; a source that hangs longer costs the worker. */
const SETTLE_MS = 1000;

export interface ExtractorOptions {
  kernel: Pick<Kernel, 'workers'>;
  log: Log;
  limit: number;
  idleMs: number;
  clock?: Clock;
  /** Owners in archives become these on the disk. */
  idMap?: IdMap | undefined;
  /** What applying a delta may take beyond what extracting takes. */
  deltaMemoryBytes?: number | undefined;
}

const DELTA_MEMORY_BYTES = 64 << 20;

export function openExtractors(options: ExtractorOptions): Extractors {
  return new Pool(options);
}

class Pool implements Extractors {
  readonly #options: ExtractorOptions;
  readonly #limiter: Limiter;
  /** Applying a delta takes memory that a device has once. */
  readonly #deltas = new Limiter(1);
  readonly #clock: Clock;
  #idle: Array<{ held: Held; timer: Disposable }> = [];
  #all = new Set<Held>();
  #closed = false;

  constructor(options: ExtractorOptions) {
    this.#options = options;
    this.#limiter = new Limiter(options.limit);
    this.#clock = options.clock ?? systemClock;
  }

  async extract(work: ExtractWork) {
    using _delta = work.delta && await this.#deltas.hold({ signal: work.signal });
    using _place = await this.#limiter.hold({ signal: work.signal });
    work.signal?.throwIfAborted();
    assert(work.into.startsWith('/') && work.tarSplitPath.startsWith('/'), 'extraction takes absolute paths');
    if (this.#closed) throw new EngineError('unavailable', 'the store is closing');
    const held = this.#take() ?? this.#start();
    let reusable = false;
    try {
      const extracted = await extractWith(held, { work, job: jobOf(work, this.#options) }, () => { reusable = true; });
      return { ...extracted, diffId: parseDiffId(extracted.diffId) };
    } finally {
      if (reusable) this.#keep(held);
      else {
        held.worker.kill();
        await held.worker.exited; // until then it may still write
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { held, timer } of this.#idle.splice(0)) {
      timer[Symbol.dispose]();
      held.worker.end();
    }
    await Promise.all([...this.#all].map((held) => held.worker.exited));
  }

  #take(): Held | undefined {
    const idle = this.#idle.pop();
    idle?.timer[Symbol.dispose]();
    return idle?.held;
  }

  #start(): Held {
    const worker = this.#options.kernel.workers.spawn(ROLE);
    const held: Held = { worker, lines: worker.lines[Symbol.asyncIterator]() };
    this.#all.add(held);
    void worker.exited.then(({ code, signal, stderr }) => {
      this.#all.delete(held);
      const wasIdle = this.#idle.find((one) => one.held === held);
      this.#idle = this.#idle.filter((one) => one !== wasIdle);
      wasIdle?.timer[Symbol.dispose]();
      if (wasIdle) this.#options.log.warn('idle extract worker ended', { pid: worker.pid, code, signal, stderr });
    });
    return held;
  }

  #keep(held: Held): void {
    if (this.#closed || !this.#all.has(held)) { held.worker.end(); return; }
    const timer = this.#clock.after(this.#options.idleMs, () => {
      this.#idle = this.#idle.filter((one) => one.held !== held);
      held.worker.end();
    });
    this.#idle.push({ held, timer });
  }
}

interface Held { worker: Worker; lines: AsyncIterator<string> }
interface HeldWork { work: ExtractWork; job: Buffer }

function jobOf({ into, tarSplitPath, delta }: ExtractWork, { idMap, deltaMemoryBytes = DELTA_MEMORY_BYTES }: ExtractorOptions): Buffer {
  const job: Job = { into, tarSplitPath, ...(idMap ? { idMap } : {}), ...(delta ? { delta: { ...delta, memoryBytes: deltaMemoryBytes } } : {}) };
  const bytes = Buffer.from(JSON.stringify(job), 'utf8');
  if (bytes.length > MAX_JOB_BYTES) throw invalid(`a delta against ${delta?.base.length ?? 0} layers is more than is described in ${MAX_JOB_BYTES} bytes`);
  return bytes;
}

/** `onReusable` is called when the worker has answered and waits for the next layer; otherwise it is to be killed. */
async function extractWith(held: Held, { work, job }: HeldWork, onReusable: () => void): Promise<Extracted> {
  using left = abortOf(work.signal);
  const feeding = { stopped: false };
  const fed = feed(held.worker, { work, job }, feeding);
  // Whatever ends first ends the others: an answer, an error of the source, the caller's signal.
  const failed = Promise.withResolvers<never>();
  fed.catch(failed.reject);
  left.promise.catch(failed.reject);
  try {
    const answer = await Promise.race([awaitAnswer(held, work), failed.promise]);
    // A worker that refuses a layer before its end gets no more of it. The source may hang in a read: it is not waited for.
    if ('done' in answer) { await fed; onReusable(); return answer.done; }
    feeding.stopped = true;
    if (await settles(fed)) onReusable();
    const { kind, code, message, blames } = answer.failed;
    if (blames === 'result') throw new WrongResult(message);
    throw new EngineError(kind, message, code === undefined ? {} : { cause: Object.assign(new Error(code), { code }) });
  } finally {
    feeding.stopped = true;
  }
}

/** Whether a promise is fulfilled within SETTLE_MS. */
async function settles(promise: Promise<unknown>): Promise<boolean> {
  const late = Promise.withResolvers<false>();
  using _timer = systemClock.after(SETTLE_MS, () => late.resolve(false));
  return await Promise.race([promise.then(() => true, () => false), late.promise]);
}

async function awaitAnswer({ worker, lines }: Held, work: ExtractWork) {
  for (;;) {
    const next = await lines.next();
    if (next.done) throw await obituary(worker);
    const answer = parseAnswer(next.value);
    if (!('consumed' in answer)) return answer;
    work.onProgress?.(answer.consumed);
  }
}

/** Sends the layer, or as much of it as is wanted, and always the END. Rejects with the source's error. */
async function feed(worker: Worker, { work, job }: HeldWork, feeding: { readonly stopped: boolean }): Promise<void> {
  const queue = new SendQueue(worker);
  await queue.send(FRAME.job, job);
  for await (const chunk of work.source) {
    if (feeding.stopped) break;
    if (chunk.length > 0) await queue.send(FRAME.data, chunk);
  }
  await queue.send(FRAME.end, undefined);
}

/** Rejects when the signal is aborted. */
function abortOf(signal: AbortSignal | undefined): { promise: Promise<never> } & Disposable {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {}); // it may reject while nobody waits
  const onAbort = () => reject(signal?.reason as Error);
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) onAbort();
  return { promise, [Symbol.dispose]: () => signal?.removeEventListener('abort', onAbort) };
}

/** Frames on their way into the worker's stdin; `send` waits only while more than the limit is on its way. */
class SendQueue {
  readonly #worker: Worker;
  #waitingBytes = 0;
  #room = Promise.withResolvers<void>();
  #error: unknown;

  constructor(worker: Worker) { this.#worker = worker; }

  async send(type: number, payload: Uint8Array | undefined): Promise<void> {
    const header = frameHeader(type, payload?.length ?? 0);
    this.#put(payload ? [header, payload] : [header]);
    while (this.#waitingBytes > QUEUE_BYTES) await this.#room.promise;
    // A worker that is gone is reported by its last words, not by the broken pipe it left.
    if (this.#error !== undefined) throw await obituary(this.#worker);
  }

  #put(parts: readonly Uint8Array[]): void {
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    this.#waitingBytes += bytes;
    const sent = () => {
      this.#waitingBytes -= bytes;
      this.#room.resolve();
      this.#room = Promise.withResolvers<void>();
    };
    this.#worker.send(...parts).then(sent, (error: unknown) => { this.#error ??= error; sent(); });
  }
}

async function obituary(worker: Worker): Promise<EngineError> {
  const { code, signal, stderr } = await worker.exited;
  const how = signal === null ? `with code ${code}` : `by ${signal}`;
  const words = stderr.trim();
  return new EngineError('system', `extract worker (process ${worker.pid}) ended ${how}${words === '' ? '' : `: ${words}`}`);
}
