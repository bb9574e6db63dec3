// Real packets through real rules: who reaches a published port from where, with both programs of iptables, over tcp, udp, IPv4 and IPv6. Needs root.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openNetns, type Netns } from '../../../test/kit/netns.ts';
import { until } from '../../../test/kit/poll.ts';
import { ask, datagramsTo, serve, serveAll } from '../../../test/kit/traffic.ts';
import { openLinux, type NetNamespace } from '../../kernel/index.ts';
import { systemClock } from '../../lib/clock.ts';
import { silentLog } from '../../lib/log.ts';
import type { PortWish } from '../index.ts';
import { openPorts, type Ports } from '../ports/index.ts';
import { openFirewall, type BridgeRules, type Firewall, type PortRule } from './index.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root';
const { net, programs } = openLinux({ selfCommand: [process.execPath] });
/** Packets that are to be dropped are waited for this long. */
const SILENCE_MS = 150;
/** Far more than any answer takes. */
const ANSWER_MS = 20_000;

const BACKENDS = {
  nft: { ipv4: 'iptables-nft', ipv6: 'ip6tables-nft' },
  legacy: { ipv4: 'iptables-legacy', ipv6: 'ip6tables-legacy' },
} as const;

/** The bridges of the host, and who is behind them: <10.1.0.N, fd00:1::N>, with the host as 1. */
const BRIDGES = ['br1', 'br2'] as const;
const HOST4 = '10.9.0.1', HOST6 = 'fd00:9::1';

interface World extends AsyncDisposable {
  host: NetNamespace;
  netns: Netns;
  /** A machine beside the host. */
  outside: NetNamespace;
  /** a and b behind br1, c behind br2. */
  containers: Readonly<Record<'a' | 'b' | 'c', Container>>;
  scratch: string;
}
interface Container { namespace: NetNamespace; ipv4: string; ipv6: string; device: string; name: string }

