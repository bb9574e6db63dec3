import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { openTempRoot } from '../../test/kit/temp.ts';
import { until } from '../../test/kit/poll.ts';
import { DEFAULT_NETWORK, network, openMachine, place, sandboxWish, type Container, type Machine } from './fixture.ts';
import type { Network, Sandbox, SandboxWish } from './index.ts';

/** One process that runs in a sandbox. */
async function start(room: Network, machine: Machine, wish: SandboxWish): Promise<{ sandbox: Sandbox; container: Container }> {
  const sandbox = await room.prepare(wish);
  const container = await machine.container();
  await sandbox.attach(container.pid);
  return { sandbox, container };
}

async function stop({ sandbox, container }: { sandbox: Sandbox; container: Container }): Promise<void> {
  await container.end();
  await sandbox.release();
}

const endpointOf = (sandbox: Sandbox, { Id }: { Id: string }) => {
  const endpoint = sandbox.endpoints.get(Id);
  assert.ok(endpoint);
  return endpoint;
};
const pings = (container: Container, address: string, seconds = 20): boolean => {
  try { container.run('busybox', 'ping', '-c1', `-W${seconds}`, address); return true; }
  catch { return false; }
};
/** What a server at `address` in one container hears from another, by tcp and by udp. */
async function heard(machine: Machine, { from, to, address }: { from: Container; to: Container; address: string }): Promise<string[]> {
  using client = machine.kernel.net.ofProcess(from.pid);
  using server = machine.kernel.net.ofProcess(to.pid);
  await using undo = new AsyncDisposableStack();
  const said: string[] = [];
  const stream = createServer((socket) => { socket.setEncoding('utf8').on('data', (text: string) => { said.push(`tcp ${text}`); }).on('end', () => { socket.end(); }); });
  undo.defer(() => { stream.close(); });
  const tcp = server.tcpListener({ address, port: 0, backlog: 1 });
  stream.listen({ fd: tcp.fd });
  const [near, far] = [createSocket(address.includes(':') ? 'udp6' : 'udp4'), createSocket(address.includes(':') ? 'udp6' : 'udp4')];
  undo.defer(() => { near.close(); far.close(); });
  const udp = server.udpSocket({ address, port: 0 });
  far.on('message', (bytes) => { said.push(`udp ${bytes.toString()}`); }).bind({ fd: udp.fd });
  near.bind({ fd: client.udpSocket({ address: address.includes(':') ? '::' : '0.0.0.0', port: 0 }).fd });
  new Socket({ fd: client.tcpConnection({ address, port: tcp.port }), readable: true, writable: true }).on('error', () => {}).end('hello');
  await until('a datagram', () => { near.send('hello', udp.port, address); return said.includes('udp hello'); });
  await until('a stream', () => said.includes('tcp hello'));
  return [...new Set(said)].toSorted();
}
const defaultRoutes = (container: Container): string[] => [container.run('ip', 'route', 'show', 'default'), container.run('ip', '-6', 'route', 'show', 'default')]
  .map((text) => text.replace(/ (?:metric|pref|proto) \w+/g, '').trim());

