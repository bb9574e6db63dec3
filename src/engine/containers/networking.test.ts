// The networks of a container in its record: made, in use, after the end; dockerd 20.10 gave the same answers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messageOf, notFound } from '../../lib/errors.ts';
import type { Endpoint } from '../../network/index.ts';
import type { NetworkRecord, RecordedEndpoint, RecordedNetworkSettings } from '../../store/index.ts';
import type { CreateBody, EndpointSettings } from '../../wire/types.ts';
import { EMPTY_NETWORK } from '../networks/predefined.ts';
import { assertFits, emptiedSettings, filledEndpoint, givenTo, inOrder, networkName, networkOfEntry, newEndpoint, newNetworkSettings, portsOfRun, withOwnAliases, type NetworkLookup } from './networking.ts';

const network = (Name: string, Id: string, more: Partial<NetworkRecord> = {}): NetworkRecord => ({ ...EMPTY_NETWORK, Name, Id, Created: '', Driver: 'bridge', ...more });
const subnet = (Subnet: string) => ({ Driver: 'default', Options: null, Config: [{ Subnet, IPRange: '', Gateway: '', AuxiliaryAddresses: {} }] });
const NETWORKS = [network('bridge', 'b0'), network('host', 'h0', { Driver: 'host' }), network('none', 'n0', { Driver: 'null' }), network('own', '0a1b'), network('ranged', '0c1d', { IPAM: subnet('10.0.0.0/8') })];
const lookup = (networks: readonly NetworkRecord[] = NETWORKS): NetworkLookup => ({
  find(word) {
    const match = networks.find(({ Id, Name }) => Id === word || Name === word);
    if (!match) throw notFound(`network ${word} not found`);
    return match;
  },
});
const body = (EndpointsConfig: Record<string, Partial<EndpointSettings>>, more: CreateBody = {}): CreateBody => ({ ...more, NetworkingConfig: { EndpointsConfig } });
const names = (of: CreateBody, mode: string, networks = lookup()) => Object.keys(newNetworkSettings(of, { mode, networks, macs: true }).Networks);
const GOT: Endpoint = { networkId: '0a1b', endpointId: 'ee', ipv4: '10.0.0.2', ipv4PrefixLen: 8, gateway: '10.0.0.1', ipv6: 'fd00::2', ipv6PrefixLen: 64, ipv6Gateway: 'fd00::1', mac: '02:42:0a:00:00:02', interfaceName: 'eth0' };

test('a new container is recorded with the network that its mode means, or with those its client names', () => {
  const bare = lookup(NETWORKS.slice(1));
  const table: ReadonlyArray<[CreateBody, string, string[]]> = [
    [{}, 'default', ['bridge']], [{}, 'bridge', ['bridge']], [{}, 'own', ['own']], [{}, '0a1b', ['own']], [{}, 'later', ['later']], [{}, 'none', ['none']], [{}, 'container:x', []], [{ NetworkDisabled: true }, 'own', []],
    [body({ default: {} }), 'default', ['bridge']], [body({ own: {} }), 'default', ['own']], [body({ '0a1b': {} }), 'own', ['own']], [body({ own: {}, ranged: {} }), 'own', ['own', 'ranged']],
  ];
  for (const [of, mode, wanted] of table) assert.deepEqual(names(of, mode), wanted, JSON.stringify([of, mode]));
  assert.deepEqual([names({}, 'default', bare), networkName(bare, 'default'), names({}, 'bridge', bare)], [['none'], 'none', ['bridge']]);
  const { Networks: made, ...rest } = newNetworkSettings(body({ own: { Aliases: ['a'], IPAMConfig: { IPv4Address: '10.0.0.2' }, DriverOpts: { k: 'v' }, GwPriority: 3 }, ranged: { MacAddress: '02:42:ac:11:00:09' } }, { MacAddress: '02:42:ac:11:00:02' }), { mode: 'own', networks: lookup(), macs: true });
  const empty = { Links: null, NetworkID: '', EndpointID: '', Gateway: '', IPAddress: '', IPPrefixLen: 0, IPv6Gateway: '', GlobalIPv6Address: '', GlobalIPv6PrefixLen: 0 };
  assert.deepEqual(made, {
    own: { ...empty, IPAMConfig: { IPv4Address: '10.0.0.2' }, Aliases: ['a'], MacAddress: '', DriverOpts: { k: 'v' }, GwPriority: 3, DesiredMacAddress: '02:42:ac:11:00:02' },
    ranged: { ...empty, IPAMConfig: null, Aliases: null, MacAddress: '02:42:ac:11:00:09', DriverOpts: null, DesiredMacAddress: '02:42:ac:11:00:09' },
  });
  const old = newNetworkSettings(body({ own: { MacAddress: '02:42:ac:11:00:09' } }), { mode: 'own', networks: lookup(), macs: false }).Networks['own'];
  assert.deepEqual([old?.MacAddress, old?.DesiredMacAddress], ['02:42:ac:11:00:09', undefined]);
  assert.deepEqual([rest.Ports, rest.SandboxID, rest.SandboxKey], [null, '', '']);
});

