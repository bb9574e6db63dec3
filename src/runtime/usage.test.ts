import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pairsOf, parseBlkio, parseInterfaces, parseSystemCpu, parseUnifiedIo } from './usage.ts';

test('block I/O of v1: an entry per device and kind, without the grand total', () => {
  assert.deepEqual(parseBlkio('254:0 Read 4096\n254:0 Discard 0\n8:16 1234\nTotal 4096\n'), [
    { major: 254, minor: 0, op: 'Read', value: 4096 }, { major: 254, minor: 0, op: 'Discard', value: 0 }, { major: 8, minor: 16, op: '', value: 1234 },
  ]);
  assert.deepEqual(parseBlkio('Total 0\n'), []);
});

test('block I/O of v2: reads and writes of each device', () => {
  assert.deepEqual(parseUnifiedIo('254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n7:0 \n'), [
    { major: 254, minor: 0, op: 'read', value: 10 }, { major: 254, minor: 0, op: 'write', value: 20 }, { major: 7, minor: 0, op: 'read', value: 0 }, { major: 7, minor: 0, op: 'write', value: 0 },
  ]);
});

test('interfaces: titles and the loopback are left out, names may touch their numbers', () => {
  const text = 'Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n'
    + '    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0\n  eth0:1042 11 1 2 0 0 0 0 126 3 4 5 0 0 0 0\n';
  assert.deepEqual(parseInterfaces(text), { eth0: { rxBytes: 1042, rxPackets: 11, rxErrors: 1, rxDropped: 2, txBytes: 126, txPackets: 3, txErrors: 4, txDropped: 5 } });
  assert.deepEqual(parseInterfaces(''), {});
});

test('the time of all CPUs is that of user to softirq; guests are part of it already', () => {
  assert.deepEqual(parseSystemCpu('cpu  1 2 3 4 5 6 7 1000 1000 1000\ncpu0 1 1 1 1 1 1 1 0 0 0\ncpu3 0 1 2 3 4 5 6 0 0 0\nintr 5\n'), { cpuNs: 28 * 10_000_000, onlineCpus: 2 });
});

test('numbers of the kernel keep all their digits', () => {
  assert.deepEqual(pairsOf('cache 1\nhierarchical_memory_limit 9223372036854771712\nnot a pair\n'), { cache: 1n, hierarchical_memory_limit: 9223372036854771712n });
});
