// Ports of the host: who gets which, in whose words they are refused, and what comes through them where no rule of the kernel does the work. Needs root.
import assert from 'node:assert/strict';
import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { once } from 'node:events';
import { createServer, Socket } from 'node:net';
import { test } from 'node:test';
import { openNetns } from '../../../test/kit/netns.ts';
import { until } from '../../../test/kit/poll.ts';
import { openLinux, type NetNamespace } from '../../kernel/index.ts';
import { systemClock, type Clock } from '../../lib/clock.ts';
import { silentLog } from '../../lib/log.ts';
import type { PortWish, PublishedPort } from '../index.ts';
import { addressesOf, candidates, portRange } from './choose.ts';
import { openPorts, type Ports } from './index.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
const { net } = openLinux({ selfCommand: [process.execPath] });

interface World { host: NetNamespace; open: (settings?: { hostIp?: string; userlandProxy?: boolean; clock?: Clock }) => Ports; logged: string[] }

function inNamespace(name: string, check: (world: World) => Promise<void>): void {
  test(name, { skip }, async () => {
    await using netns = openNetns();
    using host = net.ofPath(netns.path);
    const logged: string[] = [];
    const log = { ...silentLog, error: (message: string) => { logged.push(message); } };
    await check({ host, logged, open: ({ hostIp = '', userlandProxy = true, clock = systemClock } = {}) => openPorts({ net: host, log, clock, settings: { hostIp, userlandProxy } }) });
  });
}

const wish = (hostPort: number | readonly [number, number], more: Partial<PortWish> = {}): PortWish => {
  const [first, last] = typeof hostPort === 'number' ? [hostPort, hostPort] : hostPort;
  return { port: 80, protocol: 'tcp', hostIp: '', hostPorts: { first, last }, ...more };
};
const told = (published: readonly PublishedPort[]) => published.map(({ port, protocol, hostIp, hostPort }) => `${hostIp} ${hostPort} ${port}/${protocol}`);

test('addresses and numbers that are tried', () => {
  const addresses = (hostIp: string, defaultIp: string, ipv6: 'yes' | 'asked' | 'no' = 'yes') => addressesOf({ hostIp }, { defaultIp, ipv6 });
  assert.deepEqual([addresses('', ''), addresses('', '0.0.0.0'), addresses('', '', 'asked'), addresses('', '', 'no')], [['0.0.0.0', '::'], ['0.0.0.0', '::'], ['0.0.0.0'], ['0.0.0.0']]);
  assert.deepEqual([addresses('', '10.0.0.1'), addresses('', '::'), addresses('::1', '', 'asked'), addresses('::1', '', 'no'), addresses('0.0.0.0', '10.0.0.1'), addresses('FD00:0::1', '')], [['10.0.0.1'], ['::'], ['::1'], [], ['0.0.0.0'], ['fd00::1']]);
  assert.deepEqual([portRange('32768\t60999'), portRange(undefined), portRange('5 4'), portRange('1 99999')], [{ first: 32768, last: 60999 }, { first: 49153, last: 65535 }, { first: 49153, last: 65535 }, { first: 49153, last: 65535 }]);
  const numbers = (first: number, last: number | undefined, count: number) => [...candidates({ hostPorts: { first: 0, last: 0 } }, { range: { first, last: first + count - 1 }, last })];
  assert.deepEqual([numbers(10, undefined, 3), numbers(10, 10, 3), numbers(10, 12, 3), numbers(10, 99, 3)], [[10, 11, 12], [11, 12, 10], [10, 11, 12], [10, 11, 12]]);
  assert.deepEqual([...candidates({ hostPorts: { first: 7, last: 9 } }, { range: { first: 10, last: 20 }, last: 8 })], [7, 8, 9]);
});