test('containers of the default bridge have address, gateway and each other, and leave nothing', async () => {
  await using root = openTempRoot();
  await using machine = openMachine(root.path);
  const room = await machine.open();
  assert.deepEqual(machine.netns.devices(), [], 'nothing before the first network');
  const bridge = DEFAULT_NETWORK();
  await room.open(bridge);
  assert.equal(room.hostGateway(), '172.17.0.1');
  const one = await start(room, machine, sandboxWish([place(bridge)]));
  const two = await start(room, machine, sandboxWish([place(bridge, { mac: '02:42:00:00:00:07' })], { sysctls: { 'net.ipv4.conf.eth0.rp_filter': '2', 'net.ipv6.conf.lo.disable_ipv6': '0' } }));
  assert.deepEqual([endpointOf(one.sandbox, bridge).ipv4, endpointOf(one.sandbox, bridge).interfaceName, endpointOf(two.sandbox, bridge).ipv4], ['172.17.0.2', 'eth0', '172.17.0.3']);
  assert.match(two.container.run('ip', '-4', 'addr', 'show', 'eth0'), /inet 172\.17\.0\.3\/16 brd 172\.17\.255\.255 scope global/);
  assert.match(two.container.run('ip', 'link', 'show', 'eth0'), /UP.*02:42:00:00:00:07/s);
  assert.deepEqual(defaultRoutes(one.container), ['default via 172.17.0.1 dev eth0', '']);
  const settings = ['net.ipv4.conf.eth0.rp_filter', 'net.ipv6.conf.lo.disable_ipv6', 'net.ipv6.conf.eth0.disable_ipv6'];
  assert.deepEqual(two.container.run('sysctl', '-n', ...settings).split('\n'), ['2', '0', '1']);
  assert.ok(pings(one.container, '172.17.0.3') && pings(one.container, '172.17.0.1'));
  await machine.netns.ok('busybox', 'ping', '-c1', '-W20', '172.17.0.2');
  assert.deepEqual(await heard(machine, { from: one.container, to: two.container, address: '172.17.0.3' }), ['tcp hello', 'udp hello']);
  assert.match(machine.netns.rules().join('\n'), /-A POSTROUTING -s 172\.17\.0\.0\/16 ! -o docker0 -j MASQUERADE/);
  assert.equal(readlinkSync(one.sandbox.key), `/proc/${one.container.pid}/ns/net`);
  assert.equal(one.sandbox.key, join(root.path, 'netns', one.sandbox.key.slice(-12)));

  await stop(one);
  const again = await start(room, machine, sandboxWish([place(bridge)]));
  assert.equal(endpointOf(again.sandbox, bridge).ipv4, '172.17.0.2', 'the lowest free one');
  assert.ok(pings(again.container, '172.17.0.3') && pings(two.container, '172.17.0.2'), 'the one before does not answer any more');
  await stop(again);
  await stop(two);
  await until('the far ends to be gone', () => machine.netns.devices().length === 1);
  assert.deepEqual(readdirSync(join(root.path, 'netns')), []);
  assert.equal(room.sandbox(one.sandbox.id), undefined);
  await room.end();

  const next = await machine.open();
  const moved = { ...bridge, pools: { v4: [{ subnet: '10.50.0.0/24', range: '10.50.0.0/24', gateway: '10.50.0.1', aux: {} }], v6: [] } };
  await next.open(moved);
  assert.match(await machine.netns.ok('ip', '-4', '-o', 'addr', 'show', 'docker0'), /^[^\n]* 10\.50\.0\.1\/24 [^\n]*$/, 'as --bip says now');
  await next.close(moved);
  assert.deepEqual(machine.netns.devices(), []);
});

const NETWORKS = () => ({
  bridge: DEFAULT_NETWORK(),
  six: network('six', ['10.16.0.0/24 10.16.0.1', 'fd00:16::/64 fd00:16::1']),
  closed: network('closed', ['10.17.0.0/24 10.17.0.1'], { Internal: true }),
  first: network('a-first', ['10.18.0.0/24 10.18.0.1'], { Options: { 'com.docker.network.driver.mtu': '1400', 'com.docker.network.container_iface_prefix': 'lan' } }),
});
const ANY_PORT = { port: 80, protocol: 'tcp', hostIp: '', hostPorts: { first: 0, last: 0 } } as const;
/** Where published ports lead. */
const targetsOf = (machine: Machine): string[] => machine.netns.rules().filter((rule) => rule.includes('-j DNAT')).map((rule) => rule.replace(/.*--to-destination /, '')).toSorted();
const veth = ({ endpointId }: { endpointId: string }): string => `veth${endpointId.slice(0, 7)}`;

