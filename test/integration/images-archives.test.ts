// Archives of images: every layout and packing becomes the same image, hostile ones become nothing, balenaEngine's deltas become their targets.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { zstdCompressSync } from 'node:zlib';
import { tarBytes } from '../../src/archive/tar-write.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { dockerItems, fileItem, load, ociItems, save, type ArchiveItem } from '../kit/archive.ts';
import { CORPUS_CASES, corpusImage, vectorOf } from '../kit/corpus.ts';
import { EXECUTABLE, startDaemon, type Daemon } from '../kit/daemon.ts';
import { openDocker } from '../kit/docker.ts';
import { startDockerd } from '../kit/dockerd.ts';
import { ask } from '../kit/http.ts';
import { buildImage, busyboxImage, treeTar, type LayerCompression } from '../kit/image.ts';
import { until } from '../kit/poll.ts';
import { openSmallDisk, type SmallDisk } from '../kit/small-disk.ts';
import { openTempRoot } from '../kit/temp.ts';
import { rng } from '../kit/random.ts';

const MIB = 1 << 20;
const held = new AsyncDisposableStack();
const root = held.use(openTempRoot());
let daemon: Daemon;
let disk: SmallDisk;

before(async () => {
  disk = held.use(openSmallDisk({ file: join(root.path, 'disk'), path: join(root.path, 'engine/data'), sizeBytes: 64 * MIB }));
  daemon = held.use(await startDaemon({ root: join(root.path, 'engine'), readyTimeoutMs: 60_000 }));
});
after(() => held.disposeAsync());

const api = async <T>(method: string, path: string, status = 200): Promise<T> => {
  const answer = await ask(daemon.socket, { method, path });
  assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`);
  return (answer.text === '' ? undefined : answer.json()) as T;
};
const idOf = async (name: string) => (await api<{ Id: string }>('GET', `/images/${name}/json`)).Id;
const removeAll = async () => { for (const { Id } of await api<Array<{ Id: string }>>('GET', '/images/json')) await api('DELETE', `/images/${Id}?force=1`); };
/** Everything that images leave on the disk. */
const onDisk = () => ['overlay2', 'overlay2/l', 'image/overlay2/layerdb/sha256', 'image/overlay2/layerdb/tmp', 'image/overlay2/imagedb/content/sha256'].map((folder) => readdirSync(join(daemon.dataRoot, folder)).toSorted());
const loads = (archive: Uint8Array | readonly ArchiveItem[], query?: string) => load(daemon.socket, archive, query);
const noise = (seed: number, sizeBytes: number): Buffer => { const next = rng(seed); return Buffer.from(Array.from({ length: sizeBytes }, () => Math.floor(next() * 256))); };
const packed = (bytes: Uint8Array, program: 'gzip' | 'bzip2' | 'xz'): Buffer => execFileSync(program, ['-1', '-c'], { input: bytes, maxBuffer: 64 * MIB });

const LARGE = treeTar({ 'data/': null, 'data/noise': noise(1, 70_000), 'data/link': { type: 'symlink', linkName: 'noise', mode: 0o777 } });
const SMALL = treeTar({ 'etc/': null, 'etc/small': 'small' });
/** What is large is staged as it comes, what is small waits in memory; the same content lies in two chains; one layer is empty. */
const MIXED = (compression: LayerCompression = 'none') => buildImage({ layers: [LARGE, SMALL, LARGE, Buffer.alloc(1024)], compression, format: 'oci', config: { Cmd: ['sh'], Env: ['A=<&>'], Labels: { b: '1', a: '2' } } });
const NAME = 'mixed:1';

/** The same image, in the ways of many tools. */
function* variants(): Generator<[string, Uint8Array | readonly ArchiveItem[]]> {
  const image = MIXED();
  const plain = dockerItems(image, { tags: [NAME] });
  yield ['plain', plain];
  yield ['descriptions first', plain.toReversed()];
  yield ['with ./ and directories', [{ name: './', type: 'dir', mode: 0o755 }, ...plain.map((item) => ({ ...item, name: `.//x/../${item.name}` }))]];
  yield ['named by diffID', dockerItems(image, { tags: [NAME], name: (index) => `${String(image.diffIds[index]).slice(7)}.tar` })];
  const blobs = (digest: string) => `blobs/sha256/${digest.slice(7)}`;
  yield ['of Docker 25', [...ociItems(image, { 'io.containerd.image.name': 'docker.io/library/other:1' }),
    fileItem('manifest.json', JSON.stringify([{ Config: blobs(image.config.digest), RepoTags: [NAME], Layers: image.layers.map(({ digest }) => blobs(digest)) }]))]];
  for (const format of ['none', 'gzip', 'zstd'] as const) yield [`OCI layout, ${format}`, ociItems(MIXED(format), { 'io.containerd.image.name': `docker.io/library/${NAME}` })];
  yield ['OCI layout of other tools', ociItems(image, { 'org.opencontainers.image.ref.name': NAME })];
  const linked = plain.map((item) => (item.name === 'layer-2/layer.tar' ? { name: item.name, type: 'symlink' as const, mode: 0o777, linkName: '../layer-0/layer.tar' } : item));
  yield ['a layer as a symlink', linked];
  yield ['a layer as a hard link, before it', [{ name: 'layer-2/layer.tar', type: 'hardlink', mode: 0o644, linkName: 'layer-0/layer.tar' }, ...plain.filter(({ name }) => name !== 'layer-2/layer.tar')]];
  yield ['twice the same name', [fileItem('layer-0/layer.tar', treeTar({ wrong: noise(2, 70_000) })), fileItem('manifest.json', '[]'), ...plain, fileItem('notes/unused', noise(3, 80_000)), fileItem('unused.tar', LARGE)]];
  const layersIn = (...programs: ReadonlyArray<Parameters<typeof packed>[1]>) => plain.map((item, index) => (programs[index] ? fileItem(item.name, packed(Buffer.from(item.content ?? ''), programs[index])) : item));
  yield ['packed with zstd, layers with gzip', zstdCompressSync(tarBytes(layersIn('gzip', 'gzip', 'gzip', 'gzip')))];
  yield ['packed with bzip2, a small layer with xz', packed(tarBytes(layersIn('gzip', 'xz')), 'bzip2')];
  yield ['packed with xz, a large layer with bzip2', packed(tarBytes(layersIn('bzip2')), 'xz')];
}

