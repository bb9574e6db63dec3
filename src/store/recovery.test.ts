import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { openLinux } from '../kernel/index.ts';
import { kindOf } from '../lib/errors.ts';
import { digestOf, hexOf, type Digest } from '../oci/digest.ts';
import { commitChain, containerOf, diffIdOf, imageOf, openTestStore, temporary, topOf } from '../../test/kit/store.ts';

const ID = 'c'.repeat(64);

/** A root with an image of two layers, its name, and a container with a written file. */
async function populated(root: string): Promise<void> {
  const store = await openTestStore(root);
  await commitChain(store, 'a', 'b');
  await store.images.add(imageOf('a', 'b'));
  await store.names.update({ set: [['img:1', imageOf('a', 'b').id]] });
  await store.containers.create(containerOf(ID));
  const { upperDir } = await store.layers.createActive(ID, { parent: topOf('a', 'b'), init: true });
  writeFileSync(`${upperDir}/precious`, 'data');
  await store.close();
}

const layer = (...texts: string[]) => `image/overlay2/layerdb/sha256/${hexOf(topOf(...texts))}`;
const image = `image/overlay2/imagedb/content/sha256/${hexOf(imageOf('a', 'b').id)}`;
const mount = `image/overlay2/layerdb/mounts/${ID}`;
const damages = { emptied: (path: string) => truncateSync(path), garbled: (path: string) => writeFileSync(path, '\u0000\u0001{garbage'), gone: (path: string) => rmSync(path) };

test('damaged layer records are set aside, and the layer can be made again', async () => {
  for (const file of ['cache-id', 'diff', 'parent', 'size']) for (const top of [['a'], ['a', 'b']]) for (const [kind, damage] of Object.entries(damages)) {
    if (file === 'parent' && top.length === 1) continue;
    using root = temporary();
    await populated(root.path);
    damage(`${root.path}/${layer(...top)}/${file}`);
    const store = await openTestStore(root.path);
    const about = `${file} of ${top.join()} ${kind}`;
    assert.equal(store.layers.get(topOf(...top)), undefined, about);
    assert.ok(store.recovered.quarantined.some(({ path, reason }) => path.startsWith(`${root.path}/vaquita/quarantine/`) && reason.includes(`/${file}: `) || reason.includes('do not make up')), about);
    assert.deepEqual([store.images.list(), store.names.all().size, store.layers.active(ID)], [[], 0, undefined], about);
    assert.deepEqual(store.recovered.swept, [], `nothing is swept while in doubt: ${about}`);
    await commitChain(store, 'a', 'b'); // what a new pull does
    await store.images.add(imageOf('a', 'b'));
    assert.equal(store.names.get('img:1'), imageOf('a', 'b').id, about);
    const { upperDir } = store.layers.active(ID) ?? {};
    assert.equal(readFileSync(`${upperDir}/precious`, 'utf8'), 'data', about);
    await store.close();

    const again = await openTestStore(root.path); // now the old snapshots go
    assert.deepEqual(again.recovered.quarantined, [], about);
    assert.equal(readdirSync(`${root.path}/overlay2`).length, 5, about);
    const links = again.layers.active(ID)?.lowerDirs.map((dir) => `l/${readFileSync(dir.replace(/diff$/, 'link'), 'utf8')}`).join(':');
    assert.equal(readFileSync(`${upperDir?.replace(/diff$/, 'lower')}`, 'utf8'), links);
    await again.close();
  }
});

test('a lost snapshot directory makes its layer one that has to be pulled again', async () => {
  using root = temporary();
  await populated(root.path);
  const cacheId = readFileSync(`${root.path}/${layer('a')}/cache-id`, 'utf8');
  rmSync(`${root.path}/overlay2/${cacheId}`, { recursive: true });
  const store = await openTestStore(root.path);
  assert.deepEqual(store.layers.list(), []);
  await commitChain(store, 'a', 'b');
  assert.equal(store.images.list().length, 1);
  await store.close();
});

