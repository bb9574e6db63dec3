// What is decided without looking at the kernel, or with one in memory: ways out, names and notes of devices, strays, settings, parents of macvlans.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFake } from '../kernel/fake.ts';
import type { NetLink } from '../kernel/index.ts';
import { bridgeOf, isDefault, openNotes, standInOf, vethOf, vlanOf } from './devices.ts';
import { DEFAULT_NETWORK, network, place, SETTINGS } from './fixture.ts';
import { nextName } from './interfaces.ts';
import { closeMacvlan, openMacvlan } from './macvlan.ts';
import { boundPort, linkRules, portRules, publisherOf } from './publishing.ts';
import { decideStrays } from './settle.ts';
import { applySysctls } from './sysctls.ts';
import { decideWayOut, type Place } from './way-out.ts';

const seat = (name: string, gateways: { ipv4?: boolean; ipv6?: boolean }, more: { internal?: boolean; gwPriority?: number } = {}): Place => {
  const record = network(name, [], { Internal: more.internal ?? false });
  return {
    wish: place(record, { gwPriority: more.gwPriority ?? 0 }),
    endpoint: { networkId: record.Id, endpointId: '', ipv4: '', ipv4PrefixLen: 0, gateway: gateways.ipv4 ? '10.0.0.1' : '', ipv6: '', ipv6PrefixLen: 0, ipv6Gateway: gateways.ipv6 ? 'fd00::1' : '', mac: '', interfaceName: '' },
  };
};

test('the way out of each family', () => {
  const names = (...places: Place[]) => { const { ipv4, ipv6 } = decideWayOut(places); return [ipv4?.wish.network.Name, ipv6?.wish.network.Name]; };
  const four = { ipv4: true }, both = { ipv4: true, ipv6: true };
  assert.deepEqual(names(), [undefined, undefined]);
  assert.deepEqual(names(seat('b', four), seat('a', four)), ['a', undefined], 'by name');
  assert.deepEqual(names(seat('a', four), seat('b', both)), ['b', 'b'], 'both families first, as dockerd 20.10');
  assert.deepEqual(names(seat('a', four, { gwPriority: 1 }), seat('b', both)), ['a', 'b'], 'priority before that, and each family has its own');
  assert.deepEqual(names(seat('a', both, { internal: true, gwPriority: 9 }), seat('b', four, { gwPriority: -1 })), ['b', undefined], 'never an internal one');
});

test('published ports go to the way out, each within its family', () => {
  const at = (driver: string, options: Record<string, string> = {}): Place => {
    const one = seat('net', { ipv4: true, ipv6: true });
    return { wish: { ...one.wish, network: { ...one.wish.network, Driver: driver, Options: { 'com.docker.network.bridge.name': 'br0', ...options } } }, endpoint: { ...one.endpoint, ipv4: '10.0.0.2', ipv6: driver === 'bridge' ? 'fd00::2' : '' } };
  };
  const published = ['0.0.0.0', '::'].map((hostIp) => ({ port: 80, protocol: 'tcp' as const, hostIp, hostPort: 8080 }));
  const [bridge, wire] = [at('bridge'), at('macvlan')];
  const targets = (ipv4?: Place, ipv6?: Place) => portRules(published, { ipv4, ipv6 }).map(({ device, ip }) => `${device} ${ip}`);
  assert.deepEqual([targets(bridge, bridge), targets(bridge), targets(undefined, bridge), targets(wire, wire), targets()], [['br0 10.0.0.2', 'br0 fd00::2'], ['br0 10.0.0.2'], ['br0 fd00::2'], [], []]);
  assert.deepEqual([publisherOf({ ipv4: bridge, ipv6: wire }), publisherOf({ ipv4: wire, ipv6: bridge }), publisherOf({ ipv4: undefined, ipv6: bridge })], [bridge, undefined, bridge]);
  const bound = (hostIp: string, options: Record<string, string>, daemon = '') => boundPort({ port: 80, protocol: 'tcp', hostIp, hostPorts: { first: 0, last: 0 } }, at('bridge', options), { ...SETTINGS, hostIp: daemon }).hostIp;
  const [option, ofDefault] = ['com.docker.network.bridge.host_binding_ipv4', { 'com.docker.network.bridge.default_bridge': 'true' }];
  assert.deepEqual([bound('', {}, '1.1.1.1'), bound('', ofDefault, '1.1.1.1'), bound('', { [option]: '2.2.2.2' }), bound('3.3.3.3', { [option]: '2.2.2.2' }), bound('', { [option]: '0.0.0.0' })], ['', '1.1.1.1', '2.2.2.2', '3.3.3.3', '']);
  const inDefault = at('bridge', ofDefault);
  const links = (icc: boolean) => linkRules([{ ipv4: '10.0.0.9', port: 53, protocol: 'udp' }], [wire, inDefault], { ...SETTINGS, icc });
  assert.deepEqual([links(true), links(false)], [[], [{ device: 'br0', from: '10.0.0.2', to: '10.0.0.9', port: 53, protocol: 'udp' }]]);
});

