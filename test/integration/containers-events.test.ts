// What is told of containers, in which order and with which words; and those who wait for their ends.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openBench, type Bench } from '../kit/engine.ts';
import { until } from '../kit/poll.ts';

let bench: Bench;
before(async () => { bench = await openBench(); });
after(async () => { await bench[Symbol.asyncDispose](); });

const post = (path: string) => bench.api('POST', path);

test('a life is told in order, once, with the fields of old clients', async () => {
  const listening = await bench.events();
  const id = await bench.create(['sh', '-c', 'trap "exit 9" USR1; echo up; sleep 1000 & wait'], { name: 'life', body: { Labels: { team: 'sea' }, OpenStdin: true } });
  const attached = await bench.hijack(`/containers/${id}/attach?stream=1&stdout=1&stderr=1`);
  await bench.start(id);
  await attached.sees('up'); // from here on it listens to the signal
  const exec = (await bench.api('POST', `/containers/${id}/exec`, { status: 201, body: { Cmd: ['sh', '-c', 'exit 3'] } })).json<{ Id: string }>().Id;
  await bench.api('POST', `/exec/${exec}/start`, { status: 200, body: { Detach: true } });
  await listening.sees('exec_die', id);
  await bench.api('POST', `/containers/${id}/pause`, { status: 204 });
  await bench.api('POST', `/containers/${id}/unpause`, { status: 204 });
  await bench.api('POST', `/containers/${id}/rename?name=after`, { status: 204 });
  await bench.api('POST', `/containers/${id}/kill?signal=SIGUSR1`, { status: 204 });
  await listening.sees('die', id);
  await bench.start(id);
  await bench.api('POST', `/containers/${id}/restart?t=0`, { status: 204 });
  await bench.api('POST', `/containers/${id}/stop?t=0`, { status: 204 });
  await bench.remove(id);
  await listening.sees('destroy', id);
  await attached.ended;
  assert.deepEqual(listening.actions(id), [
    'create', 'attach', 'start', 'exec_create: sh -c exit 3', 'exec_start: sh -c exit 3', 'exec_die', 'pause', 'unpause', 'rename', 'kill', 'die',
    'start', 'kill', 'kill', 'die', 'stop', 'start', 'restart', 'kill', 'kill', 'die', 'stop', 'destroy',
  ]);
  const lines = listening.lines().filter((line) => line.Actor.ID === id);
  assert.ok(lines.every((line) => line.status === line.Action && line.id === id && line.from === bench.image && line.Type === 'container' && line.scope === 'local'));
  assert.ok(lines.every((line) => line.Actor.Attributes['team'] === 'sea' && line.Actor.Attributes['image'] === bench.image));
  assert.ok(lines.every((line) => line.time === Math.floor(line.timeNano / 1e9)));
  const attributes = (action: string) => lines.find((line) => line.Action === action)?.Actor.Attributes;
  assert.deepEqual([attributes('rename')?.['oldName'], attributes('rename')?.['name']], ['/life', 'after']);
  assert.deepEqual([attributes('kill')?.['signal'], attributes('die')?.['exitCode'], attributes('exec_die')?.['exitCode'], attributes('exec_die')?.['execID']], ['10', '9', '3', exec]);
  const times = lines.map((line) => line.timeNano);
  assert.deepEqual(times, times.toSorted((a, b) => a - b));
  listening.leave();
});

test('the past is told from since to until, and two listeners hear the same', async () => {
  const one = await bench.events();
  const id = await bench.run(['true'], { name: 'past' });
  await bench.end(id);
  await one.sees('die', id);
  const [created, died] = ['create', 'die'].map((action) => one.lines().find((line) => line.Action === action && line.Actor.ID === id));
  const stamp = (nanos: number | undefined, add = 0) => { const all = String(Math.round((nanos ?? 0) + add)); return `${all.slice(0, -9)}.${all.slice(-9)}`; };
  // JSON numbers hold nanoseconds to a quarter of a microsecond only.
  const past = await bench.events(`?since=${stamp(created?.timeNano, -1e4)}&until=${stamp(died?.timeNano, 1e4)}`);
  await past.ended;
  assert.deepEqual(past.actions(id), ['create', 'start', 'die']);
  const since = await bench.events(`?since=${stamp(died?.timeNano, -1e4)}&filters=${encodeURIComponent(JSON.stringify({ container: ['past'], event: ['die', 'destroy'] }))}`);
  await since.sees('die', id);
  await bench.remove(id);
  await Promise.all([one.sees('destroy', id), since.sees('destroy', id)]);
  assert.deepEqual(since.lines().map((line) => line.Action), ['die', 'destroy']);
  assert.equal((await bench.api('GET', '/events?filters=%7B%22nope%22%3A%5B%22x%22%5D%7D')).status, 400);
  one.leave();
  since.leave();
});

