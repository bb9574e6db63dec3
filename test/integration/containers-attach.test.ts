// Clients on the stdio of a container: before its start and after, several at once, slow ones, leaving ones.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { openBench, type Bench } from '../kit/engine.ts';
import { until } from '../kit/poll.ts';

let bench: Bench;
before(async () => { bench = await openBench(); });
after(async () => { await bench[Symbol.asyncDispose](); });

const ALL = 'stream=1&stdin=1&stdout=1&stderr=1';
const attach = (id: string, query = ALL) => bench.hijack(`/containers/${id}/attach?${query}`);
const openFds = () => readdirSync(`/proc/${bench.daemon.pid}/fd`).length;

test('what is typed before the start arrives, and output comes long after the half-close', async () => {
  const id = await bench.create(['sh', '-c', 'cat; sleep 0.3; echo late; echo wrong >&2; exit 4'], { body: { OpenStdin: true, StdinOnce: true, AttachStdin: true } });
  const client = await attach(id);
  assert.deepEqual([client.status, /application\/vnd\.docker\.(multiplexed|raw)-stream/.test(client.head)], [101, true]);
  client.write('early\n');
  client.end();
  await bench.start(id);
  await client.ended;
  assert.deepEqual([client.stdout(), client.stderr(), await bench.end(id)], ['early\nlate\n', 'wrong\n', 4]);
  await bench.remove(id);
});

test('stdin that is not once stays open when a client half-closes, and the next one goes on typing', async () => {
  const id = await bench.run(['sh', '-c', 'while read line; do echo "got $line"; done; echo eof'], { body: { OpenStdin: true } });
  const first = await attach(id);
  first.write('one\n');
  await first.sees('got one');
  first.end();
  const second = await attach(id);
  second.write('two\n');
  await Promise.all([first.sees('got two'), second.sees('got two')]);
  assert.ok(!second.stdout().includes('eof'));
  first.leave();
  second.write('three\n');
  await second.sees('got three');
  await bench.remove(id);
  await second.ended;
});

test('stdin that is once ends with the client that typed, not with one that only looked', async () => {
  const id = await bench.create(['sh', '-c', 'while read line; do echo "got $line"; done; echo eof'], { body: { OpenStdin: true, StdinOnce: true } });
  const typing = await attach(id);
  await bench.start(id);
  const looking = await attach(id, 'stream=1&stdout=1&stderr=1');
  typing.write('one\n');
  await looking.sees('got one');
  looking.leave();
  const again = await attach(id, 'stream=1&stdout=1&stderr=1');
  again.end();
  typing.write('two\n');
  await Promise.all([typing.sees('got two'), again.sees('got two')]);
  assert.ok(!typing.stdout().includes('eof'), typing.stdout());
  typing.leave();
  await again.ended;
  assert.match(again.stdout(), /eof\n$/);
  assert.equal(await bench.end(id), 0);
  await bench.remove(id);
});

test('all clients see all of a fast output, the slow one too', async () => {
  const LINES = 200_000;
  const id = await bench.create(['seq', '1', String(LINES)]);
  const clients = await Promise.all([attach(id), attach(id), attach(id, 'stream=1&stdout=1'), attach(id)]);
  const slow = clients[3];
  slow?.socket.pause();
  await bench.start(id);
  await clients[0]?.sees('1\n');
  await new Promise((resolve) => { setTimeout(resolve, 300); }); // the time in which it reads nothing
  slow?.socket.resume();
  await Promise.all(clients.map((client) => client.ended));
  const wanted = Array.from({ length: LINES }, (_none, n) => `${n + 1}\n`).join('');
  for (const client of clients) assert.ok(client.stdout() === wanted, `${client.stdout().length} of ${wanted.length}`);
  await bench.remove(id);
});

test('stderr only, stdout only, and nothing at all', async () => {
  const id = await bench.create(['sh', '-c', 'echo out; echo err >&2']);
  const [out, err, none] = await Promise.all([attach(id, 'stream=1&stdout=1'), attach(id, 'stream=1&stderr=1'), attach(id, 'stream=1')]);
  await bench.start(id);
  await Promise.all([out.ended, err.ended, none.ended]);
  assert.deepEqual([out.stdout(), out.stderr(), err.stdout(), err.stderr(), none.raw().length], ['out\n', '', '', 'err\n', 0]);
  await bench.remove(id);
});

