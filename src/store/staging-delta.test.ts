import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { tarBytes, type TarItem } from '../archive/tar-write.ts';
import { deltaLayerTar } from '../delta/rsync/layer.ts';
import { kernel, pieces } from '../../test/kit/extract.ts';
import { CORPUS_CASES, corpusImage, vectorOf } from '../../test/kit/corpus.ts';
import { temporary } from '../../test/kit/store.ts';
import { openSmallDisk } from '../../test/kit/small-disk.ts';
import { openTempRoot } from '../../test/kit/temp.ts';
import { systemClock } from '../lib/clock.ts';
import { errnoOf, kindOf } from '../lib/errors.ts';
import { silentLog } from '../lib/log.ts';
import { chainIds, digestOf, parseDiffId, type ChainId } from '../oci/digest.ts';
import { openStore, type LayerFiles, type LayerWrite, type StagedLayer, type Store } from './index.ts';

const temp = openTempRoot();
const memory = temporary();
const store = await openStore({ root: join(memory.path, 'root'), kernel, log: silentLog, clock: systemClock });
after(async () => { await store.close(); memory[Symbol.dispose](); await temp[Symbol.asyncDispose](); });
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

/** A delta layer out of pieces of the base and bytes of its own. */
function deltaLayer(...commands: ReadonlyArray<Uint8Array | readonly [position: number, length: number]>): Buffer {
  const number = (value: number) => { const bytes = Buffer.alloc(4); bytes.writeUInt32BE(value); return bytes; };
  const parts = commands.flatMap((command) => (command instanceof Uint8Array ? [Buffer.of(0x43), number(command.length), command] : [Buffer.of(0x4f), number(command[0]), number(command[1])]));
  const delta = Buffer.concat([Buffer.from('72730236', 'hex'), ...parts, Buffer.of(0)]);
  const { header, trailer } = deltaLayerTar(delta.length);
  return Buffer.concat([header, delta, trailer]);
}

const file = (name: string, content: string | Uint8Array): TarItem & { content: string | Uint8Array } => ({ name, type: 'file', mode: 0o644, content });

/** Two layers, and a target that has pieces of both. */
async function smallBase(mark: string) {
  const tars = [tarBytes([{ name: 'data/', type: 'dir', mode: 0o755 }, file('data/low', `${mark} `.repeat(300))]), tarBytes([file('data/high', 'high '.repeat(3000))])];
  const base: LayerFiles[] = [];
  let parent: ChainId | undefined;
  for (const tar of tars) {
    await using staged = await layers.stage({ diffId: undefined, parent, compression: 'none', source: pieces(tar) });
    const made = await staged.commit();
    base.push(staged.files());
    parent = made.chainId;
  }
  const all = Buffer.concat(tars);
  const target = tarBytes([file('data/low', `${mark} `.repeat(300)), file('new', 'new'), file('data/high', 'high '.repeat(2000))]);
  const at = (text: string) => all.indexOf(text);
  const ownHeader = (name: string, from: Buffer) => from.subarray(from.indexOf(name), from.indexOf(name) + 512);
  const body = Buffer.byteLength(`${mark} `) * 300;
  const delta = deltaLayer(
    ownHeader('data/low', target), [at(`${mark} `), body], target.subarray(512 + body, target.indexOf('high high')), [at('high high'), 10_000], target.subarray(target.indexOf('high high') + 10_000),
  );
  return { base, target, delta, all };
}

test('a delta may come packed, before its parent is known, and from layers that are in the way of what it makes', async () => {
  const { base, target, delta } = await smallBase('packed');
  for (const [index, bytes] of [delta, gzipSync(delta), zstdCompressSync(delta)].entries()) {
    await using staged = await stageDelta(base, bytes, { compression: index === 1 ? 'gzip' : 'none' });
    assert.ok((await bytesOf(staged.tar())).equals(target));
    if (index === 0) continue;
    const parent = index === 1 ? undefined : layers.list().find(({ diffId }) => diffId === base[1]?.diffId)?.chainId;
    const made = await staged.commit({ parent });
    assert.deepEqual([made.parent, made.diffId, layers.get(made.chainId)?.diffPath], [parent, staged.diffId, staged.files().diffPath]);
    const snapshot = join(made.diffPath, '..');
    assert.deepEqual([existsSync(join(snapshot, 'work')), existsSync(join(snapshot, 'lower'))], [parent !== undefined, parent !== undefined]);
    if (parent !== undefined) assert.equal(readFileSync(join(snapshot, 'lower'), 'latin1').split(':').length, 2);
  }
  // The new layer has other files under the very paths that the base's files have outside, and links that would lead to them.
  const trap = base[0]?.diffPath ?? '';
  const hostile = tarBytes([file(`${trap}/data/low`, 'trapped '.repeat(400)), { name: 'data', type: 'symlink', mode: 0o777, linkName: '/' }]).subarray(0, -1024);
  await using staged = await stageDelta(base, deltaLayer(hostile, tarBytes([file('xx', 'packed '.repeat(300))]).subarray(0, 512), [1024, 2100], Buffer.alloc(2560 - 2100 + 1024)));
  const got = await bytesOf(staged.tar());
  assert.equal(got.toString('latin1', hostile.length + 512, hostile.length + 512 + 2100), 'packed '.repeat(300));
});

