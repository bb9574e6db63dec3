// The verbs on volumes, as clients ask for them.
import { kindOf } from '../../lib/errors.ts';
import type { StoredVolume } from '../../store/index.ts';
import type { ContainerNeeds } from '../containers/needs.ts';
import { assertFilterKeys, booleanFilter, fitsLabels, matchesLabels } from '../filters.ts';
import type { Filters, VolumesFace, VolumeView } from '../index.ts';
import { ANONYMOUS, LOCAL } from './volumes.ts';

const LIST_KEYS = ['dangling', 'driver', 'label', 'name'] as const;
const PRUNE_KEYS = ['all', 'label', 'label!'] as const;

type Needs = Pick<ContainerNeeds, 'store' | 'volumes' | 'events' | 'log'>;

export function openVolumes(needs: Needs): VolumesFace {
  const { store, volumes } = needs;
  return {
    create: async (wish) => (await volumes.obtain(wish)).volume,
    inspect: (name) => volumes.find(name),
    list: async ({ filters }) => listVolumes(needs, filters),
    async remove(name, { force }) {
      try { await volumes.remove(name); } catch (error) {
        // Also when another client has removed it while this one waited.
        if (!force || kindOf(error) !== 'not-found' || store.volumes.get(name)) throw error;
      }
    },
    prune: ({ filters }) => pruneVolumes(needs, filters),
  };
}

/** Sizes are known of plain directories only: what else is mounted may be larger than the disk, or away. */
export async function volumesWithUsage({ store, volumes }: Pick<Needs, 'store' | 'volumes'>): Promise<VolumeView[]> {
  const views: VolumeView[] = [];
  for (const volume of store.volumes.list()) {
    if (!isPlain(volume)) continue;
    const sizeBytes = await store.volumes.sizeBytes(volume.name).catch(() => -1); // removed meanwhile
    views.push({ volume, usage: { sizeBytes, containers: volumes.users(volume.name).length } });
  }
  return views;
}

const isPlain = ({ options }: StoredVolume): boolean => Object.keys(options ?? {}).length === 0;

function listVolumes({ store, volumes }: Needs, filters: Filters): StoredVolume[] {
  assertFilterKeys(filters, LIST_KEYS);
  const dangling = booleanFilter(filters, 'dangling');
  const any = (key: string, accepts: (value: string) => boolean) => (filters.get(key) ?? []).length === 0 || (filters.get(key) ?? []).some(accepts);
  return store.volumes.list().filter((volume) => (dangling === undefined || dangling === (volumes.users(volume.name).length === 0))
    && any('driver', (driver) => driver === LOCAL)
    && any('name', (name) => nameMatches(name, volume.name))
    && matchesLabels(filters.get('label') ?? [], volume.labels));
}

function nameMatches(pattern: string, name: string): boolean {
  try { return new RegExp(pattern).test(name); } catch { return name.includes(pattern); }
}

async function pruneVolumes(needs: Needs, filters: Filters): Promise<{ deleted: string[]; spaceReclaimedBytes: number }> {
  assertFilterKeys(filters, PRUNE_KEYS);
  const all = booleanFilter(filters, 'all') ?? false;
  const { store, volumes } = needs;
  const deleted: string[] = [];
  let spaceReclaimedBytes = 0;
  for (const volume of store.volumes.list()) {
    const { name, labels } = volume;
    const isMeant = isPlain(volume) && (all || labels?.[ANONYMOUS] !== undefined) && fitsLabels(filters, labels);
    if (!isMeant || volumes.users(name).length > 0) continue;
    const sizeBytes = await store.volumes.sizeBytes(name).catch(() => 0);
    try { await volumes.remove(name); } catch (error) {
      if (kindOf(error) !== 'conflict' && kindOf(error) !== 'not-found') needs.log.warn('could not prune a volume', { volume: name, error });
      continue; // someone uses it by now, or has removed it
    }
    deleted.push(name);
    spaceReclaimedBytes += sizeBytes;
  }
  needs.events.publish({ type: 'volume', action: 'prune', id: '', attributes: { reclaimed: String(spaceReclaimedBytes) } });
  return { deleted, spaceReclaimedBytes };
}
