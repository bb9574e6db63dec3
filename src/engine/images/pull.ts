// A reference becomes an image: layers as they arrive, then the config, and the name last.
import type { Clock } from '../../lib/clock.ts';
import { corrupt, EngineError, kindOf, messageOf } from '../../lib/errors.ts';
import { KeyedLock, Limiter } from '../../lib/lock.ts';
import type { Log } from '../../lib/log.ts';
import { chainIds, hexOf, parseImageId, type ChainId, type DiffId } from '../../oci/digest.ts';
import type { Descriptor, ImageConfig, Platform } from '../../oci/manifest.ts';
import { compressionOf, parseImageConfig } from '../../oci/parse-manifest.ts';
import { familiarName, familiarString, familiarWithDigest, parseReference, withDefaultTag, type Reference } from '../../oci/reference.ts';
import type { Registry, Resolved } from '../../registry/index.ts';
import type { StagedLayer, Store } from '../../store/index.ts';
import type { ProgressLine, RegistryAuth } from '../../wire/types.ts';
import type { Events } from '../events.ts';
import { Flights, type FlightEvents } from './flights.ts';
import { layerProgress } from './progress.ts';

export interface PullNeeds {
  store: Store;
  registry: Registry;
  events: Events;
  clock: Clock;
  log: Log;
  platform: Platform;
  /** Layers downloaded and extracted at the same time, over all pulls. */
  maxConcurrentDownloads: number;
}

export interface PullOptions {
  platform: Platform | undefined;
  auth: RegistryAuth | undefined;
  all: boolean;
  signal: AbortSignal;
  onLine(line: ProgressLine): void;
}

/** One layer to fetch: what it is, and what it lies on. */
interface Wanted { descriptor: Descriptor; diffId: DiffId; chainId: ChainId; parent: ChainId | undefined }

/** Makes the verb `pull`; flights and limits are shared by all its calls. */
export function makePull(needs: PullNeeds): (text: string, options: PullOptions) => Promise<void> {
  const traffic: Traffic = { flights: new Flights(), slots: new Limiter(needs.maxConcurrentDownloads), turns: new KeyedLock() };
  const pullOne = async (reference: Reference, options: PullOptions) => {
    const call = { auth: options.auth, signal: options.signal };
    const resolved = await needs.registry.resolve(reference, { ...call, platform: options.platform ?? needs.platform });
    options.onLine({ status: `Pulling from ${reference.path}`, id: reference.tag ?? reference.digest ?? 'latest' });
    const config = needs.store.images.get(parseImageId(resolved.config.digest)) ?? parseImageConfig(await needs.registry.config(reference, resolved.config, call));
    if (config.diffIds.length !== resolved.layers.length) {
      throw corrupt(`manifest ${resolved.manifest.digest} of ${familiarString(reference)}: ${resolved.layers.length} layers, but its image config names ${config.diffIds.length}`);
    }
    const known = needs.store.images.get(config.id) !== undefined;
    using _lease = needs.store.layers.lease(chainIds(config.diffIds));
    if (!known) await fetchLayers(needs, { reference, resolved, config, options, ...traffic });
    options.signal.throwIfAborted();
    await needs.store.images.add(config); // also when it was there a moment ago: it may be being removed
    await nameImage(needs, { reference, resolved, config, options });
  };
  return async (text, options) => {
    const reference = parseReference(text);
    if (!options.all || reference.tag !== undefined || reference.digest !== undefined) return await pullOne(withDefaultTag(reference), options);
    for (const tag of await needs.registry.tags(reference, { auth: options.auth, signal: options.signal })) await pullOne({ ...reference, tag }, options);
  };
}

/** What all pulls have in common. */
interface Traffic {
  flights: Flights;
  slots: Limiter;
  /** By diffID. */
  turns: KeyedLock;
}

interface PullOf extends Traffic { reference: Reference; resolved: Resolved; config: ImageConfig; options: PullOptions }

async function fetchLayers(needs: PullNeeds, pull: PullOf): Promise<void> {
  const chain = chainIds(pull.config.diffIds);
  const work: Array<Promise<void>> = [];
  const own = new AbortController(); // one layer's failure stops the others of this pull
  const signal = AbortSignal.any([pull.options.signal, own.signal]);
  for (const [index, descriptor] of pull.resolved.layers.entries()) {
    const [chainId, diffId] = [chain[index], pull.config.diffIds[index]];
    if (chainId === undefined || diffId === undefined) throw corrupt('more layers than diffIDs');
    const tell = layerProgress(hexOf(descriptor.digest).slice(0, 12), descriptor.size, { now: () => needs.clock.monotonicMs(), onLine: (line) => pull.options.onLine(line) });
    if (needs.store.layers.get(chainId)) { tell.status('Already exists'); continue; }
    tell.status('Pulling fs layer');
    const wanted: Wanted = { descriptor, diffId, chainId, parent: chain[index - 1] };
    const flight = pull.flights.join(chainId, tell, { signal, fly: (events, abort) => fly(needs, { pull, wanted, events, signal: abort }) });
    flight.catch((error: unknown) => own.abort(error));
    work.push(flight);
  }
  const failed = (await Promise.allSettled(work)).find((result) => result.status === 'rejected');
  pull.options.signal.throwIfAborted();
  if (failed) throw own.signal.aborted ? own.signal.reason : failed.reason;
}

interface Flight { pull: PullOf; wanted: Wanted; events: FlightEvents; signal: AbortSignal }

