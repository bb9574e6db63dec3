import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import type { ChainId } from '../oci/digest.ts';
import { RecordingDisk } from '../../test/kit/recording-disk.ts';
import { afterPowerCuts, commitChain, containerOf, imageOf, openTestStore, quickDisk, seeded, stageText, temporary, topOf } from '../../test/kit/store.ts';
import { decideCollect } from './collect.ts';
import type { LayerRecord } from './layer-state.ts';

const ID = 'c'.repeat(64);

test('what no root stands on goes, children first', () => {
  const layers = new Map<ChainId, LayerRecord>();
  const add = (name: string, parent?: string) => layers.set(name as ChainId, { chainId: name, parent } as LayerRecord);
  add('a'); add('c', 'b'); add('b', 'a'); add('x', 'a'); add('y', 'x');
  const victims = (...roots: string[]) => decideCollect(layers, roots as ChainId[]).map(({ chainId }) => chainId).join('');
  assert.equal(victims('y'), 'cb');
  assert.equal(victims('y', 'c'), '');
  assert.equal(victims('b', 'unknown'), 'cyx');
  assert.match(victims(), /^(cy|yc)(bx|xb)a$/);
});

test('images, containers, leases and staged layers keep what is below them', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  await commitChain(store, 'a', 'b', 'c');
  await commitChain(store, 'd', 'e');
  await commitChain(store, 'f');
  await commitChain(store, 'g');
  await store.images.add(imageOf('a', 'b'));
  await store.layers.createActive(ID, { parent: topOf('d'), init: true });
  const lease = store.layers.lease([]);
  lease.add(topOf('f'));
  const staged = await stageText(store, 'h', topOf('g'));
  assert.deepEqual(new Set(await store.collect()), new Set([topOf('a', 'b', 'c'), topOf('d', 'e')]));
  lease[Symbol.dispose]();
  await staged.commit();
  assert.deepEqual(await store.collect().then((gone) => new Set(gone)), new Set([topOf('f'), topOf('g', 'h'), topOf('g')]));
  await store.images.remove(imageOf('a', 'b').id);
  await store.layers.removeActive(ID);
  assert.deepEqual((await store.collect()).slice(-1).length, 1);
  assert.deepEqual([store.layers.list(), await store.collect()], [[], []]);
  assert.deepEqual([readdirSync(`${root.path}/overlay2`), readdirSync(`${root.path}/overlay2/l`), readdirSync(`${root.path}/image/overlay2/layerdb/tmp`)], [['l'], [], []]);
  await commitChain(store, 'a', 'b'); // and everything can be made again
  await store.close();
});

test('after any power cut a collected layer is whole or gone', async () => {
  using root = temporary();
  const disk = new RecordingDisk(root.path, quickDisk);
  const store = await openTestStore(root.path, { disk });
  await commitChain(store, 'a', 'b', 'c');
  await store.images.add(imageOf('a'));
  await store.containers.create(containerOf(ID));
  await store.layers.createActive(ID, { parent: topOf('a'), init: true });
  disk.syncAll();
  const from = disk.ops.length;
  assert.equal((await store.collect()).length, 2);
  await store.close();
  for await (const { reopened } of afterPowerCuts(disk, { from, perStep: 4, random: seeded(4) })) {
    assert.deepEqual(reopened.recovered.quarantined.filter(({ reason }) => !reason.includes('below it')), []);
    assert.ok(reopened.layers.active(ID));
    for (const layer of reopened.layers.list()) assert.ok(readdirSync(layer.diffPath).includes('content'));
    await commitChain(reopened, 'a', 'b', 'c');
  }
});
