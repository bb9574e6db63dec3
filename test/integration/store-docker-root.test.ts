// The data root is Docker's: what dockerd wrote our store opens, and what our store wrote dockerd lists, runs and saves.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tarBytes } from '../../src/archive/tar-write.ts';
import { MOUNT_FLAGS, openLinux } from '../../src/kernel/index.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { kindOf } from '../../src/lib/errors.ts';
import { silentLog } from '../../src/lib/log.ts';
import { chainIds, digestOf, parseChainId, parseDiffId, parseImageId, type ChainId } from '../../src/oci/digest.ts';
import { parseImageConfig } from '../../src/oci/parse-manifest.ts';
import { openBaseRoot, openLayerView, openStore, type LayerFiles, type LayerStore, type NetworkRecord, type OverlayMount, type Store } from '../../src/store/index.ts';
import { CLIS, openDocker } from '../kit/docker.ts';
import { startDockerd } from '../kit/dockerd.ts';
import { ask } from '../kit/http.ts';
import { busyboxImage, treeTar, type BuiltImage } from '../kit/image.ts';
import { openNetns } from '../kit/netns.ts';
import { pushImage, startRegistry } from '../kit/registry.ts';
import { containerOf } from '../kit/store.ts';
import { openTempRoot } from '../kit/temp.ts';

const kernel = openLinux({ selfCommand: [process.execPath, join(import.meta.dirname, '../../src/main.ts')] });
const open = (root: string): Promise<Store> => openStore({ root, kernel, log: silentLog, clock: systemClock });
const ID = 'abcd'.repeat(16);

/** Two layers above busybox: the second deletes a file of the first and makes a directory opaque. */
function layeredImage(): BuiltImage {
  return busyboxImage({
    extra: [
      treeTar({ 'data/': null, 'data/kept': 'kept', 'data/deleted': 'x', 'opaque/': null, 'opaque/old': 'x', 'latin1-\u00e9': 'utf8' }),
      treeTar({ 'data/': null, 'data/.wh.deleted': '', 'opaque/': null, 'opaque/.wh..wh..opq': '', 'opaque/new': 'new' }),
    ],
  });
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65536) {
    await Promise.resolve();
    yield bytes.subarray(at, at + 65536);
  }
}

/** As a pull does it: all layers at once and top first, marked while they wait, committed bottom first, then config, then name. */
async function install(store: Store, image: BuiltImage, name: string): Promise<ChainId> {
  const diffIds = image.diffIds.map(parseDiffId);
  const chain = chainIds(diffIds);
  const stage = (i: number) => {
    const [diffId, layer] = [diffIds[i], image.layers[i]];
    assert.ok(diffId && layer);
    return store.layers.stage({ diffId, parent: chain[i - 1], compression: 'gzip', source: chunksOf(layer.bytes) });
  };
  const staged = await Promise.all([...diffIds.keys()].toReversed().map(stage));
  for (const layer of staged.slice(0, -1)) await layer.keep();
  using lease = store.layers.lease([]);
  for (const layer of staged.toReversed()) {
    const { chainId } = await layer.commit();
    lease.add(chainId);
  }
  const config = parseImageConfig(image.config.bytes);
  await store.images.add(config);
  await store.names.update({ set: [[name, config.id]] });
  const top = chain.at(-1);
  assert.ok(top);
  return top;
}

function mounted(mount: OverlayMount): Disposable {
  kernel.mounts.mount({ source: 'overlay', target: mount.mergedDir, fsType: 'overlay', data: mount.data });
  return { [Symbol.dispose]: () => kernel.mounts.unmount(mount.mergedDir) };
}

const contentOf = (archive: string, path: string): string => execFileSync('tar', ['-xOf', archive, path], { encoding: 'utf8' });

