// Every call to the kernel fails once, from the first to the last: each verb then leaves what was before it, and works when it is asked again.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../test/kit/poll.ts';
import { openFake } from '../kernel/fake.ts';
import { openLinux } from '../kernel/index.ts';
import { systemClock } from '../lib/clock.ts';
import { silentLog } from '../lib/log.ts';
import { DEFAULT_NETWORK, network, place, sandboxWish, SETTINGS } from './fixture.ts';
import { openNetwork, type Network, type Sandbox } from './index.ts';

const PID = 42;
/** Sockets of ours are real ones, wherever they are asked for. */
const real = openLinux({ selfCommand: [process.execPath] }).net.host();
const LOOPBACK = { address: '127.0.0.1', port: 0 };

/** Rules in memory, as iptables-restore changes them and iptables-save tells them. */
class Rules {
  readonly tables = new Map<string, Map<string, string[]>>();

  run(program: string, input: string): string {
    if (input === '' && program.includes('restore')) return 'iptables v1.8.9 (nf_tables)';
    if (program.includes('save')) return [...this.tables].map(([table, chains]) => `*${table}\n${[...chains.keys()].map((chain) => `:${chain} -\n`).join('')}${[...chains].flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}\n`)).join('')}COMMIT\n`).join('');
    let table = '';
    for (const line of input.split('\n')) {
      if (line.startsWith('*')) table = line.slice(1);
      const [, verb, chain = '', rest = ''] = /^-([NAID]) (\S+) ?(.*)$/.exec(line) ?? [];
      if (verb !== undefined) this.#change(this.#chain(table, chain), verb, rest);
    }
    return '';
  }

  /** Those about a network or a container; the frame that others build on stays. */
  get ours(): string[] {
    return [...this.tables].flatMap(([table, chains]) => [...chains].flatMap(([chain, rules]) => rules.map((rule) => `${table} ${chain} ${rule}`))).filter((rule) => /docker0|br-|10\.|172\./.test(rule)).toSorted();
  }

  #change(rules: string[], verb: string, rest: string): void {
    if (verb === 'A') rules.push(rest);
    if (verb === 'I') rules.splice(Number(rest.split(' ')[0]) - 1, 0, rest.replace(/^\d+ /, ''));
    if (verb === 'D') rules.splice(rules.indexOf(rest), 1);
  }

  #chain(table: string, chain: string): string[] {
    const chains = this.tables.get(table) ?? new Map<string, string[]>();
    this.tables.set(table, chains);
    const rules = chains.get(chain) ?? [];
    chains.set(chain, rules);
    return rules;
  }
}

/** A machine in memory whose `failAt`-th call fails, once; counted anew from `arm`. */
function openWorld(execRoot: string, failAt = 0) {
  const rules = { host: new Rules(), inside: new Rules() };
  let count = 0;
  let exiting = false;
  const world = { failed: '', held: 0 };
  const fake = openFake({
    onCall(call) { if (!exiting && ++count === failAt) { world.failed = call; throw Object.assign(new Error(`${call}: EIO`), { code: 'EIO' }); } },
    onRun: ([program = ''], input) => (fake.calls.at(-1)?.startsWith('host') === true ? rules.host : rules.inside).run(program, input),
  });
  fake.alive.set(PID, 1n);
  const [host, inside] = [fake.net.host(), fake.net.ofProcess(PID)];
  for (const namespace of [host, inside]) {
    for (const path of ['ipv6/conf/lo/disable_ipv6', 'bridge/bridge-nf-call-iptables', 'bridge/bridge-nf-call-ip6tables']) namespace.settings.set(path, '0');
    const [udp, tcp] = [namespace.udpSocket.bind(namespace), namespace.tcpListener.bind(namespace)];
    namespace.udpSocket = (at) => { namespace.bound.clear(); return { ...udp(at), fd: real.udpSocket(LOOPBACK).fd }; };
    namespace.tcpListener = (at) => { namespace.bound.clear(); return { ...tcp(at), fd: real.tcpListener({ ...LOOPBACK, backlog: 1 }).fd }; };
  }
  inside[Symbol.dispose] = () => { world.held--; };
  const kernel = { programs: { ...fake.programs, find: (name: string) => `/sbin/${name}` }, net: { ...fake.net, ofProcess: (pid: number) => { const found = fake.net.ofProcess(pid); world.held++; return found; } } };
  const seen = ({ devices, addressList, routeList }: typeof host) => {
    const nameOf = (index: number) => devices.find((device) => device.index === index)?.name;
    return {
      devices: devices.map(({ name, kind, master, alias }) => `${name} ${kind} ${nameOf(master)} ${alias}`).toSorted(),
      addresses: addressList.map(({ link, address }) => `${nameOf(link)} ${address}`).toSorted(), routes: routeList.map(({ link, destination, gateway }) => `${nameOf(link)} ${destination} ${gateway}`).toSorted(),
    };
  };
  return Object.assign(world, {
    host, inside, arm(at: number) { count = 0; failAt = at; world.failed = ''; }, open: () => openNetwork({ kernel, log: silentLog, clock: systemClock, execRoot, daemonId: 'one', settings: SETTINGS }),
    /** Everything that a verb may leave. */
    look(room?: Network, sandbox?: Sandbox): unknown {
      const keys = existsSync(join(execRoot, 'netns')) ? readdirSync(join(execRoot, 'netns')) : [];
      return { host: seen(host), inside: seen(inside), rules: rules.host.ours, keys, held: world.held, known: sandbox && room?.sandbox(sandbox.id) !== undefined, endpoints: sandbox && [...sandbox.endpoints.values()].map((one) => ({ ...one })), published: sandbox?.published };
    },
    /** Ends the process: what is in its namespace goes. */
    exit() {
      exiting = true;
      for (const name of inside.devices.map((device) => device.name).filter((one) => one !== 'lo')) inside.deleteLink(name);
      exiting = false;
    },
  });
}

const sockets = (): number => readdirSync('/proc/self/fd').filter((fd) => {
  try { return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:'); }
  catch { return false; } // the listing's own
}).length;

type World = ReturnType<typeof openWorld>;

/** Does it; after a failure everything must be as before, and then it must work. */
async function atomically<T>(world: World, what: string, { doing, sees }: { doing: () => Promise<T>; sees: () => unknown }): Promise<T> {
  const before = structuredClone(sees());
  try { return await doing(); }
  catch (error) {
    assert.notEqual(world.failed, '', `${what}: ${String(error)}`);
    assert.deepEqual(sees(), before, `${what} failed at "${world.failed}"`);
    return await doing();
  }
}

async function scenario(world: World): Promise<void> {
  const nets = { bridge: DEFAULT_NETWORK(), six: network('six', ['10.16.0.0/24 10.16.0.1', 'fd00:16::/64 fd00:16::1']), closed: network('closed', ['10.20.0.0/24 10.20.0.1'], { Driver: 'macvlan', Internal: true }) };
  let room: Network | undefined;
  let sandbox: Sandbox | undefined;
  const step = <T>(what: string, doing: () => Promise<T>) => atomically(world, what, { doing, sees: () => world.look(room, sandbox) });
  const opened = room = await step('openNetwork', world.open);
  for (const one of Object.values(nets)) await step(`open ${one.Name}`, () => opened.open(one));
  const ports = [80, 81].map((port) => ({ port, protocol: port === 80 ? 'tcp' as const : 'udp' as const, hostIp: '127.0.0.1', hostPorts: { first: 8000 + port, last: 8000 + port } }));
  const wish = sandboxWish([place(nets.bridge)], { ports });
  const made = sandbox = await step('prepare', () => opened.prepare(wish));
  await made.attach(PID).catch(async (error: unknown) => {
    assert.notEqual(world.failed, '', String(error));
    assert.deepEqual([world.inside.devices.length, world.host.devices.filter(({ kind, name }) => kind === 'veth' && name.startsWith('veth')).length, world.held], [1, 0, 0], `attach failed at "${world.failed}"`);
    await made.release();
    sandbox = undefined;
  });
  if (sandbox !== undefined) {
    const got = [await step('connect six', () => made.connect(place(nets.six, { names: ['one'] }))), await step('connect closed', () => made.connect(place(nets.closed, { names: ['one'] })))];
    assert.deepEqual([...made.endpoints.values()].map(({ ipv4 }) => ipv4), ['172.17.0.2', '10.16.0.2', '10.20.0.2'], 'no address was lost on the way');
    assert.deepEqual(got.map(({ interfaceName }) => interfaceName), ['eth1', 'eth2']);
    await step('disconnect six', () => made.disconnect(nets.six.Id));
    await step('disconnect bridge', () => made.disconnect(nets.bridge.Id));
    await step('connect bridge', () => made.connect(place(nets.bridge)));
    world.exit();
    await made.release();
  }
  for (const one of Object.values(nets)) await opened.close(one).catch(async () => { await opened.close(one); });
  await opened.settle().catch(() => opened.settle());
  await opened.end();
}

test('whichever call to the kernel fails, a verb leaves what was before it', async () => {
  using undo = new DisposableStack();
  // Like an exec root: on a busy disk each of the firewall's notes would take its time.
  const execRoot = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'vq-walk-'));
  undo.defer(() => rmSync(execRoot, { recursive: true }));
  const before = sockets();
  let last = '';
  let n = 0;
  do {
    const world = openWorld(execRoot, ++n);
    await scenario(world).catch((error: unknown) => { throw new Error(`call ${n}, "${world.failed}"`, { cause: error }); });
    last = world.failed;
    const left = world.look() as { host: { devices: string[] }; rules: string[]; keys: string[]; held: number };
    assert.deepEqual([left.host.devices.map((device) => device.split(' ')[0]), left.rules, left.keys, left.held], [['lo'], [], [], 0], `after call ${n}, "${last}"`);
  } while (last !== '');
  assert.ok(n > 100, `${n} calls`);
  await until('every socket to be closed', () => sockets() <= before);
});

test('whichever call fails while a running container is taken over, it keeps what it has', async () => {
  using undo = new DisposableStack();
  const execRoot = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'vq-walk-'));
  undo.defer(() => rmSync(execRoot, { recursive: true }));
  const before = sockets();
  const nets = [DEFAULT_NETWORK(), network('six', ['10.16.0.0/24 10.16.0.1', 'fd00:16::/64 fd00:16::1']), network('closed', ['10.20.0.0/24 10.20.0.1'], { Driver: 'macvlan', Internal: true })];
  const wish = sandboxWish(nets.map((one) => place(one, { names: ['one'] })), { ports: [{ port: 80, protocol: 'tcp', hostIp: '127.0.0.1', hostPorts: { first: 8080, last: 8080 } }] });
  const world = openWorld(execRoot);
  const openAll = async () => {
    const room = await world.open();
    for (const one of nets) await room.open(one);
    return room;
  };
  const first = await openAll();
  const sandbox = await first.prepare(wish);
  await sandbox.attach(PID);
  const got = { pid: PID, endpoints: [...sandbox.endpoints.values()].map((one) => ({ ...one })), published: [...sandbox.published] };
  await first.end();
  const devices = (world.look() as { inside: { devices: string[] } }).inside.devices;
  for (let n = 1, failed = true; failed; n++) {
    const room = await openAll();
    world.arm(n);
    const adopted = await room.adopt(wish, got).catch((error: unknown) => { assert.match(world.failed, / links$/, String(error)); });
    failed = world.failed !== '';
    const { host, inside } = world.look() as Record<'host' | 'inside', { devices: string[] }>;
    assert.deepEqual(inside.devices, devices, `after "${world.failed}"`);
    world.arm(0);
    if (adopted === undefined) continue; // and what it has is cut off, since nobody knows what that is
    assert.equal(host.devices.filter((device) => / veth (docker0|br-)/.test(device)).length, 2, `after "${world.failed}"`);
    if (!failed) assert.deepEqual([...adopted.endpoints.values()], got.endpoints);
    await room.end();
  }
  world.exit();
  await until('every socket to be closed', () => sockets() <= before);
});
