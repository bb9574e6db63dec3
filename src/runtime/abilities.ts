// Which limits this machine's kernel can hold: what a create body may ask for, what `info` says, and what is left out of a bundle.
import { readFileSync } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';
import type { Machine } from './machine.ts';

/** Names and meaning are those of Docker's own look at the machine: each is true when the file that holds the limit is there. */
export interface Abilities {
  memory: boolean;
  swap: boolean;
  reservation: boolean;
  swappiness: boolean;
  oomKillDisable: boolean;
  kernelMemory: boolean;
  kernelMemoryTcp: boolean;
  pids: boolean;
  cpuShares: boolean;
  cpuPeriod: boolean;
  cpuQuota: boolean;
  realtimePeriod: boolean;
  realtimeRuntime: boolean;
  cpuset: boolean;
  /** CPUs and memory nodes that containers can be bound to, as the kernel lists them ("0-3"); '' without cpuset. */
  cpus: string;
  mems: string;
  blkioWeight: boolean;
  blkioWeightDevice: boolean;
  /** Rates of reading and writing, in bytes and operations. */
  blkioThrottle: boolean;
  cgroupNamespaces: boolean;
}

type Files = Pick<Machine, 'layout' | 'controllerPaths' | 'exists'> & { read(path: string): string };

export function abilitiesOf(machine: Pick<Machine, 'layout' | 'controllerPaths' | 'exists'>): Abilities {
  const files = { ...machine, read };
  return machine.layout.mode === 'v2' ? unifiedAbilities(files) : separateAbilities(files);
}

/** v1 shows every limit's file in the root of its controller. */
function separateAbilities(machine: Files): Abilities {
  const path = (controller: string, name: string) => `${machine.controllerPaths[controller] ?? '/nowhere'}/${name}`;
  const has = (controller: string, name: string) => machine.layout.controllers.includes(controller) && machine.exists(path(controller, name));
  const cpuset = machine.layout.controllers.includes('cpuset');
  return {
    memory: machine.layout.controllers.includes('memory'), swap: has('memory', 'memory.memsw.limit_in_bytes'), reservation: has('memory', 'memory.soft_limit_in_bytes'),
    swappiness: has('memory', 'memory.swappiness'), oomKillDisable: has('memory', 'memory.oom_control'),
    kernelMemory: has('memory', 'memory.kmem.limit_in_bytes'), kernelMemoryTcp: has('memory', 'memory.kmem.tcp.limit_in_bytes'),
    pids: machine.layout.controllers.includes('pids'),
    cpuShares: has('cpu', 'cpu.shares'), cpuPeriod: has('cpu', 'cpu.cfs_period_us'), cpuQuota: has('cpu', 'cpu.cfs_quota_us'),
    realtimePeriod: has('cpu', 'cpu.rt_period_us'), realtimeRuntime: has('cpu', 'cpu.rt_runtime_us'),
    cpuset, cpus: cpuset ? machine.read(path('cpuset', 'cpuset.cpus')) : '', mems: cpuset ? machine.read(path('cpuset', 'cpuset.mems')) : '',
    blkioWeight: has('blkio', 'blkio.weight'), blkioWeightDevice: has('blkio', 'blkio.weight_device'), blkioThrottle: has('blkio', 'blkio.throttle.read_bps_device'),
    cgroupNamespaces: machine.exists('/proc/self/ns/cgroup'),
  };
}

/** The root of v2 has no limits of its own: what a controller has everywhere is taken for granted, swap is looked for where we are. */
function unifiedAbilities(machine: Files): Abilities {
  const { controllers, unifiedPath = '/sys/fs/cgroup' } = machine.layout;
  const has = (controller: string) => controllers.includes(controller);
  const own = /^0::(.*)$/m.exec(machine.read('/proc/self/cgroup'))?.[1] ?? '/';
  // At the root only the kernel's build can be asked: without swap it has no /proc/swaps.
  const swap = own === '/' ? machine.exists('/proc/swaps') : machine.exists(`${unifiedPath}${own}/memory.swap.max`);
  return {
    memory: has('memory'), swap: has('memory') && swap, reservation: has('memory'), swappiness: false, oomKillDisable: false, kernelMemory: false, kernelMemoryTcp: false,
    pids: has('pids'), cpuShares: has('cpu'), cpuPeriod: has('cpu'), cpuQuota: has('cpu'), realtimePeriod: false, realtimeRuntime: false,
    cpuset: has('cpuset'), cpus: has('cpuset') ? machine.read(`${unifiedPath}/cpuset.cpus.effective`) : '', mems: has('cpuset') ? machine.read(`${unifiedPath}/cpuset.mems.effective`) : '',
    blkioWeight: has('io'), blkioWeightDevice: has('io'), blkioThrottle: has('io'), cgroupNamespaces: machine.exists('/proc/self/ns/cgroup'),
  };
}

/** '' for a file that this kernel has not. */
function read(path: string): string {
  try { return readFileSync(path, 'utf8').trim(); }
  catch (error) {
    if (errnoOf(error) === 'ENOENT') return '';
    throw error;
  }
}