test('a start connects the default bridge first, then the network it was made for, then the others by name', () => {
  const settings = { Networks: Object.fromEntries(['z', 'own', 'a', 'bridge'].map((name) => [name, newEndpoint({})])) };
  assert.deepEqual([inOrder(settings, 'own').map(([name]) => name), inOrder(settings, 'bridge').map(([name]) => name)], [['bridge', 'own', 'a', 'z'], ['bridge', 'a', 'own', 'z']]);
});

test('a network that was joined before is known by its ID, those of every host by their names', () => {
  const find = (name: string, NetworkID: string) => networkOfEntry(lookup(), name, { NetworkID }).Id;
  assert.deepEqual([find('own', ''), find('own', '0a1b'), find('bridge', 'dockers'), find('renamed', '0a1b')], ['0a1b', '0a1b', 'b0', '0a1b']);
  assert.throws(() => find('own', 'gone'), /network gone not found/);
});

test('in a network of users a container is called by its short ID and host name too', () => {
  const record = { ID: `0123456789ab${'c'.repeat(52)}`, Config: { Hostname: 'web' } as never };
  const aliases = (said: string[] | null, name = 'own', of = record) => withOwnAliases(newEndpoint({ Aliases: said }), name, of).Aliases;
  assert.deepEqual([aliases(null), aliases(['web', 'x', 'x']), aliases(['0123456789ab', 'web']), aliases(null, 'bridge')], [['0123456789ab', 'web'], ['web', 'x', 'x', '0123456789ab'], ['0123456789ab', 'web'], null]);
  assert.deepEqual(aliases(null, 'own', { ...record, Config: { Hostname: '0123456789ab' } as never }), ['0123456789ab'], 'the host name it has when none was said');
});

test('what does not fit to a network is refused in Docker\'s words', () => {
  const told = (at: number, endpoint: Partial<EndpointSettings>) => {
    try { assertFits(NETWORKS[at] ?? network('', ''), endpoint); return 'fits'; } catch (error) { return messageOf(error); }
  };
  const [v4, v6] = [{ IPAMConfig: { IPv4Address: '10.0.0.2' } }, { IPAMConfig: { IPv6Address: 'fd00::2' } }];
  for (const at of [0, 1, 2]) {
    assert.equal(told(at, v4), 'user specified IP address is supported on user defined networks only');
    assert.equal(told(at, { Aliases: ['x'] }), 'network-scoped alias is supported only for containers in user defined networks');
    assert.equal(told(at, { IPAMConfig: { LinkLocalIPs: ['169.254.1.1'] }, Aliases: [] }), 'fits');
  }
  const unranged = 'user specified IP address is supported only when connecting to networks with user configured subnets';
  assert.deepEqual([told(3, v4), told(3, { Aliases: ['x'] }), told(4, v4), told(4, v6)], [unranged, 'fits', 'fits', unranged]);
});

test('the record of a run is filled, read back, and emptied at its end', () => {
  const asked = newEndpoint({ Aliases: ['a'], MacAddress: '02:42:ac:11:00:09' });
  const filled = filledEndpoint(asked, GOT);
  assert.deepEqual(givenTo(filled), { ...GOT, interfaceName: '' });
  assert.deepEqual([filled.Aliases, filled.MacAddress, filled.DesiredMacAddress], [['a'], GOT.mac, '02:42:ac:11:00:09']);
  const settings = { SandboxID: 's', SandboxKey: '/k', Ports: { '80/tcp': null }, Networks: { own: filled } as Record<string, RecordedEndpoint> } as unknown as RecordedNetworkSettings;
  const after = emptiedSettings(settings);
  assert.deepEqual([after.SandboxID, after.SandboxKey, after.Ports], ['s', '/k', null], 'as with Docker');
  assert.deepEqual(after.Networks['own'], { ...asked, NetworkID: '0a1b', MacAddress: '' });
});

test('ports are told where a network carries them to the outside', () => {
  const config = { ExposedPorts: { '80/tcp': {} } };
  const ports = (...networks: NetworkRecord[]) => portsOfRun(config, { published: [], networks });
  assert.deepEqual([ports(), ports(network('i', 'i', { Internal: true })), ports(network('m', 'm', { Driver: 'macvlan' })), ports(network('host', 'h', { Driver: 'host' })), ports(network('m', 'm', { Driver: 'macvlan' }), network('b', 'b'))], [{}, {}, {}, {}, { '80/tcp': null }]);
});