test('every layout, order and packing gives the same image, once', async () => {
  const { config } = MIXED();
  let [before, bytes]: [string[][] | undefined, string | undefined] = [undefined, undefined];
  for (const [what, archive] of variants()) {
    assert.deepEqual(await loads(archive), [`Loaded image: ${NAME}`], what);
    assert.equal(await idOf(NAME), config.digest, what);
    const first = onDisk();
    const saved = await save(daemon.socket, NAME);
    if (!what.startsWith('packed')) assert.deepEqual([...await loads(archive), ...await loads(saved)], [`Loaded image: ${NAME}`, `Loaded image: ${NAME}`], `${what}, again`);
    assert.deepEqual(onDisk(), first, `${what}: what is here already is not made again`);
    assert.equal(digestOf(saved), bytes ??= digestOf(saved), what);
    await removeAll();
    before ??= onDisk();
    assert.deepEqual(onDisk(), before, what);
  }
  assert.deepEqual(await loads(ociItems(MIXED(), { 'org.opencontainers.image.ref.name': 'latest' }), '?quiet=0').then((lines) => lines.at(-1)), `Loaded image ID: ${config.digest}`);
  const bare = dockerItems(buildImage({ layers: [] }), { tags: ['bare:1'] });
  assert.deepEqual([...await loads(bare), ...await loads(await save(daemon.socket, 'bare:1'))], ['Loaded image: bare:1', 'Loaded image: bare:1'], 'without layers');
  await removeAll();
});

