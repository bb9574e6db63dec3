// After a start of the daemon: what restart policies want, brought back once the API listens.
import { messageOf } from '../lib/errors.ts';
import { Limiter } from '../lib/lock.ts';
import type { Container } from './containers/container.ts';
import { linksOf } from './containers/links.ts';
import type { ContainerNeeds } from './containers/needs.ts';
import { awaitRestartAgain, startByPolicy } from './containers/watch.ts';

/** Each start is a handful of processes; a small device has few cores. */
const AT_ONCE = 2;

/** A container, and how it comes back. */
export interface Wanted {
  container: Container;
  /** 'anew': the machine or the engine was down, and restarts are counted from here. 'again': it ended while no daemon was there. 'resume': it was waiting for a restart. */
  how: 'anew' | 'again' | 'resume';
}

/** What its restart policy makes of one that does not run. Pure. */
export function wantsToRun({ record, hostConfig }: Pick<Container, 'record' | 'hostConfig'>): boolean {
  if (!record.HasBeenStartedBefore) return false;
  const { Name: policy, MaximumRetryCount: retries } = hostConfig.RestartPolicy;
  switch (policy) {
    case 'always': return true;
    case 'unless-stopped': return !record.HasBeenManuallyStopped;
    case 'on-failure': return !record.HasBeenManuallyStopped && record.State.ExitCode !== 0 && (retries === 0 || record.RestartCount < retries);
    default: return false;
  }
}

/** Who joins a namespace of another, or links to it, starts after it. One that cannot be started tries again later, and holds nobody up. */
export async function startWanted(needs: ContainerNeeds, wanted: readonly Wanted[]): Promise<void> {
  const places = new Limiter(AT_ONCE);
  const byContainer = new Map(wanted.map((one) => [one.container, one]));
  const starts = new Map<Wanted, Promise<void>>();
  const start = async (one: Wanted, path: ReadonlySet<Wanted>): Promise<void> => {
    const first = joinedBy(needs, one.container).flatMap((other) => byContainer.get(other) ?? []).filter((other) => !path.has(other));
    await Promise.all(first.map((other) => startOnce(other, new Set([...path, one]))));
    using _place = await places.hold();
    await bringBack(needs, one);
  };
  const startOnce = (one: Wanted, path: ReadonlySet<Wanted>): Promise<void> => {
    const begun = starts.get(one) ?? start(one, path).catch((error: unknown) => needs.log.error('could not bring a container back', { container: one.container.id, reason: messageOf(error) }));
    starts.set(one, begun);
    return begun;
  };
  await Promise.all(wanted.map((one) => startOnce(one, new Set([one]))));
}

async function bringBack(needs: ContainerNeeds, { container, how }: Wanted): Promise<void> {
  using _lock = await needs.table.locks.hold(container.id);
  if (needs.table.closing || needs.table.get(container.id) !== container) return;
  if (how === 'resume') {
    if (container.state.status === 'restarting') awaitRestartAgain(needs, container);
    return;
  }
  if (container.running) return; // a client was quicker
  if (how === 'anew') container.record = { ...container.record, RestartCount: 0 };
  await startByPolicy(needs, container, { counts: how === 'again' });
}

/** Those whose network, IPC or processes it shares, and those it links to. */
function joinedBy({ table }: ContainerNeeds, container: Container): Container[] {
  const { NetworkMode, IpcMode, PidMode } = container.hostConfig;
  const shared = [NetworkMode, IpcMode, PidMode].filter((mode) => mode.startsWith('container:')).map((mode) => mode.slice('container:'.length));
  return [...shared, ...linksOf(container).map(({ name }) => name)].flatMap((name) => {
    try { return [table.find(name)]; } catch { return []; } // its own start will say so
  });
}
