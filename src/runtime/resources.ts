// Limits of a container's cgroup, in OCI's words; what this machine's kernel cannot limit is left out and noted. Pure but for stat of devices.
import { statSync } from 'node:fs';
import { EngineError } from '../lib/errors.ts';
import type { HostConfig } from '../wire/types.ts';
import { splitDevice, type DeviceRule } from './devices.ts';
import type { Machine } from './machine.ts';

/** Docker's period for --cpus, in microseconds. */
const CPU_PERIOD_US = 100_000;

type Json = Record<string, unknown>;

export function resourcesOf(host: HostConfig, rules: readonly DeviceRule[], support: Support): Json {
  const resources: Json = { devices: rules };
  put(resources, 'memory', memoryOf(host, support));
  put(resources, 'cpu', cpuOf(host, support));
  put(resources, 'pids', pidsOf(host, support));
  put(resources, 'blockIO', blockIoOf(host, support));
  return resources;
}

/** What the kernel can limit; `dropped` collects what was asked for in vain. */
export interface Support { has(controller: string): boolean; file(controller: string, name: string): boolean; dropped(what: string): void }

export function supportOf(machine: Machine, notes: string[]): Support {
  const { layout, controllerPaths } = machine;
  const has = (controller: string) => (controller === 'blkio' && layout.mode === 'v2' ? layout.controllers.includes('io') : layout.controllers.includes(controller));
  return {
    has,
    // Only v1 shows its files in the root; v2 has what a controller has.
    file: (controller, name) => has(controller) && (layout.mode === 'v2' || machine.exists(`${controllerPaths[controller] ?? '/nowhere'}/${name}`)),
    dropped: (what) => { notes.push(`${what} is not supported by this kernel and was left out`); },
  };
}

function memoryOf(host: HostConfig, support: Support): Json {
  const memory: Json = {};
  if (host.Memory > 0) memory['limit'] = host.Memory;
  if (host.MemoryReservation > 0) memory['reservation'] = host.MemoryReservation;
  if (host.MemorySwap !== 0 || host.Memory > 0) {
    const swap = host.MemorySwap === 0 ? host.Memory * 2 : host.MemorySwap;
    if (support.file('memory', 'memory.memsw.limit_in_bytes')) memory['swap'] = swap;
    else if (host.MemorySwap > 0 && host.MemorySwap !== host.Memory * 2) support.dropped('the swap limit'); // Docker's default is no wish
  }
  if (host.MemorySwappiness !== null && host.MemorySwappiness >= 0) memory['swappiness'] = host.MemorySwappiness;
  if (host.OomKillDisable === true) memory['disableOOMKiller'] = true;
  return kept(memory, 'the memory limit', support.has('memory') ? undefined : support);
}

function cpuOf(host: HostConfig, support: Support): Json {
  const cpu: Json = {};
  if (host.CpuShares > 0) cpu['shares'] = host.CpuShares;
  if (host.NanoCpus > 0) { cpu['period'] = CPU_PERIOD_US; cpu['quota'] = Math.floor(host.NanoCpus * CPU_PERIOD_US / 1e9); }
  if (host.CpuPeriod > 0) cpu['period'] = host.CpuPeriod;
  if (host.CpuQuota !== 0) cpu['quota'] = host.CpuQuota;
  if ((cpu['period'] !== undefined || cpu['quota'] !== undefined) && !support.file('cpu', 'cpu.cfs_quota_us')) {
    support.dropped('the CPU quota');
    delete cpu['period'];
    delete cpu['quota'];
  }
  if (host.CpuRealtimePeriod > 0) cpu['realtimePeriod'] = host.CpuRealtimePeriod;
  if (host.CpuRealtimeRuntime > 0) cpu['realtimeRuntime'] = host.CpuRealtimeRuntime;
  const sets: Json = {};
  if (host.CpusetCpus !== '') sets['cpus'] = host.CpusetCpus;
  if (host.CpusetMems !== '') sets['mems'] = host.CpusetMems;
  return { ...kept(cpu, 'the CPU limit', support.has('cpu') ? undefined : support), ...kept(sets, 'the CPU set', support.has('cpuset') ? undefined : support) };
}

function pidsOf(host: HostConfig, support: Support): Json {
  const pids: Json = host.PidsLimit !== null && host.PidsLimit > 0 ? { limit: host.PidsLimit } : {};
  return kept(pids, 'the limit of processes', support.has('pids') ? undefined : support);
}

function blockIoOf(host: HostConfig, support: Support): Json {
  const io: Json = {};
  const weights = support.file('blkio', 'blkio.weight') || support.file('blkio', 'blkio.bfq.weight');
  if (host.BlkioWeight > 0) {
    if (weights) io['weight'] = host.BlkioWeight;
    else support.dropped('the block I/O weight');
  }
  const weighted = host.BlkioWeightDevice ?? [];
  if (weighted.length > 0) {
    if (weights) io['weightDevice'] = weighted.map((entry) => ({ ...numbersOf(entry.Path), weight: entry.Weight }));
    else support.dropped('the block I/O weight of a device');
  }
  const throttles = {
    throttleReadBpsDevice: host.BlkioDeviceReadBps, throttleWriteBpsDevice: host.BlkioDeviceWriteBps,
    throttleReadIOPSDevice: host.BlkioDeviceReadIOps, throttleWriteIOPSDevice: host.BlkioDeviceWriteIOps,
  };
  for (const [name, list] of Object.entries(throttles)) {
    if (list && list.length > 0) io[name] = list.map((entry) => ({ ...numbersOf(entry.Path), rate: entry.Rate }));
  }
  return kept(io, 'the block I/O limit', support.has('blkio') ? undefined : support);
}

function numbersOf(path: string): { major: number; minor: number } {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) throw new EngineError('system', `no such file or directory: ${path}`);
  return splitDevice(stat.rdev);
}

/** The part as it is, or nothing with a note when `lacking` says that the machine has no such controller. */
function kept(part: Json, what: string, lacking: Support | undefined): Json {
  if (!lacking || Object.keys(part).length === 0) return part;
  lacking.dropped(what);
  return {};
}

function put(resources: Json, name: string, part: Json): void {
  if (Object.keys(part).length > 0) resources[name] = part;
}

