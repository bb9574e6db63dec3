// How each layer of a pull is best had: kept from a pull that failed, a copy of what is here, a delta against what is here, or the whole of it. Pure; pull-flight.ts does it.
import { corrupt } from '../../lib/errors.ts';
import { chainIds, type ChainId, type DiffId, type ImageId } from '../../oci/digest.ts';
import { parseDeltaReferrer, type DeltaArtifact, type DeltaArtifactLayer } from '../../oci/delta-artifact.ts';
import type { Descriptor, ImageConfig } from '../../oci/manifest.ts';
import type { Referrer } from '../../registry/index.ts';
import type { BaseRoot, LayerDelta } from '../../store/index.ts';
import { humanSize } from '../../wire/units.ts';

/** Asking for deltas costs a request or two and their answers: less than this is downloaded without a question. */
export const ASK_FROM_BYTES = 64 << 10;
/** Of the deltas that a registry offers, so many are looked at. */
export const MAX_ARTIFACTS = 4;

/** A layer that is here, and where. */
export interface Found { root: BaseRoot; chainId: ChainId }

/** A delta that makes one layer; `keeps`: what of our own root it reads. */
export interface LayerOffer { blob: Descriptor; delta: LayerDelta; keeps: readonly ChainId[] }

/** One layer of a pull: what it is, what it lies on, and how it may come. */
export interface LayerPlan {
  diffId: DiffId;
  chainId: ChainId;
  parent: ChainId | undefined;
  /** What the manifest names: progress is told under its digest. */
  listed: Descriptor;
  offer: LayerOffer | undefined;
  /** The whole layer; `search` when the manifest does not name it, and the registry is to be searched for one that does. */
  whole: Descriptor | 'search';
}

export type Way =
  | { by: 'kept' }
  | { by: 'copy'; from: Found }
  | { by: 'delta'; offer: LayerOffer }
  | { by: 'whole'; blob: Descriptor }
  | { by: 'search' };

/** Every layer as the manifest names it. */
export function plainPlan(config: ImageConfig, layers: readonly Descriptor[]): LayerPlan[] {
  const chain = chainIds(config.diffIds);
  return layers.map((listed, index) => {
    const [chainId, diffId] = [chain[index], config.diffIds[index]];
    if (chainId === undefined || diffId === undefined) throw corrupt('more layers than diffIDs');
    return { diffId, chainId, parent: chain[index - 1], listed, offer: undefined, whole: listed };
  });
}

/** What to try, one after the other until one works: what costs least comes first. `twin`: the same content in another place. */
export function waysOf(plan: Pick<LayerPlan, 'offer' | 'whole'>, { twin, isKept }: { twin: Found | undefined; isKept: boolean }): Way[] {
  const { offer, whole } = plan;
  const last: Way = whole === 'search' ? { by: 'search' } : { by: 'whole', blob: whole };
  const pays = offer !== undefined && (whole === 'search' || offer.blob.size < whole.size);
  return [...isKept ? [{ by: 'kept' } as const] : [], ...twin ? [{ by: 'copy', from: twin } as const] : [], ...pays ? [{ by: 'delta', offer } as const] : [], last];
}

/** By diffID, in the roots' order: the engine's own comes first, since nobody else can remove from it. */
export function findLayers(roots: readonly BaseRoot[]): ReadonlyMap<DiffId, Found> {
  const found = new Map<DiffId, Found>();
  for (const root of roots.toReversed()) for (const { diffId, chainId } of root.layers.list()) found.set(diffId, { root, chainId });
  return found;
}

/** Whether to ask for deltas at all. */
export const isWorthAsking = (missing: readonly Pick<Descriptor, 'size'>[], hasImages: () => boolean): boolean =>
  missing.reduce((sum, { size }) => sum + size, 0) >= ASK_FROM_BYTES && hasImages();

/** Those of the deltas to `target` whose base is here, the smallest first, one of each base, at most MAX_ARTIFACTS. */
export function chooseReferrers(referrers: readonly Referrer[], { target, isHere }: { target: ImageId; isHere: (base: ImageId) => boolean }): Descriptor[] {
  const bases = new Set<ImageId>();
  return referrers
    .flatMap(({ descriptor, annotations }) => {
      const offer = parseDeltaReferrer(annotations);
      return offer?.target === target && isHere(offer.base) ? [{ descriptor, ...offer }] : [];
    })
    .toSorted((a, b) => a.bytes - b.bytes || (a.created < b.created ? 1 : -1))
    .filter(({ base }) => !bases.has(base) && bases.add(base))
    .slice(0, MAX_ARTIFACTS)
    .map(({ descriptor }) => descriptor);
}

/** For each layer the smallest delta of which every source is here. */
export function cheapestDeltas(artifacts: readonly Pick<DeltaArtifact, 'layers'>[], isHere: (diffId: DiffId) => boolean): Map<DiffId, DeltaArtifactLayer> {
  const cheapest = new Map<DiffId, DeltaArtifactLayer>();
  for (const layer of artifacts.flatMap(({ layers }) => layers)) {
    const known = cheapest.get(layer.diffId);
    if (layer.sources.every(isHere) && (!known || layer.size < known.size)) cheapest.set(layer.diffId, layer);
  }
  return cheapest;
}

/** How a layer came, and what that took of the network, attempts that failed included. */
export interface Outcome { by: Exclude<Way['by'], 'search'>; downloadedBytes: number; wholeBytes: number }

/** The line that says what deltas saved; undefined when there was none. */
export function savingsLine(outcomes: readonly Outcome[]): string | undefined {
  if (!outcomes.some(({ by }) => by === 'delta')) return undefined;
  const [downloaded, whole] = [total(outcomes, 'downloadedBytes'), total(outcomes, 'wholeBytes')];
  return `Delta: downloaded ${comparison(downloaded, whole)}`;
}

/** `280.1kB instead of 34.83MB (124x less)`. */
export function comparison(bytes: number, insteadOf: number): string {
  const times = insteadOf / Math.max(1, bytes);
  const factor = times >= 10 ? `${Math.round(times)}x less` : times > 1 ? `${times.toFixed(1)}x less` : 'nothing saved';
  return `${humanSize(bytes)} instead of ${humanSize(insteadOf)} (${factor})`;
}

const total = (outcomes: readonly Outcome[], key: 'downloadedBytes' | 'wholeBytes'): number => outcomes.reduce((sum, outcome) => sum + outcome[key], 0);
