// Health checks from outside: their states, events and log; what is left of one that hangs; and what a restart of the daemon makes of them.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { HealthConfig } from '../../src/wire/types.ts';
import { openBench, type Bench, type Inspected, type Listening } from '../kit/engine.ts';
import { busyboxImage } from '../kit/image.ts';
import { processesOf } from '../kit/leaks.ts';
import { until } from '../kit/poll.ts';

let bench: Bench;
before(async () => { bench = await openBench(); });
after(async () => { await bench[Symbol.asyncDispose](); });

const MS = 1e6;
interface Result { Start: string; End: string; ExitCode: number; Output: string }
interface Health { Status: string; FailingStreak: number; Log: Result[] }

const checked = (script: string, more: HealthConfig = {}): HealthConfig => ({ Test: ['CMD-SHELL', script], Interval: 200 * MS, Timeout: 20_000 * MS, Retries: 2, ...more });
const run = (health: HealthConfig, more: { cmd?: readonly string[]; body?: Readonly<Record<string, unknown>>; host?: Readonly<Record<string, unknown>>; of?: Bench } = {}) =>
  (more.of ?? bench).run(more.cmd ?? ['sleep', '1000'], { body: { Healthcheck: health, ...more.body }, ...(more.host ? { host: more.host } : {}) });
const inspect = async (id: string, of = bench) => await of.inspect(id) as Inspected & { State: { Health?: Health } };
const health = async (id: string, of = bench) => (await inspect(id, of)).State.Health ?? { Status: 'none', FailingStreak: 0, Log: [] };
const turns = (id: string, status: string, of = bench) => until(`${id.slice(0, 12)} to be ${status}`, async () => { const now = await health(id, of); return now.Status === status ? now : undefined; });
const inside = async (id: string, ...Cmd: string[]) => {
  const exec = (await bench.api('POST', `/containers/${id}/exec`, { status: 201, body: { Cmd, AttachStdout: true } })).json<{ Id: string }>().Id;
  await (await bench.hijack(`/exec/${exec}/start`, {})).ended;
};
/** Command lines of what runs in a container. */
const programs = async (id: string) => (await bench.api('GET', `/containers/${id}/top?ps_args=-o%20pid,args`, { status: 200 })).json<{ Processes: string[][] | null }>().Processes?.map((fields) => fields[1] ?? '') ?? [];
const listed = async (filter: string) => (await bench.api('GET', `/containers/json?all=1&filters=${encodeURIComponent(JSON.stringify({ health: [filter] }))}`, { status: 200 })).json<Array<{ Id: string; Status: string }>>();
const told = (events: Listening, id: string) => events.actions(id).filter((action) => action.startsWith('health_status'));

test('starting, unhealthy after two failures, healthy after one success; told once each, and shown in lists', async () => {
  const events = await bench.events();
  const young = await run(checked('true', { Interval: 3_600_000 * MS }));
  assert.deepEqual(await health(young), { Status: 'starting', FailingStreak: 0, Log: [] });
  assert.match((await listed('starting')).find(({ Id }) => Id === young)?.Status ?? '', /^Up .* \(health: starting\)$/);
  const id = await run(checked('echo looking; test -e /tmp/ok'));
  const bad = await turns(id, 'unhealthy');
  assert.ok(bad.FailingStreak >= 2);
  assert.deepEqual([bad.Log[0]?.ExitCode, bad.Log[0]?.Output], [1, 'looking\n']);
  assert.match((await listed('unhealthy')).find(({ Id }) => Id === id)?.Status ?? '', /^Up .* \(unhealthy\)$/);
  await inside(id, 'touch', '/tmp/ok');
  await turns(id, 'healthy');
  assert.match((await listed('healthy')).find(({ Id }) => Id === id)?.Status ?? '', /^Up .* \(healthy\)$/);
  const full = await until('five results', async () => { const now = await health(id); return now.Log.length === 5 && now.Log.every(({ ExitCode }) => ExitCode === 0) ? now : undefined; });
  assert.equal(full.FailingStreak, 0);
  assert.ok(full.Log.every(({ Start, End }) => Start < End), JSON.stringify(full.Log));
  assert.deepEqual(told(events, id), ['health_status: unhealthy', 'health_status: healthy']);
  // Each check is an exec, as Docker tells it.
  const lines = events.lines().filter((line) => line.Actor.ID === id);
  const first = lines.find((line) => line.Action.startsWith('exec_create: /bin/sh -c echo looking'));
  const exec = first?.Actor.Attributes['execID'];
  assert.deepEqual(lines.filter((line) => line.Actor.Attributes['execID'] === exec).map((line) => [line.Action.split(':')[0], line.Actor.Attributes['exitCode']]), [['exec_create', undefined], ['exec_start', undefined], ['exec_die', '1']]);
  events.leave();
  await bench.remove(id, young);
});

