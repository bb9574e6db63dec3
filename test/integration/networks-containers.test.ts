// Containers on networks, with the real daemon in a machine of its own: what inspect says is what packets find, over tcp, udp, IPv4 and IPv6.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { openLinux, type NetNamespace } from '../../src/kernel/index.ts';
import type { EndpointSettings } from '../../src/wire/types.ts';
import { openBench, type Bench } from '../kit/engine.ts';
import { openNetns, type Netns } from '../kit/netns.ts';
import { until } from '../kit/poll.ts';
import { ask, serveAll, type Spot } from '../kit/traffic.ts';

interface Settings { SandboxID: string; SandboxKey: string; Ports: Record<string, Array<{ HostIp: string; HostPort: string }> | null>; IPAddress: string; MacAddress: string; Networks: Record<string, EndpointSettings> }
type Host = Readonly<Record<string, unknown>>;

const { net } = openLinux({ selfCommand: [process.execPath] });
const BOTH = ['tcp', 'udp'] as const;
/** Packets that are to be lost are waited for this long. */
const SILENCE_MS = 150;

let netns: Netns;
let bench: Bench;
let host: NetNamespace;

before(async () => {
  netns = openNetns();
  host = net.ofPath(netns.path);
  // Nobody listens there, and every question hears so: what only others could know fails at once.
  host.setSysctl('ipv4/icmp_ratelimit', '0');
  bench = await openBench({ netns, flags: ['--dns=172.17.0.1'] });
});
after(async () => {
  await bench[Symbol.asyncDispose]();
  host[Symbol.dispose]();
  await netns[Symbol.asyncDispose]();
});

const api = async <T>(method: string, path: string, { status, body }: { status: number; body?: unknown }): Promise<T> => {
  const answer = await bench.api(method, path, { status, body });
  return (answer.text === '' ? undefined : answer.json()) as T;
};
const refusal = async (method: string, path: string, how: { status: number; body?: unknown }) => (await api<{ message: string }>(method, path, how)).message;
const network = (body: object) => api<{ Id: string }>('POST', '/networks/create', { status: 201, body }).then(({ Id }) => Id);
const settings = (name: string) => api<{ NetworkSettings: Settings }>('GET', `/v1.41/containers/${name}/json`, { status: 200 }).then(({ NetworkSettings }) => NetworkSettings);
const place = async (name: string, of: string) => {
  const found = (await settings(name)).Networks[of];
  assert.ok(found, `${name} is on ${of}`);
  return found;
};
const connect = (of: string, Container: string, EndpointConfig: Partial<EndpointSettings> = {}) => api('POST', `/networks/${of}/connect`, { status: 200, body: { Container, EndpointConfig } });
const disconnect = (of: string, Container: string) => api('POST', `/networks/${of}/disconnect`, { status: 200, body: { Container } });
const stop = (name: string) => api('POST', `/containers/${name}/stop?t=0`, { status: 204 });
const IDLE = ['sleep', '1000'];
const create = (name: string, how: { host?: Host; body?: Host } = {}) => bench.create(IDLE, { name, host: { NetworkMode: 'default', ...how.host }, ...(how.body ? { body: how.body } : {}) });
const run = async (name: string, how: { host?: Host; body?: Host } = {}) => {
  const id = await create(name, how);
  await bench.start(id);
  return id;
};
const inside = async (name: string) => net.ofProcess((await bench.inspect(name)).State.Pid);
/** What a program prints in a running container. */
async function printed(name: string, command: string): Promise<string> {
  const { Id } = await api<{ Id: string }>('POST', `/containers/${name}/exec`, { status: 201, body: { AttachStdout: true, AttachStderr: true, Tty: true, Cmd: ['sh', '-c', command] } });
  return (await bench.api('POST', `/exec/${Id}/start`, { status: 200, body: { Detach: false, Tty: true } })).text.replaceAll('\r', '');
}
const lines = async (name: string, path: string) => (await printed(name, `cat ${path}`)).split('\n').filter((line) => line !== '');
/** What /etc/hosts says behind the standard lines. */
const hosts = async (name: string) => (await lines(name, '/etc/hosts')).slice(6);
/** A server in a container, which is asked over both protocols at each address; what it answers. */
async function reached(from: NetNamespace, addresses: readonly string[], { port, protocols = BOTH, waitMs }: { port: number; protocols?: ReadonlyArray<Spot['protocol']>; waitMs?: number }): Promise<string[]> {
  return await Promise.all(addresses.flatMap((address) => protocols.map(async (protocol) => (await ask(from, { address, port, protocol }, waitMs))?.split(' ')[0] ?? 'nobody')));
}
const resolved = async (name: string, word: string) => [...(await printed(name, `nslookup ${word}. 127.0.0.11`)).matchAll(/^Address:\s+(\S+)$/gm)].map(([, address = '']) => address).filter((address) => !address.startsWith('127.0.0.11')).toSorted();
/** Up to the next whole millisecond: what has just happened is told with its nanoseconds. The end of an exec may be told late, and is no matter of networks. */
const events = async (since: string) => (await bench.api('GET', `/events?since=${since}&until=${((Date.now() + 1) / 1000).toFixed(3)}&filters=${encodeURIComponent('{"type":["network","container"]}')}`, { status: 200 })).text
  .split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as { Type: string; Action: string; Actor: { Attributes: { name: string } } }).map(({ Type, Action, Actor }) => `${Type === 'network' ? `${Actor.Attributes.name} ` : ''}${Action}`).filter((action) => !action.startsWith('exec_'));
