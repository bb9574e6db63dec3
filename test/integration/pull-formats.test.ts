// Layers of every packing and manifests of every form arrive as the same files; hostile archives arrive as an error.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { before, test } from 'node:test';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA, type Descriptor, type Platform } from '../../src/oci/manifest.ts';
import { ask } from '../kit/http.ts';
import { treeTar, type Tree } from '../kit/image.ts';
import { imageIds, listTree, mustPull, pull } from '../kit/pull.ts';
import { openPullBench } from '../kit/pull-bench.ts';

const { root, daemon, registry } = await openPullBench();
const outside = join(root.path, 'outside');

before(() => {
  mkdirSync(join(outside, 'folder'), { recursive: true });
  writeFileSync(join(outside, 'folder', 'canary'), 'alive');
});

interface Inspected { Id: string; Architecture: string; Variant?: string; GraphDriver: { Data: { UpperDir: string } }; RootFS: { Layers: string[] }; RepoDigests: string[] }
const inspect = async (name: string) => (await ask(daemon.socket, { path: `/images/${name}/json` })).json<Inspected>();

const PACKINGS = [
  ['gzip', (tar: Uint8Array) => gzipSync(tar, { level: 1 }), MEDIA.dockerLayerGzip],
  ['gzip-oci', (tar: Uint8Array) => gzipSync(tar), MEDIA.ociLayerGzip],
  ['gzip-members', (tar: Uint8Array) => Buffer.concat([gzipSync(tar.subarray(0, 100_000)), gzipSync(tar.subarray(100_000))]), MEDIA.dockerLayerGzip],
  ['zstd', (tar: Uint8Array) => zstdCompressSync(tar), MEDIA.ociLayerZstd],
  ['plain', (tar: Uint8Array) => tar, MEDIA.ociLayer],
] as const;

test('every packing of a layer gives the same files', async () => {
  for (const [name, pack, layerType] of PACKINGS) {
    const data = randomBytes(300_000);
    const tar = treeTar({ 'etc/': null, 'etc/name': name, 'data': data, 'link': { type: 'symlink', linkName: 'data' } });
    registry.addImage(`packed/${name}`, '1', { layers: [pack(tar)], diffIds: [digestOf(tar)], layerType });
    const reference = `${registry.host}/packed/${name}:1`;
    await mustPull(daemon.socket, reference);
    const { GraphDriver: { Data: { UpperDir } } } = await inspect(reference);
    assert.deepEqual(listTree(UpperDir), ['data 300000', 'etc/', `etc/name ${name.length}`, 'link -> data']);
    assert.deepEqual([readFileSync(join(UpperDir, 'data')), readFileSync(join(UpperDir, 'etc/name'), 'utf8')], [data, name]);
  }
});

test('of a list the image of the wanted platform is pulled, and only that', async () => {
  const platforms: Platform[] = [
    { os: 'linux', architecture: 's390x' }, { os: 'linux', architecture: 'arm', variant: 'v6' }, { os: 'linux', architecture: 'arm', variant: 'v7' },
    { os: 'linux', architecture: 'arm64', variant: 'v8' }, { os: 'linux', architecture: 'amd64' }, { os: 'windows', architecture: 'amd64', osVersion: '10.0' },
  ];
  const images = platforms.map((platform) => {
    const tar = treeTar({ 'which': `${platform.os}/${platform.architecture}/${platform.variant ?? ''}` });
    return registry.addImage('many/platforms', undefined, { layers: [gzipSync(tar)], diffIds: [digestOf(tar)], platform });
  });
  const index = registry.addIndex('many/platforms', '1', images.map(({ manifest }) => manifest));
  const attested: Descriptor = { ...index, platform: { os: 'unknown', architecture: 'unknown' } };
  registry.addIndex('many/platforms', '2', [attested, ...images.map(({ manifest }) => manifest)]);
  const own = process.arch === 'arm64' ? 'linux/arm64/v8' : 'linux/amd64/';
  for (const [tag, platform, want] of [['1', '', own], ['2', '', own], ['1', 'linux/arm/v7', 'linux/arm/v7'], ['1', 'linux/arm/v6', 'linux/arm/v6'], ['1', 'linux/s390x', 'linux/s390x/']] as const) {
    registry.requests.length = 0;
    const { error } = await pull(daemon.socket, `${registry.host}/many/platforms:${tag}`, platform === '' ? {} : { platform });
    assert.equal(error, undefined);
    const { GraphDriver, RepoDigests } = await inspect(`${registry.host}/many/platforms:${tag}`);
    assert.equal(readFileSync(join(GraphDriver.Data.UpperDir, 'which'), 'utf8'), want);
    if (tag === '1') assert.ok(RepoDigests.includes(`${registry.host}/many/platforms@${index.digest}`), 'what a name with a digest means is the list');
    assert.ok(registry.seen('blob').length <= 2, 'nothing of other platforms is fetched');
  }
  const { error, status } = await pull(daemon.socket, `${registry.host}/many/platforms:1`, { platform: 'linux/riscv64' });
  assert.deepEqual([status, error], [404, 'no matching manifest for linux/riscv64 in the manifest list entries']);
  const alone = `${registry.host}/many/platforms@${images[0]?.manifest.digest}`;
  const { lines } = await pull(daemon.socket, alone, { platform: 'linux/arm/v6' });
  assert.equal(lines.at(-1)?.status, `WARNING: image with reference ${alone} was found but does not match the specified platform: wanted linux/arm/v6, actual: linux/s390x`);
});

