// Containers as lists and inspect show them.
import { ZERO_TIME } from '../../lib/clock.ts';
import { invalid } from '../../lib/errors.ts';
import { parseImageId } from '../../oci/digest.ts';
import { assertFilterKeys, booleanFilter, matchesLabels } from '../filters.ts';
import { findImage } from '../images/find.ts';
import { totalOf } from '../images/view.ts';
import type { ContainerView, Filters } from '../index.ts';
import type { Container } from './container.ts';
import type { ContainerNeeds } from './needs.ts';
import { noSuchContainer } from './table.ts';
import { statusWord } from './state.ts';

export async function viewContainer(needs: ContainerNeeds, container: Container, { size }: { size: boolean }): Promise<ContainerView> {
  const { record } = container;
  const imageId = parseImageId(record.Image);
  const rw = size ? await needs.store.layers.activeSizeBytes(container.id) : undefined;
  const image = needs.store.images.get(imageId);
  return {
    record,
    hostConfig: container.hostConfig,
    status: statusWord(record.State),
    imageName: shownImage(needs, container),
    imageId,
    graph: needs.store.layers.active(container.id),
    mounts: Object.values(record.MountPoints),
    execIds: [...container.execIds],
    sizeRwBytes: rw,
    sizeRootFsBytes: rw === undefined ? undefined : rw + (image ? totalOf(needs.store, image) : 0),
  };
}

/** The name it was made with, unless that name now means another image: then the ID tells the truth. */
function shownImage(needs: ContainerNeeds, container: Container): string {
  const { Image: name } = container.record.Config;
  try {
    return findImage(needs.store, name).config.id === container.record.Image ? name : container.record.Image;
  } catch {
    return container.record.Image;
  }
}

const KEYS = ['ancestor', 'before', 'exited', 'expose', 'health', 'id', 'is-task', 'isolation', 'label', 'name', 'network', 'publish', 'since', 'status', 'volume'] as const;
const STATUSES = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'];

/** Newest first. Without `all`, a limit or a filter on the state, only what runs. */
export async function listContainers(needs: ContainerNeeds, options: { all: boolean; limit: number; size: boolean; filters: Filters }): Promise<ContainerView[]> {
  const { filters } = options;
  assertFilterKeys(filters, KEYS);
  const matches = matcher(needs, filters);
  const stateAsked = (filters.get('status') ?? []).length > 0 || (filters.get('exited') ?? []).length > 0;
  const shown = needs.table.all()
    .toSorted((a, b) => (a.record.Created < b.record.Created ? 1 : -1))
    .filter((container) => (options.all || options.limit > 0 || stateAsked || container.running) && matches(container));
  const limited = options.limit > 0 ? shown.slice(0, options.limit) : shown;
  return await Promise.all(limited.map((container) => viewContainer(needs, container, options)));
}

function matcher(needs: ContainerNeeds, filters: Filters): (container: Container) => boolean {
  const values = (key: string) => filters.get(key) ?? [];
  for (const status of values('status')) if (!STATUSES.includes(status)) throw invalid(`invalid filter 'status=${status}'`);
  const codes = values('exited').map((text) => {
    if (!/^-?\d+$/.test(text)) throw invalid(`invalid filter 'exited=${text}'`);
    return Number(text);
  });
  const ancestors = ancestorIds(needs, values('ancestor'));
  const madeAt = (word: string) => (needs.table.all().find((container) => container.name === word.replace(/^\//, '') || container.id.startsWith(word)) ?? missing(word)).record.Created;
  const before = values('before').map(madeAt);
  const since = values('since').map(madeAt);
  const isTask = booleanFilter(filters, 'is-task');
  const any = (key: string, accepts: (value: string) => boolean) => values(key).length === 0 || values(key).some(accepts);
  return (container) => {
    const { record, hostConfig } = container;
    return any('id', (id) => container.id.startsWith(id))
      && any('name', (name) => nameMatches(name, record.Name))
      && matchesLabels(values('label'), record.Config.Labels)
      && any('status', (status) => statusWord(record.State) === status)
      && (codes.length === 0 || (codes.includes(record.State.ExitCode) && !record.State.Running && record.State.StartedAt !== ZERO_TIME))
      && (ancestors === undefined || ancestors.has(record.Image))
      && before.every((time) => record.Created < time) && since.every((time) => record.Created > time)
      && any('network', (network) => networkOf(hostConfig.NetworkMode) === network)
      && any('health', (health) => (record.State.Health?.Status ?? 'none') === health)
      && any('volume', (volume) => Object.values(record.MountPoints).some((point) => point.Destination === volume || point.Source === volume || point.Name === volume))
      && any('expose', (port) => Object.keys(record.Config.ExposedPorts ?? {}).some((exposed) => exposed === port || exposed === `${port}/tcp`))
      && values('publish').length === 0
      && isTask !== true;
  };
}

const networkOf = (mode: string) => (mode === 'default' ? 'none' : mode);

function nameMatches(pattern: string, name: string): boolean {
  try {
    return new RegExp(pattern).test(name) || new RegExp(pattern).test(name.slice(1));
  } catch {
    return name.includes(pattern);
  }
}

function missing(word: string): never { throw noSuchContainer(word); }

/** IDs of the images named; an unknown one matches nothing. */
function ancestorIds(needs: ContainerNeeds, words: readonly string[]): Set<string> | undefined {
  if (words.length === 0) return undefined;
  const ids = new Set<string>();
  for (const word of words) {
    try { ids.add(findImage(needs.store, word).config.id); } catch { /* unknown: matches nothing */ }
  }
  return ids;
}
