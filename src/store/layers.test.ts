import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { kindOf } from '../lib/errors.ts';
import { hexOf } from '../oci/digest.ts';
import { RecordingDisk } from '../../test/kit/recording-disk.ts';
import { afterPowerCuts, commitChain, commitLater, diffIdOf, openTestStore, plainExtractors, quickDisk, seeded, stageText, temporary, topOf } from '../../test/kit/store.ts';

const read = (path: string): string => readFileSync(path, 'utf8');
const mode = (path: string): number => statSync(path).mode & 0o777;

test('a committed layer stands where Docker expects it, file by file', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const [base, child] = await commitChain(store, 'base', 'child');
  assert.ok(base && child);
  const layer = `${root.path}/image/overlay2/layerdb/sha256/${hexOf(child.chainId)}`;
  assert.deepEqual(readdirSync(layer).toSorted(), ['cache-id', 'diff', 'parent', 'size', 'tar-split.json.gz']);
  assert.deepEqual([read(`${layer}/cache-id`), read(`${layer}/diff`), read(`${layer}/parent`), read(`${layer}/size`)],
    [child.cacheId, diffIdOf('child'), base.chainId, '5']);
  const [below, above] = [base, child].map(({ cacheId }) => `${root.path}/overlay2/${cacheId}`);
  assert.deepEqual(readdirSync(below ?? '').toSorted(), ['committed', 'diff', 'link']);
  assert.deepEqual(readdirSync(above ?? '').toSorted(), ['committed', 'diff', 'link', 'lower', 'work']);
  const [low, high] = [read(`${below}/link`), read(`${above}/link`)];
  assert.match(low, /^[A-Z2-7]{26}$/);
  assert.equal(read(`${above}/lower`), `l/${low}`);
  assert.equal(readlinkSync(`${root.path}/overlay2/l/${high}`), `../${child.cacheId}/diff`);
  assert.deepEqual([mode(root.path + '/overlay2'), mode(above ?? ''), mode(`${above}/diff`), mode(`${above}/work`), mode(`${root.path}/overlay2/l`), mode(layer)],
    [0o710, 0o710, 0o755, 0o700, 0o700, 0o700]);
  assert.equal(readdirSync(`${root.path}/image/overlay2/layerdb/tmp`).length, 0);
  await store.close();

  await using again = { store: await openTestStore(root.path), [Symbol.asyncDispose]() { return this.store.close(); } };
  assert.deepEqual(again.store.layers.list().length, 2);
  assert.deepEqual(again.store.layers.get(child.chainId)?.diffPath, child.diffPath);
  assert.deepEqual([again.store.recovered.quarantined, again.store.recovered.swept], [[], []]);
});

test('layers may be staged in any order, each commit waits for its parent', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const [a, ab] = [topOf('a'), topOf('a', 'b')];
  const third = await stageText(store, 'c', ab); // nothing below is known yet
  const first = await stageText(store, 'a');
  const second = await stageText(store, 'b', a); // only staged below
  await assert.rejects(third.commit(), (error) => kindOf(error) === 'conflict');
  const infos = [await first.commit(), await second.commit(), await third.commit()];
  const links = infos.map(({ cacheId }) => read(`${root.path}/overlay2/${cacheId}/link`));
  assert.equal(read(`${root.path}/overlay2/${infos[2]?.cacheId}/lower`), `l/${links[1]}:l/${links[0]}`);
  assert.equal(read(`${root.path}/overlay2/${infos[1]?.cacheId}/lower`), `l/${links[0]}`);
  await store.close();
});

test('a layer that learns its parent at the commit is like any other, and cannot be told twice', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const loose = await stageText(store, 'b', 'later');
  await assert.rejects(loose.commit(), /its parent is told either at staging or at the commit/);
  await assert.rejects(loose.commit({ parent: topOf('a') }), (error) => kindOf(error) === 'conflict');
  await commitChain(store, 'a');
  const made = await loose.commit({ parent: topOf('a') });
  assert.deepEqual([made.chainId, made.parent, loose.files()], [topOf('a', 'b'), topOf('a'), store.layers.files(made.chainId)]);
  await assert.rejects((await stageText(store, 'c', topOf('a'))).commit({ parent: undefined }), /its parent is told either/);
  const again = await stageText(store, 'b', 'later');
  assert.equal((await again.commit({ parent: topOf('a') })).cacheId, made.cacheId, 'the first one stays');
  await store.close();
  const reopened = await openTestStore(root.path);
  assert.deepEqual([reopened.recovered.quarantined, reopened.layers.list().length], [[], 2]);
  await reopened.close();
});

