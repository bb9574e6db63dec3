// remove and auto-remove: intent on record, task ended, snapshot gone, record gone, name free.
import { conflict, EngineError, kindOf } from '../../lib/errors.ts';
import { cancelRestart } from './backoff.ts';
import type { Container } from './container.ts';
import { parseLink } from './links.ts';
import { leaveMounts } from './mounts.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { followLink } from './own-files.ts';
import { isVolume } from '../volumes/volumes.ts';
import { unmountOverlay } from './start.ts';
import { endsWithin, letGo } from './stop.ts';

const SIGKILL = 9;
const KILL_WAIT_MS = 10_000;
/** A removal by force begins anew when someone starts the container meanwhile; who starts it more often than that means it. */
const KILL_TRIES = 3;

/** Refuses a running container unless `force`. After it resolves nothing of the container is left. */
export async function removeContainer(needs: ContainerNeeds, container: Container, options: { force: boolean; volumes: boolean }): Promise<void> {
  for (let tries = options.force ? KILL_TRIES : 0; ; tries--) {
    if (tries > 0) await killForRemoval(needs, container);
    using _lock = await needs.table.locks.hold(container.id);
    if (needs.table.get(container.id) !== container) return; // another removal was first
    if (!container.running) return await finishRemoval(needs, container, options);
    if (tries > 0) continue; // a start came between the kill and this lock
    const { status } = container.state;
    throw conflict(`You cannot remove a ${status} container ${container.id}. ${status === 'paused' ? 'Unpause and then stop' : 'Stop'} the container before attempting removal or force remove`);
  }
}

/** `word`: "self/db", as the one who links calls the other; both stay. Error: system, for a name that is a container's own. */
export async function removeLink(needs: ContainerNeeds, word: string): Promise<void> {
  const [self = '', alias] = word.replace(/^\//, '').split('/', 2);
  if (alias === undefined) throw new EngineError('system', 'Conflict, cannot remove the default link name of the container');
  const container = needs.table.find(self);
  using _lock = await needs.table.hold(container);
  const hostConfig = { ...container.hostConfig, Links: (container.hostConfig.Links ?? []).filter((link) => parseLink(link).alias !== alias) };
  await needs.store.containers.saveHostConfig(container.id, hostConfig);
  container.hostConfig = hostConfig;
  await followLink(needs, container, { alias, link: undefined });
}

/** Fine when it does not run; a start or restart under way is waited for. */
async function killForRemoval(needs: ContainerNeeds, container: Container): Promise<void> {
  let ended: Promise<unknown>;
  {
    using _lock = await needs.table.locks.hold(container.id);
    if (!container.running) return;
    container.stopRequested = true;
    if (container.state.status === 'restarting') return await cancelRestart(needs, container);
    ended = container.ended();
    publish(needs, container, { action: 'kill', extra: { signal: String(SIGKILL) } });
    await needs.runtime.signal(container.id, SIGKILL);
    if (container.state.status === 'paused') await letGo(needs, container);
  }
  if (!await endsWithin(needs, container, { ended, ms: KILL_WAIT_MS })) throw new EngineError('system', `could not kill container ${container.id}: it did not end within ${KILL_WAIT_MS / 1000} s of SIGKILL`);
}

/** Under the lock, or at boot: everything of a container that no longer runs, in the reverse order of its making. */
export async function finishRemoval(needs: ContainerNeeds, container: Container, { volumes }: { volumes: boolean }): Promise<void> {
  container.record = { ...container.record, State: { ...container.record.State, RemovalInProgress: true } };
  await needs.store.containers.save(container.record, { durable: false });
  await needs.runtime.delete(container.id);
  await needs.logs.release(container.id);
  unmountOverlay(needs, container);
  await leaveMounts(needs, container);
  await needs.store.layers.removeActive(container.id);
  container.volumesLeave = volumes;
  if (volumes) await removeAnonymous(needs, container); // while its record still tells that they are its own
  await needs.store.containers.remove(container.id);
  needs.table.remove(container);
  needs.execs.forget(container);
  publish(needs, container, { action: 'destroy' });
  container.announceRemoval();
}

/** Volumes that no client ever gave a name, unless another container has them too. One that resists does not keep its container. */
async function removeAnonymous(needs: ContainerNeeds, container: Container): Promise<void> {
  for (const point of Object.values(container.record.MountPoints)) {
    if (!isVolume(point) || point.Spec.Source || needs.volumes.users(point.Name, container.id).length > 0) continue;
    try { await needs.volumes.remove(point.Name, { but: container.id }); } catch (error) {
      if (kindOf(error) !== 'not-found') needs.log.warn('could not remove a volume with its container', { volume: point.Name, container: container.id, error });
    }
  }
}
