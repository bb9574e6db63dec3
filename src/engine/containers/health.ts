// Health checks: what is to be run and when, and what a result means. Pure.
import { parseNanos, ZERO_TIME } from '../../lib/clock.ts';
import { formatMillis } from '../../wire/duration.ts';
import type { ContainerConfig, Health, HealthResult } from '../../wire/types.ts';

/** Source: Docker's documentation of HEALTHCHECK. */
const DEFAULT_INTERVAL_MS = 30_000;
const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_START_INTERVAL_MS = 5_000;
const DEFAULT_RETRIES = 3;
/** Results that are kept, and what is kept of the output of each. */
const MAX_LOG = 5;
const MAX_OUTPUT_BYTES = 4096;

/** What the checks of one container are like. */
export interface Plan {
  argv: readonly string[];
  intervalMs: number;
  timeoutMs: number;
  startPeriodMs: number;
  startIntervalMs: number;
  retries: number;
}

/** undefined for a container that is not checked. */
export function decidePlan({ Healthcheck: wanted, Shell: shell }: Pick<ContainerConfig, 'Healthcheck' | 'Shell'>): Plan | undefined {
  const [kind, ...words] = wanted?.Test ?? [];
  if (!wanted || (kind !== 'CMD' && kind !== 'CMD-SHELL')) return undefined;
  const ms = (nanos: number | undefined, otherwise: number) => (nanos ? nanos / 1e6 : otherwise);
  return {
    argv: kind === 'CMD' ? words : [...shell?.length ? shell : ['/bin/sh', '-c'], ...words],
    intervalMs: ms(wanted.Interval, DEFAULT_INTERVAL_MS), timeoutMs: ms(wanted.Timeout, DEFAULT_TIMEOUT_MS), startPeriodMs: ms(wanted.StartPeriod, 0),
    startIntervalMs: ms(wanted.StartInterval, DEFAULT_START_INTERVAL_MS), retries: wanted.Retries ? Math.max(1, wanted.Retries) : DEFAULT_RETRIES,
  };
}

/** At the start of a run: nothing is known yet, but the log of the run before is kept, as Docker keeps it. */
export const beginHealth = (plan: Plan | undefined, before: Health | null | undefined): Health | null =>
  (plan ? { Status: 'starting', FailingStreak: 0, Log: before?.Log ?? [] } : before ?? null);

/** Nobody checks any more, since the container is paused or has ended: Docker calls that unhealthy. */
export const restHealth = (health: Health | null | undefined): Health | null =>
  (health && health.Status !== 'none' ? { ...health, Status: 'unhealthy' } : health ?? null);

/** `startedAt` is when the run began. */
export function judge(health: Health, result: HealthResult, { plan, startedAt }: { plan: Plan; startedAt: string }): Health {
  const Log = [...(health.Log ?? []).slice(1 - MAX_LOG), result];
  if (result.ExitCode === 0) return { Status: 'healthy', FailingStreak: 0, Log };
  // Until it has been well once, what fails while it comes up does not count.
  if (health.Status === 'starting' && isWithin(msBetween(startedAt, result.Start), plan.startPeriodMs)) return { ...health, Log };
  const FailingStreak = health.FailingStreak + 1;
  return { Status: FailingStreak >= plan.retries ? 'unhealthy' : health.Status, FailingStreak, Log };
}

/** From the end of the last check, or the start of the run, to the next check. `nowMs` is of the wall clock, which may have been set meanwhile. */
export function nextCheckMs(health: Health, { plan, startedAt, nowMs }: { plan: Plan; startedAt: string; nowMs: number }): number {
  const comesUp = health.Status === 'starting' && isWithin(nowMs - Date.parse(startedAt), plan.startPeriodMs);
  const interval = comesUp ? plan.startIntervalMs : plan.intervalMs;
  const ended = health.Log?.at(-1)?.End ?? ZERO_TIME;
  const since = nowMs - Math.max(Date.parse(ended), Date.parse(startedAt));
  return Math.min(interval, Math.max(0, interval - Math.max(0, since)));
}

/** The first bytes of an output, with three dots when there were more. */
export class CutOutput {
  readonly #parts: Uint8Array[] = [];
  #bytes = 0;
  #cut = false;

  add(bytes: Uint8Array): void {
    const fits = bytes.subarray(0, MAX_OUTPUT_BYTES - this.#bytes);
    if (fits.length > 0) this.#parts.push(Uint8Array.from(fits));
    this.#bytes += fits.length;
    this.#cut ||= fits.length < bytes.length;
  }

  text(): string { return new TextDecoder().decode(Buffer.concat(this.#parts)) + (this.#cut ? '...' : ''); }
}

/** As Docker words it; what the check had said by then helps whoever looks for the reason. */
export const timeoutWords = (timeoutMs: number, said: string): string => `Health check exceeded timeout (${formatMillis(timeoutMs)})${said === '' ? '' : `: ${said}`}`;

/** What was kept over a restart of the daemon; undefined when it cannot be read. */
export function parseHealth(text: string): Health | undefined {
  try {
    const value = JSON.parse(text) as Partial<Health> | null;
    const known = (['starting', 'healthy', 'unhealthy'] as const).find((status) => status === value?.Status);
    return known && typeof value?.FailingStreak === 'number' && Array.isArray(value.Log) ? { Status: known, FailingStreak: value.FailingStreak, Log: value.Log } : undefined;
  } catch { return undefined; }
}

/** A time before the beginning says that the clock was set back: then nothing more is forgiven, or it would be for as long. */
const isWithin = (passedMs: number, periodMs: number): boolean => passedMs >= 0 && passedMs < periodMs;

const msBetween = (from: string, to: string): number => Number((parseNanos(to) ?? 0n) - (parseNanos(from) ?? 0n)) / 1e6;
