// Network namespaces: one contract for the real kernel's and those in memory, then traffic, settings and programs in real ones. Needs root.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, readlinkSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { test } from 'node:test';
import { openNetns } from '../../test/kit/netns.ts';
import { openFake } from './fake.ts';
import type { NetNamespace } from './index.ts';
import { openNet } from './net.ts';
import { collect } from './netlink-socket.ts';
import { FLAG, MESSAGE } from './netlink.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
const own = () => readlinkSync('/proc/self/ns/net');

interface Pair { a: NetNamespace; b: NetNamespace }

/** Two namespaces of the real kernel, and proof that this thread never stays in one. */
async function withReal(check: (pair: Pair & { paths: readonly [string, string] }) => void | Promise<void>): Promise<void> {
  await using nearby = openNetns();
  await using far = openNetns();
  const before = own();
  const net = openNet();
  using a = net.ofPath(nearby.path);
  using b = net.ofPath(far.path);
  try { await check({ a, b, paths: [nearby.path, far.path] }); }
  finally { await a.removeLinks(a.links().map(({ name }) => name).filter((name) => name !== 'lo')); }
  assert.equal(own(), before);
}

function real(name: string, check: Parameters<typeof withReal>[0]): void {
  test(`linux: ${name}`, { skip }, () => withReal(check));
}

function contract(name: string, check: (pair: Pair) => void | Promise<void>): void {
  real(name, check);
  test(`fake: ${name}`, async () => {
    const { net } = openFake();
    await check({ a: net.ofPath('/a'), b: net.ofPath('/b') });
  });
}

const coded = (code: string) => (error: unknown) => error instanceof Error && 'code' in error && error.code === code;
const names = (namespace: NetNamespace) => namespace.links().map(({ name }) => name).sort();

contract('devices come with all they are wanted with, and go', async ({ a, b }) => {
  a.addBridge({ name: 'br0', mac: '02:42:00:00:00:01', mtu: 1400, alias: 'ours' });
  const bridge = a.link('br0');
  assert.deepEqual([bridge?.kind, bridge?.mac, bridge?.mtu, bridge?.up, bridge?.alias, bridge?.master], ['bridge', '02:42:00:00:00:01', 1400, false, 'ours', 0]);
  assert.throws(() => a.addBridge({ name: 'br0', alias: 'of others' }), coded('EEXIST'));
  assert.throws(() => a.addBridge({ name: 'br0' }), coded('EEXIST'));
  assert.equal(a.link('br0')?.alias, 'ours');

  a.addVeth({ name: 'veth1', mtu: 1400, alias: 'end', master: 'br0', hairpin: true, peer: { name: 'eth0', mac: '02:42:ac:11:00:02', namespace: b } });
  const [near, far] = [a.link('veth1'), b.link('eth0')];
  assert.deepEqual([near?.kind, near?.mtu, near?.alias, near?.master, near?.peer], ['veth', 1400, 'end', bridge?.index, far?.index]);
  assert.deepEqual([far?.kind, far?.mtu, far?.mac, far?.master, far?.peer, far?.up], ['veth', 1400, '02:42:ac:11:00:02', 0, near?.index, false]);
  assert.throws(() => a.addVeth({ name: 'veth2', alias: 'end', peer: { name: 'eth0', namespace: b } }), coded('EEXIST'));
  assert.throws(() => a.addVeth({ name: 'veth2', master: 'br1', peer: { name: 'eth1', namespace: b } }), coded('ENODEV'));
  assert.deepEqual([names(a), names(b)], [['br0', 'lo', 'veth1'], ['eth0', 'lo']]);

  a.setLink('veth1', { up: true, mtu: 1300, alias: '', master: null });
  b.setLink('eth0', { mac: '02:42:ac:11:00:03', rename: 'eth5' });
  const changed = a.link('veth1');
  assert.deepEqual([changed?.up, changed?.mtu, changed?.alias, changed?.master, b.link('eth5')?.mac, b.link('eth0')], [true, 1300, '', 0, '02:42:ac:11:00:03', undefined]);
  assert.throws(() => a.setLink('eth9', { up: true }), coded('ENODEV'));

  a.deleteLink('veth1');
  assert.deepEqual([names(a), names(b)], [['br0', 'lo'], ['lo']]);
  a.deleteLink('veth1');
  await a.removeLinks(['veth1', 'br0']);
  assert.deepEqual(names(a), ['lo']);
});

