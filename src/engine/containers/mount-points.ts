// What clients write about mounts (-v, --mount, --volumes-from, --tmpfs) → mount points as Docker records them, or its words of refusal. Pure.
import { invalid, messageOf } from '../../lib/errors.ts';
import type { RecordedMountPoint } from '../../store/index.ts';
import type { HostConfig, MountSpec } from '../../wire/types.ts';

export const PROPAGATIONS = ['rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave'];
/** Groups of words behind the last colon of -v; of each group one word may stand there. */
const MODE_WORDS = [['rw', 'ro'], ['z', 'Z'], PROPAGATIONS, ['nocopy'], ['consistent', 'cached', 'delegated', 'default']];
/** What a volume is mounted with when nothing else is said: its files may be shared by containers with other labels. */
const SHARED_LABEL = 'z';

/** A mount point, and what of the wish no record holds. */
export interface PlannedMount {
  point: RecordedMountPoint;
  /** Whether a volume that is empty gets what the image has in its place. */
  copy: boolean;
}

/** "/host/path:/in/container:options", "volume:/in/container" … */
export function parseBind(text: string, volumeDriver: string): PlannedMount {
  const parts = text.split(':');
  const [first = '', second, mode = ''] = parts;
  if (parts.length > 3 || first === '' || (parts.length === 2 && isMode(second ?? ''))) throw invalid(`invalid volume specification: '${text}'`);
  if (!isMode(mode)) throw invalid(`invalid mode: ${mode}`);
  const source = second === undefined ? '' : first;
  const words = mode.split(',');
  const type = source.startsWith('/') ? 'bind' : 'volume';
  const propagation = words.find((word) => PROPAGATIONS.includes(word));
  const volumeOptions = { ...(volumeDriver !== '' && type === 'volume' ? { DriverConfig: { Name: volumeDriver } } : {}), ...(words.includes('nocopy') ? { NoCopy: true } : {}) };
  const spec: MountSpec = {
    Type: type, ...(source === '' ? {} : { Source: source }), Target: second ?? first, ...(words.includes('ro') ? { ReadOnly: true } : {}),
    ...(propagation === undefined ? {} : { BindOptions: { Propagation: propagation } }),
    ...(Object.keys(volumeOptions).length > 0 ? { VolumeOptions: volumeOptions } : {}),
  };
  try {
    const planned = parseMount(spec);
    return { ...planned, point: { ...planned.point, ...(mode === '' ? {} : { Relabel: mode }) } };
  } catch (error) {
    throw invalid(`invalid volume specification: '${text}': ${messageOf(error)}`, { cause: error });
  }
}

/** One entry of HostConfig.Mounts. That the source of a bind is there is not looked at here. */
export function parseMount(spec: MountSpec): PlannedMount {
  assertMount(spec);
  const point: RecordedMountPoint = { Source: '', Destination: cleanPath(spec.Target), RW: spec.ReadOnly !== true, Name: '', Driver: '', Type: spec.Type, Spec: spec, SkipMountpointCreation: false };
  switch (spec.Type) {
    case 'bind':
      return { copy: false, point: { ...point, Source: cleanPath(spec.Source ?? ''), Propagation: spec.BindOptions?.Propagation || 'rprivate' } };
    case 'volume':
      return { copy: spec.VolumeOptions?.NoCopy !== true && !spec.VolumeOptions?.Subpath, point: { ...point, Name: spec.Source ?? '', Driver: spec.VolumeOptions?.DriverConfig?.Name ?? '' } };
    default: return { copy: false, point };
  }
}

function assertMount(spec: MountSpec): void {
  const refused = (why: string) => invalid(`invalid mount config for type "${spec.Type}": ${why}`);
  if (!spec.Target) throw refused('field Target must not be empty');
  if (cleanPath(spec.Target) === '/') throw refused("invalid specification: destination can't be '/'");
  assertAbsolute(spec.Target, refused);
  if (!['bind', 'volume', 'tmpfs'].includes(spec.Type)) throw refused('mount type unknown');
  for (const [type, field] of [['bind', 'BindOptions'], ['volume', 'VolumeOptions'], ['tmpfs', 'TmpfsOptions']] as const) {
    if (type !== spec.Type && spec[field]) throw refused(`field ${field} must not be specified`);
  }
  switch (spec.Type) {
    case 'bind': assertBind(spec, refused); break;
    case 'volume':
      if (!spec.Source && spec.ReadOnly) throw refused('must not set ReadOnly mode when using anonymous volumes');
      if (spec.VolumeOptions?.Subpath) assertSubpath(spec.VolumeOptions.Subpath, refused);
      break;
    default:
      if (spec.Source) throw refused('field Source must not be specified');
      tmpfsData(spec, refused);
  }
}

