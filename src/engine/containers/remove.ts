// remove and auto-remove: intent on record, task ended, snapshot gone, record gone, name free.
import { conflict } from '../../lib/errors.ts';
import type { Container } from './container.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { unmountOverlay } from './start.ts';

const SIGKILL = 9;
const KILL_WAIT_MS = 10_000;

/** Refuses a running container unless `force`. After it resolves nothing of the container is left. */
export async function removeContainer(needs: ContainerNeeds, container: Container, options: { force: boolean; volumes: boolean }): Promise<void> {
  if (container.running && options.force) await killForRemoval(needs, container);
  using _lock = await needs.table.locks.hold(container.id);
  if (needs.table.get(container.id) !== container) return; // another removal was first
  if (container.running) {
    const paused = container.state.status === 'paused';
    throw conflict(paused
      ? `You cannot remove a paused container ${container.id}. Unpause and then stop the container before attempting removal or force remove`
      : `You cannot remove a running container ${container.id}. Stop the container before attempting removal or force remove`);
  }
  await finishRemoval(needs, container);
}

async function killForRemoval(needs: ContainerNeeds, container: Container): Promise<void> {
  {
    using _lock = await needs.table.locks.hold(container.id);
    container.stopRequested = true;
    container.restartTimer?.[Symbol.dispose]();
    if (container.state.status === 'restarting') {
      container.record = { ...container.record, State: { ...container.record.State, Running: false, Restarting: false } };
      return;
    }
    if (!container.running) return;
  }
  const ended = container.nextExit.promise;
  publish(needs, container, { action: 'kill', extra: { signal: String(SIGKILL) } });
  await needs.runtime.signal(container.id, SIGKILL);
  if (container.state.status === 'paused') await needs.runtime.resume(container.id);
  const late = Promise.withResolvers<void>();
  using _timer = needs.clock.after(KILL_WAIT_MS, late.resolve);
  await Promise.race([ended, late.promise]);
}

/** Under the lock, or at boot: everything of a container that no longer runs, in the reverse order of its making. */
export async function finishRemoval(needs: ContainerNeeds, container: Container): Promise<void> {
  container.record = { ...container.record, State: { ...container.record.State, RemovalInProgress: true } };
  await needs.store.containers.save(container.record, { durable: false });
  await needs.runtime.delete(container.id);
  unmountOverlay(needs, container);
  await needs.store.layers.removeActive(container.id);
  await needs.store.containers.remove(container.id);
  needs.table.remove(container);
  for (const pending of container.pending) pending.give(undefined);
  container.pending.clear();
  publish(needs, container, { action: 'destroy' });
  container.removed.resolve({ exitCode: container.record.State.ExitCode, error: undefined });
}
