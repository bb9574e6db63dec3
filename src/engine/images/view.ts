// Images as lists and inspect show them.
import { ZERO_TIME } from '../../lib/clock.ts';
import { invalid } from '../../lib/errors.ts';
import { chainIds, type ImageId } from '../../oci/digest.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import type { LayerInfo, Store } from '../../store/index.ts';
import { assertFilterKeys, booleanFilter, matchesLabels } from '../filters.ts';
import type { Filters, ImageHistoryEntry, ImageView } from '../index.ts';
import { findImage } from './find.ts';
import { matchesReference } from './match.ts';

export function viewImage(store: Store, config: ImageConfig, containers: number): ImageView {
  const names = store.names.of(config.id);
  const layers = layersOf(store, config);
  return {
    config,
    repoTags: names.filter((name) => !name.includes('@')),
    repoDigests: names.filter((name) => name.includes('@')),
    parent: store.images.parentOf(config.id) ?? '',
    sizeBytes: totalOf(store, config),
    graph: graphOf(layers),
    containers,
    lastTagTime: store.images.lastTagged(config.id) ?? ZERO_TIME,
  };
}

export function layersOf(store: Store, config: ImageConfig): LayerInfo[] {
  return chainIds(config.diffIds).map((chainId) => store.layers.get(chainId)).filter((layer) => layer !== undefined);
}

/** Images that were made from this one, as far as that is on record: pulled ones have no parents. */
export const childrenOf = (store: Store, id: ImageId): ImageConfig[] => store.images.list().filter((image) => store.images.parentOf(image.id) === id);

/** Bytes of all layers of an image. */
export const totalOf = (store: Store, config: ImageConfig): number => layersOf(store, config).reduce((sum, layer) => sum + layer.sizeBytes, 0);

function graphOf(layers: readonly LayerInfo[]): ImageView['graph'] {
  const top = layers.at(-1);
  if (!top) return undefined;
  const folder = top.diffPath.replace(/\/diff$/, '');
  return { lowerDir: layers.slice(0, -1).reverse().map((layer) => layer.diffPath).join(':'), upperDir: top.diffPath, workDir: `${folder}/work`, mergedDir: `${folder}/merged` };
}

const FILTER_KEYS = ['dangling', 'label', 'label!', 'before', 'since', 'reference', 'until'] as const;

/** Newest first, as Docker lists them. */
export function listImages(store: Store, options: { filters: Filters; usersOf: (id: string) => number }): ImageView[] {
  const { filters } = options;
  assertFilterKeys(filters, FILTER_KEYS);
  const dangling = booleanFilter(filters, 'dangling');
  const time = (word: string) => Date.parse(findImage(store, word).config.created);
  const before = (filters.get('before') ?? []).map(time);
  const since = (filters.get('since') ?? []).map(time);
  const until = (filters.get('until') ?? []).map(untilMs);
  const patterns = filters.get('reference') ?? [];
  return store.images.list()
    .map((config) => viewImage(store, config, options.usersOf(config.id)))
    .filter((view) => {
      const created = Date.parse(view.config.created) || 0;
      return (dangling === undefined || dangling === (view.repoTags.length === 0 && view.repoDigests.length === 0))
        && matchesLabels(filters.get('label') ?? [], view.config.config.Labels)
        && !(filters.get('label!') ?? []).some((label) => matchesLabels([label], view.config.config.Labels))
        && before.every((limit) => created < limit) && since.every((limit) => created > limit) && until.every((limit) => created <= limit);
    })
    .map((view) => (patterns.length === 0 ? view : {
      ...view,
      repoTags: view.repoTags.filter((name) => patterns.some((pattern) => matchesReference(pattern, name))),
      repoDigests: view.repoDigests.filter((name) => patterns.some((pattern) => matchesReference(pattern, name))),
    }))
    .filter((view) => patterns.length === 0 || view.repoTags.length + view.repoDigests.length > 0)
    .toSorted((a, b) => (Date.parse(b.config.created) || 0) - (Date.parse(a.config.created) || 0));
}

function untilMs(text: string): number {
  const ms = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (Number.isNaN(ms)) throw invalid(`invalid filter 'until=${text}': expected a unix time or RFC 3339`);
  return ms;
}

/** Newest step first; the top one carries the image's ID and tags, the others are <missing>. */
export function historyOf(store: Store, config: ImageConfig): ImageHistoryEntry[] {
  const layers = layersOf(store, config);
  let layer = 0;
  const steps = config.history.map((step) => ({
    id: '<missing>',
    createdSeconds: Math.floor((Date.parse(step.created) || 0) / 1000),
    createdBy: step.createdBy,
    tags: [] as readonly string[],
    sizeBytes: step.emptyLayer ? 0 : layers[layer++]?.sizeBytes ?? 0,
    comment: step.comment,
  })).toReversed();
  const top = steps[0];
  if (!top) return [];
  return [{ ...top, id: config.id, tags: store.names.of(config.id).filter((name) => !name.includes('@')) }, ...steps.slice(1)];
}
