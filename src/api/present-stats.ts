// What a container uses, as Docker's stats JSON of cgroup v1 and of v2.
import type { StatsFrame, StatsSample } from '../engine/index.ts';
import { formatNanos, ZERO_TIME } from '../lib/clock.ts';

type Usage = NonNullable<StatsSample['usage']>;

/** One line, with its newline. Numbers beyond 2^53 are written whole. */
export function presentStats({ name, id, sample, before }: StatsFrame): string {
  const { usage } = sample;
  return `${JSON.stringify({
    read: timeOf(sample), preread: before ? timeOf(before) : ZERO_TIME,
    pids_stats: pidsOf(usage), blkio_stats: blkioOf(usage), num_procs: 0, storage_stats: {},
    cpu_stats: cpuOf(usage), precpu_stats: cpuOf(before?.usage), memory_stats: memoryOf(sample),
    name, id, ...networksOf(usage),
  })}\n`;
}

const timeOf = ({ readNs }: StatsSample): string => (readNs === undefined ? ZERO_TIME : formatNanos(readNs));

/** v2 says "no limit" as the largest number of 64 bits; v1 says nothing. */
function pidsOf(usage: Usage | undefined): object {
  if (!usage?.pids) return {};
  const { current, limit } = usage.pids;
  return { ...(current === 0 ? {} : { current }), ...(limit !== undefined ? { limit } : usage.cgroupVersion === 2 ? { limit: whole(2n ** 64n - 1n) } : {}) };
}

const BLKIO_LISTS = [
  'io_service_bytes_recursive', 'io_serviced_recursive', 'io_queue_recursive', 'io_service_time_recursive', 'io_wait_time_recursive', 'io_merged_recursive', 'io_time_recursive', 'sectors_recursive',
];

function blkioOf(usage: Usage | undefined): object {
  const none = usage?.blkio && usage.cgroupVersion === 1 ? [] : null; // v2 has no such lists
  return Object.fromEntries(BLKIO_LISTS.map((list) => [list, usage?.blkio?.[list] ?? none]));
}

function cpuOf(usage: Usage | undefined): object {
  const cpu = usage?.cpu;
  const throttling_data = { periods: cpu?.periods ?? 0, throttled_periods: cpu?.throttledPeriods ?? 0, throttled_time: cpu?.throttledNs ?? 0 };
  if (!usage || !cpu) return { cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 }, throttling_data };
  return {
    cpu_usage: {
      total_usage: cpu.totalNs, ...(cpu.perCpuNs?.length ? { percpu_usage: cpu.perCpuNs } : {}), usage_in_kernelmode: cpu.kernelNs, usage_in_usermode: cpu.userNs,
    },
    system_cpu_usage: usage.system.cpuNs, online_cpus: usage.system.onlineCpus, throttling_data,
  };
}

/** Without a limit, or with one beyond it, the machine's memory is the limit. */
function memoryOf({ usage, memoryBytes }: StatsSample): object {
  const memory = usage?.memory;
  if (!memory) return {};
  const limit = memory.limitBytes === undefined || memory.limitBytes > BigInt(memoryBytes) ? memoryBytes : Number(memory.limitBytes);
  return {
    ...(memory.usageBytes > 0 ? { usage: memory.usageBytes } : {}), ...(memory.maxBytes ? { max_usage: memory.maxBytes } : {}),
    stats: Object.fromEntries(Object.entries(memory.stats).map(([name, value]) => [name, whole(value)])),
    ...(memory.failures > 0 ? { failcnt: memory.failures } : {}), limit,
  };
}

function networksOf(usage: Usage | undefined): object {
  const all = Object.entries(usage?.networks ?? {});
  if (all.length === 0) return {};
  return {
    networks: Object.fromEntries(all.map(([name, counts]) => [name, {
      rx_bytes: counts.rxBytes, rx_packets: counts.rxPackets, rx_errors: counts.rxErrors, rx_dropped: counts.rxDropped,
      tx_bytes: counts.txBytes, tx_packets: counts.txPackets, tx_errors: counts.txErrors, tx_dropped: counts.txDropped,
    }])),
  };
}

/** In the language, and not yet in TypeScript's description of it. */
const JSON_TOO = JSON as unknown as { rawJSON: (text: string) => unknown };

/** A number of JavaScript's where one can hold it, else its digits as they are. */
function whole(value: bigint): unknown {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : JSON_TOO.rawJSON(String(value));
}
