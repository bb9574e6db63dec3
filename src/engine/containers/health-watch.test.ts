// Many containers with checks: how many begin at once, what stops them, and what a failing world does to them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock, type Clock } from '../../lib/clock.ts';
import { silentLog } from '../../lib/log.ts';
import type { ExecInput, ExecTask, Runtime } from '../../runtime/index.ts';
import type { Health } from '../../wire/types.ts';
import { openEvents } from '../events.ts';
import { Metrics } from '../metrics.ts';
import type { Container } from './container.ts';
import { ExecTable } from './exec-table.ts';
import { openHealthWatch } from './health-watch.ts';
import { beginHealth, decidePlan } from './health.ts';
import type { ContainerNeeds } from './needs.ts';
import { ContainerTable } from './table.ts';

interface World { needs: Omit<ContainerNeeds, 'health'>; fire(): Promise<void>; timers: Map<() => void, number>; beginning: number; most: number; begun: string[]; killed: string[]; told: string[]; notes: Map<string, string>; exec(input: ExecInput): Promise<number | 'hangs'>; full: boolean }

/** Time stands still: a timer runs when it is told to. */
function world(): World {
  const timers = new Map<() => void, number>();
  const clock: Clock = { ...systemClock, after: (ms, run) => { timers.set(run, ms); return { [Symbol.dispose]: () => { timers.delete(run); } }; } };
  const events = { ...openEvents(clock), publish: (fact: { action: string }) => { if (fact.action.startsWith('health')) w.told.push(fact.action); } };
  const runtime: Partial<Runtime> = {
    notes: (id) => new Map([['health', w.notes.get(id) ?? '']]),
    saveNote: (id, { name, text }) => { if (w.full) throw new Error('no space left'); if (name === 'health') w.notes.set(id, text); },
    signal: async () => true,
    exec: async (input) => {
      w.most = Math.max(w.most, ++w.beginning);
      await new Promise(setImmediate);
      w.begun.push(input.containerId);
      try { return taskOf(await w.exec(input), () => w.killed.push(input.containerId)); } finally { w.beginning--; }
    },
  };
  const needs = { clock, events, log: silentLog, runtime: runtime as Runtime, table: new ContainerTable(), execs: new ExecTable(() => {}), metrics: new Metrics(clock) };
  const w: World = {
    needs: needs as unknown as World['needs'], timers, beginning: 0, most: 0, begun: [], killed: [], told: [], notes: new Map(), exec: async () => 0, full: false,
    async fire() {
      const due = [...timers.keys()];
      timers.clear();
      for (const run of due) run();
      for (let n = 0; n < 200; n++) await new Promise(setImmediate);
    },
  };
  return w;
}

function taskOf(outcome: number | 'hangs', kill: () => void): ExecTask {
  const end = Promise.withResolvers<number>();
  if (outcome !== 'hangs') end.resolve(outcome);
  async function* output(): AsyncGenerator<{ stream: 'stdout'; bytes: Uint8Array }> { await end.promise; yield { stream: 'stdout', bytes: new Uint8Array() }; }
  const console = { output: output(), write: async () => {}, endInput: async () => {}, [Symbol.asyncDispose]: async () => {} };
  return { pid: 42, console, exited: end.promise, resize: async () => {}, signal: async () => {}, kill: async () => { kill(); end.resolve(137); } };
}

function container(id: string, changes: { Retries?: number; StartPeriod?: number } = {}): Container {
  const Config = { Healthcheck: { Test: ['CMD', 'check'], ...changes }, Env: null, WorkingDir: '' };
  const State = { StartedAt: new Date().toISOString(), Health: beginHealth(decidePlan(Config), null) };
  return { id, record: { Config, State }, hostConfig: { NetworkMode: 'none', Links: null }, state: { status: 'running' }, execIds: new Set(), eventAttributes: () => ({}) } as unknown as Container;
}
const healthOf = (one: Container): Health => one.record.State.Health ?? { Status: 'none', FailingStreak: 0, Log: [] };

