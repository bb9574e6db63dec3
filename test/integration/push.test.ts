// Pushes to Debian's registry: what dockerd and this engine make of each other's, what is not sent twice, and the deltas that go along.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { parseDeltaArtifact } from '../../src/oci/delta-artifact.ts';
import { MEDIA } from '../../src/oci/manifest.ts';
import type { ProgressLine } from '../../src/wire/types.ts';
import { EXECUTABLE, startDaemon, type Daemon } from '../kit/daemon.ts';
import { openDocker, type Docker } from '../kit/docker.ts';
import { startDockerd } from '../kit/dockerd.ts';
import { ask } from '../kit/http.ts';
import { buildImage, treeTar, type BuiltImage } from '../kit/image.ts';
import { openFakeRegistry } from '../kit/fake-registry.ts';
import { openMeter } from '../kit/meter.ts';
import { until } from '../kit/poll.ts';
import { mustPull } from '../kit/pull.ts';
import { pushImage, startRegistry, type DebianRegistry } from '../kit/registry.ts';
import { openTempRoot } from '../kit/temp.ts';

const held = new AsyncDisposableStack();
const root = held.use(openTempRoot());
let registry: DebianRegistry;
let daemon: Daemon;
let cli: Docker;

before(async () => {
  registry = held.use(await startRegistry({ root: join(root.path, 'registry') }));
  daemon = held.use(await startDaemon({ root: join(root.path, 'ours'), flags: ['--max-concurrent-uploads=2'] }));
  cli = openDocker({ host: daemon.host, configDir: root.path, binary: EXECUTABLE });
});
after(() => held.disposeAsync());

/** Bytes that do not pack, the same for the same word. */
function noise(word: string, sizeBytes: number): Buffer {
  const pieces: Buffer[] = [];
  for (let n = 0; n * 32 < sizeBytes; n++) pieces.push(createHash('sha256').update(`${word} ${n}`).digest());
  return Buffer.concat(pieces).subarray(0, sizeBytes);
}

const layer = (word: string, sizeBytes = 300_000) => treeTar({ [`${word}/`]: null, [`${word}/noise`]: noise(word, sizeBytes), [`${word}/name`]: word });

interface Shown { Id: string; RootFS: { Layers: string[] }; RepoDigests: string[] }
const shown = async (socket: string, name: string) => (await ask(socket, { path: `/images/${name}/json` })).json<Shown>();
const tag = async (socket: string, name: string, repo: string, word: string) => { assert.equal((await ask(socket, { method: 'POST', path: `/images/${name}/tag?repo=${repo}&tag=${word}` })).status, 201); };

/** REPOSITORY:TAG, which has to be fine; gives its lines. */
async function push(socket: string, name: string, query = ''): Promise<ProgressLine[]> {
  const [repository, word] = [name.slice(0, name.lastIndexOf(':')), name.slice(name.lastIndexOf(':') + 1)];
  const { status, text } = await ask(socket, { method: 'POST', path: `/images/${repository}/push?tag=${word}${query}`, headers: { 'X-Registry-Auth': 'e30=' }, timeoutMs: 120_000 });
  const lines = text.split('\r\n').filter(Boolean).map((line) => JSON.parse(line) as ProgressLine);
  assert.deepEqual([status, lines.find(({ error }) => error !== undefined)], [200, undefined]);
  return lines;
}

const statuses = (lines: readonly ProgressLine[], pattern: RegExp) => lines.flatMap(({ status = '' }) => (pattern.test(status) ? [status] : []));

interface Manifest { config: { digest: string }; layers: Array<{ mediaType: string; digest: string; size: number }> }

/** The manifest in the registry; every layer of it is one that unpacks to what the image says. */
async function manifestOf(repository: string, reference: string, image: Pick<BuiltImage, 'diffIds'> & { id: string }): Promise<{ digest: string; manifest: Manifest; text: string }> {
  const answer = await ask(registry.host, { path: `/v2/${repository}/manifests/${reference}`, headers: { Accept: MEDIA.dockerManifest } });
  const manifest = answer.json<Manifest>();
  assert.equal(manifest.config.digest, image.id);
  const made = await Promise.all(manifest.layers.map(async ({ mediaType, digest, size }) => {
    const { body } = await ask(registry.host, { path: `/v2/${repository}/blobs/${digest}` });
    assert.deepEqual([mediaType, body.length], [MEDIA.dockerLayerGzip, size]);
    return `sha256:${createHash('sha256').update(gunzipSync(body)).digest('hex')}`;
  }));
  assert.deepEqual(made, image.diffIds);
  return { digest: String(answer.headers['docker-content-digest']), manifest, text: answer.text };
}

