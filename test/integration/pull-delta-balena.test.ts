// Delta images of balenaEngine, pulled: those of a real one become their target, broken ones change nothing, and where the whole target is it comes instead.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { CORPUS_CASES, corpusImage, imageOf, vectorOf } from '../kit/corpus.ts';
import { startDaemon, type Daemon } from '../kit/daemon.ts';
import { offerImages } from '../kit/deltas.ts';
import { openFakeRegistry } from '../kit/fake-registry.ts';
import { ask } from '../kit/http.ts';
import type { BuiltImage } from '../kit/image.ts';
import { until } from '../kit/poll.ts';
import { imageIds, listTree, mustPull, pull, shortOf, startPull } from '../kit/pull.ts';
import { pushImage, startRegistry, type DebianRegistry } from '../kit/registry.ts';
import { openTempRoot } from '../kit/temp.ts';

const held = new AsyncDisposableStack();
const root = held.use(openTempRoot());
let daemon: Daemon;
let registry: DebianRegistry;

before(async () => {
  registry = held.use(await startRegistry({ root: join(root.path, 'registry') }));
  daemon = held.use(await startDaemon({ root: join(root.path, 'engine') }));
});
after(() => held.disposeAsync());

interface Shown { Id: string; RepoTags: string[]; RepoDigests: string[]; RootFS: { Layers: string[] }; GraphDriver: { Data: { LowerDir?: string; UpperDir: string } } }

const inspect = async (name: string, { socket } = daemon) => (await ask(socket, { path: `/images/${name}/json` })).json<Shown>();
const push = (image: BuiltImage, repository: string, tag: string) => pushImage(registry.host, image, { repository, tag });
const directoriesOf = ({ GraphDriver: { Data } }: Shown) => [Data.UpperDir, ...Data.LowerDir?.split(':') ?? []].toReversed();

async function removeAll(): Promise<void> {
  for (const id of await imageIds(daemon.socket)) await ask(daemon.socket, { method: 'DELETE', path: `/images/${id}?force=1` });
  assert.deepEqual([await imageIds(daemon.socket), readdirSync(join(daemon.dataRoot, 'image/overlay2/layerdb/sha256'))], [[], []]);
}

const statuses = (lines: ReadonlyArray<{ status?: string }>) => lines.map(({ status }) => status ?? '');

test('what a real balenaEngine made becomes its target, under the name of the delta', async (t) => {
  for (const name of CORPUS_CASES) await t.test(name, async () => {
    await removeAll();
    const vector = vectorOf(name);
    const [base, delta] = [corpusImage(name, 'base'), corpusImage(name, 'delta')];
    assert.equal(delta.config.digest, vector.delta);
    await mustPull(daemon.socket, await push(base, name, 'base'));
    const reference = await push(delta, name, 'delta');
    const dry = await mustPull(daemon.socket, `${reference}`, { dryRun: '1' });
    assert.match(dry.at(-1)?.status ?? '', /^Status: Would download \S+ for /);
    assert.deepEqual(await imageIds(daemon.socket), [vector.base]);
    const lines = await mustPull(daemon.socket, reference);
    assert.deepEqual(statuses(lines).slice(-2), [`Digest: ${delta.manifest.digest}`, `Status: Downloaded newer image for ${reference}`]);
    const made = await inspect(reference);
    assert.deepEqual([made.Id, made.RootFS.Layers, made.RepoTags, made.RepoDigests],
      [vector.target, vector.target_layers, [reference], [`${reference.slice(0, reference.lastIndexOf(':'))}@${delta.manifest.digest}`]]);
    assert.deepEqual(await imageIds(daemon.socket), [vector.base, vector.target].toSorted(), 'the delta image itself is not kept');
    for (const [index, layer] of delta.layers.entries()) {
      const told = statuses(lines.filter(({ id }) => id === shortOf(layer.digest)));
      const isShared = vector.target_layers[index] === vector.base_layers[index];
      assert.equal(told.at(-1), isShared ? 'Already exists' : 'Pull complete');
      const record = join(daemon.dataRoot, 'image/overlay2/distribution/diffid-by-digest/sha256', layer.digest.slice(7));
      assert.equal(existsSync(record), false, 'a push must not take the delta for the layer');
    }
    const again = await mustPull(daemon.socket, reference);
    assert.deepEqual([again.length, again.at(-1)?.status], [3, `Status: Image is up to date for ${reference}`]);
  });
});