test('the image says what is checked, and the container changes or ends it', async () => {
  const image = await bench.add(busyboxImage({ config: { Healthcheck: checked('exit 0', { Interval: 100 * MS }) } }), 'checked');
  const [as, off, other] = [await run({}, { body: { Image: image } }), await run({ Test: ['NONE'] }, { body: { Image: image } }), await run({ Test: ['CMD', 'false'], Retries: 1 }, { body: { Image: image } })];
  assert.deepEqual([(await turns(as, 'healthy')).FailingStreak, (await turns(other, 'unhealthy')).Log[0]?.ExitCode], [0, 1]);
  assert.deepEqual([(await inspect(off)).State.Health, (await listed('none')).some(({ Id }) => Id === off)], [undefined, true]);
  await bench.remove(as, off, other);
});

test('one that hangs is ended with all that it started, one that cannot run has failed, and a long output is cut', async () => {
  const hangs = await run(checked('echo begun; sleep 7777 & (sleep 7778 &); sleep 7779', { Timeout: 300 * MS, Retries: 1, Interval: 500 * MS }));
  // On a busy machine one may be over before its shell has said a word.
  const late = await until('one that had begun', async () => (await turns(hangs, 'unhealthy')).Log.find(({ Output }) => Output.includes('begun')));
  assert.deepEqual([late.ExitCode, late.Output], [-1, 'Health check exceeded timeout (300ms): begun\n']);
  await until('its programs to be gone', async () => (await programs(hangs)).every((line) => line === 'sleep 1000'));
  const missing = await run(checked('', { Test: ['CMD', '/no/such'], Retries: 1 }));
  const [failed] = (await turns(missing, 'unhealthy')).Log;
  assert.equal(failed?.ExitCode, -1);
  assert.match(failed?.Output ?? '', /exec: "\/no\/such": stat \/no\/such: no such file or directory/);
  const talks = await run(checked('head -c 5000 /dev/zero | tr "\\0" x'));
  const [long] = (await turns(talks, 'healthy')).Log;
  assert.equal(long?.Output, `${'x'.repeat(4096)}...`);
  await bench.remove(hangs, missing, talks);
  await until('no monitor of a check to be left', () => processesOf(join(bench.daemon.execRoot, 'execs')).length === 0);
});

test('paused or ended it is unhealthy without a word; what was found of the run before stays in the log', async () => {
  const events = await bench.events();
  const id = await run(checked('exit 0'));
  await turns(id, 'healthy');
  await bench.api('POST', `/containers/${id}/pause`, { status: 204 });
  assert.equal((await health(id)).Status, 'unhealthy');
  const { length } = (await health(id)).Log;
  await bench.api('POST', `/containers/${id}/unpause`, { status: 204 });
  await turns(id, 'healthy');
  await bench.api('POST', `/containers/${id}/stop?t=0`, { status: 204 });
  const after = await health(id);
  assert.deepEqual([after.Status, after.Log.length > length || after.Log.length === 5], ['unhealthy', true]);
  await bench.start(id);
  const begun = await health(id);
  assert.ok(begun.Status === 'healthy' || (begun.Status === 'starting' && begun.Log.length >= after.Log.length), JSON.stringify(begun));
  await turns(id, 'healthy');
  assert.deepEqual(told(events, id), ['health_status: healthy', 'health_status: healthy', 'health_status: healthy']);
  events.leave();
  await bench.remove(id);
});