contract('a macvlan comes into being in its namespace', ({ a, b }) => {
  a.addVeth({ name: 'ext0', peer: { name: 'ext1', namespace: a } });
  a.addMacvlan({ name: 'eth0', parent: 'ext0', mode: 'bridge', mac: '02:42:ac:11:00:02', mtu: 1400, alias: 'end', into: b });
  const made = b.link('eth0');
  assert.deepEqual([made?.kind, made?.mac, made?.mtu, made?.alias, made?.peer, a.link('eth0')], ['macvlan', '02:42:ac:11:00:02', 1400, 'end', a.link('ext0')?.index, undefined]);
  assert.throws(() => a.addMacvlan({ name: 'eth0', parent: 'ext0', mode: 'bridge', into: b }), coded('EEXIST'));
  assert.throws(() => a.addMacvlan({ name: 'eth1', parent: 'none', mode: 'bridge', into: b }), coded('ENODEV'));
  b.deleteLink('eth0');
  assert.deepEqual(names(b), ['lo']);
});

contract('addresses and routes are as set, and nothing is there twice', ({ a, b }) => {
  a.addVeth({ name: 'veth1', peer: { name: 'eth0', namespace: b } });
  a.setLink('veth1', { up: true });
  b.setLink('eth0', { up: true });
  b.addAddress('eth0', '172.30.0.2/24');
  b.addAddress('eth0', 'fd00:0:0:1::2/64');
  assert.throws(() => b.addAddress('eth0', '172.30.0.2/24'), coded('EEXIST'));
  assert.throws(() => b.addAddress('eth1', '172.30.0.2/24'), coded('ENODEV'));
  const ofEth0 = () => b.addresses().filter(({ link, scope }) => link === b.link('eth0')?.index && scope === 'global').map(({ address }) => address);
  assert.deepEqual(ofEth0(), ['172.30.0.2/24', 'fd00:0:0:1::2/64']);

  const known = (destination: string) => b.routes().filter((route) => route.destination === destination).map(({ gateway }) => gateway);
  b.setRoute({ link: 'eth0', destination: '0.0.0.0/0', gateway: '172.30.0.1' });
  b.setRoute({ link: 'eth0', destination: '0.0.0.0/0', gateway: '172.30.0.254' });
  b.setRoute({ link: 'eth0', destination: '::/0', gateway: 'fd00:0:0:1::1' });
  b.setRoute({ link: 'eth0', destination: '10.0.0.0/8', gateway: '10.1.2.3', onLink: true });
  b.setRoute({ link: 'eth0', destination: '10.9.0.0/16' });
  assert.deepEqual(['0.0.0.0/0', '::/0', '10.0.0.0/8', '10.9.0.0/16'].map(known), [['172.30.0.254'], ['fd00:0:0:1::1'], ['10.1.2.3'], ['']]);
  b.deleteRoute({ destination: '10.0.0.0/8' });
  b.deleteRoute({ destination: '10.9.0.0/16', link: 'eth0' });
  b.deleteRoute({ destination: '::/0' });
  assert.throws(() => b.deleteRoute({ destination: '10.0.0.0/8' }), coded('ESRCH'));
  assert.deepEqual(['0.0.0.0/0', '::/0', '10.0.0.0/8'].map(known), [['172.30.0.254'], [], []]);

  b.deleteAddress('eth0', '172.30.0.2/24');
  assert.throws(() => b.deleteAddress('eth0', '172.30.0.2/24'), coded('EADDRNOTAVAIL'));
  assert.deepEqual(ofEth0(), ['fd00:0:0:1::2/64']);
});

