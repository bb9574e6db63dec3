// Container records: one directory each, with config.v2.json, hostconfig.json and the small files that are mounted into it.
import { assert, corrupt, messageOf } from '../lib/errors.ts';
import { KeyedLock } from '../lib/lock.ts';
import { completeHostConfig, completeRecord } from './container-defaults.ts';
import { replaceFile, STAGED_PREFIX } from './disk.ts';
import type { ContainerRecord, ContainerStore, StoredContainer } from './index.ts';
import { checkedId, containerPath, DRIVER, isHex64, MODE } from './layout.ts';
import { readObject } from './records.ts';
import { erase, moveToRemoved, own, setAside, type Room } from './room.ts';

const RECORD = 'config.v2.json';
const HOST_CONFIG = 'hostconfig.json';

export async function openContainers(room: Room): Promise<ContainerStore> {
  const { disk, at } = room;
  const found = await loadContainers(room);
  const lock = new KeyedLock();
  const directory = (containerId: string) => containerPath(at, checkedId(containerId, 'container'));
  return {
    loaded: () => found,
    directory,
    create: (container) => createContainer(room, container),
    async save(record, { durable = true } = {}) {
      const path = `${directory(record.ID)}/${RECORD}`;
      using _guard = await lock.hold(path);
      await replaceFile(disk, path, { data: formatRecord(record), mode: MODE.record, durable });
    },
    async saveHostConfig(containerId, hostConfig) {
      const path = `${directory(containerId)}/${HOST_CONFIG}`;
      using _guard = await lock.hold(path);
      await replaceFile(disk, path, { data: JSON.stringify(hostConfig), mode: MODE.plain });
    },
    async writeFile(containerId, name, content) {
      assert(/^[a-z][a-z0-9_.-]*$/i.test(name) && name !== RECORD && name !== HOST_CONFIG, `${JSON.stringify(name)} may stand in a container's directory`);
      await disk.mkdir(directory(containerId), MODE.layerDir);
      await own(room, directory(containerId), room.owners.way);
      const path = `${directory(containerId)}/${name}`;
      await disk.write(path, content, MODE.plain);
      await own(room, path, room.owners.inside);
      return path;
    },
    async makeMountPoint(containerId, name) {
      const path = `${directory(containerId)}/mounts`;
      for (const [each, mode] of [[directory(containerId), MODE.layerDir], [path, MODE.layerDir]] as const) {
        await disk.mkdir(each, mode);
        await own(room, each, room.owners.way);
      }
      await disk.mkdir(`${path}/${name}`, MODE.private);
      return `${path}/${name}`;
    },
    async remove(containerId) {
      const removed = await moveToRemoved(room, directory(containerId));
      if (removed === undefined) return;
      await disk.syncDir(at.containers);
      await erase(room, [removed]);
    },
  };
}

function formatRecord(record: ContainerRecord): string {
  const text = JSON.stringify(record);
  completeRecord(JSON.parse(text), record.ID); // what could not be read again is not written
  return text;
}

/** Made beside, named last: a power cut leaves the whole container or none of it. */
async function createContainer(room: Room, { record, hostConfig }: StoredContainer): Promise<void> {
  const { disk, at, clock } = room;
  const path = containerPath(at, checkedId(record.ID, 'container'));
  const existing = disk.kind(path) !== undefined; // some file was written into it before
  const making = existing ? path : `${at.own}/new-${record.ID}-${clock.randomHex(4)}`;
  await using undo = new AsyncDisposableStack();
  if (!existing) {
    undo.defer(() => disk.remove(making));
    await disk.mkdir(making, MODE.layerDir);
    await own(room, making, room.owners.way);
  }
  await disk.mkdir(`${making}/checkpoints`, MODE.private); // Docker expects it to list them
  await disk.write(`${making}/${HOST_CONFIG}`, JSON.stringify(hostConfig), MODE.plain);
  await disk.write(`${making}/${RECORD}`, formatRecord(record), MODE.record);
  await Promise.all([disk.sync(`${making}/${HOST_CONFIG}`), disk.sync(`${making}/${RECORD}`)]);
  await disk.syncDir(making);
  if (!existing) await disk.rename(making, path);
  undo.move();
  await disk.syncDir(at.containers);
}

async function loadContainers(room: Room): Promise<StoredContainer[]> {
  const { disk, at, log, report } = room;
  const found: StoredContainer[] = [];
  for (const name of disk.list(at.containers)) {
    const path = containerPath(at, name);
    if (!isHex64(name) || disk.kind(path) !== 'directory') continue;
    for (const file of [RECORD, HOST_CONFIG]) await disk.remove(`${path}/${STAGED_PREFIX}${file}`);
    try {
      const container = readContainer(room, path, name);
      if (container.record.Driver === DRIVER || container.record.Driver === '') found.push(container);
      else log.warn('container of another storage driver passed over', { container: name, driver: container.record.Driver });
    } catch (error) {
      report.unsure = true; // who knows what it used
      await setAside(room, path, messageOf(error));
    }
  }
  return found;
}

function readContainer({ disk }: Room, path: string, containerId: string): StoredContainer {
  const json = readObject(disk, `${path}/${RECORD}`);
  if (!json) throw corrupt(`${path}: no ${RECORD}`);
  // Docker runs a container without a host config as if it had an empty one.
  return { record: completeRecord(json, containerId), hostConfig: completeHostConfig(readObject(disk, `${path}/${HOST_CONFIG}`) ?? {}) };
}