inNamespace('all or none are reserved, and refusals are in dockerd\'s words', async ({ host, open }) => {
  using ports = open();
  host.addAddress('lo', '10.9.9.1/32');
  const first = await ports.reserve([wish(8080), wish(8099, { hostIp: '127.0.0.1' }), wish(8080, { port: 53, protocol: 'udp' }), wish(8081, { hostIp: '::1', port: 81 }), wish(90, { protocol: 'sctp' })]);
  assert.deepEqual(told(first.published), ['0.0.0.0 8080 80/tcp', ':: 8080 80/tcp', '127.0.0.1 8099 80/tcp', '0.0.0.0 8080 53/udp', ':: 8080 53/udp', '::1 8081 81/tcp', '0.0.0.0 90 80/sctp', ':: 90 80/sctp']);
  using _tcp4 = listening(host, '0.0.0.0', 7000);
  using _tcp6 = listening(host, '::', 7002);
  using _udp = bound(host, '0.0.0.0', 7001);
  // Recorded: dockerd 20.10.24, behind "driver failed programming external connectivity on endpoint NAME (ID): ".
  const refusals: ReadonlyArray<[PortWish | PortWish[], string]> = [
    [wish(8080), 'Bind for 0.0.0.0:8080 failed: port is already allocated'],
    [wish(8080, { hostIp: '127.0.0.1' }), 'Error starting userland proxy: listen tcp4 127.0.0.1:8080: bind: address already in use'],
    [wish(8080, { hostIp: '10.9.9.1' }), 'Error starting userland proxy: listen tcp4 10.9.9.1:8080: bind: address already in use'],
    [wish(8099, { hostIp: '127.0.0.1' }), 'Bind for 127.0.0.1:8099 failed: port is already allocated'],
    [wish(8099), 'Error starting userland proxy: listen tcp4 0.0.0.0:8099: bind: address already in use'],
    [wish(8080, { hostIp: '::' }), 'Bind for :::8080 failed: port is already allocated'],
    [wish(8080, { hostIp: '::1' }), 'Error starting userland proxy: listen tcp6 [::1]:8080: bind: address already in use'],
    [wish(7000), 'Error starting userland proxy: listen tcp4 0.0.0.0:7000: bind: address already in use'],
    [wish(7001, { protocol: 'udp' }), 'Error starting userland proxy: listen udp4 0.0.0.0:7001: bind: address already in use'],
    [wish(7002), 'Error starting userland proxy: listen tcp6 [::]:7002: bind: address already in use'],
    [wish(80, { hostIp: '1.2.3.4' }), 'Error starting userland proxy: listen tcp4 1.2.3.4:80: bind: cannot assign requested address'],
    [wish(80, { hostIp: 'fd00::5' }), 'Error starting userland proxy: listen tcp6 [fd00::5]:80: bind: cannot assign requested address'],
    [[wish(9000), wish(8080)], 'Bind for 0.0.0.0:8080 failed: port is already allocated'],
    [[wish(9000), wish(9000, { port: 81 })], 'Bind for 0.0.0.0:9000 failed: port is already allocated'],
    [wish(90, { protocol: 'sctp' }), 'Bind for 0.0.0.0:90 failed: port is already allocated'],
    [wish([8080, 8080]), 'Bind for 0.0.0.0:8080 failed: port is already allocated'],
  ];
  for (const [wishes, words] of refusals) await assert.rejects(ports.reserve([wishes].flat()), { message: words });
  // Nothing of those was kept.
  using _again = await ports.reserve([wish(9000), wish(7000, { protocol: 'udp' })]);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  using _free = await ports.reserve([wish(8080), wish(8080, { protocol: 'udp' }), wish(90, { protocol: 'sctp' })]);
});

inNamespace('ranges give their first free port, free choice goes on behind the last one, over both families alike', async ({ host, open }) => {
  host.setSysctl('ipv4/ip_local_port_range', '40000 40005');
  using ports = open();
  using _tcp4 = listening(host, '0.0.0.0', 40001);
  using _tcp6 = listening(host, '::', 40003);
  using a = await ports.reserve([wish([40000, 40002]), wish([40000, 40002])]);
  assert.deepEqual(told(a.published), ['0.0.0.0 40000 80/tcp', ':: 40000 80/tcp', '0.0.0.0 40002 80/tcp', ':: 40002 80/tcp']);
  const b = await ports.reserve([wish(0), wish(0, { hostIp: '127.0.0.1' }), wish(0, { protocol: 'udp' })]);
  assert.deepEqual(told(b.published), ['0.0.0.0 40004 80/tcp', ':: 40004 80/tcp', '127.0.0.1 40005 80/tcp', '0.0.0.0 40000 80/udp', ':: 40000 80/udp']);
  b[Symbol.dispose]();
  using c = await ports.reserve([wish(0, { protocol: 'udp' }), wish(0)]);
  assert.deepEqual(told(c.published), ['0.0.0.0 40001 80/udp', ':: 40001 80/udp', '0.0.0.0 40004 80/tcp', ':: 40004 80/tcp']);
  await assert.rejects(ports.reserve([wish([40000, 40002]), wish(0)]), /all ports are allocated|address already in use/);
  await assert.rejects(ports.reserve([wish([40000, 40000])]), /Bind for 0\.0\.0\.0:40000 failed/);
});

