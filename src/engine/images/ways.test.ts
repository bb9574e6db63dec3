import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DELTA_ANNOTATIONS, DELTA_ARTIFACT_TYPE } from '../../oci/delta-artifact.ts';
import { chainIds, digestOf, type Digest, type DiffId, type ImageId } from '../../oci/digest.ts';
import { MEDIA, type Descriptor } from '../../oci/manifest.ts';
import { parseImageConfig } from '../../oci/parse-manifest.ts';
import type { BaseRoot, LayerInfo } from '../../store/index.ts';
import { ASK_FROM_BYTES, cheapestDeltas, chooseReferrers, comparison, findLayers, isWorthAsking, MAX_ARTIFACTS, plainPlan, savingsLine, waysOf, type LayerOffer, type Outcome } from './ways.ts';

const diff = (name: string) => digestOf(name) as string as DiffId;
const image = (name: string) => digestOf(`image ${name}`) as string as ImageId;
const blob = (size: number): Descriptor => ({ mediaType: MEDIA.dockerLayerGzip, digest: digestOf(`blob ${size}`), size });

/** A root with these layers; none of it is read but the list. */
function rootWith(...names: string[]): BaseRoot {
  const list = names.map((name): LayerInfo => ({ chainId: chainIds([diff('below'), diff(name)])[1] ?? assert.fail(), diffId: diff(name), parent: undefined, cacheId: '', sizeBytes: 0, diffPath: '' }));
  return { root: `/${names.join()}`, images: { get: () => undefined, list: () => [] }, layers: { get: () => undefined, list: () => list, files: () => undefined, tar: () => assert.fail() } };
}

test('what is kept comes before a copy, a copy before a delta, a delta before the whole layer, and a delta that is no smaller is none', () => {
  const found = findLayers([rootWith('a')]).get(diff('a')) ?? assert.fail();
  const offer = (size: number): LayerOffer => ({ blob: blob(size), delta: { format: 'vaquita', base: [] }, keeps: [] });
  const whole = blob(1000);
  const cases: ReadonlyArray<readonly [offer: LayerOffer | undefined, twin: typeof found | undefined, whole: Descriptor | 'search', ways: string]> = [
    [undefined, undefined, whole, 'whole'],
    [undefined, found, whole, 'copy whole'],
    [offer(10), undefined, whole, 'delta whole'],
    [offer(10), found, whole, 'copy delta whole'],
    [offer(999), undefined, whole, 'delta whole'],
    [offer(1000), undefined, whole, 'whole'],
    [offer(5000), undefined, 'search', 'delta search'],
    [undefined, found, 'search', 'copy search'],
    [undefined, undefined, 'search', 'search'],
  ];
  for (const [given, twin, last, ways] of cases) for (const isKept of [false, true]) {
    assert.equal(waysOf({ offer: given, whole: last }, { twin, isKept }).map(({ by }) => by).join(' '), isKept ? `kept ${ways}` : ways);
  }
});

test('a layer in several roots is taken from the first', () => {
  const [own, other] = [rootWith('a', 'b'), rootWith('b', 'c')];
  const found = findLayers([own, other]);
  assert.deepEqual(['a', 'b', 'c', 'd'].map((name) => found.get(diff(name))?.root), [own, own, other, undefined]);
});

test('nobody asks for deltas for a few bytes, or without an image that could be a base', () => {
  const cases: ReadonlyArray<readonly [sizes: number[], hasImages: boolean, asks: boolean]> = [
    [[], true, false], [[ASK_FROM_BYTES], false, false], [[ASK_FROM_BYTES], true, true], [[ASK_FROM_BYTES - 1], true, false], [[ASK_FROM_BYTES - 1, 1], true, true],
  ];
  for (const [sizes, hasImages, asks] of cases) assert.equal(isWorthAsking(sizes.map(blob), () => hasImages), asks, `${sizes.join()} with ${hasImages}`);
});

