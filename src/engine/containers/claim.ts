// The mounts of a container that is being made: what it asks for, the volumes that are there for it, and what the image puts into them.
import { EngineError, invalid, messageOf } from '../../lib/errors.ts';
import type { OverlayMount, RecordedMountPoint } from '../../store/index.ts';
import type { ContainerConfig, HostConfig } from '../../wire/types.ts';
import { isVolume, LOCAL, type VolumeWish } from '../volumes/volumes.ts';
import type { Container } from './container.ts';
import { assertPlainVolume, assertTmpfs, cleanPath, parseBind, parseMount, parseVolumesFrom, PROPAGATIONS, withDefaultMode, type PlannedMount } from './mount-points.ts';
import { isBelow } from './mounts.ts';
import type { ContainerNeeds } from './needs.ts';
import { mountOverlay, unmountOverlay } from './start.ts';

export interface Wanted { id: string; config: ContainerConfig; hostConfig: HostConfig }

/** Everything that is wrong with what is asked for is said before anything is made. */
export async function claimMounts(needs: ContainerNeeds, wanted: Wanted): Promise<MountClaim> {
  assertTmpfs(wanted.hostConfig.Tmpfs);
  for (const destination of Object.keys(wanted.config.Volumes ?? {})) assertPlainVolume(destination);
  const asked = askedMounts(needs, wanted.hostConfig);
  await using undo = new AsyncDisposableStack();
  const claim = undo.use(new MountClaim(needs, wanted));
  for (const planned of borrowedMounts(needs, wanted.hostConfig)) await claim.add(planned);
  for (const planned of asked) await claim.add(planned);
  for (const destination of Object.keys(wanted.config.Volumes ?? {})) await claim.addPlain(cleanPath(destination));
  undo.move();
  return claim;
}

/** Until it is settled, disposing of it gives everything back: anonymous volumes go, the others are nobody's again. */
export class MountClaim implements AsyncDisposable {
  readonly #needs: ContainerNeeds;
  readonly #wanted: Wanted;
  readonly #mounts = new Map<string, PlannedMount>();
  readonly #plain = new Set<string>();
  readonly #claimed = new Set<string>();
  readonly #made: string[] = [];
  #settled = false;

  constructor(needs: ContainerNeeds, wanted: Wanted) {
    this.#needs = needs;
    this.#wanted = wanted;
  }

