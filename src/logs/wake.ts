// Sleeps until a log is written to. inotify is asked for one event and let go: a container that writes all the time would tell of nothing else.
import { watch } from 'node:fs';
import type { Clock } from '../lib/clock.ts';
import { errnoOf } from '../lib/errors.ts';

export class Wake {
  readonly #clock: Clock;
  #rung = false;
  #ring: () => void = () => {};

  constructor(clock: Clock) { this.#clock = clock; }

  ring(): void {
    this.#rung = true;
    this.#ring();
  }

  /** For `ms` or until it is rung; a ring since the last wait counts. */
  async wait(ms: number): Promise<void> {
    if (!this.#rung) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#ring = resolve;
      using _timer = this.#clock.after(ms, resolve);
      await promise;
    }
    this.#rung = false;
  }

  /** Rings at the next change of `path`; undefined when that cannot be told. A change before it is not: look again after this. */
  onChange(path: string): Disposable | undefined {
    try {
      const watcher = watch(path, { persistent: false }, () => { watcher.close(); this.ring(); });
      watcher.on('error', () => this.ring());
      return { [Symbol.dispose]: () => watcher.close() };
    } catch (error) {
      if (['ENOENT', 'ENOSPC', 'EMFILE'].includes(errnoOf(error) ?? '')) return undefined;
      throw error;
    }
  }
}
