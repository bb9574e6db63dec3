// What a pull does to the disk and its caches: what is written and synced, what stays in memory, and what happens when it is full or fails.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, fstatSync, fsyncSync, lstatSync, openSync, readdirSync, readFileSync, readSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { after, before, test } from 'node:test';
import { openFiles } from '../../src/kernel/index.ts';
import { errnoOf } from '../../src/lib/errors.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { startDaemon, type Daemon } from '../kit/daemon.ts';
import { openFakeRegistry, type FakeRegistry } from '../kit/fake-registry.ts';
import { ask } from '../kit/http.ts';
import { treeTar } from '../kit/image.ts';
import { processesOf } from '../kit/leaks.ts';
import { until } from '../kit/poll.ts';
import { imageIds, keptLayers, listTree, mustPull, pull, startPull } from '../kit/pull.ts';
import { openSmallDisk, type SmallDisk } from '../kit/small-disk.ts';
import { openTempRoot } from '../kit/temp.ts';

const MIB = 1 << 20;
/** So much of a layer may wait for one sync, and leave the page cache after it. */
const BATCH_BYTES = 16 * MIB;
const held = new AsyncDisposableStack();
const root = held.use(openTempRoot());
const traceFile = join(root.path, 'trace');
let disk: SmallDisk;
let daemon: Daemon;
let registry: FakeRegistry;

before(async () => {
  registry = held.use(await openFakeRegistry());
  disk = held.use(openSmallDisk({ file: join(root.path, 'disk'), path: join(root.path, 'engine/data'), sizeBytes: 160 * MIB }));
  held.defer(async () => { await until('the tracer to end', () => processesOf(root.path).length === 0); });
  daemon = held.use(await startDaemon({
    root: join(root.path, 'engine'), readyTimeoutMs: 60_000,
    wrap: ['strace', '-D', '-f', '-qq', '--seccomp-bpf', '-e', 'trace=sync,syncfs,fsync,fdatasync', '-e', 'signal=none', '-o', traceFile],
  }));
});
after(() => held.disposeAsync());

function offer(name: string, tars: readonly Uint8Array[]) {
  registry.misbehave = () => undefined;
  registry.requests.length = 0;
  const blobs = tars.map((tar) => gzipSync(tar, { level: 1 }));
  const { layers } = registry.addImage(name, '1', { layers: blobs, diffIds: tars.map((tar) => digestOf(tar)) });
  return { reference: `${registry.host}/${name}:1`, layers, blobs };
}

/** Random bytes: packed they are as large as unpacked, so that whoever writes both writes twice as much. */
const large = () => treeTar(Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`file-${n}`, randomBytes(MIB)])));

