// The cgroup's own files for limits that can change while a container runs: taken down before a change, so that a failed one can be undone.
import { readFileSync, writeFileSync } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';
import type { HostConfig } from '../wire/types.ts';
import type { Machine } from './machine.ts';

const SEPARATE: Readonly<Record<string, readonly string[]>> = {
  memory: ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes', 'memory.soft_limit_in_bytes'],
  cpu: ['cpu.shares', 'cpu.cfs_period_us', 'cpu.cfs_quota_us', 'cpu.rt_period_us', 'cpu.rt_runtime_us'],
  cpuset: ['cpuset.cpus', 'cpuset.mems'], pids: ['pids.max'], blkio: ['blkio.weight', 'blkio.bfq.weight'],
};
const UNIFIED: readonly string[] = [
  'memory.max', 'memory.swap.max', 'memory.low', 'cpu.weight', 'cpu.max', 'cpuset.cpus', 'cpuset.mems', 'pids.max', 'io.weight', 'io.bfq.weight',
];
/** The memory limits of v1 bound each other: whichever is in the other's way is written in a second round. */
const ROUNDS = 2;

/** What the files say now; calling it writes them back. Error of the call: that of the first file that could not be. */
export function rememberLimits(machine: Machine, cgroupPath: string): () => void {
  const before = pathsOf(machine, cgroupPath).flatMap((path) => {
    const text = textOf(path);
    return text === undefined ? [] : [{ path, text }];
  });
  return () => {
    const failures = new Map<string, unknown>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const { path, text } of before) {
        if (textOf(path) === text) continue;
        failures.delete(path);
        try { writeFileSync(path, `${text}\n`); } catch (error) { failures.set(path, error); }
      }
    }
    const [failure] = failures.values();
    if (failure !== undefined) throw failure;
  };
}

/** Limits that are to be no more, which crun cannot say to every kernel. */
export function liftLimits(machine: Machine, cgroupPath: string, host: HostConfig): void {
  const { layout, controllerPaths } = machine;
  const file = (controller: string, name: string) => (layout.mode === 'v2' ? `${layout.unifiedPath ?? ''}${cgroupPath}/${name}` : `${controllerPaths[controller] ?? '/nowhere'}${cgroupPath}/${name}`);
  const lift = (path: string, word: string) => { if (textOf(path) !== undefined) writeFileSync(path, word); };
  if (host.PidsLimit === null || host.PidsLimit <= 0) lift(file('pids', 'pids.max'), 'max');
  if (host.CpuQuota < 0) lift(layout.mode === 'v2' ? file('cpu', 'cpu.max') : file('cpu', 'cpu.cfs_quota_us'), layout.mode === 'v2' ? 'max' : '-1');
}

function pathsOf({ layout, controllerPaths }: Machine, cgroupPath: string): string[] {
  if (layout.mode === 'v2') return UNIFIED.map((name) => `${layout.unifiedPath ?? ''}${cgroupPath}/${name}`);
  return Object.entries(SEPARATE).flatMap(([controller, names]) => names.map((name) => `${controllerPaths[controller] ?? '/nowhere'}${cgroupPath}/${name}`));
}

/** undefined where the kernel has no such file, or the cgroup is gone. */
function textOf(path: string): string | undefined {
  try { return readFileSync(path, 'utf8').trim(); }
  catch (error) {
    if (['ENOENT', 'ENODEV', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}
