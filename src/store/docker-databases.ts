// What Docker and balenaEngine keep in databases and nowhere else: labels of volumes, and networks. Read at the start, never written.
import { corrupt, messageOf } from '../lib/errors.ts';
import type { StringMap } from '../wire/types.ts';
import { readBolt } from './bolt.ts';
import type { Disk } from './disk.ts';
import type { NetworkPool, NetworkRecord } from './index.ts';
import { isHex64 } from './layout.ts';
import { isObject, MAX_RECORD_BYTES, type JsonObject } from './records.ts';

/** Docker makes them of 32 KiB, and bbolt doubles them; a thousand networks stay below 4 MiB. */
const MAX_DATABASE_BYTES = 32 * 2 ** 20;
const NETWORK_KEY = 'docker/network/v1.0/network/';
/** How often the value was written stands before the value itself. */
const INDEX_BYTES = 8;
/** Of those that libnetwork has, what this engine has too. */
const DRIVERS: readonly string[] = ['bridge', 'macvlan'];

type Reader = Pick<Disk, 'read'>;

/** What cannot be read, or is not for us: the key of a record or the path of the whole file, and why. */
interface Skipped { key: string; reason: string }
export interface DockerVolume { labels: StringMap | null; options: StringMap | null }

/** Labels and options of the volumes in `volumes/metadata.db`, by name; none without the file. */
export function readDockerVolumes(disk: Reader, path: string): { volumes: Map<string, DockerVolume>; skipped: Skipped[] } {
  const volumes = new Map<string, DockerVolume>();
  const skipped = eachRecord({ disk, path, bucket: 'volumes' }, (name, value) => {
    const json = parseObject(value);
    volumes.set(name, { labels: textMap(json['Labels']), options: textMap(json['Options']) });
  });
  return { volumes, skipped };
}

/**
 * The networks that users made, from `network/files/local-kv.db`; none without the file. `skipped` tells which others there are, and why they
 * are not taken over; those that every engine has by itself are not told.
 */
export function readDockerNetworks(disk: Reader, path: string): { records: NetworkRecord[]; skipped: Skipped[] } {
  const records: NetworkRecord[] = [];
  const skipped = eachRecord({ disk, path, bucket: 'libnetwork' }, (name, value) => {
    if (!name.startsWith(NETWORK_KEY)) return;
    const json = parseObject(value.subarray(INDEX_BYTES));
    if (!isPredefined(json)) records.push(networkOf(json));
  });
  return { records, skipped };
}

/** Goes on behind a record that cannot be read, and ends where the file cannot. */
function eachRecord({ disk, path, bucket }: { disk: Reader; path: string; bucket: string }, take: (name: string, value: Uint8Array) => void): Skipped[] {
  const skipped: Skipped[] = [];
  try {
    const bytes = disk.read(path, MAX_DATABASE_BYTES);
    if (bytes === undefined || bytes.length === 0) return skipped; // Docker was stopped before it wrote anything
    for (const { key, value } of readBolt(bytes).bucket(bucket)?.entries() ?? []) {
      const name = textOf(key);
      try {
        if (value.length > MAX_RECORD_BYTES) throw corrupt(`${value.length} bytes, more than the ${MAX_RECORD_BYTES} that a record may have`);
        take(name, value);
      } catch (error) {
        skipped.push({ key: name, reason: messageOf(error) });
      }
    }
  } catch (error) {
    skipped.push({ key: path, reason: messageOf(error) });
  }
  return skipped;
}

/** Docker's default bridge, host and none. */
function isPredefined(json: JsonObject): boolean {
  if (json['configOnly'] === true) return false;
  const type = json['networkType'];
  return type === 'null' || type === 'host' || (type === 'bridge' && optionsOf(json)['com.docker.network.bridge.default_bridge'] === 'true');
}

