// How much of a core passing logs on may take: of all containers together, whatever they write.
import type { Clock } from '../lib/clock.ts';

/** One part work, so many parts rest. */
const REST_PER_WORK = 3;
/** Work saved up while there was none: a burst of this length is passed on without a rest. */
const CREDIT_MS = 50;

export class Pace {
  readonly #clock: Clock;
  /** Work is allowed again from this time on. */
  #fromMs = 0;

  constructor(clock: Clock) { this.#clock = clock; }

  /** Does work that waits for nothing, and counts it. */
  work<T>(run: () => T): T {
    const began = this.#clock.monotonicMs();
    try {
      return run();
    } finally {
      const now = this.#clock.monotonicMs();
      this.#fromMs = Math.max(this.#fromMs, began - CREDIT_MS * REST_PER_WORK) + (now - began) * (1 + REST_PER_WORK);
    }
  }

  /** Until there may be more. Rejects when the signal is aborted. */
  async rest(signal: AbortSignal): Promise<void> {
    for (let waitMs = this.#fromMs - this.#clock.monotonicMs(); waitMs > 0; waitMs = this.#fromMs - this.#clock.monotonicMs()) await this.#clock.sleep(Math.ceil(waitMs), { signal });
    signal.throwIfAborted();
  }
}
