// The maker with real workers: what comes out, what a damaged layer does, and every way in which a job can end early.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { kernel as real, openExtractKit } from '../../test/kit/extract.ts';
import { until } from '../../test/kit/poll.ts';
import { openTempRoot } from '../../test/kit/temp.ts';
import { tarBytes } from '../archive/tar-write.ts';
import { joinViews, viewOf } from '../delta/bytes.ts';
import { openRsyncPatch } from '../delta/rsync/patch.ts';
import type { Worker } from '../kernel/index.ts';
import { kindOf } from '../lib/errors.ts';
import { openLog } from '../lib/log.ts';
import { digestOf } from '../oci/digest.ts';
import type { LayerFiles } from '../store/index.ts';
import { openMaker, type MakerLimits, type MakeWork } from './index.ts';

const temp = openTempRoot();
const kit = openExtractKit(temp.path);
after(async () => { await kit[Symbol.asyncDispose](); await temp[Symbol.asyncDispose](); });

const MIB = 1 << 20;
let count = 0;
const place = () => { const path = join(temp.path, `into-${count++}`); mkdirSync(path); return path; };

interface TestLayer extends LayerFiles { tar: Buffer }

async function layer(files: Readonly<Record<string, Uint8Array | string>>): Promise<TestLayer> {
  const tar = tarBytes(Object.entries(files).map(([name, content]) => ({ name, type: 'file', mode: 0o644, content })));
  const { into, tarSplitPath, diffId } = await kit.extract(tar);
  return { diffId, tarSplitPath, diffPath: into, tar };
}

/** A maker whose workers are seen, and stopped at once where a test wants to catch them. */
function opened({ limits, stopped = false }: { limits?: Partial<MakerLimits>; stopped?: boolean } = {}) {
  const spawned: Worker[] = [];
  const said: string[] = [];
  const workers = { spawn(role: string, how?: { heapBytes?: number }) {
    const worker = real.workers.spawn(role, how);
    if (stopped) process.kill(worker.pid, 'SIGSTOP');
    spawned.push(worker);
    return worker;
  } };
  const log = openLog((line) => said.push(line), { level: 'debug', now: () => Date.now() });
  const maker = openMaker({ kernel: { workers }, log, limits: { workers: 2, memoryBytes: 64 * MIB, ...limits } });
  const alive = () => spawned.filter(({ pid }) => existsSync(`/proc/${pid}`)).length;
  const peakBytes = () => Number(/"peakMemoryBytes":(\d+)/.exec(said.at(-1) ?? '')?.[1]);
  return { maker, spawned, alive, peakBytes, [Symbol.asyncDispose]: () => maker.close() };
}

const work = (base: readonly LayerFiles[], targets: readonly LayerFiles[], more: Partial<MakeWork> = {}): MakeWork => ({ format: 'balena', base, targets, into: place(), ...more });

const noise = randomBytes(3 * MIB);
const [lower, upper] = await Promise.all([layer({ lower: noise }), layer({ 'upper/a': 'a'.repeat(70_000), 'upper/b': noise.subarray(0, 200_000) })]);
const [changed, fresh] = await Promise.all([layer({ lower: Buffer.concat([noise.subarray(0, MIB), Buffer.from('in between'), noise.subarray(MIB)]) }), layer({ new: 'new' })]);

test('deltas of several layers in turn: each is what it says, leads to its target, and is told of to its end', async () => {
  await using kit = opened();
  const told: string[] = [];
  const into = place();
  const made = await kit.maker.make(work([lower, upper], [changed, fresh], {
    into, onFingerprint: (n, total) => told.push(`base ${n}/${total}`), onLayer: (index, n, total) => told.push(`${index} ${n}/${total}`),
  }));
  const baseBytes = lower.tar.length + upper.tar.length;
  const ends = [`base ${baseBytes}/${baseBytes}`, `0 ${changed.tar.length}/${changed.tar.length}`, `1 ${fresh.tar.length}/${fresh.tar.length}`];
  assert.deepEqual(told.filter((line) => ends.includes(line)), ends);
  for (const [n, target] of [changed, fresh].entries()) {
    const one = made[n];
    assert.ok(one);
    const bytes = readFileSync(one.path);
    assert.deepEqual({ ...one, path: '' }, { diffId: target.diffId, path: '', sizeBytes: bytes.length, digest: digestOf(bytes), targetBytes: target.tar.length, sources: [lower.diffId, upper.diffId] });
    assert.ok(applied(bytes, [lower, upper]).equals(target.tar));
  }
  assert.ok((made[0]?.sizeBytes ?? MIB) < 1000, `${made[0]?.sizeBytes} bytes for ten new ones`);
  assert.deepEqual(readdirSync(into).length, 2);
  assert.equal(kit.alive(), 0, 'its memory is given back');
  assert.ok(real.files.cachedBytes(join(lower.diffPath, 'lower')) <= 64 * 1024, 'what was read has left the page cache');
  assert.deepEqual(await kit.maker.make(work([lower], [])), []);
  assert.equal(kit.spawned.length, 1, 'nothing is started for nothing');
});

function applied(delta: Buffer, base: readonly TestLayer[]): Buffer {
  const pieces: Buffer[] = [];
  const decoder = openRsyncPatch(joinViews(base.map(({ tar }) => viewOf(tar))), (bytes, start, end) => { pieces.push(Buffer.from(bytes.subarray(start, end))); });
  decoder.write(delta, 0, delta.length);
  decoder.finish();
  return Buffer.concat(pieces);
}

