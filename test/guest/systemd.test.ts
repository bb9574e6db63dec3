// The engine where systemd is PID 1 and cgroup v2 all that there is: systemd makes the cgroups, as Docker has it there.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { runStaged } from './stage.ts';

const M = 1 << 20;

let facts: Map<string, unknown>;
const fact = <T>(name: string): T => {
  assert.ok(facts.has(name), `the guest told ${JSON.stringify(name)}; it failed with: ${String(facts.get('failure'))}`);
  return facts.get(name) as T;
};
before(async () => { facts = await runStaged('systemd.ts', { init: 'systemd' }); });

test('systemd is the driver without being asked for', () => {
  assert.equal(facts.get('failure'), undefined);
  assert.equal(fact('own cgroup'), '/system.slice/guest.service');
  const info = fact<Record<string, unknown>>('info');
  assert.deepEqual([info['CgroupDriver'], info['CgroupVersion'], info['SwapLimit']], ['systemd', '2', true]);
});

test('a container is a scope of its slice, with its limits', () => {
  const { id, path, files } = fact<{ id: string; path: string; files: object }>('cgroup');
  assert.equal(path, `/system.slice/docker-${id}.scope`);
  assert.deepEqual(files, { 'memory.max': String(64 * M), 'memory.swap.max': String(32 * M), 'cpu.max': '50000 100000', 'pids.max': '40' });
  const sliced = fact<{ id: string; path: string }>('slice');
  assert.equal(sliced.path, `/guests.slice/guests-own.slice/docker-${sliced.id}.scope`);
  const refused = fact<{ status: number; text: string }>('refused');
  assert.deepEqual([refused.status, JSON.parse(refused.text)], [400, { message: 'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"' }]);
});

test('limits change, usage is read, execs and strikes of the OOM killer are seen', () => {
  assert.deepEqual(fact('update'), { status: 200, text: '{"Warnings":null}\n' });
  assert.deepEqual(fact('updated'), { 'memory.max': String(80 * M), 'memory.swap.max': 'max', 'cpu.max': '100000 100000', 'pids.max': '50' });
  assert.equal(fact('exec'), 7);
  const stats = fact<{ memory_stats: { limit: number; usage: number }; pids_stats: { limit: number } }>('stats');
  assert.deepEqual([stats.memory_stats.limit, stats.pids_stats.limit, stats.memory_stats.usage > 0], [80 * M, 50, true]);
  assert.deepEqual(fact('oom'), { code: 137, told: true });
});

test('published ports work with the older iptables as well', () => {
  const heard = { localhost: 'published', gateway: 'published', container: 'published', udp: 'published to you' };
  assert.deepEqual([fact('published'), fact('published still')], [heard, heard]);
  const loaded = fact<string[]>('modules');
  assert.deepEqual([loaded.includes('iptable_nat'), loaded.includes('nf_tables')], [true, false]);
  assert.deepEqual(fact('networks left'), { devices: [], translations: [] });
});

test('a new engine goes on with them, and no scope is left', () => {
  assert.deepEqual(fact('new engine'), { status: 'running', exec: 0 });
  assert.equal(fact('stopped'), 5);
  assert.deepEqual(fact('left'), []);
});
