// What a container has used, as the kernel counts it in the files of its cgroup, on v1 and on v2.
import { readFileSync } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';
import type { Machine } from './machine.ts';

/** One line of block I/O: Docker's words for `op` are v1's "Read" and v2's "read". */
export interface BlkioEntry { major: number; minor: number; op: string; value: number }
export interface InterfaceUsage { rxBytes: number; rxPackets: number; rxErrors: number; rxDropped: number; txBytes: number; txPackets: number; txErrors: number; txDropped: number }

export interface Usage {
  cgroupVersion: 1 | 2;
  cpu: { totalNs: number; userNs: number; kernelNs: number; /** v1 only. */ perCpuNs: readonly number[] | undefined; periods: number; throttledPeriods: number; throttledNs: number } | undefined;
  /** `limitBytes`: undefined when there is none. `maxBytes`: the most so far, v1 only. */
  memory: { usageBytes: number; maxBytes: number | undefined; limitBytes: bigint | undefined; failures: number; stats: Readonly<Record<string, bigint>> } | undefined;
  pids: { current: number; /** undefined: no limit. */ limit: number | undefined } | undefined;
  /** By Docker's names of its lists; undefined without the controller. */
  blkio: Readonly<Record<string, readonly BlkioEntry[]>> | undefined;
  /** The whole machine's, by which a share is reckoned. */
  system: { cpuNs: number; onlineCpus: number };
  /** By name, without the loopback. */
  networks: Readonly<Record<string, InterfaceUsage>>;
}

/** The kernel's unit of cpuacct.stat. Source: USER_HZ, proc(5). */
const NS_PER_TICK = 10_000_000;

/** undefined when the cgroup is gone. `pid` is any process of the container: it shows the network. */
export function readUsage(machine: Machine, { cgroupPath, pid }: { cgroupPath: string; pid: number }): Usage | undefined {
  const networks = parseInterfaces(textOf(`/proc/${pid}/net/dev`));
  const system = parseSystemCpu(textOf('/proc/stat'));
  if (machine.layout.mode === 'v2') {
    const dir = `${machine.layout.unifiedPath ?? ''}${cgroupPath}`;
    if (textOf(`${dir}/cgroup.controllers`) === '' && !machine.exists(dir)) return undefined;
    return { cgroupVersion: 2, ...unified(dir), system, networks };
  }
  const file = (controller: string, name: string) => {
    const mounted = machine.controllerPaths[controller];
    return mounted === undefined ? '' : textOf(`${mounted}${cgroupPath}/${name}`);
  };
  const usage = separate(file);
  return usage.cpu || usage.memory || usage.pids ? { cgroupVersion: 1, ...usage, system, networks } : undefined;
}

/** The first line counts all CPUs together, of which user to softirq are added up; a line follows for each CPU that is on. Source: proc_stat(5). */
export function parseSystemCpu(text: string): Usage['system'] {
  const lines = text.split('\n').filter((line) => line.startsWith('cpu'));
  const ticks = (lines[0] ?? '').split(/\s+/).slice(1, 8).map(Number);
  return { cpuNs: ticks.reduce((sum, each) => sum + each, 0) * NS_PER_TICK, onlineCpus: Math.max(1, lines.length - 1) };
}

type ReadFile = (controller: string, name: string) => string;

function separate(file: ReadFile): Pick<Usage, 'cpu' | 'memory' | 'pids' | 'blkio'> {
  return { cpu: separateCpu(file), memory: separateMemory(file), pids: pidsOf(file('pids', 'pids.current'), file('pids', 'pids.max')), blkio: separateBlkio(file) };
}

function separateCpu(file: ReadFile): Usage['cpu'] {
  const total = file('cpuacct', 'cpuacct.usage').trim();
  if (total === '') return undefined;
  const times = pairsOf(file('cpuacct', 'cpuacct.stat'));
  const throttled = pairsOf(file('cpu', 'cpu.stat'));
  return {
    totalNs: Number(total), userNs: numberOf(times['user']) * NS_PER_TICK, kernelNs: numberOf(times['system']) * NS_PER_TICK,
    perCpuNs: file('cpuacct', 'cpuacct.usage_percpu').trim().split(/\s+/).filter((word) => word !== '').map(Number),
    periods: numberOf(throttled['nr_periods']), throttledPeriods: numberOf(throttled['nr_throttled']), throttledNs: numberOf(throttled['throttled_time']),
  };
}

