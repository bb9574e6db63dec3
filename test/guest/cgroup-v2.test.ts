// The engine on a machine that has cgroup v2 and nothing else, and a kernel of modules: an emulated one, since most machines of tests have v1 beside it.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { runStaged } from './stage.ts';

const M = 1 << 20;

let facts: Map<string, unknown>;
const fact = <T>(name: string): T => {
  assert.ok(facts.has(name), `the guest told ${JSON.stringify(name)}; it failed with: ${String(facts.get('failure'))}`);
  return facts.get(name) as T;
};
before(async () => { facts = await runStaged('cgroup-v2.ts', { cpus: 2 }); });

test('the program in the guest came to its end', () => { assert.equal(facts.get('failure'), undefined); assert.equal(fact('end'), 'well'); });

/** Source: SPECIFICATION.md, O5. Here and not on the machine of the tests: how much of a library is mapped around a page that is needed differs between kernels. */
const MONITOR_LIMIT_BYTES = 2_200_000;

test('a container costs one small process beside its own', () => {
  const { residentKb } = fact<{ residentKb: number }>('monitor');
  assert.ok(residentKb > 0 && residentKb * 1024 <= MONITOR_LIMIT_BYTES, `${residentKb} KiB resident`);
});

test('info says what the kernel can limit', () => {
  const info = fact<Record<string, unknown>>('info');
  const expected = {
    CgroupVersion: '2', CgroupDriver: 'cgroupfs', MemoryLimit: true, SwapLimit: true, CpuCfsPeriod: true, CpuCfsQuota: true, CPUShares: true, CPUSet: true, PidsLimit: true,
    OomKillDisable: false, KernelMemory: false, KernelMemoryTCP: false,
  };
  assert.deepEqual(Object.fromEntries(Object.keys(expected).map((key) => [key, info[key]])), expected);
  assert.ok((info['SecurityOptions'] as string[]).includes('name=cgroupns'));
});

test('limits stand in the files of the cgroup', () => {
  const { id, path } = fact<{ id: string; path: string }>('cgroup');
  assert.equal(path, `/sys/fs/cgroup/docker/${id}`);
  const limits = fact<Record<string, string>>('limits');
  assert.deepEqual(limits, {
    'memory.max': String(64 * M), 'memory.low': String(32 * M), 'memory.swap.max': String(32 * M), 'cpu.max': '50000 100000', 'cpu.weight': '20', 'cpuset.cpus': '1', 'pids.max': '40',
    'io.weight': limits['io.weight'], 'io.max': `254:16 rbps=${5 * M} wbps=max riops=max wiops=max`,
  });
  assert.match(limits['io.weight'] ?? '', /^default \d+/);
});

test('stats have the shape of v2', () => {
  const text = fact<string>('stats');
  const stats = JSON.parse(text) as Record<string, Record<string, unknown>>;
  assert.match(text, /"pids_stats":\{"current":[1-9]\d*,"limit":40\}/);
  const cpu = stats['cpu_stats'] as unknown as { cpu_usage: Record<string, number>; online_cpus: number; system_cpu_usage: number; throttling_data: Record<string, number> };
  assert.deepEqual(Object.keys(cpu.cpu_usage), ['total_usage', 'usage_in_kernelmode', 'usage_in_usermode']);
  assert.ok((cpu.cpu_usage['total_usage'] ?? 0) > 0 && cpu.online_cpus === 2 && cpu.system_cpu_usage > 0 && 'throttled_time' in cpu.throttling_data, text);
  const memory = stats['memory_stats'] as unknown as { usage: number; limit: number; stats: Record<string, number> };
  assert.equal(memory.limit, 64 * M);
  assert.ok(memory.usage > 0 && !('max_usage' in memory) && ['anon', 'file', 'inactive_file', 'slab', 'workingset_refault'].every((key) => key in memory.stats) && !('total_inactive_file' in memory.stats), text);
  const io = stats['blkio_stats'] as unknown as Record<string, Array<{ op: string }> | null>;
  assert.deepEqual(Object.entries(io).filter(([, list]) => list !== null).map(([name]) => name).filter((name) => name !== 'io_service_bytes_recursive'), []);
  assert.ok((io['io_service_bytes_recursive'] ?? []).every(({ op }) => op === 'read' || op === 'write'), text);
  assert.notEqual(stats['preread'], '0001-01-01T00:00:00Z');
});

