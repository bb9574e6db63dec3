// The daemon's end of the make workers: one child for each job, a few at a time, each with a bound on its memory that goes back when it ends.
import type { Kernel, Worker } from '../kernel/index.ts';
import { EngineError } from '../lib/errors.ts';
import { Limiter } from '../lib/lock.ts';
import type { Log } from '../lib/log.ts';
import type { LayerFiles } from '../store/index.ts';
import type { Maker, MakerLimits, MakeWork } from './index.ts';
import { parseAnswer, type Done, type Job } from './protocol.ts';

const ROLE = 'make';
/** Of a worker's memory its codec gets this share; the rest is for what it reads the layers with, and for what V8 has not collected yet. */
const CODEC_SHARE = 0.75;
/** Its objects are few and short-lived: this much of its memory may be theirs, and never less than what a worker needs to begin. */
const HEAP_SHARE = 0.25;
const LEAST_HEAP_BYTES = 48 << 20;

export interface MakerNeeds { kernel: Pick<Kernel, 'workers'>; log: Log; limits: MakerLimits }

export function openMaker({ kernel, log, limits }: MakerNeeds): Maker {
  const limiter = new Limiter(limits.workers);
  const running = new Set<Worker>();
  let closed = false;
  return {
    async make(work) {
      if (work.targets.length === 0) return [];
      using _place = await limiter.hold({ signal: work.signal });
      work.signal?.throwIfAborted();
      if (closed) throw new EngineError('unavailable', 'the daemon is stopping: no delta is made any more');
      const worker = kernel.workers.spawn(ROLE, { heapBytes: Math.max(LEAST_HEAP_BYTES, limits.memoryBytes * HEAP_SHARE) });
      running.add(worker);
      try {
        const { made, peakBytes } = await converse(worker, work, Math.floor(limits.memoryBytes * CODEC_SHARE));
        log.debug('made deltas', { format: work.format, layers: made.length, bytes: made.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0), peakMemoryBytes: peakBytes });
        return made;
      } finally {
        worker.kill(); // it has ended by itself, or is not wanted any more
        await worker.exited; // until then it may still write
        running.delete(worker);
      }
    },
    async close() {
      closed = true;
      for (const worker of running) worker.kill();
      await Promise.all([...running].map((worker) => worker.exited));
    },
  };
}

async function converse(worker: Worker, work: MakeWork, memoryBytes: number): Promise<Done> {
  const { format, base, targets, into, signal } = work;
  const leave = () => worker.kill();
  signal?.addEventListener('abort', leave, { once: true });
  try {
    const job: Job = { format, base: base.map(filesOnly), targets: targets.map(filesOnly), into, memoryBytes };
    await worker.send(Buffer.from(JSON.stringify(job))).catch(() => {}); // its last words say more
    worker.end();
    for await (const line of worker.lines) {
      const answer = parseAnswer(line);
      if ('fingerprint' in answer) work.onFingerprint?.(...answer.fingerprint);
      else if ('layer' in answer) work.onLayer?.(...answer.layer);
      else if ('failed' in answer) throw failureOf(answer.failed);
      else return checked(answer.done, work);
    }
    signal?.throwIfAborted();
    throw await obituary(worker);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally { signal?.removeEventListener('abort', leave); }
}

/** Whatever else there is known of a layer stays here. */
const filesOnly = ({ diffId, tarSplitPath, diffPath }: LayerFiles): LayerFiles => ({ diffId, tarSplitPath, diffPath });

function checked(done: Done, { targets, into }: MakeWork): Done {
  const fits = done.made.length === targets.length && done.made.every(({ diffId, path }, n) => diffId === targets[n]?.diffId && path.startsWith(`${into}/`));
  if (!fits) throw new EngineError('system', 'make worker answered for other layers than those it was given');
  return done;
}

function failureOf({ kind, code, message }: { kind: ConstructorParameters<typeof EngineError>[0]; code: string | undefined; message: string }): EngineError {
  return new EngineError(kind, message, code === undefined ? {} : { cause: Object.assign(new Error(code), { code }) });
}

/** SIGKILL is what the kernel ends a process with when memory runs out; SIGABRT what V8 does at the limit of its heap. */
async function obituary(worker: Worker): Promise<EngineError> {
  const { code, signal, stderr } = await worker.exited;
  const how = signal === null ? `with code ${code}` : `by ${signal}`;
  const outOfMemory = signal === 'SIGABRT' && /heap out of memory/.test(stderr);
  const guess = outOfMemory ? ': it needed more memory than --delta-create-memory allows' : signal === 'SIGKILL' ? ': killed from outside, or the machine is out of memory' : '';
  const words = outOfMemory ? '' : stderr.trim();
  return new EngineError('system', `the process that made the delta (${worker.pid}) ended ${how}${guess}${words === '' ? '' : `: ${words}`}`);
}

