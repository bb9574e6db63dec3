// The list of containers: which ones a client means by its filters, in Docker's order.
import { ZERO_TIME } from '../../lib/clock.ts';
import { invalid } from '../../lib/errors.ts';
import type { ImageId } from '../../oci/digest.ts';
import { parsePortRange, splitPort } from '../../wire/address.ts';
import { assertFilterKeys, booleanFilter, matchesLabels } from '../filters.ts';
import { findImage } from '../images/find.ts';
import type { ContainerView, Filters } from '../index.ts';
import type { Container } from './container.ts';
import type { ContainerNeeds } from './needs.ts';
import { statusWord } from './state.ts';
import { viewContainer } from './view.ts';

const KEYS = ['ancestor', 'before', 'exited', 'expose', 'health', 'id', 'is-task', 'isolation', 'label', 'name', 'network', 'publish', 'since', 'status', 'volume'] as const;
const STATUSES = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'];
const HEALTH = ['none', 'starting', 'healthy', 'unhealthy'];

type Test = (container: Container) => boolean;

/** Newest first. Without `all`, a limit or a filter on the state, only what runs. */
export async function listContainers(needs: ContainerNeeds, options: { all: boolean; limit: number; size: boolean; filters: Filters }): Promise<ContainerView[]> {
  const { filters } = options;
  assertFilterKeys(filters, KEYS);
  const tests = testsOf(needs, filters);
  const everything = options.all || options.limit > 0 || (filters.get('status') ?? []).length > 0;
  const shown = needs.table.all()
    .toSorted((a, b) => (madeAt(a) < madeAt(b) ? 1 : -1))
    .filter((container) => (everything || container.running) && tests.every((test) => test(container)));
  const limited = options.limit > 0 ? shown.slice(0, options.limit) : shown;
  return await Promise.all(limited.map((container) => viewContainer(needs, container, options)));
}

/** Go leaves out the zeros at the end of a fraction: without the Z behind, the texts sort as the times do. */
const madeAt = ({ record }: Container): string => record.Created.replace(/Z$/, '');

/** One test per filter; values of one filter are alternatives, except where Docker wants all of them. */
function testsOf(needs: ContainerNeeds, filters: Filters): Test[] {
  const values = (key: (typeof KEYS)[number]) => filters.get(key) ?? [];
  const any = (key: (typeof KEYS)[number], accepts: (container: Container, value: string) => boolean): Test => {
    const wanted = values(key);
    return (container) => wanted.length === 0 || wanted.some((value) => accepts(container, value));
  };
  for (const status of values('status')) if (!STATUSES.includes(status)) throw invalid(`invalid filter 'status=${status}'`);
  for (const health of values('health')) if (!HEALTH.includes(health)) throw invalid(`Unrecognised filter value for health: ${health}`);
  const before = values('before').map((word) => madeAt(needs.table.find(word)));
  const since = values('since').map((word) => madeAt(needs.table.find(word)));
  const isTask = booleanFilter(filters, 'is-task');
  return [
    any('id', ({ id }, start) => id.startsWith(start)),
    any('name', ({ record }, pattern) => nameMatches(pattern, record.Name)),
    ({ record }) => matchesLabels(values('label'), record.Config.Labels),
    any('status', ({ record }, status) => statusWord(record.State) === status),
    exitedTest(values('exited')), ancestorTest(needs, values('ancestor')), portTest(values('publish'), values('expose')),
    (container) => before.every((time) => madeAt(container) < time) && since.every((time) => madeAt(container) > time),
    any('network', isInNetwork),
    any('health', ({ record }, health) => (record.State.Health?.Status ?? 'none') === health),
    any('volume', ({ record }, volume) => Object.values(record.MountPoints).some((point) => point.Destination === volume || (point.Name || point.Source) === volume)),
    () => isTask !== true, // there is no cluster
  ];
}

function exitedTest(values: readonly string[]): Test {
  const codes = values.map((text) => {
    if (!/^[+-]?\d+$/.test(text)) throw invalid(`invalid filter 'exited=${text}'`);
    return Number(text);
  });
  return ({ record: { State: state } }) => codes.length === 0 || (codes.includes(state.ExitCode) && !state.Running && state.StartedAt !== ZERO_TIME);
}

/** The images named and all that were built on them; an unknown one matches nothing. */
function ancestorTest({ store }: ContainerNeeds, words: readonly string[]): Test {
  const ids = new Set<ImageId>();
  for (const word of words) {
    try { ids.add(findImage(store, word).config.id); } catch { /* unknown: matches nothing */ }
  }
  const descends = (id: ImageId | undefined): boolean => id !== undefined && (ids.has(id) || descends(store.images.parentOf(id)));
  return ({ record }) => words.length === 0 || descends(record.Image as ImageId);
}

/** "80", "8000-8010/udp": a container shows itself by any port that is published, or is exposed to its network. */
function portTest(published: readonly string[], exposed: readonly string[]): Test {
  const [wantPublished, wantExposed] = [portsOf('publish', published), portsOf('expose', exposed)];
  return ({ record }) => published.length + exposed.length === 0 || Object.entries(record.NetworkSettings.Ports ?? {}).some(([spec, bindings]) => {
    const { port, protocol } = splitPort(spec);
    return wantExposed(Number(port), protocol) || (bindings ?? []).some(({ HostPort }) => wantPublished(Number(HostPort), protocol));
  });
}

function portsOf(filter: string, values: readonly string[]): (port: number, protocol: string) => boolean {
  const ranges = values.map((value) => {
    const { port, protocol } = splitPort(value);
    const range = port === '' ? undefined : parsePortRange(port);
    if (!range) throw invalid(`error while looking up for ${filter} ${value}: invalid port or range of ports`);
    return { ...range, protocol };
  });
  return (port, protocol) => ranges.some((range) => range.protocol === protocol && port >= range.first && port <= range.last);
}

function isInNetwork({ record }: Container, network: string): boolean {
  return Object.entries(record.NetworkSettings.Networks ?? {}).some(([name, { NetworkID: id }]) => name === network || (id !== '' && id === network));
}

function nameMatches(pattern: string, name: string): boolean {
  try {
    const regular = new RegExp(pattern);
    return regular.test(name) || regular.test(name.slice(1));
  } catch {
    return name.includes(pattern); // no regular expression: taken by the letter
  }
}
