// The mounts of a start: volumes and sources got ready, each as the bundle wants it, parents before children.
import { release } from 'node:os';
import { EngineError, messageOf } from '../../lib/errors.ts';
import { hostRoot } from '../../lib/ids.ts';
import type { BundleMount } from '../../runtime/index.ts';
import type { RecordedMountPoint } from '../../store/index.ts';
import type { MountPoint } from '../../wire/types.ts';
import { flagKeyOf } from '../volumes/options.ts';
import { isVolume, LOCAL, volumesOf } from '../volumes/volumes.ts';
import type { Container } from './container.ts';
import { cleanPath, PROPAGATIONS, tmpfsData } from './mount-points.ts';
import type { ContainerNeeds } from './needs.ts';
import { stageMount, unstageMounts } from './staged-mounts.ts';

/** As inspect and lists show it. */
export function presentMount(needs: Pick<ContainerNeeds, 'store'>, point: RecordedMountPoint): MountPoint {
  const { Type: type, Name: name, Driver: driver, Source: source, Destination: destination, Relabel: mode, RW: writable, Propagation: propagation } = point;
  const volume = isVolume(point) ? needs.store.volumes.get(name) : undefined;
  return {
    Type: type || (volume ? 'volume' : 'bind'), ...(name === '' ? {} : { Name: name }), Source: volume?.path ?? source, Destination: destination,
    ...(driver === '' ? {} : { Driver: driver }), Mode: mode ?? '', RW: writable, Propagation: propagation ?? '',
  };
}

/** Everything that is mounted beside Docker's defaults; `own` are the files that the engine writes. What is mounted for it is let go by `leaveMounts`. */
export async function readyMounts(needs: ContainerNeeds, container: Container, own: readonly BundleMount[]): Promise<BundleMount[]> {
  const { hostConfig: host } = container;
  unstageMounts(needs, container); // what an earlier daemon may have left
  const points = Object.values(container.record.MountPoints);
  const tmpfs = tmpfsOf(container, points);
  const taken = new Set(tmpfs.map(({ destination }) => destination));
  const binds: BundleMount[] = [];
  for (const point of points) {
    if (isTmpfs(point) || taken.has(point.Destination)) continue;
    binds.push(await readyMount(needs, container, point));
    taken.add(point.Destination);
  }
  const files = own.filter(({ destination }) => !taken.has(destination)).map((mount) => (host.ReadonlyRootfs ? { ...mount, options: [...mount.options, 'ro'] } : mount));
  return byDepth([...binds, ...tmpfs, ...files]);
}

const isTmpfs = ({ Type: type }: RecordedMountPoint): boolean => type === 'tmpfs';
const depth = ({ destination }: BundleMount): number => destination.split('/').length;
const byDepth = (mounts: readonly BundleMount[]): BundleMount[] => mounts.toSorted((a, b) => depth(a) - depth(b));

function tmpfsOf({ hostConfig }: Container, points: readonly RecordedMountPoint[]): BundleMount[] {
  return [
    ...Object.entries(hostConfig.Tmpfs ?? {}).map(([destination, options]) => tmpfsMount(cleanPath(destination), options.split(',').filter((word) => word !== ''))),
    ...points.filter(isTmpfs).map((point) => tmpfsMount(point.Destination, tmpfsData(point.Spec))),
  ];
}

/** After the end, or a start that failed: volumes are this container's no longer. */
export async function leaveMounts(needs: ContainerNeeds, container: Container): Promise<void> {
  unstageMounts(needs, container);
  for (const name of volumesOf(container)) {
    if (!needs.volumes.isUser(name, container.id)) continue;
    try { await needs.volumes.unmount(name, container.id); } catch (error) { needs.log.warn('could not unmount a volume', { volume: name, container: container.id, error }); }
    needs.events.publish({ type: 'volume', action: 'unmount', id: name, attributes: { container: container.id, driver: LOCAL } });
  }
}

async function readyMount(needs: ContainerNeeds, container: Container, point: RecordedMountPoint): Promise<BundleMount> {
  const { Destination: destination, Spec: spec } = point;
  const found = isVolume(point) ? await readyVolume(needs, container, point) : readySource(needs, point);
  const propagation = bindPropagation(needs, { ...point, Source: found });
  const { Subpath: part = '' } = spec.VolumeOptions ?? {};
  const flat = spec.BindOptions?.NonRecursive === true;
  const source = part !== '' && isVolume(point) ? stageMount(needs, container, { root: found, path: part, recursive: true })
    : flat ? stageMount(needs, container, { root: '/', path: found, recursive: false }) : found;
  return {
    type: 'bind', source, destination,
    options: [flat ? 'bind' : 'rbind', ...(point.RW ? ['rw'] : readOnlyWords(needs, container, { ...point, Source: source })), ...(propagation === '' ? [] : [propagation])],
  };
}