test('whatever is wrong is told, of the delta or of the base, and nothing of it stays', async () => {
  const { base, target, delta, all } = await smallBase('damaged');
  const [low] = base;
  assert.ok(low);
  const promised = parseDiffId(digestOf(target));
  const before = stagingOf(store.root);
  const refused = async (bytes: Uint8Array, words: RegExp, more: Partial<LayerWrite> = {}) => {
    await assert.rejects(stageDelta(base, bytes, { diffId: promised, ...more }), corrupted(words));
    assert.deepEqual(stagingOf(store.root), before);
  };
  const outside = join(temp.path, 'outside');
  mkdirSync(outside);
  await refused(delta.subarray(0, 700), /applying delta: unexpected EOF/);
  await refused(Buffer.alloc(1024), /unexpected EOF, invalid delta tar archive/);
  await refused(deltaLayer([all.length - 10, 11]), /base/);
  await refused(deltaLayer(Buffer.from('no tar'.repeat(100))), /the delta does not make the layer that it is for: .*tar/);
  await refused(deltaLayer(target.subarray(0, 2000)), /the delta does not make the layer that it is for: .*cut short/);
  await refused(deltaLayer(target, Buffer.alloc(512)), /the delta does not make the layer that it is for: filesystem layer verification failed for sha256/);
  await refused(deltaLayer(tarBytes([{ name: 'out', type: 'symlink', mode: 0o777, linkName: outside }, file('out/../../x', 'x')])), /leads out of the layer/);
  await refused(gzipSync(delta).subarray(0, 200), /gzip stream/);
  await refused(delta, new RegExp(`layer ${low.diffId} is damaged: .*ENOENT.*tar-split`), { delta: { format: 'rsync', base: [{ ...low, tarSplitPath: join(temp.path, 'no-tar-split') }] } });

  const path = join(low.diffPath, 'data/low');
  const good = readFileSync(path);
  const spoilt = Buffer.from(good);
  spoilt.fill('D', 1500, 1501);
  const damages: Array<[Uint8Array, RegExp]> = [[good.subarray(1), /data\/low has 2399 bytes and had 2400/], [spoilt, /data\/low has changed/]];
  for (const [content, words] of damages) {
    writeFileSync(path, content);
    await refused(delta, new RegExp(`layer ${low.diffId} is damaged: ${words.source}`));
  }
  renameSync(path, `${path}-away`);
  await refused(delta, new RegExp(`layer ${low.diffId} is damaged: data/low is missing`));
  renameSync(`${path}-away`, path);
  writeFileSync(path, good);

  const gone = new AbortController();
  // eslint-disable-next-line typescript/require-await
  async function* leaving(): AsyncGenerator<Uint8Array> { yield delta.subarray(0, 900); gone.abort(); yield delta.subarray(900); }
  await assert.rejects(stageDelta(base, delta, { signal: gone.signal, source: leaving() }), (error) => kindOf(error) === 'cancelled');
  // eslint-disable-next-line typescript/require-await
  async function* cut(): AsyncGenerator<Uint8Array> { yield delta.subarray(0, 900); throw new Error('connection reset'); }
  await assert.rejects(stageDelta(base, delta, { source: cut() }), /connection reset/);
  assert.deepEqual([readdirSync(outside), stagingOf(store.root)], [[], before]);
  await using staged = await stageDelta(base, delta, { diffId: promised }); // and the worker lives on
  assert.equal(statSync(join(staged.files().diffPath, 'new')).size, 3);
});

test('a small delta of a layer that the disk has no room for leaves nothing of it', async () => {
  await using disk = openSmallDisk({ file: join(temp.path, 'disk'), path: join(temp.path, 'mounted'), sizeBytes: 24 << 20 });
  const small = await openStore({ root: join(disk.path, 'root'), kernel, log: silentLog, clock: systemClock });
  try {
    const content = Buffer.alloc(1 << 20, 'large ');
    const tar = tarBytes([file('content', content)]);
    await using base = await small.layers.stage({ diffId: undefined, parent: undefined, compression: 'none', source: pieces(tar) });
    await base.commit();
    const [before, free] = [stagingOf(small.root), disk.freeBytes()];
    const header = tarBytes([file('much', Buffer.alloc(64 << 20))]).subarray(0, 512);
    const delta = deltaLayer(header, ...Array.from({ length: 64 }, () => [512, 1 << 20] as const), Buffer.alloc(1024));
    await assert.rejects(small.layers.stage({ diffId: undefined, parent: 'later', compression: 'none', source: pieces(delta), delta: { format: 'rsync', base: [base.files()] } }),
      (error) => { assert.deepEqual([kindOf(error), errnoOf(error)], ['system', 'ENOSPC']); return true; });
    assert.deepEqual(stagingOf(small.root), before);
    assert.ok(disk.freeBytes() > free - (1 << 20));
    assert.deepEqual(await small.layers.verify(small.layers.list()[0]?.chainId ?? chainIds([base.diffId])[0] as ChainId), []);
  } finally { await small.close(); }
});