test('a layer that is not what it was is named, and no delta is made of it', async () => {
  await using kit = opened();
  const damaged = await layer({ lower: noise });
  const path = join(damaged.diffPath, 'lower');
  const flipped = Buffer.from(noise);
  flipped.writeUInt8((flipped[2 * MIB] ?? 0) ^ 1, 2 * MIB);
  const refused = (files: readonly [LayerFiles, LayerFiles], pattern: RegExp) => assert.rejects(kit.maker.make(work([files[0]], [files[1]])), (error) => {
    assert.equal(kindOf(error), 'corrupt', String(error));
    assert.match(String(error), pattern);
    assert.ok(String(error).includes(damaged.diffId));
    return true;
  });
  writeFileSync(path, flipped);
  await refused([damaged, fresh], /is damaged: its files make up sha256:/);
  await refused([upper, damaged], /is damaged/);
  rmSync(path);
  await refused([damaged, fresh], /lower is missing/);
});

test('a signal ends the worker and is waited for, whether the job has begun or not; the next one is fine', async () => {
  await using kit = opened({ stopped: true, limits: { workers: 1 } });
  const [first, second] = [new AbortController(), new AbortController()];
  const running = kit.maker.make(work([lower], [changed], { signal: first.signal }));
  const waiting = kit.maker.make(work([lower], [changed], { signal: second.signal }));
  await until('the worker to be there', () => kit.spawned.length === 1);
  const reasons = [new Error('one'), new Error('two')];
  const both = Promise.all([[running, 0], [waiting, 1]].map(([one, n]) => assert.rejects(one as Promise<unknown>, (error) => error === reasons[n as number])));
  second.abort(reasons[1]);
  first.abort(reasons[0]);
  await both;
  assert.deepEqual([kit.spawned.length, kit.alive()], [1, 0]);
  const next = kit.maker.make(work([lower], [fresh]));
  await until('the next worker', () => kit.spawned.length === 2);
  process.kill(kit.spawned[1]?.pid ?? 0, 'SIGCONT');
  assert.equal((await next).length, 1);
});

test('it is nice, at most so many at once, and closing ends all', async () => {
  const kit = opened({ limits: { workers: 2 } });
  const jobs = [1, 2, 3].map(() => kit.maker.make(work([lower], [changed])));
  const niceOf = (pid: number) => Number(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ')[16]);
  let most = 0, nice = 0;
  const watching = until('the third job', () => {
    most = Math.max(most, kit.alive());
    for (const { pid } of kit.spawned) try { nice = Math.max(nice, niceOf(pid)); } catch { /* it has ended */ }
    return kit.spawned.length === 3 && kit.alive() === 0;
  }, 60_000);
  await Promise.all(jobs);
  await watching;
  assert.deepEqual([most, nice], [2, 10]);
  const late = opened({ stopped: true });
  const running = assert.rejects(late.maker.make(work([lower], [changed])), /the process that made the delta/);
  await until('a worker', () => late.spawned.length === 1);
  await late.maker.close();
  await running;
  await assert.rejects(late.maker.make(work([lower], [changed])), /the daemon is stopping/);
  await kit.maker.close();
});

test('a worker that dies says how: killed, at the limit of its heap, or with a disk that has no such place', async () => {
  await using kit = opened({ stopped: true });
  const killed = assert.rejects(kit.maker.make(work([lower], [changed])), /ended by SIGKILL: killed from outside, or the machine is out of memory$/);
  await until('a worker', () => kit.spawned.length === 1);
  kit.spawned[0]?.kill();
  await killed;
  await using small = opened();
  await assert.rejects(small.maker.make(work([lower], [changed], { into: '/nowhere' })), /ENOENT.*\/nowhere\/0\.delta/);
});

test('a base that is larger than the memory for it: the worker stays within that memory', async (t) => {
  const files = Array.from({ length: 64 }, (_, n) => [`file-${n}`, randomBytes(MIB)] as const);
  const edited = Buffer.concat(files.slice(0, 2).map(([, bytes]) => bytes.subarray(0, 200_000)));
  const [large, renamed] = [await layer(Object.fromEntries(files)), await layer(Object.fromEntries([...files.slice(6).map(([name, bytes]) => [`new-${name}`, bytes] as const), ['edited', edited]]))];
  await using kit = opened({ limits: { memoryBytes: 48 * MIB } });
  for (const format of ['balena', 'vaquita'] as const) {
    await kit.maker.make(work([fresh], [fresh], { format }));
    const idleBytes = kit.peakBytes();
    const [made] = await kit.maker.make(work([large], [renamed], { format }));
    const usedBytes = kit.peakBytes() - idleBytes;
    t.diagnostic(`${format}: ${(usedBytes / MIB).toFixed(1)} MiB above ${(idleBytes / MIB).toFixed(1)} for a base of ${(large.tar.length / MIB).toFixed(0)}; the delta has ${made?.sizeBytes} bytes`);
    assert.ok(usedBytes <= 48 * MIB, `${format}: ${usedBytes} bytes above idle`);
    assert.ok((made?.sizeBytes ?? MIB) < 500_000, `${format}: ${made?.sizeBytes} bytes`);
  }
});