test('of two that stage the same layer the first to commit wins, and a child of the other is put right', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const [one, two] = [await stageText(store, 'a'), await stageText(store, 'a')];
  const child = await stageText(store, 'b', topOf('a'));
  const won = await two.commit();
  assert.equal((await one.commit()).cacheId, won.cacheId);
  const top = await child.commit();
  assert.equal(read(`${root.path}/overlay2/${top.cacheId}/lower`), `l/${read(`${root.path}/overlay2/${won.cacheId}/link`)}`);
  assert.equal(readdirSync(`${root.path}/overlay2`).length, 3);
  await store.close();
});

test('discarding, a wrong digest and a broken source leave nothing', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const nothingLeft = () => {
    assert.deepEqual(readdirSync(`${root.path}/overlay2`), ['l']);
    assert.deepEqual([readdirSync(`${root.path}/overlay2/l`), readdirSync(`${root.path}/image/overlay2/layerdb/tmp`)], [[], []]);
  };
  await (await stageText(store, 'a'))[Symbol.asyncDispose]();
  nothingLeft();
  async function* broken(): AsyncGenerator<Uint8Array> { yield Buffer.from('x'); await Promise.resolve(); throw new Error('connection lost'); }
  await assert.rejects(store.layers.stage({ diffId: diffIdOf('a'), parent: undefined, compression: 'none', source: broken() }), /connection lost/);
  nothingLeft();
  async function* other(): AsyncGenerator<Uint8Array> { await Promise.resolve(); yield Buffer.from('other'); }
  await assert.rejects(store.layers.stage({ diffId: diffIdOf('a'), parent: undefined, compression: 'none', source: other() }), (error) => kindOf(error) === 'corrupt');
  nothingLeft();
  await store.close();
});

test('a layer costs one sync of the file system and two flushes', async () => {
  using root = temporary();
  const disk = new RecordingDisk(root.path, quickDisk);
  const store = await openTestStore(root.path, { disk });
  const before = disk.ops.length;
  await commitChain(store, 'a');
  const flushes = disk.ops.slice(before).map((op) => op.do).filter((what) => what.startsWith('sync'));
  assert.deepEqual(flushes, ['sync-all', 'sync-bytes', 'sync-names']);
  await store.close();
});

for (const parent of ['known', 'later'] as const) test(`commit leaves everything or nothing, whichever step fails (parent ${parent})`, async () => {
  for (let n = 1; ; n++) {
    using root = temporary();
    const disk = new RecordingDisk(root.path, quickDisk);
    const store = await openTestStore(root.path, { disk });
    await commitChain(store, 'a');
    disk.failAfter(n);
    const outcome = await stageText(store, 'b', parent === 'known' ? topOf('a') : 'later').then(async (staged) => {
      await using _staged = staged;
      await (parent === 'known' ? staged.commit() : staged.commit({ parent: topOf('a') }));
      return 'committed';
    }).catch((error: Error) => { assert.match(error.message, /ENOSPC/); return 'failed'; });
    disk.failAfter(0);
    const whole = outcome === 'committed';
    assert.equal(store.layers.get(topOf('a', 'b')) !== undefined, whole);
    assert.equal(readdirSync(`${root.path}/overlay2`).length, whole ? 3 : 2, `after failure ${n}`);
    assert.equal(readdirSync(`${root.path}/overlay2/l`).length, whole ? 2 : 1);
    assert.equal(readdirSync(`${root.path}/image/overlay2/layerdb/tmp`).length, 0);
    await store.close();
    if (whole) { assert.ok(n > 12); return; }
  }
});

