// Opens every part of the store in the order of recovery, on whatever disk and extractors it is given.
import type { Kernel } from '../kernel/index.ts';
import type { Clock } from '../lib/clock.ts';
import { EngineError, errnoOf } from '../lib/errors.ts';
import type { IdMap } from '../lib/ids.ts';
import type { Log } from '../lib/log.ts';
import { openContainers } from './containers.ts';
import { openDeltas } from './deltas.ts';
import { directoryOf, type Disk } from './disk.ts';
import { openDistribution } from './distribution.ts';
import { readDockerNetworks } from './docker-databases.ts';
import { openImages } from './images.ts';
import type { NetworkRecord, Store } from './index.ts';
import { openLayers } from './layers.ts';
import { directoriesOf, layoutOf, MODE } from './layout.ts';
import { openNames } from './names.ts';
import { openNetworks } from './networks.ts';
import { erase, own, ownersOf, passOver, Report, type Owners, type Room } from './room.ts';
import { lockRoot } from './root-lock.ts';
import type { Extraction } from './staging.ts';
import { sweep } from './sweep.ts';
import { openVolumes, type TreeCopy } from './volumes.ts';

export interface StoreParts {
  root: string;
  kernel: { files: Pick<Kernel['files'], 'tryLock' | 'dropCache'>; mounts: Pick<Kernel['mounts'], 'list'> };
  log: Log;
  clock: Clock;
  disk: Disk;
  extractors: Extraction & { close(): Promise<void> };
  copier: TreeCopy;
  idMap?: IdMap | undefined;
}

export async function assembleStore({ root, kernel, log, clock, disk, extractors, copier, idMap }: StoreParts): Promise<Store> {
  const at = layoutOf(root);
  const owners = ownersOf(idMap);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => extractors.close());
  const lock = undo.use(await writable(root, async () => {
    await makeRoot(disk, root, at.own);
    await own({ disk }, root, owners.way);
    using taken = new DisposableStack();
    taken.use(lockRoot(root, at.own, kernel.files));
    await makeDirectories(disk, directoriesOf(root), owners);
    return taken.move();
  }));

  const report = new Report();
  const room: Room = { disk, at, log, clock, report, owners };
  const layers = await openLayers(room, { extractors, mounts: kernel.mounts, files: kernel.files });
  const containers = await openContainers(room);
  const volumes = await openVolumes(room, { copier, mounts: kernel.mounts });
  const namesNetwork = (id: string) => containers.loaded().some(({ record }) => Object.values(record.NetworkSettings.Networks ?? {}).some(({ NetworkID }) => NetworkID === id));
  const networks = await openNetworks(room, { ...foreignNetworks(room), containersName: namesNetwork });
  const images = await openImages(room, layers.state);
  const names = await openNames(room, { known: images.known, usable: (id) => images.store.get(id) !== undefined });
  const deltas = await openDeltas(room, { known: images.known, files: kernel.files });
  const leftovers = await sweep({ room, state: layers.state, kept: layers.kept, referenced: layers.referenced, mounts: kernel.mounts });
  // Deleting a half-pulled layer may take many seconds on flash; nobody has to wait for that.
  const erasing = erase(room, leftovers);

  undo.move();
  return {
    root, idMap, images: images.store, names, layers: layers.store, containers, volumes, networks, deltas: deltas.store, distribution: openDistribution(room), recovered: report,
    async collect() {
      const gone = await layers.collect(images.roots);
      await deltas.collect();
      return gone;
    },
    async close() {
      await extractors.close();
      layers.kept[Symbol.dispose]();
      await erasing;
      lock[Symbol.dispose]();
    },
  };
}

/** What an older engine on this root knows; one of its networks that is not for us is no damage. */
function foreignNetworks(room: Room): { foreign: NetworkRecord[]; others: string[] } {
  const { records, skipped } = readDockerNetworks(room.disk, room.at.dockerNetworks);
  for (const { key, reason } of skipped) {
    if (key === room.at.dockerNetworks) passOver(room, key, reason);
    else room.log.info('a network of another engine is not taken over', { key, reason });
  }
  return { foreign: records, others: skipped.flatMap(({ key }) => /[0-9a-f]{64}/.exec(key)?.[0] ?? []) };
}

async function makeRoot(disk: Disk, root: string, own: string): Promise<void> {
  if (!/^\/.*[^/]$/.test(root)) throw new EngineError('invalid', `data root must be an absolute path without a slash at its end: ${JSON.stringify(root)}`);
  const missing: string[] = [];
  for (let path = root; path !== '' && disk.kind(path) === undefined; path = directoryOf(path)) missing.push(path);
  await makeDirectories(disk, [...missing.toReversed().map((path) => [path, path === root ? 0o710 : 0o755] as const), [own, 0o700]]);
}

/** Only what is missing, and synced once: later syncs may then rely on every directory. */
async function makeDirectories(disk: Disk, wanted: ReadonlyArray<readonly [path: string, mode: number]>, owners?: Owners): Promise<void> {
  const made: string[] = [];
  for (const [path, mode] of wanted) {
    if (disk.kind(path) !== undefined) continue;
    await disk.mkdir(path, mode);
    if (mode === MODE.layerDir) await own({ disk }, path, owners?.way);
    made.push(path);
  }
  for (const parent of new Set(made.map((path) => directoryOf(path) || '/'))) await disk.syncDir(parent);
}

async function writable<T>(root: string, prepare: () => Promise<T>): Promise<T> {
  try {
    return await prepare();
  } catch (error) {
    if (errnoOf(error) === 'EROFS') throw new EngineError('unavailable', `data root ${root} is on a read-only file system: it must be writable`, { cause: error });
    throw error;
  }
}
