// What is counted and timed for monitoring; who asks gets plain numbers, which api/metrics.ts words as Docker does.
import type { Clock } from '../lib/clock.ts';

/** The container verbs that Docker times. */
export const TIMED_ACTIONS = ['changes', 'commit', 'create', 'delete', 'start'] as const;
/** And those on networks: addresses and ports for a start, interfaces of a container in its networks, all of it back at the end. */
export const NETWORK_ACTIONS = ['allocate', 'connect', 'release'] as const;
export type TimedAction = (typeof TIMED_ACTIONS)[number];
export type NetworkAction = (typeof NETWORK_ACTIONS)[number];

/** Upper bounds in seconds. Source: what dockerd's own endpoint shows. */
export const BUCKET_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

export interface Timings {
  /** How many took at most that long, per bound of BUCKET_SECONDS; cumulative. */
  atMost: readonly number[];
  count: number;
  sumSeconds: number;
}

export interface MetricsView {
  actions: Readonly<Record<TimedAction, Timings>>;
  /** Those that there was an occasion for: dockerd, too, has no others. */
  networkActions: Readonly<Partial<Record<NetworkAction, Timings>>>;
  containers: { running: number; paused: number; stopped: number };
  healthChecks: number;
  healthChecksFailed: number;
  events: number;
  eventSubscribers: number;
}

export class Metrics {
  /** Probes run, and those that found the container unwell. */
  healthChecks = 0;
  healthChecksFailed = 0;
  readonly #clock: Clock;
  readonly #actions = new Map<TimedAction | NetworkAction, { atMost: number[]; count: number; sumSeconds: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
    for (const action of TIMED_ACTIONS) this.#actions.set(action, none());
  }

  /** Runs `work` and, when it succeeds, counts how long it took. */
  async timed<T>(action: TimedAction | NetworkAction, work: () => Promise<T>): Promise<T> {
    const begun = this.#clock.monotonicMs();
    const result = await work();
    this.observe(action, (this.#clock.monotonicMs() - begun) / 1000);
    return result;
  }

  observe(action: TimedAction | NetworkAction, seconds: number): void {
    const timings = this.#actions.get(action) ?? none();
    this.#actions.set(action, timings);
    timings.count++;
    timings.sumSeconds += seconds;
    for (const [at, bound] of BUCKET_SECONDS.entries()) if (seconds <= bound) timings.atMost[at] = (timings.atMost[at] ?? 0) + 1;
  }

  actions(): MetricsView['actions'] {
    return { changes: this.#of('changes'), commit: this.#of('commit'), create: this.#of('create'), delete: this.#of('delete'), start: this.#of('start') };
  }

  networkActions(): MetricsView['networkActions'] {
    return Object.fromEntries(NETWORK_ACTIONS.filter((action) => this.#actions.has(action)).map((action) => [action, this.#of(action)]));
  }

  #of(action: TimedAction | NetworkAction): Timings { return this.#actions.get(action) ?? none(); }
}

const none = () => ({ atMost: BUCKET_SECONDS.map(() => 0), count: 0, sumSeconds: 0 });
