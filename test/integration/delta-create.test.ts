// POST /images/delta as its clients meet it: the steps in balenaEngine's words, deltas that lead to their target, and what happens when
// images go away, clients leave, workers die and the disk is full meanwhile.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, lstatSync, openSync, readFileSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { after, before, test } from 'node:test';
import { deltaLayerTar, EMPTY_LAYER_DIFF_ID } from '../../src/delta/rsync/layer.ts';
import { openRsyncPatch } from '../../src/delta/rsync/patch.ts';
import { viewOf } from '../../src/delta/bytes.ts';
import { errnoOf } from '../../src/lib/errors.ts';
import { chainIds, type DiffId } from '../../src/oci/digest.ts';
import { CORPUS_CASES, corpusImage, vectorOf } from '../kit/corpus.ts';
import { EXECUTABLE, startDaemon, type Daemon } from '../kit/daemon.ts';
import { openFakeRegistry, type FakeRegistry } from '../kit/fake-registry.ts';
import { ask } from '../kit/http.ts';
import { buildImage, treeTar, type BuiltImage } from '../kit/image.ts';
import { until } from '../kit/poll.ts';
import { imageIds, listTree, mustPull, shortOf, startProgress, type Pulled, type Pulling } from '../kit/pull.ts';
import { openSmallDisk, type SmallDisk } from '../kit/small-disk.ts';
import { openTempRoot } from '../kit/temp.ts';

const MIB = 1 << 20;
const held = new AsyncDisposableStack();
const root = held.use(openTempRoot());
let disk: SmallDisk;
let daemon: Daemon;
let registry: FakeRegistry;

before(async () => {
  registry = held.use(await openFakeRegistry());
  disk = held.use(openSmallDisk({ file: join(root.path, 'disk'), path: join(root.path, 'engine/data'), sizeBytes: 64 * MIB }));
  daemon = held.use(await startDaemon({ root: join(root.path, 'engine') }));
});
after(() => held.disposeAsync());

/** An image that is here now; by its ID. */
async function have(image: BuiltImage, name: string): Promise<{ id: string; name: string; diffIds: readonly DiffId[] }> {
  for (const { bytes, mediaType } of [image.config, ...image.layers]) registry.addBlob(bytes, mediaType);
  registry.addManifest(name, '1', { bytes: image.manifest.bytes, mediaType: image.manifest.mediaType });
  await mustPull(daemon.socket, `${registry.host}/${name}:1`);
  return { id: image.config.digest, name: `${registry.host}/${name}:1`, diffIds: image.diffIds as readonly DiffId[] };
}

const begin = (words: Readonly<Record<string, string>>): Pulling => startProgress(daemon.socket, `/images/delta?${new URLSearchParams(words).toString()}`);
const create = (words: Readonly<Record<string, string>>): Promise<Pulled> => begin(words).done;
const get = async <T>(path: string): Promise<T> => (await ask(daemon.socket, { path })).json<T>();
const remove = async (image: string) => { assert.equal((await ask(daemon.socket, { method: 'DELETE', path: `/images/${image}?force=1` })).status, 200); };
const configOf = (id: string): string => readFileSync(join(disk.path, 'image/overlay2/imagedb/content/sha256', id.slice(7)), 'utf8');
/** What the verb says it has made. */
const createdId = ({ lines, error }: Pulled): string => {
  assert.equal(error, undefined);
  return /^Created delta: (sha256:[0-9a-f]{64})/.exec(lines.map(({ status }) => status ?? '').find((status) => status.startsWith('Created')) ?? '')?.[1] ?? '';
};

interface Shown { Id: string; Os: string; Architecture: string; Size: number; Config: { Env: unknown; Labels: Record<string, string> }; RootFS: { Layers: string[] }; GraphDriver: { Data: { LowerDir?: string; UpperDir: string } } }
const directoriesOf = ({ GraphDriver: { Data } }: Shown) => [Data.UpperDir, ...Data.LowerDir?.split(':') ?? []].toReversed();
const sha256 = (...parts: readonly Uint8Array[]): string => `sha256:${parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex')}`;

