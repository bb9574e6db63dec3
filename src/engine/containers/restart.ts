// restart: a stop and a start as one, asked for by a client, or by a health check that failed too often.
import { EngineError, kindOf, messageOf } from '../../lib/errors.ts';
import { scheduleRestart } from './backoff.ts';
import type { Container } from './container.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { removeContainer } from './remove.ts';
import { startContainer } from './start.ts';
import { stopContainer, type StopOptions } from './stop.ts';
import { decideAfterExit, startByPolicy } from './watch.ts';

/** Any exit code that counts as a failure. */
const UNHEALTHY = 1;

/** Who starts a container by hand begins its restart policy anew. not-modified when it runs, or waits to be restarted. */
export async function startByHand(needs: ContainerNeeds, container: Container, signal: AbortSignal): Promise<void> {
  await orRemove(needs, container, async () => {
    using _lock = await needs.table.hold(container);
    if (container.state.status === 'restarting') throw new EngineError('not-modified', 'container is already running'); // for Docker it runs
    forgetRestarts(container);
    await startContainer(needs, container, signal);
  });
}

export async function restartByHand(needs: ContainerNeeds, container: Container, options: StopOptions): Promise<void> {
  container.restartRequested = true;
  using _asked = { [Symbol.dispose]: () => { container.restartRequested = false; } };
  await stopIfRunning(needs, container, options);
  await orRemove(needs, container, async () => {
    using _lock = await needs.table.hold(container);
    forgetRestarts(container);
    if (!container.running) await startContainer(needs, container);
    publish(needs, container, { action: 'restart' });
  });
}

/** As balenaEngine: what its policy would restart after a failure is restarted when it has become unhealthy, after the same back-off. */
export function restartUnhealthy(needs: ContainerNeeds, container: Container): void {
  const run = container.record.State.StartedAt;
  const isStill = () => container.running && container.record.State.StartedAt === run && container.record.State.Health?.Status === 'unhealthy' && !needs.table.closing
    && container.state.status === 'running' && decideAfterExit(container, UNHEALTHY) === 'restart';
  if (!isStill()) return;
  scheduleRestart(needs, container, { ranMs: needs.clock.now() - Date.parse(run), run: () => {
    if (!isStill()) return;
    needs.log.warn(`Unhealthy container ${container.id}: restarting...`);
    stopAndStart(needs, container).catch((error: unknown) => needs.log.error('an unhealthy container could not be restarted', { container: container.id, error }));
  } });
}

/** The record does not call it a stop by hand: a daemon that dies in between must bring the container back. */
async function stopAndStart(needs: ContainerNeeds, container: Container): Promise<void> {
  await stopIfRunning(needs, container, { timeoutSeconds: undefined, stopSignal: undefined, byHand: false });
  using _lock = await needs.table.hold(container);
  if (container.running || container.record.HasBeenManuallyStopped || needs.table.closing) return; // a client was quicker
  container.stopRequested = false;
  await startByPolicy(needs, container);
  if (container.state.status === 'running') publish(needs, container, { action: 'restart' });
}

async function stopIfRunning(needs: ContainerNeeds, container: Container, options: StopOptions): Promise<void> {
  try {
    await stopContainer(needs, container, options);
  } catch (error) {
    if (kindOf(error) !== 'not-modified') throw error;
  }
}

/** A container that was to vanish after its run must not stay because it never ran. */
async function orRemove(needs: ContainerNeeds, container: Container, start: () => Promise<void>): Promise<void> {
  try {
    await start();
  } catch (error) {
    if (container.hostConfig.AutoRemove && kindOf(error) !== 'not-modified' && !container.running) {
      await removeContainer(needs, container, { force: true, volumes: true })
        .catch((failure: unknown) => needs.log.error('could not remove a container that could not be started', { container: container.id, reason: messageOf(failure) }));
    }
    throw error;
  }
}

function forgetRestarts(container: Container): void {
  if (container.running) return;
  container.restartDelayMs = 0;
  container.record = { ...container.record, RestartCount: 0 };
}
