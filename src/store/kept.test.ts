// Whole layers whose parent never came: kept across failures, deaths and power cuts, refused when they are not what they were, and not for ever.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Crc64 } from '../archive/crc64.ts';
import { systemClock } from '../lib/clock.ts';
import { kindOf } from '../lib/errors.ts';
import { hexOf, type ChainId } from '../oci/digest.ts';
import { until } from '../../test/kit/poll.ts';
import { RecordingDisk } from '../../test/kit/recording-disk.ts';
import { afterPowerCuts, commitChain, diffIdOf, openTestStore, plainExtractors, quickDisk, seeded, stageText, temporary, topOf } from '../../test/kit/store.ts';
import type { Store } from './index.ts';
import { KEEP_MS } from './kept.ts';

const read = (path: string): string => readFileSync(path, 'utf8');

/** What makes up a layer that is one file's content and nothing else. */
function tarSplitOf(content: Buffer): Buffer {
  const crc = new Crc64();
  crc.update(content);
  return gzipSync(JSON.stringify({ type: 1, name: 'content', size: content.length, payload: crc.take(), position: 0 }));
}

type Options = NonNullable<Parameters<typeof openTestStore>[1]>;
const openKeeping = (root: string, options: Options = {}): Promise<Store> => openTestStore(root, { extractors: plainExtractors(options.disk ?? quickDisk, tarSplitOf), ...options });

/** As a pull that fails leaves it. */
async function keepText(store: Store, text: string, parent: ChainId | undefined): Promise<void> {
  await using staged = await stageText(store, text, parent);
  await staged.keep();
  await staged.leave();
}

const snapshots = (root: string) => readdirSync(`${root}/overlay2`).length - 1;
const staging = (root: string) => readdirSync(`${root}/image/overlay2/layerdb/tmp`);

test('a kept layer is found by the next start, and becomes a layer of whatever chain wants it', async () => {
  const cases: ReadonlyArray<readonly [was: string | undefined, becomes: string | undefined]> = [['a', 'a'], ['a', 'x'], ['a', undefined], [undefined, 'x'], [undefined, undefined]];
  for (const [was, becomes] of cases) {
    using root = temporary();
    const first = await openKeeping(root.path);
    await keepText(first, 'kept', was === undefined ? undefined : topOf(was));
    assert.deepEqual([first.layers.list(), first.layers.kept.has(diffIdOf('kept')), first.layers.kept.sizeBytes()], [[], true, 4]);
    await first.close();

    const store = await openKeeping(root.path);
    assert.deepEqual([store.layers.list(), store.recovered.swept, store.layers.kept.sizeBytes()], [[], [], 4]);
    if (becomes !== undefined) await commitChain(store, becomes);
    const parent = becomes === undefined ? undefined : topOf(becomes);
    await using staged = await store.layers.kept.stage(diffIdOf('kept'), { parent });
    const { chainId, diffPath } = await staged.commit();
    assert.deepEqual([chainId, read(`${diffPath}/content`)], [becomes === undefined ? topOf('kept') : topOf(becomes, 'kept'), 'kept']);
    const layer = `${root.path}/image/overlay2/layerdb/sha256/${hexOf(chainId)}`;
    assert.deepEqual(readdirSync(layer).toSorted(), ['cache-id', 'diff', ...parent === undefined ? [] : ['parent'], 'size', 'tar-split.json.gz']);
    const below = becomes === undefined ? undefined : `l/${read(`${store.layers.get(topOf(becomes))?.diffPath}/../link`)}`;
    assert.equal(existsSync(`${diffPath}/../lower`) ? read(`${diffPath}/../lower`) : undefined, below);
    assert.deepEqual([existsSync(`${diffPath}/../work`) || becomes === undefined, staging(root.path), store.layers.kept.has(diffIdOf('kept'))], [true, [], false]);
    await store.close();
    const again = await openKeeping(root.path);
    assert.deepEqual([again.recovered.quarantined, again.recovered.swept, again.layers.get(chainId)?.sizeBytes], [[], [], 4]);
    await again.close();
  }
});

