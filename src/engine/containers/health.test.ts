// What is checked when, and what the results come to.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatNanos } from '../../lib/clock.ts';
import type { Health } from '../../wire/types.ts';
import { beginHealth, CutOutput, decidePlan, judge, nextCheckMs, parseHealth, restHealth, timeoutWords, type Plan } from './health.ts';

const SECOND_NS = 1_000_000_000;
const at = (seconds: number) => formatNanos(BigInt(Math.round(seconds * 1000)) * 1_000_000n);
const result = (ExitCode: number, seconds = 0) => ({ Start: at(seconds), End: at(seconds), ExitCode, Output: '' });
const PLAN: Plan = { argv: ['true'], intervalMs: 30_000, timeoutMs: 30_000, startPeriodMs: 0, startIntervalMs: 5000, retries: 3 };
const plan = (changes: Partial<Plan>): Plan => ({ ...PLAN, ...changes });

test('what is run: nothing, a program, or a line for the shell, with the defaults that Docker documents', () => {
  for (const Test of [undefined, [], ['NONE'], ['BAD', 'x']]) assert.equal(decidePlan({ Healthcheck: Test ? { Test } : {} }), undefined);
  assert.equal(decidePlan({}), undefined);
  assert.deepEqual(decidePlan({ Healthcheck: { Test: ['CMD', 'test', '-e', '/x'] } }), plan({ argv: ['test', '-e', '/x'] }));
  assert.deepEqual(decidePlan({ Healthcheck: { Test: ['CMD-SHELL', 'a && b'] } })?.argv, ['/bin/sh', '-c', 'a && b']);
  assert.deepEqual(decidePlan({ Healthcheck: { Test: ['CMD-SHELL', 'a'] }, Shell: ['/bin/bash', '-ec'] })?.argv, ['/bin/bash', '-ec', 'a']);
  const all = { Test: ['CMD', 'x'], Interval: SECOND_NS, Timeout: 2 * SECOND_NS, StartPeriod: 3 * SECOND_NS, StartInterval: 4 * SECOND_NS, Retries: 5 };
  assert.deepEqual(decidePlan({ Healthcheck: all }), { argv: ['x'], intervalMs: 1000, timeoutMs: 2000, startPeriodMs: 3000, startIntervalMs: 4000, retries: 5 });
});

test('states: a table of codes', () => {
  for (const [codes, retries, status, streak] of [
    [[], 3, 'starting', 0], [[0], 3, 'healthy', 0], [[1], 3, 'starting', 1], [[1, 2], 3, 'starting', 2], [[1, -1, 7], 3, 'unhealthy', 3], [[1], 1, 'unhealthy', 1],
    [[0, 1, 1], 3, 'healthy', 2], [[0, 1, 1, 1], 3, 'unhealthy', 3], [[1, 1, 1, 1], 3, 'unhealthy', 4], [[1, 1, 1, 0], 3, 'healthy', 0], [[1, 1, 0, 1, 1], 3, 'healthy', 2],
  ] as const) {
    const health = codes.reduce<Health>((so, code) => judge(so, result(code), { plan: plan({ retries }), startedAt: at(0) }), { Status: 'starting', FailingStreak: 0, Log: [] });
    assert.deepEqual([health.Status, health.FailingStreak, health.Log?.map(({ ExitCode }) => ExitCode)], [status, streak, codes.slice(-5)], codes.join());
  }
});

test('while it comes up a failure does not count, until it was well once', () => {
  const rules = { plan: plan({ startPeriodMs: 10_000, retries: 1 }), startedAt: at(100) };
  const one = judge({ Status: 'starting', FailingStreak: 0, Log: [] }, result(1, 109), rules);
  assert.deepEqual([one.Status, one.FailingStreak, one.Log?.length], ['starting', 0, 1]);
  assert.equal(judge(one, result(1, 110), rules).Status, 'unhealthy');
  assert.equal(judge(one, result(1, 99), rules).Status, 'unhealthy', 'the clock was set back');
  const well = judge(one, result(0, 101), rules);
  assert.equal(judge(well, result(1, 102), rules).Status, 'unhealthy');
});

test('the log keeps five', () => {
  let health: Health = { Status: 'starting', FailingStreak: 0, Log: [] };
  for (let n = 0; n < 12; n++) health = judge(health, result(n), { plan: PLAN, startedAt: at(0) });
  assert.deepEqual(health.Log?.map(({ ExitCode }) => ExitCode), [7, 8, 9, 10, 11]);
});

test('the next check: an interval after the last, whoever was the daemon then and whatever the clock says now', () => {
  const rules = { plan: plan({ startPeriodMs: 20_000 }), startedAt: at(1000) };
  const wait = (health: Partial<Health>, seconds: number) => nextCheckMs({ Status: 'healthy', FailingStreak: 0, Log: [], ...health }, { ...rules, nowMs: seconds * 1000 });
  assert.equal(wait({ Status: 'starting' }, 1000), 5000, 'more often while it comes up');
  assert.equal(wait({ Status: 'starting' }, 1021), 9000, 'its time to come up is over');
  assert.equal(wait({}, 1000), 30_000);
  assert.equal(wait({ Log: [result(0, 1040)] }, 1050), 20_000);
  assert.equal(wait({ Log: [result(0, 1040)] }, 1500), 0, 'long overdue');
  assert.equal(wait({ Log: [result(0, 1040)] }, 10), 30_000, 'the clock was set back');
  assert.equal(wait({ Log: [result(0, 900)] }, 1010), 20_000, 'the log is of the run before');
});

test('begin and rest', () => {
  const log = [result(0)];
  assert.deepEqual(beginHealth(PLAN, { Status: 'unhealthy', FailingStreak: 4, Log: log }), { Status: 'starting', FailingStreak: 0, Log: log });
  assert.deepEqual([beginHealth(PLAN, null), beginHealth(undefined, null)], [{ Status: 'starting', FailingStreak: 0, Log: [] }, null]);
  assert.deepEqual(restHealth({ Status: 'healthy', FailingStreak: 0, Log: log }), { Status: 'unhealthy', FailingStreak: 0, Log: log });
  assert.deepEqual([restHealth(null), restHealth(undefined)], [null, null]);
});

test('an output is cut at 4096 bytes and says so', () => {
  const output = new CutOutput();
  output.add(new TextEncoder().encode('x'.repeat(4000)));
  output.add(new TextEncoder().encode('y'.repeat(96)));
  assert.equal(output.text().length, 4096);
  output.add(new TextEncoder().encode('z'));
  assert.equal(output.text(), `${'x'.repeat(4000)}${'y'.repeat(96)}...`);
});

test('words', () => {
  assert.deepEqual([timeoutWords(90_500.25, ''), timeoutWords(300, 'half a')], ['Health check exceeded timeout (1m30.50025s)', 'Health check exceeded timeout (300ms): half a']);
});

test('only what was kept whole is believed', () => {
  const kept: Health = { Status: 'healthy', FailingStreak: 1, Log: [result(1)] };
  assert.deepEqual(parseHealth(JSON.stringify(kept)), kept);
  for (const text of ['', '{', 'null', '[]', '{"Status":"fine","FailingStreak":0,"Log":[]}', '{"Status":"healthy"}']) assert.equal(parseHealth(text), undefined, text);
});
