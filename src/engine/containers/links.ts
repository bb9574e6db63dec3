// Links of old: names, lines in /etc/hosts and variables of the environment that tell a container of another one on the default bridge.
import { EngineError, invalid, kindOf } from '../../lib/errors.ts';
import type { ContainerRecord } from '../../store/index.ts';
import type { HostConfig } from '../../wire/types.ts';
import type { Container } from './container.ts';
import { exposedPorts } from './ports.ts';

interface Table { find(word: string): Container; all(): Container[] }
type Finder = Pick<Table, 'find'>;

/** `name` of the other one, without a slash. */
export interface Link { name: string; alias: string }
/** A link whose other end runs, with its address on the default bridge. */
export interface LiveLink extends Link { address: string; record: Pick<ContainerRecord, 'ID' | 'Config'> }

/** What a link says nothing of: each container has its own. */
const OWN_VARIABLES: readonly string[] = ['HOME', 'PATH'];

/** In a network of its users' own the names of the network do what links did: there they say nothing, and are not even looked at. */
const saysLinks = ({ NetworkMode: mode }: Pick<HostConfig, 'NetworkMode'>): boolean => ['', 'default', 'bridge', 'none'].includes(mode);

/** As recorded: each other container by the name that it has now. Error: invalid, for one that is not there or has no network of its own. */
export function resolvedLinks(table: Finder, host: Pick<HostConfig, 'Links' | 'NetworkMode'>): string[] | null {
  if (!saysLinks(host)) return host.Links;
  return host.Links && host.Links.map((link) => {
    const { name, alias } = parseLink(link);
    const other = found(table, name);
    if (hasHostNetwork(table, other)) throw invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior");
    return `${other.name}:${alias === name ? other.name : alias}`;
  });
}

/** Those of a container, as far as they mean anything. */
export function linksOf({ hostConfig }: Pick<Container, 'hostConfig'>): Link[] {
  return saysLinks(hostConfig) ? (hostConfig.Links ?? []).map(parseLink) : [];
}

/** As inspect shows them: "/web:/self/db". */
export function shownLinks(container: Pick<Container, 'hostConfig' | 'name'>): string[] | null {
  const links = linksOf(container);
  return links.length > 0 ? links.map(({ name, alias }) => `/${name}:/${container.name}/${alias}`) : null;
}

/** What is recorded of a container's links after another container got a new name; undefined when it has none to that one. */
export function renamedLinks(container: Pick<Container, 'hostConfig'>, { oldName, newName }: { oldName: string; newName: string }): string[] | undefined {
  const links = linksOf(container);
  return links.some(({ name }) => name === oldName) ? links.map(({ name, alias }) => `${name === oldName ? newName : name}:${alias}`) : undefined;
}

/** What a container is called: by its own name and, "/self/db", by those who link to it; sorted. */
export function namesOf(table: Table, container: Container): string[] {
  const given = table.all().flatMap((other) => linksOf(other).filter(({ name }) => name === container.name).map(({ alias }) => `/${other.name}/${alias}`));
  return [container.record.Name, ...given].toSorted((a, b) => (a < b ? -1 : 1));
}

/** The links of a container that starts on the default bridge. Error: system, in Docker's words, for one whose other end does not run. */
export function liveLinks(table: Finder, container: Container): LiveLink[] {
  if (!onBridge(container)) return [];
  return linksOf(container).map(({ name, alias }) => {
    const other = maybe(table, name);
    if (!other?.running || other.state.status === 'restarting') throw new EngineError('system', `Cannot link to a non running container: /${name} AS /${container.name}/${alias}`);
    const address = onBridge(other)?.IPAddress;
    if (!address) throw new EngineError('system', `container ${other.id} not attached to default bridge network`);
    return { name, alias, address, record: other.record };
  });
}

/** The same for one that runs: a link whose other end has gone says nothing. */
export function knownLinks(table: Finder, container: Container): LiveLink[] {
  return linksOf(container).flatMap(({ name, alias }) => {
    const other = onBridge(container) && maybe(table, name);
    const address = other && other.running && onBridge(other)?.IPAddress;
    return other && address ? [{ name, alias, address, record: other.record }] : [];
  });
}

