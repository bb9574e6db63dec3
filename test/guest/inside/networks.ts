// Inside a guest: networks on a kernel that has everything as modules and nothing loaded, with traffic over each.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, readFileSync, readSync, writeSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NetNamespace } from '../../../src/kernel/index.ts';
import { openNet } from '../../../src/kernel/net.ts';
import { lastErrno, libc } from '../../../src/kernel/sys.ts';
import type { Engine } from './engine.ts';
import { tell } from './tell.ts';

const net = openNet();
const ANSWER_MS = 60_000;
/** Answers everyone on port 80 with its name, for as long as it runs. */
const serve = (name: string) => ['sh', '-c', `nc -ll -p 80 -e echo ${name}`];

interface Inspected { State: { Pid: number }; NetworkSettings: { Networks: Record<string, { IPAddress: string; Gateway: string }> } }
const inspect = (engine: Engine, id: string) => engine.api<Inspected>('GET', `/containers/${id}/json`);
const addressOf = async (engine: Engine, id: string, network: string) => (await inspect(engine, id)).NetworkSettings.Networks[network]?.IPAddress ?? '';

/** What has a container running with every kind of published port, for an engine to find after it died. */
export interface Published { id: string; pid: number }

export async function publish(engine: Engine, ports: readonly ('tcp' | 'udp' | 'sctp')[]): Promise<Published> {
  const bindings = Object.fromEntries(ports.map((protocol) => [`80/${protocol}`, [{ HostIp: '', HostPort: '8080' }]]));
  const id = await engine.run(serve('published'), { NetworkMode: 'bridge', PortBindings: bindings }, { ExposedPorts: Object.fromEntries(Object.keys(bindings).map((port) => [port, {}])) });
  return { id, pid: (await inspect(engine, id)).State.Pid };
}

/** What an own client of the host hears by each way to it, and another container by the gateway's address. */
export async function askPublished(engine: Engine, { pid }: Published, ports: readonly string[]): Promise<Record<string, string>> {
  using inside = net.ofProcess(pid);
  const gateway = '172.17.0.1';
  const heard: Record<string, string> = { localhost: await overTcp('127.0.0.1', 8080), gateway: await overTcp(gateway, 8080), container: await fromContainer(engine, gateway) };
  if (ports.includes('udp')) heard['udp'] = await overUdp(inside, { address: gateway, port: 8080 });
  if (ports.includes('sctp')) heard['sctp'] = await overSctp(inside, { address: gateway, port: 8080 });
  return heard;
}

async function fromContainer(engine: Engine, gateway: string): Promise<string> {
  const id = await engine.run(['sh', '-c', `nc -w 60 ${gateway} 8080 < /dev/null`], { NetworkMode: 'bridge' });
  await engine.wait(id);
  const said = await engine.logs(id);
  await engine.api('DELETE', `/containers/${id}?force=1`, { status: 204 });
  return said.trim();
}

/** Networks of users: names, walls, a VLAN. Leaves nothing of it. */
export async function userNetworks(engine: Engine): Promise<void> {
  const create = async (name: string, body: Readonly<Record<string, unknown>> = {}) => (await engine.api<{ Id: string }>('POST', '/networks/create', { body: { Name: name, ...body }, status: 201 })).Id;
  await create('lan');
  await create('walls', { Options: { 'com.docker.network.bridge.enable_icc': 'false' } });
  const web = await engine.run(serve('web'), { NetworkMode: 'lan' }, { NetworkingConfig: { EndpointsConfig: { lan: { Aliases: ['site'] } } } });
  const walled = await engine.run(serve('walled'), { NetworkMode: 'walls' });
  const asking = await engine.run(['sleep', '1000'], { NetworkMode: 'lan' });
  await engine.api('POST', '/networks/walls/connect', { body: { Container: asking }, status: 200 });
  const behind = await addressOf(engine, walled, 'walls');
  tell('within the walls', await overTcp(behind, 80));
  await overTcp(await addressOf(engine, web, 'lan'), 80); // listens by now
  // One program for all questions: each further one takes the emulated machine a second.
  const hears = (bit: number, host: string, waitS = 60) => `test -n "$(nc -w ${waitS} ${host} 80 < /dev/null)" && heard=$((heard + ${bit}));`;
  const heard = await engine.exec(asking, ['sh', '-c', `heard=0; ${hears(1, 'site')} ${hears(2, web.slice(0, 12))} ${hears(4, 'nobody', 2)} ${hears(8, behind, 2)} exit $heard`]);
  tell('names', { alias: (heard & 1) !== 0, short: (heard & 2) !== 0, unknown: (heard & 4) !== 0, walled: (heard & 8) !== 0 });
  await removeAll(engine, [web, walled, asking], ['lan', 'walls']);
  await vlan(engine);
}

