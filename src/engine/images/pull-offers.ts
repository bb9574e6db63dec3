// Our own deltas to an image: the registry is asked for those whose base is here, and each layer gets the cheapest of them.
import { messageOf } from '../../lib/errors.ts';
import type { ChainId, Digest, DiffId } from '../../oci/digest.ts';
import { DELTA_ARTIFACT_TYPE, DELTA_LAYER_TYPE, parseDeltaArtifact, type DeltaArtifact, type DeltaArtifactLayer } from '../../oci/delta-artifact.ts';
import type { Registry } from '../../registry/index.ts';
import type { BaseRoot, LayerFiles, LayerStore } from '../../store/index.ts';
import { rootsOf, type PullNeeds, type PullOf } from './pull-flight.ts';
import { cheapestDeltas, chooseReferrers, isWorthAsking, type Found, type LayerOffer, type LayerPlan } from './ways.ts';

/** A registry that takes longer to say whether it has deltas is not waited for: the layers come whole. */
const MAX_ASKING_MS = 20_000;

type OfferNeeds = Pick<PullNeeds, 'store' | 'baseRoots' | 'clock' | 'log'> & { registry: Pick<Registry, 'referrers' | 'manifestBytes'> };
type OfferPull = Pick<PullOf, 'reference' | 'config' | 'options' | 'found'>;

interface Asked { subject: Digest; plan: LayerPlan[]; lease: ReturnType<LayerStore['lease']> }

/** The plan with a delta for each layer that has one. Whatever goes wrong with asking leaves it as it was. What the deltas read is leased. */
export async function withDeltas(needs: OfferNeeds, pull: OfferPull, { subject, plan, lease }: Asked): Promise<LayerPlan[]> {
  const { store, log } = needs;
  const found = pull.found();
  const missing = plan.filter(({ chainId, diffId }) => !store.layers.get(chainId) && !store.layers.kept.has(diffId) && !found.has(diffId));
  const hasImages = () => rootsOf(needs).some((root) => root.images.list().length > 0);
  if (pull.options.deltas === false || !isWorthAsking(missing.map(({ listed }) => listed), hasImages)) return plan;
  let artifacts: readonly DeltaArtifact[];
  try {
    artifacts = await ask(needs, pull, subject);
  } catch (error) {
    pull.options.signal.throwIfAborted();
    log.warn('could not ask the registry for deltas: the layers are pulled whole', { image: pull.config.id, error: messageOf(error) });
    if (pull.options.dryRun) pull.options.onLine({ status: `Delta: the registry could not be asked: ${messageOf(error)}` });
    return plan;
  }
  const sources = pull.found(); // as they are now: until they are leased, nothing else runs
  const cheapest = cheapestDeltas(artifacts, (diffId) => sources.has(diffId));
  return plan.map((layer) => {
    const delta = cheapest.get(layer.diffId);
    const offer = delta && missing.includes(layer) ? offerOf(delta, sources, store) : undefined;
    offer?.keeps.forEach((chainId) => lease.add(chainId));
    return { ...layer, offer };
  });
}

/** undefined when a source went meanwhile. */
function offerOf({ digest, size, sources }: DeltaArtifactLayer, found: ReadonlyMap<DiffId, Found>, own: BaseRoot): LayerOffer | undefined {
  const base: LayerFiles[] = [], keeps: ChainId[] = [];
  for (const diffId of sources) {
    const source = found.get(diffId);
    const files = source?.root.layers.files(source.chainId);
    if (!source || !files) return undefined;
    base.push(files);
    if (source.root === own) keeps.push(source.chainId);
  }
  return { blob: { mediaType: DELTA_LAYER_TYPE, digest, size }, delta: { format: 'vaquita', base }, keeps };
}

async function ask(needs: OfferNeeds, { reference, config, options }: OfferPull, subject: Digest): Promise<DeltaArtifact[]> {
  const { registry, clock, log } = needs;
  const late = new AbortController();
  using _timer = clock.after(MAX_ASKING_MS, () => late.abort(new Error(`no answer after ${MAX_ASKING_MS / 1000} s`)));
  const call = { auth: options.auth, signal: AbortSignal.any([options.signal, late.signal]) };
  const referrers = await registry.referrers(reference, subject, { ...call, artifactType: DELTA_ARTIFACT_TYPE });
  const roots = rootsOf(needs);
  const chosen = chooseReferrers(referrers, { target: config.id, isHere: (base) => roots.some((root) => root.images.get(base) !== undefined) });
  const artifacts = await Promise.all(chosen.map(async (descriptor) => {
    try {
      const artifact = parseDeltaArtifact(await registry.manifestBytes(reference, descriptor, call));
      return artifact.target === config.id ? artifact : undefined;
    } catch (error) {
      call.signal.throwIfAborted();
      log.warn('a delta could not be looked at', { artifact: descriptor.digest, error: messageOf(error) });
      return undefined;
    }
  }));
  return artifacts.filter((artifact) => artifact !== undefined);
}