/** Those that run and link to a container. */
export function linkedBy(table: Pick<Table, 'all'>, container: Container): Container[] {
  return table.all().filter((other) => other !== container && other.running && onBridge(other) && linksOf(other).some(({ name }) => name === container.name));
}

const onBridge = ({ record }: Container) => record.NetworkSettings.Networks?.['bridge'];

/** The line of /etc/hosts for a link. */
export const hostLine = ({ name, alias, address, record }: LiveLink): string => `${address}\t${[alias, record.Config.Hostname, ...(name === alias ? [] : [name])].join(' ')}\n`;

/** Variables in Docker's order; the container's own ones win. Source: Docker's documentation of legacy links, and what dockerd 20.10 sets. */
export function linkEnvironment(links: readonly LiveLink[], self: string): string[] {
  return links.flatMap(({ alias, address, record }) => {
    const prefix = alias.toUpperCase().replaceAll('-', '_');
    const environment = (record.Config.Env ?? []).filter((entry) => entry.includes('=') && !OWN_VARIABLES.includes(entry.slice(0, entry.indexOf('='))));
    return [...portVariables(`${prefix}_PORT`, address, exposedPorts(record.Config)), `${prefix}_NAME=/${self}/${alias}`, ...environment.map((entry) => `${prefix}_ENV_${entry}`)];
  });
}

type Exposed = ReturnType<typeof exposedPorts>;

function portVariables(prefix: string, address: string, ports: Exposed): string[] {
  const url = ({ port, protocol }: Exposed[number]) => `${protocol}://${address}:${port}`;
  const at = ({ port, protocol }: Exposed[number]) => `${prefix}_${port}_${protocol.toUpperCase()}`;
  const [first] = ports;
  return [
    ...(first ? [`${prefix}=${url(first)}`] : []),
    ...rangesOf(ports).flatMap(([from, to]) => [
      `${at(from)}_START=${url(from)}`, `${at(from)}_ADDR=${address}`, `${at(from)}_PROTO=${from.protocol}`, `${at(from)}_PORT_START=${from.port}`, `${at(from)}_END=${url(to)}`, `${at(from)}_PORT_END=${to.port}`,
    ]),
    ...ports.flatMap((port) => [`${at(port)}=${url(port)}`, `${at(port)}_ADDR=${address}`, `${at(port)}_PORT=${port.port}`, `${at(port)}_PROTO=${port.protocol}`]),
  ];
}

/** Runs of at least three ports without a gap, as Docker counts them: the same number of another protocol is none. */
function rangesOf(ports: Exposed): Array<[Exposed[number], Exposed[number]]> {
  const ranges: Array<[Exposed[number], Exposed[number]]> = [];
  for (let i = 0; i < ports.length;) {
    const from = ports[i];
    let last = i;
    for (let next = ports[last + 1], gap = (from?.port ?? 0) + 1; next && next.port <= gap; next = ports[last + 1], gap++) last++;
    const to = ports[last];
    if (from && to && last > i + 1) ranges.push([from, to]);
    i = last > i + 1 ? last + 1 : i + 1;
  }
  return ranges;
}

/** Also in the form that inspect shows, "/web:/self/db". */
export function parseLink(link: string): Link {
  const [name = '', alias = name, ...more] = link.split(':');
  if (name === '' || more.length > 0) throw invalid(`invalid Links: bad format for links: ${link}`);
  return { name: name.replace(/^\//, ''), alias: alias.slice(alias.lastIndexOf('/') + 1) };
}

function found(table: Finder, name: string): Container {
  try { return table.find(name); }
  catch (cause) {
    if (kindOf(cause) !== 'not-found') throw cause;
    throw invalid(`could not get container for ${name}: No such container: ${name}`, { cause });
  }
}

function maybe(table: Finder, name: string): Container | undefined {
  try { return table.find(name); } catch { return undefined; }
}

function hasHostNetwork(table: Finder, container: Container): boolean {
  const { NetworkMode: mode } = container.hostConfig;
  return mode.startsWith('container:') ? hasHostNetwork(table, found(table, mode.slice('container:'.length))) : mode === 'host';
}