contract('settings are those of the namespace', ({ a, b }) => {
  for (const namespace of [a, b]) namespace.setSysctl('ipv4/ip_forward', '0'); // a new one has what the machine has
  assert.deepEqual([a.sysctl('ipv4/ip_forward'), a.sysctl('ipv4/conf/none/forwarding'), a.sysctl('ipv4/none')], ['0', undefined, undefined]);
  a.setSysctl('ipv4/ip_forward', '1');
  assert.deepEqual([a.sysctl('ipv4/ip_forward'), b.sysctl('ipv4/ip_forward')], ['1', '0']);
  assert.throws(() => a.setSysctl('ipv4/conf/none/forwarding', '1'), coded('ENOENT'));
});

real('what only the kernel knows better is told in its own words', ({ a, b }) => {
  a.addVeth({ name: 'veth1', peer: { name: 'eth0', namespace: b } });
  assert.throws(() => b.setRoute({ link: 'eth0', destination: '10.0.0.0/8', gateway: '10.1.2.3' }), /set route to 10\.0\.0\.0\/8: E\w+ \(.*\w.*\)/);
  assert.throws(() => a.sysctl('../../etc/passwd'), coded('EINVAL'));
  assert.throws(() => a.addVeth({ name: 'veth2', peer: { name: 'eth1', namespace: openFake().net.host() } }), coded('EINVAL'));
  b[Symbol.dispose]();
  assert.throws(() => b.sysctl('ipv4/ip_forward'), coded('EBADF'));
});

real('ports of a bridge: hairpin, isolation, learning', ({ a, b, paths }) => {
  const port = (): Record<string, unknown> => {
    const [told] = JSON.parse(execFileSync('nsenter', [`--net=${paths[0]}`, 'ip', '-d', '-j', 'link', 'show', 'veth1'], { encoding: 'utf8' })) as Array<{ linkinfo: { info_slave_data: Record<string, unknown> } }>;
    return told?.linkinfo.info_slave_data ?? {};
  };
  const facts = () => { const { hairpin, isolated, learning } = port(); return { hairpin, isolated, learning }; };
  a.addBridge({ name: 'br0' });
  a.addVeth({ name: 'veth1', alias: 'end', master: 'br0', hairpin: true, isolated: true, peer: { name: 'eth0', namespace: b } });
  assert.deepEqual(facts(), { hairpin: true, isolated: true, learning: true });
  a.setPort('veth1', { hairpin: false, learning: false });
  assert.deepEqual(facts(), { hairpin: false, isolated: true, learning: false });
});

real('lists are whole, however long', ({ a }) => {
  a.addBridge({ name: 'br0' });
  const wanted = Array.from({ length: 600 }, (_none, index) => `10.1.${index >> 8}.${index & 255}/16`); // twice what the kernel tells at once
  for (const address of wanted) a.addAddress('br0', address);
  assert.deepEqual(a.addresses().map(({ address }) => address).filter((address) => address.startsWith('10.')).sort(), wanted.sort());
});

test('a list that changed while it was told is read to its end, and told again', () => {
  const part = (flags: number, byte: number) => ({ type: 20, flags, sequence: 1, payload: Uint8Array.of(byte) });
  const done = { type: MESSAGE.done, flags: 2, sequence: 1, payload: new Uint8Array(4) };
  const of = (...answers: Array<Parameters<typeof collect>[1] extends () => infer Answer ? Answer : never>) => collect(1, () => answers.shift() ?? [], ([byte]) => byte !== 5);
  assert.deepEqual(of([part(2, 7), part(2, 5), { ...part(2, 8), sequence: 0 }], [part(2, 9)], [done]), [Uint8Array.of(7), Uint8Array.of(9)]);
  assert.equal(of([part(2, 7)], [part(2 | FLAG.dumpInterrupted, 9)], [done]), undefined);
  assert.equal(of([part(2, 7)], [{ ...done, flags: 2 | FLAG.dumpInterrupted }]), undefined);
  assert.throws(() => of([part(2, 7)], [{ ...done, payload: Uint8Array.of(0xf4, 0xff, 0xff, 0xff) }]), coded('ENOMEM'));
});

