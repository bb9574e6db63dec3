// Limits, usage and strikes of the OOM killer, on this machine's own cgroups; v2 alone is asked in test/guest.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { openBench, type Bench } from '../kit/engine.ts';
import { until } from '../kit/poll.ts';

const M = 1 << 20;
const PARENT = `/vaquita-resources-${process.pid}`;
const FLAGS = ['--cgroup-parent', `${PARENT}/../${PARENT.slice(1)}`, '--default-ulimit', 'nofile=300:400', '--default-ulimit', 'nproc=500', '--default-shm-size', '5m'];

let bench: Bench;
before(async () => { bench = await openBench({ flags: FLAGS }); });
after(async () => {
  await bench[Symbol.asyncDispose]();
  // Nobody takes a parent away, since nobody knows who else is to stand in it.
  for (const root of ['', ...readdirSync('/sys/fs/cgroup')]) if (existsSync(`/sys/fs/cgroup/${root}${PARENT}`)) rmdirSync(`/sys/fs/cgroup/${root}${PARENT}`);
});

const SLEEP = ['sleep', '1000'];
const UNIFIED = existsSync('/sys/fs/cgroup/cgroup.controllers');
const file = (id: string, controller: string, name: string) => readFileSync(`/sys/fs/cgroup/${UNIFIED ? '' : controller}${PARENT}/${id}/${name}`, 'utf8').trim();
/** Memory, CPU quota, CPU weight (shares in the words of v1), processes. */
const limitsOf = (id: string) => (UNIFIED
  ? [file(id, 'memory', 'memory.max'), file(id, 'cpu', 'cpu.max').split(' ')[0], file(id, 'cpu', 'cpu.weight') === '20' ? '512' : 'another', file(id, 'pids', 'pids.max')]
  : [file(id, 'memory', 'memory.limit_in_bytes'), file(id, 'cpu', 'cpu.cfs_quota_us'), file(id, 'cpu', 'cpu.shares'), file(id, 'pids', 'pids.max')]);
const update = (id: string, body: object, status = 200) => bench.api('POST', `/containers/${id}/update`, { body, status });

test('the flags of the daemon decide the cgroup, and what containers get that do not say otherwise', async () => {
  const id = await bench.create(['sh', '-c', 'ulimit -Sn; ulimit -Hn; grep -o "Max processes *[0-9]*" /proc/self/limits; df -k /dev/shm | tail -n 1'], { host: { Ulimits: [{ Name: 'nproc', Soft: 600, Hard: 600 }] } });
  await bench.start(id);
  assert.equal(await bench.end(id), 0);
  const [soft, hard, processes, shm] = (await bench.logs(id)).split('\n');
  assert.deepEqual([soft, hard, processes?.replace(/\D+/, '')], ['300', '400', '600']);
  assert.match(shm ?? '', /\b5120\b/);
  const { HostConfig: host } = await bench.inspect(id);
  assert.deepEqual([host['Ulimits'], host['ShmSize'], host['CgroupParent']], [[{ Name: 'nproc', Soft: 600, Hard: 600 }], 5 * M, '']);
  await bench.remove(id);
});

test('an update changes record and kernel, or neither; the new limits are kept for the next start', async () => {
  const id = await bench.run(SLEEP, { host: { Memory: 64 * M, CpuShares: 512, PidsLimit: 50 } });
  const listening = await bench.events();
  assert.deepEqual((await update(id, { Memory: 80 * M, MemorySwap: -1, NanoCpus: 5e8, PidsLimit: -1 })).json(), { Warnings: null });
  await listening.sees('update', id);
  assert.deepEqual(limitsOf(id), [String(80 * M), '50000', '512', 'max']);
  // Of each, the kernel takes something before it refuses the rest.
  const refused = await update(id, UNIFIED ? { BlkioWeight: 500, CpuShares: 100, MemorySwap: 10 * M } : { Memory: 100 * M, MemorySwap: 200 * M, CpuRealtimeRuntime: 950_000, CpuRealtimePeriod: 1000 }, 500);
  assert.match(refused.json<{ message: string }>().message, new RegExp(`^Cannot update container ${id}: `));
  assert.deepEqual(limitsOf(id), [String(80 * M), '50000', '512', 'max']);
  const host = (await bench.inspect(id)).HostConfig;
  assert.deepEqual([host['Memory'], host['MemorySwap'], host['PidsLimit'], host['CpuRealtimeRuntime']], [80 * M, -1, 0, 0]);
  await update(id, { RestartPolicy: {} });
  await bench.restart('kill');
  await bench.api('POST', `/containers/${id}/restart?t=0`, { status: 204 });
  assert.deepEqual(limitsOf(id), [String(80 * M), '50000', '512', 'max']);
  listening.leave();
  await bench.remove(id);
});

