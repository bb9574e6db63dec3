import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { imageOf, openTestStore, temporary } from '../../test/kit/store.ts';
import { hexOf } from '../oci/digest.ts';

test('the time of the last tag is written and read as Docker does, and junk is none', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const image = imageOf();
  const folder = `${root.path}/image/overlay2/imagedb/metadata/sha256/${hexOf(image.id)}`;
  await store.images.tagged(image.id, '2026-11-21T09:47:51.963010836Z');
  assert.equal(store.images.lastTagged(image.id), undefined, 'nothing is written of an image that is not there');
  await store.images.add(image);
  await store.images.tagged(image.id, '2026-11-21T09:47:51.963010836Z');
  assert.equal(readFileSync(`${folder}/lastUpdated`, 'utf8'), '2026-11-21T09:47:51.963010836Z');
  assert.deepEqual([statSync(folder).mode & 0o777, statSync(`${folder}/lastUpdated`).mode & 0o777], [0o700, 0o600]);
  assert.equal(store.images.lastTagged(image.id), '2026-11-21T09:47:51.963010836Z');
  writeFileSync(`${folder}/lastUpdated`, 'yesterday');
  assert.equal(store.images.lastTagged(image.id), undefined);
  await store.images.remove(image.id);
  assert.throws(() => statSync(folder), /ENOENT/);
  await store.close();
});
