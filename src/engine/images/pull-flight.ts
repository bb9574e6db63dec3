// One layer on its way: whichever of its ways works, staged at any time, committed after the layer below it.
import type { Clock } from '../../lib/clock.ts';
import { EngineError, errnoOf, kindOf, messageOf, notFound } from '../../lib/errors.ts';
import type { KeyedLock, Limiter } from '../../lib/lock.ts';
import type { Log } from '../../lib/log.ts';
import type { DiffId } from '../../oci/digest.ts';
import type { Descriptor, ImageConfig, Platform } from '../../oci/manifest.ts';
import { compressionOf } from '../../oci/parse-manifest.ts';
import type { Reference } from '../../oci/reference.ts';
import { isConnectionLost, type Registry } from '../../registry/index.ts';
import type { BaseRoot, LayerWrite, StagedLayer, Store } from '../../store/index.ts';
import type { ProgressLine, RegistryAuth } from '../../wire/types.ts';
import type { Events } from '../events.ts';
import type { FlightEvents, Flights } from './flights.ts';
import type { NamingTurn } from './held.ts';
import { waysOf, type Found, type LayerOffer, type LayerPlan, type Outcome, type Way } from './ways.ts';

export interface PullNeeds extends NamingTurn {
  store: Store;
  /** Roots that are only read: bases of deltas are looked for in them too. */
  baseRoots: readonly BaseRoot[];
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
  /** false: only whole layers are pulled. */
  deltas?: boolean | undefined;
  /** true: tells what would happen, and changes nothing. */
  dryRun?: boolean | undefined;
  onLine(line: ProgressLine): void;
}

/** What all pulls have in common. */
export interface Traffic {
  flights: Flights<Outcome>;
  slots: Limiter;
  /** By diffID. */
  turns: KeyedLock;
}

/** The same image under a name that has its whole layers. */
export interface WholeImage { name: string; layers: readonly Descriptor[] }

/** One pull, once it is known what it brings. */
export interface PullOf {
  reference: Reference;
  /** Of the image that is made, which for a delta image is not the one in the registry. */
  config: ImageConfig;
  options: PullOptions;
  /** The layers that are here, other roots' as they were when the pull began: reading those takes their disk. */
  found(): ReadonlyMap<DiffId, Found>;
  /** Where whole layers are, when the manifest does not name them; asked once. */
  search(): Promise<WholeImage | undefined>;
}

/** The engine's own root, then those that are only read. */
export const rootsOf = ({ store, baseRoots }: Pick<PullNeeds, 'store' | 'baseRoots'>): readonly BaseRoot[] => [store, ...baseRoots];

/** A delta could not be used and nothing else could be had by this pull; another one that wants the same layer may have more luck. */
export class UnusableDelta extends EngineError {}

/** `isRetry`: an earlier flight for the same layer has failed, and layers that began before this one may hold every slot and turn while they wait for it. */
export interface Flight { pull: PullOf; plan: LayerPlan; traffic: Traffic; events: FlightEvents; signal: AbortSignal; isRetry: boolean }

/**
 * Brings one layer in. It is extracted at any time, but committed after the layer below it, whoever brings that; should that never come,
 * it is kept for the next pull. The same content is
 * brought by one flight at a time: those for other chains copy it then. Every wait is for flights that began before, so none is for
 * ever; one that has waited for its turn comes too late for a slot in that order, and takes none. A retry takes neither.
 */