/**
 * Brings one layer in. It is extracted at any time, but committed after the layer below it, whoever brings that. The same content is
 * brought by one flight at a time: those for other chains copy it then. Every wait is for flights that began before, so none is for
 * ever; one that has waited for its turn comes too late for a slot in that order, and takes none.
 */
async function fly(needs: PullNeeds, flight: Flight): Promise<void> {
  const { wanted, events, signal, pull } = flight;
  const { descriptor, diffId } = wanted;
  const isLate = pull.turns.has(diffId);
  if (isLate) events.status('Waiting');
  using _turn = await pull.turns.hold(diffId, { signal });
  const twin = needs.store.layers.list().find((layer) => layer.diffId === diffId);
  using _slot = isLate || twin ? undefined : await slotOf(flight);
  const copy = twin && await stageCopy(needs, flight, twin.chainId);
  await using staged = copy ?? await stageBlob(needs, flight);
  events.moved('Extracting', descriptor.size);
  if (wanted.parent !== undefined) await pull.flights.landed(wanted.parent);
  signal.throwIfAborted();
  await staged.commit();
  const isSeen = copy === undefined || needs.store.distribution.diffIdOf(descriptor.digest) === diffId; // or the blob may be another one
  if (isSeen) await needs.store.distribution.record(diffId, descriptor.digest, `${pull.reference.registry}/${pull.reference.path}`);
  events.status('Pull complete');
}

async function slotOf({ pull, events, signal }: Flight): Promise<Disposable> {
  const waiting = pull.slots.hold({ signal });
  if (await isPending(waiting)) events.status('Waiting');
  return await waiting;
}

async function stageBlob(needs: PullNeeds, { pull, wanted, events, signal }: Flight): Promise<StagedLayer> {
  const { descriptor, diffId, parent } = wanted;
  const blob = needs.registry.blob(pull.reference, descriptor, {
    auth: pull.options.auth,
    signal,
    onRetry: ({ waitMs }) => events.status(`Retrying in ${Math.max(1, Math.round(waitMs / 1000))} second${waitMs >= 1500 ? 's' : ''}`),
  });
  const course: Course = { phase: 'Downloading', isNamed: false };
  return await needs.store.layers.stage({
    diffId, parent, compression: compressionOf(descriptor.mediaType), signal,
    source: announced(blob, events, course),
    onProgress: (bytes) => { if (bytes < descriptor.size) events.moved(course.phase, bytes); },
  }).catch((error: unknown) => { throw course.isNamed || signal.aborted ? error : unregistered(descriptor, error); });
}

/** The layer out of one with the same content that is here in another chain; undefined when that one is not what it was. */
async function stageCopy(needs: PullNeeds, { wanted, events, signal }: Flight, twin: ChainId): Promise<StagedLayer | undefined> {
  const { descriptor, diffId, parent } = wanted;
  events.status('Download complete');
  events.moved('Extracting', 0);
  let isUnreadable = false;
  const source = (async function* () {
    try { yield* needs.store.layers.tar(twin); } catch (error) { isUnreadable = true; throw error; }
  })();
  try {
    return await needs.store.layers.stage({ diffId, parent, compression: 'none', signal, source });
  } catch (error) {
    signal.throwIfAborted();
    if (!isUnreadable && kindOf(error) !== 'corrupt') throw unregistered(descriptor, error);
    needs.log.warn('a layer that could be copied is damaged: it is downloaded instead', { layer: twin, diffId, error });
    return undefined;
  }
}

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  return await Promise.race([promise.then(() => false), new Promise<boolean>((resolve) => { setImmediate(resolve, true); })]);
}

/** How far a layer is; `isNamed` when the registry failed, which says itself what it was about. */
interface Course { phase: 'Downloading' | 'Extracting'; isNamed: boolean }

/** The blob's bytes, and a word when the last one is in. */
async function* announced(blob: AsyncIterable<Uint8Array>, events: FlightEvents, course: Course): AsyncGenerator<Uint8Array> {
  events.moved(course.phase, 0);
  try {
    yield* blob; // has held them to digest and size when it ends
  } catch (error) {
    course.isNamed = true;
    throw error;
  }
  events.status('Verifying Checksum');
  events.status('Download complete');
  course.phase = 'Extracting';
  events.moved(course.phase, 0);
}

/** Archive and disk do not know which layer it was. The first words are Docker's. */
const unregistered = (layer: Descriptor, error: unknown) =>
  new EngineError(kindOf(error), `failed to register layer ${layer.digest}: ${messageOf(error)}`, { cause: error });

async function nameImage(needs: PullNeeds, pull: Pick<PullOf, 'reference' | 'resolved' | 'config' | 'options'>): Promise<void> {
  const { reference, resolved, config, options } = pull;
  const byDigest = familiarWithDigest(reference, resolved.top.digest);
  const names = reference.tag === undefined ? [byDigest] : [familiarString({ ...reference, digest: undefined }), byDigest];
  const news = names.filter((name) => needs.store.names.get(name) !== config.id);
  if (news.length > 0) await needs.store.names.update({ set: news.map((name) => [name, config.id] as const) });
  const shown = familiarString(reference);
  options.onLine({ status: `Digest: ${resolved.top.digest}` });
  options.onLine({ status: news.includes(names[0] ?? '') ? `Status: Downloaded newer image for ${shown}` : `Status: Image is up to date for ${shown}` });
  needs.events.publish({ type: 'image', action: 'pull', id: shown, attributes: { ...config.config.Labels, name: familiarName(reference) } });
}
