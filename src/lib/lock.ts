// One holder per key, and at most so many at once.

/** A lock per key; holders of one key follow each other in the order of asking. */
export class KeyedLock {
  #tails = new Map<string, Promise<void>>();

  /** Resolves when `key` is ours; dispose of the result to let the next one in. Rejects when the signal is aborted before. */
  async hold(key: string, options?: { signal?: AbortSignal | undefined }): Promise<Disposable> {
    options?.signal?.throwIfAborted();
    const before = this.#tails.get(key) ?? Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const tail = before.then(() => promise);
    this.#tails.set(key, tail);
    const release = () => { resolve(); if (this.#tails.get(key) === tail) this.#tails.delete(key); };
    try {
      await (options?.signal ? unlessAborted(before, options.signal) : before);
    } catch (error) {
      void before.then(release); // those behind still wait for those before
      throw error;
    }
    return { [Symbol.dispose]: release };
  }

  /** Whether one who asks now has to wait. */
  has(key: string): boolean { return this.#tails.has(key); }

  /** Keys held or waited for. */
  get size(): number { return this.#tails.size; }
}

/** At most `limit` holders at once; the others wait in order, or leave when their signal is aborted. */
export class Limiter {
  readonly #limit: number;
  #holding = 0;
  #waiting: Array<() => void> = [];

  constructor(limit: number) { this.#limit = limit; }

  /** Whether one who asks now has to wait. */
  get isFull(): boolean { return this.#holding >= this.#limit; }

  async hold(options?: { signal?: AbortSignal | undefined }): Promise<Disposable> {
    const signal = options?.signal;
    signal?.throwIfAborted();
    if (this.#holding < this.#limit) this.#holding++;
    else await this.#wait(signal);
    let held = true;
    return { [Symbol.dispose]: () => { if (held) { held = false; this.#release(); } } };
  }

  /** A place is handed over, never freed and fought for: that keeps the order of asking. */
  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = () => { signal?.removeEventListener('abort', leave); resolve(); };
      const leave = () => { this.#waiting = this.#waiting.filter((waiter) => waiter !== enter); reject(signal?.reason as Error); };
      this.#waiting.push(enter);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#holding--;
  }
}

function unlessAborted(before: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason as Error);
    signal.addEventListener('abort', leave, { once: true });
    void before.then(() => { signal.removeEventListener('abort', leave); resolve(); });
  });
}