test('a pull by digest is held to it and gives no tag', async () => {
  const tar = treeTar({ 'by': 'digest' });
  const { manifest, config } = registry.addImage('by/digest', undefined, { layers: [gzipSync(tar)], diffIds: [digestOf(tar)] });
  await mustPull(daemon.socket, `${registry.host}/by/digest@${manifest.digest}`);
  const image = await inspect(`${registry.host}/by/digest@${manifest.digest}`);
  assert.deepEqual([image.Id, image.RepoDigests], [config.digest, [`${registry.host}/by/digest@${manifest.digest}`]]);
  assert.equal((await ask(daemon.socket, { path: `/images/${registry.host}/by/digest:latest/json` })).status, 404);
});

const HOSTILE: ReadonlyArray<readonly [what: string, tree: Tree, message: RegExp]> = [
  ['a name that climbs', { '../../../../../../../../outside': 'x' }, /leads out of the layer/],
  ['a name that climbs later', { 'a/': null, 'a/../../escape': 'x' }, /leads out of the layer/],
  ['a directory that climbs', { '../': null }, /leads out of the layer/],
  ['a hard link that climbs', { 'escape': { type: 'hardlink', linkName: '../../../../../etc/passwd' } }, /leads out of the layer/],
  ['a hard link to what only the host has', { 'escape': { type: 'hardlink', linkName: join(outside, 'folder/canary') } }, /which this layer does not have/],
  ['a hard link through a symlink', { 'out': { type: 'symlink', linkName: outside }, 'escape': { type: 'hardlink', linkName: 'out/folder/canary' } }, /which this layer does not have/],
  ['a whiteout that climbs', { [`..${outside}/.wh.folder`]: '' }, /leads out of the layer/],
  ['a whiteout of the directory above', { 'a/': null, 'a/.wh...': '' }, /whiteout of nothing/],
  ['a file in the place of the root', { './': { type: 'symlink', linkName: '/' } }, /root of a layer is a directory/],
  ['one name twice', { 'twice': 'a', './twice': 'b' }, /duplicates of file paths not supported/],
  ['symlinks in a circle', { 'a': { type: 'symlink', linkName: 'b' }, 'b': { type: 'symlink', linkName: 'a' }, 'a/file': 'x' }, /a\/file: /],
];

test('hostile archives are an error, and nothing outside of the staging directory is touched', async (t) => {
  for (const [what, tree, message] of HOSTILE) await t.test(what, async () => {
    const tar = treeTar({ 'harmless': 'x'.repeat(1000), ...tree });
    const { layers: [layer] } = registry.addImage('hostile/image', '1', { layers: [gzipSync(tar)], diffIds: [digestOf(tar)] });
    const [store, around, images] = [listTree(daemon.dataRoot), listTree(outside), await imageIds(daemon.socket)];
    const { error } = await pull(daemon.socket, `${registry.host}/hostile/image:1`);
    assert.match(error ?? 'pulled', new RegExp(`^failed to register layer ${layer?.digest}: .*${message.source}`));
    assert.deepEqual([listTree(daemon.dataRoot), listTree(outside), await imageIds(daemon.socket)], [store, around, images]);
    assert.equal(readFileSync(join(outside, 'folder/canary'), 'utf8'), 'alive');
  });
});

test('names that only look hostile stay inside', async () => {
  const tar = treeTar({
    [`${outside}/folder/canary`]: 'absolute', 'out': { type: 'symlink', linkName: '/' }, [`out${outside}/folder/written`]: 'through a symlink',
    'up': { type: 'symlink', linkName: '../../../../../../..' }, [`up${outside}/.wh.folder-2`]: '',
  });
  registry.addImage('inside/image', '1', { layers: [gzipSync(tar)], diffIds: [digestOf(tar)] });
  const around = listTree(outside);
  await mustPull(daemon.socket, `${registry.host}/inside/image:1`);
  assert.deepEqual(listTree(outside), around);
  assert.equal(readFileSync(join(outside, 'folder/canary'), 'utf8'), 'alive');
  const { GraphDriver: { Data: { UpperDir } } } = await inspect(`${registry.host}/inside/image:1`);
  assert.equal(readFileSync(join(UpperDir, outside, 'folder/written'), 'utf8'), 'through a symlink');
});
