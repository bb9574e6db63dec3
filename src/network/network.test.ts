import assert from 'node:assert/strict';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
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
const pings = (container: Container, address: string): boolean => {
  try { container.run('busybox', 'ping', '-c1', '-W2', address); return true; }
  catch { return false; }
};
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
  await machine.netns.ok('busybox', 'ping', '-c1', '-W2', '172.17.0.2');
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
  await room.close(bridge);
  assert.deepEqual(machine.netns.devices(), []);
  await room.end();
});

test('the way out follows the networks, and a new daemon finds everything as it was', async () => {
  await using root = openTempRoot();
  await using machine = openMachine(root.path);
  const room = await machine.open();
  const nets = {
    bridge: DEFAULT_NETWORK(),
    six: network('six', ['10.16.0.0/24 10.16.0.1', 'fd00:16::/64 fd00:16::1']),
    closed: network('closed', ['10.17.0.0/24 10.17.0.1'], { Internal: true }),
    first: network('a-first', ['10.18.0.0/24 10.18.0.1'], { Options: { 'com.docker.network.driver.mtu': '1400', 'com.docker.network.container_iface_prefix': 'lan' } }),
  };
  for (const one of Object.values(nets)) await room.open(one);
  const wish = sandboxWish([place(nets.closed), place(nets.bridge)], { ports: [{ port: 80, protocol: 'tcp', hostIp: '', hostPorts: { first: 0, last: 0 } }] });
  const { sandbox, container } = await start(room, machine, wish);
  const other = await start(room, machine, sandboxWish([place(nets.six), place(nets.closed)]));
  const [published] = sandbox.published;
  const target = () => machine.netns.rules().filter((rule) => rule.includes('-j DNAT')).map((rule) => rule.match(/--to-destination (\S+)/)?.[1]).sort();
  assert.deepEqual([defaultRoutes(container), target()], [['default via 172.17.0.1 dev eth1', ''], ['172.17.0.2:80']]);
  assert.ok(pings(container, endpointOf(other.sandbox, nets.closed).ipv4), 'an internal network connects');

  const six = await sandbox.connect(place(nets.six, { linkLocal: ['169.254.7.7'] }));
  assert.deepEqual([six.ipv4, six.ipv6, six.interfaceName], ['10.16.0.3', 'fd00:16::3', 'eth2']);
  assert.deepEqual([defaultRoutes(container), target()], [['default via 10.16.0.1 dev eth2', 'default via fd00:16::1 dev eth2'], ['10.16.0.3:80', '[fd00:16::3]:80']]);
  assert.match(container.run('ip', '-4', 'addr', 'show', 'eth2'), /169\.254\.7\.7\/16/);
  assert.ok(pings(container, 'fd00:16::2') && pings(other.container, 'fd00:16::3'));
  const lan = await sandbox.connect(place(nets.first, { gwPriority: 1 }));
  assert.deepEqual([lan.interfaceName, defaultRoutes(container)], ['lan0', ['default via 10.18.0.1 dev lan0', 'default via fd00:16::1 dev eth2']]);
  assert.match(container.run('ip', 'link', 'show', 'lan0'), /mtu 1400/);
  await sandbox.disconnect(nets.six.Id);
  assert.deepEqual([defaultRoutes(container), target()], [['default via 10.18.0.1 dev lan0', ''], ['10.18.0.2:80']]);
  await sandbox.disconnect(nets.bridge.Id);
  assert.equal(sandbox.published[0]?.hostPort, published?.hostPort, 'the port stays the same');

  // A daemon that died in the middle: an endpoint more and one less than the record says, a network that is gone, and a stranger.
  const dead = network('dead', ['10.19.0.0/24 10.19.0.1']);
  await room.open(dead);
  const got = { pid: container.pid, endpoints: [...sandbox.endpoints.values()], published: sandbox.published };
  const lost = place(nets.bridge);
  await sandbox.connect(lost);
  await machine.netns.ok('ip', 'link', 'del', `veth${lan.endpointId.slice(0, 7)}`);
  await machine.netns.ok('ip', 'link', 'add', 'stranger', 'type', 'bridge');
  await room.end();

  const next = await machine.open();
  for (const one of Object.values(nets)) await next.open(one);
  const wishes = sandboxWish([wish.endpoints[0] ?? assert.fail(), place(nets.first, { endpointId: lan.endpointId, gwPriority: 1 })], { id: wish.id, sandboxId: wish.sandboxId, ports: wish.ports });
  const adopted = await next.adopt(wishes, got);
  await next.settle();
  assert.deepEqual(adopted.published, got.published);
  assert.deepEqual([...adopted.endpoints.values()].map(({ ipv4, interfaceName }) => [ipv4, interfaceName]), [['10.17.0.2', 'eth0'], ['10.18.0.2', 'lan0']]);
  assert.deepEqual([defaultRoutes(container), target()], [['default via 10.18.0.1 dev lan0', ''], ['10.18.0.2:80']]);
  assert.ok(pings(container, '10.18.0.1'));
  const left = machine.netns.devices();
  assert.ok(left.includes('stranger') && !left.includes(`br-${dead.Id.slice(0, 12)}`) && !left.includes(`veth${lost.endpointId.slice(0, 7)}`), left.join(' '));
  assert.ok(!left.includes(`veth${[...other.sandbox.endpoints.values()][0]?.endpointId.slice(0, 7)}`), 'what nobody adopted is gone');
  assert.deepEqual(readdirSync(join(root.path, 'netns')), [adopted.key.slice(-12)]);
  await stop({ sandbox: adopted, container });
  await until('the far ends to be gone', () => !machine.netns.devices().some((name) => name.startsWith('veth')));
  for (const one of Object.values(nets)) await next.close(one);
  await machine.netns.ok('ip', 'link', 'del', 'stranger');
  assert.ok(!existsSync(adopted.key));
  await next.end();
});