/** What Docker shows of memory.stat on v1, each also with total_ before it. */
const SHOWN_V1 = ['active_anon', 'active_file', 'cache', 'dirty', 'inactive_anon', 'inactive_file', 'mapped_file', 'pgfault', 'pgmajfault', 'pgpgin', 'pgpgout', 'rss', 'rss_huge', 'unevictable', 'writeback'];
const LIMITS_V1 = ['hierarchical_memory_limit', 'hierarchical_memsw_limit'];

function separateMemory(file: ReadFile): Usage['memory'] {
  const usage = file('memory', 'memory.usage_in_bytes').trim();
  if (usage === '') return undefined;
  const all = pairsOf(file('memory', 'memory.stat'));
  const names = [...SHOWN_V1, ...LIMITS_V1, ...SHOWN_V1.map((name) => `total_${name}`)].toSorted();
  return {
    usageBytes: Number(usage), maxBytes: Number(file('memory', 'memory.max_usage_in_bytes').trim()), limitBytes: limitOf(file('memory', 'memory.limit_in_bytes')),
    failures: Number(file('memory', 'memory.failcnt').trim()), stats: Object.fromEntries(names.map((name) => [name, all[name] ?? 0n])),
  };
}

/** Lists by their files. Schedulers that keep none leave theirs empty: then the throttling layer's are all that there is. */
const SCHEDULED: ReadonlyArray<readonly [list: string, file: string]> = [
  ['sectors_recursive', 'blkio.sectors_recursive'], ['io_service_bytes_recursive', 'blkio.io_service_bytes_recursive'], ['io_serviced_recursive', 'blkio.io_serviced_recursive'],
  ['io_queue_recursive', 'blkio.io_queued_recursive'], ['io_service_time_recursive', 'blkio.io_service_time_recursive'], ['io_wait_time_recursive', 'blkio.io_wait_time_recursive'],
  ['io_merged_recursive', 'blkio.io_merged_recursive'], ['io_time_recursive', 'blkio.time_recursive'],
];
const THROTTLED: ReadonlyArray<readonly [list: string, file: string]> = [
  ['io_serviced_recursive', 'blkio.throttle.io_serviced'], ['io_service_bytes_recursive', 'blkio.throttle.io_service_bytes'],
];

function separateBlkio(file: ReadFile): Usage['blkio'] {
  const lists = (files: typeof SCHEDULED) => Object.fromEntries(files.map(([list, name]) => [list, parseBlkio(file('blkio', name))]));
  const scheduled = lists(SCHEDULED);
  return Object.values(scheduled).some((entries) => entries.length > 0) ? scheduled : lists(THROTTLED);
}

/** "254:0 Read 4096" per line; the grand total at the end names no device and is left out. */
export function parseBlkio(text: string): BlkioEntry[] {
  return text.split('\n').flatMap((line) => {
    const match = /^(\d+):(\d+) (?:([A-Z][a-z]+) )?(\d+)$/.exec(line);
    return match ? [{ major: Number(match[1]), minor: Number(match[2]), op: match[3] ?? '', value: Number(match[4]) }] : [];
  });
}

/** What Docker shows of memory.stat on v2. */
const SHOWN_V2 = [
  'active_anon', 'active_file', 'anon', 'anon_thp', 'file', 'file_dirty', 'file_mapped', 'file_writeback', 'inactive_anon', 'inactive_file', 'kernel_stack', 'pgactivate', 'pgdeactivate',
  'pgfault', 'pglazyfree', 'pglazyfreed', 'pgmajfault', 'pgrefill', 'pgscan', 'pgsteal', 'shmem', 'slab', 'slab_reclaimable', 'slab_unreclaimable', 'sock', 'thp_collapse_alloc',
  'thp_fault_alloc', 'unevictable', 'workingset_activate', 'workingset_nodereclaim', 'workingset_refault',
];

