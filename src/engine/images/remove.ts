// Untag, delete, prune: names first, then configs, bytes last by collection.
import { parseNanos, type Clock } from '../../lib/clock.ts';
import { conflict, errnoOf, invalid, kindOf } from '../../lib/errors.ts';
import { hexOf, type ImageId } from '../../oci/digest.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import { familiarName, parseReference } from '../../oci/reference.ts';
import type { Store } from '../../store/index.ts';
import type { Events } from '../events.ts';
import { assertFilterKeys, booleanFilter, fitsLabels, untilFilter } from '../filters.ts';
import type { Filters } from '../index.ts';
import { findImage } from './find.ts';
import type { NamingTurn } from './held.ts';
import { layersOf, parentsOf } from './view.ts';

export type Removal = { Untagged: string } | { Deleted: string };

export interface RemoveNeeds {
  store: Store;
  events: Events;
  clock: Clock;
  /** Containers made from an image. */
  users(id: ImageId): ReadonlyArray<{ id: string; running: boolean }>;
}

const short = (hex: string) => hex.slice(0, 12);

/**
 * By name: that name goes, and the digests of its repository with the last tag there; the image goes with its last name. By ID: all names go and
 * the image, unless it has several. What was built on it keeps an image, and a running container does, whatever `force` says; a stopped one keeps
 * it without `force`. Without `noPrune`, parents go too that have no name, no container and nothing else built on them.
 */
export async function removeImage(needs: RemoveNeeds & NamingTurn, word: string, options: { force: boolean; noPrune: boolean }): Promise<Removal[]> {
  if (word.trim() === '') throw invalid('image name cannot be blank');
  using _turn = await needs.turn.hold();
  return await removeFound(needs, { ...findImage(needs.store, word), word }, options);
}

interface Found { config: ImageConfig; byName: string | undefined; word: string }

async function removeFound(needs: RemoveNeeds, found: Found, { force, noPrune }: { force: boolean; noPrune: boolean }): Promise<Removal[]> {
  const { images, names } = needs.store;
  const { removals, parent: first } = await remove(needs, found.config, decideRemoval(needs, found, force));
  for (let parent = noPrune ? undefined : first; parent !== undefined;) {
    const config = images.get(parent);
    if (!config || names.of(parent).length > 0 || needs.users(parent).length > 0 || parentsOf(needs.store).has(parent)) break;
    const next = await remove(needs, config, { gone: [], deleteImage: true, told: 0 });
    removals.push(...next.removals);
    parent = next.parent;
  }
  return removals;
}

/** `deleteImage`: with its names goes the image. `told`: of how many names an event tells; Docker says nothing of a digest that goes with the last tag. */
interface Going { gone: readonly string[]; deleteImage: boolean; told: number }

/** What goes, or the conflict in Docker's words and in its order. */
function decideRemoval(needs: RemoveNeeds, { config, byName, word }: Found, force: boolean): Going {
  const { id } = config;
  const names = needs.store.names.of(id);
  const containers = needs.users(id);
  const [first] = containers;
  const running = containers.find((user) => user.running);
  const hasChildren = parentsOf(needs.store).has(id);
  if (byName !== undefined) {
    if (first && !force && isSingle(names))
      throw conflict(`conflict: unable to remove repository reference "${word}" (must force) - container ${short(first.id)} is using its referenced image ${short(hexOf(id))}`);
    const gone = namesGoing(names, byName);
    return { gone, deleteImage: gone.length === names.length && !hasChildren && !running && (force || !first), told: 1 };
  }
  const unable = (how: 'cannot' | 'must', why: string) => conflict(`conflict: unable to delete ${short(hexOf(id))} (${how} be forced) - image ${why}`);
  if (hasChildren) throw unable('cannot', 'has dependent child images');
  if (running) throw unable('cannot', `is being used by running container ${short(running.id)}`);
  if (!force && !isSingle(names)) throw unable('must', 'is referenced in multiple repositories');
  if (!force && first) throw unable('must', `is being used by stopped container ${short(first.id)}`);
  return { gone: names, deleteImage: true, told: names.length };
}

/** A tag takes the digests of its repository along when it is the last one there: they would keep the image without anyone seeing a name. */
function namesGoing(names: readonly string[], byName: string): string[] {
  const alike = names.filter((name) => repositoryOf(name) === repositoryOf(byName));
  const isLastTag = isTag(byName) && alike.filter(isTag).length === 1;
  return names.filter((name) => name === byName || (isLastTag && alike.includes(name)));
}

/** One name, or one tag and the digests of its repository. */
function isSingle(names: readonly string[]): boolean {
  return names.length <= 1 || (names.filter(isTag).length <= 1 && names.some((name) => !isTag(name)) && new Set(names.map(repositoryOf)).size === 1);
}

