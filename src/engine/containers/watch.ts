// Exits and what follows: record, clean up, tell, then the restart policy. The same code runs for exits found at boot.
import { formatNanos } from '../../lib/clock.ts';
import type { TaskExit } from '../../runtime/index.ts';
import { ranMsOf, resumeRestart, scheduleRestart } from './backoff.ts';
import type { Container } from './container.ts';
import { restHealth } from './health.ts';
import { leaveMounts } from './mounts.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { removeContainer } from './remove.ts';
import { endedNetwork, publishNetwork } from './run-network.ts';
import { startContainer, unmountOverlay } from './start.ts';

/** What is to be done after an exit. Pure. */
export function decideAfterExit(container: Pick<Container, 'hostConfig' | 'record' | 'stopRequested' | 'restartRequested'>, exitCode: number): 'restart' | 'remove' | 'nothing' {
  const { RestartPolicy: policy, AutoRemove: autoRemove } = container.hostConfig;
  const stopped = container.stopRequested || container.record.HasBeenManuallyStopped;
  if (!stopped) {
    if (policy.Name === 'always' || policy.Name === 'unless-stopped') return 'restart';
    if (policy.Name === 'on-failure' && exitCode !== 0 && (policy.MaximumRetryCount === 0 || container.record.RestartCount < policy.MaximumRetryCount)) return 'restart';
  }
  return autoRemove && !container.restartRequested ? 'remove' : 'nothing';
}

/** Takes an exit in; the container's lock is taken here. Told twice of one exit, it does nothing the second time. */
export async function handleExit(needs: ContainerNeeds, container: Container, exit: TaskExit): Promise<void> {
  let next: 'restart' | 'remove' | 'nothing';
  {
    using _lock = await needs.table.locks.hold(container.id);
    if (!container.running || container.state.status === 'restarting') return;
    next = decideAfterExit(container, exit.exitCode);
    container.ending = true;
    try {
      await recordExit(needs, container, { exit, restarting: next === 'restart' });
    } catch (error) {
      container.announceExit({ exitCode: exit.exitCode, error: undefined }); // what could not be cleared away is no reason to wait for ever
      throw error;
    }
    if (next !== 'remove') container.announceExit({ exitCode: exit.exitCode, error: undefined });
    if (next === 'restart') scheduleRestart(needs, container, { ranMs: ranMsOf(container), run: () => restartLater(needs, container) });
  }
  if (next !== 'remove') return;
  // Who waits for the end is told when the name is free: a client that stops a container goes on to make the next one under its name.
  try { await removeContainer(needs, container, { force: true, volumes: true }); }
  finally { container.announceExit({ exitCode: exit.exitCode, error: undefined }); }
}

/**
 * The record first: until it holds the exit code, the runtime's own note of it is the only one, and a daemon that dies in between must
 * still find it. Where the record cannot be written (a full disk) that note stays for the next start.
 */
async function recordExit(needs: ContainerNeeds, container: Container, { exit, restarting }: { exit: TaskExit; restarting: boolean }): Promise<void> {
  const { settings, left } = endedNetwork(container);
  const record = {
    ...container.record, NetworkSettings: settings, RestartCount: container.record.RestartCount + (restarting ? 1 : 0), // as Docker: the one that is being waited for counts
    State: {
      ...container.record.State, Running: restarting, Restarting: restarting, Paused: false, Pid: 0, ExitCode: exit.exitCode, OOMKilled: exit.oomKilled,
      FinishedAt: formatNanos(exit.finishedAtNs), Error: '', Health: restHealth(container.record.State.Health),
    },
  };
  needs.health.rest(container);
  const saved = await needs.store.containers.save(record, { durable: false }).then(() => true, (error: unknown) => {
    needs.log.error('could not record the exit of a container; the next start of the daemon will', { container: container.id, error });
    return false;
  });
  container.record = record;
  needs.execs.endOf(container);
  needs.logs.ended(container.id);
  await Promise.all([saved ? needs.runtime.delete(container.id) : undefined, needs.metrics.timed('release', async () => needs.network.sandbox(container.id)?.release())]);
  unmountOverlay(needs, container);
  if (exit.oomKilled && !container.oomTold) publish(needs, container, { action: 'oom' }); // found at boot: nobody was there to tell it
  container.oomTold = false;
  publish(needs, container, { action: 'die', extra: { exitCode: String(exit.exitCode) } });
  for (const [name, id] of left) publishNetwork(needs, container, { action: 'disconnect', name, id });
  for (const stop of container.stops) {
    container.stops.delete(stop);
    publish(needs, container, { action: 'stop' });
  }
  await leaveMounts(needs, container);
}

/** A wait that an earlier daemon began. Under the lock. */
export function awaitRestartAgain(needs: ContainerNeeds, container: Container): void {
  resumeRestart(needs, container, { ranMs: ranMsOf(container), run: () => restartLater(needs, container) });
}

function restartLater(needs: ContainerNeeds, container: Container): void {
  restart(needs, container).catch((error: unknown) => needs.log.error('restart failed', { container: container.id, error }));
}

async function restart(needs: ContainerNeeds, container: Container): Promise<void> {
  using _lock = await needs.table.locks.hold(container.id);
  container.restartTimer = undefined;
  if (container.state.status !== 'restarting' || container.stopRequested || needs.table.closing) return;
  await startByPolicy(needs, container, { counts: false });
}

/** Under the lock. One that cannot be started waits for its next turn, as often as its policy allows; so one that fails is no error here. */
export async function startByPolicy(needs: ContainerNeeds, container: Container, { counts = true }: { counts?: boolean } = {}): Promise<void> {
  if (counts) container.record = { ...container.record, RestartCount: container.record.RestartCount + 1 };
  try {
    await startContainer(needs, container);
  } catch (error) {
    needs.log.warn('restart policy could not start a container', { container: container.id, error });
    if (decideAfterExit(container, container.record.State.ExitCode) !== 'restart') return;
    container.record = { ...container.record, RestartCount: container.record.RestartCount + 1, State: { ...container.record.State, Running: true, Restarting: true } };
    await needs.store.containers.save(container.record, { durable: false });
    scheduleRestart(needs, container, { ranMs: 0, run: () => restartLater(needs, container) });
  }
}
