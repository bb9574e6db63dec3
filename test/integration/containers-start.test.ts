// Starts that fail leave nothing, starts that succeed give what was asked for, and what nobody knows is ended.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openBench, type Bench } from '../kit/engine.ts';
import { busyboxImage, treeTar } from '../kit/image.ts';
import { leaksOf } from '../kit/leaks.ts';
import { until } from '../kit/poll.ts';

let bench: Bench;
before(async () => { bench = await openBench(); });
after(async () => { await bench[Symbol.asyncDispose](); });

/** Folders of the container in any hierarchy. */
function cgroupsOf(id: string): string[] {
  return execFileSync('find', ['/sys/fs/cgroup', '-type', 'd', '-name', id], { encoding: 'utf8' }).split('\n').filter((line) => line !== '');
}

async function assertNothingRuns(id: string): Promise<void> {
  const left = () => [...leaksOf(bench.path).filter((leak) => leak.includes(id)), ...leaksOf(bench.daemon.dataRoot).filter((leak) => leak.startsWith('mount')), ...cgroupsOf(id),
    ...['tasks', 'crun', 'exits'].flatMap((place) => readdirSync(join(bench.daemon.execRoot, place)).map((name) => `${place}/${name}`))];
  await until('nothing to be left', () => left().length === 0).catch((cause: unknown) => { throw new Error(left().join('\n'), { cause }); });
}

async function failsToStart(id: string, said: RegExp, code: number): Promise<void> {
  const answer = await bench.api('POST', `/containers/${id}/start`);
  assert.ok(answer.status >= 400, String(answer.status));
  assert.match(answer.json<{ message: string }>().message, said);
  const { State: state } = await bench.inspect(id);
  assert.deepEqual([state.Status, state.Running, state.Pid, state.ExitCode, state.Error], ['created', false, 0, code, answer.json<{ message: string }>().message]);
  await assertNothingRuns(id);
}

test('programs, users and folders that are not there', async () => {
  for (const [cmd, body, said, code] of [
    [['/no/such'], {}, /no such file or directory/, 127], [['nope'], {}, /executable file not found in \$PATH/, 127], [['/etc/passwd'], {}, /permission denied/, 126],
    [['true'], { User: 'stranger' }, /unable to find user stranger/, 128], [['true'], { WorkingDir: '/etc/passwd/x' }, /not a directory/i, 126],
  ] as const) {
    const id = await bench.create(cmd, { body });
    await failsToStart(id, said, code);
    await bench.remove(id);
  }
});

test('a bind of a file onto a directory fails; with the source put right, the same container starts', async () => {
  const source = join(bench.path, 'source');
  writeFileSync(source, 'a file');
  const id = await bench.create(['cat', '/etc/here'], { host: { Binds: [`${source}:/etc`] } });
  await failsToStart(id, /not a directory|directory/i, 126);
  rmSync(source);
  mkdirSync(source);
  writeFileSync(join(source, 'here'), 'found');
  await bench.start(id);
  assert.equal(await bench.end(id), 0);
  assert.equal(await bench.logs(id), 'found');
  const { State: state } = await bench.inspect(id);
  assert.deepEqual([state.Status, state.Error, state.ExitCode], ['exited', '', 0]);
  await assertNothingRuns(id);
  await bench.remove(id);
});

test('a damaged layer is said, other containers go on, and a repaired one starts', async () => {
  const image = await bench.add(busyboxImage({ extra: [treeTar({ 'mark': 'layer' })] }), 'damaged');
  const id = await bench.create(['cat', '/mark'], { body: { Image: image } });
  const overlay = join(bench.daemon.dataRoot, 'overlay2');
  const layer = readdirSync(overlay).find((name) => existsSync(join(overlay, name, 'diff/mark'))) ?? '';
  renameSync(join(overlay, layer, 'diff'), join(overlay, layer, 'away'));
  const answer = await bench.api('POST', `/containers/${id}/start`);
  assert.equal(answer.status, 500);
  assert.ok((await bench.inspect(id)).State.Error !== '');
  await assertNothingRuns(id);
  renameSync(join(overlay, layer, 'away'), join(overlay, layer, 'diff'));
  await bench.start(id);
  assert.equal(await bench.end(id), 0);
  assert.equal(await bench.logs(id), 'layer');
  await bench.remove(id);
});

test('a failed start of a container with --rm removes it', async () => {
  const id = await bench.create(['/no/such'], { host: { AutoRemove: true } });
  assert.equal((await bench.api('POST', `/containers/${id}/start`)).status, 400);
  assert.equal((await bench.api('GET', `/containers/${id}/json`)).status, 404);
});

test('too much memory ends it with OOMKilled and an event', async () => {
  const events = await bench.events();
  const id = await bench.run(['sh', '-c', 'x=$(head -c 64000000 /dev/zero | tr "\\0" x); echo ${#x}'], { host: { Memory: 16 << 20, MemorySwap: 16 << 20 } });
  assert.equal(await bench.end(id), 137);
  assert.equal((await bench.inspect(id)).State.OOMKilled, true);
  await events.sees('die', id);
  assert.ok(events.actions(id).includes('oom') && events.actions(id).indexOf('oom') < events.actions(id).indexOf('die'));
  events.leave();
  await bench.remove(id);
});