test('the way out, and with it the published ports, follow the networks', async () => {
  await using root = openTempRoot();
  await using machine = openMachine(root.path);
  const room = await machine.open();
  const nets = NETWORKS();
  for (const one of Object.values(nets)) await room.open(one);
  const { sandbox, container } = await start(room, machine, sandboxWish([place(nets.closed), place(nets.bridge)], { ports: [ANY_PORT] }));
  const other = await start(room, machine, sandboxWish([place(nets.six), place(nets.closed)]));
  const [published] = sandbox.published;
  const out = () => ({ routes: defaultRoutes(container), ports: targetsOf(machine) });
  assert.deepEqual(out(), { routes: ['default via 172.17.0.1 dev eth1', ''], ports: ['172.17.0.2:80'] });
  assert.ok(pings(container, endpointOf(other.sandbox, nets.closed).ipv4), 'an internal network connects');

  const six = await sandbox.connect(place(nets.six, { linkLocal: ['169.254.7.7'] }));
  assert.deepEqual([six.ipv4, six.ipv6, six.interfaceName], ['10.16.0.3', 'fd00:16::3', 'eth2']);
  assert.deepEqual(out(), { routes: ['default via 10.16.0.1 dev eth2', 'default via fd00:16::1 dev eth2'], ports: ['10.16.0.3:80', '[fd00:16::3]:80'] });
  assert.match(container.run('ip', '-4', 'addr', 'show', 'eth2'), /169\.254\.7\.7\/16/);
  assert.ok(pings(container, 'fd00:16::2') && pings(other.container, 'fd00:16::3'));
  assert.deepEqual(await heard(machine, { from: other.container, to: container, address: 'fd00:16::3' }), ['tcp hello', 'udp hello']);
  const lan = await sandbox.connect(place(nets.first, { gwPriority: 1 }));
  assert.deepEqual([lan.interfaceName, defaultRoutes(container)], ['lan0', ['default via 10.18.0.1 dev lan0', 'default via fd00:16::1 dev eth2']]);
  assert.match(container.run('ip', 'link', 'show', 'lan0'), /mtu 1400/);
  await sandbox.disconnect(nets.six.Id);
  assert.deepEqual(out(), { routes: ['default via 10.18.0.1 dev lan0', ''], ports: ['10.18.0.2:80'] });
  await sandbox.disconnect(nets.bridge.Id);
  assert.equal(sandbox.published[0]?.hostPort, published?.hostPort, 'the port stays the same');
  await sandbox.disconnect(nets.first.Id);
  assert.deepEqual([out(), sandbox.published], [{ routes: ['', ''], ports: [] }, []], 'an internal network is no way out');
  const again = await sandbox.connect(place(nets.bridge, { driverOpts: { 'com.docker.network.endpoint.ifname': 'wan', 'com.docker.network.endpoint.sysctls': 'net.ipv4.conf.IFNAME.log_martians=1' } }));
  assert.deepEqual([again.interfaceName, container.run('sysctl', '-n', 'net.ipv4.conf.wan.log_martians'), targetsOf(machine)], ['wan', '1', ['172.17.0.2:80']]);
  for (const one of [other, { sandbox, container }]) await stop(one);
  for (const one of Object.values(nets)) await room.close(one);
});

test('what a container that ends still has is waited for: its port, its address, its network', async () => {
  await using root = openTempRoot();
  await using machine = openMachine(root.path);
  const room = await machine.open();
  const net = network('net', ['10.18.0.0/24 10.18.0.1'], { IPAM: { Driver: 'default', Options: null, Config: [{ Subnet: '10.18.0.0/24', IPRange: '', Gateway: '', AuxiliaryAddresses: {} }] } });
  await room.open(net);
  const wish = () => sandboxWish([place(net, { ipv4: '10.18.0.9' })], { ports: [{ ...ANY_PORT, hostPorts: { first: 8080, last: 8080 } }] });
  const one = await room.prepare(wish());
  await assert.rejects(room.prepare(wish()), /Address already in use/);
  void one.release();
  const two = await room.prepare(wish());
  assert.deepEqual([endpointOf(two, net).ipv4, two.published[0]?.hostPort], ['10.18.0.9', 8080]);
  const other = await start(room, machine, sandboxWish([]));
  void two.release();
  assert.equal((await other.sandbox.connect(place(net, { ipv4: '10.18.0.9' }))).ipv4, '10.18.0.9');
  void other.sandbox.release();
  await room.close(net);
  await other.container.end();
  await until('its container to be gone', () => machine.netns.devices().length === 0);
});