/** What is refused, and why. */
function* refused(): Generator<[string, Uint8Array | readonly ArchiveItem[], RegExp]> {
  const image = MIXED();
  const plain = dockerItems(image, { tags: ['no:1'] });
  const [config] = plain.filter(({ name }) => name.endsWith('.json'));
  const layers = ['layer-0/layer.tar', 'layer-1/layer.tar', 'layer-2/layer.tar', 'layer-3/layer.tar'];
  const manifest = (change: Readonly<Record<string, unknown>>) => fileItem('manifest.json', JSON.stringify([{ Config: config?.name, RepoTags: ['no:1'], Layers: layers, ...change }]));
  const withManifest = (content: string) => plain.map((item) => (item.name === 'manifest.json' ? fileItem(item.name, content) : item));
  const withLayer = (index: number, content: Uint8Array) => plain.map((item, at) => (at === index ? fileItem(item.name, content) : item));
  yield ['nothing', [], /no manifest.json and no index.json: this is no archive of images/];
  yield ['a file system', [fileItem('etc/passwd', 'x'), fileItem('usr/lib/large', noise(4, 90_000))], /this is no archive of images/];
  yield ['of the time before 1.10', plain.map((item) => (item.name === 'manifest.json' ? fileItem('repositories', '{}') : item)), /format before Docker 1\.10/];
  yield ['no tar', noise(5, 3000), /^error: Error processing tar file\(exit status 1\): archive\/tar: invalid tar header$/];
  yield ['cut in a layer', tarBytes(plain).subarray(0, 60_000), /^error: Error processing tar file\(exit status 1\): unexpected EOF$/];
  yield ['cut in its packing', packed(tarBytes(plain), 'gzip').subarray(0, 50_000), /gzip stream: unexpected end|unexpected EOF/];
  yield ['broken xz', packed(tarBytes(plain), 'xz').fill(0xff, 1000, 1100), /^error: Error processing tar file\(exit status 1\): xz stream: /];
  yield ['null', withManifest('null'), /invalid manifest, manifest cannot be null \(but can be \[\]\)/];
  yield ['a manifest that is no list', withManifest('{}'), /manifest.json: an array is needed/];
  yield ['no config', plain.filter((item) => item !== config), /open [0-9a-f]{64}\.json: no such file or directory in the archive/];
  yield ['no layer', plain.filter(({ name }) => name !== layers[1]), /open layer-1\/layer\.tar: no such file or directory in the archive/];
  yield ['a layer too few', [...plain, manifest({ Layers: layers.slice(1) })], /invalid manifest, layers length mismatch: expected 3, got 4/];
  yield ['another large layer', [...plain, manifest({ Layers: [layers[1], layers[1], layers[2], layers[3]] })], new RegExp(`invalid diffID for layer 0: expected "${image.diffIds[0]}", got "${image.diffIds[1]}"`)];
  yield ['another small layer', [...plain, manifest({ Layers: [layers[0], layers[0], layers[2], layers[3]] })], new RegExp(`invalid diffID for layer 1: expected "${image.diffIds[1]}", got "${image.diffIds[0]}"`)];
  yield ['a layer that is none', withLayer(0, Buffer.concat([LARGE.subarray(0, 1024), noise(6, 90_000)])), /layer 0 \(layer-0\/layer\.tar\): .*tar: /];
  yield ['a layer that leaves', withLayer(0, tarBytes([{ name: 'out', type: 'symlink', linkName: '/etc', mode: 0o777 }, fileItem('../../out', noise(7, 90_000))])), /layer 0 \(layer-0\/layer\.tar\): \.\.\/\.\.\/out: leads out of the layer/];
  yield ['a link to itself', plain.map((item) => (item.name === layers[1] ? { name: item.name, type: 'symlink' as const, mode: 0o777, linkName: 'layer.tar' } : item)), /open layer-1\/layer\.tar/];
  yield ['a link out of it', plain.map((item) => (item.name === layers[1] ? { name: item.name, type: 'symlink' as const, mode: 0o777, linkName: '../../../etc/passwd' } : item)), /a link leads out of the archive/];
  yield ['no tag', [...plain, manifest({ RepoTags: ['no'] })], /invalid tag "no"/];
  yield ['a digest for a tag', [...plain, manifest({ RepoTags: [`no@${image.config.digest}`] })], /invalid tag "no@/];
  yield ['a name that is none', [...plain, manifest({ RepoTags: ['No:1'] })], /repository name must be lowercase/];
  yield ['another system', [...plain, fileItem('w.json', JSON.stringify({ os: 'windows', rootfs: { type: 'layers', diff_ids: [] } })), manifest({ Config: 'w.json', Layers: [] })], /cannot load windows image on linux/];
  yield ['a description that is too large', [...plain, fileItem('manifest.json', `[${' '.repeat(9 * MIB)}]`)], /manifest.json: a description of \d+ bytes; at most 8388608 are read/];
  yield ['a bomb of lists', withManifest(`${'['.repeat(MIB)}${']'.repeat(MIB)}`), /manifest.json: a description of 1048576 values; at most 200000 are read/];
  yield ['a blob that is another one', ociItems({ ...image, config: { ...image.config, bytes: Buffer.from('{}') } }, {}), /blob sha256:[0-9a-f]{64}: its content hashes to/];
  yield ['an index of other platforms', ociItems(image, {}).map((item) => (item.name === 'index.json' ? fileItem(item.name, JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: 'text/plain', digest: image.config.digest, size: 1 }] })) : item)), /unsupported manifest media type|manifest/];
  yield ['too many files', packed(tarBytes([...Array.from({ length: 22_000 }, (_, n) => ({ name: `${'long/'.repeat(36)}${n}`, type: 'file' as const, mode: 0o644 })), ...plain]), 'gzip'), /this is no archive of images: it has too many files/];
}

