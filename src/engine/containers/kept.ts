// Connections to a program that outlive the client they were made for, since conmon would take their end for the end of the program's stdin.
import type { Console } from '../../runtime/index.ts';

type Output = { stream: 'stdout' | 'stderr'; bytes: Uint8Array };

/** A console with one reader after another: what the one before had asked for and not taken is the next one's. */
export class KeptConsole implements AsyncDisposable {
  readonly #console: Console;
  readonly #parts: AsyncIterator<Output>;
  #next: Promise<IteratorResult<Output>> | undefined;

  constructor(console: Console) {
    this.#console = console;
    this.#parts = console.output[Symbol.asyncIterator]();
  }

  /** Until the output ends or the signal is aborted. */
  async *read(signal: AbortSignal): AsyncGenerator<Output> {
    const left = new Promise<void>((resolve) => { signal.addEventListener('abort', () => resolve(), { once: true }); });
    while (!signal.aborted) {
      this.#next ??= this.#parts.next();
      await Promise.race([this.#next, left]);
      if (signal.aborted) return;
      const part = await this.#next;
      this.#next = undefined;
      if (part.done === true) return;
      yield part.value;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> { await this.#console[Symbol.asyncDispose](); }
}

/** The connections of clients that only looked and have left, read to nowhere until the next one comes or the program ends: no more than ever looked at once. */
export class KeptConsoles {
  readonly #idle = new Map<KeptConsole, AbortController>();

  take(): KeptConsole | undefined {
    for (const [kept, stop] of this.#idle) {
      this.#idle.delete(kept);
      stop.abort();
      return kept;
    }
    return undefined;
  }

  keep(kept: KeptConsole): void {
    const stop = new AbortController();
    this.#idle.set(kept, stop);
    void this.#discard(kept, stop.signal).catch(() => {}); // a broken connection is an ended one
  }

  async #discard(kept: KeptConsole, signal: AbortSignal): Promise<void> {
    try {
      for await (const part of kept.read(signal)) void part;
    } finally {
      if (!signal.aborted) {
        this.#idle.delete(kept);
        await kept[Symbol.asyncDispose]();
      }
    }
  }
}