function networkOf(json: JsonObject): NetworkRecord {
  const [id, name, driver] = [word(json, 'id'), word(json, 'name'), word(json, 'networkType')];
  const configOnly = json['configOnly'] === true;
  if (!isHex64(id) || name === '') throw corrupt('no name or no ID');
  if (json['inDelete'] === true) throw corrupt(`network ${name} was being removed`);
  if (json['scope'] !== 'local') throw corrupt(`network ${name} belongs to ${word(json, 'scope') || 'nobody'}: only those of one machine are taken over`);
  if (!configOnly && !DRIVERS.includes(driver)) throw corrupt(`network ${name} has the driver ${JSON.stringify(driver)}, which this engine has not`);
  const [v4, v6] = [familyOf(json, 'V4'), familyOf(json, 'V6')];
  if (!configOnly && v4.pools.length + v6.pools.length === 0) throw corrupt(`network ${name} has no subnet`);
  return {
    Id: id, Name: name, Created: word(json, 'created'), Driver: driver, EnableIPv6: json['enableIPv6'] === true, Internal: json['internal'] === true, Attachable: json['attachable'] === true,
    Ingress: json['ingress'] === true, ConfigOnly: configOnly, ConfigFrom: word(json, 'configFrom'), Options: optionsOf(json), Labels: textMap(json['labels']) ?? {},
    IPAM: { Driver: word(json, 'ipamType') || 'default', Options: textMap(json['ipamOptions']), Config: [...v4.config, ...v6.config] },
    pools: { v4: v4.pools, v6: v6.pools },
  };
}

type Config = NetworkRecord['IPAM']['Config'][number];

/** What was asked for, and what was given: lists of the same length, each as text within the record. */
function familyOf(json: JsonObject, family: 'V4' | 'V6'): { config: Config[]; pools: NetworkPool[] } {
  const asked = listAt(json, `ipam${family}Config`).map((one) => ({ Subnet: word(one, 'PreferredPool'), IPRange: word(one, 'SubPool'), Gateway: word(one, 'Gateway'), AuxiliaryAddresses: textMap(one['AuxAddresses']) ?? {} }));
  const pools = listAt(json, `ipam${family}Info`).map((one, at) => {
    const data = parseJson(word(one, 'IPAMData'));
    if (!isObject(data) || word(data, 'Pool') === '') throw corrupt('a subnet without its pool');
    const subnet = word(data, 'Pool');
    const aux = Object.entries(textMap(data['AuxAddresses']) ?? {}).map(([name, address]): [string, string] => [name, withoutPrefix(address)]);
    return { subnet, range: asked[at]?.IPRange || subnet, gateway: withoutPrefix(word(data, 'Gateway')), aux: Object.fromEntries(aux) };
  });
  return { config: asked.filter((one) => one.Subnet !== '' || one.IPRange !== '' || one.Gateway !== ''), pools };
}

/** Options of the driver; what else stands beside them has its own field in our record. */
function optionsOf(json: JsonObject): StringMap {
  const generic = json['generic'];
  return textMap(isObject(generic) ? generic['com.docker.network.generic'] : undefined) ?? {};
}

function listAt(json: JsonObject, key: string): JsonObject[] {
  const text = word(json, key);
  const list = text === '' ? [] : parseJson(text);
  if (list === null) return [];
  if (!Array.isArray(list) || !list.every(isObject)) throw corrupt(`${key} is no list of objects`);
  return list;
}

function word(json: JsonObject, key: string): string {
  const value = json[key] ?? '';
  if (typeof value !== 'string') throw corrupt(`${key} is no text`);
  return value;
}

function parseObject(bytes: Uint8Array): JsonObject {
  const json = parseJson(textOf(bytes));
  if (!isObject(json)) throw corrupt('no JSON object');
  return json;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw corrupt('no JSON', { cause });
  }
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
const withoutPrefix = (address: string): string => address.replace(/\/.*$/, '');
const textMap = (value: unknown): StringMap | null => (isObject(value) ? Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string')) : null);
