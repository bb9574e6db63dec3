// Binds and tmpfs of a container: from what the client wrote to mount points of the record and mounts of the bundle.
import { invalid } from '../../lib/errors.ts';
import type { BundleMount } from '../../runtime/index.ts';
import type { HostConfig, MountPoint, MountSpec } from '../../wire/types.ts';
import type { ContainerNeeds } from './needs.ts';

const PROPAGATIONS = ['rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave'];
const BIND_WORDS = ['ro', 'rw', 'z', 'Z', 'nocopy', 'cached', 'delegated', 'consistent', ...PROPAGATIONS];

/** The record's MountPoints, by destination. Volumes are refused: this version has none. */
export function mountPointsOf(host: HostConfig): Record<string, MountPoint> {
  const points: Record<string, MountPoint> = {};
  const add = (point: MountPoint) => {
    if (points[point.Destination]) throw invalid(`Duplicate mount point: ${point.Destination}`);
    points[point.Destination] = point;
  };
  for (const bind of host.Binds ?? []) add(parseBind(bind));
  for (const mount of host.Mounts ?? []) if (mount.Type !== 'tmpfs') add(bindOfMount(mount));
  return points;
}

/** "/host/path:/container/path[:options]". */
export function parseBind(text: string): MountPoint {
  const [source, destination, mode = '', rest] = text.split(':');
  if (!source || !destination || rest !== undefined) throw invalid(`invalid volume specification: '${text}'`);
  if (!destination.startsWith('/')) throw invalid(`invalid volume specification: '${text}': invalid mount config for type "${source.startsWith('/') ? 'bind' : 'volume'}": invalid mount path: '${destination}' mount path must be absolute`);
  if (normal(destination) === '/') throw invalid(`invalid volume specification: '${text}': invalid mount config for type "bind": invalid specification: destination can't be '/'`);
  if (!source.startsWith('/')) throw invalid(`volume "${source}": this version has no named volumes yet, bind a directory of the host instead (/path:${destination})`);
  const words = mode === '' ? [] : mode.split(',');
  for (const word of words) if (!BIND_WORDS.includes(word)) throw invalid(`invalid mode: ${mode}`);
  return {
    Type: 'bind', Source: normal(source), Destination: normal(destination), Mode: mode,
    RW: !words.includes('ro'), Propagation: words.find((word) => PROPAGATIONS.includes(word)) ?? 'rprivate',
  };
}

function bindOfMount(mount: MountSpec): MountPoint {
  if (mount.Type !== 'bind') throw invalid(`invalid mount config for type "${mount.Type}": this version has bind and tmpfs mounts only`);
  if (!mount.Source) throw invalid('invalid mount config for type "bind": field Source must not be empty');
  if (!mount.Source.startsWith('/')) throw invalid(`invalid mount config for type "bind": invalid mount path: '${mount.Source}' mount path must be absolute`);
  if (!mount.Target) throw invalid('invalid mount config for type "bind": field Target must not be empty');
  return {
    Type: 'bind', Source: normal(mount.Source), Destination: normal(mount.Target), Mode: '',
    RW: mount.ReadOnly !== true, Propagation: mount.BindOptions?.Propagation || 'rprivate',
  };
}

/** The mounts of a bundle, parents before children. */
export function bundleMountsOf(points: Readonly<Record<string, MountPoint>>, host: HostConfig): BundleMount[] {
  const binds = Object.values(points).map((point): BundleMount => ({
    type: 'bind', source: point.Source, destination: point.Destination,
    options: ['rbind', point.RW ? 'rw' : 'ro', point.Propagation || 'rprivate'],
  }));
  const tmpfs = Object.entries(host.Tmpfs ?? {}).map(([destination, options]): BundleMount => ({
    type: 'tmpfs', source: 'tmpfs', destination: normal(destination), options: tmpfsOptions(options.split(',').filter((word) => word !== '')),
  }));
  const mounts = (host.Mounts ?? []).filter((mount) => mount.Type === 'tmpfs').map((mount): BundleMount => ({
    type: 'tmpfs', source: 'tmpfs', destination: normal(mount.Target),
    options: ['noexec', 'nosuid', 'nodev', ...(mount.ReadOnly ? ['ro'] : []),
      ...(mount.TmpfsOptions?.SizeBytes ? [`size=${mount.TmpfsOptions.SizeBytes}`] : []),
      ...(mount.TmpfsOptions?.Mode ? [`mode=${mount.TmpfsOptions.Mode.toString(8)}`] : [])],
  }));
  return [...binds, ...tmpfs, ...mounts].toSorted((a, b) => a.destination.split('/').length - b.destination.split('/').length);
}

/** Docker's defaults, each unless its opposite is asked for. */
function tmpfsOptions(asked: readonly string[]): string[] {
  return [...['noexec', 'nosuid', 'nodev'].filter((word) => !asked.includes(word.slice(2))), ...asked];
}

/** What `--mount` names must be there, where `-v` makes a directory. */
export function demandedSources(host: HostConfig): string[] {
  return (host.Mounts ?? []).filter((mount) => mount.Type === 'bind' && mount.BindOptions?.CreateMountpoint !== true).map((mount) => normal(mount.Source ?? ''));
}

export function assertSources(needs: Pick<ContainerNeeds, 'kernel'>, host: HostConfig): void {
  for (const source of demandedSources(host)) {
    if (!needs.kernel.files.exists(source)) throw invalid(`invalid mount config for type "bind": bind source path does not exist: ${source}`);
  }
}

const normal = (path: string) => (`/${path.split('/').filter((part) => part !== '' && part !== '.').join('/')}`);