test('a root that our store wrote: dockerd lists, runs, starts, saves and removes what is in it', async () => {
  await using root = openTempRoot();
  const data = join(root.path, 'docker-data');
  const image = layeredImage();
  const store = await open(data);
  const top = await install(store, image, 'ours:1');
  const container = containerOf(ID, '/ours');
  container.record.Image = image.config.digest;
  Object.assign(container.record, { Path: 'sh', Args: ['-c', 'cat /data/kept /written; ls /opaque; ls /data'] });
  Object.assign(container.record.Config, { Cmd: ['sh', '-c', 'x'], Image: 'ours:1', Env: ['PATH=/bin'], AttachStdout: true });
  Object.assign(container.hostConfig, { NetworkMode: 'none', Runtime: 'runc' });
  const active = await store.layers.createActive(ID, { parent: top, init: true });
  {
    using _mount = mounted(active);
    writeFileSync(join(active.mergedDir, 'written'), ' written\n');
  }
  await store.containers.create(container);
  const waiting = treeTar({ 'waiting': 'for the layer below it' });
  const kept = await store.layers.stage({ diffId: parseDiffId(digestOf(waiting)), parent: parseChainId(digestOf('nowhere')), compression: 'none', source: chunksOf(waiting) });
  await kept.keep();
  await kept.leave(); // dockerd neither shows nor hurts it
  await store.close();
  {
    await using dockerd = await startDockerd({ root: root.path });
    const docker = openDocker({ host: dockerd.host, configDir: join(root.path, 'client'), binary: CLIS.debian });
    assert.equal(await docker.ok(['images', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}']), `ours:1 ${image.config.digest}`);
    const said = await docker.ok(['run', '--rm', '--network', 'none', 'ours:1', 'sh', '-c', 'cat /data/kept; ls /data /opaque']);
    assert.equal(said, 'kept/data:\nkept\n\n/opaque:\nnew');
    assert.equal(await docker.ok(['ps', '-a', '--format', '{{.ID}} {{.Names}} {{.Status}}']), `${ID.slice(0, 12)} ours Created`);
    assert.equal(await docker.ok(['start', '-a', 'ours']), 'kept written\nnew\nkept');

    const saved = join(root.path, 'saved.tar');
    await docker.ok(['save', '-o', saved, 'ours:1']); // puts the tars together again from tar-split, and checks them
    const [manifest] = JSON.parse(contentOf(saved, 'manifest.json')) as Array<{ Config: string; Layers: string[] }>;
    assert.ok(manifest);
    const sums = manifest.Layers.map((layer) => execFileSync('sh', ['-c', `tar -xOf "${saved}" "${layer}" | sha256sum`], { encoding: 'utf8' }).slice(0, 64));
    assert.deepEqual(sums.map((sum) => `sha256:${sum}`), image.diffIds);
    // A second daemon of ours must not come near it.
    await assert.rejects(open(data), (error) => kindOf(error) === 'conflict');
  }
  const again = await open(data);
  assert.deepEqual([again.recovered.quarantined, again.recovered.swept], [[], []]);
  await (await again.layers.kept.stage(kept.diffId, { parent: undefined }))[Symbol.asyncDispose]();
  assert.deepEqual(again.layers.active(ID), active);
  const [record] = again.containers.loaded();
  assert.deepEqual([record?.record.State.ExitCode, record?.record.Name, record?.record.HasBeenStartedBefore], [0, '/ours', true]);
  await again.layers.removeActive(ID);
  await again.containers.remove(ID);
  await again.names.update({ remove: ['ours:1'] });
  await again.images.remove(parseImageConfig(image.config.bytes).id);
  assert.equal((await again.collect()).length, 3);
  await again.close();
  assert.deepEqual([readdirSync(join(data, 'overlay2')), readdirSync(join(data, 'overlay2/l'))], [['l'], []]);
  await using dockerd = await startDockerd({ root: root.path });
  const docker = openDocker({ host: dockerd.host, configDir: join(root.path, 'client'), binary: CLIS.debian });
  assert.deepEqual([await docker.ok(['images', '-qa']), await docker.ok(['ps', '-aq'])], ['', '']);
});

/** What dockerd extracts is read at any place of its exact tar, out of its root and while it runs; sparse files apart, which it cannot put together again itself. */
async function assertReadable(data: string, pull: (image: BuiltImage) => Promise<unknown>): Promise<void> {
  const odd = tarBytes([
    { name: 'caf\xc3\xa9/', type: 'dir', mode: 0o755 }, { name: 'caf\xc3\xa9/\xff', type: 'file', mode: 0o644, content: 'no utf-8 '.repeat(200) },
    { name: `${'deep/'.repeat(60)}file`, type: 'file', mode: 0o644, content: randomBytes(5000) }, { name: 'link', type: 'symlink', mode: 0o777, linkName: '/caf\xc3\xa9' },
    { name: 'link/through', type: 'file', mode: 0o600, content: randomBytes(700) }, { name: 'hard', type: 'hardlink', mode: 0o600, linkName: 'link/through' }, { name: 'bin/.wh.x', type: 'file', mode: 0o644 },
    { name: 'attributes', type: 'file', mode: 0o644, content: randomBytes(1024), xattrs: new Map([['user.x', Buffer.from('y')]]) }, { name: 'empty', type: 'file', mode: 0o644 },
    ...Array.from({ length: 150 }, (_, n) => ({ name: `many/${n}`, type: 'file' as const, mode: 0o644, content: randomBytes(n * 11) })),
  ]);
  const image = busyboxImage({ extra: [odd, Buffer.alloc(1024)] });
  const base = await openBaseRoot(data, { kernel, log: silentLog });
  assert.equal(base.images.get(parseImageId(image.config.digest)), undefined);
  await pull(image);
  assert.equal(base.images.get(parseImageId(image.config.digest))?.diffIds.length, image.layers.length);
  for (const chainId of chainIds(image.diffIds.map(parseDiffId))) {
    const [files, chunks] = [base.layers.files(chainId), []] as [LayerFiles | undefined, Uint8Array[]];
    assert.ok(files);
    for await (const chunk of base.layers.tar(chainId)) chunks.push(chunk);
    const tar = Buffer.concat(chunks);
    assert.equal(digestOf(tar), files.diffId as string);
    using view = openLayerView(files);
    assert.equal(view.sizeBytes, tar.length);
    for (let round = 0; round < 300; round++) {
      const length = Math.floor(Math.random() * Math.min(tar.length, 40_000)), position = Math.floor(Math.random() * (tar.length - length + 1));
      const into = Buffer.alloc(length);
      view.read(position, into, { start: 0, end: length });
      assert.ok(into.equals(tar.subarray(position, position + length)), `${length} bytes at ${position} of ${files.diffId}`);
    }
  }
}

test('a root that dockerd wrote: our store finds all of it, adds to it, and dockerd goes on', async () => {
  await using root = openTempRoot();
  const data = join(root.path, 'docker-data');
  const image = layeredImage();
  let id = '', tagged = '';
  {
    await using registry = await startRegistry({ root: root.path });
    await using dockerd = await startDockerd({ root: root.path });
    const docker = openDocker({ host: dockerd.host, configDir: join(root.path, 'client'), binary: CLIS.debian });
    tagged = await pushImage(registry.host, image, { repository: 'kit/layered', tag: '1' });
    await docker.ok(['pull', tagged]);
    await docker.ok(['tag', tagged, 'theirs:1']);
    await assertReadable(data, async (odd) => await docker.ok(['pull', await pushImage(registry.host, odd, { repository: 'kit/odd', tag: '1' })]));
    await docker.ok(['rmi', `${registry.host}/kit/odd:1`]);
    id = await docker.ok(['create', '--network', 'none', '--name', 'theirs', '-m', '64m', 'theirs:1', 'sh', '-c', 'cat /written']);
  }
  const store = await open(data);
  assert.deepEqual([store.recovered.quarantined, store.recovered.swept], [[], []]);
  const digests = [...store.names.all().keys()].toSorted();
  assert.deepEqual(digests, [tagged, `${tagged.replace(/:1$/, '')}@${image.manifest.digest}`, 'theirs:1'].toSorted());
  assert.equal(store.names.get('theirs:1'), image.config.digest);
  assert.deepEqual(store.images.list().map((config) => config.id as string), [image.config.digest]);
  const chain = chainIds(image.diffIds.map(parseDiffId));
  assert.deepEqual(chain.map((chainId) => store.layers.get(chainId)?.diffId as string | undefined), image.diffIds);
  const [container] = store.containers.loaded();
  assert.deepEqual([container?.record.ID, container?.record.Name, container?.hostConfig.Memory, container?.record.Config.Image], [id, '/theirs', 64 * 2 ** 20, 'theirs:1']);
  const [blob] = image.layers;
  assert.ok(blob);
  assert.equal(store.distribution.sourcesOf(parseDiffId(image.diffIds[0] ?? ''))[0]?.digest, blob.digest);

  const active = store.layers.active(id);
  assert.ok(active);
  {
    using _mount = mounted(active);
    assert.deepEqual(readdirSync(join(active.mergedDir, 'data')), ['kept']);
    writeFileSync(join(active.mergedDir, 'written'), 'written by ours');
  }
  assert.equal(await store.layers.activeSizeBytes(id), 15);
  await install(store, busyboxImage({ extra: [treeTar({ added: 'added' })] }), 'ours:2'); // on a layer that dockerd extracted
  assert.equal(store.layers.list().length, 4);
  await store.close();

  await using dockerd = await startDockerd({ root: root.path });
  const docker = openDocker({ host: dockerd.host, configDir: join(root.path, 'client'), binary: CLIS.debian });
  assert.equal(await docker.ok(['start', '-a', 'theirs']), 'written by ours');
  assert.equal(await docker.ok(['run', '--rm', '--network', 'none', 'ours:2', 'cat', '/added']), 'added');
  await docker.ok(['rm', 'theirs']);
  await docker.ok(['rmi', 'theirs:1', 'ours:2', tagged]);
  assert.deepEqual(readdirSync(join(data, 'overlay2')), ['l']);
});

test('networks and labels of volumes, which dockerd keeps in databases alone, are found by our store', async () => {
  await using root = openTempRoot();
  await using netns = openNetns();
  const data = join(root.path, 'docker-data');
  interface Inspected { Name: string; Id: string; Driver: string; IPAM: { Config: Array<Record<string, unknown>> | null } }
  let networks: Inspected[];
  {
    await using dockerd = await startDockerd({ root: root.path, netns });
    const post = async (path: string, body: object) => { const answer = await ask(dockerd.socket, { method: 'POST', path, body }); assert.equal(answer.status, 201, answer.text); };
    await netns.ok('ip', 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan1');
    await post('/networks/create', { Name: 'plain' });
    await post('/networks/create', {
      Name: 'asked', Internal: true, Attachable: true, EnableIPv6: true, Labels: { x: '1' }, Options: { 'com.docker.network.bridge.name': 'brx', 'com.docker.network.driver.mtu': '1400' },
      IPAM: { Config: [{ Subnet: '10.9.0.0/16', IPRange: '10.9.1.0/24', Gateway: '10.9.0.7', AuxiliaryAddresses: { r: '10.9.0.9' } }, { Subnet: 'fd00:9::/64' }] },
    });
    await post('/networks/create', { Name: 'config', ConfigOnly: true, Labels: { of: 'config' }, Options: { parent: 'lan0' }, IPAM: { Config: [{ Subnet: '10.77.0.0/24' }] } });
    await post('/networks/create', { Name: 'lan', Driver: 'macvlan', ConfigFrom: { Network: 'config' } });
    // So many that they need branches.
    await Promise.all(Array.from({ length: 30 }, (_, i) => post('/volumes/create', { Name: `volume-${i}`, Labels: { number: `${i}`, filler: 'x'.repeat(150) } })));
    await post('/volumes/create', { Name: 'memory', Driver: 'local', DriverOpts: { type: 'tmpfs', device: 'tmpfs', o: 'size=1m' } });
    networks = (await ask(dockerd.socket, { path: '/networks' })).json<Inspected[]>().filter(({ Name }) => !['bridge', 'host', 'none'].includes(Name));
  }
  for (const device of netns.devices()) if (device !== 'lan1') await netns.ok('ip', 'link', 'del', device);
  const store = await open(data);
  assert.deepEqual(store.recovered.quarantined, []);
  const asInspected = (record: NetworkRecord) => {
    const { Id, Name, Created, Driver, EnableIPv6, Internal, Attachable, Ingress, ConfigOnly, ConfigFrom, Options, Labels, IPAM, pools } = record;
    const shown = IPAM.Config.length > 0 ? IPAM.Config.map((one) => Object.fromEntries(Object.entries(one).filter(([, value]) => value !== '' && Object.keys(value).length > 0))) : pools.v4.map(({ subnet, gateway }) => ({ Subnet: subnet, Gateway: gateway }));
    return { Name, Id, Created, Scope: 'local', Driver, EnableIPv6, IPAM: { Driver: IPAM.Driver, Options: IPAM.Options, Config: shown }, Internal, Attachable, Ingress, ConfigFrom: { Network: ConfigFrom }, ConfigOnly, Containers: {}, Options, Labels };
  };
  const byName = <T extends { Name: string }>(list: readonly T[]) => list.toSorted((a, b) => (a.Name < b.Name ? -1 : 1));
  assert.deepEqual(byName(store.networks.loaded().map(asInspected)), byName(networks));
  assert.deepEqual(store.networks.loaded().find(({ Name }) => Name === 'asked')?.pools, {
    v4: [{ subnet: '10.9.0.0/16', range: '10.9.1.0/24', gateway: '10.9.0.7', aux: { r: '10.9.0.9' } }], v6: [{ subnet: 'fd00:9::/64', range: 'fd00:9::/64', gateway: 'fd00:9::1', aux: {} }],
  });
  const volumes = store.volumes.list();
  assert.deepEqual([volumes.length, ...volumes.filter(({ name, labels }) => name !== 'memory' && `volume-${labels?.['number']}` !== name)], [31]);
  assert.deepEqual(store.volumes.get('memory')?.options, { type: 'tmpfs', device: 'tmpfs', o: 'size=1m' });
  await store.close();
});

test('a snapshot can be mounted: with init layer, without, on nothing, and over the longest chain', async () => {
  await using root = openTempRoot();
  const store = await open(join(root.path, 'data'));
  const top = await install(store, layeredImage(), 'x:1');
  const make = (id: string, options: Parameters<LayerStore['createActive']>[1]) => store.layers.createActive(id.repeat(64), options);
  for (const [id, parent, init] of [['1', top, true], ['2', top, false], ['3', undefined, true], ['4', undefined, false]] as const) {
    const mount = await make(id, { parent, init });
    assert.equal(mount.cwd, undefined);
    using _mount = mounted(mount);
    assert.deepEqual([existsSync(`${mount.mergedDir}/bin/busybox`), existsSync(`${mount.mergedDir}/.dockerenv`)], [parent !== undefined, init]);
    writeFileSync(`${mount.mergedDir}/written`, '12345');
    assert.equal(await store.layers.activeSizeBytes(id.repeat(64)), 5);
    assert.equal(readFileSync(`${mount.upperDir}/written`, 'utf8'), '12345');
  }
  const deep = await install(store, busyboxImage({ extra: Array.from({ length: 124 }, (_, i) => treeTar({ [`layer-${i}`]: `${i}` })) }), 'deep:1');
  const mount = await make('5', { parent: deep, init: true });
  assert.ok(mount.cwd);
  const before = process.cwd();
  process.chdir(mount.cwd);
  try {
    using _mount = mounted(mount);
    assert.equal(readdirSync(mount.mergedDir).filter((name) => name.startsWith('layer-')).length, 124);
  } finally {
    process.chdir(before);
  }
  await store.close();
});

test('a root on a read-only file system is refused with a clear word, new or used', async () => {
  await using root = openTempRoot();
  const data = join(root.path, 'data');
  await (await open(data)).close();
  kernel.mounts.mount({ source: root.path, target: root.path, fsType: '', flags: MOUNT_FLAGS.bind });
  using _mount = { [Symbol.dispose]: () => kernel.mounts.unmount(root.path) };
  kernel.mounts.mount({ source: '', target: root.path, fsType: '', flags: MOUNT_FLAGS.bind | MOUNT_FLAGS.remount | MOUNT_FLAGS.readOnly });
  for (const path of [data, join(root.path, 'new')]) await assert.rejects(open(path), (error: Error) => kindOf(error) === 'unavailable' && /read-only file system/.test(error.message), path);
});
