import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StatsSample } from '../engine/index.ts';
import { presentStats } from './present-stats.ts';

const M = 1 << 20;
const usage: NonNullable<StatsSample['usage']> = {
  cgroupVersion: 1, system: { cpuNs: 14_778_980_000_000, onlineCpus: 2 },
  cpu: { totalNs: 77_011_050, userNs: 60_000_000, kernelNs: 10_000_000, perCpuNs: [29_039_594, 47_971_456], periods: 0, throttledPeriods: 0, throttledNs: 0 },
  memory: { usageBytes: 733_184, maxBytes: 4_075_520, limitBytes: 9_223_372_036_854_771_712n, failures: 0, stats: { cache: 4096n, hierarchical_memory_limit: 9_223_372_036_854_771_712n } },
  pids: { current: 1, limit: undefined }, blkio: { io_service_bytes_recursive: [{ major: 254, minor: 0, op: 'Read', value: 7 }] },
  networks: { eth0: { rxBytes: 1042, rxPackets: 11, rxErrors: 0, rxDropped: 0, txBytes: 126, txPackets: 3, txErrors: 0, txDropped: 0 } },
};
const frame = (sample: Partial<StatsSample>, before?: StatsSample) => ({ name: '/probe', id: '38', sample: { readNs: 1_795_203_195_535_967_076n, usage, memoryBytes: 25_276_502_016, ...sample }, before });
const NONE = '"io_queue_recursive":[],"io_service_time_recursive":[],"io_wait_time_recursive":[],"io_merged_recursive":[],"io_time_recursive":[],"sectors_recursive":[]';
const NO_CPU = '{"cpu_usage":{"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0},"throttling_data":{"periods":0,"throttled_periods":0,"throttled_time":0}}';

test('v1: field by field as dockerd writes it, numbers whole', () => {
  assert.equal(presentStats(frame({})), '{"read":"2026-11-20T19:33:15.535967076Z","preread":"0001-01-01T00:00:00Z","pids_stats":{"current":1},'
    + `"blkio_stats":{"io_service_bytes_recursive":[{"major":254,"minor":0,"op":"Read","value":7}],"io_serviced_recursive":[],${NONE}},"num_procs":0,"storage_stats":{},`
    + '"cpu_stats":{"cpu_usage":{"total_usage":77011050,"percpu_usage":[29039594,47971456],"usage_in_kernelmode":10000000,"usage_in_usermode":60000000},'
    + `"system_cpu_usage":14778980000000,"online_cpus":2,"throttling_data":{"periods":0,"throttled_periods":0,"throttled_time":0}},"precpu_stats":${NO_CPU},`
    + '"memory_stats":{"usage":733184,"max_usage":4075520,"stats":{"cache":4096,"hierarchical_memory_limit":9223372036854771712},"limit":25276502016},"name":"/probe","id":"38",'
    + '"networks":{"eth0":{"rx_bytes":1042,"rx_packets":11,"rx_errors":0,"rx_dropped":0,"tx_bytes":126,"tx_packets":3,"tx_errors":0,"tx_dropped":0}}}\n');
});

test('what does not run has zeros and no time', () => {
  const lists = NONE.replaceAll('[]', 'null');
  assert.equal(presentStats(frame({ readNs: undefined, usage: undefined })), '{"read":"0001-01-01T00:00:00Z","preread":"0001-01-01T00:00:00Z","pids_stats":{},'
    + `"blkio_stats":{"io_service_bytes_recursive":null,"io_serviced_recursive":null,${lists}},"num_procs":0,"storage_stats":{},"cpu_stats":${NO_CPU},"precpu_stats":${NO_CPU},"memory_stats":{},"name":"/probe","id":"38"}\n`);
});

test('v2: no lists but one, no CPUs apart, the largest number for no limit of processes', () => {
  const { cpu, memory } = usage;
  assert.ok(cpu && memory);
  const text = presentStats(frame({ usage: { ...usage, cgroupVersion: 2, cpu: { ...cpu, perCpuNs: undefined }, memory: { ...memory, maxBytes: undefined, limitBytes: 64n * BigInt(M), failures: 3 }, blkio: {}, networks: {} } }, frame({}).sample));
  assert.match(text, /"pids_stats":\{"current":1,"limit":18446744073709551615\}/);
  const stats = JSON.parse(text) as { preread: string; networks?: object; blkio_stats: object; cpu_stats: { cpu_usage: object }; memory_stats: { limit: number; failcnt: number; max_usage?: number } };
  assert.ok(Object.values(stats.blkio_stats).every((list) => list === null));
  assert.deepEqual([stats.preread, stats.networks, 'percpu_usage' in stats.cpu_stats.cpu_usage], ['2026-11-20T19:33:15.535967076Z', undefined, false]);
  assert.deepEqual([stats.memory_stats.limit, stats.memory_stats.failcnt, stats.memory_stats.max_usage], [64 * M, 3, undefined]);
});
