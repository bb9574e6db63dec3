// Untag, delete, prune: names first, then configs, bytes last by collection.
import { conflict, errnoOf } from '../../lib/errors.ts';
import { hexOf, type ImageId } from '../../oci/digest.ts';
import type { ImageConfig } from '../../oci/manifest.ts';
import { familiarName, parseReference } from '../../oci/reference.ts';
import type { Store } from '../../store/index.ts';
import type { Events } from '../events.ts';
import { assertFilterKeys, booleanFilter, matchesLabels } from '../filters.ts';
import type { Filters } from '../index.ts';
import { findImage } from './find.ts';
import { layersOf } from './view.ts';

export type Removal = { Untagged: string } | { Deleted: string };

export interface RemoveNeeds {
  store: Store;
  events: Events;
  /** Containers made from an image. */
  users(id: ImageId): ReadonlyArray<{ id: string; running: boolean }>;
}

const short = (hex: string) => hex.slice(0, 12);

/**
 * By name: that name goes; the image goes with its last tag. By ID: refused while several repositories name it or a container
 * uses it, unless `force` (a running container refuses even then).
 */
export async function removeImage(needs: RemoveNeeds, word: string, force: boolean): Promise<Removal[]> {
  const { config, byName } = findImage(needs.store, word);
  const { id } = config;
  const names = needs.store.names.of(id);
  const tags = names.filter((name) => !name.includes('@'));
  if (byName !== undefined) {
    const repository = repositoryOf(byName);
    const others = names.filter((name) => name !== byName && !(name.includes('@') && repositoryOf(name) === repository && !tags.some((tag) => tag !== byName && repositoryOf(tag) === repository)));
    const last = others.length === 0;
    if (last) assertUnused(needs, config, { force, word: byName });
    // The digest of a repository goes with its last tag there; otherwise it would keep the image without anyone seeing a name.
    const gone = names.filter((name) => !others.includes(name));
    return await remove(needs, config, { gone, deleteImage: last && !needs.users(id).some((user) => user.running), told: 1 });
  }
  const repositories = new Set(names.map(repositoryOf));
  if (!force && repositories.size > 1) {
    throw conflict(`conflict: unable to delete ${short(hexOf(id))} (must be forced) - image is referenced in multiple repositories`);
  }
  assertUnused(needs, config, { force, word: short(hexOf(id)) });
  return await remove(needs, config, { gone: names, deleteImage: true, told: names.length });
}

function assertUnused(needs: RemoveNeeds, config: ImageConfig, { force, word }: { force: boolean; word: string }): void {
  const users = needs.users(config.id);
  const running = users.find((user) => user.running);
  const byId = word === short(hexOf(config.id));
  if (running && (byId || !force)) {
    const how = byId ? '(cannot be forced)' : '(must force)';
    throw conflict(byId
      ? `conflict: unable to delete ${word} ${how} - image is being used by running container ${short(running.id)}`
      : `conflict: unable to remove repository reference "${familiarOf(word)}" ${how} - container ${short(running.id)} is using its referenced image ${short(hexOf(config.id))}`);
  }
  const stopped = users[0];
  if (!stopped || force) return;
  throw conflict(byId
    ? `conflict: unable to delete ${word} (must be forced) - image is being used by stopped container ${short(stopped.id)}`
    : `conflict: unable to remove repository reference "${familiarOf(word)}" (must force) - container ${short(stopped.id)} is using its referenced image ${short(hexOf(config.id))}`);
}

const familiarOf = (name: string) => name.replace(/:latest$/, '');
const repositoryOf = (name: string) => familiarName(parseReference(name));

async function remove(needs: RemoveNeeds, config: ImageConfig, what: { gone: readonly string[]; deleteImage: boolean; told: number }): Promise<Removal[]> {
  const { store, events } = needs;
  const layers = layersOf(store, config).map((layer) => layer.chainId);
  await removeNames(store, config, what);
  const told: Removal[] = what.gone.map((name) => ({ Untagged: name }));
  // Docker says nothing of a digest that goes with the last tag.
  for (const _name of what.gone.slice(0, what.told)) events.publish({ type: 'image', action: 'untag', id: config.id, attributes: { ...config.config.Labels, name: config.id } });
  if (!what.deleteImage) return told;
  await store.images.remove(config.id);
  told.push({ Deleted: config.id });
  events.publish({ type: 'image', action: 'delete', id: config.id, attributes: { ...config.config.Labels, name: config.id } });
  await store.collect();
  // Whoever collects at the same time may have taken them along.
  for (const chainId of layers.toReversed()) if (!store.layers.get(chainId)) told.push({ Deleted: chainId });
  return told;
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

/** Dangling images that no container uses, or with dangling=false every unused one; and, unless only some images are meant, what pulls that failed have left. */
export async function pruneImages(needs: RemoveNeeds, filters: Filters): Promise<{ deleted: Removal[]; spaceReclaimedBytes: number }> {
  assertFilterKeys(filters, PRUNE_KEYS);
  const onlyDangling = booleanFilter(filters, 'dangling') ?? true;
  const before = totalBytes(needs.store);
  const deleted: Removal[] = [];
  for (const config of needs.store.images.list()) {
    const names = needs.store.names.of(config.id);
    if (needs.users(config.id).length > 0 || (onlyDangling && names.some((name) => !name.includes('@')))) continue;
    if (!matchesLabels(filters.get('label') ?? [], config.config.Labels)) continue;
    deleted.push(...await remove(needs, config, { gone: names, deleteImage: true, told: 1 }));
  }
  if (!['label', 'label!', 'until'].some((key) => filters.has(key))) await needs.store.layers.kept.clear();
  return { deleted, spaceReclaimedBytes: before - totalBytes(needs.store) };
}

/** Of all layers, those included that wait for a pull to be tried again, and of the deltas that are kept beside images. */
export function totalBytes(store: Store): number {
  const layers = store.layers.list().reduce((sum, layer) => sum + layer.sizeBytes, store.layers.kept.sizeBytes());
  return store.deltas.list().reduce((sum, delta) => delta.layers.reduce((size, layer) => size + layer.sizeBytes, sum), layers);
}
