import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { commitChain, imageOf, openTestStore, temporary } from '../../test/kit/store.ts';
import { openFiles } from '../kernel/index.ts';
import { kindOf } from '../lib/errors.ts';
import { hexOf } from '../oci/digest.ts';
import type { Log } from '../lib/log.ts';
import { openBaseRoot } from './index.ts';

const kernel = { files: openFiles() };

/** A log that keeps the paths it was told. */
function keeping(): { log: Log; paths: string[] } {
  const paths: string[] = [];
  const log: Log = { debug() {}, info() {}, error() {}, warn: (_, fields) => { paths.push(String(fields?.['path'])); }, with: () => log };
  return { log, paths };
}

test('another root is read as it is now, and stays untouched; records that cannot be read are passed over', async () => {
  using root = temporary();
  const image = imageOf('a', 'b'), other = imageOf('a', 'c');
  const store = await openTestStore(root.path);
  const [low, high] = await commitChain(store, 'a', 'b');
  assert.ok(low && high);
  await store.images.add(image);
  const { log, paths } = keeping();
  const base = await openBaseRoot(root.path, { kernel, log }); // while its own engine has it
  assert.deepEqual(base.images.list().map(({ id }) => id), [image.id]);
  assert.deepEqual(base.layers.get(high.chainId), { chainId: high.chainId, diffId: high.diffId, parent: low.chainId, cacheId: high.cacheId, sizeBytes: high.sizeBytes, diffPath: high.diffPath });
  assert.deepEqual(base.layers.files(high.chainId), store.layers.files(high.chainId));
  assert.equal(base.layers.list().length, 2);

  await commitChain(store, 'a', 'c');
  await store.images.add(other);
  assert.equal(base.images.get(other.id)?.id, other.id, 'what has come since is found');
  await store.images.remove(image.id);
  await store.collect();
  assert.deepEqual([base.images.get(image.id), base.layers.get(high.chainId), base.layers.files(high.chainId), base.layers.list().length], [undefined, undefined, undefined, 2]);
  await assert.rejects(base.layers.tar(high.chainId)[Symbol.asyncIterator]().next(), (error) => kindOf(error) === 'not-found');
  await store.close();

  const layerdb = join(root.path, 'image/overlay2/layerdb/sha256');
  const content = join(root.path, 'image/overlay2/imagedb/content/sha256');
  mkdirSync(join(layerdb, 'f'.repeat(64)));
  mkdirSync(join(layerdb, 'not one'));
  writeFileSync(join(content, 'e'.repeat(64)), '{}');
  const state = () => execFileSync('find', [root.path, '-printf', '%p %i %m %s %C@\n'], { encoding: 'utf8' });
  const before = state();
  for (let round = 0; round < 2; round++) {
    assert.deepEqual([base.images.list().map(({ id }) => id), base.layers.list().length], [[other.id], 2]);
  }
  assert.deepEqual(paths.toSorted(), [join(content, 'e'.repeat(64)), join(layerdb, 'f'.repeat(64))].toSorted(), 'each is told once');
  assert.equal(state(), before);

  renameSync(join(layerdb, hexOf(low.chainId)), join(root.path, 'away'));
  assert.deepEqual([base.images.list(), base.images.get(other.id)], [[], undefined], 'an image without its layers is none');
  rmSync(join(root.path, 'image'), { recursive: true });
  assert.deepEqual([base.images.list(), base.layers.list()], [[], []]);
});

test('what is no root of overlay2 is refused by name', async () => {
  using root = temporary();
  const { log } = keeping();
  const refused = (path: string, words: RegExp) => assert.rejects(openBaseRoot(path, { kernel, log }), (error) => { assert.equal(kindOf(error), 'invalid'); assert.match(String(error), words); return true; });
  await refused(join(root.path, 'none'), /delta data root \S+none: no such directory/);
  await refused(root.path, /no images of storage driver overlay2 in it/);
  mkdirSync(join(root.path, 'image/aufs'), { recursive: true });
  await refused(root.path, /is of storage driver aufs: only overlay2 can be read/);
});
