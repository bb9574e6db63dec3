import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { RecordingDisk } from '../../test/kit/recording-disk.ts';
import { afterPowerCuts, imageOf, openTestStore, quickDisk, seeded, temporary, commitChain } from '../../test/kit/store.ts';
import { formatNames, repositoryOf } from './names.ts';

const cases: ReadonlyArray<readonly [string, string | undefined]> = [
  ['busybox:latest', 'busybox'], [`busybox@sha256:${'0'.repeat(64)}`, 'busybox'], ['registry:5000/a/b:1', 'registry:5000/a/b'],
  ['registry:5000/a/b@sha256:00', 'registry:5000/a/b'], ['busybox', undefined], ['registry:5000/a/b', undefined], [':x', undefined],
];

test('the repository of a familiar reference', () => {
  for (const [familiar, repository] of cases) assert.equal(repositoryOf(familiar), repository, familiar);
});

test('repositories.json is written as Docker writes it', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const image = imageOf();
  await store.images.add(image);
  const digest = `sha256:${'1'.repeat(64)}`;
  await store.names.update({ set: [['b:1', image.id], ['a/z:2', image.id], [`b@${digest}`, image.id], ['b:0', image.id]] });
  assert.equal(readFileSync(`${root.path}/image/overlay2/repositories.json`, 'utf8'),
    `{"Repositories":{"a/z":{"a/z:2":"${image.id}"},"b":{"b:0":"${image.id}","b:1":"${image.id}","b@${digest}":"${image.id}"}}}`);
  assert.deepEqual(store.names.of(image.id), ['a/z:2', 'b:0', 'b:1', `b@${digest}`]);
  await store.names.update({ remove: ['b:0', 'a/z:2'], set: [['c:1', image.id]] });
  await store.close();
  const again = await openTestStore(root.path);
  assert.deepEqual([...again.names.all().keys()], ['b:1', `b@${digest}`, 'c:1']);
  await again.close();
});

test('hostile names stay names', () => {
  const text = formatNames(new Map([['__proto__:1', imageOf().id], ['constructor:1', imageOf().id]]));
  assert.ok(text.includes('"__proto__":{"__proto__:1"'), text);
});

test('after any power cut the names are the old ones or the new ones, and the new ones once acknowledged', async () => {
  using root = temporary();
  const disk = new RecordingDisk(root.path, quickDisk);
  const store = await openTestStore(root.path, { disk });
  await commitChain(store, 'a');
  const image = imageOf('a');
  await store.names.update({});
  disk.syncAll();
  const from = disk.ops.length;
  await store.images.add(image);
  const added = disk.ops.length;
  await store.names.update({ set: [['a:1', image.id]] });
  const named = disk.ops.length;
  await store.names.update({ set: [['a:2', image.id]], remove: ['a:1'] });
  const renamed = disk.ops.length;
  await store.close();
  for await (const { after, reopened } of afterPowerCuts(disk, { from, perStep: 8, random: seeded(3) })) {
    const names = [...reopened.names.all().keys()].join();
    const allowed = after < named ? ['', 'a:1'] : after < renamed ? ['a:1', 'a:2'] : ['a:2'];
    assert.ok(allowed.includes(names), `${names} after ${after}`);
    if (after >= added) assert.ok(reopened.images.get(image.id));
    assert.deepEqual(reopened.recovered.quarantined, []);
  }
});

test('updates at the same time are all kept', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const image = imageOf();
  await store.images.add(image);
  await Promise.all(Array.from({ length: 20 }, (_, i) => store.names.update({ set: [[`a:${i}`, image.id]] })));
  await store.close();
  const again = await openTestStore(root.path);
  assert.equal(again.names.all().size, 20);
  await again.close();
});
