// What the container verbs are given.
import type { Kernel } from '../../kernel/index.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Logs } from '../../logs/index.ts';
import type { Platform } from '../../oci/manifest.ts';
import type { Runtime } from '../../runtime/index.ts';
import type { Store } from '../../store/index.ts';
import type { Events } from '../events.ts';
import type { NamingTurn } from '../images/held.ts';
import type { Metrics } from '../metrics.ts';
import type { Container } from './container.ts';
import type { ResourceDefaults } from './placement.ts';
import type { ExecTable } from './exec-table.ts';
import type { HealthWatch } from './health-watch.ts';
import type { Network } from '../../network/index.ts';
import type { Networks } from '../networks/networks.ts';
import type { Volumes } from '../volumes/volumes.ts';
import type { ContainerTable } from './table.ts';

export interface ContainerNeeds extends NamingTurn {
  store: Store;
  runtime: Runtime;
  logs: Logs;
  kernel: Kernel;
  events: Events;
  clock: Clock;
  log: Log;
  table: ContainerTable;
  volumes: Volumes;
  /** Networks in the kernel, and those that there are. */
  network: Network;
  networks: Networks;
  execs: ExecTable;
  health: HealthWatch;
  metrics: Metrics;
  /** The machine's own name: what a container on the host's network is called. */
  hostName: string;
  platform: Platform;
  /** Told apart by it: the IDs of the networks that every host has. */
  daemonId: string;
  defaults: ContainerDefaults;
}

/** What the daemon gives to containers that do not say otherwise. */
export interface ContainerDefaults {
  runtime: string;
  ipcMode: 'private' | 'shareable';
  /** '' lets the kernel's cgroup version decide. */
  cgroupnsMode: '' | 'host' | 'private';
  log: { driver: string; options: Readonly<Record<string, string>> };
  resources: ResourceDefaults;
}

export const NO_DEFAULTS: ContainerDefaults = { runtime: 'runc', ipcMode: 'private', cgroupnsMode: '', log: { driver: 'json-file', options: {} }, resources: { cgroupParent: '', shmSizeBytes: 64 << 20, ulimits: [] } };

export const isMounted = (needs: Pick<ContainerNeeds, 'kernel'>, path: string): boolean => needs.kernel.mounts.list().some((mount) => mount.target === path);

/** Tells the world about a container, after the fact is on disk. */
export function publish(needs: Pick<ContainerNeeds, 'events'>, container: Container, { action, extra }: { action: string; extra?: Readonly<Record<string, string>> }): void {
  needs.events.publish({ type: 'container', action, id: container.id, attributes: container.eventAttributes(extra) });
}
