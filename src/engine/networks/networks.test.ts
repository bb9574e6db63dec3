// Networks of users: what is refused, found and shown, and that a failure at any step leaves everything or nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../lib/clock.ts';
import { kindOf, messageOf } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { FAKE_SETTINGS, openFakeNetwork } from '../../network/fake.ts';
import type { NetworkRecord, StoredContainer } from '../../store/index.ts';
import type { NetworkCreateBody } from '../../wire/types.ts';
import type { ContainerNeeds } from '../containers/needs.ts';
import { openEvents, type Fact } from '../events.ts';
import { Networks } from './networks.ts';
import { openNetworks } from './open.ts';
import { lostNetworks } from './rebuild.ts';
import { openNetworkVerbs } from './verbs.ts';

/** More calls than any verb makes. */
const MOST_CALLS = 30;

type Endpoints = Record<string, { NetworkID: string; EndpointID?: string; Gateway?: string; IPPrefixLen?: number }>;
interface Guest { ID: string; Name: string; running: boolean; Networks: Endpoints }

interface World { needs: ContainerNeeds; records: Map<string, NetworkRecord>; removed: Set<string>; told: Fact[]; guests: Guest[]; network: ReturnType<typeof openFakeNetwork>; failAt: number; calls: string[]; failing: (call: string) => boolean }

/** A world in which the n-th change of anything outside fails. */
function world({ failAt = Infinity, bridge = 'none', guests = [] }: { failAt?: number; bridge?: string; guests?: Guest[] } = {}): World {
  const w: World = { needs: undefined as unknown as ContainerNeeds, records: new Map(), removed: new Set(), told: [], guests, network: undefined as unknown as World['network'], failAt, calls: [], failing: () => false };
  const step = (call: string) => { if (w.calls.push(call) - 1 === w.failAt || w.failing(call)) throw new Error(`${call} failed`); };
  w.network = openFakeNetwork({ onCall: step, settings: { bridge } });
  const asContainer = ({ ID, Name, running, Networks: entries }: Guest) => ({
    id: ID, name: Name, running, record: { ID, Name: `/${Name}`, Created: '2026-01-01T00:00:00Z', NetworkSettings: { Networks: Object.fromEntries(Object.entries(entries).map(([name, entry]) => [name, {
      EndpointID: '', MacAddress: '02:42:ac:12:00:02', IPAddress: '172.18.0.2', IPPrefixLen: 16, GlobalIPv6Address: '', GlobalIPv6PrefixLen: 0, Gateway: '', IPv6Gateway: '', ...entry }])) } },
  });
  const networks = {
    loaded: () => [...w.records.values()],
    wasRemoved: (id: string) => w.removed.has(id),
    save: async (record: NetworkRecord) => { step('save'); w.records.set(record.Id, record); },
    remove: async (id: string, { remember }: { remember: boolean }) => { step('remove'); if (remember) w.removed.add(id); w.records.delete(id); },
  };
  const events = openEvents(systemClock);
  w.needs = {
    store: { networks, containers: { loaded: () => w.guests.map(asContainer) as unknown as StoredContainer[] } }, network: w.network, clock: systemClock, log: silentLog, daemonId: 'd',
    events: { ...events, publish: (fact: Fact) => { w.told.push(fact); } }, table: { all: () => w.guests.map(asContainer) },
  } as unknown as ContainerNeeds;
  return w;
}

const opened = async (w: World): Promise<ContainerNeeds> => ({ ...w.needs, networks: await openNetworks(w.needs) });
const create = (networks: Networks, body: NetworkCreateBody) => networks.create({ Name: 'n', ...body }, { unique: false });
const filters = (of: Record<string, string[]> = {}) => ({ filters: new Map(Object.entries(of)) });

