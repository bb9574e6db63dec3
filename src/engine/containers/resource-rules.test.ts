import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Abilities } from '../../runtime/index.ts';
import type { HostConfig } from '../../wire/types.ts';
import { completeHostConfig } from './defaults.ts';
import { decideResources, membersOf } from './resource-rules.ts';

const ALL: Abilities = {
  memory: true, swap: true, reservation: true, swappiness: true, oomKillDisable: true, kernelMemory: true, kernelMemoryTcp: true, pids: true, cpuShares: true, cpuPeriod: true,
  cpuQuota: true, realtimePeriod: true, realtimeRuntime: true, cpuset: true, cpus: '0-3', mems: '0', blkioWeight: true, blkioWeightDevice: true, blkioThrottle: true, cgroupNamespaces: true,
};
const NONE: Abilities = Object.assign({}, ALL, Object.fromEntries(Object.keys(ALL).map((key) => [key, key === 'cpus' || key === 'mems' ? '' : false])));
const M = 1 << 20;
const judge = (wished: Partial<HostConfig>, can = ALL) => decideResources(completeHostConfig(wished, { cgroupVersion: 1 }), { can, cpus: 4 });

test('what no machine can hold is refused in the words of Docker', () => {
  const refused: Array<[Partial<HostConfig>, string | RegExp]> = [
    [{ Memory: 4 * M }, 'Minimum memory limit allowed is 6MB'], [{ Memory: -1 }, 'Minimum memory limit allowed is 6MB'],
    [{ Memory: 8 * M, MemorySwap: 4 * M }, /memoryswap limit should be larger/], [{ MemorySwap: 8 * M }, /always set the Memory limit/], [{ MemoryReservation: 4 * M }, /reservation allowed is 6MB/],
    [{ Memory: 8 * M, MemoryReservation: 9 * M }, /can not be less than memory reservation/], [{ MemorySwappiness: 101 }, 'Invalid value: 101, valid memory swappiness range is 0-100'],
    [{ KernelMemory: 4 * M }, 'Minimum kernel memory limit allowed is 6MB'], [{ NanoCpus: -1 }, 'Range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available'], [{ NanoCpus: 5e9 }, /only 4 CPUs/],
    [{ NanoCpus: 1e9, CpuPeriod: 10_000 }, /Nano CPUs and CPU Period/], [{ NanoCpus: 1e9, CpuQuota: 10_000 }, /Nano CPUs and CPU Quota/], [{ CpuPeriod: 10 }, /cfs period can not be less/],
    [{ CpuPeriod: -1 }, /cfs period/], [{ CpuQuota: 10 }, /cfs quota can not be less/], [{ CpusetCpus: '0-9' }, 'Requested CPUs are not available - requested 0-9, available: 0-3'],
    [{ CpusetCpus: 'x' }, 'Invalid value x for cpuset cpus: invalid format: x'], [{ CpusetCpus: '9999' }, /maximum is 8192/], [{ CpusetMems: '1' }, 'Requested memory nodes are not available - requested 1, available: 0'],
    [{ BlkioWeight: 5 }, 'Range of blkio weight is from 10 to 1000'], [{ ShmSize: -1 }, 'SHM size can not be less than 0'], [{ OomScoreAdj: 1001 }, /range for oom score adj/],
    [{ CpuRealtimePeriod: 1000, CpuRealtimeRuntime: 2000 }, 'cpu real-time runtime cannot be higher than cpu real-time period'],
  ];
  for (const [wished, message] of refused) assert.throws(() => judge(wished), { message }, JSON.stringify(wished));
});

test('what this machine can hold stays as it was asked for, and nothing is said', () => {
  const wished: Partial<HostConfig> = {
    Memory: 64 * M, MemorySwap: -1, MemoryReservation: 32 * M, MemorySwappiness: 0, PidsLimit: 7, NanoCpus: 5e8, CpuShares: 512, CpusetCpus: '01,2-3', CpusetMems: '0',
    BlkioWeight: 300, BlkioWeightDevice: [{ Path: '/dev/x', Weight: 20 }], BlkioDeviceReadBps: [{ Path: '/dev/x', Rate: 5 }], OomKillDisable: true,
  };
  const { host, warnings } = judge(wished);
  assert.deepEqual(warnings, []);
  assert.deepEqual(host, { ...host, ...wished });
  assert.equal(judge({ MemorySwappiness: -1 }).host.MemorySwappiness, null);
  assert.deepEqual(judge({ OomKillDisable: true }).warnings, ['OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.']);
});

test('what the kernel cannot hold is taken away and said', () => {
  const { host, warnings } = judge({
    Memory: 64 * M, MemoryReservation: 32 * M, MemorySwappiness: 3, PidsLimit: 7, CpuShares: 512, CpuQuota: 5000, CpuPeriod: 5000, CpusetCpus: '0', OomKillDisable: true, BlkioWeight: 300,
    BlkioWeightDevice: [{ Path: '/dev/x', Weight: 20 }], BlkioDeviceReadBps: [{ Path: '/dev/x', Rate: 5 }], BlkioDeviceWriteIOps: [{ Path: '/dev/x', Rate: 5 }], KernelMemory: 50 * M, CpuPercent: 5,
  }, NONE);
  assert.deepEqual(host, {
    ...host, Memory: 0, MemorySwap: -1, MemoryReservation: 0, MemorySwappiness: null, PidsLimit: null, CpuShares: 0, CpuQuota: 0, CpuPeriod: 0, CpusetCpus: '', OomKillDisable: false, BlkioWeight: 0,
    BlkioWeightDevice: [], BlkioDeviceReadBps: [], BlkioDeviceWriteIOps: [], KernelMemory: 0, CpuPercent: 0,
  });
  assert.equal(warnings.length, 16, warnings.join('\n'));
  assert.deepEqual(judge({}, NONE).warnings, []);
  assert.throws(() => judge({ NanoCpus: 1e9 }, NONE), /NanoCPUs can not be set/);
  const swapless = judge({ Memory: 64 * M }, { ...ALL, swap: false });
  assert.equal(swapless.host.MemorySwap, -1);
  assert.deepEqual(swapless.warnings, ['Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.']);
});

test('sets of CPUs are read as the kernel writes them', () => {
  assert.deepEqual(membersOf('0-2,7', 'x'), [0, 1, 2, 7]);
  assert.deepEqual(membersOf('', 'x'), []);
  for (const text of [',', '0-', '1-0', '0,,1', ' 0', '-1', '0-1-2']) assert.throws(() => membersOf(text, 'x'), { message: `Invalid value ${text} for x: invalid format: ${text}` });
});
