// The wait between an exit and the restart that a policy asks for: how long, and how it is called off.
import type { Container } from './container.ts';
import type { ContainerNeeds } from './needs.ts';

/** Source: Docker's documentation of --restart: 100 ms, doubled up to a minute, begun anew after ten good seconds. */
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 60_000;
const GOOD_RUN_MS = 10_000;

/** The caller holds the lock. `run` is called once, unless the wait is called off or begun anew before. */
export function scheduleRestart(needs: ContainerNeeds, container: Container, run: () => void): void {
  const ranMs = Date.parse(container.record.State.FinishedAt) - Date.parse(container.record.State.StartedAt);
  container.restartDelayMs = ranMs >= GOOD_RUN_MS || container.restartDelayMs === 0 ? FIRST_DELAY_MS : Math.min(container.restartDelayMs * 2, LONGEST_DELAY_MS);
  container.restartTimer?.[Symbol.dispose]();
  container.restartTimer = needs.clock.after(container.restartDelayMs, run);
}

/** Ends a wait for the back-off: the container is then simply exited, and whoever waits for its end is told. The caller holds the lock. */
export async function cancelRestart(needs: ContainerNeeds, container: Container): Promise<void> {
  container.restartTimer?.[Symbol.dispose]();
  container.restartTimer = undefined;
  if (container.state.status !== 'restarting') return;
  container.record = { ...container.record, State: { ...container.record.State, Running: false, Restarting: false } };
  await needs.store.containers.save(container.record, { durable: false });
  container.announceExit({ exitCode: container.record.State.ExitCode, error: undefined });
}