/** The millisecond that has just begun: what was told before is not in it. */
async function now(): Promise<string> {
  const before = Date.now();
  return ((await until('the next millisecond', () => Date.now() > before && Date.now())) / 1000).toFixed(3);
}

test('published ports are reached from the host and from containers, are given back at the end, and are chosen anew', async () => {
  const ports = { PortBindings: { '80/tcp': [{ HostPort: '18080' }, { HostPort: '' }], '80/udp': [{ HostPort: '18080' }], '81/tcp': [{ HostIp: '127.0.0.1', HostPort: '18090-18092' }] } };
  const body = { ExposedPorts: { '80/tcp': {}, '80/udp': {}, '81/tcp': {}, '90/tcp': {} } };
  const since = await now();
  await run('web', { host: ports, body });
  assert.deepEqual(await events(since), ['create', 'bridge connect', 'start']);
  const { IPAddress: address, MacAddress: mac, Ports: { '80/tcp': web = [], ...others }, SandboxKey: key } = await settings('web');
  assert.deepEqual([address, mac], ['172.17.0.2', '02:42:ac:11:00:02']);
  const random = Number(web?.[2]?.HostPort);
  assert.deepEqual([web?.map(({ HostIp, HostPort }) => `${HostIp} ${HostPort}`), others], [
    ['0.0.0.0 18080', ':: 18080', `0.0.0.0 ${random}`, `:: ${random}`],
    { '80/udp': [{ HostIp: '0.0.0.0', HostPort: '18080' }, { HostIp: '::', HostPort: '18080' }], '81/tcp': [{ HostIp: '127.0.0.1', HostPort: '18090' }], '90/tcp': null },
  ]);
  const [listed] = await api<Array<{ Ports: object[] }>>('GET', '/containers/json', { status: 200 });
  assert.deepEqual(listed?.Ports.slice(-2), [{ IP: '127.0.0.1', PrivatePort: 81, PublicPort: 18090, Type: 'tcp' }, { PrivatePort: 90, Type: 'tcp' }]);
  assert.ok(key.endsWith(`/netns/${(await settings('web')).SandboxID.slice(0, 12)}`));
  {
    using pair = new DisposableStack();
    await run('other');
    const [there, here] = [pair.use(await inside('web')), pair.use(await inside('other'))];
    for (const port of [80, 81]) pair.use(serveAll(there, 'web', port));
    assert.deepEqual(await reached(host, ['127.0.0.1', '172.17.0.1'], { port: 18080 }), Array(4).fill('web'));
    assert.deepEqual(await reached(host, ['::1'], { port: 18080, protocols: ['tcp'] }), ['web']);
    assert.deepEqual(await reached(host, ['127.0.0.1'], { port: random, protocols: ['tcp'] }), ['web']);
    assert.deepEqual([await reached(host, ['127.0.0.1'], { port: 18090, protocols: ['tcp'] }), await reached(here, ['172.17.0.1'], { port: 18090, protocols: ['tcp'], waitMs: SILENCE_MS })], [['web'], ['nobody']]);
    for (const from of [here, there]) assert.deepEqual(await reached(from, ['172.17.0.1'], { port: 18080 }), ['web', 'web'], 'by the host\'s address');
    assert.deepEqual(await reached(here, [address], { port: 80 }), ['web', 'web']);
    const taken = await create('taken', { host: { PortBindings: { '1/tcp': [{ HostPort: '18080' }], '2/tcp': [{ HostPort: '18070' }] } }, body: { ExposedPorts: { '1/tcp': {}, '2/tcp': {} } } });
    const words = await refusal('POST', '/containers/taken/start', { status: 500 });
    assert.match(words, /^driver failed programming external connectivity on endpoint taken \([0-9a-f]{64}\): Bind for 0\.0\.0\.0:18080 failed: port is already allocated$/);
    const { State: { Error: told, ExitCode: code, Status: status } } = await bench.inspect(taken);
    assert.deepEqual([told, code, status, await reached(host, ['127.0.0.1'], { port: 18070, protocols: ['tcp'] })], [words, 128, 'created', ['nobody']]);
    await bench.remove('taken', 'other');
  }
  const ended = await now();
  await stop('web');
  assert.deepEqual((await events(ended)).filter((action) => action !== 'kill'), ['die', 'bridge disconnect', 'stop']);
  const after = await settings('web');
  assert.deepEqual([after.IPAddress, after.Ports, after.Networks['bridge']?.EndpointID], ['', {}, '']);
  assert.deepEqual(await reached(host, ['127.0.0.1', '::1'], { port: 18080, protocols: ['tcp'] }), ['nobody', 'nobody']);
  await bench.start('web');
  const again = (await settings('web')).Ports['80/tcp']?.map(({ HostPort }) => HostPort);
  assert.deepEqual([again?.slice(0, 2), again?.includes(String(random))], [['18080', '18080'], false], 'a random port is another one with each start');
  await bench.remove('web');
  assert.deepEqual(netns.rules().filter((rule) => rule.includes('18080')), []);
});

