// Limits that a client may ask for, judged as Docker judges them: what is refused, and what is taken away with a warning where the kernel cannot hold it. Pure.
import { invalid } from '../../lib/errors.ts';
import type { Abilities } from '../../runtime/index.ts';
import type { HostConfig } from '../../wire/types.ts';

/** Below this the kernel cannot even start the container's first process. Source: Docker's documentation of --memory. */
const MIN_MEMORY_BYTES = 6 << 20;
/** The highest number of a CPU or memory node that is worth counting to. Source: the kernel's NR_CPUS on the largest machines. */
const MAX_SET_MEMBER = 8192;

export interface ResourceFacts {
  can: Abilities;
  cpus: number;
  driver?: 'cgroupfs' | 'systemd';
  /** An update changes some fields and knows nothing of the rest. */
  update?: true;
}

/** What is left of the wishes, and what is to be said of the others. Error: invalid, in Docker's words. */
export function decideResources(wished: HostConfig, facts: ResourceFacts): { host: HostConfig; warnings: string[] } {
  const judged: Judged = { host: { ...wished, MemorySwappiness: wished.MemorySwappiness === -1 ? null : wished.MemorySwappiness }, warnings: [] };
  judgeMemory(judged, facts);
  judgePressure(judged, facts);
  judgeCpu(judged, facts);
  judgeSets(judged, facts);
  judgeBlockIo(judged, facts);
  const { host, warnings } = judged;
  if (host.ShmSize < 0) throw invalid('SHM size can not be less than 0');
  if (host.OomScoreAdj < -1000 || host.OomScoreAdj > 1000) throw invalid(`Invalid value ${host.OomScoreAdj}, range for oom score adj is [-1000, 1000]`);
  if (facts.driver === 'systemd' && host.CgroupParent !== '' && (host.CgroupParent.length <= '.slice'.length || !host.CgroupParent.endsWith('.slice'))) {
    throw invalid('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"');
  }
  return { host, warnings };
}

interface Judged { host: HostConfig; warnings: string[] }

function judgeMemory({ host, warnings }: Judged, { can, update }: ResourceFacts): void {
  if (host.Memory !== 0 && host.Memory < MIN_MEMORY_BYTES) throw invalid('Minimum memory limit allowed is 6MB');
  if (host.Memory > 0 && !can.memory) {
    warnings.push('Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.');
    [host.Memory, host.MemorySwap] = [0, -1];
  }
  if (host.Memory > 0 && host.MemorySwap !== -1 && !can.swap) {
    warnings.push('Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.');
    host.MemorySwap = -1;
  }
  if (host.Memory > 0 && host.MemorySwap > 0 && host.MemorySwap < host.Memory) throw invalid('Minimum memoryswap limit should be larger than memory limit, see usage');
  if (host.Memory === 0 && host.MemorySwap > 0 && !update) throw invalid('You should always set the Memory limit when using Memoryswap limit, see usage');
  if (host.MemorySwappiness !== null && !can.swappiness) {
    warnings.push('Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.');
    host.MemorySwappiness = null;
  }
  if (host.MemorySwappiness !== null && (host.MemorySwappiness < 0 || host.MemorySwappiness > 100)) throw invalid(`Invalid value: ${host.MemorySwappiness}, valid memory swappiness range is 0-100`);
  if (host.MemoryReservation > 0 && !can.reservation) {
    warnings.push('Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.');
    host.MemoryReservation = 0;
  }
  if (host.MemoryReservation > 0 && host.MemoryReservation < MIN_MEMORY_BYTES) throw invalid('Minimum memory reservation allowed is 6MB');
  if (host.Memory > 0 && host.MemoryReservation > 0 && host.Memory < host.MemoryReservation) throw invalid('Minimum memory limit can not be less than memory reservation limit, see usage');
  judgeKernelMemory({ host, warnings }, can);
}

function judgeKernelMemory({ host, warnings }: Judged, can: Abilities): void {
  if ((host.KernelMemory ?? 0) <= 0) return;
  warnings.push('Specifying a kernel memory limit is deprecated and will be removed in a future release.');
  if (!can.kernelMemory) {
    warnings.push('Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.');
    host.KernelMemory = 0;
  } else if ((host.KernelMemory ?? 0) < MIN_MEMORY_BYTES) throw invalid('Minimum kernel memory limit allowed is 6MB');
}

/** What happens when memory or processes run out. */
function judgePressure({ host, warnings }: Judged, { can }: ResourceFacts): void {
  if (host.OomKillDisable !== null && !can.oomKillDisable) {
    // No word to those who never wanted it.
    if (host.OomKillDisable) warnings.push('Your kernel does not support OomKillDisable. OomKillDisable discarded.');
    host.OomKillDisable = false;
  }
  if (host.OomKillDisable && host.Memory === 0) {
    warnings.push('OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.');
  }
  if (host.PidsLimit !== null && !can.pids) {
    if (host.PidsLimit > 0) warnings.push('Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.');
    host.PidsLimit = null;
  }
}

