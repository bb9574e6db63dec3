// The wait between an exit and the restart that a policy asks for: how long, and how it is called off.
import type { Container } from './container.ts';
import type { ContainerNeeds } from './needs.ts';

/** Source: Docker's documentation of --restart: 100 ms, doubled up to a minute, begun anew after ten good seconds. */
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 60_000;
const GOOD_RUN_MS = 10_000;
/** More would only pass the longest delay. */
const MOST_DOUBLINGS = 10;

/** The caller holds the lock. `run` is called once, unless the wait is called off or begun anew before. */
export function scheduleRestart(needs: ContainerNeeds, container: Container, { ranMs, run }: { ranMs: number; run: () => void }): void {
  container.restartDelayMs = ranMs >= GOOD_RUN_MS || container.restartDelayMs === 0 ? FIRST_DELAY_MS : Math.min(container.restartDelayMs * 2, LONGEST_DELAY_MS);
  container.restartTimer?.[Symbol.dispose]();
  container.restartTimer = needs.clock.after(container.restartDelayMs, run);
}

/** The same for a wait that an earlier daemon began, of which only the record is left: the doubling is read off the count of restarts. */
export function resumeRestart(needs: ContainerNeeds, container: Container, { ranMs, run }: { ranMs: number; run: () => void }): void {
  const { RestartCount: count, State: { FinishedAt: endedAt } } = container.record;
  container.restartDelayMs = ranMs >= GOOD_RUN_MS ? FIRST_DELAY_MS : Math.min(FIRST_DELAY_MS * 2 ** Math.min(Math.max(0, count - 1), MOST_DOUBLINGS), LONGEST_DELAY_MS);
  const passedMs = Math.max(0, needs.clock.now() - Date.parse(endedAt)); // a clock that was set back must not lengthen it
  container.restartTimer?.[Symbol.dispose]();
  container.restartTimer = needs.clock.after(Math.max(0, container.restartDelayMs - passedMs), run);
}

/** How long its last run was. */
export const ranMsOf = ({ record: { State } }: Pick<Container, 'record'>): number => Date.parse(State.FinishedAt) - Date.parse(State.StartedAt);

/** Ends a wait for the back-off: the container is then simply exited, and whoever waits for its end is told. The caller holds the lock. */
export async function cancelRestart(needs: ContainerNeeds, container: Container): Promise<void> {
  container.restartTimer?.[Symbol.dispose]();
  container.restartTimer = undefined;
  if (container.state.status !== 'restarting') return;
  container.record = { ...container.record, State: { ...container.record.State, Running: false, Restarting: false } };
  await needs.store.containers.save(container.record, { durable: false });
  container.announceExit({ exitCode: container.record.State.ExitCode, error: undefined });
}