inNamespace('an address of the daemon, a machine without IPv6, a daemon that passes nothing on', async ({ host, open }) => {
  using local = open({ hostIp: '127.0.0.1' });
  using a = await local.reserve([wish(86), wish(81, { hostIp: '0.0.0.0' })]);
  assert.deepEqual(told(a.published), ['127.0.0.1 86 80/tcp', '0.0.0.0 81 80/tcp']);
  using silent = open({ userlandProxy: false });
  using b = await silent.reserve([wish(82), wish(83, { hostIp: '::' })], undefined, { ipv6: false });
  using c = await silent.reserve([wish(84)], undefined, { ipv6: true });
  assert.deepEqual([told(b.published), told(c.published)], [['0.0.0.0 82 80/tcp'], ['0.0.0.0 84 80/tcp', ':: 84 80/tcp']]);
  using _server = serve(host, '127.0.0.1', 80, 'wrong');
  b.passOn({ ipv4: '127.0.0.1', ipv6: '' });
  assert.equal(await converse(host, '127.0.0.1', 82), '');
  for (const device of ['all', 'lo']) host.setSysctl(`ipv6/conf/${device}/disable_ipv6`, '1');
  using ports = open();
  using d = await ports.reserve([wish(85)]);
  assert.deepEqual(told(d.published), ['0.0.0.0 85 80/tcp']);
});

inNamespace('the next daemon takes what was published, and publishes on what somebody has taken meanwhile', async ({ host, open, logged }) => {
  const before = open();
  const { published } = await before.reserve([wish(0), wish(8080, { protocol: 'udp' })]);
  using _server = serve(host, '127.0.0.1', 80, 'container');
  before[Symbol.dispose]();
  using _thief = bound(host, '0.0.0.0', 8080);
  using after = open();
  const reservation = await after.reserve([], published);
  assert.deepEqual([reservation.published, logged.length], [published, 1]);
  reservation.passOn({ ipv4: '127.0.0.1', ipv6: '' });
  assert.equal(await converse(host, '::1', published[0]?.hostPort ?? 0, 'x'), 'container x');
  await assert.rejects(after.reserve([wish(published[0]?.hostPort ?? 0)]), /port is already allocated/);
  reservation[Symbol.dispose]();
  using _again = await after.reserve([wish(published[0]?.hostPort ?? 0)]);
});

inNamespace('streams are passed on with backpressure, ends and failures, and end with the port', async ({ host, open }) => {
  using ports = open();
  using a = await ports.reserve([wish(8080, { port: 7080 })]);
  assert.equal(await converse(host, '127.0.0.1', 8080), '', 'nobody to pass on to yet');
  a.passOn({ ipv4: '127.0.0.1', ipv6: '::1' });
  assert.equal(await converse(host, '127.0.0.1', 8080), '', 'nobody listens there');
  using _v4 = serve(host, '127.0.0.1', 7080, 'four');
  using _v6 = serve(host, '::1', 7080, 'six');
  // Both ends say all they have, also after the other one has ended.
  assert.deepEqual(await Promise.all([converse(host, '127.0.0.1', 8080, 'hello'), converse(host, '::1', 8080, 'hello')]), ['four hello', 'six hello']);
  a.passOn({ ipv4: '127.0.0.1', ipv6: '' });
  assert.equal(await converse(host, '::1', 8080, 'hello'), 'four hello');

  // A client that does not read keeps the server from writing; then it gets every byte.
  const TOTAL = 64 << 20;
  using flood = listen(host, '127.0.0.1', 7081, (client) => {
    const block = Buffer.alloc(1 << 20);
    const more = () => { while (sent < TOTAL) { sent += block.length; if (!client.write(block)) { client.once('drain', more); return; } } client.end(); };
    more();
  });
  let sent = 0;
  using b = await ports.reserve([wish(8081, { port: 7081 })]);
  b.passOn({ ipv4: '127.0.0.1', ipv6: '' });
  const reader = connect(host, '127.0.0.1', 8081).pause();
  let stood = -1;
  await until('the server to be held', () => { const now = sent; const still = now > 0 && now === stood; stood = now; return still; });
  assert.ok(sent < TOTAL, `${sent} bytes were taken in for a client that reads nothing`);
  let got = 0;
  reader.on('data', (chunk: Buffer) => { got += chunk.length; }).resume();
  await once(reader, 'end');
  assert.equal(got, TOTAL);
  reader.destroy();
  await until('the server to be let go', () => flood.open() === 0);

  // With the port what goes through it ends.
  const lasting = connect(host, '127.0.0.1', 8080);
  lasting.write('x');
  await once(lasting, 'data');
  a[Symbol.dispose]();
  await once(lasting, 'end');
  lasting.destroy();
});

