// The network side of a run: what is asked of the network room for a container, what its record then says, and the way back.
import type { Endpoint, EndpointWish, Sandbox, SandboxWish } from '../../network/index.ts';
import type { ContainerRecord, NetworkRecord, RecordedEndpoint, RecordedNetworkSettings } from '../../store/index.ts';
import type { StringMap } from '../../wire/types.ts';
import { isPredefined } from '../networks/predefined.ts';
import type { Container } from './container.ts';
import { knownLinks, type LiveLink } from './links.ts';
import type { ContainerNeeds } from './needs.ts';
import { assertFits, assertTogether, emptiedSettings, filledEndpoint, givenTo, inOrder, networkName, networkOfEntry, portsOfRun, withOwnAliases } from './networking.ts';
import { ownServers } from './own-files.ts';
import { exposedPorts, portWishes, recordedPorts } from './ports.ts';

/** Bytes of the IDs of endpoints and sandboxes, as Docker's. */
const ID_BYTES = 32;
/** Settings below these need the interfaces, or are what a start sets itself. */
const LATE_SYSCTLS = /^net[./](?:ipv[46][./]conf|\w+[./]neigh)[./]/;

export interface Place { network: NetworkRecord; name: string; endpoint: RecordedEndpoint }

/** What was made ready for a run. Disposing gives it back, unless it was settled. */
export interface RunNetwork extends AsyncDisposable {
  /** undefined for a container whose namespace is not ours to fill: the host's, another container's, or one without networks. */
  readonly sandbox: Sandbox | undefined;
  readonly places: readonly Place[];
  /** What the record says of it while it runs. `pid`: of its first process. */
  settings(pid: number): RecordedNetworkSettings;
  /** The record says so now: nobody needs to be kept from removing the networks any more. */
  settle(): void;
}

/** Settings of a container that the runtime is not told about. */
export const lateSysctls = (sysctls: StringMap | undefined): StringMap => Object.fromEntries(Object.entries(sysctls ?? {}).filter(([name]) => LATE_SYSCTLS.test(name)));

/** Whether a container's interfaces are made by us: not in another's namespace, and not where no network is wanted. */
const hasOwnNetwork = ({ hostConfig, record }: Container): boolean => !hostConfig.NetworkMode.startsWith('container:') && !record.Config.NetworkDisabled;

/** Addresses and ports of all its networks, and nothing of it in the kernel yet. Errors leave everything as it was; not-found for a network that is gone. */
export async function prepareNetwork(needs: ContainerNeeds, container: Container, links: readonly LiveLink[]): Promise<RunNetwork> {
  if (!hasOwnNetwork(container)) return withoutNetwork(container);
  using claims = new DisposableStack();
  const places: Place[] = [];
  const entries = entriesOf(needs, container);
  assertTogether(entries.map(({ network }) => network), container.hostConfig.NetworkMode);
  for (const { network, name, endpoint } of entries) {
    const place = { network, name, endpoint: withOwnAliases(endpoint, name, container.record) };
    keepPlace(container, place); // also when it goes no further, as with Docker
    assertFits(network, endpoint);
    claims.use(await needs.networks.claim(network.Id, container.id));
    places.push(place);
  }
  const sandboxId = needs.clock.randomHex(ID_BYTES);
  const wired = places.filter(({ network }) => isWired(network));
  const sandbox = wired.length > 0 ? await needs.network.prepare(wishOf(container, { sandboxId, wishes: wired.map((place) => endpointWish(needs, container, place)), links })) : undefined;
  const ids = new Map(places.map(({ name }) => [name, needs.clock.randomHex(ID_BYTES)]));
  const held = claims.move();
  return {
    sandbox, places,
    settings: (pid) => ({
      ...container.record.NetworkSettings, SandboxID: sandboxId, SandboxKey: sandbox?.key ?? `/proc/${pid}/ns/net`,
      Networks: Object.fromEntries(places.map(({ network, name, endpoint }) => [name, inUse(endpoint, sandbox?.endpoints.get(network.Id) ?? { networkId: network.Id, endpointId: ids.get(name) ?? '' })])),
      Ports: portsOfRun(container.record.Config, { published: sandbox?.published ?? [], networks: places.map(({ network }) => network) }),
    }),
    settle: () => held.dispose(),
    [Symbol.asyncDispose]: async () => {
      await sandbox?.release();
      held.dispose();
    },
  };
}

const inUse = (endpoint: RecordedEndpoint, got: Endpoint | Pick<Endpoint, 'networkId' | 'endpointId'>): RecordedEndpoint =>
  ('ipv4' in got ? filledEndpoint(endpoint, got) : { ...endpoint, NetworkID: got.networkId, EndpointID: got.endpointId, MacAddress: endpoint.DesiredMacAddress ?? '' });

function keepPlace(container: Container, { name, endpoint }: Place): void {
  const { NetworkSettings: settings } = container.record;
  container.record = { ...container.record, NetworkSettings: { ...settings, Networks: { ...settings.Networks, [name]: endpoint } } };
}