test('limits stand in the cgroup, which goes with the run', async () => {
  const id = await bench.run(['sleep', '1000'], { host: { Memory: 64 << 20, CpuShares: 512, NanoCpus: 500_000_000, PidsLimit: 42 } });
  const folders = cgroupsOf(id);
  const value = (...names: string[]) => folders.flatMap((folder) => names.map((name) => join(folder, name))).filter((path) => existsSync(path)).map((path) => readFileSync(path, 'utf8').trim())[0];
  assert.deepEqual([value('memory.limit_in_bytes', 'memory.max'), value('pids.max')], [String(64 << 20), '42']);
  assert.match(value('cpu.cfs_quota_us', 'cpu.max') ?? '', /^50000( 100000)?$/);
  const { Pid: pid } = (await bench.inspect(id)).State;
  assert.match(readFileSync(`/proc/${pid}/cgroup`, 'utf8'), new RegExp(`/docker/${id}`));
  await bench.remove(id);
  await assertNothingRuns(id);
});

test('networks: none has its loopback, host is the host\'s own, container:NAME is shared with its names', async () => {
  const space = async (id: string) => execFileSync('readlink', [`/proc/${(await bench.inspect(id)).State.Pid}/ns/net`], { encoding: 'utf8' });
  const [alone, host] = await Promise.all([bench.run(['sleep', '1000'], { name: 'alone', body: { Hostname: 'sea', Domainname: 'example.org' } }), bench.run(['sleep', '1000'], { host: { NetworkMode: 'host' } })]);
  const guest = await bench.run(['sleep', '1000'], { host: { NetworkMode: 'container:alone' } });
  assert.equal(await space(guest), await space(alone));
  assert.equal(await space(host), execFileSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' }));
  assert.notEqual(await space(alone), await space(host));
  const inside = async (id: string, script: string) => {
    const exec = (await bench.api('POST', `/containers/${id}/exec`, { status: 201, body: { Cmd: ['sh', '-c', script], AttachStdout: true, AttachStderr: true } })).json<{ Id: string }>().Id;
    const client = await bench.hijack(`/exec/${exec}/start`, {});
    await client.ended;
    return client.stdout() + client.stderr();
  };
  assert.equal(await inside(alone, 'hostname; cat /etc/hostname'), 'sea\nsea\n');
  assert.match(await inside(alone, 'cat /etc/hosts'), /^127\.0\.0\.1\tlocalhost\n/);
  assert.match(await inside(alone, 'ifconfig lo'), /127\.0\.0\.1/);
  assert.equal(await inside(alone, 'ls /sys/class/net'), 'lo\n');
  assert.equal(await inside(host, 'hostname; cat /etc/hosts'), `${hostname()}\n${readFileSync('/etc/hosts', 'utf8')}`);
  assert.equal(await inside(host, 'cat /etc/resolv.conf'), readFileSync('/etc/resolv.conf', 'utf8'));
  assert.equal(await inside(guest, 'hostname'), 'sea\n');
  await bench.remove(guest, alone);
  const orphan = await bench.create(['true'], { name: 'late', host: { NetworkMode: `container:${host}` } });
  await bench.remove(host);
  await failsToStart(orphan, /No such container|cannot join network of a non running container/, 128);
  await bench.remove(orphan);
});

test('binds, tmpfs, names of hosts and servers, and the variable with the ID', async () => {
  const folder = join(bench.path, 'bound');
  mkdirSync(folder);
  writeFileSync(join(folder, 'file'), 'from the host\n');
  const id = await bench.run(['sh', '-c', 'cat /in/file; echo back > /in/new; (echo no > /ro/new) 2>/dev/null || echo refused; df /scratch | tail -1 | cut -c1-5; grep 192.0.2.7 /etc/hosts; cat /etc/resolv.conf; echo $SELF'], {
    host: {
      Binds: [`${folder}:/in`, `${folder}:/ro:ro`], Tmpfs: { '/scratch': 'size=1m' }, ExtraHosts: ['far:192.0.2.7'], Dns: ['192.0.2.53'], DnsSearch: ['example.org'], DnsOptions: ['ndots:2'], ContainerIDEnv: 'SELF',
    },
  });
  assert.equal(await bench.end(id), 0);
  const said = (await bench.logs(id)).split('\n');
  assert.deepEqual(said, ['from the host', 'refused', 'tmpfs', '192.0.2.7\tfar', 'search example.org', 'nameserver 192.0.2.53', 'options ndots:2', id, '']);
  assert.equal(readFileSync(join(folder, 'new'), 'utf8'), 'back\n');
  await bench.remove(id);
  assert.ok(existsSync(join(folder, 'file')));
});

test('tasks whose record is gone are ended at the start of the daemon, mounts and all', async () => {
  const [lost, kept] = [await bench.run(['sleep', '1000']), await bench.run(['sleep', '1000'])];
  const { Pid: pid } = (await bench.inspect(lost)).State;
  await bench.restart('kill', () => { rmSync(join(bench.daemon.dataRoot, 'containers', lost), { recursive: true }); });
  assert.equal((await bench.api('GET', `/containers/${lost}/json`)).status, 404);
  await until('its process to be gone', () => !existsSync(`/proc/${pid}`));
  assert.deepEqual([cgroupsOf(lost), leaksOf(bench.path).filter((leak) => leak.includes(lost))], [[], []]);
  assert.deepEqual(readdirSync(join(bench.daemon.execRoot, 'tasks')), [kept]);
  assert.equal(leaksOf(bench.daemon.dataRoot).filter((leak) => leak.startsWith('mount') && leak.includes('/merged')).length, 1);
  assert.equal((await bench.inspect(kept)).State.Running, true);
  await bench.remove(kept);
});