test('names of devices, and whose they are', () => {
  const one = network('one', []);
  assert.deepEqual([bridgeOf(one), bridgeOf(DEFAULT_NETWORK()), vethOf('0123456789abcdef'), standInOf(one)], [`br-${one.Id.slice(0, 12)}`, 'docker0', 'veth0123456', `dm-${one.Id.slice(0, 12)}`]);
  assert.deepEqual([isDefault(one), isDefault(DEFAULT_NETWORK())], [false, true]);
  assert.deepEqual(['eth0.10', 'eth0', 'eth0.0', 'eth0.4095', 'a.b.7', 'averylongname0.10'].map(vlanOf), [{ parent: 'eth0', id: 10 }, undefined, undefined, undefined, { parent: 'a.b', id: 7 }, undefined]);
  const [mine, other] = [openNotes('one'), openNotes('two')];
  const alias = mine.alias(one.Id);
  assert.match(alias, /^vaquita [0-9a-f]{12} [0-9a-f]{12}$/);
  assert.deepEqual([mine.owned(alias), other.owned(alias), mine.owned(''), mine.owned(`${alias}0`)], [one.Id.slice(0, 12), undefined, undefined, undefined]);
  const link = (name: string, kind: string, text: string): NetLink => ({ index: 1, name, kind, alias: text, mac: '', mtu: 0, up: true, master: 0, peer: 0 });
  const links = [link('br-1', 'bridge', mine.alias('1'.repeat(64))), link('veth2', 'veth', mine.alias('2'.repeat(64))), link('br-3', 'bridge', mine.alias('3'.repeat(64))), link('br-4', 'bridge', other.alias('4'.repeat(64))), link('eth0', '', '')];
  assert.deepEqual(decideStrays(links, mine, { networks: ['3'.repeat(64)], endpoints: [] }), ['veth2', 'br-1'], 'ports first');
});

test('interfaces are counted by prefix, and a name that is asked for is one', () => {
  const at = (more: Record<string, string>, options: Record<string, string> = {}): Place => ({ ...seat('x', {}), wish: place(network('x', [], { Options: options }), { driverOpts: more }) });
  const ifname = 'com.docker.network.endpoint.ifname';
  assert.deepEqual([nextName(at({}), new Set(['lo', 'eth0', 'lan0'])), nextName(at({}, { 'com.docker.network.container_iface_prefix': 'lan' }), new Set(['eth0'])), nextName(at({ [ifname]: 'wan' }), new Set())], ['eth1', 'lan0', 'wan']);
  for (const bad of ['lo', '..', 'a/b', 'a b', 'sixteencharacters', 'eth0']) assert.throws(() => nextName(at({ [ifname]: bad }), new Set(['eth0'])), /interface name/, bad);
});

test('a setting stays below /proc/sys/net', () => {
  const fake = openFake();
  fake.alive.set(1, 1n);
  const inside = fake.net.ofProcess(1);
  for (const name of ['a', 'a.5']) inside.addDummy({ name });
  applySysctls(inside, { 'net.ipv4.conf.a.rp_filter': '1', 'net.ipv4.conf.a/5.rp_filter': '2', 'net/ipv6/conf/a.5/disable_ipv6': '0' });
  assert.deepEqual(['ipv4/conf/a/rp_filter', 'ipv4/conf/a.5/rp_filter', 'ipv6/conf/a.5/disable_ipv6'].map((path) => inside.settings.get(path)), ['1', '2', '0']);
  for (const name of ['net.ipv4.conf.//.//.kernel.core_pattern', 'net/ipv4/conf/../../kernel/core_pattern', 'net.ipv4..x', 'net.ipv4.conf.none.rp_filter']) {
    assert.throws(() => applySysctls(inside, { [name]: '1' }), /cannot set net/, name);
  }
});

test('a VLAN that was made for a macvlan goes with it, one that was there stays', async () => {
  const fake = openFake();
  const host = fake.net.host();
  const needs = { host, notes: openNotes('one') };
  const names = () => host.devices.map(({ name }) => name);
  host.addDummy({ name: 'eth0' });
  host.addVlan({ name: 'eth0.9', parent: 'eth0', id: 9 });
  const made = network('made', [], { Driver: 'macvlan', Options: { parent: 'eth0.10' } });
  const found = network('found', [], { Driver: 'macvlan', Options: { parent: 'eth0.9' } });
  for (const one of [made, found]) { using undo = new DisposableStack(); openMacvlan(needs, one, undo); undo.move(); }
  assert.deepEqual([names(), host.devices.at(-1)?.vlan, host.devices.at(-1)?.up], [['lo', 'eth0', 'eth0.9', 'eth0.10'], 10, true]);
  for (const one of [made, found]) await closeMacvlan(needs, one);
  assert.deepEqual(names(), ['lo', 'eth0', 'eth0.9']);
  host.addDummy = ({ name }) => { throw Object.assign(new Error(`add dummy ${name}`), { code: 'EOPNOTSUPP' }); };
  const alone = network('alone', [], { Driver: 'macvlan' });
  using undo = new DisposableStack();
  openMacvlan(needs, alone, undo);
  assert.deepEqual(host.devices.slice(-2).map(({ kind, up }) => [kind, up]), [['veth', true], ['veth', true]], 'a pair where there are no dummies');
  undo.dispose();
  assert.deepEqual(names(), ['lo', 'eth0', 'eth0.9']);
  const { Options: _none, ...unlike } = alone;
  assert.throws(() => openMacvlan(needs, { ...unlike, Options: { macvlan_mode: 'foo' } }, new DisposableStack()), /requested macvlan mode 'foo' is not valid/);
});