test('a damaged mount record is reported and stays, and nothing that it may mean is swept', async () => {
  for (const file of ['mount-id', 'parent', 'init-id']) for (const kind of ['emptied', 'garbled'] as const) {
    using root = temporary();
    await populated(root.path);
    const mountId = readFileSync(`${root.path}/${mount}/mount-id`, 'utf8');
    damages[kind](`${root.path}/${mount}/${file}`);
    for (let boot = 0; boot < 2; boot++) {
      const store = await openTestStore(root.path);
      assert.equal(store.layers.active(ID), undefined);
      assert.deepEqual(store.recovered.quarantined.map(({ path }) => path), [`${root.path}/${mount}`], file);
      assert.equal(store.containers.loaded().length, 1);
      assert.equal(readFileSync(`${root.path}/overlay2/${mountId}/diff/precious`, 'utf8'), 'data');
      await store.close();
    }
    const store = await openTestStore(root.path);
    await store.layers.removeActive(ID);
    await store.containers.remove(ID);
    await store.close();
    const again = await openTestStore(root.path);
    assert.deepEqual([again.recovered.quarantined, readdirSync(`${root.path}/overlay2`).length], [[], 3]);
    await again.close();
  }
});

test('a damaged image config is set aside, its name with it, and the image can be added again', async () => {
  for (const [kind, damage] of Object.entries(damages)) {
    using root = temporary();
    await populated(root.path);
    damage(`${root.path}/${image}`);
    const store = await openTestStore(root.path);
    assert.deepEqual([store.images.list(), store.names.all().size, store.layers.list().length], [[], 0, 2], kind);
    assert.ok(store.recovered.quarantined.some(({ reason }) => reason.includes('img:1 named')), kind);
    await store.images.add(imageOf('a', 'b'));
    await store.names.update({ set: [['img:1', imageOf('a', 'b').id]] });
    await store.close();
    const again = await openTestStore(root.path);
    assert.deepEqual([again.names.all().size, again.recovered.quarantined], [1, []], kind);
    await again.close();
  }
});

test('an unreadable repositories.json costs the names and nothing else', async () => {
  for (const content of ['', '{"Repositories":', '\u0000\u0000', '[]', '{"Repositories":{"img":{"img:1":7,"x":"y"}}}', '{"Repositories":null}']) {
    using root = temporary();
    await populated(root.path);
    writeFileSync(`${root.path}/image/overlay2/repositories.json`, content);
    const store = await openTestStore(root.path);
    assert.deepEqual([store.names.all().size, store.images.list().length], [0, 1], content);
    assert.ok(content === '{"Repositories":null}' || store.recovered.quarantined.length > 0, content);
    await store.names.update({ set: [['img:2', imageOf('a', 'b').id]] });
    await store.close();
    const again = await openTestStore(root.path);
    assert.deepEqual([again.names.all().size, again.recovered.quarantined], [1, []], content);
    await again.close();
  }
});

test('a container that cannot be read is set aside whole, what it wrote is kept', async () => {
  for (const file of ['config.v2.json', 'hostconfig.json']) for (const kind of ['emptied', 'garbled'] as const) {
    using root = temporary();
    await populated(root.path);
    damages[kind](`${root.path}/containers/${ID}/${file}`);
    for (let boot = 0; boot < 2; boot++) {
      const store = await openTestStore(root.path);
      assert.deepEqual(store.containers.loaded(), []);
      assert.equal(store.recovered.quarantined.length, boot === 0 ? 1 : 0);
      assert.equal(readFileSync(`${store.layers.active(ID)?.upperDir}/precious`, 'utf8'), 'data');
      await store.close();
    }
    assert.ok(readdirSync(`${root.path}/vaquita/quarantine`).some((name) => name.endsWith(`containers_${ID}`)));
  }
});

test('a record of another container, or without its parts, is none', async () => {
  for (const record of [{ ID: 'd'.repeat(64), Name: '/x', Config: {}, State: {} }, { ID, Name: '/x', State: {} }, { ID, Name: '/x', Config: {} }, { ID, Config: {}, State: {} }, []]) {
    using root = temporary();
    await populated(root.path);
    writeFileSync(`${root.path}/containers/${ID}/config.v2.json`, JSON.stringify(record));
    const store = await openTestStore(root.path);
    assert.deepEqual([store.containers.loaded().length, store.recovered.quarantined.length], [0, 1]);
    await store.close();
  }
});

