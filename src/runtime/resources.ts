// Limits of a container's cgroup, in OCI's words; what this machine's kernel cannot limit is left out and noted. Pure but for stat of devices.
import { statSync } from 'node:fs';
import { EngineError } from '../lib/errors.ts';
import type { HostConfig } from '../wire/types.ts';
import type { Abilities } from './abilities.ts';
import { splitDevice, type DeviceRule } from './devices.ts';

/** Docker's period for --cpus, in microseconds. */
const CPU_PERIOD_US = 100_000;
/** Of cpu.shares, on v1; crun turns them into the weights of v2. Source: kernel/sched (MIN_SHARES, MAX_SHARES). */
const MIN_SHARES = 2;
const MAX_SHARES = 262_144;

type Json = Record<string, unknown>;

/** For a new container. */
export function resourcesOf(host: HostConfig, rules: readonly DeviceRule[], support: Support): Json {
  return { devices: rules, ...limitsOf(host, support) };
}

/** Of memory and swap together: as much as there is. */
const NO_LIMIT = -1;

/** For a running container, whose devices stay as they are. What is not limited is left out: crun has no word for it that every kernel takes. */
export function limitsOf(host: HostConfig, support: Support): Json {
  const resources: Json = {};
  put(resources, 'memory', memoryOf(host, support));
  put(resources, 'cpu', cpuOf(host, support));
  put(resources, 'pids', pidsOf(host, support));
  put(resources, 'blockIO', blockIoOf(host, support));
  return resources;
}

/** What the kernel can limit; `dropped` collects what was asked for in vain. */
export interface Support { can: Abilities; dropped: (what: string) => void }

export function supportOf(can: Abilities, notes: string[]): Support {
  return { can, dropped: (what) => { notes.push(`${what} is not supported by this kernel and was left out`); } };
}

function memoryOf(host: HostConfig, { can, dropped }: Support): Json {
  const memory: Json = {};
  if (host.Memory > 0) memory['limit'] = host.Memory;
  if (host.MemoryReservation > 0) {
    if (can.reservation) memory['reservation'] = host.MemoryReservation;
    else dropped('the memory reservation');
  }
  if (host.MemorySwap !== 0 || host.Memory > 0) {
    const swap = host.MemorySwap === 0 ? host.Memory * 2 : host.MemorySwap < 0 ? NO_LIMIT : host.MemorySwap;
    if (can.swap) memory['swap'] = swap;
    else if (host.MemorySwap > 0 && host.MemorySwap !== host.Memory * 2) dropped('the swap limit'); // Docker's default is no wish
  }
  if (host.MemorySwappiness !== null && host.MemorySwappiness >= 0) {
    if (can.swappiness) memory['swappiness'] = host.MemorySwappiness;
    else dropped('the swappiness');
  }
  if (host.OomKillDisable === true) {
    if (can.oomKillDisable) memory['disableOOMKiller'] = true;
    else dropped('going on without the OOM killer');
  }
  return kept(memory, 'the memory limit', can.memory ? undefined : dropped);
}

function cpuOf(host: HostConfig, { can, dropped }: Support): Json {
  const cpu: Json = {};
  if (host.CpuShares !== 0) {
    if (can.cpuShares) cpu['shares'] = sharesOf(host.CpuShares);
    else dropped('the CPU shares');
  }
  if (host.NanoCpus > 0) { cpu['period'] = CPU_PERIOD_US; cpu['quota'] = Math.floor(host.NanoCpus * CPU_PERIOD_US / 1e9); }
  if (host.CpuPeriod > 0) cpu['period'] = host.CpuPeriod;
  if (host.CpuQuota > 0) cpu['quota'] = host.CpuQuota;
  if (host.CpuQuota < 0) delete cpu['quota']; // no limit, whatever else was said
  if ((cpu['period'] !== undefined || cpu['quota'] !== undefined) && !can.cpuQuota) {
    dropped('the CPU quota');
    delete cpu['period'];
    delete cpu['quota'];
  }
  if (host.CpuRealtimePeriod > 0 && can.realtimePeriod) cpu['realtimePeriod'] = host.CpuRealtimePeriod;
  if (host.CpuRealtimeRuntime > 0 && can.realtimeRuntime) cpu['realtimeRuntime'] = host.CpuRealtimeRuntime;
  const sets: Json = {};
  if (host.CpusetCpus !== '') sets['cpus'] = host.CpusetCpus;
  if (host.CpusetMems !== '') sets['mems'] = host.CpusetMems;
  return { ...cpu, ...kept(sets, 'the CPU set', can.cpuset ? undefined : dropped) };
}

/** The bounds that the kernel would silently set instead. Error: system, in the words that Docker's runtime has. */
function sharesOf(shares: number): number {
  if (shares < 0) throw new EngineError('system', 'shares: invalid argument');
  if (shares < MIN_SHARES) throw new EngineError('system', `the minimum allowed cpu-shares is ${MIN_SHARES}`);
  if (shares > MAX_SHARES) throw new EngineError('system', `the maximum allowed cpu-shares is ${MAX_SHARES}`);
  return shares;
}

function pidsOf(host: HostConfig, { can, dropped }: Support): Json {
  const pids: Json = host.PidsLimit !== null && host.PidsLimit > 0 ? { limit: host.PidsLimit } : {};
  return kept(pids, 'the limit of processes', can.pids ? undefined : dropped);
}

function blockIoOf(host: HostConfig, { can, dropped }: Support): Json {
  const io: Json = {};
  if (host.BlkioWeight > 0) {
    if (can.blkioWeight) io['weight'] = host.BlkioWeight;
    else dropped('the block I/O weight');
  }
  const weighted = host.BlkioWeightDevice ?? [];
  if (weighted.length > 0) {
    if (can.blkioWeightDevice) io['weightDevice'] = weighted.map((entry) => ({ ...numbersOf(entry.Path), weight: entry.Weight }));
    else dropped('the block I/O weight of a device');
  }
  const throttles = {
    throttleReadBpsDevice: host.BlkioDeviceReadBps, throttleWriteBpsDevice: host.BlkioDeviceWriteBps,
    throttleReadIOPSDevice: host.BlkioDeviceReadIOps, throttleWriteIOPSDevice: host.BlkioDeviceWriteIOps,
  };
  for (const [name, list] of Object.entries(throttles)) {
    if (list && list.length > 0) io[name] = list.map((entry) => ({ ...numbersOf(entry.Path), rate: entry.Rate }));
  }
  return kept(io, 'the block I/O limit', can.blkioThrottle ? undefined : dropped);
}

function numbersOf(path: string): { major: number; minor: number } {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) throw new EngineError('system', `stat ${path}: no such file or directory`);
  return splitDevice(stat.rdev);
}

/** The part as it is, or nothing with a note when the machine lacks the controller: then `dropped` is given. */
function kept(part: Json, what: string, dropped: Support['dropped'] | undefined): Json {
  if (!dropped || Object.keys(part).length === 0) return part;
  dropped(what);
  return {};
}

function put(resources: Json, name: string, part: Json): void {
  if (Object.keys(part).length > 0) resources[name] = part;
}

