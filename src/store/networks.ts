// Networks that users made: one small record each, in a directory of our own. What an older engine knows of its networks stands in a database of its
// own, which is read and never written.
import { corrupt, messageOf } from '../lib/errors.ts';
import { KeyedLock } from '../lib/lock.ts';
import type { StringMap } from '../wire/types.ts';
import { replaceFile, STAGED_PREFIX } from './disk.ts';
import type { NetworkPool, NetworkRecord, NetworkStore } from './index.ts';
import { checkedId, isHex64, MODE } from './layout.ts';
import { isObject, readObject, type JsonObject } from './records.ts';
import { setAside, type Room } from './room.ts';

const SUFFIX = '.json';
/** IDs of networks that went on purpose, while something still tells of them. */
const REMOVED = `removed${SUFFIX}`;

/** `foreign`: those that an older engine recorded on this root; each is taken over once. `others`: IDs of its networks that are not for us. */
export async function openNetworks(room: Room, { foreign, others, containersName }: { foreign: readonly NetworkRecord[]; others: readonly string[]; containersName: (networkId: string) => boolean }): Promise<NetworkStore> {
  const { disk, at } = room;
  const lock = new KeyedLock();
  const pathOf = (id: string) => `${at.networks}/${checkedId(id, 'network')}${SUFFIX}`;
  const isForeign = (id: string) => foreign.some(({ Id }) => Id === id);
  const found = await loadNetworks(room);
  // Of the others nobody tells any more: so the file stays small.
  const removed = new Set((await readRemoved(room)).filter((id) => !found.some(({ Id }) => Id === id) && (isForeign(id) || containersName(id))));
  const save = async (record: NetworkRecord) => {
    using _guard = await lock.hold(record.Id);
    await replaceFile(disk, pathOf(record.Id), { data: formatRecord(record), mode: MODE.record });
  };
  for (const record of foreign.filter(({ Id }) => !removed.has(Id) && !found.some((one) => one.Id === Id))) {
    room.log.info('taking over a network of another engine', { network: record.Name, id: record.Id });
    await save(record);
    found.push(record);
  }
  const rememberRemoved = async (id: string) => {
    using _guard = await lock.hold(REMOVED);
    removed.add(id);
    await replaceFile(disk, `${at.networks}/${REMOVED}`, { data: JSON.stringify({ Ids: [...removed] }), mode: MODE.record });
  };
  return {
    loaded: () => found.toSorted((one, other) => (one.Created < other.Created ? -1 : 1)),
    wasRemoved: (id) => removed.has(id) || others.includes(id),
    save,
    async remove(id, { remember }) {
      if (remember || isForeign(id)) await rememberRemoved(id);
      using _guard = await lock.hold(id);
      await disk.remove(pathOf(id));
      await disk.syncDir(at.networks);
    },
  };
}

function formatRecord(record: NetworkRecord): string {
  const text = JSON.stringify(record);
  parseNetwork(JSON.parse(text), record.Id); // what could not be read again is not written
  return text;
}

async function loadNetworks(room: Room): Promise<NetworkRecord[]> {
  const { disk, at } = room;
  const found: NetworkRecord[] = [];
  for (const name of disk.list(at.networks)) {
    const path = `${at.networks}/${name}`;
    const id = name.slice(0, -SUFFIX.length);
    if (name.startsWith(STAGED_PREFIX)) await disk.remove(path);
    else if (name === `${id}${SUFFIX}` && isHex64(id)) {
      try {
        found.push(parseNetwork(readObject(disk, path), id));
      } catch (error) {
        await setAside(room, path, messageOf(error));
      }
    }
  }
  return found;
}

async function readRemoved(room: Room): Promise<string[]> {
  const path = `${room.at.networks}/${REMOVED}`;
  try {
    const ids = readObject(room.disk, path)?.['Ids'] ?? [];
    if (!Array.isArray(ids) || !ids.every((id) => typeof id === 'string')) throw corrupt(`${path}: no list of IDs`);
    return ids;
  } catch (error) {
    await setAside(room, path, messageOf(error));
    return [];
  }
}

/** `corrupt` when it says too little to make the network of it; a field that is merely missing has its zero. */
export function parseNetwork(json: unknown, id: string): NetworkRecord {
  if (!isObject(json)) throw corrupt('no JSON object');
  const text = (object: JsonObject, key: string): string => {
    const value = object[key] ?? '';
    if (typeof value !== 'string') throw corrupt(`${key} is no text`);
    return value;
  };
  const name = text(json, 'Name');
  const driver = text(json, 'Driver');
  if (json['Id'] !== id || name === '' || driver === '') throw corrupt(`no record of network ${id}`);
  const flag = (key: string) => json[key] === true;
  const ipam = objectAt(json, 'IPAM');
  return {
    Id: id, Name: name, Created: text(json, 'Created'), Driver: driver, EnableIPv6: flag('EnableIPv6'), Internal: flag('Internal'), Attachable: flag('Attachable'), Ingress: flag('Ingress'),
    ConfigOnly: flag('ConfigOnly'), ConfigFrom: text(json, 'ConfigFrom'), Options: textMap(json['Options']), Labels: textMap(json['Labels']),
    IPAM: {
      Driver: text(ipam, 'Driver') || 'default', Options: isAbsent(ipam['Options']) ? null : textMap(ipam['Options']),
      Config: objectsAt(ipam, 'Config').map((one) => ({ Subnet: text(one, 'Subnet'), IPRange: text(one, 'IPRange'), Gateway: text(one, 'Gateway'), AuxiliaryAddresses: textMap(one['AuxiliaryAddresses']) })),
    },
    pools: { v4: poolsAt(objectAt(json, 'pools'), 'v4'), v6: poolsAt(objectAt(json, 'pools'), 'v6') },
  };

  function poolsAt(pools: JsonObject, family: 'v4' | 'v6'): NetworkPool[] {
    return objectsAt(pools, family).map((one) => ({ subnet: text(one, 'subnet'), range: text(one, 'range') || text(one, 'subnet'), gateway: text(one, 'gateway'), aux: textMap(one['aux']) }));
  }
}

function objectAt(json: JsonObject, key: string): JsonObject {
  const value = json[key] ?? {};
  if (!isObject(value)) throw corrupt(`${key} is no object`);
  return value;
}

function objectsAt(json: JsonObject, key: string): JsonObject[] {
  const value = json[key] ?? [];
  if (!Array.isArray(value) || !value.every(isObject)) throw corrupt(`${key} is no list of objects`);
  return value;
}

const isAbsent = (value: unknown): boolean => value === undefined || value === null;

function textMap(value: unknown): StringMap {
  if (isAbsent(value)) return {};
  if (!isObject(value) || !Object.values(value).every((each) => typeof each === 'string')) throw corrupt('no map of texts');
  return value as StringMap;
}
