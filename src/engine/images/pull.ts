// A reference becomes an image: layers by the cheapest way there is, then the config, and the name last.
import { corrupt, messageOf } from '../../lib/errors.ts';
import { KeyedLock, Limiter } from '../../lib/lock.ts';
import { chainIds, hexOf, parseImageId } from '../../oci/digest.ts';
import type { Descriptor, ImageConfig } from '../../oci/manifest.ts';
import { fitsPlatform, formatPlatform } from '../../oci/platform.ts';
import { parseImageConfig } from '../../oci/parse-manifest.ts';
import { isFallbackTag } from '../../oci/referrers.ts';
import { familiarName, familiarString, familiarWithDigest, parseReference, withDefaultTag, type Reference } from '../../oci/reference.ts';
import type { Resolved } from '../../registry/index.ts';
import type { Store } from '../../store/index.ts';
import type { ProgressLine } from '../../wire/types.ts';
import { deltaOf, type DeltaImage } from './delta-base.ts';
import { Flights } from './flights.ts';
import { layerProgress, totalProgress } from './progress.ts';
import { planOfDeltaImage, searchWhole } from './pull-balena.ts';
import { tellDryRun } from './pull-dry.ts';
import { fly, UnusableDelta, type PullNeeds, type PullOf, type PullOptions, type Traffic } from './pull-flight.ts';
import { withDeltas } from './pull-offers.ts';
import { findLayers, plainPlan, savingsLine, type LayerPlan, type Outcome } from './ways.ts';

export type { PullNeeds } from './pull-flight.ts';

/** Makes the verb `pull`; flights and limits are shared by all its calls. */
export function makePull(needs: PullNeeds): (text: string, options: PullOptions) => Promise<void> {
  const traffic: Traffic = { flights: new Flights(), slots: new Limiter(needs.maxConcurrentDownloads), turns: new KeyedLock() };
  return async (text, options) => {
    const reference = parseReference(text);
    if (!options.all || reference.tag !== undefined || reference.digest !== undefined) return await pullOne(needs, traffic, { reference: withDefaultTag(reference), options });
    const tags = await needs.registry.tags(reference, { auth: options.auth, signal: options.signal });
    for (const tag of tags.filter((name) => !isFallbackTag(name))) await pullOne(needs, traffic, { reference: { ...reference, tag }, options });
  };
}

/** What the registry has under the reference: `config` is of the image that is to be here in the end, which a delta image only describes. */
interface Subject { resolved: Resolved; config: ImageConfig; delta: DeltaImage | undefined }

async function pullOne(needs: PullNeeds, traffic: Traffic, { reference, options }: Pick<PullOf, 'reference' | 'options'>): Promise<void> {
  const { store } = needs;
  const { resolved, config, delta } = await subjectOf(needs, { reference, options });
  const elsewhere = once(() => findLayers(needs.baseRoots));
  const found = () => new Map([...elsewhere(), ...findLayers([store])]);
  const pull: PullOf = { reference, config, options, found, search: once(() => searchWhole(needs, { reference, options, target: config })) };
  await using _rest = collectedAfter(store);
  using lease = store.layers.lease(chainIds(config.diffIds));
  const listed = resolved.layers;
  const makePlan = () => (delta ? planOfDeltaImage(needs, pull, { delta, listed, lease }) : withDeltas(needs, pull, { subject: resolved.manifest.digest, plan: plainPlan(config, listed), lease }));
  const isKnown = store.images.get(config.id) !== undefined;
  if (options.dryRun) {
    const isNew = namesOf(reference, resolved.top).some((name) => store.names.get(name) !== config.id);
    return tellDryRun(needs, pull, { top: resolved.top, plan: isKnown ? [] : await makePlan(), isNew });
  }
  const outcomes = isKnown ? [] : await fetchLayers(needs, pull, { traffic, plan: await makePlan() });
  using _turn = await needs.turn.hold({ signal: options.signal });
  await store.images.add(config); // also when it was there a moment ago: it may be being removed
  const saved = delta ? undefined : savingsLine(outcomes);
  await nameImage(needs, pull, { top: resolved.top, saved });
  warnOfPlatform(pull);
}

/** A manifest that is in no list is pulled whatever it is for. */
function warnOfPlatform({ reference, config, options }: PullOf): void {
  const { platform } = options;
  const offered = { os: config.os || 'linux', architecture: config.architecture, variant: config.variant };
  if (platform === undefined || config.architecture === '' || fitsPlatform(offered, platform)) return;
  const wanted = formatPlatform(platform), actual = formatPlatform(offered);
  options.onLine({ status: `WARNING: image with reference ${familiarString(reference)} was found but does not match the specified platform: wanted ${wanted}, actual: ${actual}` });
}