async function openWorld(): Promise<World> {
  await using undo = new AsyncDisposableStack();
  const scratch = mkdtempSync(join(tmpdir(), 'vq-firewall-'));
  undo.defer(() => rmSync(scratch, { recursive: true }));
  const netns = undo.use(openNetns());
  const host = undo.use(net.ofPath(netns.path));
  const far = undo.use(openNetns());
  const outside = undo.use(net.ofPath(far.path));
  for (const setting of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']) host.setSysctl(setting, '1');
  host.addVeth({ name: 'up0', peer: { name: 'eth0', namespace: outside } });
  for (const [namespace, name, n] of [[host, 'up0', 1], [outside, 'eth0', 2]] as const) address(namespace, name, [`10.9.0.${n}/24`, `fd00:9::${n}/64`]);
  for (const [index, name] of BRIDGES.entries()) {
    host.addBridge({ name });
    address(host, name, [`10.${index + 1}.0.1/24`, `fd00:${index + 1}::1/64`]);
    host.setSysctl(`ipv4/conf/${name}/route_localnet`, '1');
  }
  for (const network of [1, 2]) {
    outside.setRoute({ link: 'eth0', destination: `10.${network}.0.0/24`, gateway: HOST4 });
    outside.setRoute({ link: 'eth0', destination: `fd00:${network}::/64`, gateway: HOST6 });
  }
  const container = async (name: 'a' | 'b' | 'c', device: string): Promise<Container> => {
    const inside = undo.use(openNetns());
    const namespace = undo.use(net.ofPath(inside.path));
    const [network, n] = [device.slice(2), { a: 2, b: 3, c: 2 }[name]];
    host.addVeth({ name: `v${name}`, master: device, hairpin: true, peer: { name: 'eth0', namespace } });
    host.setLink(`v${name}`, { up: true });
    address(namespace, 'eth0', [`10.${network}.0.${n}/24`, `fd00:${network}::${n}/64`]);
    namespace.setRoute({ link: 'eth0', destination: '0.0.0.0/0', gateway: `10.${network}.0.1` });
    namespace.setRoute({ link: 'eth0', destination: '::/0', gateway: `fd00:${network}::1` });
    return await Promise.resolve({ namespace, device, name, ipv4: `10.${network}.0.${n}`, ipv6: `fd00:${network}::${n}` });
  };
  const containers = { a: await container('a', 'br1'), b: await container('b', 'br1'), c: await container('c', 'br2') };
  undo.defer(() => host.removeLinks(host.links().map(({ name }) => name).filter((name) => name !== 'lo')));
  const kept = undo.move();
  return { host, netns, outside, containers, scratch, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function address(namespace: NetNamespace, name: string, addresses: readonly string[]): void {
  for (const one of addresses) namespace.addAddress(name, one);
  namespace.setLink(name, { up: true });
}

const bridgeRules = (device: string, more: Partial<BridgeRules> = {}): BridgeRules => ({
  device, ipv4: [`10.${device.slice(2)}.0.0/24`], ipv6: [`fd00:${device.slice(2)}::/64`], internal: false, icc: true, masquerade: true, ...more,
});

const open = (world: World, more: Partial<Parameters<typeof openFirewall>[0]> = {}): Promise<Firewall> => openFirewall({
  net: world.host, programs, notePath: join(world.scratch, 'firewall.json'), log: silentLog, settings: { iptables: true, ip6tables: true }, ...more,
});
const portsOf = (world: World, userlandProxy = true): Ports => openPorts({ net: world.host, log: silentLog, clock: systemClock, settings: { hostIp: '', userlandProxy } });

/** As a daemon does it: ports first, then rules. */
async function publish({ firewall, ports, container, wishes }: { firewall: Firewall; ports: Ports; container: Container; wishes: readonly PortWish[] }): Promise<Disposable> {
  const reservation = await ports.reserve(wishes);
  reservation.passOn(container);
  const rules = reservation.published.map(({ protocol, hostIp, hostPort, port }): PortRule => ({ device: container.device, protocol, hostIp, hostPort, port, ip: hostIp.includes(':') ? container.ipv6 : container.ipv4 }));
  await firewall.put(container.name, { ports: rules });
  return reservation;
}

const wish = (port: number, hostPort: number, more: Partial<PortWish> = {}): PortWish => ({ port, protocol: 'tcp', hostIp: '', hostPorts: { first: hostPort, last: hostPort }, ...more });
const both = (port: number, hostPort: number, more: Partial<PortWish> = {}) => (['tcp', 'udp'] as const).map((protocol) => wish(port, hostPort, { ...more, protocol }));

/** Container a by port 8080 of the host. */
async function assertReachedFromEverywhere({ host, outside, containers: { a, b, c } }: World): Promise<void> {
  const reached: Record<string, string | undefined> = {};
  const from = { outside, host, a: a.namespace, b: b.namespace, c: c.namespace };
  const places = [
    ['outside', HOST4], ['outside', HOST6], ['host', '127.0.0.1'], ['host', '::1'], ['host', HOST4], ['host', HOST6],
    ['a', HOST4], ['a', HOST6], ['b', HOST4], ['b', HOST6], ['c', HOST4], ['c', HOST6], ['b', '10.1.0.1'], ['c', '10.1.0.1'],
  ] as const;
  await Promise.all(places.flatMap(([who, to]) => (['tcp', 'udp'] as const).map(async (protocol) => {
    const said = await ask(from[who], { address: to, port: 8080, protocol });
    // A container sees who calls it from another machine, as with Docker; what comes from the host or around the corner has the bridge's address.
    const seen = said?.replace('::ffff:', '').split(' ');
    reached[`${who} ${to} ${protocol}`] = seen?.[0] === 'a' && seen[2] === 'hello' ? `ok${who === 'outside' ? ` as ${seen[1]}` : ''}` : said;
  })));
  const wanted = Object.fromEntries(places.flatMap(([who, to]) => ['tcp', 'udp'].map((protocol) => [`${who} ${to} ${protocol}`, who === 'outside' ? `ok as ${to === HOST4 ? '10.9.0.2' : 'fd00:9::2'}` : 'ok'])));
  assert.deepEqual(reached, wanted);
}

for (const [backend, { bridgeNetfilter, icc }] of Object.entries({ nft: { bridgeNetfilter: '1', icc: false }, legacy: { bridgeNetfilter: '0', icc: true } } as const)) {
  test(`a published port is reached from everywhere, and nothing else is (${backend}, frames within a bridge ${bridgeNetfilter === '1' ? 'meet' : 'pass by'} the rules)`, { skip }, async () => {
    await using world = await openWorld();
    const { host, outside, containers: { a, b, c } } = world;
    for (const setting of ['bridge/bridge-nf-call-iptables', 'bridge/bridge-nf-call-ip6tables']) host.setSysctl(setting, bridgeNetfilter);
    const firewall = await open(world, { names: BACKENDS[backend as 'nft' | 'legacy'] });
    assert.equal(firewall.facts.firewall, backend === 'nft' ? 'nf_tables' : 'legacy');
    using ports = portsOf(world);
    await Promise.all([firewall.closeForward('ipv4'), firewall.closeForward('ipv6'), ...BRIDGES.map((device) => firewall.put(device, { bridges: [bridgeRules(device, { icc })] }))]);
    using _a = serveAll(a.namespace, a.name, 80);
    using _hidden = serveAll(a.namespace, a.name, 81);
    using _c = serveAll(c.namespace, c.name, 80);
    using _local = serve(host, 'host', { address: '127.0.0.1', port: 99, protocol: 'tcp' });
    using published = await publish({ firewall, ports, container: a, wishes: [...both(80, 8080), ...both(80, 8081, { hostIp: '127.0.0.1' })] });
    await firewall.settle();

    await assertReachedFromEverywhere(world);
    assert.match(await ask(host, { address: '127.0.0.1', port: 8081, protocol: 'tcp' }) ?? '', /^a .* hello$/);

    // Out they get, under the host's address.
    using _out = serve(outside, 'outside', { address: '0.0.0.0', port: 7, protocol: 'tcp' });
    assert.equal(await ask(b.namespace, { address: '10.9.0.2', port: 7, protocol: 'tcp' }), `outside ${HOST4} hello`);

    // And this is refused, each for SILENCE_MS.
    const refused = await Promise.all([
      ask(outside, { address: a.ipv4, port: 81, protocol: 'tcp' }, SILENCE_MS), // no published port, though the machine would forward
      ask(b.namespace, { address: c.ipv4, port: 80, protocol: 'tcp' }, SILENCE_MS), // from network to network
      ask(c.namespace, { address: a.ipv6, port: 80, protocol: 'udp' }, SILENCE_MS),
      ask(outside, { address: HOST4, port: 8081, protocol: 'tcp' }, SILENCE_MS), // published on 127.0.0.1 alone
    ]);
    assert.deepEqual(refused, [undefined, undefined, undefined, undefined]);
    const within = await ask(b.namespace, { address: a.ipv4, port: 81, protocol: 'tcp' }, icc ? ANSWER_MS : SILENCE_MS);
    assert.equal(within, icc ? `a ${b.ipv4} hello` : undefined);

    // A neighbour and a container that send to 127.0.0.1 over the wire: guarded, and let in as soon as the guards are taken away.
    for (const [namespace, gateway] of [[outside, HOST4], [b.namespace, '10.1.0.1']] as const) {
      namespace.deleteAddress('lo', '127.0.0.1/8'); // or it would talk to itself
      namespace.setSysctl('ipv4/conf/eth0/route_localnet', '1');
      namespace.setRoute({ link: 'eth0', destination: '127.0.0.0/8', gateway });
    }
    const wired = (waitMs: number) => Promise.all([ask(outside, { address: '127.0.0.1', port: 8081, protocol: 'tcp' }, waitMs), ask(b.namespace, { address: '127.0.0.1', port: 99, protocol: 'tcp' }, waitMs)]);
    assert.deepEqual(await wired(SILENCE_MS), [undefined, undefined]);
    await world.netns.ok(BACKENDS[backend as 'nft' | 'legacy'].ipv4, '-t', 'raw', '-F');
    assert.deepEqual((await wired(ANSWER_MS)).map((said) => said?.split(' ')[0]), ['a', 'host']);
    await firewall.put('c', { ports: [{ device: 'br2', protocol: 'tcp', hostIp: '', hostPort: 8999, ip: c.ipv4, port: 80 }] });
    assert.deepEqual(await wired(SILENCE_MS), [undefined, undefined]);

    await firewall.drop('a');
    published[Symbol.dispose]();
    assert.equal(await ask(c.namespace, { address: HOST6, port: 8080, protocol: 'udp' }, SILENCE_MS), undefined);
  });
}

test('a sender that never pauses follows its port from container to container, and connections outlive the daemon', { skip }, async () => {
  await using world = await openWorld();
  const { host, outside, containers: { a, b } } = world;
  const firewall = await open(world);
  using ports = portsOf(world);
  await firewall.put('br1', { bridges: [bridgeRules('br1')] });
  await firewall.settle();
  using _a = serveAll(a.namespace, a.name, 80);
  using _b = serveAll(b.namespace, b.name, 80);
  for (const [to, from] of [[HOST4, '10.9.0.2'], [HOST6, 'fd00:9::2']] as const) {
    using sender = datagramsTo(to, outside);
    const heard: string[] = [];
    sender.socket.on('message', (bytes) => heard.push(bytes.toString())).on('error', () => { /* refused: nobody is there yet */ });
    const beat = () => sender.socket.send('beat', 8080, to);
    const follows = (name: string) => until(`${to} to be ${name}`, () => { beat(); return heard.at(-1) === `${name} ${from} beat`; }, ANSWER_MS);
    beat();
    beat(); // the kernel takes these for the host's own
    for (const container of [a, b, a]) {
      // By the rules and not through the daemon: the container sees the sender's own address.
      using _published = await publish({ firewall, ports, container, wishes: both(80, 8080) });
      await follows(container.name);
      await firewall.drop(container.name);
    }
  }

  const published = await publish({ firewall, ports, container: a, wishes: both(80, 8080) });
  const stream = new Socket({ fd: outside.tcpConnection({ address: HOST4, port: 8080 }), readable: true, writable: true }).setEncoding('utf8');
  let said = '';
  stream.on('data', (text: string) => { said += text; });
  const echoes = async (text: string) => { stream.write(text); await until(`an echo of ${text}`, () => said.endsWith(text), ANSWER_MS); };
  await echoes('one');
  const rules = world.netns.rules();
  published[Symbol.dispose](); // as when a daemon ends or dies: its sockets go, the rules stay
  await echoes('two');
  assert.match(await ask(outside, { address: HOST6, port: 8080, protocol: 'tcp' }) ?? '', /^a fd00:9::2 hello$/);
  const next = await open(world);
  using held = await portsOf(world).reserve([], [{ port: 80, protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 8080 }]);
  assert.equal(held.published.length, 1);
  assert.throws(() => host.tcpListener({ address: '0.0.0.0', port: 8080, backlog: 1 }), { code: 'EADDRINUSE' });
  await next.put('br1', { bridges: [bridgeRules('br1')] });
  const again = both(80, 8080).flatMap(({ protocol }) => ['0.0.0.0', '::'].map((hostIp): PortRule => ({ device: 'br1', protocol, hostIp, hostPort: 8080, port: 80, ip: hostIp === '::' ? a.ipv6 : a.ipv4 })));
  await next.put('a', { ports: again });
  await next.settle();
  await echoes('three');
  assert.deepEqual(world.netns.rules(), rules);
  stream.destroy();
});

test('without rules the daemon passes on what comes from everywhere', { skip }, async () => {
  await using world = await openWorld();
  const { host, outside, containers: { a, b, c } } = world;
  const firewall = await open(world, { settings: { iptables: false, ip6tables: false } });
  using ports = portsOf(world);
  using _a = serveAll(a.namespace, a.name, 80);
  using _published = await publish({ firewall, ports, container: a, wishes: both(80, 8080) });
  const places = [[outside, HOST4], [outside, HOST6], [host, '127.0.0.1'], [host, '::1'], [host, HOST4], [a.namespace, HOST4], [b.namespace, HOST6], [c.namespace, HOST4]] as const;
  const said = await Promise.all(places.flatMap(([from, address]) => (['tcp', 'udp'] as const).map((protocol) => ask(from, { address, port: 8080, protocol }))));
  assert.deepEqual(said, places.flatMap(([, address]) => Array<string>(2).fill(`a ${address.includes(':') ? 'fd00:1::1' : '10.1.0.1'} hello`)));
  assert.deepEqual(world.netns.rules(), []);
});