test('logs and stream together tell every line once, whenever the client comes', async () => {
  const LINES = 3000;
  const script = `i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo $i; [ $((i % 100)) = 0 ] && usleep 20000; done; read all_are_there`;
  const id = await bench.create(['sh', '-c', script], { body: { OpenStdin: true } });
  const wanted = Array.from({ length: LINES }, (_none, n) => `${n + 1}\n`).join('');
  const early = await attach(id, `logs=1&${ALL}`);
  await bench.start(id);
  const clients = [early];
  while (clients.length < 8) {
    clients.push(await attach(id, 'logs=1&stream=1&stdout=1&stderr=1'));
    await new Promise((resolve) => { setTimeout(resolve, 60); }); // so that each comes at another moment
  }
  early.write('\n');
  await Promise.all(clients.map((client) => client.ended));
  for (const client of clients) assert.equal(client.stdout(), wanted);
  const past = await attach(id, 'logs=1&stdout=1');
  await past.ended;
  assert.equal(past.stdout(), wanted);
  await bench.remove(id);
});

test('detach keys leave the program alone: the default, own ones, and none', async () => {
  const id = await bench.run(['sh', '-c', 'while read line; do echo "got $line"; done'], { body: { OpenStdin: true, StdinOnce: true, Tty: true } });
  const byDefault = await attach(id);
  byDefault.write('a\n');
  await byDefault.sees('got a');
  byDefault.write(new Uint8Array([0x10]));
  byDefault.write(new Uint8Array([0x11]));
  await byDefault.ended;
  const own = await attach(id, `${ALL}&detachKeys=x,ctrl-b`);
  own.write('b\n');
  await own.sees('got b');
  own.write('x\u0002');
  await own.ended;
  const last = await attach(id);
  last.write('c\n');
  await last.sees('got c');
  assert.equal((await bench.inspect(id)).State.Running, true);
  assert.equal((await attach(id, `${ALL}&detachKeys=ctrl-1`)).status, 400);
  await bench.remove(id);
  await last.ended;
});

test('a paused container and one that is gone cannot be attached to; one that has ended waits for its next run', async () => {
  const id = await bench.run(['sleep', '1000']);
  await bench.api('POST', `/containers/${id}/pause`, { status: 204 });
  const refused = await attach(id);
  assert.deepEqual([refused.status, /is paused, unpause the container before attach/.test(refused.raw().toString())], [409, true]);
  assert.equal((await attach('nothing')).status, 404);
  await bench.remove(id);
  const twice = await bench.run(['echo', 'again']);
  assert.equal(await bench.end(twice), 0);
  const waiting = await attach(twice);
  await bench.start(twice);
  await waiting.ended;
  assert.equal(waiting.stdout(), 'again\n');
  const forgotten = await attach(twice);
  await bench.remove(twice);
  await forgotten.ended;
});

test('attaching to a program that is just ending gives its output or nothing, never an error', async () => {
  for (let round = 0; round < 15; round++) {
    const id = await bench.run(['true']);
    const clients = await Promise.all([attach(id), attach(id)]);
    for (const client of clients) {
      assert.equal(client.status, 101, client.raw().toString());
      client.leave(); // it may have come after the end, and would wait for the next run
    }
    await bench.end(id);
    await bench.remove(id);
  }
});

test('clients that vanish before the start and during the run leave nothing in the engine', async () => {
  const waiting = await bench.create(['true']);
  const running = await bench.run(['sleep', '1000'], { body: { OpenStdin: true } });
  const warm = await attach(running);
  warm.leave();
  await until('the first to be forgotten', () => openFds() < 40);
  const before = openFds();
  for (let round = 0; round < 50; round++) {
    const [one, two, three] = await Promise.all([attach(waiting), attach(running), attach(waiting, 'logs=1&stream=1&stdout=1')]);
    if (round % 2 === 0) for (const each of [one, two, three]) each.end();
    one.leave();
    two.leave();
    three.leave();
  }
  await until('no more open files than before', () => openFds() <= before).catch((error: unknown) => { throw new Error(`${openFds()} instead of ${before}`, { cause: error }); });
  await bench.start(waiting);
  assert.equal(await bench.end(waiting), 0);
  await bench.remove(waiting, running);
});