export async function fly(needs: PullNeeds, flight: Flight): Promise<Outcome> {
  const { plan, events, signal, pull, traffic } = flight;
  const { diffId, chainId } = plan;
  const isLate = !flight.isRetry && traffic.turns.has(diffId);
  if (isLate) events.status('Waiting');
  using _keeps = needs.store.layers.lease(plan.offer?.keeps ?? []); // the pull that began this may leave, and others stay
  using _turn = flight.isRetry ? undefined : await traffic.turns.hold(diffId, { signal });
  const ways = waysOf(plan, { twin: pull.found().get(diffId), isKept: needs.store.layers.kept.has(diffId) });
  using _slot = isLate || flight.isRetry || isHere(ways[0]) ? undefined : await slotOf(flight);
  const taken = await takeFirst(needs, flight, ways);
  const { blob, outcome } = taken;
  await using staged = taken.staged;
  events.moved('Extracting', blob?.size ?? plan.listed.size, blob?.size ?? plan.listed.size);
  if (plan.parent !== undefined && !needs.store.layers.get(plan.parent)) await staged.keep();
  try {
    await parentLanded(needs, flight);
    signal.throwIfAborted();
  } catch (error) {
    await leave(needs, flight, { taken, reason: signal.aborted ? signal.reason : error });
    throw error;
  }
  await staged.commit();
  await recordSource(needs, flight, taken);
  needs.log.debug('layer committed', { layer: chainId, by: outcome.by, downloadedBytes: outcome.downloadedBytes });
  events.status('Pull complete');
  return outcome;
}

const isHere = (way: Way | undefined): boolean => way?.by === 'copy' || way?.by === 'kept';

/** Only of what was seen, or a later push would name a blob that is something else: a delta, or what a manifest claims of what was here. */
async function recordSource({ store }: PullNeeds, { plan: { diffId, listed }, pull: { reference } }: Flight, { blob, outcome }: Taken): Promise<void> {
  const isSeen = (outcome.by === 'copy' || outcome.by === 'kept') && store.distribution.diffIdOf(listed.digest) === diffId;
  const seen = outcome.by === 'whole' ? blob : isSeen ? listed : undefined;
  if (seen && compressionOf(seen.mediaType) === 'gzip') await store.distribution.record(diffId, seen.digest, `${reference.registry}/${reference.path}`);
}

/**
 * A whole layer whose pull has failed stays for the next one, unless it was called off, its image is no good or the disk is. One that was kept
 * before stays in any case: then the store is as it was.
 */
async function leave(needs: PullNeeds, flight: Flight, { taken, reason }: { taken: Taken; reason: unknown }): Promise<void> {
  const isInVain = ['cancelled', 'corrupt', 'invalid'].includes(kindOf(reason)) || DISK_ERRNOS.has(errnoOf(reason));
  if (isInVain && taken.outcome.by !== 'kept') return;
  const about = { layer: flight.plan.diffId };
  try {
    await taken.staged.keep();
    await taken.staged.leave();
    if (taken.outcome.by !== 'kept') await recordSource(needs, flight, taken);
    needs.log.info('a whole layer of a pull that failed is kept for the next one', about);
  } catch (error) { needs.log.warn('a whole layer of a pull that failed could not be kept', { ...about, error: messageOf(error) }); }
}

async function slotOf({ traffic, events, signal }: Flight): Promise<Disposable> {
  const waiting = traffic.slots.hold({ signal });
  if (await isPending(waiting)) events.status('Waiting');
  return await waiting;
}

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  return await Promise.race([promise.then(() => false), nextRound().then(() => true)]);
}

const nextRound = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });

/** A layer below whose delta failed for one pull may be brought by another pull, which begins that at once. */
async function parentLanded(needs: PullNeeds, { plan: { parent }, traffic }: Flight): Promise<void> {
  if (parent === undefined) return;
  for (;;) {
    try {
      return await traffic.flights.landed(parent);
    } catch (error) {
      if (!(error instanceof UnusableDelta)) throw error;
      await nextRound();
      if (!needs.store.layers.get(parent) && !traffic.flights.has(parent)) throw error;
    }
  }
}

/** What was staged; `blob` is what was downloaded for it. */
interface Taken { staged: StagedLayer; blob: Descriptor | undefined; outcome: Outcome }
interface Spent { bytes: number }