test('a new daemon finds containers as the records say, and takes away what a dead one left', async () => {
  await using root = openTempRoot();
  await using machine = openMachine(root.path);
  const room = await machine.open();
  const nets = { ...NETWORKS(), dead: network('dead', ['10.19.0.0/24 10.19.0.1']) };
  for (const one of Object.values(nets)) await room.open(one);
  const wish = sandboxWish([place(nets.closed), place(nets.first)], { ports: [ANY_PORT] });
  const { sandbox, container } = await start(room, machine, wish);
  const other = await start(room, machine, sandboxWish([place(nets.six), place(nets.closed)], { ports: [ANY_PORT] }));
  const got = { pid: container.pid, endpoints: [...sandbox.endpoints.values()].map((one) => ({ ...one })), published: sandbox.published };
  // It dies after more and less than the record says; a stranger's device looks much like ours.
  const lost = await sandbox.connect(place(nets.bridge));
  await machine.netns.ok('ip', 'link', 'del', veth(endpointOf(sandbox, nets.first)));
  await machine.netns.ok('ip', 'link', 'add', 'veth0000000', 'type', 'bridge');
  await machine.netns.ok('ip', 'link', 'set', 'veth0000000', 'alias', 'vaquita 000000000000 000000000000');
  await room.end();

  const { dead, ...living } = nets;
  const next = await machine.open();
  for (const one of Object.values(living)) await next.open(one);
  const adopted = await next.adopt(wish, got);
  await next.settle();
  assert.deepEqual(adopted.published, got.published);
  assert.deepEqual([...adopted.endpoints.values()].map(({ ipv4, interfaceName }) => [ipv4, interfaceName]), [['10.17.0.2', 'eth0'], ['10.18.0.2', 'lan0']]);
  assert.deepEqual([defaultRoutes(container), targetsOf(machine)], [['default via 10.18.0.1 dev lan0', ''], ['10.18.0.2:80']]);
  assert.ok(pings(container, '10.18.0.1'));
  const left = machine.netns.devices();
  const gone = [`br-${dead.Id.slice(0, 12)}`, ...[lost, ...other.sandbox.endpoints.values()].map(veth)];
  assert.deepEqual([left.includes('veth0000000'), left.filter((name) => gone.includes(name))], [true, []]);
  assert.deepEqual(readdirSync(join(root.path, 'netns')), [adopted.key.slice(-12)]);
  const second = await next.prepare(sandboxWish([place(living.first)]));
  assert.equal(endpointOf(second, living.first).ipv4, '10.18.0.3', 'its address is taken');
  await second.release();
  await stop({ sandbox: adopted, container });
  await until('the far ends to be gone', () => machine.netns.devices().filter((name) => name.startsWith('veth')).length === 1);
  for (const one of Object.values(living)) await next.close(one);
  await machine.netns.ok('ip', 'link', 'del', 'veth0000000');
  assert.ok(!existsSync(adopted.key));
});