test('dockerd pulls what is pushed here, and would have pushed the very same; what it pushes is pulled here', async () => {
  const theirs = await startDockerd({ root: join(root.path, 'theirs') });
  await using _theirs = theirs;
  // Packed with zstd, which dockerd 20.10 cannot read, with one layer twice and an empty one.
  const image = buildImage({ layers: [layer('a'), layer('b'), treeTar({}), layer('a'), layer('c')], compression: 'zstd', format: 'oci', config: { Cmd: ['sh'] } });
  const built = { id: image.config.digest, diffIds: image.diffIds };
  const source = await pushImage(registry.host, image, { repository: 'exchange/source', tag: '1' });
  await mustPull(daemon.socket, source);
  const name = `${registry.host}/exchange/ours`;
  await tag(daemon.socket, source, name, '1');
  const lines = await push(daemon.socket, `${name}:1`);
  assert.deepEqual([statuses(lines, /^Preparing$/).length, statuses(lines, /^Pushed$/).length], [5, 4]);
  const pushed = await manifestOf('exchange/ours', '1', built);
  assert.deepEqual(lines.slice(-2), [
    { status: `1: digest: ${pushed.digest} size: ${pushed.text.length}` },
    { progressDetail: {}, aux: { Tag: '1', Digest: pushed.digest, Size: pushed.text.length } },
  ]);
  assert.ok((await shown(daemon.socket, `${name}:1`)).RepoDigests.includes(`${name}@${pushed.digest}`));

  await mustPull(theirs.socket, `${name}:1`);
  const there = await shown(theirs.socket, `${name}:1`);
  assert.deepEqual([there.Id, there.RootFS.Layers], [image.config.digest, image.diffIds]);
  await tag(theirs.socket, `${name}:1`, `${registry.host}/exchange/theirs`, '1');
  await push(theirs.socket, `${registry.host}/exchange/theirs:1`);
  assert.equal((await manifestOf('exchange/theirs', '1', built)).text, pushed.text, 'byte for byte');

  const imported = await ask(theirs.socket, { method: 'POST', path: `/images/create?fromSrc=-&repo=${registry.host}/exchange/import&tag=1`, body: layer('imported') });
  assert.equal(imported.status, 200, imported.text);
  await push(theirs.socket, `${registry.host}/exchange/import:1`);
  await mustPull(daemon.socket, `${registry.host}/exchange/import:1`);
  assert.deepEqual(await shown(daemon.socket, `${registry.host}/exchange/import:1`).then(({ Id, RootFS }) => [Id, RootFS.Layers]), await shown(theirs.socket, `${registry.host}/exchange/import:1`).then(({ Id, RootFS }) => [Id, RootFS.Layers]));
});

