// What an archive of images may ask of us: descriptions named a thousand times, names without end, layers that go while it is read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tarBytes, type TarItem } from '../../archive/tar-write.ts';
import { tarEntries } from '../../archive/tar-entries.ts';
import { kindOf } from '../../lib/errors.ts';
import { digestOf, hexOf, parseChainId, parseDiffId, type ChainId } from '../../oci/digest.ts';
import { MEDIA } from '../../oci/manifest.ts';
import type { LayerInfo, Store } from '../../store/index.ts';
import { holdLayers } from './held.ts';
import { Parts } from './load-parts.ts';
import { readPlan } from './load-plan.ts';

const PLATFORM = { os: 'linux', architecture: 'amd64' };
/** Some hundredths of a second to read. */
const CONFIG = Buffer.from(JSON.stringify({
  ...PLATFORM, rootfs: { type: 'layers', diff_ids: [] }, config: { Labels: Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`label ${n}`, ''])) },
}));
const shelf = (files: Readonly<Record<string, string | Buffer>>) => {
  const bytes = new Map(Object.entries(files).map(([name, content]) => [name, Buffer.from(content)]));
  return { has: (path: string) => bytes.has(path), bytes: (path: string) => bytes.get(path) ?? assert.fail(path) };
};

test('a description that is named a thousand times is read once', () => {
  const numbers = Array.from({ length: 1000 }, (_, n) => n);
  const [image] = readPlan(shelf({ 'c.json': CONFIG, 'manifest.json': JSON.stringify(numbers.map((n) => ({ Config: 'c.json', RepoTags: [`app:${n}`], Layers: [] }))) }), PLATFORM);
  assert.deepEqual([image?.config.id, image?.names], [digestOf(CONFIG), numbers.map((n) => `app:${n}`)]);
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociManifest, config: { mediaType: MEDIA.ociConfig, digest: digestOf(CONFIG), size: CONFIG.length }, layers: [], annotations: { long: 'x'.repeat(1 << 18) } }));
  const entries = numbers.map((n) => ({ mediaType: MEDIA.ociManifest, digest: digestOf(manifest), size: manifest.length, annotations: { 'io.containerd.image.name': `docker.io/library/app:${n}` } }));
  const blob = (bytes: Buffer) => `blobs/sha256/${hexOf(digestOf(bytes))}`;
  const images = readPlan(shelf({ 'index.json': JSON.stringify({ schemaVersion: 2, manifests: entries }), [blob(manifest)]: manifest, [blob(CONFIG)]: CONFIG }), PLATFORM);
  assert.deepEqual([images.length, images[0]?.names.length], [1, 1000]);
  assert.throws(() => readPlan(shelf({ 'index.json': JSON.stringify({ schemaVersion: 2, manifests: entries }), [blob(manifest)]: CONFIG, [blob(CONFIG)]: CONFIG }), PLATFORM), (error) => kindOf(error) === 'corrupt');
});

function partsOf(here: { layers: LayerInfo[]; gone: boolean }) {
  const staged: string[] = [];
  const store = {
    layers: {
      list: () => here.layers, get: () => (here.gone ? undefined : here.layers[0]), lease: () => ({ add() {}, [Symbol.dispose]() {} }),
      async stage({ source }: { source: AsyncIterable<Uint8Array> }) {
        let bytes = 0;
        for await (const chunk of source) bytes += chunk.length;
        staged.push(String(bytes));
        return { diffId: parseDiffId(digestOf('staged')), async [Symbol.asyncDispose]() {} };
      },
    },
    images: { list: () => [] }, distribution: { diffIdOf: () => undefined },
  };
  // eslint-disable-next-line typescript/no-unsafe-type-assertion -- the part of a store that is asked
  const parts = new Parts({ store: store as unknown as Store, signal: new AbortController().signal, unpackSlow: (source) => source, onLayer() {} });
  // eslint-disable-next-line typescript/require-await
  const take = async (items: ReadonlyArray<TarItem & { content?: string | Uint8Array }>) => await parts.takeAll(tarEntries((async function* () { yield tarBytes([...items]); })()));
  return { parts, staged, take };
}

test('a layer that goes while the archive is read is taken out of the archive', async () => {
  const diffId = parseDiffId(digestOf('a layer'));
  const info = { chainId: parseChainId(diffId), diffId, parent: undefined, cacheId: '', sizeBytes: 0, diffPath: '' };
  const file: TarItem & { content: Uint8Array } = { name: `${hexOf(diffId)}/layer.tar`, type: 'file', mode: 0o644, content: tarBytes([{ name: 'f', type: 'file', mode: 0o644, content: Buffer.alloc(100_000) }]) };
  for (const gone of [false, true]) {
    await using one = { ...partsOf({ layers: [info], gone }), async [Symbol.asyncDispose]() { await this.parts[Symbol.asyncDispose](); } };
    await one.take([file]);
    assert.deepEqual([one.parts.find(file.name)?.kind, one.staged.length], gone ? ['staged', 1] : ['here', 0]);
  }
});

test('links count by what they lead to', async () => {
  await using one = { ...partsOf({ layers: [], gone: false }), async [Symbol.asyncDispose]() { await this.parts[Symbol.asyncDispose](); } };
  const links = Array.from({ length: 2500 }, (_, n): TarItem => ({ name: `l${n}`, type: 'symlink', mode: 0o777, linkName: 'x/'.repeat(2000) }));
  await assert.rejects(one.take(links), { kind: 'invalid', message: /too many files/ });
});

test('what images that were removed meanwhile have left is collected, once and only then; that it fails is no failure', async () => {
  const images = new Set(['a', 'b']);
  const log: string[] = [];
  const store = {
    images: { list: () => [...images].map((id) => ({ id })), get: (id: string) => (images.has(id) ? { id } : undefined) },
    layers: { lease: (chain: readonly ChainId[]) => ({ add: (chainId: ChainId) => { log.push(`add ${chainId}`); }, [Symbol.dispose]() { log.push(`end of ${chain.length}`); } }) },
    collect: async () => { log.push('collect'); await Promise.reject(new Error('no disk')); },
  };
  // eslint-disable-next-line typescript/no-unsafe-type-assertion -- the part of a store that is asked
  const needs = { store, log: { warn: (message: string) => { log.push(message.slice(0, 6)); } } } as unknown as Parameters<typeof holdLayers>[0];
  const [one, other] = [holdLayers(needs, [parseChainId(digestOf('x'))]), holdLayers(needs, [])];
  one.add(parseChainId(digestOf('y')));
  await one[Symbol.asyncDispose]();
  images.delete('b');
  await other[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  assert.deepEqual(log, [`add ${digestOf('y')}`, 'end of 1', 'end of 0', 'collect', 'layers']);
});
