// balenaEngine's deltas, as far as pull and load share them: what the labels of a delta image say, where its base is, what each layer of its target takes.
import { assert, invalid, messageOf, notFound } from '../../lib/errors.ts';
import { chainIds, hexOf, isDigest, type ChainId, type DiffId, type ImageId } from '../../oci/digest.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import { parseImageConfig } from '../../oci/parse-manifest.ts';
import type { BaseRoot, LayerFiles, LayerStore } from '../../store/index.ts';

/** Source: balenaEngine 20.10, what its delta images carry. */
export const DELTA_LABELS = { base: 'io.resin.delta.base', config: 'io.resin.delta.config' } as const;

/** What a delta image is for. */
export interface DeltaImage {
  base: ImageId;
  /** Of the image that it makes; its bytes are those of the label. */
  target: ImageConfig;
}

/** A base that is here, and where. Whoever reads its layers holds a lease on `chain` while it does. */
export interface DeltaBase {
  root: BaseRoot;
  config: ImageConfig;
  /** Bottom first, as `layers`. */
  chain: readonly ChainId[];
  layers: readonly LayerFiles[];
}

/** Where one layer of the target comes from. */
export type DeltaStep =
  | { way: 'here' }
  /** The same content lies in another chain, or in the root of the base. `common`: there is no delta for it; otherwise it may be applied as well. */
  | { way: 'copy'; from: Pick<LayerStore, 'tar'>; chainId: ChainId; common: boolean }
  /** From the delta against all layers of the base. */
  | { way: 'apply' };

/** undefined of an image that is no delta. Errors: invalid (a label that is no image ID, no config, or not for as many layers as the delta image has). */
export function deltaOf(config: ImageConfig): DeltaImage | undefined {
  const labels = config.config.Labels ?? {};
  const base = labels[DELTA_LABELS.base];
  if (base === undefined || base === '') return undefined;
  if (!isDigest(base)) throw invalid(`parsing base image ${JSON.stringify(base)}: it is no image ID`);
  const text = labels[DELTA_LABELS.config];
  if (text === undefined || text === '') throw invalid(`delta image ${config.id} names its base, but no target: its label ${DELTA_LABELS.config} is empty`);
  try {
    const target = parseImageConfig(Buffer.from(text, 'utf8'));
    if (target.diffIds.length !== config.diffIds.length) throw invalid(`it has ${target.diffIds.length} layers, the delta image ${config.diffIds.length}`);
    return { base: base as string as ImageId, target };
  } catch (error) {
    throw invalid(`target of delta image ${config.id}: ${messageOf(error)}`, { cause: error });
  }
}

/** Looks in `roots` in their order, the engine's own being the first. Error: not-found, in balenaEngine's words (with the path of the first root). */
export function findDeltaBase(roots: readonly BaseRoot[], id: ImageId): DeltaBase {
  for (const root of roots) {
    const config = root.images.get(id);
    if (config === undefined) continue;
    const chain = chainIds(config.diffIds);
    const layers = chain.map((chainId) => root.layers.files(chainId));
    if (layers.every((files) => files !== undefined)) return { root, config, chain, layers };
  }
  throw notFound(`loading delta base image ${JSON.stringify(id)}: failed to get digest ${id}: open ${roots[0]?.root ?? ''}/image/overlay2/imagedb/content/sha256/${hexOf(id)}: no such file or directory`);
}

/** Bottom first, one for each layer of the target. Those that lie on the same layers in the base are common: for them a delta image holds an empty tar alone. */
export function decideDeltaSteps(layers: LayerStore, base: DeltaBase, target: ImageConfig): DeltaStep[] {
  const twins = new Map<DiffId, { from: Pick<LayerStore, 'tar'>; chainId: ChainId }>();
  for (const { diffId, chainId } of layers.list()) twins.set(diffId, { from: layers, chainId });
  // Those of the base come first: they are leased.
  for (const [index, chainId] of base.chain.entries()) twins.set(at(base.config.diffIds, index), { from: base.root.layers, chainId });
  return chainIds(target.diffIds).map((chainId, index): DeltaStep => {
    if (layers.get(chainId)) return { way: 'here' };
    const twin = twins.get(at(target.diffIds, index));
    return twin ? { way: 'copy', ...twin, common: base.chain[index] === chainId } : { way: 'apply' };
  });
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  assert(item !== undefined, `a layer ${index} of ${list.length}`);
  return item;
}
