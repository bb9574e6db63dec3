// Workers: what goes in, what comes out, and every way to end.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openWorkers } from './workers.ts';

const workers = openWorkers([process.execPath, '--no-warnings', join(import.meta.dirname, 'echo-worker.fixture.ts')]);

test('bytes go in with backpressure, lines come out, also when nobody read before the exit', async () => {
  const worker = workers.spawn('count');
  for (let n = 0; n < 64; n++) await worker.send(new Uint8Array(65536));
  worker.end();
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
  assert.deepEqual(await Array.fromAsync(worker.lines), [String(64 * 65536), 'bye']);
});

test('the last 4 KiB of stderr and the exit code are told; sending to it is refused', async () => {
  const worker = workers.spawn('fail');
  const { code, stderr } = await worker.exited;
  assert.deepEqual([code, stderr.length, stderr.slice(-7)], [3, 4096, 'the end']);
  await assert.rejects(async () => { for (let n = 0; n < 64; n++) await worker.send(new Uint8Array(65536)); }, /worker fail .* gone/);
  assert.deepEqual(await Array.fromAsync(worker.lines), []);
});

test('a killed worker fails the send that waits for it', async () => {
  const worker = workers.spawn('hang');
  const first = await worker.lines[Symbol.asyncIterator]().next();
  assert.equal(first.value, 'ready');
  const flood = assert.rejects(async () => { for (let n = 0; n < 64; n++) await worker.send(new Uint8Array(65536)); }, /gone/);
  worker.kill();
  await flood;
  assert.equal((await worker.exited).signal, 'SIGKILL');
  worker.kill();
  worker.end();
});

test('the heap of a worker has the limit it is given: one that wants more ends, and says of what', async () => {
  const small = workers.spawn('heap', { heapBytes: 40 << 20 });
  const { signal, stderr } = await small.exited;
  assert.equal(signal, 'SIGABRT');
  assert.match(stderr, /JavaScript heap out of memory|--- Last few GCs/);
  const large = workers.spawn('heap', { heapBytes: 400 << 20 });
  assert.equal((await large.exited).code, 0);
});

test('an executable that is not there is an error at once', () => {
  assert.throws(() => openWorkers(['/nowhere/vaquita']).spawn('extract'), /spawn worker extract \(\/nowhere\/vaquita could not be started\)/);
});
