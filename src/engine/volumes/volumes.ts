// Volumes and who uses them: made for clients and containers, kept while a container names them, mounted while one runs with them.
import { conflict, EngineError, kindOf, messageOf, notFound } from '../../lib/errors.ts';
import { KeyedLock } from '../../lib/lock.ts';
import type { StoredVolume } from '../../store/index.ts';
import type { StringMap } from '../../wire/types.ts';
import type { Container } from '../containers/container.ts';
import type { ContainerNeeds } from '../containers/needs.ts';
import { isMounted, isRemote, mountVolume, unmountVolume } from './mounting.ts';
import { assertLocalOptions, assertVolumeName } from './options.ts';

/** Who says so is one that a client gave no name, and goes with its container. Source: Docker since 23. */
export const ANONYMOUS = 'com.docker.volume.anonymous';
/** The only driver; `default` is an old name of it. */
export const LOCAL = 'local';

export interface VolumeWish { name: string; driver?: string | undefined; options?: StringMap | null | undefined; labels?: StringMap | null | undefined }

type VolumesNeeds = Pick<ContainerNeeds, 'store' | 'kernel' | 'events' | 'clock' | 'log' | 'table'>;

export class Volumes {
  readonly #needs: VolumesNeeds;
  readonly #locks = new KeyedLock();
  /** Containers on their way, which no list has yet: volume to container IDs. */
  readonly #claims = new Map<string, Set<string>>();
  /** Running containers that have it mounted, and whoever else needs it now. */
  readonly #users = new Map<string, Set<string>>();