  /** By destination, in its order. */
  points(): Record<string, RecordedMountPoint> {
    return Object.fromEntries([...this.#mounts].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([destination, { point }]) => [destination, point]));
  }

  /** What stands at the same place already gives way. */
  async add(planned: PlannedMount): Promise<void> {
    this.#mounts.set(planned.point.Destination, isVolume(planned.point) || planned.point.Type === 'volume' ? await this.#withVolume(planned) : planned);
  }

  /** A volume of the image or of -v /path, unless something is mounted there already. */
  async addPlain(destination: string): Promise<void> {
    const { Tmpfs: tmpfs, VolumeDriver: driver } = this.#wanted.hostConfig;
    if (this.#mounts.has(destination) || Object.keys(tmpfs ?? {}).some((path) => cleanPath(path) === destination)) return;
    const name = await this.#claim({ name: '', driver });
    this.#plain.add(destination);
    this.#mounts.set(destination, {
      copy: true,
      point: { Source: '', Destination: destination, RW: true, Name: name, Driver: LOCAL, Type: 'volume', Spec: {}, SkipMountpointCreation: false },
    });
  }

  async #withVolume(planned: PlannedMount): Promise<PlannedMount> {
    const { point } = planned;
    const { VolumeOptions: asked } = point.Spec;
    const name = await this.#claim({ name: point.Name, driver: point.Driver, options: asked?.DriverConfig?.Options, labels: asked?.Labels });
    return { ...planned, point: { ...point, Name: name, Driver: LOCAL, Source: this.#needs.volumes.find(name).path } };
  }

  async #claim(wish: VolumeWish): Promise<string> {
    const { volume, made } = await this.#needs.volumes.obtain(wish, this.#wanted.id);
    this.#claimed.add(volume.name);
    if (made && wish.name === '') this.#made.push(volume.name);
    return volume.name;
  }

  /** Fills volumes that are empty with what the image has in their places. */
  async fill(overlay: OverlayMount): Promise<void> {
    const { volumes } = this.#needs;
    const toFill = [...this.#mounts.values()].filter(({ copy, point }) => copy && point.Type === 'volume');
    if (toFill.length === 0) return;
    await using undo = new AsyncDisposableStack();
    mountOverlay(this.#needs, overlay);
    undo.defer(() => unmountOverlay(this.#needs, this.#wanted));
    for (const { point } of toFill) {
      const { kind, path } = this.#needs.kernel.files.findInRoot(overlay.mergedDir, point.Destination);
      if (this.#plain.has(point.Destination) && kind === 'other') throw new EngineError('system', `cannot mount volume over existing file, file exists ${path}`);
      if (kind === undefined) continue; // and nothing needs to be mounted to find that out
      await volumes.fill(point.Name, { rootfs: overlay.mergedDir, path: point.Destination }, this.#wanted.id);
    }
  }

  /** The container is in the table: it keeps its volumes itself from now on. */
  settle(): void {
    for (const name of this.#claimed) this.#needs.volumes.release(name, this.#wanted.id);
    this.#settled = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#settled) return;
    this.settle();
    for (const name of this.#made) {
      await this.#needs.volumes.remove(name).catch((error: unknown) => this.#needs.log.warn('could not remove the volume of a container that was not made', { volume: name, error }));
    }
  }
}

/** Binds and Mounts, each checked, no two at one place. */
function askedMounts(needs: ContainerNeeds, host: HostConfig): PlannedMount[] {
  const taken = new Set<string>();
  const tmpfs = new Set(Object.keys(host.Tmpfs ?? {}));
  const checked = (planned: PlannedMount, target: string): PlannedMount => {
    const { Destination: destination } = planned.point;
    const point = throughDaemonRoot(needs, planned.point);
    if (taken.has(destination)) throw invalid(`Duplicate mount point: ${target}`);
    taken.add(destination);
    return { ...planned, point };
  };
  const binds = (host.Binds ?? []).map((text) => {
    const planned = parseBind(text, host.VolumeDriver);
    if (tmpfs.has(planned.point.Destination)) throw invalid(`Duplicate mount point: ${planned.point.Destination}`);
    return checked(planned.point.Type === 'volume' ? { ...planned, point: withDefaultMode(planned.point) } : planned, planned.point.Destination);
  });
  const mounts = (host.Mounts ?? []).map((spec) => {
    const planned = parseMount(spec);
    assertSource(needs, planned.point);
    const point = planned.point.Type === 'volume' ? withDefaultMode(planned.point)
      : { ...planned.point, SkipMountpointCreation: planned.point.Type === 'bind' && spec.BindOptions?.CreateMountpoint !== true };
    return checked({ ...planned, point }, spec.Target);
  });
  return [...binds, ...mounts];
}

/** --mount wants to find what it binds, where -v makes a directory. */
export function assertSource({ kernel }: Pick<ContainerNeeds, 'kernel'>, { Type: type, Spec: spec, Source: source }: RecordedMountPoint): void {
  if (type !== 'bind' || spec.BindOptions?.CreateMountpoint === true || kernel.files.exists(source)) return;
  throw invalid(`invalid mount config for type "bind": bind source path does not exist: ${source}`);
}

/** Mounts of other containers below our root that a bind of it would show, and hold: they must go from there when they go from here. */
function throughDaemonRoot({ store }: ContainerNeeds, point: RecordedMountPoint): RecordedMountPoint {
  const { Source: source } = point;
  if (point.Type !== 'bind' || (!isBelow(source, store.root) && !isBelow(store.root, source))) return point;
  const propagation = point.Spec.BindOptions?.Propagation ?? '';
  if (propagation === '') return { ...point, Propagation: 'rslave' };
  if (propagation === 'rslave' || propagation === 'rshared' || !PROPAGATIONS.includes(propagation)) return point;
  throw invalid(`invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is within the daemon root, daemon root: "${store.root}", bind mount source: "${source}", propagation: "${propagation}"`);
}

/** Not a 404: clients would take that for a missing image and pull it. */
function lender({ table }: ContainerNeeds, word: string): Container {
  try { return table.find(word); } catch (cause) { throw invalid(messageOf(cause), { cause }); }
}

/** What other containers have mounted; nothing is copied into it. */
function borrowedMounts(needs: ContainerNeeds, host: HostConfig): PlannedMount[] {
  return (host.VolumesFrom ?? []).flatMap((text) => {
    const { word, readOnly } = parseVolumesFrom(text);
    return Object.values(lender(needs, word).record.MountPoints).map((point): PlannedMount => {
      const { Relabel: _mode, SkipMountpointCreation: _skip, ...borrowed } = point;
      return { copy: false, point: { ...borrowed, RW: point.RW && !readOnly, SkipMountpointCreation: false } };
    });
  });
}