test('to keep a layer costs no flush: the commit has one less to do', async () => {
  using root = temporary();
  const disk = new RecordingDisk(root.path, quickDisk);
  const store = await openKeeping(root.path, { disk });
  const staged = await stageText(store, 'b', topOf('a'));
  await staged.keep();
  await commitChain(store, 'a');
  const before = disk.ops.length;
  await staged.commit();
  const flushes = disk.ops.slice(before).map((op) => op.do).filter((what) => what.startsWith('sync'));
  assert.deepEqual(flushes, ['sync-bytes', 'sync-names', 'sync-names'], 'lower and its folder, the name');
  await store.close();
});

test('after any power cut a layer that was kept is there, whole, or else nothing of it', async () => {
  using root = temporary();
  const disk = new RecordingDisk(root.path, quickDisk);
  const store = await openKeeping(root.path, { disk });
  disk.syncAll();
  const from = disk.ops.length;
  const staged = await stageText(store, 'b', topOf('a'));
  await staged.keep();
  const [kept] = [disk.ops.length, await staged.leave()];
  await commitChain(store, 'a');
  const adopted = await store.layers.kept.stage(diffIdOf('b'), { parent: topOf('a') });
  await adopted.commit();
  const committed = disk.ops.length;
  await keepText(store, 'c', topOf('nowhere'));
  const second = disk.ops.length;
  await store.layers.kept.clear();
  const cleared = disk.ops.length;
  await store.close();
  for await (const { after, at, reopened } of afterPowerCuts(disk, { from, perStep: 3, random: seeded(2) }, openKeeping)) {
    const about = `after step ${after}`;
    assert.deepEqual(reopened.recovered.quarantined, [], about);
    const [layer, isKept] = [reopened.layers.get(topOf('a', 'b')), reopened.layers.kept.has(diffIdOf('b'))];
    if (after >= kept) assert.ok(isKept || layer, `b was kept before ${about}`);
    if (after >= committed) assert.ok(layer, about);
    if (layer) assert.equal(read(`${layer.diffPath}/content`), 'b', about);
    if (after === second) assert.ok(reopened.layers.kept.has(diffIdOf('c')), about);
    if (after === cleared) assert.equal(reopened.layers.kept.has(diffIdOf('c')), false, about);
    const waiting = ['b', 'c'].filter((text) => reopened.layers.kept.has(diffIdOf(text)));
    assert.deepEqual([staging(at).length, snapshots(at)], [waiting.length, waiting.length + reopened.layers.list().length], about);
    // Whatever is kept is what it was; only one that was on its way out may be found incomplete, and is refused then.
    await commitChain(reopened, 'a');
    for (const text of waiting) {
      const takes = async () => (await (await reopened.layers.kept.stage(diffIdOf(text), { parent: topOf('a') })).commit()).diffPath;
      const isGoing = text === 'c' && after > second;
      const diffPath = await takes().catch((error: unknown) => { if (isGoing && kindOf(error) === 'corrupt') return undefined; throw error; });
      if (diffPath !== undefined) assert.equal(read(`${diffPath}/content`), text, about);
    }
    assert.deepEqual([staging(at).length, snapshots(at)], [0, reopened.layers.list().length], about);
  }
});

