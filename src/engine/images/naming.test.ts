// An image that is pulled while it is removed, or while what has no name is pruned: who was told that it is here finds it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../lib/clock.ts';
import { Limiter } from '../../lib/lock.ts';
import { silentLog } from '../../lib/log.ts';
import { digestOf } from '../../oci/digest.ts';
import { MEDIA } from '../../oci/manifest.ts';
import { parseImageConfig } from '../../oci/parse-manifest.ts';
import type { Registry } from '../../registry/index.ts';
import { openTestStore, quickDisk, temporary } from '../../../test/kit/store.ts';
import { openEvents } from '../events.ts';
import { makePull } from './pull.ts';
import { pruneImages, removeImage } from './remove.ts';

const IMAGE = parseImageConfig(Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } })));
const CONFIG = { mediaType: MEDIA.dockerConfig, digest: digestOf(IMAGE.bytes), size: IMAGE.bytes.length };
const MANIFEST = { mediaType: MEDIA.dockerManifest, digest: digestOf('manifest'), size: 8 };
/** In which the other verb does all that it can do without waiting for this one. */
const LONG_ROUNDS = 100;

test('a pull beside a removal, and beside a prune, leaves the image that it names', async () => {
  using root = temporary();
  let whileNaming: (() => void) | undefined;
  const disk = { ...quickDisk, async rename(from: string, to: string) {
    if (to.endsWith('/repositories.json') && whileNaming) {
      whileNaming();
      whileNaming = undefined;
      for (let rounds = 0; rounds < LONG_ROUNDS; rounds++) await new Promise((resolve) => { setImmediate(resolve); });
    }
    await quickDisk.rename(from, to);
  } };
  const store = await openTestStore(root.path, { disk });
  const registry = { resolve: async () => ({ top: MANIFEST, manifest: MANIFEST, config: CONFIG, layers: [], annotations: {} }), config: async () => IMAGE.bytes } as unknown as Registry;
  const needs = { store, baseRoots: [], registry, events: openEvents(systemClock), clock: systemClock, log: silentLog, platform: { os: 'linux', architecture: 'amd64' }, maxConcurrentDownloads: 3, turn: new Limiter(1), users: () => [] };
  const makeOne = makePull(needs);
  const pull = () => makeOne('registry.lan/a:1', { platform: undefined, auth: undefined, all: false, signal: new AbortController().signal, onLine: () => {} });
  const named = () => [store.names.get('registry.lan/a:1'), store.images.list().map(({ id }) => id)];
  await pull();

  const pulled = Promise.withResolvers<void>();
  whileNaming = () => pulled.resolve(pull()); // the removal has decided, and takes the names
  await removeImage(needs, 'registry.lan/a:1', { force: false, noPrune: false });
  await pulled.promise;
  assert.deepEqual(named(), [IMAGE.id, [IMAGE.id]], 'beside a removal');

  await removeImage(needs, 'registry.lan/a:1', { force: false, noPrune: false });
  const pruned = Promise.withResolvers<unknown>();
  whileNaming = () => pruned.resolve(pruneImages(needs, new Map())); // the image has been recorded, and has no name yet
  await pull();
  assert.deepEqual([(await pruned.promise as { deleted: unknown }).deleted, named()], [[], [IMAGE.id, [IMAGE.id]]], 'beside a prune');
  await store.close();
});
