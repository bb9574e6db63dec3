// After a start: what the records say against what the kernel and the runtime show. The only way to begin.
import type { Observed } from '../runtime/index.ts';
import { Container } from './containers/container.ts';
import { adoptExecs } from './containers/exec-run.ts';
import { logSubject } from './containers/log.ts';
import type { ContainerNeeds } from './containers/needs.ts';
import { finishRemoval, removeContainer } from './containers/remove.ts';
import { adoptNetwork } from './containers/run-network.ts';
import { unmountOverlay } from './containers/start.ts';
import { stateOf, type State } from './containers/state.ts';
import { handleExit } from './containers/watch.ts';
import { wantsToRun, type Wanted } from './wanted.ts';

/** The exit code of a run whose end nobody saw: the machine went down with it. */
export const EXIT_UNKNOWN = 255;
/** Containers are looked at so many at a time: each look may run crun. */
const AT_ONCE = 4;

export type Repair =
  | { do: 'adopt'; pid: number; paused: boolean }
  | { do: 'kill-orphan' }
  | { do: 'record-exit'; exitCode: number; finishedAtNs: bigint; oomKilled: boolean }
  | { do: 'finish-removal' }
  | { do: 'nothing' };

/** Pure: what is to be done about one container. */
export function decideRepair(recorded: State, observed: Observed, nowNs: bigint): Repair {
  if (recorded.status === 'removing') return { do: 'finish-removal' };
  const believedAlive = recorded.status === 'running' || recorded.status === 'paused';
  if (observed.task === 'alive' && observed.waiting && believedAlive) return { do: 'record-exit', exitCode: EXIT_UNKNOWN, finishedAtNs: nowNs, oomKilled: false };
  if (observed.task === 'alive') return believedAlive ? { do: 'adopt', pid: observed.pid, paused: observed.paused } : { do: 'kill-orphan' };
  if (!believedAlive) return { do: 'nothing' };
  return {
    do: 'record-exit', exitCode: observed.exit?.exitCode ?? EXIT_UNKNOWN,
    finishedAtNs: observed.exit?.finishedAtNs ?? nowNs, oomKilled: observed.exit?.oomKilled ?? false,
  };
}

/** Loads every container, repairs each, and gives the list of those whose restart policy wants them running. One bad container never stops the boot. */
export async function recover(needs: ContainerNeeds): Promise<Wanted[]> {
  const queue = needs.store.containers.loaded().map((stored) => new Container(stored));
  for (const container of queue) {
    try {
      needs.table.reserveName(container.name, container.id).keep();
    } catch (error) {
      needs.log.error('two containers have one name; this one can be reached by its ID only', { container: container.id, error });
    }
    needs.table.add(container);
  }
  await endStrangers(needs);
  const wanted: Wanted[] = [];
  const work = queue[Symbol.iterator]();
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (const container of work) {
      try {
        const how = await repair(needs, container);
        if (how) wanted.push({ container, how });
      } catch (error) {
        needs.log.error('could not repair a container after the start', { container: container.id, error });
      }
    }
  }));
  needs.volumes.letGoOfOthers();
  unmountStrays(needs);
  await endLostExecs(needs, queue);
  for (const container of queue) needs.health.follow(container);
  return wanted;
}

/** Root file systems that were mounted to make a container that never was; their snapshots are swept at the next start. */
function unmountStrays(needs: ContainerNeeds): void {
  const own = new Set(needs.table.all().map(({ id }) => needs.store.layers.active(id)?.mergedDir));
  const stray = needs.kernel.mounts.list().filter(({ target }) => target.startsWith(`${needs.store.root}/overlay2/`) && target.endsWith('/merged') && !own.has(target));
  for (const { target } of stray) {
    try { needs.kernel.mounts.unmount(target, { lazy: true }); } catch (error) { needs.log.warn('could not unmount what no container has', { target, error }); }
  }
}