  constructor(needs: VolumesNeeds) { this.#needs = needs; }

  /** The volume of that name, made if there is none; an empty name makes an anonymous one. `holder` keeps it until `release`. */
  async obtain(wish: VolumeWish, holder?: string): Promise<{ volume: StoredVolume; made: boolean }> {
    const name = wish.name || this.#needs.clock.randomHex(32);
    const labels = wish.name === '' ? { ...wish.labels, [ANONYMOUS]: '' } : wish.labels ?? null;
    using _lock = await this.#locks.hold(name);
    try {
      const outcome = await this.#existingOrNew({ name, labels, options: wish.options ?? null, driver: wish.driver });
      if (holder !== undefined) member(this.#claims, name).add(holder);
      return outcome;
    } catch (cause) {
      throw new EngineError(kindOf(cause), `create ${name}: ${messageOf(cause)}`, { cause });
    }
  }

  async #existingOrNew({ driver, ...source }: { name: string; driver: string | undefined; labels: StringMap | null; options: StringMap | null }): Promise<{ volume: StoredVolume; made: boolean }> {
    const { store, events } = this.#needs;
    if (driver && driver !== LOCAL && driver !== 'default') throw notFound(`error looking up volume plugin ${driver}: plugin "${driver}" not found`);
    const existing = store.volumes.get(source.name);
    if (existing) return { volume: existing, made: false };
    assertVolumeName(source.name);
    assertLocalOptions(source.options ?? {});
    const volume = await store.volumes.create(source);
    events.publish({ type: 'volume', action: 'create', id: volume.name, attributes: { driver: LOCAL } });
    return { volume, made: true };
  }

  release(name: string, holder: string): void { leave(this.#claims, name, holder); }

  find(name: string): StoredVolume {
    const volume = this.#needs.store.volumes.get(name);
    if (!volume) throw notFound(`get ${name}: no such volume`);
    return volume;
  }

  /** IDs of the containers that keep a volume, those on their way included; `but` does not count, nor does one that is being removed with its volumes. */
  users(name: string, but?: string): string[] {
    const containers = this.#needs.table.all().filter((container) => !container.volumesLeave && namesVolume(container, name)).map(({ id }) => id);
    return [...new Set([...containers, ...this.#claims.get(name) ?? []])].filter((id) => id !== but);
  }

  /** Error: conflict while a container names it. `but`: a container that is being removed with it. */
  async remove(name: string, { but }: { but?: string } = {}): Promise<void> {
    const { store, events } = this.#needs;
    using _lock = await this.#locks.hold(name);
    const volume = this.find(name);
    const users = this.users(name, but);
    if (users.length > 0) throw conflict(`remove ${name}: volume is in use - [${users.join(', ')}]`);
    try {
      if (volume.mount) unmountVolume(this.#needs, volume);
      await store.volumes.remove(name);
    } catch (cause) {
      throw new EngineError(kindOf(cause), `remove ${name}: ${messageOf(cause)}`, { cause });
    }
    events.publish({ type: 'volume', action: 'destroy', id: name, attributes: { driver: LOCAL } });
  }

  isUser(name: string, user: string): boolean { return this.#users.get(name)?.has(user) === true; }

  /** Its path, with what belongs there mounted; `user` has it until `unmount`. */
  async mount(name: string, user: string): Promise<string> {
    using _lock = await this.#locks.hold(name);
    const volume = this.find(name);
    if (volume.damaged !== undefined) throw new EngineError('corrupt', `volume ${name} cannot be used, since its options cannot be read: ${volume.damaged}`);
    if (volume.mount && !isMounted(this.#needs, volume.path)) await this.#mountOptions(volume, volume.mount);
    member(this.#users, name).add(user);
    return volume.path;
  }

  async #mountOptions(volume: StoredVolume, mount: NonNullable<StoredVolume['mount']>): Promise<void> {
    try { await mountVolume(this.#needs, volume, mount); } catch (cause) {
      throw new EngineError(kindOf(cause), `error while mounting volume '${volume.path}': ${messageOf(cause)}`, { cause });
    }
  }

  /** The last user's going unmounts it. Fine when `user` has it not. */
  async unmount(name: string, user: string): Promise<void> {
    using _lock = await this.#locks.hold(name);
    leave(this.#users, name, user);
    const volume = this.#needs.store.volumes.get(name);
    if (volume?.mount && !this.#users.has(name)) unmountVolume(this.#needs, volume);
  }

  /** Gives a volume that is empty the content that an image has at the place where it is mounted. */
  async fill(name: string, from: { rootfs: string; path: string }, user: string): Promise<void> {
    const volume = this.find(name);
    const mounted = volume.mount !== undefined;
    if (mounted) await this.mount(name, user);
    try {
      using _lock = await this.#locks.hold(name);
      await this.#needs.store.volumes.fill(name, { ...from, inPlace: mounted || this.#users.has(name), remote: isRemote(volume) });
    } finally {
      if (mounted) await this.unmount(name, user);
    }
  }

  /** After a restart of the daemon: a container that runs on has its volumes mounted. */
  adopt(container: Container): void {
    for (const name of volumesOf(container)) member(this.#users, name).add(container.id);
  }

  /** After a restart of the daemon, when all that run on are adopted: nobody uses what else is mounted. */
  letGoOfOthers(): void {
    for (const volume of this.#needs.store.volumes.list()) {
      if (!volume.mount || this.#users.has(volume.name) || !isMounted(this.#needs, volume.path)) continue;
      this.#needs.log.info('unmounting a volume that nobody uses', { volume: volume.name });
      try { unmountVolume(this.#needs, volume); } catch (error) { this.#needs.log.warn('could not unmount a volume that nobody uses', { volume: volume.name, error }); }
    }
  }
}

/** Names of the volumes that a container has, each once. */
export const volumesOf = (container: Container): string[] =>
  [...new Set(Object.values(container.record.MountPoints).flatMap((point) => (isVolume(point) ? [point.Name] : [])))];

/** Records of old say nothing of the type. */
export const isVolume = (point: { Type?: string; Name: string; Driver: string }): boolean => point.Name !== '' && (point.Type === 'volume' || (!point.Type && point.Driver !== ''));

const namesVolume = (container: Container, name: string): boolean => volumesOf(container).includes(name);

function member(map: Map<string, Set<string>>, name: string): Set<string> {
  const set = map.get(name) ?? new Set();
  map.set(name, set);
  return set;
}

function leave(map: Map<string, Set<string>>, name: string, who: string): void {
  const set = map.get(name);
  set?.delete(who);
  if (set?.size === 0) map.delete(name);
}
