import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostConfig, UpdateBody } from '../../wire/types.ts';
import { completeHostConfig } from './defaults.ts';
import { mergeUpdate } from './update.ts';

const M = 1 << 20;
const host = (given: Partial<HostConfig>) => completeHostConfig(given, { cgroupVersion: 1 });
const merge = (now: Partial<HostConfig>, body: UpdateBody) => mergeUpdate(host(now), { wanted: { ...host({ ...body }), MemorySwap: body.MemorySwap ?? 0 }, body });

test('what is zero or empty changes nothing', () => {
  const now = { Memory: 64 * M, CpuShares: 5, CpusetCpus: '0', PidsLimit: 7, RestartPolicy: { Name: 'always', MaximumRetryCount: 0 } };
  assert.deepEqual(merge(now, { Memory: 0, CpuShares: 0, CpusetCpus: '', RestartPolicy: { Name: '', MaximumRetryCount: 0 } }), host(now));
  assert.deepEqual(merge(now, {}), host(now));
});

test('everything else does, and no limit of processes is kept as zero', () => {
  const changed = merge({ Memory: 64 * M, PidsLimit: 7 }, { Memory: 100 * M, MemorySwap: -1, CpuShares: 9, PidsLimit: -1, RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 3 } });
  assert.deepEqual([changed.Memory, changed.MemorySwap, changed.CpuShares, changed.PidsLimit, changed.RestartPolicy], [100 * M, -1, 9, 0, { Name: 'on-failure', MaximumRetryCount: 3 }]);
});

test('what does not go with what is there is a conflict', () => {
  const conflicts: Array<[Partial<HostConfig>, UpdateBody, RegExp]> = [
    [{ NanoCpus: 5e8 }, { CpuPeriod: 10_000 }, /CPU Period cannot be updated as NanoCPUs/], [{ NanoCpus: 5e8 }, { CpuQuota: 10_000 }, /CPU Quota cannot be updated as NanoCPUs/],
    [{ CpuPeriod: 10_000 }, { NanoCpus: 5e8 }, /Nano CPUs cannot be updated as CPU Period/], [{ CpuQuota: 10_000 }, { NanoCpus: 5e8 }, /Nano CPUs cannot be updated as CPU Quota/],
    [{ Memory: 64 * M }, { Memory: 300 * M }, /smaller than already set memoryswap/], [{}, { Memory: 300 * M }, /smaller than already set memoryswap/],
    [{ AutoRemove: true }, { RestartPolicy: { Name: 'always', MaximumRetryCount: 0 } }, /AutoRemove is enabled/],
  ];
  for (const [now, body, words] of conflicts) assert.throws(() => merge(now, body), words, JSON.stringify(body));
  assert.equal(merge({ AutoRemove: true }, { RestartPolicy: { Name: 'no', MaximumRetryCount: 0 } }).RestartPolicy.Name, 'no');
});