real('sockets of a namespace carry traffic of Node, and only there', async ({ a, b }) => {
  a.addVeth({ name: 'veth1', peer: { name: 'eth0', namespace: b } });
  for (const [namespace, device, host] of [[a, 'veth1', 1], [b, 'eth0', 2]] as const) {
    namespace.setLink(device, { up: true });
    namespace.addAddress(device, `172.30.0.${host}/24`);
    namespace.addAddress(device, `fd00:0:0:1::${host}/64`);
    namespace.addAddress(device, `fe80::${host}/64`);
  }
  for (const address of ['fe80::2%veth1', `fe80::2%${a.link('veth1')?.index}`]) assert.equal(await overTcp({ server: b, client: a, any: '::', address }), `hello over ${address}`);
  assert.throws(() => a.tcpConnection({ address: 'fe80::2%eth0', port: 1 }), coded('ENODEV'));
  assert.throws(() => a.tcpConnection({ address: 'fe80::2', port: 1 }), coded('EINVAL'));
  for (const { any, address, type } of [{ any: '0.0.0.0', address: '172.30.0.2', type: 'udp4' }, { any: '::', address: 'fd00:0:0:1::2', type: 'udp6' }] as const) {
    assert.equal(await overTcp({ server: b, client: a, any, address }), `hello over ${address}`);
    assert.equal(await overUdp({ server: b, client: a, any, address, type }), `hello over ${address}`);
  }
  const held = b.tcpListener({ address: '0.0.0.0', port: 0, backlog: 1 });
  assert.throws(() => b.tcpListener({ address: '172.30.0.2', port: held.port, backlog: 1 }), coded('EADDRINUSE'));
  const [six, elsewhere] = [b.tcpListener({ address: '::', port: held.port, backlog: 1 }), a.tcpListener({ address: '0.0.0.0', port: held.port, backlog: 1 })];
  for (const { fd } of [held, six, elsewhere]) closeSync(fd);
  assert.throws(() => b.udpSocket({ address: '172.30.0.9', port: 0 }), coded('EADDRNOTAVAIL'));
  assert.throws(() => b.tcpConnection({ address: '203.0.113.1', port: 80 }), coded('ENETUNREACH'));
  assert.throws(() => b.udpSocket({ address: 'localhost', port: 0 }), coded('EINVAL'));
  assert.throws(() => b.udpSocket({ address: '0.0.0.0', port: 65536 }), coded('EINVAL'));
  const refused = new Socket({ fd: a.tcpConnection({ address: '172.30.0.2', port: held.port }) });
  assert.ok(coded('ECONNREFUSED')(await new Promise((resolve) => { refused.once('error', resolve).resume().write('?'); })));
});

real('programs run in the namespace, with an input, and end with their own words', async ({ a }) => {
  a.addBridge({ name: 'br0' });
  const [listed, told] = await Promise.all([a.run(['ip', '-br', 'link']), a.run(['cat'], 'x'.repeat(200_000))]);
  assert.match(listed, /^br0 /m);
  assert.equal(told.length, 200_000);
  await assert.rejects(a.run(['sh', '-c', 'echo said; echo no such thing >&2; exit 3']), { message: 'sh: no such thing' });
  await assert.rejects(a.run(['sh', '-c', 'exit 3'], 'y'.repeat(200_000)), { message: 'sh: it ended with exit code 3' });
  await assert.rejects(a.run(['/no/such/program']), coded('ENOENT'));
});

real('flows are forgotten by any of their ends, or by their port', async ({ a }) => {
  a.setLink('lo', { up: true });
  for (const address of ['192.0.2.1/32', '192.0.2.2/32', '2001:db8::1/128', '2001:db8::2/128']) a.addAddress('lo', address);
  await a.run(['iptables-restore'], '*nat\n-A OUTPUT -p udp --dport 5000 -j DNAT --to 192.0.2.2:6000\nCOMMIT\n');
  await a.run(['ip6tables-restore'], '*nat\n-A OUTPUT -p udp --dport 5000 -j DNAT --to [2001:db8::2]:6000\nCOMMIT\n');
  const sockets = [['udp4', '192.0.2.1'], ['udp6', '2001:db8::1']] as const;
  for (const [type, address] of sockets) {
    const socket = createSocket(type);
    await new Promise<void>((resolve) => { socket.bind({ fd: a.udpSocket({ address: type === 'udp4' ? '0.0.0.0' : '::', port: 0 }).fd }, resolve); });
    for (const port of [5000, 5001, 5002]) await new Promise((resolve) => { socket.send('x', port, address, resolve); });
    socket.close();
  }
  const forget = (wish: Parameters<NetNamespace['forgetFlows']>[0]) => [a.forgetFlows(wish), a.forgetFlows(wish)];
  assert.deepEqual(forget({ addresses: ['192.0.2.3'], udpPorts: [6001, 53] }), [0, 0]);
  assert.deepEqual(forget({ addresses: ['192.0.2.2'] }), [1, 0]);
  assert.deepEqual(forget({ addresses: ['2001:db8::2'], udpPorts: [5002] }), [3, 0]);
  assert.deepEqual(forget({ addresses: ['2001:db8::1', '192.0.2.1'] }), [2, 0]);
});

