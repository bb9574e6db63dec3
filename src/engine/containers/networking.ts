// The networks of a container as its record holds them: what was asked for, what a run got, and what is left of it afterwards. Pure.
import { EngineError, kindOf } from '../../lib/errors.ts';
import type { Endpoint, PublishedPort } from '../../network/index.ts';
import type { ContainerRecord, NetworkRecord, RecordedEndpoint, RecordedNetworkSettings } from '../../store/index.ts';
import type { ContainerConfig, CreateBody, EndpointSettings } from '../../wire/types.ts';
import { isPredefined } from '../networks/predefined.ts';
import { shownPorts } from './ports.ts';

/** Networks by ID, name or start of an ID. Error: not-found, `network X not found`. */
export interface NetworkLookup { find(word: string): NetworkRecord }

/** What a run gives to an endpoint and its end takes away. */
const NOTHING_GIVEN = { EndpointID: '', Gateway: '', IPAddress: '', IPPrefixLen: 0, IPv6Gateway: '', GlobalIPv6Address: '', GlobalIPv6PrefixLen: 0, MacAddress: '' };
const SHORT_ID = 12;

/**
 * What the record of a new container says; what the client asked of its endpoints is kept. `macs`: whether each may ask for a hardware
 * address; to older clients that field only tells.
 */
export function newNetworkSettings(body: CreateBody, asked: { mode: string; networks: NetworkLookup; macs: boolean }): RecordedNetworkSettings {
  return {
    Bridge: '', SandboxID: '', HairpinMode: false, LinkLocalIPv6Address: '', LinkLocalIPv6PrefixLen: 0, Networks: networksOf(body, asked), Service: null, Ports: null, SandboxKey: '',
    SecondaryIPAddresses: null, SecondaryIPv6Addresses: null, IsAnonymousEndpoint: false, HasSwarmEndpoint: false,
  };
}

/** The endpoints named by the client, else the one that the mode means. A network that is not there may come before the start. */
function networksOf(body: CreateBody, { mode, networks, macs }: { mode: string; networks: NetworkLookup; macs: boolean }): Record<string, RecordedEndpoint> {
  if (mode.startsWith('container:') || body.NetworkDisabled) return {};
  const own = networkName(networks, mode);
  const asked = Object.entries(body.NetworkingConfig?.EndpointsConfig ?? {});
  const named = new Map(asked.map(([name, endpoint]) => [networkName(networks, name), endpoint ?? {}]));
  if (named.size === 0) named.set(own, {});
  return Object.fromEntries([...named].map(([name, endpoint]) => [name, newEndpoint(endpoint, { own: macs, shared: name === own ? body.MacAddress ?? '' : '' })]));
}

/** As recorded before it has anything. `own`: its hardware address counts; `shared`: the one asked for in the older way, for the whole container. */
export function newEndpoint(asked: Partial<EndpointSettings>, { own = true, shared = '' }: { own?: boolean; shared?: string } = {}): RecordedEndpoint {
  const { IPAMConfig, Links, Aliases, MacAddress, DriverOpts, GwPriority } = asked;
  const wanted = (own && MacAddress) || shared;
  return {
    IPAMConfig: IPAMConfig ?? null, Links: Links ?? null, Aliases: Aliases ?? null, NetworkID: '', ...NOTHING_GIVEN, MacAddress: MacAddress ?? '', DriverOpts: DriverOpts ?? null,
    ...(GwPriority ? { GwPriority } : {}), ...(wanted === '' ? {} : { DesiredMacAddress: wanted }),
  };
}

/** The name of the network that a mode or a client's word means. Where there is no default bridge, the default network is none. */
export function networkName(networks: NetworkLookup, word: string): string {
  if (word === 'default') return findNetwork(networks, 'bridge') ? 'bridge' : 'none';
  return findNetwork(networks, word)?.Name ?? word;
}

/** undefined for one that is not there, or when several are meant. */
export function findNetwork(networks: NetworkLookup, word: string): NetworkRecord | undefined {
  try { return networks.find(word); }
  catch (error) {
    if (kindOf(error) === 'not-found' || kindOf(error) === 'invalid') return undefined;
    throw error;
  }
}

/**
 * The network behind an entry of a record. One that was joined before is known by its ID: another of its name is another network. Those
 * that every host has are known by their names, since the IDs are other ones after a move to this engine. Error: not-found.
 */
export function networkOfEntry(networks: NetworkLookup, name: string, endpoint: Pick<EndpointSettings, 'NetworkID'>): NetworkRecord {
  return networks.find(isPredefined(name) || endpoint.NetworkID === '' ? name : endpoint.NetworkID);
}

