import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StatsFrame } from '../index.ts';
import { silentLog } from '../../lib/log.ts';
import type { Clock } from '../../lib/clock.ts';
import { openStats } from './stats.ts';

type Needs = Parameters<typeof openStats>[0];

/** A world in which a tick passes when it is told to. */
function world() {
  let reads = 0;
  let ticks: Array<() => void> = [];
  const container = { id: 'one', record: { Name: '/one' }, running: true, state: { status: 'running' }, hostConfig: { NetworkMode: 'none' } };
  const here = { gone: false };
  const clock = { nowNanos: () => BigInt(reads), sleep: (_ms: number, { signal }: { signal: AbortSignal }) => new Promise<void>((resolve, reject) => {
    ticks.push(resolve);
    signal.addEventListener('abort', () => reject(new Error('stopped')), { once: true });
  }) } as unknown as Clock;
  const needs = {
    clock, log: silentLog, table: { closing: false, find: () => container, get: () => (here.gone ? undefined : container) },
    runtime: { usage: async () => { reads++; return { cgroupVersion: 2, networks: { eth0: {} } }; } },
  } as unknown as Needs;
  const settle = () => new Promise((resolve) => { setImmediate(resolve); });
  return {
    stats: openStats(needs), container, here, settle, get reads() { return reads; }, get sleepers() { return ticks.length; },
    async tick() { const all = ticks; ticks = []; for (const run of all) run(); await settle(); },
  };
}

async function collect(frames: AsyncIterable<StatsFrame>, into: StatsFrame[]): Promise<void> { for await (const frame of frames) into.push(frame); }

test('many who watch one container cost one reading per tick, and none when they have left', async () => {
  const w = world();
  const leave = new AbortController();
  const seen: StatsFrame[][] = [[], [], []];
  const watching = await Promise.all(seen.map(async (into) => collect(await w.stats('one', { stream: true, oneShot: false, signal: leave.signal }), into).then(() => 'over')).map(async (each) => ({ each })));
  await w.settle();
  await w.tick();
  await w.tick();
  assert.equal(w.reads, 3);
  assert.deepEqual(seen.map((frames) => frames.length), [3, 3, 3]);
  assert.deepEqual(seen[0]?.map(({ sample, before }) => [sample.readNs, before?.readNs]), [[1n, undefined], [2n, 1n], [3n, 2n]]);
  leave.abort();
  assert.deepEqual(await Promise.all(watching.map(({ each }) => each)), ['over', 'over', 'over']);
  await w.settle();
  await w.tick();
  await w.tick();
  assert.equal(w.reads, 3);
});

test('without a stream there is one frame with the one before, or one alone at once', async () => {
  const w = world();
  const signal = new AbortController().signal;
  const frames: StatsFrame[] = [];
  const done = collect(await w.stats('one', { stream: false, oneShot: false, signal }), frames);
  await w.settle();
  await w.tick();
  await done;
  assert.deepEqual(frames.map(({ sample, before }) => [sample.readNs, before?.readNs]), [[2n, 1n]]);
  const alone: StatsFrame[] = [];
  await collect(await w.stats('one', { stream: false, oneShot: true, signal }), alone);
  assert.deepEqual(alone.map(({ sample, before }) => [sample.readNs, before]), [[3n, undefined]]);
  Object.assign(w.container, { running: false });
  const stopped: StatsFrame[] = [];
  await collect(await w.stats('one', { stream: false, oneShot: false, signal }), stopped);
  assert.deepEqual(stopped.map(({ name, sample }) => [name, sample.usage, sample.readNs]), [['/one', undefined, undefined]]);
  assert.equal(w.reads, 3);
});

test('a stopped container goes on being told, a removed one ends the stream; the host\'s interfaces are not its own', async () => {
  const w = world();
  const frames: StatsFrame[] = [];
  Object.assign(w.container.hostConfig, { NetworkMode: 'host' });
  const done = collect(await w.stats('one', { stream: true, oneShot: false, signal: new AbortController().signal }), frames);
  await w.settle();
  Object.assign(w.container, { running: false });
  await w.tick();
  w.here.gone = true;
  await w.tick();
  await done;
  assert.deepEqual(frames.map(({ sample }) => sample.usage?.networks), [{}, undefined]);
});
