// One container in memory: its record, and what lives only as long as this daemon (attached clients, waiters, execs).
import type { ContainerRecord, StoredContainer } from '../../store/index.ts';
import type { HostConfig } from '../../wire/types.ts';
import type { PendingConsole } from './pending.ts';
import { stateOf, type State } from './state.ts';

export interface Exit { exitCode: number; error: string | undefined }

export class Container {
  record: ContainerRecord;
  hostConfig: HostConfig;
  /** Clients that attached before the program runs; each gets its own console when it starts. */
  readonly pending = new Set<PendingConsole>();
  readonly execIds = new Set<string>();
  /** Resolves at the end of the present (or next) run. */
  nextExit = Promise.withResolvers<Exit>();
  /** Resolves when the container is gone. */
  readonly removed = Promise.withResolvers<Exit>();
  /** Stop was asked for: no restart policy brings it back in this run. */
  stopRequested = false;
  /** Cancels a restart that is waiting for its back-off. */
  restartTimer: Disposable | undefined;
  restartDelayMs = 0;

  constructor({ record, hostConfig }: StoredContainer) {
    this.record = record;
    this.hostConfig = hostConfig;
    this.nextExit.promise.catch(() => {});
  }

  get id(): string { return this.record.ID; }
  /** Without the slash. */
  get name(): string { return this.record.Name.replace(/^\//, ''); }
  get state(): State { return stateOf(this.record.State); }
  get running(): boolean { return this.record.State.Running; }

  /** What events say about it: its labels, its image as named, its own name. */
  eventAttributes(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
    return { ...this.record.Config.Labels, image: this.record.Config.Image, name: this.name, ...extra };
  }

  /** Says to all who wait that this run is over, and prepares for the next. */
  announceExit(exit: Exit): void {
    const { resolve } = this.nextExit;
    this.nextExit = Promise.withResolvers<Exit>();
    resolve(exit);
  }

}
