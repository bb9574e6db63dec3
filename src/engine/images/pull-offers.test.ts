import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../lib/clock.ts';
import { unavailable } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { buildDeltaArtifact, DELTA_ARTIFACT_TYPE } from '../../oci/delta-artifact.ts';
import { chainIds, digestOf } from '../../oci/digest.ts';
import { MEDIA, type Descriptor, type ImageConfig } from '../../oci/manifest.ts';
import { parseReference } from '../../oci/reference.ts';
import type { Registry } from '../../registry/index.ts';
import type { ProgressLine } from '../../wire/types.ts';
import { commitChain, diffIdOf, imageOf, openTestStore, temporary } from '../../../test/kit/store.ts';
import { withDeltas } from './pull-offers.ts';
import { findLayers, plainPlan } from './ways.ts';

const SUBJECT: Descriptor = { mediaType: MEDIA.ociManifest, digest: digestOf('the manifest'), size: 12 };
const big = (name: string): Descriptor => ({ mediaType: MEDIA.ociLayerGzip, digest: digestOf(name), size: 1_000_000 });

/** An image with the layers `a` and `b` is here, one of `a` and `c` is wanted; `registry` answers as it is told. */
async function world(registry: Partial<Registry>, { clock = systemClock, deltas = true }: { clock?: typeof systemClock; deltas?: boolean } = {}) {
  const place = temporary();
  const store = await openTestStore(place.path);
  const base = imageOf('a', 'b');
  await commitChain(store, 'a', 'b');
  await store.images.add(base);
  const target: ImageConfig = { ...base, id: digestOf('target') as string as ImageConfig['id'], diffIds: [diffIdOf('a'), diffIdOf('c')] };
  const artifact = buildDeltaArtifact({
    base: base.id, target: target.id, baseManifest: undefined, created: '', subject: SUBJECT,
    layers: [{ digest: digestOf('delta'), size: 77, diffId: diffIdOf('c'), sources: [diffIdOf('b')], targetBytes: 5 }],
  });
  const asked: string[] = [];
  const offers: Pick<Registry, 'referrers' | 'manifestBytes'> = {
    referrers: (_reference, subject) => {
      asked.push(subject);
      return Promise.resolve([{ descriptor: { mediaType: MEDIA.ociManifest, digest: digestOf(artifact.bytes), size: artifact.bytes.length }, artifactType: DELTA_ARTIFACT_TYPE, annotations: artifact.annotations }]);
    },
    manifestBytes: () => Promise.resolve(artifact.bytes),
    ...registry,
  };
  const lease = store.layers.lease([]);
  const abort = new AbortController();
  const told: string[] = [];
  const options = { platform: undefined, auth: undefined, all: false, signal: abort.signal, deltas, dryRun: true, onLine: ({ status = '' }: ProgressLine) => { told.push(status); } };
  const plan = () => withDeltas({ store, baseRoots: [], registry: offers, clock, log: silentLog },
    { reference: parseReference('r.example.com/app:2'), config: target, options, found: () => findLayers([store]) },
    { subject: SUBJECT.digest, plan: plainPlan(target, [big('a'), big('c')]), lease });
  return {
    store, base, asked, told, abort, lease, plan, sizes: async () => (await plan()).map(({ offer }) => offer?.blob.size),
    [Symbol.asyncDispose]: async () => { lease[Symbol.dispose](); await store.close(); place[Symbol.dispose](); },
  };
}

test('a layer that is missing gets the delta whose sources are here, and those are kept', async () => {
  await using w = await world({});
  assert.deepEqual([await w.sizes(), w.asked], [[undefined, 77], [SUBJECT.digest]]);
  const [, layer] = await w.plan();
  const [, below] = chainIds([diffIdOf('a'), diffIdOf('b')]);
  assert.deepEqual([layer?.offer?.delta.base.map(({ diffId }) => diffId), layer?.offer?.keeps], [[diffIdOf('b')], [below]]);
  await w.store.images.remove(w.base.id);
  assert.deepEqual(await w.store.collect(), []);
  w.lease[Symbol.dispose]();
  assert.equal((await w.store.collect()).length, 2);
});

test('nothing is asked without need, and no answer costs more than the deltas', async () => {
  const late = { ...systemClock, after: (_ms: number, run: () => void) => { queueMicrotask(run); return { [Symbol.dispose]() {} }; } };
  const never: Registry['referrers'] = (_reference, _subject, { signal }) => new Promise((_resolve, reject) => { signal?.addEventListener('abort', () => reject(signal.reason as Error)); });
  const cases: ReadonlyArray<readonly [what: string, registry: Partial<Registry>, options?: Parameters<typeof world>[1]]> = [
    ['deltas are not wanted', { referrers: () => assert.fail() }, { deltas: false }],
    ['the registry is silent', { referrers: never }, { clock: late }],
    ['it fails', { referrers: () => Promise.reject(unavailable('502')) }],
    ['it has none', { referrers: () => Promise.resolve([]) }],
    ['the artifact cannot be had', { manifestBytes: () => Promise.reject(unavailable('502')) }],
    ['the artifact is none', { manifestBytes: () => Promise.resolve(Buffer.from('{}')) }],
  ];
  for (const [what, registry, options] of cases) {
    await using w = await world(registry, options);
    assert.deepEqual(await w.sizes(), [undefined, undefined], what);
    assert.deepEqual(w.told, what === 'it fails' ? ['Delta: the registry could not be asked: 502'] : what === 'the registry is silent' ? ['Delta: the registry could not be asked: no answer after 20 s'] : [], what);
  }
});

test('a client that leaves while the registry is asked is not kept waiting', async () => {
  await using w = await world({ referrers: (_reference, _subject, { signal }) => new Promise((_resolve, reject) => { signal?.addEventListener('abort', () => reject(signal.reason as Error)); }) });
  const planning = w.plan();
  w.abort.abort(new Error('left'));
  await assert.rejects(planning, /left/);
});