test('networks are joined and left while a container runs, and its names follow', async () => {
  const a = await network({ Name: 'net1', IPAM: { Config: [{ Subnet: '10.81.0.0/24', Gateway: '10.81.0.1' }] } });
  await network({ Name: 'net2', EnableIPv6: true, IPAM: { Config: [{ Subnet: '10.82.0.0/24' }, { Subnet: 'fd00:82::/64' }] } });
  await run('one', { host: { NetworkMode: a.slice(0, 12) }, body: { Hostname: 'first', NetworkingConfig: { EndpointsConfig: { [a]: { Aliases: ['al'], IPAMConfig: { IPv4Address: '10.81.0.9' } } } } } });
  await run('two', { host: { NetworkMode: 'net2' } });
  using stack = new DisposableStack();
  const [one, two] = [stack.use(await inside('one')), stack.use(await inside('two'))];
  stack.use(serveAll(one, 'one', 80));
  const { Aliases, IPAddress, NetworkID } = await place('one', 'net1');
  assert.deepEqual([Aliases, IPAddress, NetworkID], [['al', (await bench.inspect('one')).Id.slice(0, 12), 'first'], '10.81.0.9', a]);
  assert.deepEqual([await reached(two, ['10.81.0.9'], { port: 80, waitMs: SILENCE_MS }), await resolved('two', 'one')], [['nobody', 'nobody'], []]);
  const since = await now();
  await connect('net2', 'one', { Aliases: ['second'], IPAMConfig: { IPv6Address: 'fd00:82::77' } });
  assert.deepEqual(await events(since), ['net2 connect']);
  const b = await place('one', 'net2');
  assert.deepEqual([b.GlobalIPv6Address, b.GlobalIPv6PrefixLen], ['fd00:82::77', 64]);
  assert.deepEqual(await reached(two, [b.IPAddress, 'fd00:82::77'], { port: 80 }), Array(4).fill('one'));
  for (const name of ['one', 'second', 'first', 'one.net2', 'ONE']) assert.deepEqual(await resolved('two', name), [b.IPAddress, 'fd00:82::77'], name);
  assert.deepEqual(await resolved('two', 'al'), [], 'an alias holds in its network alone');
  assert.deepEqual(await hosts('one'), ['10.81.0.9\tfirst', `${b.IPAddress}\tfirst`, 'fd00:82::77\tfirst']);
  assert.equal(await refusal('POST', '/networks/net2/connect', { status: 403, body: { Container: 'one' } }), 'endpoint with name one already exists in network net2');
  assert.equal(await refusal('POST', '/networks/host/connect', { status: 400, body: { Container: 'one' } }), 'container cannot be disconnected from host network or connected to host network');
  assert.equal(await refusal('POST', '/networks/none/connect', { status: 400, body: { Container: 'one' } }), 'container cannot be connected to multiple networks with one of the networks in private (none) mode');
  await api('POST', '/containers/one/rename?name=uno', { status: 204 });
  assert.deepEqual([await resolved('two', 'uno'), await resolved('two', 'one')], [[b.IPAddress, 'fd00:82::77'], []]);
  await api('POST', '/containers/uno/pause', { status: 204 });
  await disconnect('net1', 'uno');
  await api('POST', '/containers/uno/unpause', { status: 204 });
  assert.deepEqual([Object.keys((await settings('uno')).Networks), await hosts('uno'), one.link('eth0'), one.routes().find(({ destination }) => destination === '0.0.0.0/0')?.gateway], [['net2'], [`${b.IPAddress}\tfirst`, 'fd00:82::77\tfirst'], undefined, '10.82.0.1']);
  assert.equal(await refusal('POST', '/networks/net1/disconnect', { status: 500, body: { Container: 'uno' } }), `container ${(await bench.inspect('uno')).Id} is not connected to network net1`);
  await stop('uno');
  await connect('net1', 'uno', { IPAMConfig: { IPv4Address: '10.81.0.10' } });
  await disconnect('net2', 'uno');
  await bench.start('uno');
  assert.deepEqual([(await place('uno', 'net1')).IPAddress, Object.keys((await settings('uno')).Networks)], ['10.81.0.10', ['net1']]);
  await stop('uno');
  await api('DELETE', '/networks/net1', { status: 204 });
  assert.equal(await refusal('POST', '/containers/uno/start', { status: 404 }), `network ${a} not found`);
  await disconnect('net1', 'uno');
  await connect('bridge', 'uno');
  await bench.start('uno');
  assert.equal((await settings('uno')).IPAddress, '172.17.0.2');
  await bench.remove('uno', 'two');
  await api('DELETE', '/networks/net2', { status: 204 });
});