async function takeFirst(needs: PullNeeds, flight: Flight, ways: readonly Way[]): Promise<Taken> {
  const spent: Spent = { bytes: 0 };
  let failure: unknown = notFound(`layer ${flight.plan.diffId} was here a moment ago, and is gone`);
  for (const way of ways) {
    try {
      return await takeWithRoom(needs, flight, { way, spent, failure });
    } catch (error) {
      if (flight.signal.aborted || way.by === 'whole' || way.by === 'search' || !mayDoOtherwise(error)) throw error;
      failure = error;
      tellOfFailure(needs, flight, { way, error });
    }
  }
  throw failure;
}

interface Taking { way: Way; spent: Spent; failure: unknown }

/** What fills a disk may be layers that are kept: they go first. */
async function takeWithRoom(needs: PullNeeds, flight: Flight, taking: Taking): Promise<Taken> {
  const { kept } = needs.store.layers;
  const before = kept.clearedBytes;
  try {
    return await take(needs, flight, taking);
  } catch (error) {
    if (flight.signal.aborted || !FULL_ERRNOS.has(errnoOf(error))) throw error;
    await kept.clear();
    if (kept.clearedBytes === before) throw error;
    needs.log.warn('the disk was full: layers that were kept are gone, and the layer is tried again', { layer: flight.plan.diffId, error: messageOf(error) });
    return await take(needs, flight, taking);
  }
}

const FULL_ERRNOS: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT']);
/** A full disk, or one that cannot be written, is so for every way. */
const DISK_ERRNOS: ReadonlySet<string | undefined> = new Set([...FULL_ERRNOS, 'EROFS']);
/** Nor does a connection that is gone come back for what is a hundred times larger: the next pull goes on with the delta. */
const mayDoOtherwise = (error: unknown): boolean => !DISK_ERRNOS.has(errnoOf(error)) && kindOf(error) !== 'cancelled' && !isConnectionLost(error);

function tellOfFailure(needs: PullNeeds, { plan, events }: Flight, { way, error }: { way: Way; error: unknown }): void {
  const about = { diffId: plan.diffId, error: messageOf(error) };
  if (way.by === 'kept') needs.log.warn('a layer that was kept cannot be used', about);
  else if (way.by === 'copy') needs.log.warn(`a layer that could be copied is damaged: it is ${plan.offer ? 'made anew' : 'downloaded instead'}`, { layer: way.from.chainId, ...about });
  else needs.log.warn('a delta could not be used: the whole layer is downloaded instead', about);
  if (way.by === 'delta') events.status('Delta not usable, whole layer needed');
}

async function take(needs: PullNeeds, flight: Flight, { way, spent, failure }: Taking): Promise<Taken> {
  const { plan, pull } = flight;
  const wholeBytes = plan.whole === 'search' ? plan.listed.size : plan.whole.size;
  const outcome = (by: Outcome['by']): Outcome => ({ by, downloadedBytes: spent.bytes, wholeBytes });
  switch (way.by) {
    case 'kept': return { staged: await stageKept(needs, flight), blob: undefined, outcome: { ...outcome('kept'), wholeBytes: 0 } };
    case 'copy': return { staged: await stageCopy(needs, flight, way.from), blob: undefined, outcome: { ...outcome('copy'), wholeBytes: 0 } };
    case 'delta': return { staged: await stageDelta(needs, flight, { ...way.offer, spent }), blob: way.offer.blob, outcome: outcome('delta') };
    case 'whole': return { staged: await stageBlob(needs, flight, { blob: way.blob, spent }), blob: way.blob, outcome: outcome('whole') };
    case 'search': {
      const found = await searched(flight);
      const blob = found?.layers[pull.config.diffIds.indexOf(plan.diffId)];
      if (blob === undefined) throw new UnusableDelta(kindOf(failure), messageOf(failure), { cause: failure });
      return { staged: await stageBlob(needs, flight, { blob, spent }), blob, outcome: outcome('whole') };
    }
  }
}

/** The pull that began the flight may leave in the middle of its search: whoever stays takes a way of its own. */
async function searched({ pull, signal }: Flight): Promise<WholeImage | undefined> {
  try {
    return await pull.search();
  } catch (error) {
    if (signal.aborted || !pull.options.signal.aborted) throw error;
    return undefined;
  }
}