test('of the images of a real balenaEngine: the same image but for its bytes, never larger, and what it makes is the target', async (t) => {
  for (const name of CORPUS_CASES) await t.test(name, async () => {
    const vector = vectorOf(name) as ReturnType<typeof vectorOf> & { messages: readonly string[]; delta_layers: ReadonlyArray<{ delta_bytes?: number }> };
    const images = { base: corpusImage(name, 'base'), delta: corpusImage(name, 'delta') };
    await have(images.base, `${name}/base`);
    await have(corpusImage(name, 'target'), `${name}/target`);
    const pulled = await create({ src: vector.base, dest: vector.target, t: `${name}:delta` });
    const id = createdId(pulled);
    assert.equal(pulled.lines.at(-1)?.status, `Successfully tagged ${name}:delta\n`);
    const shown = await get<Shown>(`/images/${name}:delta/json`);
    assert.deepEqual([shown.Id, shown.Os, shown.Architecture, shown.Config.Env], [id, 'linux', '', null]);

    const theirs = Buffer.from(images.delta.config.bytes).toString('utf8');
    const anonymous = (config: string) => config.replace(/"created":"\d{4}-[^"]{10,30}Z"/, '').replace(/"diff_ids":\[[^\]]*\]\}\}$/, '');
    assert.equal(anonymous(configOf(id)), anonymous(theirs), 'fields, their order, and the target\'s own config');

    const base = Buffer.concat(images.base.layers.map(({ bytes }) => gunzipSync(bytes)));
    const sizes = directoriesOf(shown).map((directory, n) => {
      const common = vector.target_layers[n] === vector.base_layers[n];
      if (!common) return assertLayer(directory, { base, diffId: shown.RootFS.Layers[n] ?? '', target: vector.target_layers[n] ?? '' });
      assert.deepEqual([shown.RootFS.Layers[n], readdirSync(directory)], [EMPTY_LAYER_DIFF_ID, []]);
      return 0;
    });
    const theirSizes = vector.delta_layers.map(({ delta_bytes: size }) => size ?? 0);
    sizes.forEach((size, n) => assert.ok(size <= (theirSizes[n] ?? 0), `layer ${n}: ${size} bytes, ${theirSizes[n]} of balenaEngine`));
    assert.equal(shown.Size, sizes.reduce((sum, size) => sum + size, 0));
    const [normal = ''] = vector.messages[0]?.split(', ') ?? [];
    assert.ok(pulled.lines.some(({ status }) => status?.startsWith(`${normal}, Delta size: `)), `${normal}: ${pulled.lines.map(({ status }) => status).join(', ')}`);
  });
});

/** The delta alone stands in its directory, and leads to the target; its tar has the header that theirs has. */
function assertLayer(directory: string, { base, diffId, target }: { base: Buffer; diffId: string; target: string }): number {
  assert.deepEqual(readdirSync(directory), ['delta']);
  const delta = readFileSync(join(directory, 'delta'));
  assert.equal(lstatSync(join(directory, 'delta')).mode & 0o7777, 0o600);
  const { header, trailer } = deltaLayerTar(delta.length);
  assert.equal(sha256(header, delta, trailer), diffId);
  const hash = createHash('sha256');
  const patch = openRsyncPatch(viewOf(base), (bytes, start, end) => { hash.update(bytes.subarray(start, end)); });
  patch.write(delta, 0, delta.length);
  patch.finish();
  assert.equal(`sha256:${hash.digest('hex')}`, target);
  return delta.length;
}

const noise = randomBytes(200_000);
const lower = treeTar({ 'etc/': null, 'etc/motd': 'hello' });
const images = { base: buildImage({ layers: [lower, treeTar({ noise })] }), target: buildImage({ layers: [lower, treeTar({ noise: Buffer.concat([noise, Buffer.from('more')]) }), treeTar({ other: 'x' })] }) };

