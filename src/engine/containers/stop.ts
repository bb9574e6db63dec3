// stop, kill, pause, unpause: signals and what they mean for the record.
import { conflict, EngineError } from '../../lib/errors.ts';
import { cancelRestart } from './backoff.ts';
import type { Container } from './container.ts';
import { restHealth } from './health.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { parseSignal } from './signals.ts';

const SIGKILL = 9;
const DEFAULT_STOP_SECONDS = 10;
/** After SIGKILL the kernel needs a moment; a task in uninterruptible sleep may never end. */
const KILL_WAIT_MS = 10_000;

/** `byHand`, unless said otherwise: its restart policy remembers that it was stopped. */
export interface StopOptions { timeoutSeconds: number | undefined; stopSignal: string | undefined; signal?: AbortSignal; byHand?: boolean }

/** Stop signal, time to end, then SIGKILL. Resolves when the exit is on record; not-modified when it does not run. */
export async function stopContainer(needs: ContainerNeeds, container: Container, options: StopOptions): Promise<void> {
  const stopSignal = parseSignal(options.stopSignal || container.record.Config.StopSignal || 'SIGTERM');
  const seconds = options.timeoutSeconds ?? container.record.Config.StopTimeout ?? DEFAULT_STOP_SECONDS;
  const run = await begin(needs, container, { stopSignal, byHand: options.byHand ?? true });
  if (run === undefined) return publish(needs, container, { action: 'stop' });
  const { ended } = run;
  const stop = {};
  container.stops.add(stop);
  using _waiting = { [Symbol.dispose]: () => { container.stops.delete(stop); } };
  if (!await endsWithin(needs, container, { ended, ms: seconds < 0 ? undefined : seconds * 1000 })) {
    needs.log.info('container did not stop in time, killing it', { container: container.id, seconds });
    publish(needs, container, { action: 'kill', extra: { signal: String(SIGKILL) } });
    await needs.runtime.signal(container.id, SIGKILL);
    if (!await endsWithin(needs, container, { ended, ms: KILL_WAIT_MS })) throw new EngineError('system', `cannot stop container: ${container.id}: it did not end within ${KILL_WAIT_MS / 1000} s of SIGKILL`);
  }
}

/** Under the lock: the intent on record, the signal sent. Gives the end to wait for, or undefined when a restart was only called off. */
async function begin(needs: ContainerNeeds, container: Container, { stopSignal, byHand }: { stopSignal: number; byHand: boolean }): Promise<{ ended: Promise<unknown> } | undefined> {
  using _lock = await needs.table.locks.hold(container.id);
  if (!container.running) throw new EngineError('not-modified', 'container is already stopped');
  container.stopRequested = true;
  if (byHand) container.record = { ...container.record, HasBeenManuallyStopped: true };
  if (container.state.status === 'restarting') {
    await cancelRestart(needs, container);
    return undefined;
  }
  await needs.store.containers.save(container.record, { durable: false });
  const ended = container.ended();
  publish(needs, container, { action: 'kill', extra: { signal: String(stopSignal) } });
  await deliver(needs, container, stopSignal);
  return { ended };
}

/** A paused container is let go first, or it would never see the signal. */
async function deliver(needs: ContainerNeeds, container: Container, number: number): Promise<void> {
  await needs.runtime.signal(container.id, number);
  if (container.state.status === 'paused') {
    await letGo(needs, container);
    container.record = { ...container.record, State: { ...container.record.State, Paused: false } };
    needs.health.follow(container);
    if (number !== SIGKILL) publish(needs, container, { action: 'unpause' });
  }
}

/** A paused task is let go; one that was killed in its pause may be gone already. */
export async function letGo(needs: Pick<ContainerNeeds, 'runtime'>, { id }: Pick<Container, 'id'>): Promise<void> {
  await needs.runtime.resume(id).catch(async (error: unknown) => { if (await needs.runtime.signal(id, 0)) throw error; });
}

/** Whether its program ends in time. One that did, by its record, is waited for until all of it is cleared away: there is nothing to kill any more. */
export async function endsWithin(needs: Pick<ContainerNeeds, 'clock'>, container: Pick<Container, 'running'>, { ended, ms }: { ended: Promise<unknown>; ms: number | undefined }): Promise<boolean> {
  const late = Promise.withResolvers<'late'>();
  using _timer = ms === undefined ? undefined : needs.clock.after(ms, () => late.resolve('late'));
  if (await Promise.race([ended, late.promise]) === 'late' && container.running) return false;
  await ended;
  return true;
}

/** One signal; SIGKILL waits until the exit is on record. conflict when it does not run. */
export async function killContainer(needs: ContainerNeeds, container: Container, word: string | undefined): Promise<void> {
  const number = parseSignal(word || 'SIGKILL');
  let ended: Promise<unknown>;
  {
    using _lock = await needs.table.locks.hold(container.id);
    if (!container.running) throw conflict(`Container ${container.id} is not running`);
    if (container.state.status === 'restarting') return await cancelRestart(needs, container);
    const stops = number === SIGKILL || number === parseSignal(container.record.Config.StopSignal || 'SIGTERM');
    if (stops) {
      container.stopRequested = true;
      container.record = { ...container.record, HasBeenManuallyStopped: true };
      await needs.store.containers.save(container.record, { durable: false });
    }
    ended = container.ended();
    publish(needs, container, { action: 'kill', extra: { signal: String(number) } });
    if (stops) await deliver(needs, container, number);
    else await needs.runtime.signal(container.id, number);
  }
  if (number === SIGKILL) await endsWithin(needs, container, { ended, ms: KILL_WAIT_MS });
}

export async function pauseContainer(needs: ContainerNeeds, container: Container): Promise<void> {
  using _lock = await needs.table.locks.hold(container.id);
  if (!container.running) throw conflict(`Container ${container.id} is not running`);
  if (container.state.status === 'paused') throw conflict(`Container ${container.id} is already paused`);
  if (container.state.status === 'restarting') throw conflict(`Container ${container.id} is restarting, wait until the container is running`);
  needs.health.rest(container); // a frozen check could not be ended
  try {
    await needs.runtime.pause(container.id).catch((error: unknown) => rethrowUnlessGone(needs, container, error));
  } catch (error) {
    needs.health.follow(container);
    throw error;
  }
  await setPaused(needs, container, true);
}

export async function unpauseContainer(needs: ContainerNeeds, container: Container): Promise<void> {
  using _lock = await needs.table.locks.hold(container.id);
  if (container.state.status !== 'paused') throw new EngineError('system', `Container ${container.id} is not paused`); // 500: Docker's, of all versions
  await needs.runtime.resume(container.id).catch((error: unknown) => rethrowUnlessGone(needs, container, error));
  await setPaused(needs, container, false);
}

/** A task may have ended a moment ago, with its exit not on record yet: that is no failure of ours. */
export async function rethrowUnlessGone(needs: Pick<ContainerNeeds, 'runtime'>, container: Container, error: unknown): Promise<never> {
  if (!await needs.runtime.signal(container.id, 0)) throw conflict(`Container ${container.id} is not running`, { cause: error });
  throw error;
}

async function setPaused(needs: ContainerNeeds, container: Container, paused: boolean): Promise<void> {
  const { State: state } = container.record;
  container.record = { ...container.record, State: { ...state, Paused: paused, Health: paused ? restHealth(state.Health) : state.Health ?? null } };
  needs.health.follow(container);
  await needs.store.containers.save(container.record, { durable: false });
  publish(needs, container, { action: paused ? 'pause' : 'unpause' });
}
