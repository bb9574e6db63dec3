// Strikes of the OOM killer: conmon leaves a file when its container was struck, and each such file is told once, by whichever daemon sees it first.
import { existsSync, renameSync, watch } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';
import type { Places } from './tasks.ts';

export type OomListener = (id: string) => void;

export class Ooms implements Disposable {
  readonly #places: Places;
  readonly #kills: (id: string) => number;
  readonly #watchers = new Map<string, { close(): void }>();
  readonly #listeners = new Set<OomListener>();

  /** `kills` is the kernel's own count of a task's cgroup: it knows of strikes that conmon has not yet heard of. */
  constructor(places: Places, kills: (id: string) => number) {
    this.#places = places;
    this.#kills = kills;
  }

  struck(id: string): boolean {
    const bundle = `${this.#places.tasks}/${id}`;
    return existsSync(`${bundle}/oom-told`) || existsSync(`${bundle}/oom`) || this.#kills(id) > 0;
  }

  listen(listener: OomListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => { this.#listeners.delete(listener); } };
  }

  watch(id: string): void {
    if (this.#watchers.has(id)) return;
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
    for (const listener of this.#listeners) listener(id);
  }

  /** The task has ended: a strike that was its end is told before that. */
  ending(id: string): void {
    this.look(id);
    if (existsSync(`${this.#places.tasks}/${id}/oom-told`) || this.#kills(id) === 0) return;
    for (const listener of this.#listeners) listener(id);
  }

  forget(id: string): void {
    this.#watchers.get(id)?.close();
    this.#watchers.delete(id);
  }

  [Symbol.dispose](): void {
    for (const id of this.#watchers.keys()) this.forget(id);
    this.#listeners.clear();
  }
}
