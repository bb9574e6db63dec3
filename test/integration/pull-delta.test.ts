// An ordinary pull that finds our deltas: which way each layer comes, what it costs, and that nothing of it can make a pull fail that would work without.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { beforeEach, test } from 'node:test';
import { openFiles } from '../../src/kernel/index.ts';
import { startDaemon } from '../kit/daemon.ts';
import { listDeltas, offerDelta, offerImages, referrersList, type OfferedDelta } from '../kit/deltas.ts';
import { openFakeRegistry, type Misbehaviour, type Seen } from '../kit/fake-registry.ts';
import { ask } from '../kit/http.ts';
import { buildImage, buildIndex, treeTar, type BuiltImage } from '../kit/image.ts';
import { imageIds, listTree, mustPull, pull, shortOf, startPull } from '../kit/pull.ts';
import { openPullBench } from '../kit/pull-bench.ts';

const { root, daemon, registry } = await openPullBench({ flags: ['--max-download-attempts=2'] });

beforeEach(async () => {
  registry.misbehave = () => undefined;
  for (const id of await imageIds(daemon.socket)) await ask(daemon.socket, { method: 'DELETE', path: `/images/${id}?force=1` });
});

/** Bytes that do not pack, the same for the same words. */
function noise(words: string, sizeBytes: number): Buffer {
  const pieces: Buffer[] = [];
  for (let n = 0; n * 32 < sizeBytes; n++) pieces.push(createHash('sha256').update(`${words} ${n}`).digest());
  return Buffer.concat(pieces).subarray(0, sizeBytes);
}

const changed = (bytes: Buffer, at: number, text: string): Buffer => Buffer.concat([bytes.subarray(0, at), Buffer.from(text), bytes.subarray(at + 3)]);

const SYSTEM = treeTar({ 'bin/': null, 'bin/tool': noise('tool', 200_000), 'etc/version': 'one' });
const DATA = noise('data', 300_000);
const APP = treeTar({ 'app/': null, 'app/main.js': 'let version = 1;\n'.repeat(3000), 'app/data': DATA });
const NEXT = treeTar({ 'app/': null, 'app/main.js': `${'let version = 1;\n'.repeat(3000)}done();\n`, 'app/data': changed(DATA, 1000, 'a new row'), 'app/new': 'x' });
const EXTRA = treeTar({ 'extra/': null, 'extra/file': noise('extra', 100_000) });

const V1 = buildImage({ layers: [SYSTEM, APP], config: { Env: ['V=1'] } });
const V2 = buildImage({ layers: [SYSTEM, NEXT], config: { Env: ['V=2'] } });
/** The same content in other places: everything lies on a layer that is new. */
const MOVED = buildImage({ layers: [EXTRA, NEXT, SYSTEM], config: { Env: ['V=3'] } });

interface Offered { reference: string; delta: OfferedDelta; blob: string }

/** V1 and the target in a repository of their own, with a delta between them; V1 is pulled. */
async function offer(repository: string, { target = V2, spoil, listed = true }: { target?: BuiltImage; spoil?: (bytes: Buffer) => Buffer; listed?: boolean } = {}): Promise<Offered> {
  offerImages(registry, { [`${repository}:1`]: V1, [`${repository}:2`]: target });
  const delta = offerDelta(registry, repository, { base: V1, target, ...(spoil ? { spoil } : {}) });
  if (listed) listDeltas(registry, repository, { target, deltas: [delta] });
  await mustPull(daemon.socket, `${registry.host}/${repository}:1`);
  registry.requests.length = 0;
  return { reference: `${registry.host}/${repository}:2`, delta, blob: delta.layers.at(-1)?.digest ?? '' };
}

