// The verbs on networks, as clients ask for them.
import { parseNanos } from '../../lib/clock.ts';
import { invalid } from '../../lib/errors.ts';
import type { NetworkRecord } from '../../store/index.ts';
import { connectContainer, disconnectContainer } from '../containers/connect.ts';
import type { ContainerNeeds } from '../containers/needs.ts';
import { assertFilterKeys, booleanFilter, fitsLabels, matchesLabels, untilFilter } from '../filters.ts';
import type { Filters, NetworksFace, NetworkView } from '../index.ts';
import { noSuchNetwork, type Networks } from './networks.ts';
import { isPredefined } from './predefined.ts';

const LIST_KEYS = ['dangling', 'driver', 'id', 'label', 'name', 'scope', 'type'] as const;
const PRUNE_KEYS = ['label', 'label!', 'until'] as const;
/** Where every network is known: there are no clusters. */
export const SCOPE = 'local';

export function openNetworkVerbs(needs: ContainerNeeds): NetworksFace {
  const { networks } = needs;
  const view = (network: NetworkRecord): NetworkView => ({ network, endpoints: networks.endpoints(network.Id) });
  return {
    list: ({ filters }) => listNetworks(networks, filters).map(view),
    inspect(name, { scope }) {
      if (scope !== '' && scope !== SCOPE) throw noSuchNetwork(name);
      return view(networks.find(name, (matches) => `${matches}: network ${name} is ambiguous`));
    },
    create: (body, { unique }) => networks.create(body, { unique }),
    remove: (name) => networks.remove(name),
    prune: ({ filters }) => pruneNetworks(needs, filters),
    connect: (network, { container, endpoint }) => connectContainer(needs, { network, container, endpoint }),
    disconnect: (network, { container, force }) => disconnectContainer(needs, { network, container, force }),
  };
}

/** Every key must match, by any of its values; of labels all. */
function listNetworks(networks: Networks, filters: Filters): NetworkRecord[] {
  assertFilterKeys(filters, LIST_KEYS);
  const dangling = booleanFilter(filters, 'dangling');
  const kinds = filters.get('type') ?? [];
  const unknown = kinds.find((kind) => kind !== 'builtin' && kind !== 'custom');
  if (unknown !== undefined) throw invalid(`invalid filter: 'type'='${unknown}'`);
  const any = (key: string, accepts: (value: string) => boolean) => (filters.get(key) ?? []).length === 0 || (filters.get(key) ?? []).some(accepts);
  return networks.all().filter((network) => any('driver', (driver) => driver === network.Driver)
    && any('id', (id) => matchesText(id, network.Id))
    && any('name', (name) => matchesText(name, network.Name))
    && any('scope', (scope) => scope === SCOPE)
    && any('type', (kind) => (kind === 'builtin') === isPredefined(network.Name))
    && (dangling === undefined || dangling === (!isPredefined(network.Name) && !networks.isUsed(network.Id)))
    && matchesLabels(filters.get('label') ?? [], network.Labels));
}

/** A part of it, or a pattern. */
function matchesText(pattern: string, text: string): boolean {
  if (text.includes(pattern)) return true;
  try { return new RegExp(pattern).test(text); } catch { return false; }
}

/** Templates stay, since nobody can be in them; one that resists is told of in the log, and does not keep the others. */
async function pruneNetworks({ networks, clock, events, log }: ContainerNeeds, filters: Filters): Promise<string[]> {
  assertFilterKeys(filters, PRUNE_KEYS);
  const untilNs = untilFilter(filters, () => clock.nowNanos());
  const accepts = (network: NetworkRecord) => !isPredefined(network.Name) && !network.ConfigOnly
    && (untilNs === undefined || (parseNanos(network.Created) ?? 0n) <= untilNs)
    && fitsLabels(filters, network.Labels);
  const deleted: string[] = [];
  for (const network of networks.all()) {
    try { if (await networks.removeIf(network, accepts)) deleted.push(network.Name); }
    catch (error) { log.warn('could not prune a network', { network: network.Name, error }); }
  }
  events.publish({ type: 'network', action: 'prune', id: '', attributes: { reclaimed: '0' } });
  return deleted;
}
