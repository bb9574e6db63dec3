// Networks and their records over restarts, kills and damage, with a real kernel: what was made stays, what is lost is made again, what went stays away.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDaemon } from '../kit/daemon.ts';
import { startDockerd } from '../kit/dockerd.ts';
import { openBench, type Bench } from '../kit/engine.ts';
import { ask } from '../kit/http.ts';
import { openNetns, type Netns } from '../kit/netns.ts';
import { until } from '../kit/poll.ts';
import { openTempRoot } from '../kit/temp.ts';

interface Shown {
  Name: string; Id: string; Created: string; Driver: string; EnableIPv6: boolean; Labels: Record<string, string>; Options: Record<string, string>;
  IPAM: { Config: Array<{ Subnet: string; Gateway?: string }> }; Containers: Record<string, { Name: string; IPv4Address: string }>;
}

let netns: Netns;
let bench: Bench;

before(async () => {
  netns = openNetns();
  bench = await openBench({ netns });
});
after(async () => {
  await bench?.[Symbol.asyncDispose]();
  await netns?.[Symbol.asyncDispose]();
});

const create = async (body: object) => (await bench.api('POST', '/v1.41/networks/create', { body, status: 201 })).json<{ Id: string }>().Id;
const show = async (name: string) => (await bench.api('GET', `/v1.41/networks/${name}`, { status: 200 })).json<Shown>();
const list = async () => (await bench.api('GET', '/v1.41/networks', { status: 200 })).json<Shown[]>();
const names = async () => (await list()).map(({ Name }) => Name);
const removeAll = async (...ids: string[]) => { for (const id of ids) await bench.api('DELETE', `/networks/${id}`, { status: 204 }); };
const deviceOf = (id: string) => `br-${id.slice(0, 12)}`;
const records = () => join(bench.daemon.dataRoot, 'vaquita/networks');
const info = async () => (await bench.api('GET', '/info', { status: 200 })).json<{ Warnings: string[] | null; IPv4Forwarding: boolean; Plugins: { Network: string[] } }>();
const ping = async (id: string, address: string) => {
  const exec = (await bench.api('POST', `/containers/${id}/exec`, { body: { Cmd: ['ping', '-c', '1', '-W', '5', address] }, status: 201 })).json<{ Id: string }>().Id;
  await bench.api('POST', `/exec/${exec}/start`, { body: {}, status: 200 });
  return (await bench.api('GET', `/exec/${exec}/json`, { status: 200 })).json<{ ExitCode: number }>().ExitCode;
};

test('networks outlive the daemon, whether it stops or is killed, and so do those in them', async () => {
  const plain = await create({ Name: 'plain' });
  const rich = await create({
    Name: 'rich', EnableIPv6: true, Attachable: true, Labels: { a: 'b', c: '' }, Options: { 'com.docker.network.bridge.name': 'richbr', 'com.docker.network.driver.mtu': '1400' },
    IPAM: { Config: [{ Subnet: '10.90.0.0/16', IPRange: '10.90.5.0/24', Gateway: '10.90.0.1' }, { Subnet: 'fd00:90::/64', Gateway: 'fd00:90::1' }] },
  });
  const twin = await create({ Name: 'plain' });
  const template = await create({ Name: 'template', ConfigOnly: true, Labels: { t: '1' } });
  const gone = await create({ Name: 'gone' });
  const [one, two] = [await bench.run(['sleep', '1000'], { name: 'one', host: { NetworkMode: 'rich' } }), await bench.run(['sleep', '1000'], { name: 'two', host: { NetworkMode: 'bridge' } })];
  await removeAll(gone);
  const before = { list: await list(), rich: await show('rich'), devices: netns.devices(), rules: netns.rules().toSorted() };
  assert.deepEqual(Object.entries(before.rich.Containers).map(([id, { Name }]) => [id, Name]), [[one, 'one']]);
  assert.match(before.rich.Containers[one]?.IPv4Address ?? '', /^10\.90\.5\.\d+\/16$/);
  assert.ok(['docker0', 'richbr', deviceOf(plain), deviceOf(twin)].every((device) => before.devices.includes(device)), before.devices.join());
  for (const how of ['stop', 'kill'] as const) {
    await bench.restart(how);
    const now = { list: (await list()).map(timeless), rich: await show('rich'), devices: netns.devices(), rules: netns.rules().toSorted() };
    assert.deepEqual(now, { ...before, list: before.list.map(timeless) }, how);
  }
  assert.equal(await ping(one, '10.90.0.1'), 0);
  assert.deepEqual((await bench.api('DELETE', '/networks/rich', { status: 403 })).json(), { message: `error while removing network: network rich id ${rich} has active endpoints` });
  await bench.remove(one, two);
  await removeAll(rich, plain, twin, template);
  await until('devices of containers to be gone', () => !netns.devices().some((device) => device.startsWith('veth'))); // a moment after their namespace
  assert.deepEqual([await names(), netns.devices(), readdirSync(records())], [['bridge', 'host', 'none'], ['docker0'], []]);
});