test('what is known survives the daemon, and a check that was under way is ended', async () => {
  for (const how of ['stop', 'kill'] as const) {
    const known = await run(checked('echo seen; exit 1', { Interval: 3_600_000 * MS, StartPeriod: 3_600_000 * MS, StartInterval: 200 * MS, Retries: 5 }));
    const hanging = await run(checked('sleep 7777', { Timeout: 3_600_000 * MS, Interval: 100 * MS }));
    await until('five results', async () => (await health(known)).Log.length === 5);
    await until('the check to hang', async () => (await programs(hanging)).some((line) => line.includes('7777')));
    const pid = (await bench.inspect(hanging)).State.Pid;
    const startedAt = (await bench.inspect(hanging)).State.StartedAt;
    const before = await health(known);
    await bench.restart(how);
    const now = await health(known);
    assert.deepEqual([now.Status, now.FailingStreak], ['starting', 0]);
    assert.ok(now.Log.some(({ Start }) => before.Log.some((one) => one.Start === Start)), `${how}: the log is a new one`);
    assert.deepEqual([(await bench.inspect(hanging)).State.Pid, (await bench.inspect(hanging)).State.StartedAt], [pid, startedAt]);
    await until('at most one check to hang', async () => (await programs(hanging)).filter((line) => line.includes('7777')).length <= 1);
    await until('its checks to go on', async () => ((await health(known)).Log.at(-1)?.Start ?? '') > (now.Log.at(-1)?.Start ?? ''));
    await bench.remove(known, hanging);
    await until('nothing of any check to be left', () => readdirSync(join(bench.daemon.execRoot, 'execs')).length === 0);
  }
});

test('an unhealthy state survives the daemon without being told again', async () => {
  const id = await run(checked('exit 1', { Retries: 1, Interval: 300 * MS }));
  const { FailingStreak: streak } = await turns(id, 'unhealthy');
  await bench.restart('kill');
  const events = await bench.events();
  const now = await health(id);
  assert.ok(now.Status === 'unhealthy' && now.FailingStreak >= streak, JSON.stringify(now));
  await until('another failure', async () => (await health(id)).FailingStreak > now.FailingStreak);
  assert.deepEqual(told(events, id), []);
  events.leave();
  await bench.remove(id);
});

test('with --experimental an unhealthy container is restarted as its policy says', async () => {
  await using own = await openBench({ flags: ['--experimental'] });
  const events = await own.events();
  const ill = checked('exit 1', { Retries: 1, Interval: 300 * MS });
  const always = await run(ill, { of: own, host: { RestartPolicy: { Name: 'always' } }, body: { StopTimeout: 0 } });
  const once = await run(ill, { of: own, cmd: ['sh', '-c', 'trap "exit 0" TERM; while :; do usleep 20000; done'], host: { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 1 } } });
  const never = await run(ill, { of: own });
  await until('two restarts', async () => (await own.inspect(always)).RestartCount >= 2);
  await until('one restart', async () => (await own.inspect(once)).RestartCount === 1);
  await until('it to be unhealthy again', () => told(events, once).length >= 2);
  await turns(never, 'unhealthy', own);
  await events.sees('health_status: unhealthy', never);
  assert.deepEqual([(await own.inspect(never)).State.Running, (await own.inspect(never)).RestartCount, told(events, never).length], [true, 0, 1]);
  assert.deepEqual([(await own.inspect(once)).State.Running, (await own.inspect(once)).RestartCount], [true, 1], 'its retries are used up');
  assert.deepEqual(events.actions(once).filter((action) => !/^exec_|^health/.test(action)), ['create', 'start', 'kill', 'die', 'stop', 'start', 'restart']);
  assert.match(own.daemon.log(), /Unhealthy container [0-9a-f]{64}: restarting\.\.\./);
  await own.api('POST', `/containers/${always}/stop?t=0`, { status: 204 });
  const { RestartCount: count } = await own.inspect(always);
  for (const id of [once, never]) await until('it to be removed', async () => { await own.remove(id); return true; });
  assert.deepEqual([(await own.inspect(always)).State.Status, (await own.inspect(always)).RestartCount], ['exited', count], 'a stop by hand is the end of it');
  events.leave();
});
