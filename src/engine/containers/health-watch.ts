// Who is checked, and when: one timer per running container that has a health check, and never a crowd of checks at once.
import { Limiter } from '../../lib/lock.ts';
import type { Health } from '../../wire/types.ts';
import type { Container } from './container.ts';
import { beginHealth, decidePlan, judge, nextCheckMs, parseHealth, type Plan } from './health.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { runProbe } from './probe.ts';

/** Checks that begin at the same time, of all containers. */
const BEGINS_AT_ONCE = 2;
/** setTimeout takes no more; a check after 24 days is asked for by nobody. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const NOTE = 'health';

export interface HealthWatch {
  /** Checks it while it runs unpaused, and ends the checks otherwise: to be called under its lock after each change of that. */
  follow(container: Container): void;
  /** Ends the checks, and the one under way, ahead of a change after which it could not be ended. */
  rest(container: Container): void;
  /** What was known before this daemon began; `follow` then goes on where the one before stopped. */
  recall(container: Container): void;
  /** No further checks; those under way are ended. */
  close(): Promise<void>;
}

type Needs = Omit<ContainerNeeds, 'health'>;
interface Checked { stop: AbortController; timer: Disposable | undefined; check: Promise<void> | undefined }

/** `unhealthy` is called without any lock when one has just become so. */
export function openHealthWatch(needs: Needs, unhealthy: (container: Container) => void): HealthWatch { return new Watch(needs, unhealthy); }

class Watch implements HealthWatch {
  readonly #needs: Needs;
  readonly #unhealthy: (container: Container) => void;
  readonly #checked = new Map<Container, Checked>();
  readonly #begins = new Limiter(BEGINS_AT_ONCE);
  #closed = false;

  constructor(needs: Needs, unhealthy: (container: Container) => void) {
    this.#needs = needs;
    this.#unhealthy = unhealthy;
  }

  follow(container: Container): void {
    const plan = decidePlan(container.record.Config);
    if (container.state.status !== 'running' || !plan || this.#closed) return this.rest(container);
    if (this.#checked.has(container)) return;
    const checked: Checked = { stop: new AbortController(), timer: undefined, check: undefined };
    this.#checked.set(container, checked);
    this.#schedule(container, plan, checked);
  }

  rest(container: Container): void {
    const checked = this.#checked.get(container);
    this.#checked.delete(container);
    checked?.timer?.[Symbol.dispose]();
    checked?.stop.abort();
  }

  recall(container: Container): void {
    const kept = parseHealth(this.#needs.runtime.notes(container.id).get(NOTE) ?? '');
    const plan = decidePlan(container.record.Config);
    if (plan) setHealth(container, kept ?? container.record.State.Health ?? beginHealth(plan, null));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const checks = [...this.#checked.values()].flatMap(({ check }) => check ?? []);
    for (const container of this.#checked.keys()) this.rest(container);
    await Promise.all(checks);
  }

  #schedule(container: Container, plan: Plan, checked: Checked): void {
    const { clock } = this.#needs;
    const { Health: health, StartedAt: startedAt } = container.record.State;
    const waitMs = nextCheckMs(health ?? { Status: 'starting', FailingStreak: 0, Log: [] }, { plan, startedAt, nowMs: clock.now() });
    checked.timer = clock.after(Math.min(waitMs, MAX_TIMER_MS), () => {
      checked.check = this.#check(container, plan, checked).catch((error: unknown) => this.#needs.log.error('health check failed in an unforeseen way', { container: container.id, error }));
    });
  }

  async #check(container: Container, plan: Plan, checked: Checked): Promise<void> {
    const { signal } = checked.stop;
    const { metrics, table } = this.#needs;
    metrics.healthChecks++;
    const result = await runProbe(this.#needs, container, { plan, begins: this.#begins, signal });
    if (signal.aborted) return; // what a paused or ended container's check says, says nothing
    if (result.ExitCode !== 0) metrics.healthChecksFailed++;
    let turned = false;
    {
      using _lock = await table.locks.hold(container.id);
      if (signal.aborted) return;
      const before = container.record.State.Health ?? { Status: 'starting', FailingStreak: 0, Log: [] };
      const health = judge(before, result, { plan, startedAt: container.record.State.StartedAt });
      setHealth(container, health);
      this.#keep(container, health);
      if (health.Status !== before.Status) publish(this.#needs, container, { action: `health_status: ${health.Status}` });
      turned = health.Status === 'unhealthy' && before.Status !== 'unhealthy';
      this.#schedule(container, plan, checked);
    }
    if (turned) this.#unhealthy(container);
  }

  /** Beside the task and not on the disk: twice a minute for every container would wear it out. */
  #keep(container: Container, health: Health): void {
    try {
      this.#needs.runtime.saveNote(container.id, { name: NOTE, text: JSON.stringify(health) });
    } catch (error) {
      this.#needs.log.warn('the health of a container could not be kept for the next daemon', { container: container.id, error });
    }
  }
}

function setHealth(container: Container, health: Health | null): void {
  container.record = { ...container.record, State: { ...container.record.State, Health: health } };
}