test('an update changes them, and a refused one nothing', () => {
  assert.deepEqual(fact('update'), { status: 200, text: '{"Warnings":null}\n' });
  const updated = fact<Record<string, string>>('updated');
  assert.deepEqual(updated, { ...fact<object>('limits'), 'memory.max': String(80 * M), 'memory.swap.max': 'max', 'cpu.max': '100000 100000', 'cpuset.cpus': '0-1', 'pids.max': 'max' });
  assert.equal(fact<{ status: number }>('failed update').status, 500);
  assert.deepEqual(fact('after failed update'), { files: updated, memory: 80 * M });
});

test('an exec runs in the container\'s own cgroup namespace', () => {
  const { code, namespace, readOnly } = fact<Record<string, number>>('exec');
  assert.deepEqual([code, namespace], [7, 0]);
  assert.notEqual(readOnly, 0);
});

test('pausing freezes the cgroup', () => {
  assert.deepEqual(fact('pause'), { during: { frozen: true, status: 'paused' }, after: { frozen: false, status: 'running' } });
});

test('devices are let in by rules, and no others', () => {
  assert.equal(fact('devices'), 'read 0\nwrite 1\nother 1\n');
  assert.equal(fact('device rule'), 'other 0\n');
});

test('running out of memory is told as it was, also of a child', () => {
  assert.deepEqual(fact('oom'), { codes: [137, 3], states: [true, true], own: ['oom', 'die'], child: ['oom', 'die'], said: 'child 137\n' });
});

test('a volume of an NFS server is read and written, and let go; one of a silent server keeps only its own container waiting', () => {
  assert.deepEqual(fact('nfs'), { code: 0, said: 'from the server\n /nas nfs4 rw,\n', written: 'by a container\n', ofImage: [], mounted: false });
  assert.equal(fact('nfs silent'), 'answered');
  assert.match(fact('nfs silence ended'), /^500: error while mounting volume '.*silent\/_data': failed to mount local volume: mount :\/:.*silent\/_data, data: addr=127\.0\.0\.1,port=2050: connection refused$/);
});

const HEARD = { localhost: 'published', gateway: 'published', container: 'published', udp: 'published to you', sctp: 'published to you' };

test('published ports of every protocol carry traffic, also after the engine died', () => {
  assert.deepEqual([fact('published'), fact('published still')], [HEARD, HEARD]);
});

test('names and walls of networks of users', () => {
  assert.deepEqual(fact('names'), { alias: true, short: true, unknown: false, walled: false });
  assert.equal(fact('within the walls'), 'walled');
});

test('a macvlan on a VLAN that is made for it reaches its neighbours and the far end of the cable', () => {
  assert.deepEqual(fact('macvlan'), { parent: 'vlan', vlan: '10', address: '10.10.0.1', far: 'one', neighbour: 0 });
  assert.equal(fact('vlan left'), false);
});

test('modules are loaded when they are needed, and nothing else is left', () => {
  const loaded = fact<string[]>('modules');
  assert.deepEqual(['bridge', 'br_netfilter', 'veth', 'macvlan', '8021q', 'nf_tables', 'nf_nat', 'sctp'].filter((name) => !loaded.includes(name)), []);
  assert.deepEqual(fact('networks left'), { devices: [], translations: [] });
});

test('a new engine finds the container as it was, and leaves no cgroup behind', () => {
  assert.deepEqual(fact('new engine'), { same: true, status: 'running', exec: 0, processes: 2 });
  assert.equal(fact('stopped'), 5);
  assert.deepEqual(fact('left'), []);
});