/** Those of which nobody knows, such as a health check that was under way. */
async function endLostExecs(needs: ContainerNeeds, containers: readonly Container[]): Promise<void> {
  try {
    await needs.runtime.endExecs(new Set(containers.flatMap(({ execIds }) => [...execIds])));
  } catch (error) {
    needs.log.error('could not end what an earlier daemon ran in containers', { error });
  }
}

/** Tasks without a record: what they belonged to is gone, and nobody could stop them by name. */
async function endStrangers(needs: ContainerNeeds): Promise<void> {
  for (const id of await needs.runtime.known()) {
    if (needs.table.get(id)) continue;
    needs.log.warn('ending a task that belongs to no container', { container: id });
    try {
      await needs.runtime.delete(id);
      unmountOverlay(needs, { id });
    } catch (error) {
      needs.log.error('could not end a task that belongs to no container', { container: id, error });
    }
  }
}

/** How it comes back, when its restart policy wants it to. */
async function repair(needs: ContainerNeeds, container: Container): Promise<Wanted['how'] | undefined> {
  const restarting = container.state.status === 'restarting';
  const observed = await needs.runtime.observe(container.id);
  const decision = decideRepair(stateOf(container.record.State), observed, needs.clock.nowNanos());
  if (decision.do !== 'nothing') needs.log.info('container found after the start', { container: container.id, repair: decision.do });
  if (decision.do !== 'adopt') needs.logs.adopt(logSubject(needs, container), { running: false });
  switch (decision.do) {
    case 'adopt':
      container.record = { ...container.record, State: { ...container.record.State, Pid: decision.pid, Paused: decision.paused } };
      needs.volumes.adopt(container);
      await keepNetwork(needs, container, decision.pid);
      needs.health.recall(container);
      await adoptExecs(needs, container);
      needs.logs.adopt(logSubject(needs, container), { running: true });
      await needs.runtime.adopt(container.id);
      return undefined;
    case 'finish-removal':
      await finishRemoval(needs, container, { volumes: container.hostConfig.AutoRemove });
      return undefined;
    case 'kill-orphan':
      await needs.runtime.delete(container.id);
      unmountOverlay(needs, container);
      break;
    case 'record-exit':
      await recordLostExit(needs, container, decision);
      break;
    case 'nothing':
      // The daemon before may have died between recording an exit and cleaning up behind it.
      if (observed.task === 'gone' && observed.exit) await needs.runtime.delete(container.id);
      unmountOverlay(needs, container);
  }
  if (container.hostConfig.AutoRemove && needs.table.get(container.id) && container.record.HasBeenStartedBefore) {
    await removeContainer(needs, container, { force: true, volumes: true });
    return undefined;
  }
  if (restarting && wantsToRun(container)) return 'resume';
  if (restarting) await endRestarting(needs, container);
  if (!wantsToRun(container)) return undefined;
  return decision.do === 'record-exit' && observed.task === 'gone' && observed.exit ? 'again' : 'anew';
}

/** A container whose network is out of order runs on: to end it would help nobody. */
async function keepNetwork(needs: ContainerNeeds, container: Container, pid: number): Promise<void> {
  try {
    await adoptNetwork(needs, container, pid);
  } catch (error) {
    needs.log.error('a container runs on without its network, until it is started again', { container: container.id, error });
  }
}

/** It waited for a restart that its policy no longer asks for. */
async function endRestarting(needs: ContainerNeeds, container: Container): Promise<void> {
  container.record = { ...container.record, State: { ...container.record.State, Running: false, Restarting: false } };
  await needs.store.containers.save(container.record, { durable: false });
}

/** An exit with a known code is treated like one that just happened, policy and all, but the restart is left to the end of the boot. */
async function recordLostExit(needs: ContainerNeeds, container: Container, exit: { exitCode: number; finishedAtNs: bigint; oomKilled: boolean }): Promise<void> {
  const policy = container.hostConfig.RestartPolicy;
  container.hostConfig = { ...container.hostConfig, RestartPolicy: { Name: 'no', MaximumRetryCount: 0 } };
  try {
    await handleExit(needs, container, exit);
  } finally {
    container.hostConfig = { ...container.hostConfig, RestartPolicy: policy };
  }
}