interface Shown { Id: string; RootFS: { Layers: string[] }; GraphDriver: { Data: { LowerDir?: string; UpperDir: string } } }
const inspect = async (name: string, { socket } = daemon) => (await ask(socket, { path: `/images/${name}/json` })).json<Shown>();
const directoriesOf = ({ GraphDriver: { Data } }: Shown) => [Data.UpperDir, ...Data.LowerDir?.split(':') ?? []].toReversed();
const statuses = (lines: ReadonlyArray<{ status?: string }>) => lines.map(({ status }) => status ?? '');
const blobsAsked = () => registry.seen('blob').map(({ path }) => path.slice(path.lastIndexOf('/') + 1));

async function assertIs(reference: string, image: BuiltImage, engine = daemon): Promise<void> {
  const shown = await inspect(reference, engine);
  assert.deepEqual([shown.Id, shown.RootFS.Layers], [image.config.digest, image.diffIds]);
  for (const [index, directory] of directoriesOf(shown).entries()) {
    for (const name of ['app/main.js', 'app/data', 'bin/tool', 'extra/file']) {
      if (existsSync(join(directory, name))) assert.ok(gunzipSync(image.layers[index]?.bytes ?? '').includes(readFileSync(join(directory, name))), name);
    }
  }
}

test('a pull takes the delta whose base is here, tells so, and what it saved', async () => {
  const { reference, delta, blob } = await offer('plain');
  const size = delta.layers[0]?.size ?? 0;
  assert.ok(size < 5000, `${size} bytes of delta`);
  const before = listTree(daemon.dataRoot);
  const dry = await mustPull(daemon.socket, reference, { dryRun: '1' });
  assert.deepEqual(statuses(dry).slice(1, 3), ['Already exists', statuses(dry).find((text) => /^Would be made by a delta of \S+kB instead of 3\d\dkB$|^Would be made by a delta of \S+B instead of \S+kB$/.test(text))]);
  assert.match(dry.at(-1)?.status ?? '', /^Status: Would download \S+B instead of \S+kB \(\d+x less\) for /);
  assert.deepEqual([listTree(daemon.dataRoot), blobsAsked().includes(blob)], [before, false]);

  const lines = await mustPull(daemon.socket, reference);
  const own = lines.filter(({ id }) => id === shortOf(V2.layers[1]?.digest ?? ''));
  const order = statuses(own).filter((status, n, all) => status !== all[n - 1] && status !== 'Waiting');
  assert.deepEqual(order, ['Pulling fs layer', 'Downloading', 'Verifying Checksum', 'Download complete', 'Extracting', 'Pull complete']);
  for (const { progressDetail } of own) if (progressDetail?.total !== undefined) assert.equal(progressDetail.total, size, 'the total is what is downloaded');
  const [digest, saved, status] = lines.slice(-3);
  assert.deepEqual([digest?.status, status?.status], [`Digest: ${V2.manifest.digest}`, `Status: Downloaded newer image for ${reference}`]);
  assert.match(saved?.status ?? '', /^Delta: downloaded \S+B instead of 3\d\d(\.\d)?kB \(\d+x less\)$/);
  assert.deepEqual(blobsAsked().filter((asked) => asked === blob || asked === V2.layers[1]?.digest), [blob]);
  await assertIs(reference, V2);
  const record = (of: string, hex: string) => existsSync(join(daemon.dataRoot, 'image/overlay2/distribution', of, 'sha256', hex.slice(7)));
  assert.deepEqual([record('diffid-by-digest', blob), record('v2metadata-by-diffid', V2.diffIds[1] ?? ''), record('v2metadata-by-diffid', V1.diffIds[1] ?? '')], [false, false, true]);
  assert.deepEqual(statuses(await mustPull(daemon.socket, reference)).slice(1), [`Digest: ${V2.manifest.digest}`, `Status: Image is up to date for ${reference}`]);
});

test('what a delta read and what it made leave the page cache', async () => {
  const { reference } = await offer('uncached');
  assert.ok(statuses(await mustPull(daemon.socket, reference)).some((text) => text.startsWith('Delta: downloaded')));
  for (const name of [`${registry.host}/uncached:1`, reference]) {
    for (const directory of directoriesOf(await inspect(name))) {
      for (const file of ['app/data', 'app/main.js', 'bin/tool']) if (existsSync(join(directory, file))) assert.equal(openFiles().cachedBytes(join(directory, file)), 0, `${name} ${file}`);
    }
  }
});