test('a snapshot whose container never came to be is swept', async () => {
  using root = temporary();
  await populated(root.path);
  rmSync(`${root.path}/containers/${ID}`, { recursive: true });
  mkdirSync(`${root.path}/image/overlay2/layerdb/mounts/mk6t9xw0ydbvljlo8xszbymc3`); // BuildKit's, half written
  const store = await openTestStore(root.path);
  assert.ok(store.layers.active(ID), 'not while another record is in doubt');
  await store.close();
  rmSync(`${root.path}/image/overlay2/layerdb/mounts/mk6t9xw0ydbvljlo8xszbymc3`, { recursive: true });
  const again = await openTestStore(root.path);
  assert.equal(again.layers.active(ID), undefined);
  assert.equal(readdirSync(`${root.path}/overlay2`).length, 3);
  await again.close();
});

test('a half-written mount record of a container that never came to be does not hold up the sweep', async () => {
  using root = temporary();
  await populated(root.path);
  rmSync(`${root.path}/containers/${ID}`, { recursive: true });
  truncateSync(`${root.path}/${mount}/mount-id`); // how Docker leaves it after a power cut
  const store = await openTestStore(root.path);
  assert.deepEqual([store.recovered.quarantined.length, existsSync(`${root.path}/${mount}`), readdirSync(`${root.path}/overlay2`).length], [1, false, 3]);
  await store.close();
});

test('where a layer came from is remembered, and damage to that is no damage', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const blob: Digest = digestOf('blob');
  await store.distribution.record(diffIdOf('a'), blob, 'docker.io/library/a');
  await store.distribution.record(diffIdOf('a'), blob, 'docker.io/library/a');
  await store.distribution.record(diffIdOf('a'), blob, 'registry:5000/b');
  assert.equal(store.distribution.diffIdOf(blob), diffIdOf('a'));
  assert.deepEqual(store.distribution.sourcesOf(diffIdOf('a')), [{ digest: blob, repository: 'docker.io/library/a', isOwn: true }, { digest: blob, repository: 'registry:5000/b', isOwn: true }]);
  const distribution = `${root.path}/image/overlay2/distribution`;
  assert.equal(readFileSync(`${distribution}/diffid-by-digest/sha256/${hexOf(blob)}`, 'utf8'), diffIdOf('a'));
  for (const path of [`${distribution}/diffid-by-digest/sha256/${hexOf(blob)}`, `${distribution}/v2metadata-by-diffid/sha256/${hexOf(diffIdOf('a'))}`]) truncateSync(path);
  assert.deepEqual([store.distribution.diffIdOf(blob), store.distribution.sourcesOf(diffIdOf('a'))], [undefined, []]);
  await store.close();
});

test('a root on which a Docker daemon runs is refused, and none can start beside us', async () => {
  using root = temporary();
  mkdirSync(`${root.path}/volumes`);
  writeFileSync(`${root.path}/volumes/metadata.db`, '');
  const { files } = openLinux({ selfCommand: [] });
  const dockers = openSync(`${root.path}/volumes/metadata.db`, 'r+');
  try {
    assert.ok(files.tryLock(dockers));
    await assert.rejects(openTestStore(root.path), (error: Error) => kindOf(error) === 'conflict' && /Docker or balenaEngine/.test(error.message));
  } finally {
    closeSync(dockers);
  }
  const store = await openTestStore(root.path);
  const late = openSync(`${root.path}/volumes/metadata.db`, 'r+');
  try {
    assert.equal(files.tryLock(late), false);
  } finally {
    closeSync(late);
    await store.close();
  }
});

test('an image whose layers are not there cannot be recorded, and what is no root is refused', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  await assert.rejects(store.images.add(imageOf('nowhere')), (error) => kindOf(error) === 'conflict');
  assert.ok(!existsSync(`${root.path}/image/overlay2/imagedb/content/sha256/${hexOf(imageOf('nowhere').id)}`));
  await store.close();
  for (const path of ['relative', '/', `${root.path}/`]) await assert.rejects(openTestStore(path), (error) => kindOf(error) === 'invalid', path);
});