const missing = (name: string) => new RegExp(`^loading delta base image "${vectorOf(name).base}": failed to get digest ${vectorOf(name).base}: open ${daemon.dataRoot}/image/overlay2/imagedb/content/sha256/${vectorOf(name).base.slice(7)}: no such file or directory$`);

test('without its base: balenaEngine\'s words and nothing changed, or the whole target where the repository has it', async () => {
  await removeAll();
  const before = listTree(daemon.dataRoot);
  const reference = await push(corpusImage('edit', 'delta'), 'nobase', 'delta-1');
  assert.match((await pull(daemon.socket, reference)).error ?? '', missing('edit'));
  assert.match((await pull(daemon.socket, reference, { delta: '0' })).error ?? '', /is a delta, deltas are not to be used, and the repository has no tag with its whole target sha256:0f6dee/);
  assert.deepEqual(listTree(daemon.dataRoot), before);
  await push(corpusImage('edit', 'base'), 'nobase', 'latest');
  for (let n = 0; n < 3; n++) await push(corpusImage('unrelated', 'base'), 'nobase', `other-${n}`);
  const whole = await push(corpusImage('edit', 'target'), 'nobase', 'v2');
  const lines = await mustPull(daemon.socket, reference);
  assert.ok(statuses(lines).includes(`Delta: base ${vectorOf('edit').base} is not here, the whole image comes from ${whole}`), JSON.stringify(lines));
  assert.equal((await inspect(reference)).Id, vectorOf('edit').target);
  const copied = await mustPull(daemon.socket, await push(corpusImage('target-in-base', 'delta'), 'nobase/part', 'delta').then(async (name) => { await mustPull(daemon.socket, await push(corpusImage('target-in-base', 'base'), 'nobase/part', 'base')); return name; }), {});
  assert.equal(copied.some(({ status }) => status === 'Downloading'), false);
  await removeAll();
  await mustPull(daemon.socket, await push(corpusImage('edit', 'base'), 'nobase', 'base'));
  const wanted = await mustPull(daemon.socket, reference, { delta: '0' });
  assert.ok(statuses(wanted).includes(`Delta: deltas are not to be used, the whole image comes from ${whole}`));
});

/** The delta stands behind the header of the one entry of its tar. */
const DELTA_AT = 512;
const spoiled = (name: string, spoil: (tar: Buffer) => Buffer) => {
  const good = corpusImage(name, 'delta');
  return imageOf(good.config.bytes, corpusTars(name).map(spoil));
};

function corpusTars(name: string): Buffer[] {
  const tars: Buffer[] = [];
  corpusImage(name, 'delta', (tar) => { tars.push(tar); return tar; });
  return tars;
}

const BROKEN: ReadonlyArray<readonly [what: string, spoil: (tar: Buffer) => Buffer, words: RegExp]> = [
  ['wrong magic', (tar) => { tar.writeUInt32BE(0xbaaaaaad, DELTA_AT); return tar; }, /^failed to register layer sha256:\w+: applying delta: .*Got magic number baaaaaad rather than expected value 72730236/],
  ['cut short', (tar) => { tar.write('00000005000\0', 124, 'latin1'); return Buffer.concat([withChecksum(tar).subarray(0, DELTA_AT + 0o5000), Buffer.alloc(1024)]); }, /applying delta: .*unexpected EOF/],
  ['an archive without an entry', () => Buffer.alloc(1024), /applying delta: .*unexpected EOF, invalid delta tar archive/],
  ['no archive at all', () => Buffer.from('nothing of the kind'.repeat(100)), /applying delta: /],
  ['a command that there is not', (tar) => { tar[DELTA_AT + 4] = 0xff; return tar; }, /applying delta: .*Bogus command ff/],
  ['one bit wrong', (tar) => { const at = DELTA_AT + 9000; tar[at] = (tar[at] ?? 0) ^ 1; return tar; }, /applying delta: .*(filesystem layer verification failed|tar|corrupt|unpack)/],
];

function withChecksum(tar: Buffer): Buffer {
  tar.fill(' ', 148, 156);
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return tar;
}