test('with delta=0 whole layers come, and nobody is asked', async () => {
  const { reference, blob } = await offer('whole');
  const lines = await mustPull(daemon.socket, reference, { delta: '0' });
  assert.deepEqual([blobsAsked().includes(blob), statuses(lines).some((text) => text.startsWith('Delta:')), registry.requests.some(({ path }) => /referrers|sha256-/.test(path))], [false, false, false]);
  await assertIs(reference, V2);
});

test('moved layers are copied, changed ones made by deltas, new ones come whole or by a delta', async () => {
  const { reference, delta } = await offer('moved', { target: MOVED });
  assert.deepEqual(delta.layers.map(({ diffId }) => diffId), MOVED.diffIds.slice(0, 2));
  const lines = await mustPull(daemon.socket, reference);
  const asked = new Set(blobsAsked());
  assert.deepEqual([1, 2].map((index) => asked.has(MOVED.layers[index]?.digest ?? '')), [false, false], 'neither the changed layer nor the moved one');
  assert.match(statuses(lines).find((text) => text.startsWith('Delta:')) ?? '', /^Delta: downloaded \S+ instead of \S+ \(\S+x less\)$/);
  await assertIs(reference, MOVED);
});

test('of several bases that are here each layer takes the cheapest delta', async () => {
  const near = buildImage({ layers: [SYSTEM, treeTar({ 'app/': null, 'app/main.js': 'let version = 1;\n', 'app/data': changed(DATA, 1000, 'a new row') })], config: { Env: ['V=1b'] } });
  offerImages(registry, { 'bases:1': V1, 'bases:1b': near, 'bases:2': V2 });
  const deltas = [V1, near].map((base) => offerDelta(registry, 'bases', { base, target: V2 }));
  const elsewhere = offerDelta(registry, 'bases', { base: MOVED, target: V2, spoil: () => Buffer.from('tiny') }); // the smallest, but its base is not here
  listDeltas(registry, 'bases', { target: V2, deltas: [...deltas, elsewhere] });
  for (const tag of ['1', '1b']) await mustPull(daemon.socket, `${registry.host}/bases:${tag}`);
  registry.requests.length = 0;
  await mustPull(daemon.socket, `${registry.host}/bases:2`);
  const smallest = deltas.flatMap(({ layers }) => layers).toSorted((a, b) => a.size - b.size)[0];
  assert.deepEqual(blobsAsked().slice(1), [smallest?.digest]);
  await assertIs(`${registry.host}/bases:2`, V2);
});

const flipped = (bytes: Buffer): Buffer => { const other = Buffer.from(bytes); const at = other.length >> 1; other[at] = (other[at] ?? 0) ^ 4; return other; };

const UNUSABLE: ReadonlyArray<readonly [what: string, offered: { spoil?: (bytes: Buffer) => Buffer }, wrong: (offered: Offered) => (seen: Seen) => Misbehaviour | undefined]> = [
  ['one bit wrong in a delta of the right digest', { spoil: flipped }, () => () => undefined],
  ['cut short', { spoil: (bytes) => bytes.subarray(0, bytes.length - 9) }, () => () => undefined],
  ['empty', { spoil: () => Buffer.alloc(0) }, () => () => undefined],
  ['not the bytes of its digest', {}, ({ blob, delta }) => ({ path }) => (path.endsWith(blob) ? { content: Buffer.alloc(delta.layers[0]?.size ?? 0, 7) } : undefined)],
  ['not there', {}, ({ blob }) => ({ path }) => (path.endsWith(blob) ? { status: 404 } : undefined)],
  ['forbidden', {}, ({ blob }) => ({ path }) => (path.endsWith(blob) ? { status: 403 } : undefined)],
  ['an error of the server', {}, ({ blob }) => ({ path }) => (path.endsWith(blob) ? { status: 503 } : undefined)],
];

