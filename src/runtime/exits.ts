// Exits of tasks: conmon leaves a file per task, and each is reported once, whoever was watching when it came.
import { readdirSync, readFileSync, statSync, watch } from 'node:fs';
import type { Clock } from '../lib/clock.ts';
import { errnoOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { TaskExit } from './index.ts';
import type { Places } from './tasks.ts';

/** Told when nobody could say how a task ended: its conmon was killed. */
const EXIT_UNKNOWN = 255;
/** inotify tells at once; this finds what it missed, and tasks whose conmon was killed. */
const PATROL_MS = 10_000;

export interface ExitNeeds { places: Places; clock: Clock; log: Log; /** Whether anything of the task is left that could still tell of its exit. */ pending(id: string): boolean; /** Whether the OOM killer had a part in it. */ struck(id: string, exitCode: number): boolean; /** Called before an exit is told. */ ending(id: string, exitCode: number): void }
export type ExitListener = (id: string, exit: TaskExit) => void;

export class Exits implements Disposable {
  readonly #needs: ExitNeeds;
  readonly #watched = new Set<string>();
  readonly #listeners = new Set<ExitListener>();
  readonly #watcher: { close(): void };
  #patrol: Disposable | undefined;

  constructor(needs: ExitNeeds) {
    this.#needs = needs;
    // Whatever the event says, the directory is read: events may be merged or lost, files are not.
    this.#watcher = watch(needs.places.exits, () => this.#scan());
  }

  listen(listener: ExitListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => { this.#listeners.delete(listener); } };
  }

  /** Reports the task's exit once: now, if its file is there already. */
  expect(id: string): void {
    this.#watched.add(id);
    this.#scan();
    this.#schedule();
  }

  forget(id: string): void {
    this.#watched.delete(id);
  }

  read(id: string): TaskExit | undefined {
    return readExit(this.#needs, id);
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
    this.#patrol?.[Symbol.dispose]();
    this.#patrol = undefined;
    this.#watched.clear();
    this.#listeners.clear();
  }

  #scan(): void {
    if (this.#watched.size === 0) return;
    for (const id of readdirSync(this.#needs.places.exits)) {
      const exit = this.#watched.has(id) ? this.read(id) : undefined;
      if (exit) this.#report(id, exit);
    }
  }

  #report(id: string, exit: TaskExit): void {
    if (!this.#watched.delete(id)) return;
    this.#needs.ending(id, exit.exitCode);
    for (const listener of this.#listeners) listener(id, exit);
  }

  #schedule(): void {
    if (this.#patrol || this.#watched.size === 0) return;
    this.#patrol = this.#needs.clock.after(PATROL_MS, () => {
      this.#patrol = undefined;
      this.#lookAfter();
      this.#schedule();
    });
  }

  #lookAfter(): void {
    const silent = [...this.#watched].filter((id) => !this.#needs.pending(id));
    this.#scan(); // after the look: a file written just before its conmon ended counts
    for (const id of silent) {
      if (!this.#watched.has(id)) continue;
      this.#needs.log.warn('a task ended without its monitor telling how', { container: id });
      this.#report(id, { exitCode: EXIT_UNKNOWN, finishedAtNs: this.#needs.clock.nowNanos(), oomKilled: false });
    }
  }
}

/** undefined while the task has not ended. conmon renames the file into place, so it is whole when it is there. */
function readExit(needs: ExitNeeds, id: string): TaskExit | undefined {
  const path = `${needs.places.exits}/${id}`;
  try {
    const text = readFileSync(path, 'utf8').trim();
    if (!/^-?\d{1,10}$/.test(text)) return undefined;
    return { exitCode: Number(text), finishedAtNs: statSync(path, { bigint: true }).mtimeNs, oomKilled: needs.struck(id, Number(text)) };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined; // deleted meanwhile
    throw error;
  }
}