real('more is asked for than the kernel has room to answer at once', async ({ a }) => {
  const many = Array.from({ length: 1200 }, (_none, index) => index);
  a.setLink('lo', { up: true });
  await a.run(['iptables-restore'], '*nat\n-A OUTPUT -p udp --dport 53 -j DNAT --to 127.0.0.1:6000\nCOMMIT\n'); // so that flows are tracked
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => { socket.bind({ fd: a.udpSocket({ address: '0.0.0.0', port: 0 }).fd }, resolve); });
  for (const index of many) await new Promise((resolve) => { socket.send('x', 7000 + index, '127.0.0.11', resolve); });
  socket.close();
  assert.deepEqual([a.forgetFlows({ addresses: ['127.0.0.11'] }), a.forgetFlows({ addresses: ['127.0.0.11'] })], [many.length, 0]);
  a.addBridge({ name: 'br0' });
  await a.removeLinks([...many.map((index) => `none${index}`), 'br0']);
  assert.deepEqual(names(a), ['lo']);
});

test('linux: the namespace of a process is held beyond its end', { skip }, async () => {
  await using ns = openNetns();
  const net = openNet();
  const child = spawn(ns.wrap[0], [...ns.wrap.slice(1), 'sh', '-c', 'echo there; exec sleep 1000'], { stdio: ['ignore', 'pipe', 'ignore'] });
  await once(child.stdout, 'data');
  using inside = net.ofProcess(child.pid ?? 0);
  using same = net.ofPath(ns.path);
  same.addBridge({ name: 'br0' });
  child.kill('SIGKILL');
  await once(child, 'close');
  assert.throws(() => net.ofProcess(child.pid ?? 0), coded('ENOENT'));
  assert.deepEqual(names(inside), ['br0', 'lo']);
  inside.deleteLink('br0');
  assert.ok(net.host().link('lo'));
  net.host()[Symbol.dispose](); // lets go of nothing
  assert.equal(net.host().sysctl('ipv4/ip_forward')?.length, 1);
});

interface Traffic { server: NetNamespace; client: NetNamespace; any: string; address: string }

async function overTcp({ server, client, any, address }: Traffic): Promise<string> {
  const { fd, port } = server.tcpListener({ address: any, port: 0, backlog: 5 });
  const listening = createServer((socket) => { socket.pipe(socket); }).listen({ fd });
  const socket = new Socket({ fd: client.tcpConnection({ address, port }) });
  socket.end(`hello over ${address}`);
  const heard = await socket.setEncoding('utf8').toArray() as string[];
  listening.close();
  return heard.join('');
}

async function overUdp({ server, client, any, address, type }: Traffic & { type: 'udp4' | 'udp6' }): Promise<string> {
  const at = server.udpSocket({ address: any, port: 0 });
  const [echo, asking] = [createSocket(type), createSocket(type)];
  echo.on('message', (bytes, from) => echo.send(bytes, from.port, from.address));
  await new Promise<void>((resolve) => { echo.bind({ fd: at.fd }, resolve); });
  await new Promise<void>((resolve) => { asking.bind({ fd: client.udpSocket({ address: any, port: 0 }).fd }, resolve); });
  asking.send(`hello over ${address}`, at.port, address);
  const [bytes] = await once(asking, 'message') as [Buffer];
  for (const socket of [echo, asking]) socket.close();
  return bytes.toString();
}