test('what a repository has is not sent, nor what another one lends', async () => {
  await using meter = await openMeter(registry.host);
  const image = buildImage({ layers: [layer('d'), layer('e')] });
  const built = { id: image.config.digest, diffIds: image.diffIds };
  const source = await pushImage(meter.host, image, { repository: 'lent/source', tag: '1' });
  await mustPull(daemon.socket, source);
  meter.reset();
  await tag(daemon.socket, source, `${meter.host}/lent/target`, '1');
  assert.deepEqual(statuses(await push(daemon.socket, `${meter.host}/lent/target:1`), /Mounted/), ['Mounted from lent/source', 'Mounted from lent/source']);
  await tag(daemon.socket, source, `${meter.host}/lent/target`, '2');
  const all = await ask(daemon.socket, { method: 'POST', path: `/images/${meter.host}/lent/target/push`, headers: { 'X-Registry-Auth': 'e30=' } });
  assert.deepEqual([all.text.match(/Layer already exists/g)?.length, all.text.match(/"\d: digest: [^"]*"/g)?.length], [4, 2]);
  assert.ok(meter.sentBytes < 20_000, `${meter.sentBytes} bytes for two layers of 300 kB that are there`);
  await manifestOf('lent/target', '2', built);
  // A client that leaves ends its push, and those that come after it have the places of its layers.
  await using slow = await openFakeRegistry();
  slow.misbehave = ({ method }) => (method === 'PATCH' ? { deaf: true } : undefined);
  const left = `${slow.host}/left/own`;
  await tag(daemon.socket, source, left, '1');
  const session = cli.start(['push', `${left}:1`]);
  await until('both layers to be on their way', () => slow.requests.filter(({ method }) => method === 'PATCH').length === 2);
  session.signal('SIGINT');
  assert.notEqual((await session.outcome).code, 0);
  slow.misbehave = () => undefined;
  assert.equal(statuses(await push(daemon.socket, `${left}:1`), /^Pushed$/).length, 2);
});

test('a blob that an older engine recorded is held to the layer: balenaEngine records deltas', async () => {
  const image = buildImage({ layers: [layer('g'), layer('h')] });
  const delta = gzipSync(treeTar({ delta: Buffer.from('72730236', 'hex') }));
  const digests = [`sha256:${createHash('sha256').update(delta).digest('hex')}`, image.layers[1]?.digest ?? ''];
  const source = await pushImage(registry.host, image, { repository: 'older/app', tag: '1' });
  await mustPull(daemon.socket, source);
  const carrier = buildImage({ layers: [gunzipSync(delta)] });
  assert.ok(carrier.layers[0]);
  await pushImage(registry.host, { ...carrier, layers: [{ ...carrier.layers[0], bytes: delta, digest: digests[0] ?? '', size: delta.length }], manifest: image.manifest }, { repository: 'older/app', tag: 'delta' });
  const records = join(daemon.dataRoot, 'image/overlay2/distribution');
  for (const [n, diffId] of image.diffIds.entries()) {
    writeFileSync(join(records, 'v2metadata-by-diffid/sha256', diffId.slice(7)), JSON.stringify([{ Digest: digests[n], SourceRepository: `${registry.host}/older/app`, HMAC: '' }]));
    mkdirSync(join(records, 'diffid-by-digest/sha256'), { recursive: true });
    writeFileSync(join(records, 'diffid-by-digest/sha256', (digests[n] ?? '').slice(7)), diffId);
  }
  await tag(daemon.socket, source, `${registry.host}/older/app`, '2');
  const lines = await push(daemon.socket, `${registry.host}/older/app:2`);
  assert.deepEqual(statuses(lines, /^(Pushed|Layer already exists|Mounted.*)$/).toSorted(), ['Layer already exists', 'Pushed']);
  await manifestOf('older/app', '2', { id: image.config.digest, diffIds: image.diffIds });
  const kept = JSON.parse(readFileSync(join(records, 'v2metadata-by-diffid/sha256', image.diffIds[1]?.slice(7) ?? ''), 'utf8')) as Array<Record<string, string>>;
  assert.deepEqual(kept, [{ Digest: digests[1], SourceRepository: `${registry.host}/older/app`, HMAC: '', Writer: 'vaquita' }], 'what was seen is believed from now on');
});

/** Versions of one application: most of each is what the one before had. */
const version = (n: number) => buildImage({
  layers: [layer('base'), treeTar({ 'app/': null, 'app/code': Buffer.concat([noise('code', 200_000), Buffer.from(`version ${n}`)]), 'app/version': String(n) })], config: { Env: [`VERSION=${n}`] },
});

async function offersTo(repository: string, target: BuiltImage): Promise<string[]> {
  const index = await ask(registry.host, { path: `/v2/${repository}/manifests/${target.manifest.digest.replace(':', '-')}`, headers: { Accept: MEDIA.ociIndex } });
  if (index.status === 404) return [];
  const artifacts = await Promise.all(index.json<{ manifests: Array<{ digest: string }> }>().manifests.map(async ({ digest }) => parseDeltaArtifact((await ask(registry.host, { path: `/v2/${repository}/manifests/${digest}`, headers: { Accept: MEDIA.ociManifest } })).body)));
  return artifacts.map(({ base, target: to, subject, layers }) => {
    assert.deepEqual([to, subject.digest, layers.map(({ diffId }) => diffId)], [target.config.digest, target.manifest.digest, target.diffIds.slice(1)]);
    return base;
  }).toSorted();
}

test('deltas are published beside their target, each once, and one that fails is named; a push brings along what is kept', async () => {
  const versions = [1, 2, 3, 4].map(version);
  const names: string[] = [];
  for (const [n, image] of versions.entries()) names.push(await pushImage(registry.host, image, { repository: 'fleet/app', tag: String(n + 1) }));
  const [one, two, three, four] = versions;
  assert.ok(one && two && three && four);
  const ids = [one, two, three].map(({ config }) => config.digest);
  const name = `${registry.host}/fleet/app`;

  const first = await cli.run(['image', 'publish-deltas', `${name}:4`, '--from', `${name}:1,${name}:2`, '--from', `${name}:nosuch`, '--from', `${name}:4`]);
  assert.equal(first.code, 1);
  assert.match(first.stderr, new RegExp(`^2 of 4 deltas to ${name}:4 could not be published: from ${name}:nosuch \\(manifest for .*not found.*\\), ${name}:4 \\(it is the target itself\\)\n$`));
  assert.match(first.stdout, /^Delta from \S+:1: Making$/m);
  assert.match(first.stdout, /^Delta from \S+:2: Pushed, \d\S*B instead of 20\d(\.\d+)?kB$/m);
  const table = first.stdout.slice(first.stdout.indexOf('FROM')).trimEnd().split('\n').map((line) => line.split(/ {3,}/));
  assert.deepEqual(table[0], ['FROM', 'LAYERS', 'DELTA', 'WHOLE', 'FACTOR', 'SECONDS']);
  assert.deepEqual(table.slice(1).map(([from = '', layers]) => [from.slice(name.length), layers]), [[':nosuch', 'failed'], [':4', 'failed'], [':1', '1 of 2'], [':2', '1 of 2']]);
  assert.ok(table.slice(3).every(([, , delta = '', whole = '', factor = '']) => delta.endsWith('B') && /^20\d.*kB$/.test(whole) && Number.parseFloat(factor) > 20), first.stdout);
  assert.deepEqual(await offersTo('fleet/app', four), ids.slice(0, 2).toSorted());

  const publish = (query: string) => ask(daemon.socket, { method: 'POST', path: `/images/publish-deltas?target=${name}:4&${query}`, timeoutMs: 60_000 }).then(({ text }) => text);
  const second = await publish(`from=${name}:1&from=${name}:3`);
  assert.deepEqual(second.match(/"status":"(Already published|Pushed)/g)?.toSorted(), ['"status":"Already published', '"status":"Pushed'], second);
  assert.deepEqual(await offersTo('fleet/app', four), ids.toSorted());
  assert.match(await publish(`from=${name}:1&force=1`), /"status":"Pushed, /);
  assert.deepEqual(await offersTo('fleet/app', four), ids.toSorted());

  // To another repository: the target was pulled from where it lies, so its manifest there is not ours to know.
  await tag(daemon.socket, `${name}:4`, `${registry.host}/other/app`, '4');
  const along = await push(daemon.socket, `${registry.host}/other/app:4`);
  const told = along.filter(({ id }) => id?.startsWith('Delta from ')).map(({ id = '', status = '' }) => `${id.slice('Delta from '.length + name.length)} ${status.replace(/ .*/, '')}`);
  assert.deepEqual(told.filter((line) => !line.endsWith('Pushing')).toSorted(), [':1 Pushed,', ':2 Pushed,', ':3 Pushed,']);
  const again = await push(daemon.socket, `${registry.host}/other/app:4`);
  assert.equal(statuses(again, /^Already pushed, /).length, 3);
  await tag(daemon.socket, `${name}:4`, `${registry.host}/bare/app`, '4');
  assert.deepEqual((await push(daemon.socket, `${registry.host}/bare/app:4`, '&delta=0')).filter(({ id }) => id?.startsWith('Delta')), []);
  assert.deepEqual(await offersTo('bare/app', four), []);

  // A registry that takes images but no artifacts has the image.
  await using strict = await openFakeRegistry();
  strict.misbehave = ({ method, path }) => (method === 'PUT' && /manifests\/sha256:/.test(path) ? { status: 400, content: '{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid"}]}' } : undefined);
  await tag(daemon.socket, `${name}:4`, `${strict.host}/strict/app`, '4');
  assert.deepEqual(statuses(await push(daemon.socket, `${strict.host}/strict/app:4`), /^Not pushed/), Array.from({ length: 3 }, () => 'Not pushed: manifest invalid: manifest invalid (does this registry take artifacts of OCI 1.1?)'));
  assert.ok(strict.shelf.manifest('strict/app', '4'));

  // A device that came by a delta pushes whole layers.
  await using device = await startDaemon({ root: join(root.path, 'device') });
  await mustPull(device.socket, `${name}:1`);
  const lines = await mustPull(device.socket, `${name}:4`);
  assert.equal(statuses(lines, /^Delta: downloaded/).length, 1, JSON.stringify(lines));
  for (const repository of ['fleet/app', 'device/app']) {
    await tag(device.socket, `${name}:4`, `${registry.host}/${repository}`, 'from-device');
    await push(device.socket, `${registry.host}/${repository}:from-device`);
    await manifestOf(repository, 'from-device', { id: four.config.digest, diffIds: four.diffIds });
  }
});