test('what is broken or hostile is refused in words, and leaves nothing', async () => {
  const before = onDisk();
  for (const [what, archive, words] of refused()) {
    const lines = await loads(archive);
    assert.equal(lines.length, 1, `${what}: ${lines.join(' ')}`);
    assert.match(lines[0] ?? '', words, what);
    assert.match(lines[0] ?? '', /^error: /, what);
    assert.deepEqual(onDisk(), before, what);
  }
  assert.deepEqual(await loads([fileItem('manifest.json', '[]')]), []);
  assert.deepEqual(await api('GET', '/images/json'), []);
  // Whatever is changed in an archive, there is an answer, and what was made can be removed.
  const whole = tarBytes(dockerItems(MIXED(), { tags: ['fuzz:1'] }));
  for (let seed = 1; seed <= 20; seed++) {
    const next = rng(seed);
    const broken = Buffer.from(whole);
    for (let n = 0; n < 3; n++) broken[Math.floor((next() < 0.5 ? next() : 0.97 + next() * 0.03) * broken.length)] = Math.floor(next() * 256);
    assert.match((await loads(broken)).join(), /^(error: .+|Loaded image: .+)$/, `FUZZ_SEED=${seed}`);
    await removeAll();
    assert.deepEqual(onDisk(), before, `FUZZ_SEED=${seed}`);
  }
  const sparse = execFileSync('sh', ['-c', 'd=$(mktemp -d) && cd "$d" && truncate -s 1G layer.tar && tar -cSf - layer.tar; rm -r "$d"']);
  assert.match((await loads(sparse)).join(), /layer\.tar: a sparse file in an archive of images; pack it without/);
});

test('one bad image of two keeps both away', async () => {
  const before = onDisk();
  const good = dockerItems(buildImage({ layers: [LARGE] }), { tags: ['good:1'] });
  const [goodItem] = JSON.parse(String(good.at(-1)?.content)) as unknown[];
  const bad = { Config: good.at(-2)?.name, RepoTags: ['bad:1'], Layers: ['nosuch'] };
  assert.match((await loads([...good, fileItem('x.json', JSON.stringify({ rootfs: { type: 'layers', diff_ids: [digestOf('nosuch')] } })), fileItem('manifest.json', JSON.stringify([goodItem, { ...bad, Config: 'x.json' }]))])).join(), /open nosuch/);
  assert.deepEqual(onDisk(), before);
});

