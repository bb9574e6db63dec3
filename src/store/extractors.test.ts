import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { kernel as real, pieces } from '../../test/kit/extract.ts';
import { until } from '../../test/kit/poll.ts';
import { openTempRoot } from '../../test/kit/temp.ts';
import { tarBytes } from '../archive/tar-write.ts';
import { openLinux, type Worker } from '../kernel/index.ts';
import { EngineError, kindOf } from '../lib/errors.ts';
import { silentLog } from '../lib/log.ts';
import { openExtractors } from './extractors.ts';

const temp = openTempRoot();
after(() => temp[Symbol.asyncDispose]());
let count = 0;
const place = () => { const at = join(temp.path, `x${count++}`); mkdirSync(join(at, 'diff'), { recursive: true }); return { into: join(at, 'diff'), tarSplitPath: join(at, 'split'), compression: 'none' as const }; };
const layer = tarBytes([{ name: 'file', type: 'file', mode: 0o644, content: 'x'.repeat(3 << 20) }]);

/** Extractors whose workers are counted. */
function counted(limit: number, idleMs = 60_000) {
  const spawned: Worker[] = [];
  const workers = { spawn: (role: string) => { const worker = real.workers.spawn(role); spawned.push(worker); return worker; } };
  const extractors = openExtractors({ kernel: { workers }, log: silentLog, limit, idleMs });
  return { spawned, extractors, alive: () => spawned.filter(({ pid }) => existsSync(`/proc/${pid}`)).length, [Symbol.asyncDispose]: () => extractors.close() };
}

test('one worker serves layer after layer, at most `limit` at once, and goes when idle', async () => {
  await using kit = counted(2, 300);
  await kit.extractors.extract({ ...place(), source: pieces(layer) });
  await kit.extractors.extract({ ...place(), source: pieces(layer) });
  assert.equal(kit.spawned.length, 1);
  await Promise.all([1, 2, 3, 4].map(() => kit.extractors.extract({ ...place(), source: pieces(layer) })));
  assert.equal(kit.spawned.length, 2);
  await until('idle workers to end', () => kit.alive() === 0);
  await kit.extractors.extract({ ...place(), source: pieces(layer) });
  assert.equal(kit.spawned.length, 3, 'started again on demand');
});

test('the source\'s own error is the answer, and the next layer is fine', async () => {
  await using kit = counted(1);
  const reason = new EngineError('unavailable', 'the network is gone');
  async function* broken() { yield layer.subarray(0, 100_000); throw reason; }
  await assert.rejects(kit.extractors.extract({ ...place(), source: broken() }), (error) => error === reason);
  assert.equal(kit.alive(), 0, 'nothing writes any more');
  await kit.extractors.extract({ ...place(), source: pieces(layer) });
});

test('the signal ends it, also while the source hangs, and also before it begins', async () => {
  await using kit = counted(1);
  const stop = new AbortController();
  async function* hanging() { yield layer.subarray(0, 100_000); await new Promise(() => {}); }
  const at = place();
  const running = kit.extractors.extract({ ...at, source: hanging(), signal: stop.signal });
  await until('the file to be begun', () => existsSync(join(at.into, 'file')));
  const waiting = kit.extractors.extract({ ...place(), source: pieces(layer), signal: stop.signal });
  const reason = new Error('enough');
  const both = Promise.all([running, waiting].map((one) => assert.rejects(one, (error) => error === reason)));
  stop.abort(reason);
  await both;
  assert.equal(kit.alive(), 0);
  await assert.rejects(kit.extractors.extract({ ...place(), source: pieces(layer), signal: stop.signal }), (error) => error === reason);
  await kit.extractors.extract({ ...place(), source: pieces(layer) });
});

test('a worker that dies is a system error with its last words', async () => {
  await using kit = counted(1);
  async function* deadly() { yield layer.subarray(0, 100_000); process.kill(kit.spawned[0]?.pid ?? 0, 'SIGKILL'); yield* pieces(layer.subarray(100_000)); }
  await assert.rejects(kit.extractors.extract({ ...place(), source: deadly() }), (error: unknown) => kindOf(error) === 'system' && /ended by SIGKILL/.test(String(error)));
  const speaking = openLinux({ selfCommand: ['/bin/sh', '-c', 'echo "I am broken" >&2; exit 7'] });
  const extractors = openExtractors({ kernel: speaking, log: silentLog, limit: 1, idleMs: 1000 });
  await assert.rejects(extractors.extract({ ...place(), source: pieces(layer) }), /ended with code 7: I am broken/);
  await extractors.close();
});

test('a refused layer lets its source go and keeps the worker', async () => {
  await using kit = counted(1);
  let pulled = 0, released = false;
  async function* endless() { try { for (;;) { pulled++; yield Buffer.alloc(65536, 'no tar'); } } finally { released = true; } }
  await assert.rejects(kit.extractors.extract({ ...place(), source: endless() }), (error) => kindOf(error) === 'corrupt');
  await until('the source to be let go', () => released);
  assert.ok(pulled < 100, `${pulled} chunks were pulled`);
  await kit.extractors.extract({ ...place(), source: pieces(layer) });
  assert.equal(kit.spawned.length, 1);
});

test('a source is pulled no faster than the worker takes it', async () => {
  // A worker that never reads: what is pulled is what the queue and the pipe hold.
  const stuck = openLinux({ selfCommand: ['/bin/sh', '-c', 'exec sleep 60'] });
  const extractors = openExtractors({ kernel: stuck, log: silentLog, limit: 1, idleMs: 1000 });
  const stop = new AbortController();
  let pulled = 0;
  async function* endless() { for (;;) { pulled += 65536; yield Buffer.alloc(65536); } }
  const running = extractors.extract({ ...place(), source: endless(), signal: stop.signal });
  let last = -1;
  await until('the pulling to stop', () => { const same = pulled === last && pulled > 0; last = pulled; return same; });
  assert.ok(pulled <= 3 << 20, `${pulled} bytes were pulled`);
  stop.abort(new Error('done'));
  await assert.rejects(running, /done/);
  await extractors.close();
});

test('closing waits for work and leaves no process', async () => {
  const kit = counted(1);
  const at = place();
  const running = kit.extractors.extract({ ...at, source: pieces(layer) });
  await until('work to begin', () => kit.spawned.length === 1);
  await kit.extractors.close();
  assert.equal((await running).entries, 1);
  assert.equal(readFileSync(join(at.into, 'file')).length, 3 << 20);
  assert.equal(kit.alive(), 0);
  await assert.rejects(kit.extractors.extract({ ...place(), source: pieces(layer) }), (error) => kindOf(error) === 'unavailable');
});