test('the lines stand in balenaEngine\'s order and have its words; names are shown as they were given', async () => {
  const [base, target] = [await have(images.base, 'lines/base'), await have(images.target, 'lines/target')];
  const { lines } = await create({ src: base.name, dest: target.name, t: 'Registry.example:5000/a/b' });
  const [common, changed, added] = target.diffIds.map((diffId) => shortOf(diffId));
  const steps = lines.filter((line, n) => line.progress === undefined || lines[n - 1]?.status !== line.status).map(({ status = '', id }) => [status.replace(/took [\d.]+(µs|ms|s)$/, 'took T').replace(/[0-9a-f]{64}/, 'H'), id]);
  const [size] = steps.splice(-3, 1);
  assert.deepEqual(steps, [
    ['Fingerprinting', base.name], ['Fingerprint complete, took T', base.name], ['Waiting', common], ['Waiting', changed], ['Waiting', added],
    ['Skipping common layer', common], ['Computing delta', changed], ['Delta complete', changed], ['Computing delta', added], ['Delta complete', added],
    ['Created delta: sha256:H', undefined], ['Successfully tagged Registry.example:5000/a/b:latest\n', undefined],
  ]);
  assert.match(size?.[0] ?? '', /^Normal size: 200kB, Delta size: \d+B, \d{3,}\.\d\dx improvement$/);
  const last = lines.find((line, n) => line.status === 'Computing delta' && lines[n + 1]?.status === 'Delta complete');
  assert.deepEqual(last, { status: 'Computing delta', progressDetail: { current: 201_728, total: noise.length + 4 }, progress: `[${'='.repeat(50)}>]  201.7kB`, id: changed });
  const raw = await ask(daemon.socket, { method: 'POST', path: '/images/delta', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams({ src: target.id.slice(0, 20), dest: target.name }).toString() });
  assert.equal(raw.headers['content-type'], 'application/json');
  assert.match(raw.text, /"status":"Normal size: 0B, Delta size: 0B, 1\.00x improvement"\}\r\n\{"status":"Created delta: sha256:[0-9a-f]{64}"\}\r\n$/);
  assert.match(raw.text, new RegExp(`^\\{"status":"Fingerprint complete, took [^"]+","progressDetail":\\{\\},"id":"${target.id.slice(0, 20)}"\\}\\r\\n`));
});

test('what is refused, and where: before the first line as an answer, after it as a line', async () => {
  const [base, target] = [await have(images.base, 'lines/base'), await have(images.target, 'lines/target')];
  const refused: ReadonlyArray<readonly [words: Record<string, string>, status: number, error: string]> = [
    [{}, 400, 'no such image: : invalid reference format'],
    [{ src: base.id }, 400, 'no such image: : invalid reference format'],
    [{ src: 'nope', dest: target.id }, 404, 'no such image: nope: No such image: nope:latest'],
    [{ src: base.id, dest: 'nope' }, 404, 'no such image: nope: No such image: nope:latest'],
    [{ src: base.id, dest: target.id, format: 'bsdiff' }, 400, 'unknown format of deltas: "bsdiff": expected balena or vaquita'],
    [{ src: base.id, dest: target.id, format: 'vaquita', t: 'x' }, 400, 'a delta in the vaquita format is no image that could be given a name: it is pushed along with its target'],
    [{ src: base.id, dest: base.name, format: 'vaquita' }, 400, `${base.id} and ${base.name} are the same image`],
    [{ src: base.id, dest: target.id, t: 'Bad:Tag:x' }, 200, 'invalid reference format: repository name must be lowercase'],
    [{ src: base.id, dest: target.id, t: `x/y@sha256:${'0'.repeat(64)}` }, 200, 'build tag cannot contain a digest'],
  ];
  for (const [words, status, error] of refused) {
    const answer = await create(words);
    assert.deepEqual([answer.status, answer.error], [status, error]);
    if (status === 200) assert.match(answer.lines.at(-2)?.status ?? '', /^Created delta/, 'the image is made all the same, as there');
  }
});

/** Holds the worker up when it comes to this image's top layer, which is behind the fingerprint: its record is a pipe that nobody writes to. */
function holdUp(image: { diffIds: readonly DiffId[] }): { release(): void } {
  const record = join(disk.path, 'image/overlay2/layerdb/sha256', (chainIds(image.diffIds).at(-1) ?? '').slice(7), 'tar-split.json.gz');
  renameSync(record, `${record}.aside`);
  execFileSync('mkfifo', [record]);
  return { release() {
    renameSync(`${record}.aside`, record);
    for (const pid of workers()) for (const signal of ['SIGSTOP', 'SIGCONT']) process.kill(pid, signal); // an open(2) that was interrupted looks the name up again
  } };
}