test('a listener that reads nothing holds nobody up, and is cut off or served whole, never with a hole', async () => {
  const slow = await bench.events();
  slow.pause();
  const quick = await bench.events();
  const id = await bench.create(['true'], { name: 'noise-0' });
  const ROUNDS = 400;
  for (let n = 1; n <= ROUNDS; n++) assert.equal((await post(`/containers/${id}/rename?name=noise-${n}`)).status, 204);
  await until('the quick one to have all', () => quick.actions(id).length === ROUNDS + 1);
  slow.resume();
  await until('the slow one to have all', () => slow.actions(id).length === ROUNDS + 1);
  assert.deepEqual(slow.lines().map((line) => line.timeNano), quick.lines().map((line) => line.timeNano).slice(-slow.lines().length));
  const before = (await bench.api('GET', '/info')).json<{ NEventsListener: number }>().NEventsListener;
  slow.leave();
  quick.leave();
  await until('both to be forgotten', async () => (await bench.api('GET', '/info')).json<{ NEventsListener: number }>().NEventsListener === before - 2);
  await bench.remove(id);
});

test('wait sends its head at once and answers with the end it was registered for', async () => {
  const id = await bench.create(['sh', '-c', 'cat; exit 7'], { body: { OpenStdin: true, StdinOnce: true } });
  const typing = await bench.hijack(`/containers/${id}/attach?stream=1&stdin=1`);
  const next = await bench.open('POST', `/containers/${id}/wait?condition=next-exit`);
  const removed = await bench.open('POST', `/containers/${id}/wait?condition=removed`);
  const now = await bench.open('POST', `/containers/${id}/wait`);
  await now.ended;
  assert.deepEqual(JSON.parse(now.text()), { StatusCode: 0 }, 'it does not run yet');
  assert.deepEqual([next.status, next.text(), removed.text()], [200, '', '']);
  await bench.start(id);
  const running = await bench.open('POST', `/containers/${id}/wait?condition=not-running`);
  assert.equal(running.text(), '');
  typing.end();
  await Promise.all([next.ended, running.ended]);
  assert.deepEqual([JSON.parse(next.text()), JSON.parse(running.text())], [{ StatusCode: 7 }, { StatusCode: 7 }]);
  assert.equal(removed.text(), '');
  await bench.remove(id);
  await removed.ended;
  assert.deepEqual(JSON.parse(removed.text()), { StatusCode: 7 });
  assert.equal((await post(`/containers/${id}/wait`)).status, 404);
  assert.equal((await post(`/containers/${id}/wait?condition=soon`)).status, 400);
});

test('waits end when the container is removed, when it removes itself, and for a start that failed', async () => {
  const created = await bench.create(['true']);
  const never = await bench.open('POST', `/containers/${created}/wait?condition=next-exit`);
  await bench.remove(created);
  await never.ended;
  assert.deepEqual(JSON.parse(never.text()), { StatusCode: 0 });

  const vanishing = await bench.create(['sh', '-c', 'exit 5'], { host: { AutoRemove: true } });
  const gone = await bench.open('POST', `/containers/${vanishing}/wait?condition=removed`);
  await bench.start(vanishing);
  await gone.ended;
  assert.deepEqual(JSON.parse(gone.text()), { StatusCode: 5 });
  assert.equal((await bench.api('GET', `/containers/${vanishing}/json`)).status, 404);

  const failing = await bench.create(['/no/such/program']);
  const failed = await bench.open('POST', `/containers/${failing}/wait?condition=next-exit`);
  assert.equal((await post(`/containers/${failing}/start`)).status, 400);
  await failed.ended;
  const said = JSON.parse(failed.text()) as { StatusCode: number; Error?: { Message: string } };
  assert.equal(said.StatusCode, 127);
  assert.match(said.Error?.Message ?? '', /no such file or directory/);
  await bench.remove(failing);
});

test('a client that leaves its wait is forgotten, and so are a hundred', async () => {
  const id = await bench.run(['sleep', '1000']);
  for (let round = 0; round < 100; round++) (await bench.open('POST', `/containers/${id}/wait`)).leave();
  const last = await bench.open('POST', `/containers/${id}/wait`);
  await bench.api('POST', `/containers/${id}/kill`, { status: 204 });
  await last.ended;
  assert.deepEqual(JSON.parse(last.text()), { StatusCode: 137 });
  assert.doesNotMatch(bench.daemon.log(), /MaxListeners|"level":"error"/);
  await bench.remove(id);
});