test('a delta that cannot be used is told of, and the whole layer comes in the same flight', async (t) => {
  for (const [index, [what, offered, wrong]] of UNUSABLE.entries()) await t.test(what, async () => {
    const made = await offer(`unusable/${index}`, offered);
    registry.misbehave = wrong(made);
    const lines = await mustPull(daemon.socket, made.reference);
    const own = statuses(lines.filter(({ id }) => id === shortOf(V2.layers[1]?.digest ?? '')));
    assert.ok(own.includes('Delta not usable, whole layer needed'), own.join());
    assert.deepEqual([own.at(-1), statuses(lines).some((text) => text.startsWith('Delta: '))], ['Pull complete', false]);
    await assertIs(made.reference, V2);
    for (const id of await imageIds(daemon.socket)) await ask(daemon.socket, { method: 'DELETE', path: `/images/${id}?force=1` });
  });
  assert.match(daemon.log(), /a delta could not be used: the whole layer is downloaded instead/);
});

test('a network that fails in the middle of a delta is no reason to download the whole layer', async () => {
  const { reference, blob } = await offer('lost');
  registry.misbehave = ({ path }) => (path.endsWith(blob) ? { hangUp: true } : undefined);
  assert.match((await pull(daemon.socket, reference)).error ?? '', /gave up after 2 attempts/);
  assert.equal(blobsAsked().includes(V2.layers[1]?.digest ?? ''), false);
  registry.misbehave = () => undefined;
  assert.ok(statuses(await mustPull(daemon.socket, reference)).some((text) => text.startsWith('Delta: downloaded')));
});

test('a base that is not what it was costs the delta, not the image', async () => {
  for (const [index, damage] of [(file: string) => { writeFileSync(file, noise('other', 300_000)); }, (file: string) => { rmSync(file); }].entries()) {
    const { reference } = await offer(`damaged/${index}`);
    const [, app = ''] = directoriesOf(await inspect(`${registry.host}/damaged/${index}:1`));
    damage(join(app, 'app/data'));
    const lines = await mustPull(daemon.socket, reference);
    assert.ok(statuses(lines).includes('Delta not usable, whole layer needed'));
    await assertIs(reference, V2);
    for (const id of await imageIds(daemon.socket)) await ask(daemon.socket, { method: 'DELETE', path: `/images/${id}?force=1` });
  }
});

const ASKING: ReadonlyArray<readonly [what: string, wrong: (offered: Offered) => (seen: Seen) => Misbehaviour | undefined]> = [
  ['the list is refused', () => ({ path }) => (/referrers|sha256-/.test(path) ? { status: 403 } : undefined)],
  ['the list is no list', () => ({ path }) => (/sha256-/.test(path) ? { status: 200, content: '<html>' } : undefined)],
  ['the connection is closed', () => ({ path }) => (/referrers|sha256-/.test(path) ? { hangUp: true } : undefined)],
  ['the artifact is not there', ({ delta }) => ({ path }) => (path.endsWith(delta.artifact.digest) ? { status: 404 } : undefined)],
  ['the artifact is something else', ({ delta }) => ({ path }) => (path.endsWith(delta.artifact.digest) ? { status: 200, content: '{}' } : undefined)],
];

test('whatever comes of asking for deltas, the image is pulled', async (t) => {
  for (const [index, [what, wrong]] of ASKING.entries()) await t.test(what, async () => {
    const made = await offer(`asking/${index}`);
    registry.misbehave = wrong(made);
    const lines = await mustPull(daemon.socket, made.reference);
    assert.equal(statuses(lines).some((text) => text.startsWith('Delta')), false);
    await assertIs(made.reference, V2);
    for (const id of await imageIds(daemon.socket)) await ask(daemon.socket, { method: 'DELETE', path: `/images/${id}?force=1` });
  });
});