type Refusal = (why: string) => Error;

function assertBind(spec: MountSpec, refused: Refusal): void {
  if (!spec.Source) throw refused('field Source must not be empty');
  const { Propagation: propagation = '', ReadOnlyNonRecursive: flat, ReadOnlyForceRecursive: deep } = spec.BindOptions ?? {};
  if (propagation !== '' && !PROPAGATIONS.includes(propagation)) throw refused(`invalid propagation mode: ${propagation}`);
  if (flat && deep) throw refused('must not set both ReadOnlyNonRecursive and ReadOnlyForceRecursive');
  assertAbsolute(spec.Source, refused);
}

function assertAbsolute(path: string, refused: Refusal = invalid): void {
  if (!path.startsWith('/')) throw refused(`invalid mount path: '${path}' mount path must be absolute`);
}

function assertSubpath(path: string, refused: Refusal): void {
  if (path.startsWith('/')) throw refused('subpath must be a relative path within the volume');
  if (path.split('/').includes('..')) throw refused('subpath must not leave the volume');
}

/** --tmpfs: destinations only; the options are looked at when it is mounted. */
export function assertTmpfs(tmpfs: HostConfig['Tmpfs']): void {
  for (const destination of Object.keys(tmpfs ?? {})) {
    if (cleanPath(destination) === '/') throw invalid("invalid specification: destination can't be '/'");
    assertAbsolute(destination);
  }
}

/** Config.Volumes, where only the place in the container is said. */
export function assertPlainVolume(destination: string): void {
  const refused = (why: string) => invalid(`invalid volume specification: '${destination}': invalid mount config for type "volume": ${why}`);
  if (destination === '') throw refused('field Target must not be empty');
  if (cleanPath(destination) === '/') throw refused("invalid specification: destination can't be '/'");
  assertAbsolute(destination, refused);
}

/** "container[:mode]". */
export function parseVolumesFrom(text: string): { word: string; readOnly: boolean } {
  if (text === '') throw invalid('volumes-from specification cannot be an empty string');
  const colon = text.indexOf(':');
  if (colon < 0) return { word: text, readOnly: false };
  const mode = text.slice(colon + 1);
  const words = mode.split(',');
  if (!isMode(mode) || words.some((word) => word === 'nocopy' || PROPAGATIONS.includes(word))) throw invalid(`invalid mode: ${mode}`);
  return { word: text.slice(0, colon), readOnly: words.includes('ro') };
}

/** The mode that inspect shows of a volume that none was given for. */
export const withDefaultMode = (point: RecordedMountPoint): RecordedMountPoint => (point.Relabel ? point : { ...point, Relabel: SHARED_LABEL });

/** The data of a tmpfs asked for by --mount, as words. */
export function tmpfsData(spec: Partial<MountSpec>, refused: Refusal = invalid): string[] {
  const { SizeBytes: size, Mode: mode, Options: options } = spec.TmpfsOptions ?? {};
  const words = (options ?? []).map((option) => {
    const [name = '', value] = option;
    if (option.length === 0 || option.length > 2 || name === '') throw refused('invalid option array length');
    if (!(value === undefined ? TMPFS_FLAGS : TMPFS_KEYS).includes(name)) throw refused(`invalid option: ${name}`);
    return value === undefined ? name : `${name}=${value}`;
  });
  return [...(spec.ReadOnly ? ['ro'] : []), ...(mode ? [`mode=${mode.toString(8)}`] : []), ...(size ? [`size=${shortSize(size)}`] : []), ...words];
}

/** What may stand in TmpfsOptions.Options. Source: API 1.46. */
const TMPFS_FLAGS = ['exec', 'noexec'];
const TMPFS_KEYS = ['uid', 'gid', 'nr_inodes', 'nr_blocks', 'mpol'];

function shortSize(bytes: number): string {
  for (const [suffix, unit] of [['g', 2 ** 30], ['m', 2 ** 20], ['k', 2 ** 10]] as const) if (bytes % unit === 0) return `${bytes / unit}${suffix}`;
  return String(bytes);
}

function isMode(mode: string): boolean {
  if (mode === '') return true;
  const groups = mode.split(',').map((word) => MODE_WORDS.findIndex((group) => group.includes(word)));
  return !groups.includes(-1) && new Set(groups).size === groups.length;
}

/** As Go's path.Clean of an absolute path. */
export function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}
