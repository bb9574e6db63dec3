// A pull of one of balenaEngine's delta images: its target is made of the base that is here; where that does not go, the whole target is looked for beside it.
import { kindOf, messageOf, notFound } from '../../lib/errors.ts';
import type { ChainId } from '../../oci/digest.ts';
import type { Descriptor, ImageConfig } from '../../oci/manifest.ts';
import { DEFAULT_TAG, familiarString } from '../../oci/reference.ts';
import { isFallbackTag } from '../../oci/referrers.ts';
import type { Registry } from '../../registry/index.ts';
import type { LayerStore } from '../../store/index.ts';
import { findDeltaBase, type DeltaBase, type DeltaImage } from './delta-base.ts';
import { rootsOf, type PullNeeds, type PullOf, type WholeImage } from './pull-flight.ts';
import { plainPlan, type LayerPlan } from './ways.ts';

/** Of other tags, so many are read before the whole image counts as not there. */
const MAX_SEARCHED = 32;

type SearchNeeds = Pick<PullNeeds, 'log' | 'platform'> & { registry: Pick<Registry, 'resolve' | 'tags'> };
type Lease = ReturnType<LayerStore['lease']>;

/** Errors: not-found (the base is not here and the whole target not in the repository), in balenaEngine's words. */
export async function planOfDeltaImage(needs: PullNeeds, pull: PullOf, { delta, listed, lease }: { delta: DeltaImage; listed: readonly Descriptor[]; lease: Lease }): Promise<LayerPlan[]> {
  if (pull.options.deltas === false) {
    const whole = await pull.search();
    if (!whole) throw notFound(`${familiarString(pull.reference)} is a delta, deltas are not to be used, and the repository has no tag with its whole target ${delta.target.id}`);
    return wholePlan(pull, whole, 'deltas are not to be used');
  }
  const base = baseOf(needs, delta);
  if ('config' in base) {
    const keeps = base.root === needs.store ? base.chain : [];
    keeps.forEach((chainId) => lease.add(chainId));
    return deltaPlan(delta, { base, listed, keeps });
  }
  // What is here already needs no base: then the delta image is as good as its target.
  const found = pull.found();
  if (delta.target.diffIds.every((diffId) => found.has(diffId) || needs.store.layers.kept.has(diffId))) return deltaPlan(delta, { base: undefined, listed, keeps: [] });
  const whole = await pull.search();
  if (!whole) throw base.missing;
  needs.log.warn('the base of a delta is not here: the whole image is pulled', { delta: familiarString(pull.reference), base: delta.base, whole: whole.name });
  return wholePlan(pull, whole, `base ${delta.base} is not here`);
}

function baseOf(needs: PullNeeds, delta: DeltaImage): DeltaBase | { missing: unknown } {
  try {
    return findDeltaBase(rootsOf(needs), delta.base);
  } catch (error) {
    if (kindOf(error) !== 'not-found') throw error;
    return { missing: error };
  }
}

/** Layers that lie on the same ones in the base have no delta: they are copied from there. */
function deltaPlan(delta: DeltaImage, { base, listed, keeps }: { base: DeltaBase | undefined; listed: readonly Descriptor[]; keeps: readonly ChainId[] }): LayerPlan[] {
  const shared = new Set(base?.chain);
  return plainPlan(delta.target, listed).map((layer): LayerPlan => ({
    ...layer, whole: 'search',
    offer: base === undefined || shared.has(layer.chainId) ? undefined : { blob: layer.listed, delta: { format: 'rsync', base: base.layers }, keeps },
  }));
}

function wholePlan({ config, options }: PullOf, whole: WholeImage, reason: string): LayerPlan[] {
  options.onLine({ status: `Delta: ${reason}, the whole image comes from ${whole.name}` });
  return plainPlan(config, whole.layers);
}

/**
 * The target under another tag of the same repository: `latest`, where a builder keeps what it makes deltas to, then the others in the
 * registry's order. undefined when none of those that were read has it; what cannot be read does not count.
 */
export async function searchWhole(needs: SearchNeeds, { reference, options, target }: Pick<PullOf, 'reference' | 'options'> & { target: ImageConfig }): Promise<WholeImage | undefined> {
  const call = { auth: options.auth, signal: options.signal };
  const tried = new Set([reference.tag]);
  const layersAt = async (tag: string): Promise<WholeImage | undefined> => {
    if (tried.has(tag) || tried.size > MAX_SEARCHED) return undefined;
    tried.add(tag);
    const named = { ...reference, tag, digest: undefined };
    const { config, layers } = await needs.registry.resolve(named, { ...call, platform: options.platform ?? needs.platform });
    return (config.digest as string) === target.id && layers.length === target.diffIds.length ? { name: familiarString(named), layers } : undefined;
  };
  const orNothing = async <T>(asked: Promise<T>): Promise<T | undefined> => {
    try {
      return await asked;
    } catch (error) {
      options.signal.throwIfAborted();
      needs.log.debug('looking for the whole image of a delta', { error: messageOf(error) });
      return undefined;
    }
  };
  const latest = await orNothing(layersAt(DEFAULT_TAG));
  if (latest) return latest;
  for (const tag of (await orNothing(needs.registry.tags(reference, call)) ?? []).filter((name) => !isFallbackTag(name))) {
    const found = await orNothing(layersAt(tag));
    if (found) return found;
  }
  return undefined;
}
