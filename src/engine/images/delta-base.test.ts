// What delta images say, where their bases are found, and what each layer of a target takes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commitChain, diffIdOf, imageOf, openTestStore, temporary } from '../../../test/kit/store.ts';
import { chainIds } from '../../oci/digest.ts';
import { parseImageConfig } from '../../oci/parse-manifest.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import { decideDeltaSteps, deltaOf, findDeltaBase } from './delta-base.ts';
import { LayerMaking } from './load-layers.ts';
import type { Parts } from './load-parts.ts';

const BASE = imageOf('a', 'b');
const deltaImage = (labels: Record<string, string>, layers: readonly string[]): ImageConfig =>
  parseImageConfig(Buffer.from(JSON.stringify({ config: { Labels: labels }, rootfs: { type: 'layers', diff_ids: layers.map(diffIdOf) } })));
const deltaTo = (target: ImageConfig, layers: readonly string[], base: string = BASE.id) =>
  deltaImage({ 'io.resin.delta.base': base, 'io.resin.delta.config': Buffer.from(target.bytes).toString('utf8') }, layers);

test('the labels of a delta image are read, and refused when they are none', () => {
  const target = imageOf('a', 'c');
  const delta = deltaOf(deltaTo(target, ['x', 'y']));
  assert.deepEqual([delta?.base, delta?.target.id, delta?.target.diffIds], [BASE.id, target.id, target.diffIds]);
  assert.equal(deltaOf(BASE), undefined);
  for (const [config, message] of [
    [deltaTo(target, ['x', 'y'], 'busybox'), /^parsing base image "busybox"/],
    [deltaImage({ 'io.resin.delta.base': BASE.id }, ['x']), /no target/],
    [deltaImage({ 'io.resin.delta.base': BASE.id, 'io.resin.delta.config': '{' }, ['x']), /target of delta image sha256:\w+: .*JSON/],
    [deltaTo(target, ['x']), /has 2 layers, the delta image 1/],
  ] as const) assert.throws(() => deltaOf(config), { kind: 'invalid', message });
});

test('a base is found in the first root that has it whole; each layer of the target is had the cheapest way', async () => {
  using own = temporary();
  using other = temporary();
  const store = await openTestStore(own.path);
  const second = await openTestStore(other.path);
  const roots = [store, second];
  assert.throws(() => findDeltaBase(roots, BASE.id), { kind: 'not-found', message: `loading delta base image "${BASE.id}": failed to get digest ${BASE.id}: open ${own.path}/image/overlay2/imagedb/content/sha256/${BASE.id.slice(7)}: no such file or directory` });
  await commitChain(second, 'a', 'b');
  await second.images.add(BASE);
  const base = findDeltaBase(roots, BASE.id);
  assert.equal(base.root, second);
  assert.deepEqual(base.layers.map(({ diffId }) => diffId), BASE.diffIds);
  const ways = (...texts: string[]) => decideDeltaSteps(store.layers, base, imageOf(...texts)).map((step) => (step.way === 'copy' ? `copy ${step.common ? 'common ' : ''}from ${step.from === store.layers ? 'own' : 'base'}` : step.way));
  assert.deepEqual(ways('a', 'x', 'b'), ['copy common from base', 'apply', 'copy from base']);
  await commitChain(store, 'a', 'x');
  assert.deepEqual(ways('a', 'x', 'y'), ['here', 'here', 'apply']);
  assert.deepEqual(ways('b', 'x'), ['copy from base', 'copy from own']);
  assert.deepEqual(ways('a', 'b'), ['here', 'copy common from base']);
  await commitChain(store, 'a', 'b');
  await store.images.add(BASE);
  assert.equal(findDeltaBase(roots, BASE.id).root, store);
  await Promise.all([store.close(), second.close()]);
});

test('a layer that was to be copied and goes before its turn is made of the delta', async () => {
  using own = temporary();
  const store = await openTestStore(own.path);
  await commitChain(store, 'a', 'b');
  await store.images.add(BASE);
  await commitChain(store, 'x'); // of an image that has just been removed
  const target = imageOf('a', 'new', 'x');
  const read: string[] = [];
  // The test store takes a delta for what it makes.
  const parts = {
    find: (path: string) => ({ kind: 'bytes', bytes: Buffer.from(path) }),
    async *tar({ bytes }: { bytes: Buffer }) {
      read.push(bytes.toString());
      await store.collect();
      yield bytes;
    },
  } as unknown as Parts;
  await using making = new LayerMaking({ store, parts, signal: new AbortController().signal, onLayer() {} });
  await making.add({ target, layers: ['a', 'new', 'x'], base: findDeltaBase([store], BASE.id) });
  await making.commit();
  assert.deepEqual([read, chainIds(target.diffIds).every((chainId) => store.layers.get(chainId))], [['new', 'x'], true]);
  await store.close();
});