test('50 that are due at once begin two at a time, and all of them are checked', async () => {
  const w = world();
  const watch = openHealthWatch(w.needs, () => {});
  const all = Array.from({ length: 50 }, (_none, n) => container(`c${n}`));
  for (const one of all) watch.follow(one);
  assert.deepEqual([...w.timers.values()].map((ms) => ms > 10_000 && ms <= 30_000), all.map(() => true));
  await w.fire();
  assert.deepEqual([w.most, w.begun.length], [2, 50]);
  assert.ok(all.every((one) => healthOf(one).Status === 'healthy'));
  assert.deepEqual([w.told.length, w.needs.metrics.healthChecks, w.needs.metrics.healthChecksFailed], [50, 50, 0]);
  await watch.close();
  assert.equal(w.timers.size, 0);
});

test('one that hangs holds no place: the others go on; paused or ended, it is killed and says nothing', async () => {
  const w = world();
  const watch = openHealthWatch(w.needs, () => {});
  w.exec = async ({ containerId }) => (containerId.startsWith('h') ? 'hangs' : 0);
  const [one, two, three, fine] = ['h1', 'h2', 'h3', 'fine'].map((id) => container(id)) as [Container, Container, Container, Container];
  for (const each of [one, two, three, fine]) watch.follow(each);
  const begun = [...w.timers.keys()];
  for (const run of begun) { w.timers.delete(run); run(); }
  for (let n = 0; n < 50; n++) await new Promise(setImmediate);
  assert.equal(healthOf(fine).Status, 'healthy');
  watch.rest(one);
  Object.assign(two, { state: { status: 'exited' } });
  watch.follow(two);
  for (let n = 0; n < 50; n++) await new Promise(setImmediate);
  assert.deepEqual([w.killed, healthOf(one).Log, healthOf(two).Log], [['h1', 'h2'], [], []]);
  const closed = watch.close();
  await closed;
  assert.deepEqual([w.killed, healthOf(three).Log], [['h1', 'h2', 'h3'], []]);
  watch.follow(one);
  assert.equal(w.timers.size, 0, 'a closed one watches nobody');
});

test('it turns unhealthy once, and whoever restarts it is told once', async () => {
  const w = world();
  const ill: string[] = [];
  const watch = openHealthWatch(w.needs, (one) => ill.push(one.id));
  w.exec = async () => 1;
  const one = container('one', { Retries: 2 });
  watch.follow(one);
  for (let n = 0; n < 4; n++) await w.fire();
  assert.deepEqual([healthOf(one).FailingStreak, w.told, ill], [4, ['health_status: unhealthy'], ['one']]);
  await watch.close();
});

test('a later daemon knows the streak and goes on', async () => {
  const w = world();
  const watch = openHealthWatch(w.needs, () => {});
  w.exec = async () => 1;
  const one = container('one');
  watch.follow(one);
  await w.fire();
  await w.fire();
  await watch.close();
  const again = container('one');
  const next = openHealthWatch(w.needs, () => {});
  next.recall(again);
  assert.deepEqual(healthOf(again), healthOf(one));
  next.follow(again);
  await w.fire();
  assert.equal(healthOf(again).Status, 'unhealthy');
  w.notes.set('one', 'half of');
  next.recall(again);
  assert.equal(healthOf(again).FailingStreak, 3, 'what cannot be read does not matter');
  await next.close();
});

test('whatever fails is a failed check, never the end of the checks', async () => {
  const w = world();
  const watch = openHealthWatch(w.needs, () => {});
  const one = container('one', { Retries: 9 });
  watch.follow(one);
  w.exec = async () => { throw new Error('crun is on holiday'); };
  await w.fire();
  assert.deepEqual([healthOf(one).Log?.[0]?.ExitCode, healthOf(one).Log?.[0]?.Output], [-1, 'crun is on holiday']);
  w.exec = async () => 0;
  w.full = true;
  await w.fire();
  w.full = false;
  await w.fire();
  assert.equal(healthOf(one).Status, 'healthy', 'a note that could not be written was no reason to stop');
  await watch.close();
});
