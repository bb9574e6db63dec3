import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildBolt } from '../../test/kit/bolt.ts';
import { readDockerNetworks, readDockerVolumes } from './docker-databases.ts';

const disk = (bytes: Buffer | undefined) => ({ read: (): Uint8Array | undefined => bytes });
const id = (digit: string): string => digit.repeat(64);
const generic = (options: object) => ({ generic: { 'com.docker.network.enable_ipv6': false, 'com.docker.network.generic': options } });

/** As libnetwork writes it: lists stand as text within the record, and their entries have text within them again. */
function stored(what: Record<string, unknown>): string {
  const base = { addrSpace: 'LocalDefault', created: '2026-11-21T03:21:00.5Z', enableIPv6: false, ...generic({}), ipamType: 'default', ipamOptions: {}, labels: {}, networkType: 'bridge', persist: true, scope: 'local', inDelete: false };
  return `\x01\0\0\0\0\0\0\0${JSON.stringify({ ...base, ...what })}`;
}
const config = (...list: object[]) => JSON.stringify(list);
const info = (...list: object[]) => JSON.stringify(list.map((one) => ({ IPAMData: JSON.stringify(one), PoolID: 'x' })));
const ADDRESS = { ipamV4Config: config({ PreferredPool: '', SubPool: '', Gateway: '', AuxAddresses: null }), ipamV4Info: info({ AddressSpace: 'LocalDefault', Gateway: '172.18.0.1/16', Pool: '172.18.0.0/16' }) };

