// Images as lists and inspect show them.
import { ZERO_TIME, type Clock } from '../../lib/clock.ts';
import { invalid } from '../../lib/errors.ts';
import { chainIds, type ImageId } from '../../oci/digest.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import type { LayerInfo, Store } from '../../store/index.ts';
import { parseTime } from '../../wire/time.ts';
import { assertFilterKeys, booleanFilter, fitsLabels } from '../filters.ts';
import type { Filters, ImageHistoryEntry, ImageView } from '../index.ts';
import { findImage } from './find.ts';
import { matcherOf } from './match.ts';

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

/** Images that others were made from, as far as that is on record: pulled ones have no parents. Reads a file for each image. */
export const parentsOf = (store: Store): ReadonlySet<ImageId> => new Set(store.images.list().flatMap(({ id }) => store.images.parentOf(id) ?? []));

/** Bytes of all layers of an image. */
export const totalOf = (store: Store, config: ImageConfig): number => layersOf(store, config).reduce((sum, layer) => sum + layer.sizeBytes, 0);

function graphOf(layers: readonly LayerInfo[]): ImageView['graph'] {
  const top = layers.at(-1);
  if (!top) return undefined;
  const folder = top.diffPath.replace(/\/diff$/, '');
  return { lowerDir: layers.slice(0, -1).reverse().map((layer) => layer.diffPath).join(':'), upperDir: top.diffPath, workDir: `${folder}/work`, mergedDir: `${folder}/merged` };
}

/** Bytes of each image's layers that another of these images has too, by ID. */
function sharedSizes(store: Store, images: readonly ImageView[]): Map<ImageId, number> {
  const layers = images.map(({ config }) => ({ id: config.id, layers: layersOf(store, config) }));
  const users = new Map<string, number>();
  for (const one of layers) for (const { chainId } of one.layers) users.set(chainId, (users.get(chainId) ?? 0) + 1);
  return new Map(layers.map((one) => [one.id, one.layers.reduce((sum, layer) => sum + ((users.get(layer.chainId) ?? 0) > 1 ? layer.sizeBytes : 0), 0)]));
}

const FILTER_KEYS = ['dangling', 'label', 'label!', 'before', 'since', 'reference', 'until'] as const;

export interface ListOptions {
  /** With those that have no name and were only made on the way to others. */
  all: boolean;
  /** Whether to count what each shares with others of the list. */
  sharedSize: boolean;
  filters: Filters;
  usersOf: (id: string) => number;
  clock: Clock;
}

/** Newest first, as Docker lists them. */
export function listImages(store: Store, options: ListOptions): ImageView[] {
  const images = selectImages(store, options);
  if (!options.sharedSize) return images;
  const shared = sharedSizes(store, images);
  return images.map((view) => ({ ...view, sharedSizeBytes: shared.get(view.config.id) ?? 0 }));
}

function selectImages(store: Store, { all, filters, usersOf, clock }: ListOptions): ImageView[] {
  assertFilterKeys(filters, FILTER_KEYS);
  const dangling = booleanFilter(filters, 'dangling');
  const time = (word: string) => Date.parse(findImage(store, word).config.created);
  const before = (filters.get('before') ?? []).map(time);
  const since = (filters.get('since') ?? []).map(time);
  const until = (filters.get('until') ?? []).map((text) => untilMs(text, clock));
  const patterns = (filters.get('reference') ?? []).map(matcherOf);
  let parents: ReadonlySet<ImageId> | undefined; // asked for only where an image has no name
  const isParent = (id: ImageId) => (parents ??= parentsOf(store)).has(id);
  return store.images.list()
    .map((config) => viewImage(store, config, usersOf(config.id)))
    .filter((view) => {
      const created = Date.parse(view.config.created) || 0;
      return isShown(view, { all, dangling, isParent }) && fitsLabels(filters, view.config.config.Labels)
        && before.every((limit) => created < limit) && since.every((limit) => created > limit) && until.every((limit) => created <= limit);
    })
    .map((view) => (patterns.length === 0 ? view : {
      ...view,
      repoTags: view.repoTags.filter((name) => patterns.some((matches) => matches(name))),
      repoDigests: view.repoDigests.filter((name) => patterns.some((matches) => matches(name))),
    }))
    .filter((view) => patterns.length === 0 || view.repoTags.length + view.repoDigests.length > 0)
    .toSorted((a, b) => (Date.parse(b.config.created) || 0) - (Date.parse(a.config.created) || 0));
}

/** What has a digest alone dangles as well, but is not left out where dangling ones are not wanted. */
function isShown({ config, repoTags, repoDigests }: ImageView, { all, dangling, isParent }: { all: boolean; dangling: boolean | undefined; isParent: (id: ImageId) => boolean }): boolean {
  if (repoTags.length > 0) return dangling !== true;
  if (repoDigests.length > 0) return true;
  return dangling !== false && ((all && dangling === undefined) || !isParent(config.id));
}

function untilMs(text: string, clock: Clock): number {
  const nanos = parseTime(text, () => clock.nowNanos());
  if (nanos === undefined) throw invalid(`invalid filter 'until=${text}': expected a unix time, RFC 3339 or a duration`);
  return Number(nanos / 1_000_000n);
}

/** Newest step first; the top one carries the image's ID and tags, those below it their images' where they are on record as parents, else <missing>. */
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
  let id: ImageId | undefined = config.id;
  return steps.map((step) => {
    if (id === undefined) return step;
    const named = { ...step, id, tags: store.names.of(id).filter((name) => !name.includes('@')) };
    const parent = store.images.parentOf(id);
    id = parent && store.images.get(parent)?.id;
    return named;
  });
}