async function readyVolume(needs: ContainerNeeds, container: Container, point: RecordedMountPoint): Promise<string> {
  const path = await needs.volumes.mount(point.Name, container.id);
  needs.events.publish({
    type: 'volume', action: 'mount', id: point.Name,
    attributes: { container: container.id, destination: point.Destination, driver: LOCAL, propagation: point.Propagation ?? '', 'read/write': String(point.RW) },
  });
  return path;
}

function readySource({ kernel, store }: ContainerNeeds, { Source: source, SkipMountpointCreation: mustExist }: RecordedMountPoint): string {
  if (mustExist) return source;
  try { kernel.files.ensureDirectory(source, store.idMap && hostRoot(store.idMap)); } catch (cause) {
    throw new EngineError('system', `error while creating mount source path '${source}': ${messageOf(cause)}`, { cause });
  }
  return source;
}

/** Since 5.12 the kernel can make all mounts below read-only with the one that is bound, and Docker since 25 lets it. */
const RECURSIVE_KERNEL = [5, 12] as const;
/** Of the runtimes only ours is known to pass it on. */
const RECURSIVE_RUNTIMES = ['', 'runc', 'crun', 'io.containerd.runc.v2'];

function readOnlyWords(needs: ContainerNeeds, container: Container, point: RecordedMountPoint): string[] {
  const { Source: source, Spec: { BindOptions: options, VolumeOptions: volume } } = point;
  const isFolder = isVolume(point) && !volume?.Subpath; // not looked at: it may be on a machine that does not answer
  if (!isFolder && needs.kernel.files.findInRoot('/', source).kind === 'other') return ['ro']; // nothing is mounted below a file, and crun 1.8 opens it as a folder
  if (options?.ReadOnlyNonRecursive) return ['ro'];
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const can = (major > RECURSIVE_KERNEL[0] || (major === RECURSIVE_KERNEL[0] && minor >= RECURSIVE_KERNEL[1])) && RECURSIVE_RUNTIMES.includes(container.hostConfig.Runtime);
  if (!can && options?.ReadOnlyForceRecursive) throw new EngineError('system', 'failed to set recursive read-only: the kernel (5.12 is needed) or the runtime cannot do it');
  return can && !options?.NonRecursive ? ['ro', 'rro'] : ['ro'];
}

/** What is to travel between host and container must be able to: Docker refuses a source whose own mount keeps it. */
function bindPropagation(needs: ContainerNeeds, point: RecordedMountPoint): string {
  const propagation = point.Propagation ?? '';
  if (!/^r?(shared|slave)$/.test(propagation)) return propagation;
  const { path } = needs.kernel.files.findInRoot('/', point.Source);
  const mount = needs.kernel.mounts.list().filter(({ target }) => isBelow(path, target)).reduce<{ target: string; propagation: string } | undefined>((best, one) => (best && best.target.length > one.target.length ? best : one), undefined);
  const has = (word: string) => mount?.propagation.split(' ').some((field) => field.startsWith(`${word}:`)) === true;
  if (has('shared') || (propagation.endsWith('slave') && has('master'))) return propagation;
  const fallback = propagation.endsWith('slave') && !point.Spec.BindOptions?.Propagation && (isBelow(point.Source, needs.store.root) || isBelow(needs.store.root, point.Source));
  if (fallback) return ''; // it was we who chose
  throw new EngineError('system', `path ${point.Source} is mounted on ${mount?.target ?? ''} but it is not a shared ${propagation.endsWith('slave') ? 'or slave ' : ''}mount`);
}

export const isBelow = (path: string, parent: string): boolean => path === parent || path.startsWith(parent === '/' ? '/' : `${parent}/`);

const TMPFS_DEFAULTS = ['noexec', 'nosuid', 'nodev', 'rprivate'];
const TMPFS_DATA = ['size', 'mode', 'uid', 'gid', 'nr_inodes', 'nr_blocks', 'mpol'];

/** Docker's defaults under what is asked for: of two words for one thing the later one counts. */
function tmpfsMount(destination: string, asked: readonly string[]): BundleMount {
  const kept = new Map<string, string>();
  for (const word of [...TMPFS_DEFAULTS, ...asked]) {
    if (word === 'defaults') continue;
    const [name = '', value] = word.split(/=(.*)/s);
    const key = PROPAGATIONS.includes(word) ? 'propagation' : flagKeyOf(word) ?? (value !== undefined && TMPFS_DATA.includes(name) ? name : undefined);
    if (key === undefined) throw new EngineError('system', `invalid tmpfs option ${JSON.stringify(value === undefined ? [word] : [name, value]).replaceAll('","', '" "')}`);
    kept.delete(key);
    kept.set(key, word);
  }
  return { type: 'tmpfs', source: 'tmpfs', destination, options: [...kept.values()] };
}
