import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { tarBytes } from '../archive/tar-write.ts';
import { deltaLayerTar } from '../delta/rsync/layer.ts';
import { kernel, pieces } from '../../test/kit/extract.ts';
import { CORPUS_CASES, corpusImage, vectorOf } from '../../test/kit/corpus.ts';
import { openTempRoot } from '../../test/kit/temp.ts';
import { systemClock } from '../lib/clock.ts';
import { kindOf } from '../lib/errors.ts';
import { silentLog } from '../lib/log.ts';
import { chainIds, parseDiffId, type ChainId } from '../oci/digest.ts';
import { openStore, type LayerFiles, type LayerWrite, type StagedLayer, type Store } from './index.ts';

const temp = openTempRoot();
const store = await openStore({ root: join(temp.path, 'root'), kernel, log: silentLog, clock: systemClock });
after(async () => { await store.close(); await temp[Symbol.asyncDispose](); });
const { layers } = store;
const corrupted = (pattern: RegExp) => (error: unknown) => { assert.equal(kindOf(error), 'corrupt', String(error)); assert.match(String(error), pattern); return true; };

async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of source) all.push(chunk);
  return Buffer.concat(all);
}

/** Commits an image's layers and gives what a delta against it needs. */
async function committed(image: ReturnType<typeof corpusImage>, into: Store = store): Promise<LayerFiles[]> {
  const chain = chainIds(image.diffIds.map(parseDiffId));
  for (const [index, { bytes }] of image.layers.entries()) {
    await using staged = await into.layers.stage({ diffId: parseDiffId(image.diffIds[index] ?? ''), parent: chain[index - 1], compression: 'gzip', source: pieces(bytes) });
    await staged.commit();
  }
  return chain.map((chainId) => filesOf(chainId, into));
}

function filesOf(chainId: ChainId, of: Store = store): LayerFiles {
  const files = of.layers.files(chainId);
  assert.ok(files);
  return files;
}

const stagingOf = (root: string) => [join(root, 'overlay2'), join(root, 'overlay2/l'), join(root, 'image/overlay2/layerdb/tmp')].map((path) => readdirSync(path).toSorted());
const stageDelta = (base: LayerFiles[], bytes: Uint8Array, more: Partial<LayerWrite> = {}): Promise<StagedLayer> =>
  layers.stage({ diffId: undefined, parent: 'later', compression: 'none', source: pieces(bytes, 3001), delta: { format: 'rsync', base }, ...more });

test('what balenaEngine made is applied as it comes, and is the target', async () => {
  for (const name of CORPUS_CASES) {
    const [vector, delta, target] = [vectorOf(name), corpusImage(name, 'delta'), corpusImage(name, 'target')];
    const base = await committed(corpusImage(name, 'base'));
    const chain = chainIds(vector.target_layers.map(parseDiffId));
    for (const [index, { bytes }] of delta.layers.entries()) {
      const diffId = parseDiffId(vector.target_layers[index] ?? '');
      if (vector.base_layers.slice(0, index + 1).join() === vector.target_layers.slice(0, index + 1).join()) continue; // shared
      const seen: number[] = [];
      await using staged = await stageDelta(base, bytes, { diffId, parent: chain[index - 1], onProgress: (consumed) => seen.push(consumed) });
      assert.ok(seen.every((consumed, at) => consumed <= bytes.length && consumed >= (seen[at - 1] ?? 0)));
      const { chainId } = await staged.commit();
      assert.equal(chainId, chain[index]);
      assert.deepEqual([(await bytesOf(layers.tar(chainId))).length, await layers.verify(chainId)], [(await bytesOf(tarOf(target, index))).length, []]);
    }
  }
});

async function* tarOf(image: ReturnType<typeof corpusImage>, index: number): AsyncGenerator<Uint8Array> {
  const layer = image.layers[index];
  assert.ok(layer);
  await using staged = await layers.stage({ diffId: parseDiffId(image.diffIds[index] ?? ''), parent: 'later', compression: 'gzip', source: pieces(layer.bytes) });
  yield* staged.tar();
}
