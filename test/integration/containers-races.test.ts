// Verbs that meet each other on one container, and restart policies: one outcome, no residue.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openBench, type Bench } from '../kit/engine.ts';
import { leaksOf } from '../kit/leaks.ts';
import { until } from '../kit/poll.ts';

let bench: Bench;
before(async () => { bench = await openBench(); });
after(async () => { await bench[Symbol.asyncDispose](); });

const post = async (id: string, verb: string) => (await bench.api('POST', `/containers/${id}/${verb}`)).status;
const remove = async (id: string, query = '?force=1') => (await bench.api('DELETE', `/containers/${id}${query}`)).status;
const exists = async (id: string) => (await bench.api('GET', `/containers/${id}/json`)).status === 200;
const sorted = (statuses: readonly number[]) => [...statuses].sort((a, b) => a - b);

/** Nothing of the container in the kernel or on disk. */
async function assertGone(id: string): Promise<void> {
  assert.equal(await exists(id), false);
  const left = () => [...leaksOf(bench.path).filter((leak) => leak.includes(id)), ...['containers', 'image/overlay2/layerdb/mounts'].flatMap((place) => readdirSync(join(bench.daemon.dataRoot, place))).filter((name) => name === id),
    ...['tasks', 'crun', 'exits'].flatMap((place) => readdirSync(join(bench.daemon.execRoot, place))).filter((name) => name === id)];
  await until('nothing to be left', () => left().length === 0).catch((cause: unknown) => { throw new Error(left().join('\n'), { cause }); });
}

test('two starts at once: one starts it, the other finds it started', async () => {
  for (let round = 0; round < 5; round++) {
    const id = await bench.create(['sleep', '1000']);
    assert.deepEqual(sorted(await Promise.all([post(id, 'start'), post(id, 'start'), post(id, 'start')])), [204, 304, 304]);
    assert.deepEqual(sorted(await Promise.all([post(id, 'stop?t=0'), post(id, 'stop?t=0')])).at(0), 204);
    assert.equal((await bench.inspect(id)).State.Status, 'exited');
    await bench.remove(id);
  }
});

test('a removal by force wins against a start under way, at whatever moment it comes', async () => {
  for (let delay = 0; delay < 60; delay += 5) {
    const id = await bench.create(['sleep', '1000']);
    const started = post(id, 'start');
    await new Promise((resolve) => { setTimeout(resolve, delay); });
    const [start, removal] = await Promise.all([started, remove(id)]);
    assert.ok([204, 404, 409].includes(start), `start: ${start}`);
    assert.equal(removal, 204, `after ${delay} ms`);
    await assertGone(id);
  }
});

test('a removal without force and a start: one of them wins', async () => {
  for (let round = 0; round < 6; round++) {
    const id = await bench.create(['sleep', '1000']);
    const [start, removal] = await Promise.all([post(id, 'start'), remove(id, '')]);
    assert.ok((start === 204 && removal === 409) || ([404, 409].includes(start) && removal === 204), `${start} ${removal}`);
    if (start === 204) await bench.remove(id);
    await assertGone(id);
  }
});

test('one name, ten creates at once: one has it, nine are told who, and nothing of them is left', async () => {
  const layers = () => readdirSync(join(bench.daemon.dataRoot, 'overlay2')).length;
  const before = layers();
  const answers = await Promise.all(Array.from({ length: 10 }, () => bench.api('POST', '/containers/create?name=wanted', { body: { Image: bench.image, Cmd: ['true'] } })));
  assert.deepEqual(sorted(answers.map(({ status }) => status)), [201, ...Array.from({ length: 9 }, () => 409)]);
  const winner = answers.find(({ status }) => status === 201)?.json<{ Id: string }>().Id ?? '';
  for (const { status, text } of answers) if (status === 409) assert.match(text, new RegExp(`The container name \\\\"/wanted\\\\" is already in use by container \\\\"${winner}`));
  assert.equal(layers(), before + 2);
  await bench.remove(winner);
  assert.equal(layers(), before);
  assert.equal((await bench.api('POST', '/containers/create?name=wanted', { status: 201, body: { Image: bench.image, Cmd: ['true'] } })).status, 201);
  await bench.remove('wanted');
});

