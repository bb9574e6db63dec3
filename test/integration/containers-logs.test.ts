// Logs of real containers: followed from a fast writer's start to its end, through a restart of the daemon, and after removal.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { openBench, unframed, type Bench } from '../kit/engine.ts';
import { until } from '../kit/poll.ts';

let bench: Bench;
before(async () => { bench = await openBench(); });
after(async () => { await bench[Symbol.asyncDispose](); });

const numbers = (count: number) => Array.from({ length: count }, (_none, n) => `${n + 1}\n`).join('');
const follow = (id: string, query = '') => bench.open('GET', `/containers/${id}/logs?follow=1&stdout=1&stderr=1${query}`);
const plain = (text: string) => text.split('\n');

test('following a fast writer from before its first word to its end loses nothing and ends with it', async () => {
  const LINES = 100_000;
  const id = await bench.create(['seq', '1', String(LINES)], { body: { Tty: false } });
  await bench.start(id);
  const followers = await Promise.all(Array.from({ length: 3 }, () => follow(id)));
  await Promise.all(followers.map((follower) => follower.ended));
  assert.equal(await bench.end(id), 0);
  for (const follower of followers) assert.ok(unframed(Buffer.from(follower.text(), 'utf8')) === numbers(LINES), 'all lines, in order, once');
  await bench.remove(id);
});

test('a container that never ran has an empty log, and following it ends at once', async () => {
  const id = await bench.create(['true']);
  assert.equal(await bench.logs(id), '');
  const follower = await follow(id);
  await follower.ended;
  assert.equal(follower.text(), '');
  assert.equal((await bench.api('GET', `/containers/${id}/logs`)).status, 400, 'no stream was chosen');
  await bench.remove(id);
  assert.equal((await bench.api('GET', `/containers/${id}/logs?stdout=1`)).status, 404);
});

test('tail, since, until, time stamps and streams choose what is shown', async () => {
  // Two pipes have no order between them: each line waits for its word, which comes when the one before stands in the log.
  const id = await bench.create(['sh', '-c', 'read x; echo one; read x; echo two >&2; read x; echo three; read x; echo four >&2; read x; printf unended'], { body: { OpenStdin: true, StdinOnce: true } });
  const typing = await bench.hijack(`/containers/${id}/attach?stream=1&stdin=1`);
  await bench.start(id);
  for (const word of ['one', 'two', 'three', 'four', 'unended']) {
    typing.write('go\n');
    await until(word, async () => (await bench.logs(id)).includes(word));
  }
  await bench.end(id);
  assert.equal((await bench.logs(id)).length, 'one\ntwo\nthree\nfour\nunended'.length);
  const out = await bench.api('GET', `/containers/${id}/logs?stdout=1`, { status: 200 });
  assert.equal(unframed(out.body), 'one\nthree\nunended');
  assert.equal(await bench.logs(id, '&tail=1'), 'unended');
  assert.equal(await bench.logs(id, '&tail=0'), '');
  const stamped = plain(await bench.logs(id, '&timestamps=1'));
  assert.ok(stamped.every((line) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /.test(line)), stamped.join('|'));
  const time = (word: string) => stamped.find((line) => line.endsWith(` ${word}`))?.split(' ')[0] ?? '';
  assert.deepEqual(plain(await bench.logs(id, `&since=${time('three')}`)).toSorted(), ['four', 'three', 'unended']);
  assert.deepEqual(plain(await bench.logs(id, `&until=${time('two')}`)), ['one', 'two', '']);
  const seconds = Math.floor(Date.parse((await bench.inspect(id)).State.StartedAt) / 1000);
  assert.equal((await bench.logs(id, `&since=${seconds + 3600}`)), '');
  assert.equal((await bench.logs(id, `&since=${seconds - 1}&until=${seconds + 3600}`)).length, 26);
  await bench.remove(id);
});

test('a follower with until ends while the program goes on', async () => {
  const id = await bench.run(['sh', '-c', 'while true; do echo tick; usleep 50000; done']);
  await until('the first tick', async () => (await bench.logs(id)) !== '');
  const soon = ((Date.now() + 400) / 1000).toFixed(3);
  const follower = await follow(id, `&until=${soon}`);
  await follower.ended;
  assert.equal(follower.failed, false);
  assert.equal((await bench.inspect(id)).State.Running, true);
  await bench.remove(id);
});

test('100 MB are told whole, while the engine stays small', async () => {
  const id = await bench.run(['sh', '-c', 'dd if=/dev/zero bs=1M count=100 2>/dev/null | tr "\\0" x | fold -w 1023']);
  const follower = await follow(id);
  let peakKb = 0;
  const looks = setInterval(() => { peakKb = Math.max(peakKb, rssKb()); }, 50);
  await follower.ended;
  clearInterval(looks);
  const text = unframed(Buffer.from(follower.text(), 'utf8'));
  assert.equal(text.replaceAll('\n', '').length, 100 * 1024 * 1024);
  assert.ok(peakKb < 112 * 1024, `the engine grew to ${peakKb} KiB`);
  await bench.remove(id);
});

test('a reader that reads late gets all of it, and holds up neither the program nor the engine', async () => {
  const id = await bench.run(['seq', '1', '200000']);
  const late = await follow(id);
  late.pause();
  assert.equal(await bench.end(id), 0);
  late.resume();
  await late.ended;
  assert.ok(unframed(Buffer.from(late.text())) === numbers(200_000));
  await bench.remove(id);
});

test('the log goes on through the death of the daemon, and a new follower finds all of it', async () => {
  const id = await bench.run(['sh', '-c', 'i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; usleep 10000; done']);
  const cut = await follow(id);
  await until('some lines', () => cut.text().includes('10\n'));
  await bench.restart('kill');
  await cut.ended;
  const whole = await follow(id);
  await whole.ended;
  assert.equal(unframed(Buffer.from(whole.text())), numbers(300));
  assert.equal(await bench.end(id), 0);
  await bench.remove(id);
});

test('a follower of a container that is removed ends', async () => {
  const id = await bench.run(['sh', '-c', 'echo here; sleep 1000']);
  const follower = await follow(id);
  await until('the line', () => follower.text().includes('here'));
  await bench.remove(id);
  await follower.ended;
  assert.equal(follower.failed, false);
});

test('with the log driver none there is nothing to read, and attached clients see all', async () => {
  const id = await bench.create(['echo', 'seen'], { host: { LogConfig: { Type: 'none', Config: {} } } });
  const client = await bench.hijack(`/containers/${id}/attach?stream=1&stdout=1`);
  await bench.start(id);
  await client.ended;
  assert.equal(client.stdout(), 'seen\n');
  const answer = await bench.api('GET', `/containers/${id}/logs?stdout=1`);
  assert.match(answer.text, /does not support reading/);
  await bench.remove(id);
});

function rssKb(): number {
  return Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${bench.daemon.pid}/status`, 'utf8'))?.[1] ?? 0);
}