/** Those that every host has are made anew at every start. */
const timeless = ({ Created, ...network }: Shown) => ({ ...network, Created: ['bridge', 'host', 'none'].includes(network.Name) ? '' : Created });

test('damaged and lost records, devices that are gone and devices that are left: a start sorts it out', async () => {
  const [lost, hurt, whole] = [await create({ Name: 'lost', IPAM: { Config: [{ Subnet: '10.91.0.0/24', Gateway: '10.91.0.1' }] }, Options: { 'com.docker.network.bridge.name': 'br-lost' } }), await create({ Name: 'hurt' }), await create({ Name: 'whole' })];
  const stray = await create({ Name: 'stray' });
  const inside = await bench.run(['sleep', '1000'], { host: { NetworkMode: 'lost' } });
  const idle = await bench.create(['sleep', '1000'], { host: { NetworkMode: 'whole' } });
  await bench.start(idle);
  await bench.api('POST', `/containers/${idle}/stop?t=0`, { status: 204 });
  const address = (await show('lost')).Containers[inside]?.IPv4Address;
  await bench.restart('kill', async () => {
    writeFileSync(join(records(), `${hurt}.json`), '{"Id":"');
    for (const id of [lost, stray]) rmSync(join(records(), `${id}.json`)); // as if it had been killed while one was being removed
    await netns.ok('ip', 'link', 'del', deviceOf(whole));
  });
  assert.deepEqual((await names()).toSorted(), ['bridge', 'host', 'lost', 'none', 'whole']);
  const devices = netns.devices().filter((device) => device.startsWith('br-'));
  assert.deepEqual(devices, ['br-lost', deviceOf(whole)].toSorted(), 'what belongs to no record is gone, what a record says is there again');
  const shown = await show('lost');
  assert.deepEqual([shown.Id, shown.IPAM.Config, shown.Containers[inside]?.IPv4Address], [lost, [{ Subnet: '10.91.0.0/24', Gateway: '10.91.0.1' }], address]);
  const forward = (value: string) => netns.ok('sh', '-c', `echo ${value} > /proc/sys/net/ipv4/ip_forward`);
  const { Warnings, IPv4Forwarding: forwarding, Plugins: { Network: drivers } } = await info();
  const warnings = Warnings ?? [];
  assert.ok(warnings.some((line) => line.includes('a damaged record was set aside') && line.includes(hurt)), warnings.join('\n'));
  assert.deepEqual([forwarding, warnings.includes('WARNING: IPv4 forwarding is disabled'), drivers], [true, false, ['bridge', 'host', 'macvlan', 'null']]);
  await forward('0');
  const off = await info();
  assert.deepEqual([off.IPv4Forwarding, off.Warnings?.includes('WARNING: IPv4 forwarding is disabled')], [false, true]);
  await forward('1');
  const beside = await bench.run(['sleep', '1000'], { host: { NetworkMode: 'lost' } });
  assert.equal(await ping(beside, address?.replace(/\/.*/, '') ?? ''), 0);
  // Gone on purpose, though a stopped container names it: it is not made again.
  await removeAll(whole);
  await bench.restart('kill');
  assert.deepEqual((await names()).toSorted(), ['bridge', 'host', 'lost', 'none']);
  await bench.api('POST', `/containers/${idle}/start`, { status: 404 });
  await bench.remove(inside, beside, idle);
  await removeAll(lost);
  await until('devices of containers to be gone', () => !netns.devices().some((device) => device.startsWith('veth')));
  assert.deepEqual(netns.devices(), ['docker0']);
});

