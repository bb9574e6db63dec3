// Pulls that want the same, pulls whose client leaves, and what a client reads meanwhile.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { test } from 'node:test';
import { digestOf } from '../../src/oci/digest.ts';
import type { Misbehaviour, Seen } from '../kit/fake-registry.ts';
import { treeTar } from '../kit/image.ts';
import { until } from '../kit/poll.ts';
import { imageIds, listTree, mustPull, pull, shortOf, startPull, type Pulling } from '../kit/pull.ts';
import { openPullBench } from '../kit/pull-bench.ts';

const { daemon, registry } = await openPullBench();

const randomLayer = (sizeBytes: number) => treeTar({ 'data': randomBytes(sizeBytes) });

/** Layers of random bytes under NAME:1; gives the reference and the descriptors. */
function offer(name: string, tars: readonly Uint8Array[]) {
  registry.misbehave = () => undefined;
  registry.requests.length = 0;
  const { layers, config } = registry.addImage(name, '1', { layers: tars.map((tar) => gzipSync(tar, { level: 1 })), diffIds: tars.map((tar) => digestOf(tar)) });
  return { reference: `${registry.host}/${name}:1`, layers, config };
}

const blobRequests = (digest: string) => registry.seen('blob').filter(({ path }) => path.endsWith(digest));

test('two pulls of one layer share the work, whatever else they want', async () => {
  const shared = randomLayer(2 << 20);
  const one = offer('shared/one', [shared, randomLayer(1000)]);
  const two = offer('shared/two', [shared, randomLayer(2000)]);
  const digest = one.layers[0]?.digest ?? '';
  registry.misbehave = ({ path }) => (path.endsWith(digest) && blobRequests(digest).length === 1 ? { cutAfterBytes: 1 << 20 } : undefined);
  const pulls = [one, two, one].map(({ reference }) => startPull(daemon.socket, reference));
  for (const { done } of pulls) assert.equal((await done).error, undefined);
  const received = blobRequests(digest);
  assert.equal(received.reduce((sum, { bytesSent }) => sum + bytesSent, 0), one.layers[0]?.size, 'each byte of the layer was sent once');
  for (const { layers } of [one, two]) assert.equal(blobRequests(layers[1]?.digest ?? '').length, 1);
  for (const { lines } of pulls) assert.ok(lines.some(({ id, status }) => id === shortOf(digest) && (status === 'Pull complete' || status === 'Already exists')));
  assert.equal((await imageIds(daemon.socket)).length, 2);
});

test('a client that goes away stops its pull, and nothing is left of it', async () => {
  const before = listTree(daemon.dataRoot);
  const { reference, layers } = offer('left/alone', [randomLayer(3 << 20), randomLayer(1 << 20)]);
  registry.misbehave = ({ kind, path }) => (kind === 'blob' && layers.some(({ digest }) => path.endsWith(digest)) ? { stallAfterBytes: 600_000 } : undefined);
  const pulling = startPull(daemon.socket, reference);
  await pulling.sees('Downloading', shortOf(layers[0]?.digest ?? ''));
  await until('half of the layer to be written', () => listTree(daemon.dataRoot).length > before.length + 10);
  pulling.leave();
  await until('the connections to the registry to be closed', async () => await registry.connections() === 0);
  await until('the store to be as before', () => JSON.stringify(listTree(daemon.dataRoot)) === JSON.stringify(before)).catch(() => {});
  assert.deepEqual(listTree(daemon.dataRoot), before);
  assert.equal(daemon.running, true);
  assert.doesNotMatch(daemon.log(), /unhandled|assertion/i);
});

test('it does not matter what the pull is doing when its client goes away', async (t) => {
  const moments: ReadonlyArray<readonly [what: string, wrong: (seen: Seen, digests: readonly string[]) => Misbehaviour | undefined, reached: (pulling: Pulling, digests: readonly string[]) => Promise<unknown>]> = [
    ['waiting for a manifest', ({ kind }) => (kind === 'manifest' ? { stallAfterBytes: 10 } : undefined), () => until('the manifest to be asked for', () => registry.seen('manifest').length > 0)],
    ['waiting for the config', ({ kind, path }, digests) => (kind === 'blob' && !digests.some((digest) => path.endsWith(digest)) ? { stallAfterBytes: 10 } : undefined), () => until('the config to be asked for', () => registry.seen('blob').length > 0)],
    ['waiting before it tries again', ({ kind, path }, digests) => (kind === 'blob' && path.endsWith(digests[0] ?? '') ? { status: 429, headers: { 'Retry-After': '60' } } : undefined), (pulling) => pulling.sees('Retrying in 60 seconds')],
    ['holding a whole layer for which the one below is missing', ({ path }, digests) => (path.endsWith(digests[0] ?? '') ? { stallAfterBytes: 1000 } : undefined), async (pulling, digests) => {
      await pulling.sees('Download complete', shortOf(digests[1] ?? ''));
      await until('it to be extracted', () => listTree(daemon.dataRoot).some((line) => line.endsWith('data 300000')));
    }],
  ];
  for (const [what, wrong, reached] of moments) await t.test(what, async () => {
    const { reference, layers } = offer('left/anytime', [randomLayer(200_000), randomLayer(300_000), randomLayer(400_000), randomLayer(500_000)]);
    const digests = layers.map(({ digest }) => digest);
    const before = listTree(daemon.dataRoot);
    registry.misbehave = (seen) => wrong(seen, digests) ?? (digests.slice(1).some((digest) => seen.path.endsWith(digest)) && what.startsWith('waiting') ? { stallAfterBytes: 1000 } : undefined);
    const pulling = startPull(daemon.socket, reference);
    await reached(pulling, digests);
    pulling.leave();
    await until('the store to be as before', () => JSON.stringify(listTree(daemon.dataRoot)) === JSON.stringify(before)).catch(() => {});
    assert.deepEqual(listTree(daemon.dataRoot), before);
    registry.misbehave = () => undefined;
    await mustPull(daemon.socket, reference);
  });
});

