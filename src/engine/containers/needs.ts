// What the container verbs are given.
import type { Kernel } from '../../kernel/index.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Logs } from '../../logs/index.ts';
import type { Platform } from '../../oci/manifest.ts';
import type { Runtime } from '../../runtime/index.ts';
import type { Store } from '../../store/index.ts';
import type { Events } from '../events.ts';
import type { Metrics } from '../metrics.ts';
import type { Container } from './container.ts';
import type { ContainerTable } from './table.ts';

export interface ContainerNeeds {
  store: Store;
  runtime: Runtime;
  logs: Logs;
  kernel: Kernel;
  events: Events;
  clock: Clock;
  log: Log;
  table: ContainerTable;
  metrics: Metrics;
  /** The machine's own name: what a container on the host's network is called. */
  hostName: string;
  platform: Platform;
  /** Told apart by it: the IDs of the networks that every host has. */
  daemonId: string;
}

/** Tells the world about a container, after the fact is on disk. */
export function publish(needs: Pick<ContainerNeeds, 'events'>, container: Container, { action, extra }: { action: string; extra?: Readonly<Record<string, string>> }): void {
  needs.events.publish({ type: 'container', action, id: container.id, attributes: container.eventAttributes(extra) });
}