test('killed while networks come and go, the daemon keeps what it told and leaves nothing else', async () => {
  const told = new Set<string>();
  for (const afterMs of [3, 25]) {
    const doomed = await Promise.all(Array.from({ length: 3 }, (_, n) => create({ Name: `doomed-${afterMs}-${n}` })));
    for (const id of doomed) told.add(id);
    // What is under way when it is killed may be told or not.
    const making = Array.from({ length: 4 }, (_, n) => create({ Name: `made-${afterMs}-${n}` }).then((id) => { told.add(id); }, () => {}));
    const removing = doomed.map((id) => bench.api('DELETE', `/networks/${id}`).then(({ status }) => { if (status === 204) told.delete(id); else told.add(id); }, () => { told.delete(id); }));
    await sleep(afterMs); // whatever it is at then
    await bench.restart('kill', async () => { await Promise.all([...making, ...removing]); });
    const users = (await list()).filter(({ Name }) => !['bridge', 'host', 'none'].includes(Name)).map(({ Id }) => Id);
    for (const id of told) assert.ok(users.includes(id), `network ${id} was told and is gone`);
    assert.deepEqual(netns.devices().filter((device) => device.startsWith('br-')), users.map(deviceOf).toSorted());
    assert.deepEqual(readdirSync(records()).filter((name) => name !== 'removed.json').toSorted(), users.map((id) => `${id}.json`).toSorted());
  }
  await removeAll(...(await list()).filter(({ Name }) => /^(made|doomed)/.test(Name)).map(({ Id }) => Id));
  assert.deepEqual([netns.devices(), netns.rules().filter((rule) => rule.includes('br-'))], [['docker0'], []]);
});

test('networks that dockerd made on a root are taken over once', async () => {
  await using folder = openTempRoot();
  await using machine = openNetns();
  const [ours, theirs] = [join(folder.path, 'v'), join(folder.path, 'd')];
  mkdirSync(join(ours, 'data'), { recursive: true });
  mkdirSync(theirs);
  symlinkSync(join(ours, 'data'), join(theirs, 'docker-data'));
  const wishes = [{ Name: 'asked', Labels: { a: 'b' }, Options: { 'com.docker.network.driver.mtu': '1400' }, IPAM: { Config: [{ Subnet: '10.92.0.0/16', IPRange: '10.92.5.0/24', AuxiliaryAddresses: { x: '10.92.0.9' } }] } },
    { Name: 'chosen', Internal: true }, { Name: 'template', ConfigOnly: true, Labels: { t: '1' } }, { Name: 'from', ConfigFrom: { Network: 'template' } }];
  const asked = async (socket: string, path: string, what: { method?: string; body?: unknown } = {}) => { const answer = await ask(socket, { path: `/v1.41${path}`, ...what }); assert.ok(answer.status < 300, answer.text); return answer; };
  const users = async (socket: string) => (await asked(socket, '/networks?filters=%7B%22type%22%3A%5B%22custom%22%5D%7D')).json<Shown[]>().toSorted((one, other) => (one.Name < other.Name ? -1 : 1));
  let before: Shown[];
  {
    await using dockerd = await startDockerd({ root: theirs, netns: machine });
    for (const body of wishes) await asked(dockerd.socket, '/networks/create', { method: 'POST', body });
    before = await users(dockerd.socket);
    await dockerd.stop();
  }
  assert.equal(before.length, wishes.length);
  for (const expected of [before, before.filter(({ Name }) => Name !== 'chosen')]) {
    await using daemon = await startDaemon({ root: ours, netns: machine });
    assert.deepEqual(await users(daemon.socket), expected);
    if (expected === before) await asked(daemon.socket, '/networks/chosen', { method: 'DELETE' });
    else for (const Name of ['asked', 'from', 'template']) await asked(daemon.socket, `/networks/${Name}`, { method: 'DELETE' });
    await daemon.stop();
  }
  assert.deepEqual((JSON.parse(readFileSync(join(ours, 'data/vaquita/networks/removed.json'), 'utf8')) as { Ids: string[] }).Ids.length, 4);
  // Devices that Docker had made are not ours to delete.
  for (const device of machine.devices().filter((name) => name.startsWith('br-'))) await machine.ok('ip', 'link', 'del', device);
});
