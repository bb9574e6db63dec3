// Logs in files: rotated, compressed, followed through it all, with labels and tags, across restarts of the daemon, and in a flood.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { openBench, unframed, type Bench } from '../kit/engine.ts';
import { until } from '../kit/poll.ts';

/** Waits before the first line and after each CHUNK of them until the next gate is open. */
const COUNTING = 'i=0; n=0; while [ $i -lt $LINES ]; do [ $((i%CHUNK)) = 0 ] && { while [ ! -e /gates/$n ]; do sleep 0.02; done; n=$((n+1)); }; echo line $i; i=$((i+1)); done';
const counting = (lines: number, chunk: number) => ({ Env: [`LINES=${lines}`, `CHUNK=${chunk}`] });

test('a log is rotated by size and count, compressed, and read and followed as one', async () => {
  await using bench = await openBench();
  const options = { 'max-size': '100k', 'max-file': '4', compress: 'true', labels: 'role', env: 'LINES', tag: '{{.Name}}' };
  const gates = gatesOf(bench);
  const id = await bench.create(['sh', '-c', COUNTING], { name: 'turned', body: { ...counting(12_000, 1850), Labels: { role: 'a b' } }, host: { Binds: [`${gates}:/gates`], LogConfig: { Type: 'json-file', Config: options } } });
  const following = bench.open('GET', `/containers/${id}/logs?stdout=1&follow=1`);
  await bench.start(id);
  await openGates(gates, { count: 7, log: join(folderOf(bench, id), 'container.log') });
  await bench.end(id);
  const folder = dirname((await bench.inspect(id)).LogPath);
  await until('all that is rotated to be compressed', () => sizesIn(folder).size === 4 && [...sizesIn(folder).keys()].every((name) => name === 'container.log' || name.endsWith('.gz')));
  assert.deepEqual([...sizesIn(folder).keys()].toSorted(), ['container.log', 'container.log.1.gz', 'container.log.2.gz', 'container.log.3.gz']);
  for (const [name, size] of sizesIn(folder)) assert.ok(size < 110_000, `${name}: ${size}`);

  const kept = numbersIn(await bench.logs(id));
  assert.equal(kept.at(-1), 11_999);
  assert.ok(kept.length > 3600 && kept.length < 12_000, `${kept.length} lines in three files and a bit`);
  assert.deepEqual(kept, range(12_000 - kept.length, 12_000), 'without a gap');
  assert.deepEqual(numbersIn(await bench.logs(id, '&tail=3000')), range(9000, 12_000));
  assert.equal((await bench.logs(id, '&tail=1&details=1')).trim(), 'LINES=12000,role=a+b,tag=turned line 11999');
  const followed = await following;
  await followed.ended; // it had not been started when that was asked
  assert.deepEqual((await bench.inspect(id)).HostConfig['LogConfig'], { Type: 'json-file', Config: options });
});

test('rotation goes on under the next daemon, and a follower misses nothing while files are kept', async () => {
  await using bench = await openBench({ config: { 'log-driver': 'local', 'log-opts': { 'max-size': '64k', 'max-file': '20', compress: 'false' } } });
  const gates = gatesOf(bench);
  const id = await bench.run(['sh', '-c', COUNTING], { body: counting(8000, 1300), host: { Binds: [`${gates}:/gates`] } });
  const { LogPath: path, HostConfig: host } = await bench.inspect(id);
  assert.deepEqual([path, host['LogConfig']], ['', { Type: 'local', Config: { 'max-size': '64k', 'max-file': '20', compress: 'false' } }]);
  await bench.restart('kill');
  const following = await bench.open('GET', `/containers/${id}/logs?stdout=1&follow=1`);
  await openGates(gates, { count: 7, log: join(folderOf(bench, id), 'container.log') });
  assert.equal(await bench.end(id), 0);
  await following.ended;
  assert.deepEqual(numbersIn(unframed(Buffer.from(following.text()))), range(0, 8000));
  assert.deepEqual(numbersIn(await bench.logs(id)), range(0, 8000));
  assert.equal(sizesIn(folderOf(bench, id)).size, 7, 'turned by the second daemon');
  assert.equal((await bench.api('GET', '/info')).json<{ LoggingDriver: string }>().LoggingDriver, 'local');
});

