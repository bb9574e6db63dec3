// prune: every container that does not run is removed, as far as the filters let it.
import { formatNanos } from '../../lib/clock.ts';
import { kindOf } from '../../lib/errors.ts';
import { assertFilterKeys, fitsLabels, untilFilter } from '../filters.ts';
import type { Filters } from '../index.ts';
import type { Container } from './container.ts';
import type { ContainerNeeds } from './needs.ts';
import { removeContainer } from './remove.ts';

const KEYS = ['label', 'label!', 'until'] as const;

export async function pruneContainers(needs: ContainerNeeds, filters: Filters): Promise<{ deleted: string[]; spaceReclaimedBytes: number }> {
  assertFilterKeys(filters, KEYS);
  const isMeant = meantBy(needs, filters);
  const deleted: string[] = [];
  let spaceReclaimedBytes = 0;
  for (const container of needs.table.all()) {
    if (container.running || !isMeant(container)) continue;
    const bytes = await needs.store.layers.activeSizeBytes(container.id);
    try {
      await removeContainer(needs, container, { force: false, volumes: false });
    } catch (error) {
      if (kindOf(error) === 'conflict') continue; // someone started it meanwhile
      throw error;
    }
    deleted.push(container.id);
    spaceReclaimedBytes += bytes;
  }
  needs.events.publish({ type: 'container', action: 'prune', id: '', attributes: { reclaimed: String(spaceReclaimedBytes) } });
  return { deleted, spaceReclaimedBytes };
}

function meantBy({ clock }: ContainerNeeds, filters: Filters): (container: Container) => boolean {
  const limit = untilFilter(filters, () => clock.nowNanos());
  const latest = limit === undefined ? undefined : formatNanos(limit).replace(/Z$/, '');
  return ({ record }) => (latest === undefined || record.Created.replace(/Z$/, '') < latest) && fitsLabels(filters, record.Config.Labels);
}