test('who leaves in the middle, and a disk that is full, leave nothing', async () => {
  const before = onDisk();
  const image = buildImage({ layers: [LARGE, treeTar({ large: noise(8, 300_000) })] });
  const archive = tarBytes(dockerItems(image, { tags: ['left:1'] }));
  const left = request({ socketPath: daemon.socket, method: 'POST', path: '/images/load?quiet=0', agent: false });
  left.on('error', () => {}).write(archive.subarray(0, 220_000));
  await until('the second layer to be staged', () => onDisk()[3]?.length === 2);
  left.destroy();
  await until('nothing to be left', () => isDeepStrictEqual(onDisk(), before));
  // 24 layers of 3 MiB of the same noise, each in another file, so that none is a copy.
  const block = noise(9, 3 * MIB);
  const layers = Array.from({ length: 24 }, (_, n) => treeTar({ [`file-${n}`]: block }));
  assert.match((await loads(dockerItems(buildImage({ layers, compression: 'none' }), { tags: ['full:1'] }))).join(), /^error: .*(ENOSPC|no space left)/);
  assert.deepEqual(onDisk(), before);
  await until('the space to be given back', () => disk.freeBytes() > 40 * MIB);
  assert.deepEqual(await loads(archive), ['Loaded image: left:1']);
  await removeAll();
});

/** A corpus image as balenaEngine saved it. */
const corpusArchive = (name: string, which: 'base' | 'delta', change?: (tar: Buffer, index: number) => Buffer) => dockerItems(corpusImage(name, which, change), { tags: [`${name}:${which}`] });
/** The tar around the delta, with `change` made to the delta. */
const inDelta = (change: (delta: Buffer) => Buffer) => (tar: Buffer): Buffer => (tar.length === 1024 ? tar : tarBytes([fileItem('delta', change(tar.subarray(512, 512 + parseInt(tar.toString('latin1', 124, 135), 8))))]));

test("balenaEngine's deltas become their targets; broken ones, and those without a base, nothing", async () => {
  for (const name of CORPUS_CASES) {
    const { base, target, delta } = vectorOf(name);
    const archive = corpusArchive(name, 'delta');
    assert.deepEqual(await loads(archive), [`error: loading delta base image "${base}": failed to get digest ${base}: open ${daemon.dataRoot}/image/overlay2/imagedb/content/sha256/${base.slice(7)}: no such file or directory`], name);
    assert.deepEqual(await loads(corpusArchive(name, 'base')), [`Loaded image: ${name}:base`]);
    const before = onDisk();
    if (name === 'edit') {
      for (const [change, words] of [
        [(bytes: Buffer) => Buffer.concat([Buffer.from('baaaaaad', 'hex'), bytes.subarray(4)]), /Got magic number baaaaaad rather than expected value 72730236/],
        [(bytes: Buffer) => bytes.subarray(0, 5000), /unexpected EOF/],
        [(bytes: Buffer) => { const changed = Buffer.from(bytes); changed[4000] = (changed[4000] ?? 0) ^ 1; return changed; }, new RegExp(`^error: invalid diffID for layer 0: expected "${String(vectorOf(name).target_layers[0])}", got "sha256:[0-9a-f]{64}"$`)],
      ] as const) {
        assert.match((await loads(corpusArchive(name, 'delta', inDelta(change)))).join(), words);
        assert.deepEqual(onDisk(), before);
      }
      assert.match((await loads(corpusArchive(name, 'delta', (tar) => tar.subarray(0, 6000)))).join(), /^error: .*unexpected EOF/);
    }
    assert.deepEqual(await loads(archive), [`Loaded image: ${name}:delta`]);
    assert.equal(await idOf(`${name}:delta`), target, name);
    await api('GET', `/images/${delta}/json`, 404);
    assert.deepEqual(await loads(archive), ['Target image already exists locally, no need to load it.', `Loaded image: ${name}:delta`]);
    const saved = await save(daemon.socket, `${name}:delta`);
    await removeAll();
    assert.deepEqual(await loads(saved), [`Loaded image: ${name}:delta`], 'made of the delta, the layers are whole');
    assert.equal(await idOf(`${name}:delta`), target);
    await removeAll();
  }
});

test('a base in another data root is as good, also for the layers that it shares with the target', async () => {
  await loads(corpusArchive('layers', 'base'));
  await using second = await startDaemon({ root: join(root.path, 'second'), flags: ['--delta-data-root', daemon.dataRoot] });
  assert.deepEqual(await load(second.socket, corpusArchive('layers', 'delta')), ['Loaded image: layers:delta']);
  const saved = await save(second.socket, vectorOf('layers').target);
  await removeAll();
  assert.deepEqual(await loads(saved), [`Loaded image ID: ${vectorOf('layers').target}`]);
  await removeAll();
});