/** Images that are removed meanwhile leave the layers that are leased: those are collected when the lease is over. */
function collectedAfter(store: Store): AsyncDisposable {
  const before = store.images.list().map(({ id }) => id);
  return { [Symbol.asyncDispose]: async () => { if (before.some((id) => !store.images.get(id))) await store.collect(); } };
}

async function subjectOf(needs: PullNeeds, { reference, options }: Pick<PullOf, 'reference' | 'options'>): Promise<Subject> {
  const call = { auth: options.auth, signal: options.signal };
  const resolved = await needs.registry.resolve(reference, { ...call, platform: options.platform ?? needs.platform });
  options.onLine({ status: `Pulling from ${reference.path}`, id: reference.tag ?? reference.digest ?? 'latest' });
  const config = needs.store.images.get(parseImageId(resolved.config.digest)) ?? parseImageConfig(await needs.registry.config(reference, resolved.config, call));
  if (config.diffIds.length !== resolved.layers.length) {
    throw corrupt(`manifest ${resolved.manifest.digest} of ${familiarString(reference)}: ${resolved.layers.length} layers, but its image config names ${config.diffIds.length}`);
  }
  const delta = deltaOf(config);
  return { resolved, config: delta?.target ?? config, delta };
}

async function fetchLayers(needs: PullNeeds, pull: PullOf, { traffic, plan }: { traffic: Traffic; plan: readonly LayerPlan[] }): Promise<Outcome[]> {
  const work: Array<Promise<Outcome>> = [];
  const own = new AbortController(); // one layer's failure stops the others of this pull
  const signal = AbortSignal.any([pull.options.signal, own.signal]);
  const telling = { now: () => needs.clock.monotonicMs(), onLine: (line: ProgressLine) => pull.options.onLine(line) };
  const all = totalProgress(telling);
  const parts = new Map(plan.filter(({ chainId }) => !needs.store.layers.get(chainId)).map((layer) => [layer, all.part(layer.offer?.blob.size ?? layer.listed.size)]));
  for (const layer of plan) {
    const onShare = parts.get(layer);
    const tell = layerProgress(hexOf(layer.listed.digest).slice(0, 12), layer.listed.size, { ...telling, ...(onShare ? { onShare } : {}) });
    if (!onShare) { tell.status('Already exists'); continue; }
    tell.status('Pulling fs layer');
    const flight = fetchLayer(needs, pull, { traffic, layer, tell, signal });
    flight.catch((error: unknown) => own.abort(error));
    work.push(flight);
  }
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  pull.options.signal.throwIfAborted();
  if (failed) throw own.signal.aborted ? own.signal.reason : failed.reason;
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

/** Flights of other pulls that fail for want of a way that this one has. Each is another pull's, so there are few. */
const MAX_JOINED_FAILURES = 8;

interface Fetching { traffic: Traffic; layer: LayerPlan; tell: ReturnType<typeof layerProgress>; signal: AbortSignal }

async function fetchLayer(needs: PullNeeds, pull: PullOf, { traffic, layer, tell, signal }: Fetching): Promise<Outcome> {
  for (let failures = 0; ; failures++) {
    let isOwn = false;
    try {
      return await traffic.flights.join(layer.chainId, tell, { signal, fly: (events, abort) => {
        isOwn = true;
        return fly(needs, { pull, plan: layer, traffic, events, signal: abort, isRetry: failures > 0 });
      } });
    } catch (error) {
      if (isOwn || signal.aborted || !(error instanceof UnusableDelta) || failures >= MAX_JOINED_FAILURES) throw error;
      needs.log.info('another pull could not bring a layer by its delta: this one takes its own way', { layer: layer.chainId, error: messageOf(error) });
    }
  }
}

async function nameImage(needs: PullNeeds, { reference, config, options }: PullOf, { top, saved }: { top: Descriptor; saved: string | undefined }): Promise<void> {
  const names = namesOf(reference, top);
  const news = names.filter((name) => needs.store.names.get(name) !== config.id);
  if (news.length > 0) await needs.store.names.update({ set: news.map((name) => [name, config.id] as const) });
  const shown = familiarString(reference);
  options.onLine({ status: `Digest: ${top.digest}` });
  if (saved !== undefined) options.onLine({ status: saved });
  options.onLine({ status: news.includes(names[0] ?? '') ? `Status: Downloaded newer image for ${shown}` : `Status: Image is up to date for ${shown}` });
  needs.events.publish({ type: 'image', action: 'pull', id: shown, attributes: { ...config.config.Labels, name: familiarName(reference) } });
}

/** What the image is called from now on, the one that was asked for first. */
function namesOf(reference: Reference, top: Descriptor): string[] {
  const byDigest = familiarWithDigest(reference, top.digest);
  return reference.tag === undefined ? [byDigest] : [familiarString({ ...reference, digest: undefined }), byDigest];
}

function once<T extends object>(ask: () => T): () => T {
  let answer: T | undefined;
  return () => (answer ??= ask());
}
