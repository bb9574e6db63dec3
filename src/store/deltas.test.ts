// Our own deltas on the disk: whole or absent, read as they were made, gone with the image they lead to.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { kindOf } from '../lib/errors.ts';
import { digestOf } from '../oci/digest.ts';
import type { DeltaRecord, Store } from './index.ts';
import { RecordingDisk } from '../../test/kit/recording-disk.ts';
import { afterPowerCuts, commitChain, diffIdOf, imageOf, openTestStore, quickDisk, seeded, temporary } from '../../test/kit/store.ts';

const base = imageOf('base'), target = imageOf('base', 'new', 'newer');
const blobs = ['a delta', 'another one'];

function recordOf(of: { texts?: readonly string[]; base?: typeof base } = {}): DeltaRecord {
  return {
    base: (of.base ?? base).id, target: target.id, created: '2026-11-21T06:00:00Z',
    layers: (of.texts ?? blobs).map((text, n) => ({ diffId: diffIdOf(n === 0 ? 'new' : 'newer'), digest: digestOf(text), sizeBytes: text.length, targetBytes: 100, sources: [diffIdOf('base')] })),
  };
}

async function add(store: Store, { record, disk = quickDisk, texts = blobs }: { record: DeltaRecord; disk?: typeof quickDisk; texts?: readonly string[] }): Promise<void> {
  await using workshop = await store.deltas.workshop();
  const paths = texts.map((_text, n) => `${workshop.path}/${n}`);
  for (const [n, text] of texts.entries()) {
    await disk.write(paths[n] ?? '', text, 0o600);
    await disk.sync(paths[n] ?? '');
  }
  await store.deltas.add(record, paths);
}

async function openWithImages(path: string, disk = quickDisk): Promise<Store> {
  const store = await openTestStore(path, { disk });
  await commitChain(store, 'base', 'new', 'newer');
  await store.images.add(base);
  await store.images.add(target);
  return store;
}

const read = async (store: Store, record: DeltaRecord, n: number): Promise<string> => {
  const layer = record.layers[n];
  assert.ok(layer);
  return Buffer.concat(await Array.fromAsync(store.deltas.blob(record, layer.digest))).toString();
};

test('a delta is kept over a restart, replaced by a newer one of the same pair, and read as it was made', async () => {
  using root = temporary();
  const store = await openWithImages(root.path);
  await add(store, { record: recordOf() });
  await add(store, { record: recordOf({ base: target }) });
  const newer = recordOf({ texts: ['a better delta', 'another one'] });
  await add(store, { record: newer, texts: ['a better delta', 'another one'] });
  await store.close();

  const again = await openTestStore(root.path);
  assert.deepEqual(again.deltas.of(target.id).toSorted((a, b) => (a.base === base.id ? -1 : b.base === base.id ? 1 : 0)), [newer, recordOf({ base: target })]);
  assert.deepEqual(again.deltas.of(base.id), []);
  assert.deepEqual([await read(again, newer, 0), await read(again, newer, 1)], ['a better delta', 'another one']);
  await assert.rejects(Array.fromAsync(again.deltas.blob(newer, digestOf('no such'))), (error) => kindOf(error) === 'not-found');
  await again.deltas.remove(newer);
  assert.deepEqual(again.deltas.list(), [recordOf({ base: target })]);
  await assert.rejects(read(again, newer, 0), (error) => kindOf(error) === 'not-found');
  await again.close();
});

test('while a delta is made anew there is always one to be pushed', async () => {
  using root = temporary();
  const store = await openWithImages(root.path);
  const record = recordOf();
  await add(store, { record });
  let isOver = false;
  const adding = (async () => { for (let n = 0; n < 20; n++) await add(store, { record }); isOver = true; })();
  let reads = 0;
  for (; !isOver; reads++) {
    assert.deepEqual([store.deltas.of(target.id), await read(store, record, 0)], [[record], blobs[0]]);
    await new Promise(setImmediate);
  }
  await adding;
  assert.ok(reads > 1);
  await store.close();
});

test('a delta goes with its target, not with its base; one that comes too late for its target is refused and leaves nothing', async () => {
  using root = temporary();
  const store = await openWithImages(root.path);
  await add(store, { record: recordOf() });
  await store.images.remove(base.id);
  await store.collect();
  assert.equal(store.deltas.list().length, 1);
  await store.images.remove(target.id);
  await store.collect();
  assert.deepEqual(store.deltas.list(), []);
  await assert.rejects(add(store, { record: recordOf() }), /was removed while a delta to it was made/);
  assert.deepEqual([readdirSync(`${root.path}/vaquita/deltas`), readdirSync(`${root.path}/vaquita/removed`), readdirSync(`${root.path}/vaquita`).filter((name) => name.startsWith('new-'))], [[], [], []]);
  await store.close();
});

test('what cannot be read is set aside, blobs that changed are refused, workshops are swept', async () => {
  using root = temporary();
  const store = await openWithImages(root.path);
  const other = recordOf({ base: target });
  await add(store, { record: recordOf() });
  await add(store, { record: other });
  const workshop = await store.deltas.workshop();
  await store.close();
  const [, damaged = ''] = readdirSync(`${root.path}/vaquita/deltas`);
  writeFileSync(`${root.path}/vaquita/deltas/${damaged}/delta.json`, '{"base":');

  const again = await openTestStore(root.path);
  assert.equal(again.recovered.quarantined.length, 1);
  assert.match(again.recovered.quarantined[0]?.reason ?? '', /no JSON/);
  assert.equal(existsSync(workshop.path), false);
  const [left] = again.deltas.list();
  assert.ok(left && again.deltas.list().length === 1);
  const [path = ''] = readdirSync(`${root.path}/vaquita/deltas`);
  writeFileSync(`${root.path}/vaquita/deltas/${path}/0.delta`, 'A delta');
  await assert.rejects(read(again, left, 0), (error: Error) => kindOf(error) === 'corrupt' && /has changed since it was made/.test(error.message));
  writeFileSync(`${root.path}/vaquita/deltas/${path}/0.delta`, 'a delta and more');
  await assert.rejects(read(again, left, 0), /has changed since it was made/);
  await again.close();
});

test('after a power cut there is the whole delta or none, and the new one once it was acknowledged', async () => {
  using root = temporary();
  const disk = new RecordingDisk(root.path, quickDisk);
  const store = await openWithImages(root.path, disk);
  disk.syncAll();
  const from = disk.ops.length;
  await add(store, { record: recordOf(), disk });
  const added = disk.ops.length;
  const newer = recordOf({ texts: ['a better delta', 'another one'] });
  await add(store, { record: newer, disk, texts: ['a better delta', 'another one'] });
  const replaced = disk.ops.length;
  await store.deltas.remove(newer);
  const removed = disk.ops.length;
  await store.close();
  for await (const { after, reopened } of afterPowerCuts(disk, { from, perStep: 4, random: seeded(7) })) {
    const found = reopened.deltas.list()[0];
    const text = found === undefined ? '' : `${await read(reopened, found, 0)}, ${await read(reopened, found, 1)}`;
    const allowed = after < added ? ['', 'a delta, another one'] : after === added ? ['a delta, another one'] : after < replaced ? ['', 'a delta, another one', 'a better delta, another one']
      : after === replaced ? ['a better delta, another one'] : after < removed ? ['', 'a better delta, another one'] : [''];
    assert.ok(allowed.includes(text), `${JSON.stringify(text)} after ${after} of ${from}, ${added}, ${replaced}, ${removed}`);
    assert.deepEqual(reopened.recovered.quarantined, []);
  }
});
