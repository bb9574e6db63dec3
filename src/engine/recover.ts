// After a start: what the records say against what the kernel and the runtime show. The only way to begin.
import type { Observed } from '../runtime/index.ts';
import { messageOf } from '../lib/errors.ts';
import { Container } from './containers/container.ts';
import type { ContainerNeeds } from './containers/needs.ts';
import { finishRemoval, removeContainer } from './containers/remove.ts';
import { startContainer, unmountOverlay } from './containers/start.ts';
import { stateOf, type State } from './containers/state.ts';
import { handleExit } from './containers/watch.ts';

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
export async function recover(needs: ContainerNeeds): Promise<Container[]> {
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
  const wanted: Container[] = [];
  const work = queue[Symbol.iterator]();
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (const container of work) {
      try {
        if (await repair(needs, container)) wanted.push(container);
      } catch (error) {
        needs.log.error('could not repair a container after the start', { container: container.id, error });
      }
    }
  }));
  return wanted;
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

/** True when the restart policy wants it running. */
async function repair(needs: ContainerNeeds, container: Container): Promise<boolean> {
  const restarting = container.state.status === 'restarting';
  if (restarting) container.record = { ...container.record, State: { ...container.record.State, Running: false, Restarting: false } };
  const observed = await needs.runtime.observe(container.id);
  const decision = decideRepair(stateOf(container.record.State), observed, needs.clock.nowNanos());
  if (decision.do !== 'nothing') needs.log.info('container found after the start', { container: container.id, repair: decision.do });
  switch (decision.do) {
    case 'adopt':
      container.record = { ...container.record, State: { ...container.record.State, Pid: decision.pid, Paused: decision.paused } };
      await needs.runtime.adopt(container.id);
      return false;
    case 'finish-removal':
      await finishRemoval(needs, container);
      return false;
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
    return false;
  }
  return wantsToRun(container);
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

function wantsToRun(container: Container): boolean {
  if (!container.record.HasBeenStartedBefore || container.running) return false;
  const { Name: policy, MaximumRetryCount: retries } = container.hostConfig.RestartPolicy;
  switch (policy) {
    case 'always': return true;
    case 'unless-stopped': return !container.record.HasBeenManuallyStopped;
    case 'on-failure': return !container.record.HasBeenManuallyStopped && container.record.State.ExitCode !== 0 && (retries === 0 || container.record.RestartCount < retries);
    default: return false;
  }
}

/** After the API listens: the restart policies of what did not survive. */
export async function startWanted(needs: ContainerNeeds, wanted: readonly Container[]): Promise<void> {
  for (const container of wanted) {
    if (needs.table.closing) return;
    try {
      using _lock = await needs.table.locks.hold(container.id);
      if (needs.table.get(container.id) === container && !container.running) await startContainer(needs, container);
    } catch (error) {
      needs.log.warn('restart policy could not start a container', { container: container.id, reason: messageOf(error) });
    }
  }
}