test('a bridge that is there is used as it is, and stays; a macvlan sits on its parent', async () => {
  await using root = openTempRoot();
  await using machine = openMachine(root.path);
  const ok = (...words: readonly string[]) => machine.netns.ok(...words);
  await ok('ip', 'link', 'add', 'lan', 'type', 'bridge');
  await ok('ip', 'addr', 'add', '192.168.9.1/24', 'dev', 'lan');
  await ok('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1');
  for (const name of ['up0', 'up1']) await ok('ip', 'link', 'set', name, 'up');
  await ok('ip', 'addr', 'add', '10.30.0.1/24', 'dev', 'up1');
  const room = await machine.open({ bridge: 'lan', icc: false });
  const planned = room.planDefault([]);
  assert.deepEqual(planned?.v4.map(({ subnet, gateway }) => [subnet, gateway]), [['192.168.9.0/24', '192.168.9.1']]);
  const lan = network('bridge', [], { Options: { 'com.docker.network.bridge.name': 'lan' }, pools: planned ?? assert.fail() });
  const wire = network('wire', ['10.30.0.0/24 10.30.0.1'], { Driver: 'macvlan', Options: { parent: 'up0' } });
  const alone = network('alone', ['10.31.0.0/24 10.31.0.1', 'fd31::/64 fd31::1'], { Driver: 'macvlan' });
  for (const one of [lan, wire, alone]) await room.open(one);
  await assert.rejects(room.open(network('twice', ['10.32.0.0/24 10.32.0.1'], { Driver: 'macvlan', Options: { parent: 'up0' } })), /is already using parent interface up0/);
  await assert.rejects(room.open(network('none', ['10.32.0.0/24 10.32.0.1'], { Driver: 'macvlan', Options: { parent: 'nope' } })), /invalid subinterface vlan name nope/);
  const one = await start(room, machine, sandboxWish([place(lan), place(wire), place(alone)]));
  const { interfaceName } = endpointOf(one.sandbox, alone);
  for (const address of ['10.31.0.3', 'fd31::3']) one.container.run('ip', 'neigh', 'add', address, 'lladdr', '02:00:00:00:00:09', 'dev', interfaceName, 'nud', 'stale');
  const two = await start(room, machine, sandboxWish([place(lan), place(wire), place(alone)]));
  for (const address of ['10.31.0.3', 'fd31::3'])
    await until(`a neighbour of old to be told where ${address} is now`, () => one.container.run('ip', 'neigh', 'show', address).includes(`lladdr ${endpointOf(two.sandbox, alone).mac}`));
  assert.deepEqual(defaultRoutes(one.container), ['default via 192.168.9.1 dev eth0', ''], 'by name, and never the one without a parent');
  await until('the wire to carry', () => pings(one.container, '10.30.0.1'));
  assert.ok(pings(one.container, endpointOf(two.sandbox, wire).ipv4) && pings(one.container, endpointOf(two.sandbox, alone).ipv4));
  assert.ok(!pings(one.container, endpointOf(two.sandbox, lan).ipv4, 1), 'without icc');
  const got = { pid: one.container.pid, endpoints: [...one.sandbox.endpoints.values()].map((endpoint) => ({ ...endpoint })), published: [] };
  const wish = sandboxWish(got.endpoints.map(({ networkId, endpointId }) => place([lan, wire, alone].find(({ Id }) => Id === networkId) ?? assert.fail(), { endpointId })), { id: one.sandbox.id });
  await room.end();
  const next = await machine.open({ bridge: 'lan', icc: false });
  for (const record of [lan, wire, alone]) await next.open(record);
  const adopted = await next.adopt(wish, got);
  assert.deepEqual([...adopted.endpoints.values()], got.endpoints, 'found by name and note');
  await next.settle();
  assert.ok(pings(one.container, '10.30.0.1'));
  await stop({ sandbox: adopted, container: one.container });
  await two.container.end();
  for (const record of [lan, wire, alone]) await next.close(record);
  await until('containers to be gone', () => machine.netns.devices().length === 3);
  assert.deepEqual(machine.netns.devices(), ['lan', 'up0', 'up1']);
  assert.match(await ok('ip', 'addr', 'show', 'lan'), /192\.168\.9\.1\/24/);
  for (const name of ['lan', 'up0']) await ok('ip', 'link', 'del', name);
});