/** Two ends of a cable: containers sit on VLAN 10 of the one, and this program on VLAN 10 of the other. */
async function vlan(engine: Engine): Promise<void> {
  const host = net.host();
  host.addVeth({ name: 'port0', peer: { name: 'port1', namespace: host } });
  host.addVlan({ name: 'far', parent: 'port1', id: 10 });
  for (const name of ['port0', 'port1', 'far']) host.setLink(name, { up: true });
  host.addAddress('far', '10.10.0.100/24');
  await engine.api('POST', '/networks/create', { body: { Name: 'field', Driver: 'macvlan', Options: { parent: 'port0.10' }, IPAM: { Config: [{ Subnet: '10.10.0.0/24', Gateway: '10.10.0.100' }] } }, status: 201 });
  const [one, other] = [await engine.run(serve('one'), { NetworkMode: 'field' }), await engine.run(['sleep', '1000'], { NetworkMode: 'field' })];
  const address = await addressOf(engine, one, 'field');
  tell('macvlan', {
    parent: host.link('port0.10')?.kind, vlan: /VID: (\d+)/.exec(readFileSync('/proc/net/vlan/port0.10', 'utf8'))?.[1], address, far: await overTcp(address, 80),
    neighbour: await engine.exec(other, ['sh', '-c', `test "$(nc -w 60 ${address} 80 < /dev/null)" = one`]),
  });
  await removeAll(engine, [one, other], ['field']);
  tell('vlan left', host.link('port0.10') !== undefined);
  await host.removeLinks(['port0']);
}

async function removeAll(engine: Engine, containers: readonly string[], networks: readonly string[]): Promise<void> {
  for (const id of containers) await engine.api('DELETE', `/containers/${id}?force=1`, { status: 204 });
  for (const name of networks) await engine.api('DELETE', `/networks/${name}`, { status: 204 });
}

export const loadedModules = (): string[] => readFileSync('/proc/modules', 'utf8').split('\n').map((line) => line.split(' ')[0] ?? '').filter((name) => name !== '').sort();

/** Devices and translations that are there when nothing runs. */
export async function leftovers(): Promise<{ devices: string[]; translations: string[] }> {
  const of = () => net.host().links().map(({ name }) => name).filter((name) => !['lo', 'docker0'].includes(name));
  await until('devices to be gone', () => Promise.resolve(of().length === 0)).catch(() => { /* they are told */ });
  const rules = await net.host().run(['iptables-save', '-t', 'nat']);
  return { devices: of(), translations: rules.split('\n').filter((line) => line.includes('-j DNAT')) };
}

/** Everything that a TCP server says; asked again until somebody listens. */
async function overTcp(address: string, port: number): Promise<string> {
  let said = '';
  await until(`an answer from ${address}:${port}`, async () => {
    const socket = connect({ host: address, port });
    socket.setTimeout(ANSWER_MS, () => { socket.destroy(); });
    said = await socket.setEncoding('utf8').toArray().then((parts) => parts.join(''), () => '');
    return said !== '';
  }).catch((error: unknown) => { said = String(error); });
  return said.trim();
}

/** A server inside, made here: nothing in the image serves datagrams. */
async function overUdp(inside: NetNamespace, to: { address: string; port: number }): Promise<string> {
  const [server, client] = [createSocket('udp4'), createSocket('udp4')];
  try {
    server.on('message', (bytes, from) => { server.send(`published to ${bytes.toString()}`, from.port, from.address); });
    await new Promise<void>((resolve) => { server.bind({ fd: inside.udpSocket({ address: '0.0.0.0', port: 80 }).fd }, resolve); });
    client.send('you', to.port, to.address);
    const [bytes] = await once(client, 'message', { signal: AbortSignal.timeout(ANSWER_MS) }) as [Buffer];
    return bytes.toString();
  } catch (error) { return String(error); }
  finally { server.close(); client.close(); }
}

/** Likewise. Node knows no SCTP, but takes a listening socket of any stream; the client's is used as a bare descriptor. */
async function overSctp(inside: NetNamespace, to: { address: string; port: number }): Promise<string> {
  const server = createServer((socket) => { socket.once('data', (bytes: Buffer) => { socket.end(`published to ${bytes.toString()}`); }); });
  await new Promise<void>((resolve) => { server.listen({ fd: inside.tcpListener({ address: '0.0.0.0', port: 80, backlog: 1, protocol: 'sctp' }).fd }, resolve); });
  const fd = sctpConnection(to);
  try {
    if (typeof fd === 'string') return fd;
    writeSync(fd, 'you');
    const answer = Buffer.alloc(100);
    for (const deadline = Date.now() + ANSWER_MS; Date.now() < deadline; await sleep(20)) {
      try { return answer.subarray(0, readSync(fd, answer)).toString(); } catch { /* not yet: it never waits */ }
    }
    return 'no answer';
  } finally {
    if (typeof fd === 'number') closeSync(fd);
    server.close();
  }
}

/** A descriptor, or what went wrong. Bound to one address: else it would offer the peer all that the machine has. Waits for the connection, and then never again. */
function sctpConnection(to: { address: string; port: number }): number | string {
  const AF_INET = 2, SOCK_STREAM = 1, IPPROTO_SCTP = 132, SOL_SOCKET = 1, SO_SNDTIMEO = 21, F_SETFL = 4, O_NONBLOCK = 0o4000;
  const place = (port: number) => Buffer.from([AF_INET, 0, port >> 8, port & 0xff, ...to.address.split('.').map(Number), ...new Uint8Array(8)]);
  const fd = libc.socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);
  if (fd < 0) return `socket: ${lastErrno()}`;
  const patience = Buffer.alloc(16); // struct timeval
  patience[0] = ANSWER_MS / 1000;
  libc.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, patience, patience.length);
  for (const [what, call, port] of [['bind', libc.bind, 0], ['connect', libc.connect, to.port]] as const) {
    if (call(fd, place(port), 16) === 0) continue;
    const failure = `${what}: ${lastErrno()}`;
    closeSync(fd);
    return failure;
  }
  libc.fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + ANSWER_MS; !await holds(); await sleep(100)) if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
}