for (const commit of [commitChain, commitLater]) test(`after any power cut a layer is whole or absent, and there once acknowledged (${commit.name})`, async () => {
  using root = temporary();
  const disk = new RecordingDisk(root.path, quickDisk);
  const store = await openTestStore(root.path, { disk });
  disk.syncAll();
  const from = disk.ops.length;
  const done: number[] = [];
  for (const texts of [['a'], ['a', 'b']]) { await commit(store, ...texts); done.push(disk.ops.length); }
  await store.close();
  const random = seeded(1);
  for await (const { after, at, reopened } of afterPowerCuts(disk, { from, perStep: 6, random })) {
    const there = [topOf('a'), topOf('a', 'b')].map((chainId) => reopened.layers.get(chainId));
    for (const [i, layer] of there.entries()) {
      if (after >= (done[i] ?? 0)) assert.ok(layer, `layer ${i} acknowledged before step ${after} is lost`);
      if (!layer) continue;
      assert.equal(read(`${layer.diffPath}/content`), 'ab'[i]);
      assert.deepEqual(readdirSync(`${layer.diffPath}/..`).toSorted(), i === 0 ? ['committed', 'diff', 'link'] : ['committed', 'diff', 'link', 'lower', 'work']);
      assert.equal(read(`${at}/image/overlay2/layerdb/sha256/${hexOf(layer.chainId)}/tar-split.json.gz`), 'tar-split');
    }
    assert.equal(readdirSync(`${at}/overlay2`).length, 1 + there.filter((layer) => layer !== undefined).length);
    assert.deepEqual(reopened.recovered.quarantined, []);
    await commitChain(reopened, 'a', 'b'); // and the pull can be done again
  }
});

test('a chain is limited to what overlay2 mounts', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const texts = Array.from({ length: 125 }, (_, i) => `${i}`);
  const chain = await commitChain(store, ...texts);
  const mount = await store.layers.createActive('c'.repeat(64), { parent: chain.at(-1)?.chainId, init: true });
  assert.equal(mount.lowerDirs.length, 126);
  assert.equal(mount.cwd, `${root.path}/overlay2`);
  assert.ok(mount.data.length <= 4095 && mount.data.startsWith('lowerdir=l/'));
  await assert.rejects(stageText(store, 'one more', chain.at(-1)?.chainId), /max depth exceeded/);
  await store.close();
});

test('a second daemon on the root is refused, and told of the first', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  await assert.rejects(openTestStore(root.path), (error: Error) => kindOf(error) === 'conflict' && error.message.includes(`in use by another daemon (pid ${process.pid})`));
  await store.close();
  await (await openTestStore(root.path)).close();
});

test('what was staged when the daemon died is swept', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  await commitChain(store, 'a');
  await stageText(store, 'b', topOf('a')); // and then: gone
  await store.close();
  const again = await openTestStore(root.path);
  assert.equal(again.recovered.swept.length, 3); // write-set, snapshot, link
  assert.deepEqual([readdirSync(`${root.path}/overlay2`).length, readdirSync(`${root.path}/overlay2/l`).length], [2, 1]);
  await again.close();
  assert.deepEqual(readdirSync(`${root.path}/vaquita/removed`), []);
});

test('nothing else of the root is touched', async () => {
  using root = temporary();
  await (await openTestStore(root.path)).close();
  const foreign = [`${root.path}/overlay2/1kfhxh3wpabx6s8w7eddv9pzt`, `${root.path}/buildkit`, `${root.path}/aufs`];
  for (const path of foreign) { await quickDisk.mkdir(path, 0o700); writeFileSync(`${path}/x`, 'x'); }
  await (await openTestStore(root.path)).close();
  for (const path of foreign) assert.ok(existsSync(`${path}/x`), path);
});

test('an aborted stage throws the reason of its signal', async () => {
  using root = temporary();
  const store = await openTestStore(root.path, { extractors: plainExtractors(quickDisk) });
  const signal = AbortSignal.abort(new Error('enough'));
  async function* source(): AsyncGenerator<Uint8Array> { await Promise.resolve(); yield Buffer.from('a'); }
  await assert.rejects(store.layers.stage({ diffId: diffIdOf('a'), parent: undefined, compression: 'none', source: source(), signal }), /enough/);
  await store.close();
});
