// Strikes of the OOM killer: conmon leaves a file when its container was struck, and each such file is told once, by whichever daemon sees it first.
import { existsSync, renameSync, watch } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';
import type { Places } from './tasks.ts';

export type OomListener = (id: string) => void;

/** The kernel's count in a task's cgroup, undefined when that is gone, and in the one above it. */
export interface Kills { own: number | undefined; above: number }

const CODE_KILLED = 137;

export class Ooms implements Disposable {
  readonly #places: Pick<Places, 'tasks'>;
  readonly #kills: (id: string) => Kills;
  /** What was counted above a task when it was last looked at without a strike. */
  readonly #above = new Map<string, number>();
  readonly #watchers = new Map<string, { close(): void }>();
  readonly #listeners = new Set<OomListener>();

  /** `kills` is the kernel's own count of a task's cgroup: it knows of strikes that conmon has not yet heard of. */
  constructor(places: Pick<Places, 'tasks'>, kills: (id: string) => Kills) {
    this.#places = places;
    this.#kills = kills;
  }

  struck(id: string, exitCode: number): boolean {
    const bundle = `${this.#places.tasks}/${id}`;
    return existsSync(`${bundle}/oom-told`) || existsSync(`${bundle}/oom`) || this.#isCounted(id, exitCode);
  }

  /** systemd takes a cgroup away as soon as it is empty, its count along, and conmon may come too late for both: then the one above tells. */
  #isCounted(id: string, exitCode: number): boolean {
    const { own, above } = this.#kills(id);
    return own === undefined ? exitCode === CODE_KILLED && above > (this.#above.get(id) ?? above) : own > 0;
  }

  /** The strike is this task's: it says nothing of the others beside it. */
  #tell(id: string): void {
    for (const other of this.#above.keys()) if (other !== id) this.#above.set(other, this.#kills(other).above);
    for (const listener of this.#listeners) listener(id);
  }

  listen(listener: OomListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => { this.#listeners.delete(listener); } };
  }

  watch(id: string): void {
    if (this.#watchers.has(id)) return;
    this.#above.set(id, this.#kills(id).above);
    // A watcher that fails later is as good as none: the exit tells then, too.
    try { this.#watchers.set(id, watch(`${this.#places.tasks}/${id}`, () => this.look(id)).on('error', () => this.forget(id))); }
    catch (error) { if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOSPC') throw error; } // gone, or no watches left: then only the exit tells
    this.look(id);
  }

  /** Tells of a strike that was not told yet. The file is renamed, so that conmon's next one is news again. */
  look(id: string): void {
    const bundle = `${this.#places.tasks}/${id}`;
    try { renameSync(`${bundle}/oom`, `${bundle}/oom-told`); }
    catch (error) {
      if (errnoOf(error) === 'ENOENT') return;
      throw error;
    }
    this.#tell(id);
  }

  /** The task has ended: a strike that was its end is told before that. */
  ending(id: string, exitCode: number): void {
    this.look(id);
    if (!existsSync(`${this.#places.tasks}/${id}/oom-told`) && this.#isCounted(id, exitCode)) this.#tell(id);
  }

  forget(id: string): void {
    this.#watchers.get(id)?.close();
    this.#watchers.delete(id);
    this.#above.delete(id);
  }

  [Symbol.dispose](): void {
    for (const id of this.#watchers.keys()) this.forget(id);
    this.#listeners.clear();
  }
}