function judgeCpu({ host, warnings }: Judged, { can, cpus, update }: ResourceFacts): void {
  if (host.NanoCpus > 0 && host.CpuPeriod > 0) throw invalid('Conflicting options: Nano CPUs and CPU Period cannot both be set');
  if (host.NanoCpus > 0 && host.CpuQuota > 0) throw invalid('Conflicting options: Nano CPUs and CPU Quota cannot both be set');
  if (host.NanoCpus > 0 && !(can.cpuPeriod && can.cpuQuota)) throw invalid('NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted');
  if (host.NanoCpus < 0 || host.NanoCpus > cpus * 1e9) throw invalid(`Range of CPUs is from 0.01 to ${cpus}.00, as there are only ${cpus} CPUs available`);
  if (host.CpuShares > 0 && !can.cpuShares) {
    warnings.push('Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.');
    host.CpuShares = 0;
  }
  if (host.CpuPeriod > 0 && !can.cpuPeriod) {
    warnings.push('Your kernel does not support CPU cfs period or the cgroup is not mounted. Period discarded.');
    host.CpuPeriod = 0;
  }
  if (host.CpuPeriod !== 0 && (host.CpuPeriod < 1000 || host.CpuPeriod > 1_000_000)) throw invalid('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)');
  if (host.CpuQuota > 0 && !can.cpuQuota) {
    warnings.push('Your kernel does not support CPU cfs quota or the cgroup is not mounted. Quota discarded.');
    host.CpuQuota = 0;
  }
  if (host.CpuQuota > 0 && host.CpuQuota < 1000) throw invalid('CPU cfs quota can not be less than 1ms (i.e. 1000)');
  if (host.CpuPercent > 0) {
    warnings.push('linux does not support CPU percent. Percent discarded.');
    host.CpuPercent = 0;
  }
  if (update) return;
  if (host.CpuRealtimePeriod > 0 && !can.realtimePeriod) throw invalid('Your kernel does not support cgroup cpu real-time period');
  if (host.CpuRealtimeRuntime > 0 && !can.realtimeRuntime) throw invalid('Your kernel does not support cgroup cpu real-time runtime');
  if (host.CpuRealtimePeriod !== 0 && host.CpuRealtimeRuntime > host.CpuRealtimePeriod) throw invalid('cpu real-time runtime cannot be higher than cpu real-time period');
}

function judgeSets({ host, warnings }: Judged, { can }: ResourceFacts): void {
  if ((host.CpusetCpus !== '' || host.CpusetMems !== '') && !can.cpuset) {
    warnings.push('Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.');
    [host.CpusetCpus, host.CpusetMems] = ['', ''];
  }
  const cpus = membersOf(host.CpusetCpus, 'cpuset cpus');
  const ownCpus = new Set(membersOf(can.cpus, 'cpuset cpus of this machine'));
  if (cpus.some((cpu) => !ownCpus.has(cpu))) throw invalid(`Requested CPUs are not available - requested ${host.CpusetCpus}, available: ${can.cpus}`);
  const mems = membersOf(host.CpusetMems, 'cpuset mems');
  const ownMems = new Set(membersOf(can.mems, 'cpuset mems of this machine'));
  if (mems.some((node) => !ownMems.has(node))) throw invalid(`Requested memory nodes are not available - requested ${host.CpusetMems}, available: ${can.mems}`);
}

/** "0-2,7" → 0 1 2 7. */
export function membersOf(text: string, what: string): number[] {
  if (text === '') return [];
  const wrong = () => invalid(`Invalid value ${text} for ${what}: invalid format: ${text}`);
  return text.split(',').flatMap((part) => {
    const range = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (!range) throw wrong();
    const first = Number(range[1]), last = Number(range[2] ?? range[1]);
    if (last < first) throw wrong();
    if (last > MAX_SET_MEMBER) throw invalid(`Invalid value ${text} for ${what}: value of out range, maximum is ${MAX_SET_MEMBER}`);
    return Array.from({ length: last - first + 1 }, (_none, at) => first + at);
  });
}

function judgeBlockIo({ host, warnings }: Judged, { can, update }: ResourceFacts): void {
  if (host.BlkioWeight > 0 && !can.blkioWeight) {
    warnings.push('Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.');
    host.BlkioWeight = 0;
  }
  if (host.BlkioWeight !== 0 && (host.BlkioWeight < 10 || host.BlkioWeight > 1000)) throw invalid('Range of blkio weight is from 10 to 1000');
  if (update && (host.IOMaximumBandwidth !== 0 || host.IOMaximumIOps !== 0)) throw invalid('Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps');
  if ((host.BlkioWeightDevice ?? []).length > 0 && !can.blkioWeightDevice) {
    warnings.push('Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.');
    host.BlkioWeightDevice = [];
  }
  const rates = [
    ['BlkioDeviceReadBps', 'BPS Block I/O read', 'BPS read'], ['BlkioDeviceWriteBps', 'BPS Block I/O write', 'BPS write'],
    ['BlkioDeviceReadIOps', 'IOPS Block read', 'IOPS read'], ['BlkioDeviceWriteIOps', 'IOPS Block write', 'IOPS write'],
  ] as const;
  for (const [field, limit, short] of rates) {
    if ((host[field] ?? []).length === 0 || can.blkioThrottle) continue;
    warnings.push(`Your kernel does not support ${limit} limit or the cgroup is not mounted. Block I/O ${short} limit discarded.`);
    host[field] = [];
  }
}