test('a kill cuts a stop short, and a stop answers when the exit is on record', async () => {
  const id = await bench.run(['sleep', '1000']); // as PID 1 it ignores SIGTERM
  const events = await bench.events();
  const begun = Date.now();
  const stopped = post(id, 'stop?t=60');
  await events.sees('kill', id); // SIGTERM
  events.leave();
  assert.equal(await post(id, 'kill'), 204);
  assert.equal(await stopped, 204);
  assert.ok(Date.now() - begun < 40_000, 'the 60 s were not waited for');
  assert.deepEqual([(await bench.inspect(id)).State.Status, (await bench.inspect(id)).State.ExitCode], ['exited', 137]);
  assert.deepEqual([await post(id, 'stop'), await post(id, 'kill'), await post(id, 'pause'), await post(id, 'unpause')], [304, 409, 409, 500]);
  await bench.remove(id);
});

test('a paused container is stopped, killed and removed like any other', async () => {
  for (const end of [(id: string) => post(id, 'stop?t=1'), (id: string) => post(id, 'kill'), remove]) {
    const id = await bench.run(['sleep', '1000']);
    assert.deepEqual([await post(id, 'pause'), await post(id, 'pause'), await post(id, 'start'), await remove(id, '')], [204, 409, 409, 409]);
    assert.equal(await end(id), 204);
    if (await exists(id)) {
      assert.deepEqual([(await bench.inspect(id)).State.Status, (await bench.inspect(id)).State.ExitCode], ['exited', 137]);
      await bench.remove(id);
    }
    await assertGone(id);
  }
});

test('verbs in any mix at once end in a state that inspect and the kernel agree on', async () => {
  const id = await bench.create(['sh', '-c', 'trap "exit 0" TERM; while true; do usleep 10000; done']);
  const verbs = ['start', 'stop?t=1', 'restart?t=1', 'kill', 'pause', 'unpause', 'start', 'stop?t=0', 'restart?t=0', 'start', 'kill?signal=TERM', 'unpause'];
  for (let round = 0; round < 4; round++) {
    const statuses = await Promise.all(verbs.map((verb) => post(id, verb)));
    assert.ok(statuses.every((status, at) => [204, 304, 409, ...(verbs[at] === 'unpause' ? [500] : [])].includes(status)), `${statuses.join(' ')}\n${bench.daemon.log().slice(-2000)}`);
  }
  await post(id, 'unpause');
  await post(id, 'stop?t=0');
  assert.equal((await bench.inspect(id)).State.Status, 'exited');
  await bench.start(id);
  await bench.remove(id);
  await assertGone(id);
});

test('on-failure:2 is tried twice more, with a wait that grows; a start by hand begins anew', async () => {
  const events = await bench.events();
  const id = await bench.run(['sh', '-c', 'exit 3'], { host: { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 } } });
  const dies = (count: number) => until(`${count} ends`, () => { const all = events.lines().filter((line) => line.Actor.ID === id && line.Action === 'die'); return all.length >= count ? all : undefined; });
  const first = await dies(3);
  await until('it to rest', async () => (await bench.inspect(id)).State.Status === 'exited');
  assert.deepEqual([(await bench.inspect(id)).RestartCount, (await bench.inspect(id)).State.ExitCode], [2, 3]);
  const starts = events.lines().filter((line) => line.Actor.ID === id && line.Action === 'start').map((line) => line.timeNano / 1e6);
  const waits = [1, 2].map((n) => (starts[n] ?? 0) - (first[n - 1]?.timeNano ?? 0) / 1e6);
  assert.ok((waits[0] ?? 0) >= 99 && (waits[1] ?? 0) >= 199, waits.join(' '));
  await bench.start(id);
  await dies(6);
  await until('it to rest', async () => (await bench.inspect(id)).State.Status === 'exited');
  assert.equal((await bench.inspect(id)).RestartCount, 2);
  assert.equal(events.actions(id).filter((action) => action === 'die').length, 6);
  events.leave();
  await bench.remove(id);
});