test('a daemon that stops or is killed finds addresses, ports and names as they were', async () => {
  const id = await network({ Name: 'kept' });
  await run('web', { host: { NetworkMode: 'kept', PortBindings: { '80/tcp': [{ HostPort: '' }], '80/udp': [{ HostPort: '18085' }] } }, body: { ExposedPorts: { '80/tcp': {}, '80/udp': {} } } });
  await run('db', { host: { NetworkMode: 'kept' } });
  await connect('bridge', 'db');
  await run('ends', { host: { NetworkMode: 'kept', PortBindings: { '80/tcp': [{ HostPort: '18086' }] } }, body: { ExposedPorts: { '80/tcp': {} } } });
  using stack = new DisposableStack();
  const [web, db] = [stack.use(await inside('web')), stack.use(await inside('db'))];
  stack.use(serveAll(web, 'web', 80));
  const names = ['web', 'db'];
  const before = await Promise.all(names.map(settings));
  const port = Number(before[0]?.Ports['80/tcp']?.[0]?.HostPort);
  const check = async (how: string) => {
    assert.deepEqual(await Promise.all(names.map(settings)), before, how);
    const address = before[0]?.Networks['kept']?.IPAddress ?? '';
    assert.deepEqual([await reached(host, ['127.0.0.1', '::1'], { port, protocols: ['tcp'] }), await reached(host, ['127.0.0.1'], { port: 18085, protocols: ['udp'] }), await reached(db, [address], { port: 80 })], [['web', 'web'], ['web'], ['web', 'web']], how);
    assert.deepEqual(await resolved('db', 'web'), [address], how);
  };
  await check('before');
  for (const how of ['stop', 'kill'] as const) {
    const rules = netns.rules();
    const { Id, State: { Pid } } = await bench.inspect('ends');
    await bench.restart(how, async () => {
      if (how === 'stop') return;
      process.kill(Pid, 'SIGKILL'); // while no daemon is there
      await until('it to end', () => !existsSync(`/proc/${Pid}`));
    });
    await check(how);
    if (how === 'stop') {
      assert.deepEqual(netns.rules().toSorted(), rules.toSorted());
      continue;
    }
    assert.deepEqual([(await bench.inspect(Id)).State.Status, (await settings('ends')).Networks['kept']?.IPAddress, netns.rules().filter((rule) => rule.includes('18086'))], ['exited', '', []]);
    await bench.start('ends'); // its port is free again
  }
  assert.equal(await refusal('DELETE', `/networks/${id}`, { status: 403 }), `error while removing network: network kept id ${id} has active endpoints`);
  await bench.remove('web', 'db', 'ends');
  await api('DELETE', '/networks/kept', { status: 204 });
  await until('devices to be gone', () => netns.devices().every((device) => device === 'docker0'));
});