const isTag = (name: string) => !name.includes('@');
const repositoryOf = (name: string) => familiarName(parseReference(name));

async function remove(needs: RemoveNeeds, config: ImageConfig, what: Going): Promise<{ removals: Removal[]; parent: ImageId | undefined }> {
  const { store, events } = needs;
  const parent = store.images.parentOf(config.id); // known no more once the image is gone
  const layers = layersOf(store, config).map((layer) => layer.chainId);
  await removeNames(store, config, what);
  const told: Removal[] = what.gone.map((name) => ({ Untagged: name }));
  for (const _name of what.gone.slice(0, what.told)) events.publish({ type: 'image', action: 'untag', id: config.id, attributes: { ...config.config.Labels, name: config.id } });
  if (!what.deleteImage) return { removals: told, parent: undefined };
  await store.images.remove(config.id);
  told.push({ Deleted: config.id });
  events.publish({ type: 'image', action: 'delete', id: config.id, attributes: { ...config.config.Labels, name: config.id } });
  await store.collect();
  // Whoever collects at the same time may have taken them along.
  for (const chainId of layers.toReversed()) if (!store.layers.get(chainId)) told.push({ Deleted: chainId });
  return { removals: told, parent };
}

/**
 * Writing the names anew takes a block, which a full disk does not have: then the image makes room for it. A power cut in between
 * leaves names of what is gone, which the next start passes over.
 */
async function removeNames(store: Store, config: ImageConfig, { gone, deleteImage }: { gone: readonly string[]; deleteImage: boolean }): Promise<void> {
  try {
    return await store.names.update({ remove: gone });
  } catch (error) {
    if (!deleteImage || errnoOf(error) !== 'ENOSPC') throw error;
  }
  await store.images.remove(config.id);
  await store.collect();
  await store.names.update({ remove: gone });
}

const PRUNE_KEYS = ['dangling', 'label', 'label!', 'until'] as const;

/**
 * Dangling images that no container uses, or with dangling=false every name that does not keep a container's image. What others were built on
 * stays, unless it has a name. Unless only some images are meant, what pulls that failed have left goes too.
 */
export async function pruneImages(needs: RemoveNeeds & NamingTurn, filters: Filters): Promise<{ deleted: Removal[]; spaceReclaimedBytes: number }> {
  const { store } = needs;
  assertFilterKeys(filters, PRUNE_KEYS);
  const onlyDangling = booleanFilter(filters, 'dangling') ?? true;
  const isMeant = meantBy(needs, filters);
  const before = totalBytes(store);
  const deleted: Removal[] = [];
  const parents = parentsOf(store);
  const meant = store.images.list().filter((config) => isMeant(config) && (store.names.of(config.id).length > 0 || !parents.has(config.id)));
  for (const config of meant) {
    const names = store.names.of(config.id);
    if (onlyDangling && names.some(isTag)) continue;
    for (const byName of names.length > 0 ? names : [undefined]) deleted.push(...await removeUnlessKept(needs, { config, byName, word: byName ?? hexOf(config.id) }));
  }
  if (!['label', 'label!', 'until'].some((key) => filters.has(key))) await store.layers.kept.clear();
  const spaceReclaimedBytes = Math.max(0, before - totalBytes(store)); // a pull may bring more meanwhile
  needs.events.publish({ type: 'image', action: 'prune', id: '', attributes: { reclaimed: String(spaceReclaimedBytes) } });
  return { deleted, spaceReclaimedBytes };
}

async function removeUnlessKept(needs: RemoveNeeds & NamingTurn, found: Found): Promise<Removal[]> {
  const { names, images } = needs.store;
  using _turn = await needs.turn.hold();
  // It may have gone with the one before it, or have got a name.
  const { config: { id }, byName } = found;
  if (byName === undefined ? !images.get(id) || names.of(id).length > 0 : names.get(byName) !== id) return [];
  try {
    return await removeFound(needs, found, { force: false, noPrune: false });
  } catch (error) {
    if (kindOf(error) === 'conflict') return [];
    throw error;
  }
}

function meantBy({ clock }: RemoveNeeds, filters: Filters): (config: ImageConfig) => boolean {
  const limit = untilFilter(filters, () => clock.nowNanos());
  const isOldEnough = (created: bigint | undefined) => limit === undefined || created === undefined || created <= limit;
  return ({ created, config }) => isOldEnough(parseNanos(created)) && fitsLabels(filters, config.Labels);
}

/** Of all layers, those included that wait for a pull to be tried again, and of the deltas that are kept beside images. */
export function totalBytes(store: Store): number {
  const layers = store.layers.list().reduce((sum, layer) => sum + layer.sizeBytes, store.layers.kept.sizeBytes());
  return store.deltas.list().reduce((sum, delta) => delta.layers.reduce((size, layer) => size + layer.sizeBytes, sum), layers);
}