test('a broken delta changes nothing, or the whole target comes instead', async (t) => {
  await removeAll();
  await mustPull(daemon.socket, await push(corpusImage('edit', 'base'), 'broken', 'base'));
  const before = listTree(daemon.dataRoot);
  for (const [what, spoil, words] of BROKEN) await t.test(what, async () => {
    const reference = await push(spoiled('edit', spoil), `broken/${BROKEN.findIndex(([name]) => name === what)}`, 'delta');
    const { error } = await pull(daemon.socket, reference);
    assert.match(error ?? '', words);
    assert.deepEqual(listTree(daemon.dataRoot), before);
  });
  const reference = await push(spoiled('edit', BROKEN[0]?.[1] ?? assert.fail()), 'broken/0', 'delta');
  await push(corpusImage('edit', 'target'), 'broken/0', 'latest');
  const lines = await mustPull(daemon.socket, reference);
  assert.ok(statuses(lines).includes('Delta not usable, whole layer needed'), JSON.stringify(lines));
  assert.equal((await inspect(reference)).Id, vectorOf('edit').target);
  assert.match(daemon.log(), /a delta could not be used: the whole layer is downloaded instead/);
});

test('a delta whose bytes are not those that its manifest names is refused', async () => {
  await removeAll();
  await using fake = await openFakeRegistry();
  const [base, delta] = [corpusImage('edit', 'base'), corpusImage('edit', 'delta')];
  offerImages(fake, { 'wrong:base': base, 'wrong:delta': delta });
  await mustPull(daemon.socket, `${fake.host}/wrong:base`);
  const layer = delta.layers[0] ?? assert.fail();
  const other = Buffer.from(layer.bytes);
  other[other.length - 5] = (other[other.length - 5] ?? 0) ^ 1; // of gzip's own checksum: the delta itself is as it should be
  fake.misbehave = ({ path }) => (path.endsWith(layer.digest) ? { content: other } : undefined);
  const { error } = await pull(daemon.socket, `${fake.host}/wrong:delta`);
  assert.match(error ?? '', /sha256|gzip|incorrect data check|digest/i);
  assert.deepEqual(await imageIds(daemon.socket), [vectorOf('edit').base]);
});

test('a base that is not what it was: the whole target, or an error', async () => {
  for (const damage of [(file: string) => { writeFileSync(file, Buffer.alloc(readFileSync(file).length, 7)); }, (file: string) => { rmSync(file); }]) {
    await removeAll();
    await mustPull(daemon.socket, await push(corpusImage('edit', 'base'), 'damaged', 'base'));
    const [directory = ''] = directoriesOf(await inspect(`${registry.host}/damaged:base`));
    const largest = listTree(directory).filter((line) => !line.endsWith('/')).map((line) => line.split(' ')).toSorted((a, b) => Number(b[1]) - Number(a[1]))[0]?.[0] ?? '';
    damage(join(directory, largest));
    const before = listTree(daemon.dataRoot);
    const lost = await pull(daemon.socket, await push(corpusImage('edit', 'delta'), 'damaged/alone', 'delta'));
    assert.match(lost.error ?? '', /^failed to register layer sha256:\w+: applying delta: /);
    assert.deepEqual(listTree(daemon.dataRoot), before);
    const reference = await push(corpusImage('edit', 'delta'), 'damaged', 'delta');
    await push(corpusImage('edit', 'target'), 'damaged', 'latest');
    await mustPull(daemon.socket, reference);
    assert.equal((await inspect(reference)).Id, vectorOf('edit').target);
  }
});

test('the base may lie in a second root, with the layers that it shares with the target', async () => {
  await removeAll();
  for (const name of CORPUS_CASES) await mustPull(daemon.socket, await push(corpusImage(name, 'base'), `two/${name}`, 'base'));
  const other = listTree(daemon.dataRoot);
  await using second = await startDaemon({ root: join(root.path, 'second'), flags: ['--delta-data-root', daemon.dataRoot, '--delta-storage-driver=overlay2'] });
  for (const name of CORPUS_CASES) {
    const reference = await push(corpusImage(name, 'delta'), `two/${name}`, 'delta');
    await mustPull(second.socket, reference);
    const made = await inspect(reference, second);
    assert.deepEqual([made.Id, made.RootFS.Layers], [vectorOf(name).target, vectorOf(name).target_layers]);
    for (const directory of directoriesOf(made)) assert.ok(directory.startsWith(second.dataRoot), directory);
  }
  assert.deepEqual(await imageIds(second.socket), [...new Set(CORPUS_CASES.map((name) => vectorOf(name).target as string))].toSorted());
  assert.deepEqual(listTree(daemon.dataRoot), other, 'the second root is only read');
});