const workers = () => readFileSync(`/proc/${daemon.pid}/task/${daemon.pid}/children`, 'utf8').split(' ').filter((pid) => pid !== '').map(Number).filter((pid) => {
  try { return readFileSync(`/proc/${pid}/cmdline`, 'utf8').endsWith('worker\0make\0'); } catch { return false; } // it has just ended
});
const toTarget = async (making: Pulling) => { await making.sees(/^Fingerprint complete/); };

test('base and target removed after the fingerprint, and another name for the target: the delta is made, and then their layers go', async () => {
  const [base, target] = [await have(images.base, 'lock/base'), await have(images.target, 'lock/target')];
  const pipe = holdUp(target);
  const making = begin({ src: base.name, dest: target.name, t: 'lock:delta' });
  await toTarget(making);
  await remove(base.id);
  await remove(target.id);
  pipe.release();
  const id = createdId(await making.done);
  const shown = await get<Shown>('/images/lock:delta/json');
  assert.deepEqual([shown.Id, shown.Config.Labels['io.resin.delta.base']], [id, base.id]);
  const left = readdirSync(join(disk.path, 'image/overlay2/layerdb/sha256'));
  for (const chainId of [...chainIds(base.diffIds), ...chainIds(target.diffIds)]) assert.equal(left.includes(chainId.slice(7)), false, 'nobody needs it any more');
});

async function fresh() {
  for (const id of await imageIds(daemon.socket)) await remove(id);
  const pair = { base: await have(images.base, 'pair/base'), target: await have(images.target, 'pair/target') };
  return pair;
}

test('a client that leaves, a worker that is killed: an error that says so, nothing left, and it goes on', async () => {
  const { base, target } = await fresh();
  const [tree, ids] = [listTree(disk.path), await imageIds(daemon.socket)];
  const pipe = holdUp(target);
  for (const format of ['balena', 'vaquita']) {
    const left = begin({ src: base.id, dest: target.id, format });
    await toTarget(left);
    left.leave();
    await assert.rejects(left.done);
    await until('the worker to be gone', () => workers().length === 0);
  }
  const killed = begin({ src: base.id, dest: target.id });
  await toTarget(killed);
  for (const pid of workers()) process.kill(pid, 'SIGKILL');
  assert.match((await killed.done).error ?? '', /^the process that made the delta \(\d+\) ended by SIGKILL: killed from outside, or the machine is out of memory$/);
  pipe.release();
  await until('everything to be as before', () => JSON.stringify(listTree(disk.path)) === JSON.stringify(tree));
  assert.deepEqual(await imageIds(daemon.socket), ids);
  const both = await Promise.all([create({ src: base.id, dest: target.id }), create({ src: base.id, dest: target.id })]);
  assert.equal(new Set(both.map(createdId)).size, 2, 'two at the same time do not meet');
});

test('a disk that is full, or becomes so: an error that says so, the space is given back', async () => {
  const { base } = await fresh();
  const large = await have(buildImage({ layers: [treeTar({ large: randomBytes(1.5 * MIB) })] }), 'full/target');
  const [tree, ids] = [listTree(disk.path), await imageIds(daemon.socket)];
  const filler = join(root.path, 'engine/data/filler');
  for (const freeBytes of [MIB / 2, 0]) for (const format of ['balena', 'vaquita']) {
    fill(filler, freeBytes);
    const { error } = await create({ src: base.id, dest: large.id, format });
    rmSync(filler);
    assert.match(error ?? 'made', /ENOSPC: no space left on device/);
    assert.deepEqual([listTree(disk.path), await imageIds(daemon.socket)], [tree, ids]);
  }
  createdId(await create({ src: base.id, dest: large.id }));
});