const stageBlob = (needs: PullNeeds, flight: Flight, { blob, spent }: { blob: Descriptor; spent: Spent }): Promise<StagedLayer> =>
  stageFrom(needs, flight, { blob, spent, write: { compression: compressionOf(blob.mediaType) } });

/** A delta's own words are about what could not be applied; what a registry could not give says so itself. */
const stageDelta = (needs: PullNeeds, flight: Flight, { blob, delta, spent }: LayerOffer & { spent: Spent }): Promise<StagedLayer> =>
  stageFrom(needs, flight, { blob, spent, write: { compression: delta.format === 'rsync' ? compressionOf(blob.mediaType) : 'none', delta } });

interface Staging { blob: Descriptor; spent: Spent; write: Pick<LayerWrite, 'compression' | 'delta'> }

async function stageFrom(needs: PullNeeds, { pull, plan, events, signal }: Flight, { blob, spent, write }: Staging): Promise<StagedLayer> {
  const source = needs.registry.blob(pull.reference, blob, {
    auth: pull.options.auth,
    signal,
    onRetry: ({ waitMs }) => events.status(`Retrying in ${Math.max(1, Math.round(waitMs / 1000))} second${waitMs >= 1500 ? 's' : ''}`),
  });
  const course: Course = { phase: 'Downloading', isNamed: false };
  return await needs.store.layers.stage({
    diffId: plan.diffId, parent: plan.parent, ...write, signal,
    source: announced(source, { events, course, spent, totalBytes: blob.size }),
    onProgress: (bytes) => { if (bytes < blob.size) events.moved(course.phase, bytes, blob.size); },
  }).catch((error: unknown) => { throw course.isNamed || signal.aborted ? error : unregistered(blob, error, write.delta !== undefined); });
}

/** What a pull that failed has left. Fails with corrupt or not-found when it is not what it was. */
async function stageKept({ store }: PullNeeds, { plan: { diffId, parent }, events, signal }: Flight): Promise<StagedLayer> {
  events.status('Verifying Checksum');
  const staged = await store.layers.kept.stage(diffId, { parent, signal });
  events.status('Download complete');
  return staged;
}

/** The layer out of one with the same content that is here in another chain, or in another root. Fails with corrupt or not-found when that one is not what it was. */
async function stageCopy(needs: PullNeeds, { plan, events, signal }: Flight, from: Found): Promise<StagedLayer> {
  const { diffId, parent, listed } = plan;
  events.status('Download complete');
  events.moved('Extracting', 0, listed.size);
  return await needs.store.layers.stage({ diffId, parent, compression: 'none', signal, source: from.root.layers.tar(from.chainId) })
    .catch((error: unknown) => { throw signal.aborted ? error : unregistered(listed, error, false); });
}

/** How far a layer is; `isNamed` when the registry failed, which says itself what it was about. */
interface Course { phase: 'Downloading' | 'Extracting'; isNamed: boolean }

/** The blob's bytes, and a word when the last one is in. */
async function* announced(blob: AsyncIterable<Uint8Array>, { events, course, spent, totalBytes }: { events: FlightEvents; course: Course; spent: Spent; totalBytes: number }): AsyncGenerator<Uint8Array> {
  events.moved(course.phase, 0, totalBytes);
  try {
    for await (const chunk of blob) { // has held them to digest and size when it ends
      spent.bytes += chunk.length;
      yield chunk;
    }
  } catch (error) {
    course.isNamed = true;
    throw error;
  }
  events.status('Verifying Checksum');
  events.status('Download complete');
  course.phase = 'Extracting';
  events.moved(course.phase, 0, totalBytes);
}

/** Archive and disk do not know which layer it was. The first words are Docker's, those about deltas balenaEngine's. */
const unregistered = (layer: Descriptor, error: unknown, isDelta: boolean) =>
  new EngineError(kindOf(error), `failed to register layer ${layer.digest}: ${isDelta ? 'applying delta: ' : ''}${messageOf(error)}`, { cause: error });