test('a program that writes as fast as it can keeps to its limit on disk, with a daemon and without', async () => {
  await using bench = await openBench();
  const host = { LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '3' } } };
  const [kept, single] = await Promise.all([bench.run(['sh', '-c', 'yes "a line of a flood"'], { host }), bench.run(['sh', '-c', 'yes "another flood"'], { host: { LogConfig: { Type: 'json-file', Config: { 'max-size': '1m' } } } })]);
  const bytes = (id: string) => [...sizesIn(folderOf(bench, id)).values()].reduce((sum, size) => sum + size, 0);
  const look = async (times: number) => {
    let most = { kept: 0, single: 0 };
    for (let n = 0; n < times; n++) {
      most = { kept: Math.max(most.kept, bytes(kept)), single: Math.max(most.single, bytes(single)) };
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    assert.ok(most.kept > 1_000_000 && most.kept < 8_000_000, `${most.kept} bytes in three files`);
    assert.ok(most.single < 1_100_000, `${most.single} bytes in one file`);
  };
  // Not for three: while the daemon starves, each is twice as long, and then two are all that may be kept.
  await until('a full file', () => sizesIn(folderOf(bench, kept)).has('container.log.1'));
  await look(20);
  assert.equal((await bench.logs(kept, '&tail=5')).split('\n').length, 6);
  await bench.restart('kill', () => look(10));
  await bench.remove(kept, single);
  assert.ok(residentBytes(bench.daemon.pid) < 150 << 20);
});

test('options are refused at the creation or at the start, as Docker refuses them', async () => {
  await using bench = await openBench();
  const create = async (type: string, config: Record<string, string>) => {
    const answer = await bench.api('POST', '/containers/create', { body: { Image: bench.image, Cmd: ['true'], HostConfig: { NetworkMode: 'none', LogConfig: { Type: type, Config: config } } } });
    return [answer.status, answer.json<{ message?: string }>().message];
  };
  assert.deepEqual(await create('fluentd', {}), [400, 'error looking up logging plugin fluentd: plugin "fluentd" not found']);
  assert.deepEqual(await create('json-file', { nosuch: '1' }), [400, "unknown log opt 'nosuch' for json-file log driver"]);
  for (const [type, config, words] of [
    ['json-file', { 'max-size': 'x' }, "invalid size: 'x'"], ['local', { 'max-file': '1' }, 'compression cannot be enabled when max file count is 1'],
    ['json-file', { tag: '{{.Nope}}' }, 'template: log-tag:1:2: executing "log-tag" at <.Nope>: can\'t evaluate field Nope in type *logger.Info'],
  ] as const) {
    const id = await bench.create(['true'], { host: { LogConfig: { Type: type, Config: config } } });
    const { status, text } = await bench.api('POST', `/containers/${id}/start`);
    assert.deepEqual([status, JSON.parse(text)], [500, { message: `failed to initialize logging driver: ${words}` }]);
    assert.deepEqual((await bench.api('GET', `/containers/${id}/logs?stdout=1`)).json<unknown>(), { message: words });
  }
  const none = await bench.run(['echo', 'unheard'], { host: { LogConfig: { Type: 'none', Config: {} } } });
  const { status, text } = await bench.api('GET', `/containers/${none}/logs?stdout=1`);
  assert.deepEqual([status, JSON.parse(text)], [501, { message: 'configured logging driver does not support reading' }]);
});

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, n) => from + n);
const numbersIn = (text: string): number[] => [...text.matchAll(/line (\d+)\n/g)].map(([, number]) => Number(number));
const folderOf = (bench: Bench, id: string): string => join(bench.daemon.dataRoot, 'containers', id);
const residentBytes = (pid: number): number => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

/** Of each file once, by its first name. */
function sizesIn(folder: string): Map<string, number> {
  const inodes = new Set<number>(), sizes = new Map<string, number>();
  for (const name of readdirSync(folder).filter((one) => one.startsWith('container.log')).toSorted()) {
    const found = statSync(join(folder, name), { throwIfNoEntry: false });
    if (!found || inodes.has(found.ino)) continue;
    inodes.add(found.ino);
    sizes.set(name, found.size);
  }
  return sizes;
}

function gatesOf(bench: Bench): string {
  const path = join(bench.path, 'gates');
  mkdirSync(path);
  return path;
}

/** Each behind the first once the chunk before it, which is more than a file may hold, has had the log turned: on a machine that is ever so busy no turn is missed. */
async function openGates(gates: string, { count, log }: { count: number; log: string }): Promise<void> {
  const newest = () => statSync(log, { throwIfNoEntry: false })?.ino;
  let before = await until('a log', newest);
  for (let n = 0; n < count; n++) {
    if (n > 0) before = await until(`turn ${n}`, () => { const now = newest(); return now !== before && now; });
    writeFileSync(join(gates, String(n)), '');
  }
}