/** The calls that the daemon and its workers made since the last asking. */
function syncsSince(from: number): { names: string[]; end: number } {
  const lines = readFileSync(traceFile, 'utf8').split('\n').filter((line) => /\b(?:sync|syncfs|fsync|fdatasync)\(/.test(line));
  return { names: lines.slice(from).map((line) => /(\w+)\(/.exec(line)?.[1] ?? ''), end: lines.length };
}

const filesBelow = (path: string): string[] => readdirSync(path, { recursive: true, encoding: 'utf8' }).map((name) => join(path, name)).filter((file) => lstatSync(file).isFile());

test('an image of 60 MB is written once, synced once per layer and batch, and leaves the page cache', async (t) => {
  const { reference, layers } = offer('large/image', [large(), large(), large()]);
  const imageBytes = 60 * MIB;
  const start = syncsSince(0).end, written = disk.writtenBytes();
  await mustPull(daemon.socket, reference);
  const { names } = syncsSince(start);
  const count = (name: string) => names.filter((one) => one === name).length;
  const cachedBytes = filesBelow(disk.path).reduce((sum, file) => sum + openFiles().cachedBytes(file), 0);

  assert.deepEqual([count('sync'), count('fdatasync')], [0, 0], names.join(' '));
  assert.ok(count('syncfs') >= layers.length && count('syncfs') <= layers.length + imageBytes / BATCH_BYTES, names.join(' '));
  // Of each layer its record and its name; of the image its config and its names, each with its directory.
  assert.ok(count('fsync') <= 2 * layers.length + 4, names.join(' '));
  assert.ok(cachedBytes <= imageBytes / 100, `${cachedBytes} bytes of the image stay in the page cache`);
  const factor = (disk.writtenBytes() - written) / imageBytes;
  t.diagnostic(`${names.length} syncs, ${cachedBytes} bytes cached, ${factor.toFixed(3)} bytes written for each byte of the image`);
  assert.ok(factor < 1.15, `${factor.toFixed(3)} bytes written for each byte of the image`);
});

test('no compressed layer and no archive is in any file, not even an unlinked one, while a layer arrives', async () => {
  const hex = treeTar({ 'text': randomBytes(2 * MIB).toString('hex') }); // packs to a half: packed and unpacked have nothing in common
  const { reference, layers: [layer], blobs: [blob] } = offer('half/way', [hex]);
  assert.ok(layer && blob);
  const isLayer = (path: string) => path.endsWith(layer.digest);
  registry.misbehave = ({ path }) => (isLayer(path) && registry.seen('blob').filter((seen) => isLayer(seen.path)).length === 1 ? { stallAfterBytes: blob.length - 1000 } : undefined);
  const before = listTree(disk.path);
  const pulling = startPull(daemon.socket, reference);
  const extracted = () => filesBelow(join(disk.path, 'overlay2')).find((file) => file.endsWith('diff/text') && lstatSync(file).size > 3 * MIB);
  const text = await until('most of the layer to be extracted', extracted);
  assert.ok(readFileSync(text).subarray(0, 1000).equals(hex.subarray(512, 1512)), 'it is there as a file already');

  const open = processesOf(join(root.path, 'engine')).flatMap(({ pid }) => descriptorsOf(pid).map((fd) => `/proc/${pid}/fd/${fd}`));
  const needles = [1000, blob.length / 2, blob.length - 2000].map((at) => Buffer.from(blob.subarray(Math.floor(at), Math.floor(at) + 64)));
  const tarHead = hex.subarray(0, 512);
  let looked = 0;
  for (const file of [...filesBelow(disk.path), ...open]) {
    const bytes = contentOf(file);
    if (bytes === undefined) continue;
    looked++;
    assert.ok(!needles.some((needle) => bytes.includes(needle)), `${file} holds a part of the compressed layer`);
    assert.ok(!bytes.includes(tarHead), `${file} holds a part of the archive`);
  }
  assert.ok(looked > 10, `only ${looked} files were looked at`);
  pulling.leave();
  await until('the store to be as before', () => JSON.stringify(listTree(disk.path)) === JSON.stringify(before));
});

test('a disk that fills in the middle of a layer: an error that says so, the space is given back, the daemon lives', async () => {
  const small = offer('small/lower', [treeTar({ 'lower': randomBytes(MIB) })]);
  await mustPull(daemon.socket, small.reference);
  await until('the extractor to be let go', () => processesOf(join(root.path, 'engine')).filter(({ command }) => / worker /.test(command)).length === 0);
  const [tree, images, freeBytes] = [listTree(disk.path), await imageIds(daemon.socket), disk.freeBytes()];
  const tooLarge = treeTar(Object.fromEntries(Array.from({ length: 6 }, (_, n) => [`file-${n}`, randomBytes(20 * MIB)])));
  const { reference, layers: [layer] } = offer('too/large', [tooLarge]);
  const { error } = await pull(daemon.socket, reference);
  assert.match(error ?? 'pulled', new RegExp(`^failed to register layer ${layer?.digest}: .*file-\\d.*ENOSPC: no space left on device`));
  assert.deepEqual([listTree(disk.path), await imageIds(daemon.socket)], [tree, images]);
  await until('the space to be given back', () => disk.freeBytes() >= freeBytes - 256 * 1024).catch(() => {});
  assert.ok(disk.freeBytes() >= freeBytes - 256 * 1024, `${disk.freeBytes()} bytes free, ${freeBytes} before`);
  const after = offer('small/after', [treeTar({ 'after': randomBytes(MIB) })]);
  await mustPull(daemon.socket, after.reference);
});

test('a disk without a single free block: every step of a pull fails cleanly', async () => {
  const known = treeTar({ 'known': 'x' });
  await mustPull(daemon.socket, offer('full/known', [known]).reference);
  const large = offer('full/large', [treeTar({ 'large': randomBytes(MIB) })]).reference;
  await mustPull(daemon.socket, large);
  const filler = join(disk.path, 'filler');
  fill(filler);
  const [tree, images] = [listTree(disk.path), await imageIds(daemon.socket)];
  const steps = [
    ['a new layer', offer('full/layer', [treeTar({ 'new': randomBytes(50_000) })]).reference, /^failed to register layer sha256:[0-9a-f]{64}: .*ENOSPC: no space left on device/],
    ['a new image of known layers', offer('full/image', [known, known]).reference, /ENOSPC: no space left on device/],
    ['a new name of a known image', offer('full/name', [known]).reference, /ENOSPC: no space left on device.*repositories\.json/],
  ] as const;
  for (const [what, reference, message] of steps) {
    const { error } = await pull(daemon.socket, reference);
    assert.match(error ?? 'pulled', message, what);
    assert.deepEqual([listTree(disk.path), await imageIds(daemon.socket)], [tree, images], what);
  }
  const removed = await ask(daemon.socket, { method: 'DELETE', path: `/images/${large}` });
  assert.equal(removed.status, 200, `an image can be removed to make room: ${removed.text}`);
  rmSync(filler);
  for (const [, reference] of steps) await mustPull(daemon.socket, reference);
});

test('what a pull that failed has left goes when the disk is full of it', async () => {
  const [below, kept] = [treeTar({ 'below': 'x' }), treeTar({ 'kept': randomBytes(8 * MIB) })];
  const failing = offer('kept/some', [below, kept]);
  const [digest = ''] = failing.layers.map((layer) => layer.digest);
  registry.misbehave = ({ path }) => (path.endsWith(digest) ? { stallAfterBytes: 10 } : undefined);
  const pulling = startPull(daemon.socket, failing.reference);
  await until('the upper layer to be whole', () => keptLayers(daemon.dataRoot).length === 1);
  registry.misbehave = ({ path }) => (path.endsWith(digest) ? { status: 404 } : undefined);
  registry.cut();
  assert.match((await pulling.done).error ?? '', /unknown|not found/);
  const tree = listTree(disk.path);
  assert.deepEqual(keptLayers(daemon.dataRoot), [digestOf(kept)]);

  const filler = join(disk.path, 'filler');
  fill(filler);
  truncateSync(filler, lstatSync(filler).size - 3 * MIB);
  await mustPull(daemon.socket, offer('kept/other', [treeTar({ 'one': randomBytes(5 * MIB) }), treeTar({ 'two': randomBytes(4 * MIB) })]).reference);
  assert.deepEqual(keptLayers(daemon.dataRoot), []);
  rmSync(filler);
  await ask(daemon.socket, { method: 'DELETE', path: `/images/${registry.host}/kept/other:1` });
  assert.ok(listTree(disk.path).length < tree.length);
});

test('a disk that turns read-only under the daemon: an error that says so, and what was there can still be read', async () => {
  const { reference } = offer('broken/disk', [treeTar({ 'file': 'x' })]);
  const [tree, images] = [listTree(disk.path), await imageIds(daemon.socket)];
  disk.fail();
  const { error, status } = await pull(daemon.socket, reference);
  assert.match(error ?? `pulled, ${status}`, /EROFS: read-only file system/);
  assert.ok(daemon.running);
  assert.deepEqual([listTree(disk.path), await imageIds(daemon.socket)], [tree, images]);
  assert.equal((await ask(daemon.socket, { path: '/_ping' })).status, 200);
});

/** Takes every block that is left. */
function fill(path: string): void {
  const fd = openSync(path, 'w');
  try {
    for (const size of [MIB, 4096, 1]) {
      const bytes = Buffer.alloc(size, 'x');
      try { for (;;) { writeSync(fd, bytes); } } catch (error) { if (errnoOf(error) !== 'ENOSPC') throw error; }
    }
    fsyncSync(fd);
  } finally { closeSync(fd); }
}

/** Nothing of one that has just ended: a worker that waits for work does so after a while. */
function descriptorsOf(pid: number): string[] {
  try { return readdirSync(`/proc/${pid}/fd`); } catch { return []; }
}

/** Of a regular file, whatever its name; undefined of anything else. */
function contentOf(path: string): Buffer | undefined {
  let fd: number;
  try { fd = openSync(path, 'r'); } catch { return undefined; } // closed meanwhile, or a socket
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size > 64 * MIB) return undefined;
    const bytes = Buffer.alloc(stat.size);
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
  } finally { closeSync(fd); }
}