function unified(dir: string): Pick<Usage, 'cpu' | 'memory' | 'pids' | 'blkio'> {
  const file = (name: string) => textOf(`${dir}/${name}`);
  const cpu = pairsOf(file('cpu.stat'));
  const usage = file('memory.current').trim();
  const io = file('io.stat');
  return {
    cpu: {
      totalNs: numberOf(cpu['usage_usec']) * 1000, userNs: numberOf(cpu['user_usec']) * 1000, kernelNs: numberOf(cpu['system_usec']) * 1000, perCpuNs: undefined,
      periods: numberOf(cpu['nr_periods']), throttledPeriods: numberOf(cpu['nr_throttled']), throttledNs: numberOf(cpu['throttled_usec']) * 1000,
    },
    memory: usage === '' ? undefined : {
      usageBytes: Number(usage), maxBytes: undefined, limitBytes: limitOf(file('memory.max')), failures: numberOf(pairsOf(file('memory.events'))['oom']), stats: unifiedMemory(pairsOf(file('memory.stat'))),
    },
    pids: pidsOf(file('pids.current'), file('pids.max')),
    blkio: io === '' ? {} : { io_service_bytes_recursive: parseUnifiedIo(io) },
  };
}

function unifiedMemory(all: Readonly<Record<string, bigint>>): Record<string, bigint> {
  const stats = Object.fromEntries(SHOWN_V2.map((name) => [name, all[name] ?? 0n]));
  // Newer kernels count refaults and activations of pages of files and of programs apart.
  for (const name of ['workingset_refault', 'workingset_activate']) stats[name] ||= (all[`${name}_anon`] ?? 0n) + (all[`${name}_file`] ?? 0n);
  return stats;
}

/** "254:0 rbytes=1 wbytes=2 rios=…" per device. */
export function parseUnifiedIo(text: string): BlkioEntry[] {
  return text.split('\n').flatMap((line) => {
    const device = /^(\d+):(\d+) /.exec(line);
    if (!device) return [];
    const count = (name: string) => Number(new RegExp(` ${name}=(\\d+)`).exec(line)?.[1] ?? 0);
    const [major, minor] = [Number(device[1]), Number(device[2])];
    return [{ major, minor, op: 'read', value: count('rbytes') }, { major, minor, op: 'write', value: count('wbytes') }];
  });
}

function pidsOf(current: string, max: string): Usage['pids'] {
  if (current.trim() === '') return undefined;
  return { current: Number(current.trim()), limit: /^\d+$/.test(max.trim()) ? Number(max.trim()) : undefined };
}

function limitOf(text: string): bigint | undefined {
  return /^\d+$/.test(text.trim()) ? BigInt(text.trim()) : undefined;
}

/** The table of net/dev(5): bytes packets errs drop of receiving in columns 0-3, of sending in 8-11. */
export function parseInterfaces(text: string): Record<string, InterfaceUsage> {
  const interfaces: Record<string, InterfaceUsage> = {};
  for (const line of text.split('\n').slice(2)) {
    const [name = '', rest = ''] = line.split(/:(.*)/s);
    const numbers = rest.trim().split(/\s+/).map(Number);
    const at = (column: number) => numbers[column] ?? 0;
    if (name.trim() === '' || name.trim() === 'lo') continue;
    interfaces[name.trim()] = {
      rxBytes: at(0), rxPackets: at(1), rxErrors: at(2), rxDropped: at(3), txBytes: at(8), txPackets: at(9), txErrors: at(10), txDropped: at(11),
    };
  }
  return interfaces;
}

/** "name value" per line. */
export function pairsOf(text: string): Record<string, bigint> {
  const pairs: Record<string, bigint> = {};
  for (const line of text.split('\n')) {
    const match = /^(\S+) (\d+)$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) pairs[match[1]] = BigInt(match[2]);
  }
  return pairs;
}

const numberOf = (value: bigint | undefined): number => Number(value ?? 0n);

/** '' when the file or its cgroup is gone. */
function textOf(path: string): string {
  try { return readFileSync(path, 'utf8'); }
  catch (error) {
    if (['ENOENT', 'ENODEV', 'ESRCH', 'EINVAL', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '')) return '';
    throw error;
  }
}