test('a registry with the referrers API is asked by it, and of an index the platform\'s manifest is the subject', async () => {
  await using fake = await openFakeRegistry();
  offerImages(fake, { 'api:1': V1, 'api:2': V2 });
  fake.addManifest('api', 'multi', buildIndex([V2], 'oci'));
  const delta = offerDelta(fake, 'api', { base: V1, target: V2 });
  fake.misbehave = ({ path }) => (path.endsWith(`/referrers/${V2.manifest.digest}`) ? { status: 200, headers: { 'Content-Type': 'application/vnd.oci.image.index.v1+json' }, content: referrersList([delta]) } : undefined);
  await mustPull(daemon.socket, `${fake.host}/api:1`);
  const lines = await mustPull(daemon.socket, `${fake.host}/api:multi`);
  assert.ok(statuses(lines).some((text) => text.startsWith('Delta: downloaded')));
  assert.equal(fake.requests.some(({ path }) => path.includes('sha256-')), false, 'the fallback tag is not asked for');
  await assertIs(`${fake.host}/api:multi`, V2);
});

test('a connection that breaks in the middle of a delta goes on from there; a client that leaves leaves nothing', async () => {
  const { reference, delta, blob } = await offer('broken', { target: MOVED });
  const largest = delta.layers.toSorted((a, b) => b.size - a.size)[0] ?? assert.fail();
  const before = listTree(daemon.dataRoot);
  registry.misbehave = ({ path }) => (path.endsWith(largest.digest) ? { stallAfterBytes: 3000 } : undefined);
  const leaving = startPull(daemon.socket, reference);
  await leaving.sees('Downloading', shortOf(MOVED.layers[MOVED.diffIds.indexOf(largest.diffId)]?.digest ?? ''));
  leaving.leave();
  await leaving.done.catch(() => {});
  registry.requests.length = 0;
  registry.misbehave = ({ path, range }) => (path.endsWith(largest.digest) && range === undefined ? { cutAfterBytes: 3000 } : undefined);
  const again = startPull(daemon.socket, reference);
  assert.equal((await again.done).error, undefined);
  const ranges = registry.seen('blob').filter(({ path }) => path.endsWith(largest.digest)).map(({ range }) => range);
  assert.deepEqual(ranges, [undefined, 'bytes=3000-']);
  assert.ok(blobsAsked().includes(blob));
  await assertIs(reference, MOVED);
  await ask(daemon.socket, { method: 'DELETE', path: `/images/${MOVED.config.digest}?force=1` });
  assert.deepEqual(listTree(daemon.dataRoot).filter((line) => !before.includes(line) && !/distribution|repositories\.json/.test(line)), [], 'nothing is left of either');
});

test('the base may lie in a second root, and what it shares with the target as well', async () => {
  const { reference, blob } = await offer('second');
  await using second = await startDaemon({ root: join(root.path, 'second'), config: { 'delta-data-root': daemon.dataRoot, 'delta-storage-driver': 'overlay2' } });
  const lines = await mustPull(second.socket, reference);
  assert.ok(statuses(lines).some((text) => text.startsWith('Delta: downloaded')));
  assert.deepEqual([blobsAsked().includes(blob), blobsAsked().includes(V2.layers[0]?.digest ?? '')], [true, false], 'what both share is copied');
  await assertIs(reference, V2, second);
});

test('pulls of one target with deltas and without share flights', async () => {
  const { reference } = await offer('together');
  offerImages(registry, { 'other/place:2': V2 });
  const pulled = await Promise.all([pull(daemon.socket, reference), pull(daemon.socket, `${registry.host}/other/place:2`), pull(daemon.socket, reference, { delta: '0' }), pull(daemon.socket, reference)]);
  assert.deepEqual(pulled.map(({ error }) => error), [undefined, undefined, undefined, undefined]);
  await assertIs(reference, V2);
});