test('a stop during the back-off ends it, and whoever waits is told; a start finds it "running"', async () => {
  const events = await bench.events();
  const id = await bench.run(['sh', '-c', 'exit 4'], { host: { RestartPolicy: { Name: 'always' } } });
  await until('the wait of 400 ms after the third end', () => events.actions(id).filter((action) => action === 'die').length === 3);
  events.leave();
  const waiting = await bench.open('POST', `/containers/${id}/wait`);
  // Who comes too late finds it running and waits for the next pause, which is twice as long.
  await until('an attach during the wait', async () => {
    assert.equal(await post(id, 'start'), 304);
    const attached = await bench.hijack(`/containers/${id}/attach?stream=1&stdout=1`);
    attached.leave();
    return attached.status === 409;
  });
  assert.equal(await post(id, 'stop'), 204);
  await waiting.ended;
  assert.deepEqual(JSON.parse(waiting.text()), { StatusCode: 4 });
  const { State: state, RestartCount: count } = await bench.inspect(id);
  assert.deepEqual([state.Status, state.Restarting, state.Running], ['exited', false, false]);
  await new Promise((resolve) => { setTimeout(resolve, 900); });
  assert.equal((await bench.inspect(id)).RestartCount, count, 'it stays stopped');
  await bench.start(id);
  await until('it to fail again', async () => (await bench.inspect(id)).RestartCount >= 1);
  await bench.remove(id);
  await assertGone(id);
});

test('--rm and a restart policy exclude each other; a restart by hand keeps a container with --rm', async () => {
  const refused = await bench.api('POST', '/containers/create', { body: { Image: bench.image, Cmd: ['true'], HostConfig: { AutoRemove: true, RestartPolicy: { Name: 'always' } } } });
  assert.deepEqual([refused.status, /can't create 'AutoRemove' container with restart policy/.test(refused.text)], [400, true]);
  const id = await bench.run(['sleep', '1000'], { host: { AutoRemove: true } });
  const { Pid: pid } = (await bench.inspect(id)).State;
  assert.equal(await post(id, 'restart?t=0'), 204);
  assert.notEqual((await bench.inspect(id)).State.Pid, pid);
  assert.equal(await post(id, 'stop?t=0'), 204);
  await until('it to be gone', async () => !await exists(id));
  await assertGone(id);
});

test('the daemon may be stopped during a stop: the container is found as it is', async () => {
  const id = await bench.run(['sleep', '1000']);
  const events = await bench.events();
  const stopping = post(id, 'stop?t=60').catch(() => 0);
  await events.sees('kill', id); // SIGTERM
  bench.daemon.exited.catch(() => {});
  await bench.restart('kill', () => {});
  assert.equal(await stopping, 0);
  assert.equal((await bench.inspect(id)).State.Running, true);
  await bench.remove(id);
});

test('a restart keeps a container that is to be removed at its end; the end after it does not', async () => {
  const id = await bench.run(['sleep', '1000'], { host: { AutoRemove: true } });
  for (let n = 0; n < 3; n++) {
    await bench.api('POST', `/containers/${id}/restart?t=0`, { status: 204 });
    assert.equal((await bench.inspect(id)).State.Status, 'running');
  }
  await bench.api('POST', `/containers/${id}/stop?t=0`, { status: 204 });
  await until('it to be gone', async () => (await bench.api('GET', `/containers/${id}/json`)).status === 404);
});
