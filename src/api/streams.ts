// Writing to clients at their pace: nothing is buffered beyond what the socket holds.
import type { Writable } from 'node:stream';
import type { AttachSession } from '../engine/index.ts';
import { frameHeader } from '../wire/frames.ts';

/** Resolves when more may be written: at once, after 'drain', or when the stream is gone (then false). */
export async function write(out: Writable, chunk: Uint8Array | string): Promise<boolean> {
  if (out.destroyed || out.writableEnded) return false;
  if (out.write(chunk)) return true;
  return drained(out);
}

/** Writes a frame in one go, without copying its payload. */
export async function writeFrame(out: Writable, stream: 'stdout' | 'stderr', bytes: Uint8Array): Promise<boolean> {
  if (out.destroyed || out.writableEnded) return false;
  out.cork();
  out.write(frameHeader(stream, bytes.length));
  const more = out.write(bytes);
  out.uncork();
  return more || drained(out);
}

function drained(out: Writable): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (more: boolean) => {
      out.off('drain', onDrain);
      out.off('close', onClose);
      resolve(more);
    };
    const onDrain = () => settle(true);
    const onClose = () => settle(false);
    out.on('drain', onDrain);
    out.on('close', onClose);
    if (out.destroyed) settle(false);
  });
}

/** The output of a session as the body of an answer, for clients that cannot take the connection over. Ends when `signal` is aborted, as a connection that was taken over does. */
export async function* sessionBody(session: AttachSession, { framed, signal }: { framed: boolean; signal: AbortSignal }): AsyncGenerator<Uint8Array> {
  await using held = session;
  let leave = () => {};
  signal.addEventListener('abort', () => leave(), { once: true });
  const output = held.output[Symbol.asyncIterator]();
  while (!signal.aborted) {
    const { promise: cut, resolve } = Promise.withResolvers<undefined>(); // one for all chunks would keep every one of them
    leave = () => resolve(undefined);
    const asked = output.next();
    asked.catch(() => {}); // nobody is left to be told when the session goes with the signal
    const next = await Promise.race([asked, cut]);
    if (next === undefined || next.done === true) return;
    if (framed) yield frameHeader(next.value.stream, next.value.bytes.length);
    yield next.value.bytes;
  }
}

/** As much as a block of a log. */
const GATHER_BYTES = 64 * 1024;

/** Small chunks that are there at once become one: a write for each line of a log costs more than the line. While the source waits, nothing is held back. */
export async function* gathered(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]();
  let held: Uint8Array[] = [], heldBytes = 0;
  let idle: Promise<undefined> | undefined;
  try {
    for (let next = chunks.next(); ;) {
      const result = await (idle ? Promise.race([next, idle]) : next);
      if (result !== undefined && result.done !== true) {
        held.push(result.value);
        heldBytes += result.value.length;
        idle ??= new Promise((resolve) => { setImmediate(resolve, undefined); });
        next = chunks.next();
        if (heldBytes < GATHER_BYTES) continue;
      }
      const together = held;
      [held, heldBytes, idle] = [[], 0, undefined];
      if (together.length > 0) yield Buffer.concat(together);
      if (result?.done === true) return;
    }
  } catch (error) {
    if (held.length > 0) yield Buffer.concat(held); // what came before the failure
    throw error;
  } finally { await chunks.return?.(); }
}

/** Lines told by a callback, as an iterable that the writer takes at its pace. */
export class LineQueue<Line> implements AsyncIterable<Line> {
  readonly #maxLines: number;
  readonly #sameSpot: (line: Line) => string | undefined;
  #lines: Line[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  /** Beyond `maxLines`, a line replaces the one that `sameSpot` says it supersedes: a slow client sees fewer steps of a bar, not other ones. */
  constructor(options: { maxLines: number; sameSpot: (line: Line) => string | undefined }) {
    this.#maxLines = options.maxLines;
    this.#sameSpot = options.sameSpot;
  }

  push(line: Line): void {
    const spot = this.#lines.length < this.#maxLines ? undefined : this.#sameSpot(line);
    const at = spot === undefined ? -1 : this.#lines.findIndex((held) => this.#sameSpot(held) === spot);
    if (at >= 0) this.#lines[at] = line;
    else this.#lines.push(line);
    this.#wake?.();
  }

  end(): void { this.#ended = true; this.#wake?.(); }

  /** Resolves when there is a line or the end. */
  async ready(): Promise<void> {
    while (this.#lines.length === 0 && !this.#ended) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  get empty(): boolean { return this.#lines.length === 0; }

  async *[Symbol.asyncIterator](): AsyncGenerator<Line> {
    for (;;) {
      await this.ready();
      const lines = this.#lines;
      this.#lines = [];
      if (lines.length === 0) return;
      yield* lines;
    }
  }
}
