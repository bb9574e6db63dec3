// Volumes: one folder each with its data, as Docker has them. Docker's own list of them (metadata.db) is made again from the folders, so
// that whatever stands here is found by it; what it keeps only there (labels) stands in a small record of ours beside the data. Of volumes that
// have none, because Docker made them, it is read from that list.
//
// A volume is there as long as its folder has `_data`: that is made last and is the first to go, so a power cut leaves it whole or not at all.
import { lstatSync } from 'node:fs';
import { formatNanos } from '../lib/clock.ts';
import { assert, conflict, EngineError, messageOf } from '../lib/errors.ts';
import type { Mounts } from '../kernel/index.ts';
import type { StringMap } from '../wire/types.ts';
import { treeSizeBytes } from './active.ts';
import { STAGED_PREFIX } from './disk.ts';
import { readDockerVolumes, type DockerVolume } from './docker-databases.ts';
import type { LocalMount, StoredVolume, VolumeSource, VolumeStore } from './index.ts';
import { isVolumeName, MODE, volumePath } from './layout.ts';
import { isObject, readObject, type JsonObject } from './records.ts';
import { erase, own, passOver, setAside, type Room } from './room.ts';

const DATA = '_data';
const OPTIONS = 'opts.json';
const RECORD = 'vaquita.json';
/** What `_data` is called once its volume is no more. */
const REMOVED = '_removed';
/** Where the content of an image is gathered, so that a volume is never seen half filled. */
const FILLING = '_filling';
/** All that may stand in a folder whose making or removing was cut short; anything else is somebody's data and stays. */
const LEFTOVERS: readonly string[] = [OPTIONS, RECORD, REMOVED, FILLING];

/** Copies a directory of a root file system into an empty one; see copier.ts. */
export interface TreeCopy {
  look(rootfs: string, path: string): 'nothing' | 'file' | 'empty' | 'files';
  /** Owner, mode and attributes of the directory alone. */
  dress(what: { rootfs: string; path: string; into: string }): void;
  /** On the disk when resolved. */
  copy(what: { rootfs: string; path: string; into: string; /** Does nothing otherwise. */ onlyIfEmpty?: boolean; /** Ends when this process dies: nobody else wants what it makes. */ unlessOrphaned?: boolean }): Promise<void>;
}

export async function openVolumes(room: Room, { copier, mounts }: { copier: TreeCopy; mounts: Pick<Mounts, 'list'> }): Promise<VolumeStore> {
  const found = await loadVolumes(room, mounts);
  const named = (name: string): StoredVolume => {
    const volume = found.get(name);
    assert(volume, `volume ${JSON.stringify(name)} is in the store`);
    return volume;
  };
  return {
    get: (name) => found.get(name),
    list: () => [...found.values()],
    async create(what) {
      assert(isVolumeName(what.name), `${JSON.stringify(what.name)} is a name of a volume`);
      if (found.has(what.name)) throw conflict(`volume ${what.name} exists already`);
      const volume = await makeVolume(room, what);
      found.set(what.name, volume);
      return volume;
    },
    async remove(name) {
      if (!found.has(name)) return;
      const path = volumePath(room.at, name);
      assertUnmounted(mounts, path);
      await room.disk.rename(`${path}/${DATA}`, `${path}/${REMOVED}`);
      found.delete(name);
      await room.disk.syncDir(path);
      await erase(room, [path]);
    },
    sizeBytes: async (name) => await treeSizeBytes(named(name).path),
    fill: (name, from) => fillVolume({ room, copier }, named(name), from),
  };
}

async function makeVolume(room: Room, { name, labels, options }: VolumeSource): Promise<StoredVolume> {
  const { disk, at, clock } = room;
  const path = volumePath(at, name);
  const createdAt = formatNanos(clock.nowNanos()).replace(/\.\d+/, '');
  if (!isLeftover(room, path)) throw conflict(`create ${name}: there is no volume in ${path}, but other files; move them away`);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => disk.remove(path));
  await disk.remove(path); // an erasing that was cut short
  await disk.mkdir(path, MODE.volume);
  await own(room, path, room.owners.inside);
  const files: Array<readonly [file: string, json: object]> = [[RECORD, { Driver: 'local', CreatedAt: createdAt, Labels: labels, Options: options }]];
  if (Object.keys(options ?? {}).length > 0) files.push([OPTIONS, recordedMount(options ?? {})]);
  for (const [file, json] of files) {
    await disk.write(`${path}/${file}`, JSON.stringify(json), MODE.record);
    await disk.sync(`${path}/${file}`);
  }
  await disk.syncDir(path); // the options before the data: a volume that has lost them would be written to in the wrong place
  await disk.mkdir(`${path}/${DATA}`, MODE.diff);
  await own(room, `${path}/${DATA}`, room.owners.inside);
  await disk.syncDir(path);
  await disk.syncDir(at.volumes);
  undo.move();
  return { name, createdAt, labels, options, path: `${path}/${DATA}`, mount: localMount(options ?? {}), damaged: undefined };
}

async function fillVolume({ room: { disk, at }, copier }: { room: Room; copier: TreeCopy }, volume: StoredVolume, { rootfs, path, inPlace, remote }: Parameters<VolumeStore['fill']>[1]): Promise<void> {
  if (!remote && disk.list(volume.path).length > 0) return;
  const content = copier.look(rootfs, path);
  if (content === 'nothing') return;
  if (content === 'file') throw new EngineError('system', `source ${rootfs}${path} is not directory`);
  if (remote) return await copier.copy({ rootfs, path, into: volume.path, onlyIfEmpty: true });
  if (content === 'empty') return copier.dress({ rootfs, path, into: volume.path });
  if (inPlace) return await copier.copy({ rootfs, path, into: volume.path });
  const folder = volumePath(at, volume.name);
  const filling = `${folder}/${FILLING}`;
  await using undo = new AsyncDisposableStack();
  undo.defer(() => disk.remove(filling));
  await disk.remove(filling);
  await disk.mkdir(filling, MODE.private);
  // The next daemon erases it: nobody may be filling it then.
  await copier.copy({ rootfs, path, into: filling, unlessOrphaned: true });
  await disk.rename(filling, volume.path); // takes the place of the empty one
  undo.move();
  await disk.syncDir(folder);
}