/** Takes every block that is left but for so many bytes. */
function fill(path: string, freeBytes: number): void {
  const fd = openSync(path, 'w');
  try {
    const sizes = freeBytes > 0 ? [64 * 1024] : [MIB, 4096, 1];
    for (const size of sizes) {
      const bytes = Buffer.alloc(size, 'x');
      try { while (freeBytes === 0 || disk.freeBytes() > freeBytes) writeSync(fd, bytes); } catch (error) { if (errnoOf(error) !== 'ENOSPC') throw error; }
    }
    fsyncSync(fd);
  } finally { closeSync(fd); }
}

interface Kept { Base: string; Target: string; Created: string; Size: number; Layers: Array<{ DiffId: string; Digest: string; Size: number; TargetSize: number; Sources: string[] }> }

test('deltas of our own are kept beside their target: listed, counted, removed, gone with it', async () => {
  const { base, target } = await fresh();
  const sizeOf = async () => (await get<{ LayersSize: number }>('/system/df')).LayersSize;
  const before = await sizeOf();
  const { lines } = await create({ src: base.name, dest: target.name, format: 'vaquita' });
  assert.equal(lines.at(-1)?.status, `Created delta: ${target.id} from ${base.id}`);
  assert.equal(lines.filter(({ status }) => status === 'Skipping common layer').length, 1);
  const [kept] = await get<Kept[]>(`/images/${target.name}/deltas`);
  assert.ok(kept);
  assert.deepEqual([kept.Base, kept.Target, kept.Layers.map(({ DiffId }) => DiffId)], [base.id, target.id, target.diffIds.slice(1)]);
  const directory = join(disk.path, 'vaquita/deltas', `${target.id.slice(7)}-${base.id.slice(7)}`);
  assert.deepEqual(readdirSync(directory).toSorted(), ['0.delta', '1.delta', 'delta.json']);
  for (const [n, layer] of kept.Layers.entries()) {
    const bytes = readFileSync(join(directory, `${n}.delta`));
    assert.deepEqual([sha256(bytes), bytes.length, layer.Sources.every((source) => base.diffIds.includes(source as DiffId))], [layer.Digest, layer.Size, true]);
  }
  assert.equal(await sizeOf(), before + kept.Size);
  const cli = (...words: string[]) => execFileSync(EXECUTABLE, words, { env: { ...process.env, DOCKER_HOST: daemon.host }, encoding: 'utf8' });
  assert.match(cli('image', 'delta', base.name, target.name, '-t', 'cli:1'), new RegExp([
    `^${base.name}: Fingerprint complete, took \\S+`, ...target.diffIds.map((diffId) => `${shortOf(diffId)}: Waiting`), `${shortOf(target.diffIds[0] ?? '')}: Skipping common layer`,
    ...target.diffIds.slice(1).map((diffId) => `${shortOf(diffId)}: Delta complete`), 'Normal size: .*', 'Created delta: sha256:[0-9a-f]{64}', 'Successfully tagged cli:1\n', '$',
  ].join('\n')));
  assert.match(cli('image', 'deltas', target.name), new RegExp(`^BASE +SIZE +LAYERS +CREATED\n${base.id.slice(7, 19)} +\\d[\\d.]*k?B +2 +.* ago\n$`));

  const removed = await ask(daemon.socket, { method: 'POST', path: `/images/${target.name}/deltas/prune?base=${base.name}` });
  assert.deepEqual(removed.json<{ DeltasDeleted: Kept[]; SpaceReclaimed: number }>(), { DeltasDeleted: [kept], SpaceReclaimed: kept.Size });
  assert.equal((await ask(daemon.socket, { method: 'POST', path: `/images/${target.name}/deltas/prune?base=${base.name}` })).status, 404);
  createdId(await create({ src: base.name, dest: target.name, format: 'vaquita' }));
  await remove(base.id);
  assert.equal((await get<Kept[]>(`/images/${target.name}/deltas`)).length, 1, 'devices may have the base all the same');
  assert.equal(cli('image', 'deltas', '--rm', target.name), `Deleted delta: ${base.id}\n`);
  await have(images.base, 'pair/base');
  createdId(await create({ src: base.name, dest: target.name, format: 'vaquita' }));
  await remove(target.id);
  assert.deepEqual(readdirSync(join(disk.path, 'vaquita/deltas')), []);
});
