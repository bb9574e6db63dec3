// The same layer in more than one place: it is downloaded once and copied for every other, unless the copy is damaged.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { test } from 'node:test';
import { openFiles } from '../../src/kernel/index.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { ask } from '../kit/http.ts';
import { treeTar } from '../kit/image.ts';
import { imageIds, listTree, mustPull, pull, shortOf, startPull } from '../kit/pull.ts';
import { openPullBench } from '../kit/pull-bench.ts';

const { daemon, registry } = await openPullBench();

const layer = (name: string, sizeBytes = 1 << 20) =>
  treeTar({ [`${name}/`]: { mode: 0o750, gid: 7 }, [`${name}/data`]: randomBytes(sizeBytes), [`${name}/link`]: { type: 'hardlink', linkName: `${name}/data` }, [`${name}/empty`]: '', 'gone/.wh.file': '' });

/** Each tar is one layer; `packed` are its blobs, level by level, so that one content may come as different blobs. */
function offer(name: string, tars: readonly Uint8Array[], level = 1) {
  registry.misbehave = () => undefined;
  const { config, layers } = registry.addImage(name, '1', { layers: tars.map((tar) => gzipSync(tar, { level })), diffIds: tars.map((tar) => digestOf(tar)) });
  const bytesOf = (n: number) => registry.seen('blob').filter(({ path }) => path.endsWith(layers[n]?.digest ?? 'none')).reduce((sum, { bytesSent }) => sum + bytesSent, 0);
  return { reference: `${registry.host}/${name}:1`, config, layers, bytesOf };
}

/** Directory of each layer, the lowest first. */
async function directories(reference: string): Promise<string[]> {
  const { GraphDriver: { Data } } = (await ask(daemon.socket, { path: `/images/${reference}/json` })).json<{ GraphDriver: { Data: { LowerDir?: string; UpperDir: string } } }>();
  return [Data.UpperDir, ...Data.LowerDir?.split(':') ?? []].toReversed();
}

test('a layer that is here on another parent is copied, also when it is packed otherwise there', async () => {
  const tar = layer('shared');
  const one = offer('copied/one', [tar]);
  await mustPull(daemon.socket, one.reference);
  const two = offer('copied/two', [layer('base'), tar], 9);
  const lines = await mustPull(daemon.socket, two.reference);
  assert.deepEqual([two.bytesOf(0), two.bytesOf(1)], [two.layers[0]?.size, 0], 'only the base came over the wire');
  const id = shortOf(two.layers[1]?.digest ?? '');
  const told = lines.filter((line) => line.id === id).map(({ status }) => status).filter((status) => status !== 'Waiting');
  assert.deepEqual(told.filter((status, n) => status !== told[n - 1]), ['Pulling fs layer', 'Download complete', 'Extracting', 'Pull complete']);
  const [first = ''] = await directories(one.reference), [, second = ''] = await directories(two.reference);
  assert.notEqual(first, second);
  assert.deepEqual(listTree(second), listTree(first));
  assert.deepEqual(readFileSync(join(second, 'shared/data')), readFileSync(join(first, 'shared/data')));
});

test('what was copied leaves the page cache', async () => {
  const tar = layer('uncached', 8 << 20);
  const one = offer('uncached/one', [tar]), two = offer('uncached/two', [layer('uncached-base', 1000), tar]);
  await mustPull(daemon.socket, one.reference);
  await mustPull(daemon.socket, two.reference);
  assert.equal(two.bytesOf(1), one.layers[0]?.size, 'fetched once, for the first image');
  for (const directory of [...await directories(one.reference), ...await directories(two.reference)]) {
    for (const line of listTree(directory)) if (/data \d+$/.test(line)) assert.equal(openFiles().cachedBytes(join(directory, line.split(' ')[0] ?? '')), 0);
  }
});

test('one blob several times in one image, and in two images at once, is fetched once', async () => {
  const tar = layer('often');
  const other = Array.from({ length: 3 }, (_, n) => layer(`other-${n}`, 100_000));
  // More layers wait for the copies than there are slots.
  const one = offer('often/one', [tar, ...other, tar, layer('a', 1000), layer('b', 1000), layer('c', 1000), layer('d', 1000), tar]);
  const two = offer('often/two', [...other, tar, tar]);
  const pulled = await Promise.all([one, two, one].map(({ reference }) => pull(daemon.socket, reference)));
  assert.deepEqual(pulled.map(({ error }) => error), [undefined, undefined, undefined]);
  assert.equal(one.bytesOf(0), one.layers[0]?.size);
  assert.equal(two.bytesOf(0), two.layers[0]?.size);
  const ids = await imageIds(daemon.socket);
  assert.ok([one, two].every(({ config }) => ids.includes(config.digest)));
});

test('when the first to fetch it fails, the next one fetches it', async () => {
  const tar = layer('failing');
  const one = offer('failing/one', [tar]), two = offer('failing/two', [layer('failing-base', 1000), tar]);
  const isShared = (path: string) => path.endsWith(one.layers[0]?.digest ?? 'none');
  registry.misbehave = ({ path }) => (isShared(path) && registry.seen('blob').filter((seen) => isShared(seen.path)).length === 1 ? { stallAfterBytes: 300_000 } : undefined);
  const first = startPull(daemon.socket, one.reference);
  await first.sees('Downloading', shortOf(one.layers[0]?.digest ?? ''));
  const second = startPull(daemon.socket, two.reference);
  await second.sees('Waiting', shortOf(one.layers[0]?.digest ?? ''));
  first.leave();
  assert.equal((await second.done).error, undefined);
});

test('a copy that is damaged is not used: the layer is downloaded, and the image is right', async () => {
  const damages: ReadonlyArray<readonly [string, (directory: string) => void]> = [
    ['changed', (directory) => writeFileSync(join(directory, 'damaged/data'), randomBytes(1 << 20))],
    ['shorter', (directory) => writeFileSync(join(directory, 'damaged/data'), 'x')],
    ['gone', (directory) => rmSync(join(directory, 'damaged/data'))],
  ];
  for (const [what, damage] of damages) {
    const tar = layer('damaged');
    const one = offer(`damaged/${what}`, [tar]);
    await mustPull(daemon.socket, one.reference);
    const [directory = ''] = await directories(one.reference);
    damage(directory);
    const two = offer(`damaged/${what}-two`, [layer(`under-${what}`, 1000), tar]);
    await mustPull(daemon.socket, two.reference);
    assert.equal(two.bytesOf(1), 2 * (two.layers[1]?.size ?? 0), `${what}: fetched for the first image, and again for the second`);
    const [, made = ''] = await directories(two.reference);
    assert.deepEqual(readFileSync(join(made, 'damaged/link')), readFileSync(join(made, 'damaged/data')));
    assert.equal(readFileSync(join(made, 'damaged/data')).length, 1 << 20);
    assert.match(daemon.log(), /a layer that could be copied is damaged: it is downloaded instead/);
  }
});