test('links tell of another container on the default bridge, and follow it', async () => {
  await run('web', { body: { Env: ['SAID=yes'], ExposedPorts: { '80/tcp': {} }, Hostname: 'webhost' } });
  await create('app', { host: { Links: ['web:db'] } });
  await bench.start('app');
  const { IPAddress: first } = await settings('web');
  assert.deepEqual((await hosts('app'))[0], `${first}\tdb webhost web`);
  assert.deepEqual((await printed('app', 'env | grep ^DB_')).split('\n').filter((line) => line !== '').toSorted(), [
    'DB_ENV_SAID=yes', 'DB_NAME=/app/db', `DB_PORT=tcp://${first}:80`, `DB_PORT_80_TCP=tcp://${first}:80`, `DB_PORT_80_TCP_ADDR=${first}`, 'DB_PORT_80_TCP_PORT=80', 'DB_PORT_80_TCP_PROTO=tcp',
  ]);
  await stop('web');
  await run('other');
  await bench.start('web');
  const { IPAddress: second } = await settings('web');
  assert.notEqual(second, first);
  assert.deepEqual((await hosts('app'))[0], `${second}\tdb webhost web`);
  await api('POST', '/containers/web/rename?name=web2', { status: 204 });
  await bench.restart();
  const shown = async () => (await bench.inspect('app')).HostConfig['Links'];
  assert.deepEqual([await shown(), (await bench.inspect('app/db')).Name], [['/web2:/app/db'], '/web2']);
  await api('DELETE', '/containers/app/db?link=1', { status: 204 });
  assert.deepEqual([await shown(), (await hosts('app')).length, await refusal('DELETE', '/containers/app?link=1', { status: 500 })], [null, 1, 'Conflict, cannot remove the default link name of the container']);
  await bench.remove('app');
  await create('app', { host: { Links: ['web2'] } });
  await bench.remove('web2', 'other');
  assert.equal(await refusal('POST', '/containers/app/start', { status: 500 }), 'Cannot link to a non running container: /web2 AS /app/web2');
  await bench.remove('app');
});