test('networks of Docker become records of ours, and those that are not for us are told', () => {
  const networks: Record<string, string> = {
    a: stored({ id: id('a'), name: 'plain', ...ADDRESS }),
    b: stored({
      id: id('b'), name: 'asked', labels: { x: '1' }, internal: true, attachable: true, enableIPv6: true, ...generic({ 'com.docker.network.bridge.name': 'br', broken: 7 }),
      ipamV4Config: config({ PreferredPool: '10.9.0.0/16', SubPool: '10.9.1.0/24', Gateway: '10.9.0.7', AuxAddresses: { r: '10.9.0.9' } }), ipamV4Info: info({ Gateway: '10.9.0.7/16', Pool: '10.9.0.0/16', AuxAddresses: { r: '10.9.0.9/16' } }),
      ipamV6Config: config({ PreferredPool: 'fd00::/64', SubPool: '', Gateway: '', AuxAddresses: null }), ipamV6Info: info({ Gateway: 'fd00::1/64', Pool: 'fd00::/64' }),
    }),
    c: stored({ id: id('c'), name: 'config', networkType: 'null', configOnly: true, ...generic({ parent: 'eth0' }), ipamV4Config: config({ PreferredPool: '10.77.0.0/24' }) }),
    d: stored({ id: id('d'), name: 'lan', networkType: 'macvlan', configFrom: 'config', ...ADDRESS }),
    e: stored({ id: id('e'), name: 'none', networkType: 'null' }), f: stored({ id: id('f'), name: 'host', networkType: 'host' }),
    g: stored({ id: id('0'), name: 'bridge', ...generic({ 'com.docker.network.bridge.default_bridge': 'true' }), ...ADDRESS }),
    h: stored({ id: id('1'), name: 'ov', networkType: 'overlay', scope: 'swarm', ...ADDRESS }), i: stored({ id: id('2'), name: 'ipv', networkType: 'ipvlan', ...ADDRESS }),
    j: stored({ id: id('3'), name: 'going', inDelete: true, ...ADDRESS }), k: stored({ id: 'short', name: 'x' }), l: '1234', m: stored({ id: id('4'), name: 'bare' }), n: stored({ id: id('5'), name: 'odd', ipamV4Config: '{', ...generic({}) }),
  };
  const tree = { libnetwork: { ...Object.fromEntries(Object.entries(networks).map(([key, value]) => [`docker/network/v1.0/network/${key}/`, value])), 'docker/network/v1.0/endpoint/x/y/': 'not ours' } };
  const { records, skipped } = readDockerNetworks(disk(buildBolt(tree)), '/kv');
  const base = { Created: '2026-11-21T03:21:00.5Z', Driver: 'bridge', EnableIPv6: false, Internal: false, Attachable: false, Ingress: false, ConfigOnly: false, ConfigFrom: '', Options: {}, Labels: {} };
  const pool = { v4: [{ subnet: '172.18.0.0/16', range: '172.18.0.0/16', gateway: '172.18.0.1', aux: {} }], v6: [] };
  const ipam = (...Config: object[]) => ({ Driver: 'default', Options: {}, Config: Config.map((one) => ({ Subnet: '', IPRange: '', Gateway: '', AuxiliaryAddresses: {}, ...one })) });
  assert.deepEqual(records, [
    { ...base, Id: id('a'), Name: 'plain', IPAM: ipam(), pools: pool },
    {
      ...base, Id: id('b'), Name: 'asked', EnableIPv6: true, Internal: true, Attachable: true, Options: { 'com.docker.network.bridge.name': 'br' }, Labels: { x: '1' },
      IPAM: ipam({ Subnet: '10.9.0.0/16', IPRange: '10.9.1.0/24', Gateway: '10.9.0.7', AuxiliaryAddresses: { r: '10.9.0.9' } }, { Subnet: 'fd00::/64' }),
      pools: { v4: [{ subnet: '10.9.0.0/16', range: '10.9.1.0/24', gateway: '10.9.0.7', aux: { r: '10.9.0.9' } }], v6: [{ subnet: 'fd00::/64', range: 'fd00::/64', gateway: 'fd00::1', aux: {} }] },
    },
    { ...base, Id: id('c'), Name: 'config', Driver: 'null', ConfigOnly: true, Options: { parent: 'eth0' }, IPAM: ipam({ Subnet: '10.77.0.0/24' }), pools: { v4: [], v6: [] } },
    { ...base, Id: id('d'), Name: 'lan', Driver: 'macvlan', ConfigFrom: 'config', IPAM: ipam(), pools: pool },
  ]);
  assert.deepEqual(skipped.map(({ key, reason }) => `${key.slice(-2, -1)}: ${reason}`), [
    'h: network ov belongs to swarm: only those of one machine are taken over', 'i: network ipv has the driver "ipvlan", which this engine has not', 'j: network going was being removed', 'k: no name or no ID', 'l: no JSON',
    'm: network bare has no subnet', 'n: no JSON',
  ]);
});

test('a database that is not there, empty, torn or too large stops nobody', () => {
  const whole = buildBolt({ volumes: { a: JSON.stringify({ Name: 'a', Labels: { x: '1' }, Options: null }), b: '{"Na', c: '[]' } });
  const nothing = { records: [], skipped: [] };
  for (const bytes of [undefined, Buffer.alloc(0), buildBolt({ other: { a: 'b' } })]) assert.deepEqual(readDockerNetworks(disk(bytes), '/kv'), nothing);
  assert.deepEqual(readDockerVolumes(disk(whole), '/md'), { volumes: new Map([['a', { labels: { x: '1' }, options: null }]]), skipped: [{ key: 'b', reason: 'no JSON' }, { key: 'c', reason: 'no JSON object' }] });
  for (const bytes of [Buffer.from('nonsense'), whole.subarray(0, 900), Buffer.alloc(65536)]) assert.deepEqual(readDockerNetworks(disk(bytes), '/kv').skipped.map(({ key }) => key), ['/kv']);
  const refusing = { read: (): never => { throw new Error('/kv: 64 bytes, more than the 32 that such a file may have'); } };
  assert.match(readDockerNetworks(refusing, '/kv').skipped[0]?.reason ?? '', /more than the 32/);
});