const REFUSED: ReadonlyArray<readonly [body: NetworkCreateBody, kind: string, message: string]> = [
  [{ Name: 'bridge' }, 'forbidden', 'operation is not permitted on predefined bridge network '],
  [{ Name: 'default' }, 'forbidden', 'operation is not permitted on predefined default network '],
  [{ Name: '' }, 'invalid', 'invalid name: '],
  [{ Name: ' ' }, 'invalid', 'invalid name:  '],
  [{ Driver: 'overlay' }, 'not-found', 'plugin "overlay" not found'],
  [{ Driver: 'host' }, 'forbidden', 'only one instance of "host" network is allowed'],
  [{ Driver: 'null' }, 'forbidden', 'only one instance of "null" network is allowed'],
  [{ Ingress: true }, 'forbidden', 'Ingress network can only be global scope network'],
  [{ Scope: 'swarm' }, 'forbidden', 'cannot create a swarm scoped network when swarm is not active'],
  [{ Scope: 'global' }, 'system', 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.'],
  [{ IPAM: { Driver: 'nosuch' } }, 'not-found', 'plugin "nosuch" not found'],
  [{ IPAM: { Driver: 'null' } }, 'invalid', 'ipv4 pool is empty'],
  [{ IPAM: { Config: [{}] } }, 'invalid', 'Invalid subnet  : invalid CIDR address: '],
  [{ IPAM: { Config: [{ Gateway: '10.1.0.1' }] } }, 'invalid', 'Invalid subnet  : invalid CIDR address: '],
  [{ IPAM: { Config: [{ Subnet: 'bogus' }] } }, 'invalid', 'Invalid subnet bogus : invalid CIDR address: bogus'],
  [{ EnableIPv4: false }, 'invalid', 'IPv4 cannot be switched off: networks of this version always have it'],
  [{ ConfigOnly: true, Internal: true }, 'forbidden', 'configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.'],
  [{ ConfigOnly: true, Scope: 'local' }, 'forbidden', 'configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.'],
  [{ ConfigOnly: true, ConfigFrom: { Network: 'template' } }, 'forbidden', 'a configuration network cannot depend on another configuration network'],
  [{ ConfigFrom: { Network: 'nosuch' } }, 'not-found', 'configuration network "nosuch" does not exist'],
  [{ ConfigFrom: { Network: 'host' } }, 'not-found', 'configuration network "host" does not exist'],
  [{ ConfigFrom: { Network: 'template' }, Labels: { a: 'b' } }, 'forbidden', 'user specified configurations are not supported if the network depends on a configuration network'],
  [{ ConfigFrom: { Network: 'template' }, IPAM: { Config: [{ Subnet: '10.1.0.0/16' }] } }, 'forbidden', 'user specified configurations are not supported if the network depends on a configuration network'],
  [{ ConfigFrom: { Network: 'template' }, Options: { a: 'b' } }, 'forbidden', 'network driver options are not supported if the network depends on a configuration network'],
  [{ Options: { 'com.docker.network.driver.mtu': 'x' } }, 'invalid', 'failed to parse com.docker.network.driver.mtu value: x (strconv.Atoi: parsing "x": invalid syntax)'],
  [{ Options: { 'com.docker.network.driver.mtu': '-5' } }, 'invalid', 'invalid MTU number: -5'],
  [{ Options: { 'com.docker.network.driver.mtu': '67' } }, 'invalid', 'invalid MTU number: 67'],
  [{ Options: { 'com.docker.network.driver.mtu': '65536' } }, 'invalid', 'invalid MTU number: 65536'],
  [{ Options: { 'com.docker.network.bridge.enable_icc': '' } }, 'invalid', 'failed to parse com.docker.network.bridge.enable_icc value:  (strconv.ParseBool: parsing "": invalid syntax)'],
  [{ Options: { 'com.docker.network.bridge.host_binding_ipv4': 'x' } }, 'invalid', 'failed to parse com.docker.network.bridge.host_binding_ipv4 value: x (nil ip)'],
  [{ Options: { 'com.docker.network.bridge.name': 'a'.repeat(16) } }, 'invalid', 'invalid name of a bridge: "aaaaaaaaaaaaaaaa": longer than 15 bytes'],
  [{ Options: { 'com.docker.network.bridge.name': 'a/b' } }, 'invalid', 'invalid name of a bridge: "a/b": no device may be called so'],
];

test('each invalid network is refused in Docker’s words, and nothing is made', async () => {
  const w = world();
  const { networks } = await opened(w);
  await create(networks, { Name: 'template', ConfigOnly: true, Labels: { x: 'y' }, IPAM: { Config: [{ Subnet: '10.9.0.0/24' }] } });
  const before = [...w.records.keys()];
  for (const [body, kind, message] of REFUSED) {
    const error = await create(networks, body).then(() => undefined, (thrown: unknown) => thrown);
    assert.deepEqual([kindOf(error), messageOf(error)], [kind, message], JSON.stringify(body));
  }
  assert.deepEqual([[...w.records.keys()], w.network.opened.size, w.told.length], [before, 0, 1]);
});

test('a template is no network, and lends what it has to others', async () => {
  const w = world();
  const { networks } = await opened(w);
  const { id: template } = await create(networks, { Name: 'template', ConfigOnly: true, Driver: 'overlay', Labels: { x: 'y' }, Options: { 'com.docker.network.bridge.name': 'cobr' }, IPAM: { Config: [{ Subnet: '10.9.0.0/24' }] } });
  assert.equal(w.network.opened.size, 0);
  await assert.rejects(networks.claim(template, 'c'), /cannot create endpoint on configuration-only network/);
  const { id } = await create(networks, { Name: 'f', ConfigFrom: { Network: 'template' }, Internal: true });
  const made = networks.get(id);
  assert.deepEqual([made?.Driver, made?.ConfigFrom, made?.Labels, made?.Options, made?.IPAM.Config[0]?.Subnet, made?.Internal], ['bridge', 'template', { x: 'y' }, { 'com.docker.network.bridge.name': 'cobr' }, '10.9.0.0/24', true]);
  await assert.rejects(networks.remove('template'), { kind: 'forbidden', message: 'error while removing network: configuration network "template" is in use' });
  await networks.remove('f');
  await networks.remove(template);
  assert.equal(w.records.size, 0);
});

test('networks are found by ID, name and the start of an ID, and several may have one name', async () => {
  const { networks } = await opened(world({ bridge: 'docker0' }));
  const { id, warning } = await create(networks, {});
  assert.equal(warning, '');
  assert.equal((await create(networks, {})).warning, `Network with name n (id : ${id}) already exists`);
  await assert.rejects(networks.create({ Name: 'n' }, { unique: true }), { kind: 'conflict', message: 'network with name n already exists' });
  assert.throws(() => networks.find('n'), { kind: 'invalid', message: 'network n is ambiguous (2 matches found based on name)' });
  await assert.rejects(networks.remove('n'), { kind: 'invalid', message: 'network n is ambiguous (2 matches found based on name)' });
  assert.equal(networks.find(id).Id, id);
  assert.equal(networks.find(id.slice(0, 12)).Id, id);
  assert.throws(() => networks.find(id.slice(0, 12).toUpperCase().replace(/^\d+$/, 'X')), { kind: 'not-found' });
  assert.throws(() => networks.find(''), { kind: 'not-found', message: 'network  not found' });
  const { id: tricky } = await create(networks, { Name: id.slice(0, 12) });
  assert.equal(networks.find(id.slice(0, 12)).Id, tricky); // a name goes before the start of an ID
  for (let i = 0; i < 16; i++) await create(networks, { Name: `t${i}`, ConfigOnly: true });
  const digits = networks.all().map(({ Id }) => Id[0] ?? '');
  const shared = digits.find((digit, i) => digits.indexOf(digit) < i) ?? '';
  assert.throws(() => networks.find(shared), new RegExp(`network ${shared} is ambiguous \\(\\d+ matches found based on ID prefix\\)`));
  assert.deepEqual(networks.all().slice(0, 3).map(({ Name }) => Name), ['bridge', 'host', 'none']);
});

test('two networks never have one device', async () => {
  const { networks } = await opened(world({ bridge: 'docker0' }));
  const { id } = await create(networks, { Name: 'one', Options: { 'com.docker.network.bridge.name': 'xbr' } });
  await assert.rejects(create(networks, { Options: { 'com.docker.network.bridge.name': 'xbr' } }), new RegExp(`^EngineError: cannot create network [0-9a-f]{64} \\(xbr\\): conflicts with network ${id} \\(xbr\\): networks have same bridge name$`));
  await assert.rejects(create(networks, { Options: { 'com.docker.network.bridge.name': 'docker0' } }), /networks have same bridge name/);
});

test('a network in use stays: one that runs in it, and one that is on its way', async () => {
  const w = world();
  const needs = await opened(w);
  const { networks } = needs;
  const { id } = await create(networks, {});
  const { id: idle } = await create(networks, { Name: 'idle' });
  w.guests.push({ ID: 'c1', Name: 'web', running: true, Networks: { n: { NetworkID: id, EndpointID: 'e1' } } }, { ID: 'c2', Name: 'off', running: false, Networks: { idle: { NetworkID: idle } } });
  const inUse = { kind: 'forbidden', message: `error while removing network: network n id ${id} has active endpoints` };
  await assert.rejects(networks.remove('n'), inUse);
  assert.deepEqual(networks.endpoints(id), [{ containerId: 'c1', containerName: 'web', endpointId: 'e1', mac: '02:42:ac:12:00:02', ipv4: '172.18.0.2/16', ipv6: '' }]);
  w.guests.shift();
  const claims = [await networks.claim(id, 'c3'), await networks.claim(id, 'c3')];
  await assert.rejects(networks.remove('n'), inUse);
  claims[0]?.[Symbol.dispose]();
  assert.deepEqual(await openNetworkVerbs(needs).prune(filters()), ['idle']);
  assert.equal(w.removed.has(idle), true); // a stopped container still names it
  claims[1]?.[Symbol.dispose]();
  await networks.remove('n');
  await assert.rejects(networks.claim(id, 'c3'), { kind: 'not-found', message: `network ${id} not found` });
  await assert.rejects(networks.remove('host'), { kind: 'forbidden', message: 'host is a pre-defined network and cannot be removed' });
  assert.deepEqual([w.records.size, w.network.opened.size, w.removed.has(id)], [0, 0, false]);
  assert.deepEqual(w.told.map(({ action, id: of, attributes }) => [action, of && attributes['name'], attributes['type'] ?? attributes['reclaimed']]),
    [['create', 'n', 'bridge'], ['create', 'idle', 'bridge'], ['destroy', 'idle', 'bridge'], ['prune', '', '0'], ['destroy', 'n', 'bridge']]);
});

test('filters of list and prune', async () => {
  const w = world({ bridge: 'docker0' });
  const needs = await opened(w);
  const { id } = await create(needs.networks, { Name: 'web', Labels: { a: 'b', c: '' } });
  await create(needs.networks, { Name: 'template', ConfigOnly: true });
  w.guests.push({ ID: 'c1', Name: 'x', running: true, Networks: { web: { NetworkID: id, EndpointID: 'e' } } });
  const verbs = openNetworkVerbs(needs);
  const list = (of: Record<string, string[]>) => verbs.list(filters(of)).map(({ network }) => network.Name).join(' ');
  for (const [of, want] of [
    [{}, 'bridge host none web template'], [{ driver: ['bridge'] }, 'bridge web'], [{ driver: ['br'] }, ''], [{ name: ['e'] }, 'bridge none web template'], [{ name: ['^w', 'host'] }, 'host web'],
    [{ id: [id.slice(2, 20)] }, 'web'], [{ label: ['a=b', 'c'] }, 'web'], [{ label: ['a=c'] }, ''], [{ scope: ['local'] }, 'bridge host none web template'], [{ scope: ['swarm'] }, ''],
    [{ type: ['custom'] }, 'web template'], [{ type: ['builtin'] }, 'bridge host none'], [{ dangling: ['true'] }, 'template'], [{ dangling: ['0'] }, 'bridge host none web'], [{ driver: [], name: ['web'] }, 'web'],
  ] as const) assert.equal(list(of as unknown as Record<string, string[]>), want, JSON.stringify(of));
  assert.throws(() => list({ type: ['x'] }), { kind: 'invalid', message: "invalid filter: 'type'='x'" });
  assert.throws(() => list({ until: ['1h'] }), { kind: 'invalid', message: "invalid filter 'until'" });
  w.guests.length = 0;
  const prune = (of: Record<string, string[]>) => verbs.prune(filters(of));
  await assert.rejects(prune({ dangling: ['true'] }), { kind: 'invalid' });
  await assert.rejects(prune({ until: ['bogus'] }), { kind: 'invalid', message: 'failed to parse value as time or duration: "bogus"' });
  for (const each of [{ until: ['1h'] }, { label: ['x'] }, { 'label!': ['a'] }] as Array<Record<string, string[]>>) assert.deepEqual(await prune(each), []);
  assert.deepEqual(await prune({ label: ['a=b'], until: ['0s'] }), ['web']);
  assert.deepEqual(verbs.list(filters()).map(({ network }) => network.Name), ['bridge', 'host', 'none', 'template']);
  assert.throws(() => verbs.inspect('bridge', { scope: 'swarm' }), { kind: 'not-found' });
});

test('create leaves everything or nothing, whichever call fails', async () => {
  for (let failAt = 0; failAt < MOST_CALLS; failAt++) {
    const w = world();
    const { networks } = await opened(w);
    w.failAt = w.calls.length + failAt;
    const outcome = await create(networks, {}).then(() => 'made', () => 'failed');
    if (outcome === 'made') return assert.deepEqual([failAt, w.records.size, w.network.opened.size, w.told.length, networks.all().length], [3, 1, 1, 1, 3]);
    assert.deepEqual([w.records.size, w.network.opened.size, w.told.length, networks.all().length], [0, 0, 0, 2], `after failure ${failAt}`);
  }
  assert.fail('it never succeeds');
});

test('remove leaves everything or nothing, whichever call fails; killed in between, it is undone at the next start', async () => {
  for (let failAt = 0; failAt < MOST_CALLS; failAt++) {
    const w = world();
    const { networks } = await opened(w);
    const { id } = await create(networks, {});
    w.failAt = w.calls.length + failAt;
    const outcome = await networks.remove('n').then(() => 'gone', (error: unknown) => messageOf(error));
    if (outcome === 'gone') return assert.deepEqual([failAt, w.records.size, w.network.opened.size, w.told.length], [2, 0, 0, 2]);
    assert.match(outcome, /^error while removing network: (close n|remove) failed$/);
    assert.deepEqual([w.records.size, [...w.network.opened], w.told.length, networks.find('n').Id], [1, [id], 1, id], `after failure ${failAt}`);
  }
  assert.fail('it never succeeds');
});

test('one network that cannot be set up does not stop the start, is tried once more, and again by a container', async () => {
  const w = world({ bridge: 'docker0' });
  const first = await opened(w);
  for (const Name of ['good', 'bad']) await create(first.networks, { Name });
  w.failing = (call) => call === 'open bad';
  const { networks } = await opened(w);
  const bad = networks.find('bad').Id;
  assert.deepEqual([networks.brokenOf(bad), networks.brokenOf(networks.find('good').Id)], ['open bad failed', undefined]);
  await assert.rejects(networks.claim(bad, 'c'), /open bad failed/);
  w.failing = () => false;
  w.calls.length = 0;
  for (const claim of await Promise.all(['c', 'd'].map((container) => networks.claim(bad, container)))) claim[Symbol.dispose]();
  assert.deepEqual([networks.brokenOf(bad), w.calls], [undefined, ['plan', 'open bad']]);
  w.failing = (call) => call === 'open bad' && w.calls.filter((one) => one === call).length < 2;
  w.calls.length = 0;
  assert.deepEqual((await opened(w)).networks.broken(), []);
  w.failing = (call) => call === 'open bridge';
  await assert.rejects(openNetworks(w.needs), /^EngineError: Error initializing network controller: Error creating default "bridge" network: open bridge failed$/);
});

test('of two networks on one device or subnet, which two engines on a root can leave, the older one is set up', async () => {
  const w = world();
  const first = await opened(w);
  const { id } = await create(first.networks, { Name: 'ours', Options: { 'com.docker.network.bridge.name': 'xbr' } });
  const ours = first.networks.find(id);
  w.records.set('e'.repeat(64), { ...ours, Id: 'e'.repeat(64), Name: 'theirs' });
  const { networks } = await opened(w);
  assert.deepEqual([networks.brokenOf(id), /networks have same bridge name/.test(networks.brokenOf('e'.repeat(64)) ?? '')], [undefined, true]);
  await assert.rejects(networks.claim('e'.repeat(64), 'c'), /networks have same bridge name/);
  await networks.remove('ours');
  using _claim = await networks.claim('e'.repeat(64), 'c');
});

test('the default network shows what the daemon was told', async () => {
  const { networks } = await opened(world({ bridge: 'docker0' }));
  const bridge = networks.find('bridge');
  assert.deepEqual(bridge.Options, {
    'com.docker.network.bridge.default_bridge': 'true', 'com.docker.network.bridge.enable_icc': 'true', 'com.docker.network.bridge.enable_ip_masquerade': 'true',
    'com.docker.network.bridge.host_binding_ipv4': '0.0.0.0', 'com.docker.network.bridge.name': 'docker0', 'com.docker.network.driver.mtu': '1500',
  });
  assert.deepEqual(bridge.IPAM.Config, [{ Subnet: '172.17.0.0/16', IPRange: '', Gateway: '172.17.0.1', AuxiliaryAddresses: {} }]);
  assert.deepEqual([networks.find('none').Driver, FAKE_SETTINGS.bridge, (await opened(world())).networks.named('bridge')], ['null', 'none', undefined]);
  const again = (await opened(world({ bridge: 'docker0' }))).networks.find('bridge');
  assert.equal(again.Id, bridge.Id); // over restarts
  const elsewhere = await openNetworks({ ...world({ bridge: 'docker0' }).needs, daemonId: 'other' });
  assert.notEqual(elsewhere.find('bridge').Id, bridge.Id);
});

test('a network whose record is lost is made again from its containers, unless it went on purpose', async () => {
  const [lost, gone, known] = ['1', '2', '3'].map((digit) => digit.repeat(64)) as [string, string, string];
  const guests: Guest[] = [
    { ID: 'c1', Name: 'a', running: false, Networks: { web: { NetworkID: lost }, gone: { NetworkID: gone }, bridge: { NetworkID: 'f'.repeat(64) }, later: { NetworkID: '' } } },
    { ID: 'c2', Name: 'b', running: true, Networks: { web: { NetworkID: lost, EndpointID: 'e', Gateway: '172.30.0.1', IPPrefixLen: 16 }, known: { NetworkID: known } } },
  ];
  const w = world({ guests });
  w.removed.add(gone);
  w.records.set(known, { ...(await opened(world())).networks.find('host'), Id: known, Name: 'known', Driver: 'bridge' });
  const { networks } = await opened(w);
  assert.deepEqual(networks.all().map(({ Name }) => Name), ['host', 'none', 'known', 'web']);
  assert.deepEqual([w.records.get(lost)?.Name, w.network.opened.has(lost), networks.endpoints(lost).length], ['web', true, 1]);
  const elsewhere = world({ guests });
  Object.assign(elsewhere.network, { remains: () => ({ bridge: undefined, elsewhere: true }) });
  assert.deepEqual((await opened(elsewhere)).networks.all().map(({ Name }) => Name), ['host', 'none'], 'a bridge would take the subnet away from the host');
  const renamed = world({ guests });
  Object.assign(renamed.network, { remains: () => ({ bridge: 'mybr', elsewhere: false }) });
  assert.deepEqual((await opened(renamed)).networks.find(lost).Options, { 'com.docker.network.bridge.name': 'mybr' });
  const [draft] = lostNetworks(w.needs.store.containers.loaded(), (id) => id !== lost);
  assert.deepEqual(draft?.IPAM.Config, [{ Subnet: '172.30.0.1/16', IPRange: '', Gateway: '172.30.0.1', AuxiliaryAddresses: {} }]);
});