test('namespaces of others, of nobody and of the host; settings of interfaces; hosts that are asked for', async () => {
  await run('web', { host: { ExtraHosts: ['gw:host-gateway', 'six:::6'], Sysctls: { 'net.ipv4.conf.eth0.forwarding': '0', 'net.ipv6.conf.all.disable_ipv6': '0' } }, body: { MacAddress: '02:42:ac:11:00:99' } });
  const { IPAddress: address, MacAddress: mac } = await settings('web');
  assert.deepEqual([mac, await hosts('web')], ['02:42:ac:11:00:99', ['172.17.0.1\tgw', '::6\tsix', `${address}\t${(await bench.inspect('web')).Config.Hostname}`]]);
  using web = await inside('web');
  assert.deepEqual([web.link('eth0')?.mac, web.sysctl('ipv4/conf/eth0/forwarding')?.trim(), web.sysctl('ipv6/conf/all/disable_ipv6')?.trim()], [mac, '0', '0']);
  await run('joined', { host: { NetworkMode: 'container:web' } });
  assert.deepEqual([await printed('joined', 'ip -4 -o addr show eth0 | grep -o "inet [^ ]*"'), await hosts('joined'), (await settings('joined')).Networks], [`inet ${address}/16\n`, await hosts('web'), {}]);
  await run('alone', { host: { NetworkMode: 'none' } });
  await run('host', { host: { NetworkMode: 'host' } });
  const modes = { joined: 'container sharing network namespace with another container or host cannot be connected to any other network', host: 'container sharing network namespace with another container or host cannot be connected to any other network', alone: 'container cannot be connected to multiple networks with one of the networks in private (none) mode' };
  for (const [name, words] of Object.entries(modes)) assert.equal(await refusal('POST', '/networks/bridge/connect', { status: 400, body: { Container: name } }), words);
  await disconnect('none', 'alone');
  await connect('bridge', 'alone');
  assert.match(await printed('alone', 'ip route'), /^default via 172\.17\.0\.1 dev eth0/);
  await bench.restart('kill');
  await bench.remove('alone', 'host', 'joined', 'web');
  const disabled = await run('off', { body: { NetworkDisabled: true } });
  assert.deepEqual([(await settings(disabled)).Networks, await printed('off', 'ip -o link | wc -l')], [{}, '1\n']);
  await bench.remove('off');
});

test('what cannot be on a network is refused at once by new clients, at the start by older ones', async () => {
  const body = (endpoints: object) => ({ Image: bench.image, NetworkingConfig: { EndpointsConfig: endpoints } });
  const fixed = { IPAMConfig: { IPv4Address: '172.17.0.9' } };
  assert.equal(await refusal('POST', '/v1.44/containers/create', { status: 400, body: body({ bridge: fixed }) }), 'invalid config for network bridge: invalid endpoint settings:\nuser specified IP address is supported on user defined networks only');
  assert.equal(await refusal('POST', '/v1.43/containers/create', { status: 400, body: body({ x: {}, bridge: {} }) }), 'Container cannot be connected to network endpoints: bridge, x');
  for (const [name, endpoints, words, status] of [['ip', { bridge: fixed }, 'user specified IP address is supported on user defined networks only', 400], ['later', { later: {} }, 'network later not found', 404]] as const) {
    await api('POST', `/v1.41/containers/create?name=${name}`, { status: 201, body: body(endpoints) });
    assert.equal(await refusal('POST', `/containers/${name}/start`, { status }), words);
    await bench.remove(name);
  }
  await network({ Name: 'p', IPAM: { Config: [{ Subnet: '10.83.0.0/24' }] } });
  await network({ Name: 'q' });
  await api('POST', '/v1.44/containers/create?name=both', { status: 201, body: { ...body({ p: { IPAMConfig: { IPv4Address: '10.83.0.5' }, MacAddress: '02:42:00:00:00:05' }, q: { GwPriority: 1, Aliases: ['x'] } }), Cmd: IDLE, HostConfig: { NetworkMode: 'p' } } });
  await bench.start('both');
  const { Id, NetworkSettings: { Networks } } = await api<{ Id: string; NetworkSettings: Settings }>('GET', '/v1.48/containers/both/json', { status: 200 });
  assert.deepEqual([Networks['p']?.IPAddress, Networks['p']?.MacAddress, Networks['p']?.Aliases, Networks['q']?.Aliases, Networks['q']?.DNSNames], ['10.83.0.5', '02:42:00:00:00:05', null, ['x'], ['both', 'x', Id.slice(0, 12)]]);
  using both = await inside('both');
  assert.equal(both.routes().find(({ destination }) => destination === '0.0.0.0/0')?.gateway, Networks['q']?.Gateway, 'the way out is that of the highest priority');
  await bench.remove('both');
  await api('POST', '/networks/prune', { status: 200 });
});
