// The parts of the engine put together, its recovery at the start and its rest at the end.
import type { Kernel } from '../kernel/index.ts';
import type { Clock } from '../lib/clock.ts';
import { Limiter } from '../lib/lock.ts';
import type { Log } from '../lib/log.ts';
import type { Logs } from '../logs/index.ts';
import type { Network } from '../network/index.ts';
import type { Maker } from '../maker/index.ts';
import type { Registry } from '../registry/index.ts';
import { openRootFs } from '../rootfs/index.ts';
import type { Runtime } from '../runtime/index.ts';
import type { BaseRoot, Store } from '../store/index.ts';
import { openContainers } from './containers/containers.ts';
import { openExecs } from './containers/exec.ts';
import { forgetNote } from './containers/exec-run.ts';
import { ExecTable } from './containers/exec-table.ts';
import { openHealthWatch } from './containers/health-watch.ts';
import { NO_DEFAULTS, publish, type ContainerDefaults, type ContainerNeeds } from './containers/needs.ts';
import { restartUnhealthy } from './containers/restart.ts';
import { ContainerTable } from './containers/table.ts';
import { handleExit } from './containers/watch.ts';
import { openEvents, type Fact } from './events.ts';
import { openFiles } from './files/files.ts';
import { Metrics } from './metrics.ts';
import { openImages } from './images/images.ts';
import type { Engine } from './index.ts';
import { openNetworks } from './networks/open.ts';
import { openNetworkVerbs } from './networks/verbs.ts';
import { recover } from './recover.ts';
import { openSystem, type SystemFacts } from './system.ts';
import { openVolumes } from './volumes/verbs.ts';
import { Volumes } from './volumes/volumes.ts';
import { startWanted } from './wanted.ts';

/** As with dockerd. */
const DEFAULT_UPLOADS = 5;

export interface EngineNeeds {
  store: Store;
  runtime: Runtime;
  registry: Registry;
  maker: Maker;
  logs: Logs;
  kernel: Kernel;
  network: Network;
  clock: Clock;
  log: Log;
  facts: SystemFacts;
  /** Further roots, only read, in which bases of deltas are looked for. */
  baseRoots?: readonly BaseRoot[];
  maxConcurrentDownloads: number;
  /** Layers sent at the same time. */
  maxConcurrentUploads?: number;
  defaults?: ContainerDefaults;
  /** Told of the bytes of archives that pass through this process. */
  onBytes?: ((bytes: number) => void) | undefined;
}

export interface OpenedEngine extends Engine {
  /** Tells listeners of what happened outside the engine, such as a reload of the daemon. */
  publish(fact: Fact): void;
  /** To be called once the API listens: brings back what restart policies want. */
  startWanted(): Promise<void>;
  /** Exits under way are recorded first; running containers go on. */
  close(): Promise<void>;
}

/** Recovers every container, then answers. */
export async function openEngine(needs: EngineNeeds): Promise<OpenedEngine> {
  const { clock, log, facts } = needs;
  const events = openEvents(clock);
  const table = new ContainerTable();
  const execs = new ExecTable((exec) => forgetNote(needs, exec));
  const volumes = new Volumes({ ...needs, events, table });
  const networks = await openNetworks({ ...needs, events, table, daemonId: facts.daemonId });
  const turn = new Limiter(1); // see NamingTurn
  const most = { ...needs, turn, networks, defaults: needs.defaults ?? NO_DEFAULTS, events, table, volumes, execs, metrics: new Metrics(clock), hostName: facts.hostName, platform: facts.platform, daemonId: facts.daemonId };
  const health = openHealthWatch(most, (container) => { if (facts.experimental) restartUnhealthy(parts, container); });
  const parts: ContainerNeeds = { ...most, health };
  const users = (id: string) => table.all().filter((container) => container.record.Image === id).map((container) => ({ id: container.id, running: container.running }));
  const underWay = new Set<Promise<void>>();
  const watch = needs.runtime.onExit((id, exit) => {
    const container = table.get(id);
    if (!container) return;
    const work = handleExit(parts, container, exit)
      .catch((error: unknown) => log.error('could not take in the exit of a container', { container: id, error }))
      .finally(() => underWay.delete(work));
    underWay.add(work);
  });
  const ooms = needs.runtime.onOom((id) => {
    const container = table.get(id);
    if (!container) return;
    container.oomTold = true;
    publish(parts, container, { action: 'oom' });
  });
  const wanted = await recover(parts); // watching already: an adopted task may end at any moment
  await needs.network.settle({ keep: networks.broken() });
  return {
    images: openImages({ ...needs, turn, maxConcurrentUploads: needs.maxConcurrentUploads ?? DEFAULT_UPLOADS, baseRoots: needs.baseRoots ?? [], rootfs: openRootFs({ kernel: needs.kernel, idMap: needs.store.idMap }), events, users, platform: facts.platform }),
    containers: openContainers(parts),
    volumes: openVolumes(parts),
    networks: openNetworkVerbs(parts),
    execs: openExecs(parts),
    files: openFiles(parts, facts.engineVersion),
    events,
    system: openSystem({ ...parts, usersOf: (id) => users(id).length }, facts),
    publish: (fact) => events.publish(fact),
    startWanted: () => startWanted(parts, wanted),
    async close() {
      table.closing = true;
      for (const container of table.all()) container.restartTimer?.[Symbol.dispose]();
      await health.close();
      // Whoever holds a lock is between two states: a start, an exit being recorded. Verbs that only wait for an end hold none.
      await Promise.all(table.all().map(async (container) => { using _lock = await table.locks.hold(container.id); }));
      watch[Symbol.dispose]();
      ooms[Symbol.dispose]();
      await Promise.all(underWay);
      await needs.logs.close();
    },
  };
}