/** opts.json, in the words of Docker's local driver. */
const recordedMount = (options: Readonly<StringMap>): object =>
  ({ MountType: options['type'] ?? '', MountOpts: options['o'] ?? '', MountDevice: options['device'] ?? '', Quota: { Size: 0 } });

function localMount(options: Readonly<StringMap>): LocalMount | undefined {
  const { type = '', o = '', device = '' } = options;
  return type === '' && device === '' ? undefined : { type, options: o, device };
}

/** Whatever is mounted below would be erased with the folder. */
function assertUnmounted(mounts: Pick<Mounts, 'list'>, path: string): void {
  const mounted = mounts.list().find(({ target }) => target.startsWith(`${path}/`));
  if (mounted) throw conflict(`${mounted.target} is still mounted`);
}

const isLeftover = ({ disk }: Room, path: string): boolean => disk.list(path).every((file) => LEFTOVERS.includes(file));

async function loadVolumes(room: Room, mounts: Pick<Mounts, 'list'>): Promise<Map<string, StoredVolume>> {
  const { disk, at, log } = room;
  const found = new Map<string, StoredVolume>();
  const docker = dockersList(room);
  for (const name of disk.list(at.volumes).toSorted()) {
    const path = volumePath(at, name);
    if (!isVolumeName(name) || disk.kind(path) !== 'directory') continue;
    for (const file of [OPTIONS, RECORD]) await disk.remove(`${path}/${STAGED_PREFIX}${file}`);
    if (disk.kind(`${path}/${DATA}`) === 'directory') {
      if (disk.kind(`${path}/${FILLING}`) !== undefined) await erase(room, [`${path}/${FILLING}`]);
      found.set(name, await readVolume(room, name, docker));
    } else if (isLeftover(room, path)) {
      try {
        assertUnmounted(mounts, path);
        await disk.remove(path);
        room.report.swept.push(path);
      } catch (error) {
        log.warn('could not erase what is left of a volume, will try at the next start', { volume: name, error });
      }
    } else passOver(room, path, `no ${DATA} in it, but other files`);
  }
  return found;
}

/** Read when it is first asked for: where all volumes are our own, nobody needs it. */
function dockersList(room: Room): (name: string) => DockerVolume | undefined {
  let volumes: ReadonlyMap<string, DockerVolume> | undefined;
  return (name) => {
    if (!volumes) {
      const read = readDockerVolumes(room.disk, `${room.at.volumes}/metadata.db`);
      volumes = read.volumes;
      for (const { key, reason } of read.skipped) passOver(room, key.startsWith('/') ? key : `${room.at.volumes}/metadata.db: ${key}`, reason);
    }
    return volumes.get(name);
  };
}

async function readVolume(room: Room, name: string, docker: (name: string) => DockerVolume | undefined): Promise<StoredVolume> {
  const { disk, at } = room;
  const path = volumePath(at, name);
  const own = await readRecord(room, path);
  const theirs = own === undefined ? docker(name) : undefined;
  const labels = textMapOf(own?.['Labels']) ?? theirs?.labels ?? null;
  const given = textMapOf(own?.['Options']) ?? theirs?.options ?? null;
  let options = given;
  let damaged: string | undefined;
  try {
    const recorded = readObject(disk, `${path}/${OPTIONS}`);
    const mounted = recorded && optionsOf(recorded);
    if (mounted) options = { ...mounted, ...given };
  } catch (error) {
    const mended = Object.keys(given ?? {}).length > 0;
    if (mended) await mendOptions(room, path, given ?? {});
    else damaged = messageOf(error);
    passOver(room, `${path}/${OPTIONS}`, mended ? `${messageOf(error)} (written again)` : messageOf(error));
  }
  const createdAt = typeof own?.['CreatedAt'] === 'string' ? own['CreatedAt'] : bornAt(`${path}/${DATA}`);
  return { name, createdAt, labels, options, path: `${path}/${DATA}`, mount: localMount(options ?? {}), damaged };
}

async function readRecord(room: Room, path: string): Promise<JsonObject | undefined> {
  try {
    return readObject(room.disk, `${path}/${RECORD}`);
  } catch (error) {
    await setAside(room, `${path}/${RECORD}`, messageOf(error));
    return undefined;
  }
}

async function mendOptions({ disk }: Room, path: string, options: Readonly<StringMap>): Promise<void> {
  await disk.write(`${path}/${OPTIONS}`, JSON.stringify(recordedMount(options)), MODE.record);
  await disk.sync(`${path}/${OPTIONS}`);
}

/** What a client had said for Docker to write this file. */
function optionsOf(recorded: JsonObject): StringMap | null {
  const words = { type: recorded['MountType'], o: recorded['MountOpts'], device: recorded['MountDevice'] };
  const said = Object.entries(words).filter((entry): entry is [string, string] => typeof entry[1] === 'string' && entry[1] !== '');
  return said.length === 0 ? null : Object.fromEntries(said);
}

function textMapOf(value: unknown): StringMap | null {
  return isObject(value) ? Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string')) : null;
}

/** Of a folder that no record of ours tells about. */
function bornAt(path: string): string {
  const { birthtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
  return formatNanos(birthtimeNs > 0n ? birthtimeNs : ctimeNs).replace(/\.\d+/, '');
}