test('of the deltas on offer those to this target whose base is here are looked at, the smallest first, one of each base', () => {
  const referrer = (base: string, bytes: number, { target = 'target', created = '2026-01-01T00:00:00Z' } = {}) => ({
    descriptor: { mediaType: MEDIA.ociManifest, digest: digestOf(`${base} ${bytes} ${target} ${created}`), size: 400 }, artifactType: DELTA_ARTIFACT_TYPE,
    annotations: { [DELTA_ANNOTATIONS.base]: image(base), [DELTA_ANNOTATIONS.target]: image(target), [DELTA_ANNOTATIONS.bytes]: String(bytes), [DELTA_ANNOTATIONS.created]: created },
  });
  const [far, near, elsewhere, again, other] = [referrer('v1', 900), referrer('v4', 100), referrer('gone', 1), referrer('v4', 150), referrer('v4', 2, { target: 'other' })];
  const younger = referrer('v1', 900, { created: '2026-02-01T00:00:00Z' });
  const nonsense = { ...near, annotations: { [DELTA_ANNOTATIONS.base]: 'v4' } };
  const here = { target: image('target'), isHere: (base: ImageId) => base !== image('gone') };
  const chosen = (...referrers: ReturnType<typeof referrer>[]) => chooseReferrers(referrers, here).map(({ digest }) => digest);
  assert.deepEqual(chosen(far, elsewhere, other, again, near), [near.descriptor.digest, far.descriptor.digest]);
  assert.deepEqual(chosen(far, younger), [younger.descriptor.digest]);
  assert.deepEqual(chooseReferrers([nonsense], here), []);
  assert.equal(chosen(...Array.from({ length: 20 }, (_, n) => referrer(`base ${n}`, 100 + n))).length, MAX_ARTIFACTS);
});

test('each layer gets the smallest delta of which every source is here', () => {
  const layer = (name: string, size: number, ...sources: string[]) => ({ digest: digestOf(`${name} ${size}`) as Digest, size, diffId: diff(name), sources: sources.map(diff), targetBytes: 1 });
  const isHere = (diffId: DiffId) => diffId === diff('old') || diffId === diff('older');
  const cheapest = cheapestDeltas([
    { layers: [layer('app', 500, 'old'), layer('conf', 20, 'old', 'older'), layer('new', 7)] },
    { layers: [layer('app', 300, 'older'), layer('app', 100, 'old', 'not here'), layer('conf', 30, 'older'), layer('lost', 5, 'not here')] },
  ], isHere);
  assert.deepEqual([...cheapest].map(([diffId, { size }]) => [diffId, size]), [[diff('app'), 300], [diff('conf'), 20], [diff('new'), 7]]);
  assert.equal(cheapestDeltas([], isHere).size, 0);
});

test('a plan names each layer, what it lies on, and refuses more layers than the config knows', () => {
  const diffIds = [diff('a'), diff('b')];
  const config = parseImageConfig(Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } })));
  const chain = chainIds(diffIds);
  assert.deepEqual(plainPlan(config, [blob(1), blob(2)]).map(({ diffId, chainId, parent, listed, offer, whole }) => [diffId, chainId, parent, listed.size, offer, whole === listed]),
    [[diffIds[0], chain[0], undefined, 1, undefined, true], [diffIds[1], chain[1], chain[0], 2, undefined, true]]);
  assert.throws(() => plainPlan(config, [blob(1), blob(2), blob(3)]), /more layers than diffIDs/);
});

test('what was saved is said when a delta came, with everything that was downloaded', () => {
  const came = (by: Outcome['by'], downloadedBytes: number, wholeBytes: number): Outcome => ({ by, downloadedBytes, wholeBytes });
  assert.equal(savingsLine([came('whole', 1000, 1000), came('copy', 0, 0)]), undefined);
  assert.equal(savingsLine([]), undefined);
  assert.equal(savingsLine([came('delta', 280_102, 34_833_644), came('copy', 0, 0)]), 'Delta: downloaded 280.1kB instead of 34.83MB (124x less)');
  assert.equal(savingsLine([came('delta', 1000, 10_000), came('whole', 3000, 3000)]), 'Delta: downloaded 4kB instead of 13kB (3.3x less)');
  assert.equal(savingsLine([came('delta', 100, 200), came('whole', 900, 700)]), 'Delta: downloaded 1kB instead of 900B (nothing saved)');
  assert.equal(comparison(0, 500), '0B instead of 500B (500x less)');
});