/** In which order a start connects: the default bridge, which older things rely on, then the network it was made for, then the others by name. */
export function inOrder(settings: Pick<RecordedNetworkSettings, 'Networks'>, own: string): Array<[string, RecordedEndpoint]> {
  const rank = (name: string) => (name === 'bridge' ? 0 : name === own ? 1 : 2);
  return Object.entries(settings.Networks ?? {}).toSorted(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

/** In a network of its users' own a container is also called by its short ID and its host name. */
export function withOwnAliases(endpoint: RecordedEndpoint, name: string, { ID: id, Config: config }: Pick<ContainerRecord, 'ID' | 'Config'>): RecordedEndpoint {
  if (isPredefined(name)) return endpoint;
  const more = [id.slice(0, SHORT_ID), config.Hostname].filter((alias, i, all) => alias !== '' && all.indexOf(alias) === i && !endpoint.Aliases?.includes(alias));
  return { ...endpoint, Aliases: [...endpoint.Aliases ?? [], ...more] };
}

/** Refuses what a network cannot give, in Docker's words. Errors: invalid. */
export function assertFits(network: NetworkRecord, endpoint: Partial<EndpointSettings>): void {
  const { IPv4Address: ipv4, IPv6Address: ipv6 } = endpoint.IPAMConfig ?? {};
  if (isPredefined(network.Name)) {
    if (ipv4 || ipv6) throw new EngineError('invalid', 'user specified IP address is supported on user defined networks only');
    if ((endpoint.Aliases ?? []).length > 0) throw new EngineError('invalid', 'network-scoped alias is supported only for containers in user defined networks');
    return;
  }
  const subnets = network.IPAM.Config.map(({ Subnet }) => Subnet).filter((subnet) => subnet !== '');
  if ((ipv4 && !subnets.some((subnet) => !subnet.includes(':'))) || (ipv6 && !subnets.some((subnet) => subnet.includes(':')))) {
    throw new EngineError('invalid', 'user specified IP address is supported only when connecting to networks with user configured subnets');
  }
}

/** What goes with nothing else, in Docker's words. */
export const ALONE = {
  shared: 'container sharing network namespace with another container or host cannot be connected to any other network',
  none: 'container cannot be connected to multiple networks with one of the networks in private (none) mode',
  host: 'container cannot be disconnected from host network or connected to host network',
} as const;

/** Refuses networks that cannot be had together: the host's is a namespace, not a network beside others, and none is none. */
export function assertTogether(networks: ReadonlyArray<Pick<NetworkRecord, 'Driver'>>, mode: string): void {
  const onHost = mode === 'host';
  if (onHost && networks.some(({ Driver }) => Driver !== 'host')) throw new EngineError('invalid', ALONE.shared);
  if (!onHost && networks.some(({ Driver }) => Driver === 'host')) throw new EngineError('invalid', ALONE.host);
  if (networks.length > 1 && networks.some(({ Driver }) => Driver === 'null')) throw new EngineError('invalid', ALONE.none);
}

/** An endpoint that has what a network gave it. */
export const filledEndpoint = (endpoint: RecordedEndpoint, got: Endpoint): RecordedEndpoint => ({
  ...endpoint, NetworkID: got.networkId, EndpointID: got.endpointId, Gateway: got.gateway, IPAddress: got.ipv4, IPPrefixLen: got.ipv4PrefixLen, IPv6Gateway: got.ipv6Gateway,
  GlobalIPv6Address: got.ipv6, GlobalIPv6PrefixLen: got.ipv6PrefixLen, MacAddress: got.mac,
});

/** An endpoint that has nothing of a run; its network and what was asked for stay. */
export const emptiedEndpoint = (endpoint: RecordedEndpoint): RecordedEndpoint => ({ ...endpoint, ...NOTHING_GIVEN });

/** What an endpoint that was recorded for a run has. */
export const givenTo = (endpoint: RecordedEndpoint): Endpoint => ({
  networkId: endpoint.NetworkID, endpointId: endpoint.EndpointID, ipv4: endpoint.IPAddress, ipv4PrefixLen: endpoint.IPPrefixLen, gateway: endpoint.Gateway,
  ipv6: endpoint.GlobalIPv6Address, ipv6PrefixLen: endpoint.GlobalIPv6PrefixLen, ipv6Gateway: endpoint.IPv6Gateway, mac: endpoint.MacAddress, interfaceName: '',
});

/** After the end of a run. As with Docker the sandbox is still told, though it is gone. */
export const emptiedSettings = (settings: RecordedNetworkSettings): RecordedNetworkSettings =>
  ({ ...settings, Networks: Object.fromEntries(Object.entries(settings.Networks ?? {}).map(([name, endpoint]) => [name, emptiedEndpoint(endpoint)])), Ports: null });

/** Whether a network carries ports to the outside. */
const publishes = (network: Pick<NetworkRecord, 'Driver' | 'Internal'>): boolean => network.Driver === 'bridge' && !network.Internal;

/** What is exposed is told only where something could be published. */
export function portsOfRun(config: Pick<ContainerConfig, 'ExposedPorts'>, { published, networks }: { published: readonly PublishedPort[]; networks: readonly NetworkRecord[] }): RecordedNetworkSettings['Ports'] {
  return networks.some(publishes) ? shownPorts(config, published) : {};
}