test('a base that is removed while its delta arrives stays until it is applied, and goes then', async () => {
  await removeAll();
  await using fake = await openFakeRegistry();
  const delta = corpusImage('edit', 'delta');
  offerImages(fake, { 'leased:base': corpusImage('edit', 'base'), 'leased:delta': delta });
  await mustPull(daemon.socket, `${fake.host}/leased:base`);
  const layer = delta.layers[0]?.digest ?? '';
  let isHeld = true;
  fake.misbehave = ({ path }) => (isHeld && path.endsWith(layer) ? { stallAfterBytes: 1000 } : undefined);
  const pulling = startPull(daemon.socket, `${fake.host}/leased:delta`);
  await pulling.sees('Downloading', shortOf(layer));
  assert.equal((await ask(daemon.socket, { method: 'DELETE', path: `/images/${vectorOf('edit').base}?force=1` })).status, 200);
  isHeld = false;
  fake.cut();
  assert.equal((await pulling.done).error, undefined);
  assert.deepEqual(await imageIds(daemon.socket), [vectorOf('edit').target]);
  await until('the base to go after it', () => isDeepStrictEqual(readdirSync(join(daemon.dataRoot, 'image/overlay2/layerdb/sha256')), [vectorOf('edit').target_layers[0]?.slice(7)]));
});

test('a delta image that was made here is applied when it is pulled; its target, pushed after that, is the same everywhere', async () => {
  await removeAll();
  const [base, target] = [await push(corpusImage('edit', 'base'), 'made', 'base'), await push(corpusImage('edit', 'target'), 'made', 'target')];
  for (const name of [base, target]) await mustPull(daemon.socket, name);
  const delta = `${registry.host}/made:delta`;
  const post = async (path: string) => { const { status, text } = await ask(daemon.socket, { method: 'POST', path, headers: { 'X-Registry-Auth': 'e30=' }, timeoutMs: 60_000 }); assert.deepEqual([status, /"error"/.test(text)], [200, false], text); };
  await post(`/images/delta?src=${base}&dest=${target}&t=${delta}`);
  const made = await inspect(delta);
  await post(`/images/${registry.host}/made/push?tag=delta`);
  await mustPull(daemon.socket, delta);
  assert.equal((await inspect(delta)).Id, vectorOf('edit').target);
  assert.ok((await imageIds(daemon.socket)).includes(made.Id), 'the delta image is still there, without its name');
  await removeAll();
  await mustPull(daemon.socket, base);
  await mustPull(daemon.socket, delta);
  await ask(daemon.socket, { method: 'POST', path: `/images/${delta}/tag?repo=${registry.host}/made/anew&tag=1` });
  await post(`/images/${registry.host}/made/anew/push?tag=1`);
  await removeAll();
  await mustPull(daemon.socket, `${registry.host}/made/anew:1`);
  const shown = await inspect(`${registry.host}/made/anew:1`);
  assert.deepEqual([shown.Id, shown.RootFS.Layers], [vectorOf('edit').target, vectorOf('edit').target_layers]);
});

test('pulls of one target by its delta, by its whole image and by a broken delta share flights, and do not fail each other', async () => {
  await removeAll();
  await using fake = await openFakeRegistry();
  const [base, delta, target] = [corpusImage('layers', 'base'), corpusImage('layers', 'delta'), corpusImage('layers', 'target')];
  const broken = spoiled('layers', (tar) => { if (tar.length > 1024) tar.writeUInt32BE(0xbaaaaaad, DELTA_AT); return tar; });
  offerImages(fake, { 'good:base': base, 'good:delta': delta, 'whole:1': target, 'bad:delta': broken });
  await mustPull(daemon.socket, `${fake.host}/good:base`);
  // The broken one is first on its way, and held in the middle until the others wait for it.
  const stall = broken.layers[1]?.digest ?? '';
  let isHeld = true;
  fake.misbehave = ({ path }) => (isHeld && path.endsWith(stall) ? { stallAfterBytes: 10 } : undefined);
  const bad = startPull(daemon.socket, `${fake.host}/bad:delta`);
  await bad.sees('Downloading', shortOf(stall));
  const others = [startPull(daemon.socket, `${fake.host}/whole:1`), startPull(daemon.socket, `${fake.host}/good:delta`)];
  for (const [n, image] of [target, delta].entries()) await others[n]?.sees(/Downloading|Extracting|Waiting/, shortOf(image.layers[1]?.digest ?? ''));
  isHeld = false;
  fake.cut();
  for (const { done } of others) assert.equal((await done).error, undefined);
  assert.match((await bad.done).error ?? '', /Got magic number baaaaaad/);
  assert.ok((await imageIds(daemon.socket)).includes(vectorOf('layers').target));
});