test('a restart policy that is updated counts for the next exit', async () => {
  const id = await bench.create(['sh', '-c', 'test -e /again && exec sleep 1000; touch /again; cat; exit 3'], { body: { OpenStdin: true, StdinOnce: true } });
  const holding = await bench.hijack(`/containers/${id}/attach?stream=1&stdin=1`);
  await bench.start(id);
  await update(id, { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 } });
  holding.end();
  await until('the container to run again', async () => { const { RestartCount, State } = await bench.inspect(id); return RestartCount === 1 && State.Running; });
  await bench.remove(id);
});

test('a stream of stats lives as long as its client and its container', async () => {
  const id = await bench.run(SLEEP, { host: { Memory: 64 * M, PidsLimit: 9 } });
  const [one, two] = await Promise.all([bench.open('GET', `/containers/${id}/stats`), bench.open('GET', `/containers/${id}/stats?stream=1`)]);
  const lines = (text: string) => text.split('\n').slice(0, -1).map((line) => JSON.parse(line) as { read: string; preread: string; memory_stats: { limit: number }; pids_stats: { limit: number } });
  await until('three samples', () => lines(two.text()).length >= 3);
  const told = lines(two.text());
  assert.deepEqual([told[0]?.preread, told[1]?.preread, told[2]?.preread], ['0001-01-01T00:00:00Z', told[0]?.read, told[1]?.read]);
  assert.deepEqual([told[0]?.memory_stats.limit, told[0]?.pids_stats.limit], [64 * M, 9]);
  one.leave();
  await bench.api('POST', `/containers/${id}/stop?t=0`, { status: 204 });
  await until('an empty sample', () => lines(two.text()).at(-1)?.read === '0001-01-01T00:00:00Z');
  await bench.remove(id);
  await two.ended;
  assert.equal((await bench.api('GET', `/containers/${id}/stats?stream=0`)).status, 404);
  assert.equal((await bench.api('GET', `/containers/${id}/stats?stream=1&one-shot=1`)).status, 400);
});

test('each strike of the OOM killer is told, also of a child, also under a new daemon', async () => {
  const grow = "sh -c 'x=a; while :; do x=$x$x; done'";
  const id = await bench.run(['sh', '-c', `${grow}; touch /struck; until test -e /go; do sleep 0.1; done; ${grow}; exit 3`], { host: { Memory: 16 * M, MemorySwap: 16 * M } });
  const listening = await bench.events('?since=1');
  await listening.sees('oom', id);
  assert.equal((await bench.inspect(id)).State.OOMKilled, false); // Docker says so at the end
  await bench.restart('kill');
  const again = await bench.events();
  const exec = (await bench.api('POST', `/containers/${id}/exec`, { status: 201, body: { Cmd: ['touch', '/go'] } })).json<{ Id: string }>().Id;
  await bench.api('POST', `/exec/${exec}/start`, { status: 200, body: { Detach: true } });
  await again.sees('die', id);
  assert.deepEqual(again.actions(id).filter((action) => action === 'oom' || action === 'die'), ['oom', 'die']);
  const { State } = await bench.inspect(id);
  assert.deepEqual([State.OOMKilled, State.ExitCode], [true, 3]);
  again.leave();
  await bench.remove(id);
});
