// One container in memory: its record, and what lives only as long as this daemon (attached clients, waiters, execs).
import type { ContainerRecord, StoredContainer } from '../../store/index.ts';
import type { HostConfig } from '../../wire/types.ts';
import { Announcement } from './announcement.ts';
import { KeptConsoles } from './kept.ts';
import type { PendingConsole } from './pending.ts';
import { stateOf, type State } from './state.ts';

export interface Exit { exitCode: number; error: string | undefined }

export class Container {
  record: ContainerRecord;
  hostConfig: HostConfig;
  /** Clients that attached before the program runs; each gets its own console when it starts. */
  readonly pending = new Set<PendingConsole>();
  readonly kept = new KeptConsoles();
  readonly execIds = new Set<string>();
  readonly #exits = new Announcement<Exit>();
  readonly #removal = new Announcement<Exit>();
  /** Stop was asked for: no restart policy brings it back in this run. */
  stopRequested = false;
  /** Those who wait in a stop: each is told of, as Docker has it, between the end of the program and what follows. */
  readonly stops = new Set<object>();
  /** A client asked for a restart: an end meanwhile does not remove it, whatever --rm says. */
  restartRequested = false;
  /** An `oom` event of this run was published. */
  oomTold = false;
  /** Cancels a restart that is waiting for its back-off. */
  restartTimer: Disposable | undefined;
  restartDelayMs = 0;
  /** The end of its run is on record, or about to be, and not everybody was told of it: what it had (addresses, mounts) is being given back. */
  ending = false;
  /** It is being removed, and its volumes with it: it keeps none from going with another one. */
  volumesLeave = false;

  constructor({ record, hostConfig }: StoredContainer) {
    this.record = record;
    this.hostConfig = hostConfig;
  }

  get id(): string { return this.record.ID; }
  /** Docker never ends a terminal's stdin; a plain one ends with the client that typed when it is to be opened once. */
  get stdin(): 'closed' | 'once' | 'open' {
    const { OpenStdin: open, StdinOnce: once, Tty: tty } = this.record.Config;
    return !open ? 'closed' : once && !tty ? 'once' : 'open';
  }
  /** Without the slash. */
  get name(): string { return this.record.Name.replace(/^\//, ''); }
  get state(): State { return stateOf(this.record.State); }
  get running(): boolean { return this.record.State.Running; }

  /** What events say about it: its labels, its image as named, its own name. */
  eventAttributes(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
    return { ...this.record.Config.Labels, image: this.record.Config.Image, name: this.name, ...extra };
  }

  /** Resolves at the end of the present (or next) run, or when the container is gone. */
  ended(signal?: AbortSignal): Promise<Exit> { return this.#exits.next(signal); }

  /** Resolves when the container is gone. */
  removed(signal?: AbortSignal): Promise<Exit> { return this.#removal.next(signal); }

  /** Says to all who wait that this run is over. Execs go with it. */
  announceExit(exit: Exit): void {
    this.execIds.clear();
    this.ending = false;
    this.#exits.tell(exit);
  }

  /** Nothing of it is left: clients that waited for a start wait in vain. */
  announceRemoval(): void {
    for (const pending of this.pending) pending.give(undefined);
    this.pending.clear();
    const exit = { exitCode: this.record.State.ExitCode, error: undefined };
    this.announceExit(exit);
    this.#removal.tell(exit);
  }
}