test('a delta and its base come in one archive with other images', async () => {
  const all = [corpusImage('layers', 'base'), buildImage({ layers: [SMALL] })].map((image, n) => dockerItems(image, { tags: [`with:${n}`], name: (index) => `${n}-${index}.tar` }));
  const archive = [...all.flat().filter(({ name }) => name !== 'manifest.json'), fileItem('manifest.json', JSON.stringify(all.flatMap((items) => JSON.parse(String(items.at(-1)?.content)) as unknown[])))];
  assert.deepEqual(await loads(archive), ['Loaded image: with:0', 'Loaded image: with:1']);
  const { target } = vectorOf('layers');
  const delta = dockerItems(corpusImage('layers', 'delta'), { tags: ['with:delta', 'with:1'] });
  assert.deepEqual(await loads(delta), ['Loaded image: with:delta', `The image with:1 already exists, renaming the old one with ID ${buildImage({ layers: [SMALL] }).config.digest} to empty string`, 'Loaded image: with:1']);
  assert.deepEqual([await idOf('with:delta'), await idOf('with:1')], [target, target]);
  await removeAll();
});

test('what is saved here is what dockerd saves, runs there, and comes back; through a slow pipe too', async () => {
  await using theirs = await startDockerd({ root: join(root.path, 'theirs') });
  const [ours, other] = [daemon.host, theirs.host].map((host) => openDocker({ host, configDir: join(root.path, 'client'), binary: '/usr/bin/docker' }));
  assert.ok(ours && other);
  const runnable = dockerItems(busyboxImage({ extra: [LARGE], config: { Healthcheck: { Test: ['CMD', 'true'], Interval: 1_000_000_000, Retries: 2 }, ExposedPorts: { '80/tcp': {} }, Volumes: { '/v': {} }, StopSignal: 'SIGTERM', Shell: ['sh', '-c'], OnBuild: ['RUN <x>'] }, fields: { author: 'somebody & others', created: '2020-09-13T12:26:40.120000000Z' } }), { tags: ['trip:1', 'trip:2'] });
  await loads(runnable);
  const saved = await save(daemon.socket, 'trip');
  assert.equal(await other.ok(['load'], { input: saved }), 'Loaded image: trip:1\nLoaded image: trip:2');
  assert.equal(await other.ok(['inspect', '-f', '{{.Id}}', 'trip:2']), await idOf('trip:1'));
  assert.equal(await other.ok(['run', '--rm', '--network=none', 'trip:1', 'sh', '-c', 'wc -c < /data/link']), '70000');
  const file = join(root.path, 'theirs.tar');
  await other.ok(['save', '-o', file, 'trip']);
  assert.ok(readFileSync(file).equals(saved), 'both engines make the same bytes');
  // An image and the one that was made of it: that stays known.
  const trip = await idOf('trip:1');
  await ours.ok(['create', '--name', 'made', '--network=none', 'trip:1', 'true']);
  await ours.ok(['commit', 'made', 'child:1']);
  await ours.ok(['rm', 'made']);
  const family = await save(daemon.socket, 'child:1', 'trip:1');
  await other.ok(['load'], { input: family });
  assert.equal(await other.ok(['inspect', '-f', '{{.Parent}}', 'child:1']), trip);
  await removeAll();
  await loads(family);
  assert.equal(await ours.ok(['inspect', '-f', '{{.Parent}}', 'child:1']), trip);
  await removeAll();
  assert.equal(await ours.ok(['load', '-i', file]), 'Loaded image: trip:1\nLoaded image: trip:2');
  const slow = execFileSync('sh', ['-c', '"$0" -H "$1" save trip | (sleep 0.3; cat)', EXECUTABLE, daemon.host], { maxBuffer: 64 * MIB });
  assert.ok(slow.equals(saved));
  await removeAll();
  assert.equal(execFileSync('sh', ['-c', '(head -c 60000; sleep 0.2; cat) < "$2" | "$0" -H "$1" load -q', EXECUTABLE, daemon.host, file], { encoding: 'utf8' }), 'Loaded image: trip:1\nLoaded image: trip:2\n');
  await removeAll();
});