inNamespace('a client that has said all before the container takes its connection is heard all the same', async ({ host, open }) => {
  using ports = open();
  using a = await ports.reserve([wish(8080)]);
  const busy = host.tcpListener({ address: '127.0.0.1', port: 80, backlog: 1 });
  const before = [connect(host, '127.0.0.1', 80), connect(host, '127.0.0.1', 80)]; // as many as wait there
  a.passOn({ ipv4: '127.0.0.1', ipv6: '' });
  const answers = Promise.all([converse(host, '127.0.0.1', 8080), converse(host, '127.0.0.1', 8080, 'x')]);
  await until('both to knock in vain', async () => (await host.run(['cat', '/proc/net/tcp'])).match(/:0050 02 /g)?.length === 2); // port 80, SYN sent
  const server = createServer({ allowHalfOpen: true }, (client) => { client.on('error', () => {}).pipe(client.on('end', () => client.write('bye'))); }).listen({ fd: busy.fd });
  assert.deepEqual(await answers, ['bye', 'xbye']);
  for (const socket of before) socket.destroy();
  server.close();
});

inNamespace('datagrams are passed on and answered to each sender, by IPv6 too; the silent are forgotten, and the number of senders is bounded', async ({ host, open }) => {
  let nowMs = 0;
  const timers = new Set<() => void>();
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs, after: (_ms, run) => { timers.add(run); return { [Symbol.dispose]: () => timers.delete(run) }; } };
  using ports = open({ clock });
  const seen = new Set<string>();
  using server = bound(host, '127.0.0.1', 53);
  server.socket.on('message', (bytes, from) => { seen.add(`${from.port}`); server.socket.send(`re ${bytes.toString()}`, from.port, from.address); });
  using a = await ports.reserve([wish(8053, { port: 53, protocol: 'udp' })]);
  a.passOn({ ipv4: '127.0.0.1', ipv6: '' });
  const ask = async (client: Datagrams, address: string, text: string) => {
    const answer = once(client, 'message');
    client.send(text, 8053, address);
    return String((await answer)[0]);
  };
  using four = bound(host, '127.0.0.1', 0);
  using six = bound(host, '::1', 0);
  assert.deepEqual(await Promise.all([ask(four.socket, '127.0.0.1', 'a'), ask(six.socket, '::1', 'b')]), ['re a', 're b']);
  assert.equal(await ask(four.socket, '127.0.0.1', ''), 're ');
  assert.equal(seen.size, 2, 'one socket per sender');
  nowMs += 80_000;
  assert.equal(await ask(six.socket, '::1', 'c'), 're c');
  nowMs += 20_000;
  const due = [...timers]; // those that run set others
  for (const run of due) { timers.delete(run); run(); }
  assert.deepEqual([await ask(four.socket, '127.0.0.1', 'd'), await ask(six.socket, '::1', 'e'), seen.size], ['re d', 're e', 3]);

  // One after the other, more senders than are remembered: each is answered, and sockets do not add up.
  const sockets = () => process.getActiveResourcesInfo().filter((name) => name === 'UDPWrap').length;
  const idle = sockets();
  for (let n = 0; n < 300; n++) {
    using sender = bound(host, '127.0.0.1', 0);
    assert.equal(await ask(sender.socket, '127.0.0.1', `${n}`), `re ${n}`);
  }
  assert.ok(sockets() - idle <= 256, `${sockets() - idle} sockets`);
  a[Symbol.dispose]();
  assert.equal(timers.size, 0);
});

/** What the server says until it ends; '' when it says nothing or the connection fails. */
async function converse(host: NetNamespace, address: string, port: number, text = ''): Promise<string> {
  const socket = connect(host, address, port);
  let said = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => { said += chunk; }).end(text);
  await closed(socket); // also after an error
  return said;
}

const closed = (socket: Socket): Promise<void> => new Promise((resolve) => { socket.once('close', () => resolve()); });

function connect(host: NetNamespace, address: string, port: number): Socket {
  return new Socket({ fd: host.tcpConnection({ address, port }), readable: true, writable: true, allowHalfOpen: true }).on('error', () => {}).on('end', () => {});
}

/** Says its name, then what it hears. */
function serve(host: NetNamespace, address: string, port: number, name: string): Disposable {
  return listen(host, address, port, (client) => { client.write(`${name} `); client.pipe(client); });
}

function listen(host: NetNamespace, address: string, port: number, onClient: (client: Socket) => void): Disposable & { open(): number } {
  const clients = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    clients.add(client);
    client.on('error', () => {}).once('close', () => clients.delete(client));
    onClient(client);
  }).listen({ fd: host.tcpListener({ address, port, backlog: 16 }).fd });
  return { open: () => clients.size, [Symbol.dispose]: () => { server.close(); for (const client of clients) client.destroy(); } };
}

const listening = (host: NetNamespace, address: string, port: number): Disposable => listen(host, address, port, (client) => client.destroy());

function bound(host: NetNamespace, address: string, port: number): Disposable & { socket: Datagrams } {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4').bind({ fd: host.udpSocket({ address, port }).fd });
  return { socket, [Symbol.dispose]: () => socket.close() };
}
