// What /proc says, as tables: mounts, control groups, process states, capabilities.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideLayout } from './cgroups.ts';
import { parseMountInfo } from './mounts.ts';
import { capabilityNames, parseStartTicks } from './processes.ts';

const MOUNTS = String.raw`22 27 0:21 / /proc rw,relatime - proc proc rw
36 35 98:0 /mnt1 /mnt\0402\134x rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue
50 35 0:50 / /empty rw - tmpfs  rw,size=4k
`;

test('mountinfo: escapes, propagation, an empty source', () => {
  const [proc, escaped, empty, ...more] = parseMountInfo(MOUNTS);
  assert.deepEqual([proc?.target, proc?.fsType, proc?.propagation, more], ['/proc', 'proc', '', []]);
  assert.deepEqual(escaped, {
    id: 36, parentId: 35, root: '/mnt1', target: String.raw`/mnt 2\x`, options: 'rw,noatime', propagation: 'shared:1 master:2',
    fsType: 'ext3', source: '/dev/root', superOptions: 'rw,errors=continue',
  });
  assert.deepEqual([empty?.source, empty?.superOptions], ['', 'rw,size=4k']);
});

const V1 = '10 1 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n11 1 0:2 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n';
const UNIFIED = '12 1 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n';
const V2 = '13 1 0:3 / /other rw - cgroup2 cgroup2 rw\n12 1 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n';
const LAYOUTS = [
  ['none', '', { mode: 'none', controllers: [], unifiedPath: undefined, strayControllers: [] }],
  ['v1', V1, { mode: 'v1', controllers: ['cpu', 'cpuacct'], unifiedPath: undefined, strayControllers: [] }],
  ['hybrid', V1 + UNIFIED, { mode: 'hybrid', controllers: ['cpu', 'cpuacct'], unifiedPath: '/sys/fs/cgroup/unified', strayControllers: ['hugetlb'] }],
  ['v2', V2, { mode: 'v2', controllers: ['hugetlb'], unifiedPath: '/sys/fs/cgroup', strayControllers: [] }],
] as const;

for (const [name, mountInfo, want] of LAYOUTS) {
  test(`cgroup layout: ${name}`, () => {
    const procCgroups = '#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t2\t1\ncpuacct\t1\t2\t1\nhugetlb\t0\t2\t1\n';
    assert.deepEqual(decideLayout({ mounts: parseMountInfo(mountInfo), procCgroups, unifiedControllers: () => 'hugetlb\n' }), want);
  });
}

test('start time: names with brackets, zombies, nonsense', () => {
  const stat = (name: string, state: string) => `7 (${name}) ${state} ${'1 '.repeat(18)}4711 0 0\n`;
  assert.equal(parseStartTicks(stat('sh', 'S')), 4711n);
  assert.equal(parseStartTicks(stat(') R 1 (', 'S')), 4711n);
  assert.equal(parseStartTicks(stat('sh', 'Z')), undefined);
  assert.equal(parseStartTicks(''), undefined);
});

test('capability names by bit', () => {
  assert.deepEqual(capabilityNames('0000000000200001'), ['CAP_CHOWN', 'CAP_SYS_ADMIN']);
  assert.deepEqual(capabilityNames('8000000000000000'), []);
});