function withoutNetwork(container: Container): RunNetwork {
  return { sandbox: undefined, places: [], settings: () => container.record.NetworkSettings, settle: () => {}, [Symbol.asyncDispose]: async () => {} };
}

/** Networks that interfaces are made for. */
export const isWired = (network: Pick<NetworkRecord, 'Driver'>): boolean => network.Driver !== 'host' && network.Driver !== 'null';

function entriesOf(needs: Pick<ContainerNeeds, 'networks'>, { record, hostConfig }: Container): Place[] {
  return inOrder(record.NetworkSettings, networkName(needs.networks, hostConfig.NetworkMode)).map(([name, endpoint]) => ({ name, endpoint, network: networkOfEntry(needs.networks, name, endpoint) }));
}

/** Of one that is in the record of a run its ID is kept. */
export function endpointWish(needs: Pick<ContainerNeeds, 'clock'>, container: Container, { network, name, endpoint }: Place): EndpointWish {
  return {
    network, endpointId: endpoint.EndpointID || needs.clock.randomHex(ID_BYTES),
    ipv4: endpoint.IPAMConfig?.IPv4Address ?? '', ipv6: endpoint.IPAMConfig?.IPv6Address ?? '', linkLocal: endpoint.IPAMConfig?.LinkLocalIPs ?? [],
    mac: endpoint.DesiredMacAddress ?? '', driverOpts: endpoint.DriverOpts ?? {}, gwPriority: endpoint.GwPriority ?? 0,
    names: namesIn(container.record, { name, endpoint }), links: new Map((endpoint.Links ?? []).map(splitLink)),
  };
}

/** What others in a network may call a container: not by a name that nobody gave it, as with Docker. */
export function namesIn({ Name, NetworkSettings: { IsAnonymousEndpoint: anonymous } }: Pick<ContainerRecord, 'Name' | 'NetworkSettings'>, { name, endpoint }: Pick<Place, 'name' | 'endpoint'>): string[] {
  const containerName = Name.replace(/^\//, '');
  return isPredefined(name) ? [containerName] : [...new Set([...(anonymous ? [] : [containerName]), ...endpoint.Aliases ?? []])];
}

function splitLink(link: string): [alias: string, name: string] {
  const [name = '', alias = name] = link.split(':');
  return [alias, name];
}

export function wishOf(container: Container, { sandboxId, wishes, links }: { sandboxId: string; wishes: readonly EndpointWish[]; links: readonly LiveLink[] }): SandboxWish {
  const { record: { Config: config }, hostConfig } = container;
  return {
    id: container.id, sandboxId, endpoints: wishes, ports: portWishes(config, hostConfig), ...ownServers(hostConfig), sysctls: lateSysctls(hostConfig.Sysctls),
    linkedPorts: links.flatMap(({ address, record }) => exposedPorts(record.Config).map(({ port, protocol }) => ({ ipv4: address, port, protocol }))),
  };
}

/** A container that runs on is given its networks back, as its record has them. */
export async function adoptNetwork(needs: ContainerNeeds, container: Container, pid: number): Promise<void> {
  const { SandboxID: sandboxId, Ports: ports } = container.record.NetworkSettings;
  if (!hasOwnNetwork(container)) return;
  const places = Object.entries(container.record.NetworkSettings.Networks ?? {}).filter(([, { EndpointID }]) => EndpointID !== '').flatMap(([name, endpoint]): Place[] => {
    try { return [{ name, endpoint, network: networkOfEntry(needs.networks, name, endpoint) }]; }
    catch (error) {
      needs.log.error('a container runs on in a network that is not there', { container: container.id, network: name, error });
      return [];
    }
  }).filter(({ network }) => isWired(network));
  if (places.length === 0) return;
  const wish = wishOf(container, { sandboxId, wishes: places.map((place) => endpointWish(needs, container, place)), links: knownLinks(needs.table, container) });
  const sandbox = await needs.network.adopt(wish, { pid, endpoints: places.map(({ endpoint, network }) => ({ ...givenTo(endpoint), networkId: network.Id })), published: recordedPorts(ports) });
  container.record = { ...container.record, NetworkSettings: { ...container.record.NetworkSettings, SandboxKey: sandbox.key } };
}

/** The record's settings after the end of a run, and what that run was in. */
export function endedNetwork({ record }: Pick<Container, 'record'>): { settings: RecordedNetworkSettings; left: Array<[name: string, networkId: string]> } {
  const { NetworkSettings: settings } = record;
  return { settings: emptiedSettings(settings), left: Object.entries(settings.Networks ?? {}).filter(([, { EndpointID }]) => EndpointID !== '').map(([name, { NetworkID }]) => [name, NetworkID]) };
}

/** Tells that a container has come into a network or left it. `name` and `type` are the network's. */
export function publishNetwork(needs: Pick<ContainerNeeds, 'events' | 'networks'>, container: Container, { action, name, id }: { action: 'connect' | 'disconnect'; name: string; id: string }): void {
  const driver = needs.networks.get(id)?.Driver ?? 'bridge';
  needs.events.publish({ type: 'network', action, id, attributes: { container: container.id, name, type: driver } });
}