test('one of two clients goes away: the other gets its image, nothing is fetched twice', async () => {
  const { reference, layers } = offer('left/one', [randomLayer(2 << 20)]);
  const [layer] = layers;
  assert.ok(layer);
  registry.misbehave = ({ path }) => (path.endsWith(layer.digest) && blobRequests(layer.digest).length === 1 ? { cutAfterBytes: 500_000 } : undefined);
  const first = startPull(daemon.socket, reference);
  await first.sees('Downloading', shortOf(layer.digest));
  const second = startPull(daemon.socket, reference);
  await second.sees(/Downloading|Retrying/, shortOf(layer.digest));
  first.leave();
  assert.equal((await second.done).error, undefined);
  assert.equal(blobRequests(layer.digest).reduce((sum, { bytesSent }) => sum + bytesSent, 0), layer.size);
});

test('who comes while a cancelled pull is still being taken down starts anew and is not cancelled with it', async () => {
  const { reference, layers } = offer('left/again', [randomLayer(4 << 20), randomLayer(4 << 20)]);
  registry.misbehave = ({ kind, nth }) => (kind === 'blob' && nth > 1 && nth <= 3 ? { stallAfterBytes: 2_000_000 } : undefined); // the first is the config
  const first = startPull(daemon.socket, reference);
  for (const { digest } of layers) await first.sees('Downloading', shortOf(digest));
  registry.misbehave = () => undefined;
  first.leave();
  const next = await Promise.all(Array.from({ length: 4 }, () => pull(daemon.socket, reference)));
  assert.deepEqual(next.map(({ error }) => error), [undefined, undefined, undefined, undefined]);
});

test('progress lines are those of Docker', async () => {
  const base = randomLayer(3 << 20);
  const { reference, layers } = offer('lines/some', [base, randomLayer(10)]);
  const lines = await mustPull(daemon.socket, reference);
  assert.deepEqual(lines[0], { status: 'Pulling from lines/some', id: '1' });
  for (const layer of layers) {
    const own = lines.filter(({ id }) => id === shortOf(layer.digest));
    const order = own.map(({ status }) => status).filter((status, n, all) => status !== all[n - 1] && status !== 'Waiting');
    assert.deepEqual(order, ['Pulling fs layer', 'Downloading', 'Verifying Checksum', 'Download complete', 'Extracting', 'Pull complete'], JSON.stringify(own));
    for (const { status, progress, progressDetail } of own) {
      if (status !== 'Downloading' && status !== 'Extracting') { assert.deepEqual([progress, progressDetail], [undefined, {}]); continue; }
      assert.equal(progressDetail?.total, layer.size);
      assert.match(progress ?? '', /^\[=*>? *\] +[\d.]+k?M?B\/[\d.]+k?M?B$/);
    }
  }
  const whole = lines.filter(({ id }) => id === 'Total').map(({ progressDetail }) => progressDetail);
  const bytes = layers.reduce((sum, { size }) => sum + size, 0);
  assert.deepEqual([whole[0], whole.at(-1)], [{ current: 0, total: bytes }, { current: bytes, total: bytes }], 'the only lines that clients of balenaEngine read');
  const [digest, status] = lines.slice(-2);
  assert.match(digest?.status ?? '', /^Digest: sha256:[0-9a-f]{64}$/);
  assert.deepEqual(status, { status: `Status: Downloaded newer image for ${reference}` });

  const again = await mustPull(daemon.socket, reference);
  assert.deepEqual(again, [lines[0], digest, { status: `Status: Image is up to date for ${reference}` }]);

  const other = offer('lines/other', [base, randomLayer(20)]);
  const more = await mustPull(daemon.socket, other.reference);
  assert.ok(more.some(({ status: text, id }) => text === 'Already exists' && id === shortOf(layers[0]?.digest ?? '')));
});