test('a kept layer that is not what it was is refused, and gone', async () => {
  const spoil: ReadonlyArray<readonly [what: string, spoil: (writeSet: string, snapshot: string) => void, found: boolean]> = [
    ['content', (_set, snapshot) => writeFileSync(`${snapshot}/diff/content`, 'kepT'), true],
    ['content gone', (_set, snapshot) => rmSync(`${snapshot}/diff/content`), true],
    ['tar-split of another layer', (set) => writeFileSync(`${set}/tar-split.json.gz`, tarSplitOf(Buffer.from('other'))), true],
    ['tar-split', (set) => writeFileSync(`${set}/tar-split.json.gz`, 'garbage'), true],
    ['diffID', (set) => writeFileSync(`${set}/diff`, diffIdOf('other')), false],
    ['half a mark', (set) => truncateSync(`${set}/size`, 8), false],
    ['no mark', (set) => truncateSync(`${set}/size`), false],
    ['a commit under way', (set) => writeFileSync(`${set}/size`, '4'), false],
    ['no link', (_set, snapshot) => rmSync(`${snapshot}/link`), false],
    ['no snapshot', (_set, snapshot) => rmSync(snapshot, { recursive: true }), false],
    ['no tar-split', (set) => rmSync(`${set}/tar-split.json.gz`), false],
    ['an old one', (set) => utimesSync(`${set}/size`, 1, (Date.now() - KEEP_MS) / 1000 - 60), false],
  ];
  for (const [what, damage, isFound] of spoil) {
    using root = temporary();
    const first = await openKeeping(root.path);
    await keepText(first, 'kept', topOf('a'));
    await first.close();
    const [name] = staging(root.path);
    const writeSet = `${root.path}/image/overlay2/layerdb/tmp/${name}`;
    damage(writeSet, `${root.path}/overlay2/${read(`${writeSet}/cache-id`)}`);
    const store = await openKeeping(root.path);
    assert.equal(store.layers.kept.has(diffIdOf('kept')), isFound, what);
    const takes = (text: string) => store.layers.kept.stage(diffIdOf(text), { parent: undefined });
    await assert.rejects(takes('kept'), (error) => kindOf(error) === (isFound ? 'corrupt' : 'not-found'), what);
    await assert.rejects(takes('other'), (error) => kindOf(error) === (what === 'diffID' ? 'corrupt' : 'not-found'), what);
    assert.deepEqual([store.layers.kept.sizeBytes(), snapshots(root.path), readdirSync(`${root.path}/overlay2/l`), staging(root.path)], [0, 0, [], []], what);
    await store.close();
  }
});

test('kept layers go when their room is wanted or nobody wants them in time, and the newest of two is the one too many', async () => {
  using root = temporary();
  const due: Array<{ ms: number; run: () => void }> = [];
  const clock = { ...systemClock, after: (ms: number, run: () => void) => { due.push({ ms, run }); return { [Symbol.dispose]: () => {} }; } };
  const store = await openKeeping(root.path, { clock });
  for (const text of ['one', 'two', 'one']) await keepText(store, text, topOf('a'));
  assert.deepEqual([store.layers.kept.sizeBytes(), staging(root.path).length, due.length], [6, 2, 2]);
  assert.ok(due.every(({ ms }) => ms <= KEEP_MS && ms > KEEP_MS - 60_000));
  due[0]?.run();
  await until('the one to be removed', () => staging(root.path).length === 1);
  assert.deepEqual([store.layers.kept.has(diffIdOf('one')), store.layers.kept.has(diffIdOf('two'))], [false, true]);
  const aborted = store.layers.kept.stage(diffIdOf('two'), { parent: undefined, signal: AbortSignal.abort(new Error('enough')) });
  await assert.rejects(aborted, /enough/);
  assert.ok(store.layers.kept.has(diffIdOf('two')), 'who leaves does not take it along');
  await Promise.all([store.layers.kept.clear(), store.layers.kept.clear()]);
  assert.deepEqual([store.layers.kept.sizeBytes(), store.layers.kept.clearedBytes, snapshots(root.path), staging(root.path)], [0, 6, 0, []]);
  await store.close();
});

test('whichever step of taking a kept layer fails, it is a layer or nothing', async () => {
  for (let n = 1; ; n++) {
    using root = temporary();
    const disk = new RecordingDisk(root.path, quickDisk);
    const store = await openKeeping(root.path, { disk });
    await commitChain(store, 'x');
    await keepText(store, 'kept', topOf('a'));
    disk.failAfter(n);
    const outcome = await store.layers.kept.stage(diffIdOf('kept'), { parent: topOf('x') }).then(async (staged) => {
      await using _staged = staged;
      await staged.commit();
      return 'committed';
    }).catch((error: Error) => { assert.match(error.message, /ENOSPC/); return 'failed'; });
    disk.failAfter(0);
    const whole = outcome === 'committed';
    assert.deepEqual([store.layers.get(topOf('x', 'kept')) !== undefined, snapshots(root.path), staging(root.path)], [whole, whole ? 2 : 1, []], `failure ${n}`);
    await store.close();
    if (whole) { assert.ok(n > 8); return; }
  }
});
