// The daemon's end of the rootfs workers: one child for each call, and what it says and sends.
import type { Kernel, Worker } from '../kernel/index.ts';
import { corrupt, EngineError } from '../lib/errors.ts';
import type { IdMap } from '../lib/ids.ts';
import { Limiter } from '../lib/lock.ts';
import type { PathStat, RootFs } from './index.ts';
import { CORRUPT_EXIT, MAX_LINE_BYTES, parseAnswer, type Job, type StatLine } from './protocol.ts';

/** Each is a process of some 40 MB; who comes later waits. */
const MAX_WORKERS = 6;
const ROLE = 'rootfs';
const NEWLINE = 0x0a;

export function openRootFs({ kernel, idMap }: { kernel: Pick<Kernel, 'workers'>; idMap: IdMap | undefined }): RootFs {
  const limiter = new Limiter(MAX_WORKERS);
  const begin = (job: Job, signal: AbortSignal) => Session.open({ kernel, limiter, signal, job: idMap === undefined || job.what === 'unpack' ? job : { ...job, idMap } });
  const streamed = async (job: Job, signal: AbortSignal) => {
    const session = await begin(job, signal);
    await session.answer();
    return session.rest();
  };
  return {
    async stat(view, path, { signal }) {
      await using session = await begin({ what: 'stat', view, path }, signal);
      return statOf(await session.answer());
    },
    async read(view, path, { signal }) {
      const session = await begin({ what: 'read', view, path }, signal);
      return { stat: statOf(await session.answer()), tar: session.rest() };
    },
    async write(view, path, body, { signal, keepKinds, user }) {
      await using session = await begin({ what: 'write', view, path, write: { keepKinds, user } }, signal);
      const answered = session.answer(); // a refusal may come at any time
      answered.catch(() => {});
      await Promise.race([session.feed(body), answered]);
      await answered;
    },
    export: (view, { signal }) => streamed({ what: 'export', view }, signal),
    changes: (view, { signal }) => streamed({ what: 'changes', view }, signal),
    layer: (view, { signal }) => streamed({ what: 'layer', view }, signal),
    async *unpack(source, { signal }) {
      await using session = await begin({ what: 'unpack' }, signal);
      await session.answer();
      let failure: { error: unknown } | undefined;
      const fed = session.feed(source).catch(async (error: unknown) => { failure = { error }; await session[Symbol.asyncDispose](); });
      try { yield* session.rest(); } catch (error) { throw failure ? failure.error : error; }
      await fed;
    },
  };
}

function statOf(line: StatLine | null): PathStat {
  if (line === null) throw new EngineError('system', 'rootfs worker told nothing of the path');
  return { ...line, mtimeNs: BigInt(line.mtimeNs) };
}

/** One worker from its start to its end. A signal that is aborted ends it; a failed answer has ended it. */
class Session implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #bytes: AsyncIterator<Uint8Array>;
  readonly #release: () => void;
  readonly #signal: AbortSignal;
  #held: Uint8Array = new Uint8Array(0);
  #over = false;

  static async open(needs: { kernel: Pick<Kernel, 'workers'>; limiter: Limiter; signal: AbortSignal; job: Job }): Promise<Session> {
    const { kernel, limiter, signal, job } = needs;
    const place = await limiter.hold({ signal });
    let session: Session;
    try {
      signal.throwIfAborted();
      session = new Session(kernel.workers.spawn(ROLE), signal, place);
    } catch (error) { place[Symbol.dispose](); throw error; }
    // A worker that is gone already says why when it is asked for its answer.
    await session.#worker.send(Buffer.from(`${JSON.stringify(job)}\n`)).catch(() => {});
    if (job.what !== 'write' && job.what !== 'unpack') session.#worker.end();
    return session;
  }

  constructor(worker: Worker, signal: AbortSignal, place: Disposable) {
    this.#worker = worker;
    this.#signal = signal;
    this.#bytes = worker.bytes[Symbol.asyncIterator]();
    const leave = () => worker.kill();
    signal.addEventListener('abort', leave, { once: true });
    this.#release = () => { signal.removeEventListener('abort', leave); };
    void worker.exited.then(() => { this.#release(); place[Symbol.dispose](); });
  }

  /** What it says first. Throws its refusal. */
  async answer(): Promise<StatLine | null> {
    let line = Buffer.alloc(0);
    for (;;) {
      const at = line.indexOf(NEWLINE);
      if (at >= 0) {
        this.#held = line.subarray(at + 1);
        const answer = parseAnswer(line.toString('utf8', 0, at));
        if ('done' in answer) return answer.done;
        await this[Symbol.asyncDispose]();
        throw new EngineError(answer.failed.kind, answer.failed.message);
      }
      const next = await this.#bytes.next();
      if (next.done === true || line.length > MAX_LINE_BYTES) throw await this.#obituary();
      line = Buffer.concat([line, next.value]);
    }
  }

  /** Everything behind the answer. Throws at its end when the worker has not brought it to one. */
  async *rest(): AsyncGenerator<Uint8Array> {
    try {
      if (this.#held.length > 0) yield this.#held;
      for (let next = await this.#bytes.next(); next.done !== true; next = await this.#bytes.next()) yield next.value;
      if ((await this.#worker.exited).code !== 0) throw await this.#obituary();
    } finally { await this[Symbol.asyncDispose](); }
  }

  /** Sends all of it, or as much as is wanted: a worker that refuses goes, and its answer says why. */
  async feed(body: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of body) {
      if (this.#over) return;
      try { if (chunk.length > 0) await this.#worker.send(chunk); } catch { return; }
    }
    this.#worker.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    this.#worker.kill();
    await this.#worker.exited;
  }

  async #obituary(): Promise<Error> {
    this.#worker.kill();
    const { code, signal, stderr } = await this.#worker.exited;
    if (this.#signal.aborted) return this.#signal.reason as Error;
    if (code === CORRUPT_EXIT) return corrupt(stderr.trim());
    const how = signal === null ? `with code ${code}` : `by ${signal}`;
    return new EngineError('system', `rootfs worker (process ${this.#worker.pid}) ended ${how}${stderr.trim() === '' ? '' : `: ${stderr.trim()}`}`);
  }
}
