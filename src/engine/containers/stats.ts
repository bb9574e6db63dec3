// stats: one collector per container that is watched, however many watch it; each watcher has the newest sample and no queue.
import { totalmem } from 'node:os';
import type { ContainersFace, StatsFrame, StatsSample } from '../index.ts';
import { Announcement } from './announcement.ts';
import type { Container } from './container.ts';
import type { ContainerNeeds } from './needs.ts';

/** Between two samples, as Docker's clients expect them. */
const TICK_MS = 1000;

type StatsNeeds = Pick<ContainerNeeds, 'runtime' | 'clock' | 'table' | 'log'>;

/** Runs while anybody listens; its first sample is taken at once. */
class Collector {
  readonly #needs: StatsNeeds;
  readonly #container: Container;
  readonly #samples = new Announcement<StatsSample | undefined>();
  #watchers = 0;
  #stop = new AbortController();

  constructor(needs: StatsNeeds, container: Container) {
    this.#needs = needs;
    this.#container = container;
  }

  get idle(): boolean { return this.#watchers === 0; }

  /** The next sample; undefined when the container is gone. */
  next(signal: AbortSignal): Promise<StatsSample | undefined> { return this.#samples.next(signal); }

  watch(): Disposable {
    if (this.#watchers++ === 0) {
      this.#stop = new AbortController();
      void this.#run(this.#stop.signal);
    }
    return { [Symbol.dispose]: () => { if (--this.#watchers === 0) this.#stop.abort(); } };
  }

  async #run(stopped: AbortSignal): Promise<void> {
    const { clock, table, log } = this.#needs;
    await Promise.resolve(); // whoever began it listens first
    while (!stopped.aborted) {
      const gone = table.get(this.#container.id) !== this.#container || table.closing;
      const sample = gone ? undefined : await takeSample(this.#needs, this.#container).catch((error: unknown) => {
        log.warn('could not read what a container uses', { container: this.#container.id, error });
        return EMPTY;
      });
      if (stopped.aborted) return;
      this.#samples.tell(sample);
      await clock.sleep(TICK_MS, { signal: stopped }).catch(() => {}); // told to stop
    }
  }
}

const EMPTY: StatsSample = { readNs: undefined, usage: undefined, memoryBytes: 0 };

async function takeSample({ runtime, clock }: Pick<StatsNeeds, 'runtime' | 'clock'>, container: Container): Promise<StatsSample> {
  const usage = container.running && container.state.status !== 'restarting' ? await runtime.usage(container.id) : undefined;
  if (!usage) return EMPTY;
  const shared = container.hostConfig.NetworkMode === 'host'; // those are the machine's interfaces, not the container's
  return { readNs: clock.nowNanos(), usage: shared ? { ...usage, networks: {} } : usage, memoryBytes: totalmem() };
}

export function openStats(needs: StatsNeeds): ContainersFace['stats'] {
  const collectors = new Map<string, Collector>();

  async function* frames(container: Container, { stream, signal }: { stream: boolean; signal: AbortSignal }): AsyncGenerator<StatsSample> {
    const collector = collectors.get(container.id) ?? new Collector(needs, container);
    collectors.set(container.id, collector);
    using _watching = collector.watch();
    try {
      for (;;) {
        const sample = await collector.next(signal);
        if (!sample) return;
        yield sample;
      }
    } catch (error) {
      if (!signal.aborted || !stream) throw error; // who leaves a stream has seen its end
    } finally {
      queueMicrotask(() => { if (collector.idle) collectors.delete(container.id); });
    }
  }

  async function* told(container: Container, options: { stream: boolean; oneShot: boolean; signal: AbortSignal }): AsyncGenerator<StatsFrame> {
    const about = () => ({ name: container.record.Name, id: container.id });
    const quiet = !container.running || container.state.status === 'restarting';
    if (!options.stream && (quiet || options.oneShot)) {
      yield { ...about(), sample: quiet ? EMPTY : await takeSample(needs, container), before: undefined };
      return;
    }
    let before: StatsSample | undefined;
    for await (const sample of frames(container, options)) {
      // Without a stream the first sample only serves to compare the second with.
      if (options.stream || before) yield { ...about(), sample, before };
      if (!options.stream && before) return;
      before = sample;
    }
  }

  return async (name, options) => told(needs.table.find(name), options);
}
