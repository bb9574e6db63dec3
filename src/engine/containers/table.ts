// All containers of this daemon, found by ID, name or the start of an ID.
import { conflict, invalid, notFound } from '../../lib/errors.ts';
import { KeyedLock } from '../../lib/lock.ts';
import type { Container } from './container.ts';
import { linksOf } from './links.ts';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

export const noSuchContainer = (name: string) => notFound(`No such container: ${name}`);

export class ContainerTable {
  readonly locks = new KeyedLock();
  /** The daemon is stopping: nothing is started any more. */
  closing = false;
  #byId = new Map<string, Container>();
  #idByName = new Map<string, string>();

  /** Exact ID, exact name (also the one that a link gives, "self/db"), unique start of an ID: in this order. */
  find(word: string): Container {
    const name = word.replace(/^\//, '');
    const exact = this.#byId.get(name) ?? this.#named(name) ?? this.#linked(name);
    if (exact) return exact;
    const matches = name === '' ? [] : [...this.#byId.values()].filter((container) => container.id.startsWith(name));
    if (matches.length > 1) throw invalid(`Multiple IDs found with provided prefix: ${name}`);
    const match = matches[0];
    if (!match) throw noSuchContainer(word);
    return match;
  }

  #named(name: string): Container | undefined { return this.#byId.get(this.#idByName.get(name) ?? ''); }

  #linked(name: string): Container | undefined {
    const [self = '', alias] = name.split('/', 2);
    const parent = alias === undefined ? undefined : this.#named(self);
    const link = parent && linksOf(parent).find((one) => one.alias === alias);
    return link && this.#named(link.name);
  }

  get(id: string): Container | undefined { return this.#byId.get(id); }
  all(): Container[] { return [...this.#byId.values()]; }

  /** Takes a name for an ID; refuses one that is taken or ill-formed. Dispose to give it back, unless kept. */
  reserveName(word: string, id: string): Disposable & { keep(): void } {
    const name = word.replace(/^\//, '');
    if (!NAME.test(name)) throw invalid(`Invalid container name (${word}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
    const holder = this.#idByName.get(name);
    if (holder !== undefined) {
      throw conflict(`Conflict. The container name "/${name}" is already in use by container "${holder}". You have to remove (or rename) that container to be able to reuse that name.`);
    }
    this.#idByName.set(name, id);
    let kept = false;
    return { keep: () => { kept = true; }, [Symbol.dispose]: () => { if (!kept && this.#idByName.get(name) === id) this.#idByName.delete(name); } };
  }

  /** The lock of a container that is still there when it is had. */
  async hold(container: Container): Promise<Disposable> {
    const lock = await this.locks.hold(container.id);
    if (this.#byId.get(container.id) === container) return lock;
    lock[Symbol.dispose]();
    throw noSuchContainer(container.name);
  }

  isNameTaken(name: string): boolean { return this.#idByName.has(name); }

  /** The container's name must be reserved for it already. */
  add(container: Container): void { this.#byId.set(container.id, container); }

  releaseName(name: string): void { this.#idByName.delete(name); }

  remove(container: Container): void {
    this.#byId.delete(container.id);
    if (this.#idByName.get(container.name) === container.id) this.#idByName.delete(container.name);
  }
}
