// connect and disconnect: a network more or less for a container, at once when it runs, with its next start when it does not.
import { conflict, EngineError, invalid, kindOf, notFound } from '../../lib/errors.ts';
import type { Endpoint, Sandbox } from '../../network/index.ts';
import type { NetworkRecord, RecordedEndpoint } from '../../store/index.ts';
import type { EndpointSettings } from '../../wire/types.ts';
import { noSuchNetwork } from '../networks/networks.ts';
import type { Container } from './container.ts';
import type { ContainerNeeds } from './needs.ts';
import { ALONE, assertFits, filledEndpoint, givenTo, newEndpoint, portsOfRun, withOwnAliases } from './networking.ts';
import { followNetworks } from './own-files.ts';
import { endpointWish, isWired, publishNetwork, wishOf, type Place } from './run-network.ts';
import { validateEndpoint } from './validate-network.ts';

const ID_BYTES = 32;

/** Errors in Docker's words: not-found; invalid for what cannot be; forbidden when it is in the network already; what the network says of addresses. All or nothing. */
export async function connectContainer(needs: ContainerNeeds, options: { network: string; container: string; endpoint: Partial<EndpointSettings> }): Promise<void> {
  const container = needs.table.find(options.container);
  const network = needs.networks.find(options.network);
  validateEndpoint(network.Name, options.endpoint);
  using _lock = await needs.table.hold(container);
  assertStays(container);
  if (container.hostConfig.NetworkMode.startsWith('container:')) throw invalid(ALONE.shared);
  assertFits(network, options.endpoint);
  const alive = isAlive(container);
  if (alive && inNetwork(container, network)) throw new EngineError('forbidden', `endpoint with name ${container.name} already exists in network ${network.Name}`);
  assertJoinable(container, network);
  if (inNetwork(container, network)) return; // as with Docker: what was asked for first counts
  const endpoint = withOwnAliases(newEndpoint(options.endpoint), network.Name, container.record);
  if (alive) return await connectRunning(needs, container, { network, name: network.Name, endpoint });
  await saveNetworks(needs, container, { ...container.record.NetworkSettings.Networks, [network.Name]: endpoint });
}

/** Errors in Docker's words: not-found; system when it is not in the network. With `force` also from a network that is gone. */
export async function disconnectContainer(needs: ContainerNeeds, options: { network: string; container: string; force: boolean }): Promise<void> {
  const { network: word } = options;
  const container = findOrForce(needs, options);
  using _lock = await needs.table.hold(container);
  const network = found(() => networkMeant(needs, container, word));
  if (!isAlive(container) || (network instanceof Error && options.force)) {
    assertStays(container);
    const name = network instanceof Error ? word : network.Name;
    if (!container.record.NetworkSettings.Networks?.[name]) throw new EngineError('system', `container ${container.id} is not connected to the network ${name}`);
    await saveNetworks(needs, container, without(container, name));
    if (!(network instanceof Error)) publishNetwork(needs, container, { action: 'disconnect', name: network.Name, id: network.Id });
    return;
  }
  if (network instanceof Error) throw network;
  if (container.hostConfig.NetworkMode === 'host' && network.Driver === 'host') throw invalid(ALONE.host);
  const endpoint = container.record.NetworkSettings.Networks?.[network.Name];
  if (!endpoint) throw new EngineError('system', `container ${container.id} is not connected to network ${network.Name}`);
  await disconnectRunning(needs, container, { network, name: network.Name, endpoint });
}

/** A network that is gone is not confused with one whose ID begins like its name. */
function networkMeant({ networks }: ContainerNeeds, { record }: Container, word: string): NetworkRecord {
  const network = networks.find(word);
  if (network.Name !== word && network.Id !== word && record.NetworkSettings.Networks?.[word]) throw noSuchNetwork(word);
  return network;
}

/** For a container that waits for its restart the next start counts. */
const isAlive = ({ state: { status } }: Container): boolean => status === 'running' || status === 'paused';

const inNetwork = ({ record }: Container, network: NetworkRecord): boolean => record.NetworkSettings.Networks?.[network.Name] !== undefined;

const without = ({ record }: Container, name: string): Record<string, RecordedEndpoint> => Object.fromEntries(Object.entries(record.NetworkSettings.Networks ?? {}).filter(([other]) => other !== name));

function assertStays({ state, id }: Container): void {
  if (state.status === 'removing') throw conflict(`Container ${id} is marked for removal and cannot be connected or disconnected to the network`);
}

/** The host's network and none go with no other. */
function assertJoinable({ hostConfig, record }: Container, network: NetworkRecord): void {
  const own = Object.keys(record.NetworkSettings.Networks ?? {});
  if (hostConfig.NetworkMode === 'host') throw invalid(ALONE.shared);
  if (network.Driver === 'host') throw invalid(ALONE.host);
  if (own.includes(network.Name)) return;
  if (network.Driver === 'null' ? own.length > 0 : own.includes('none')) throw invalid(ALONE.none);
}

async function connectRunning(needs: ContainerNeeds, container: Container, place: Place): Promise<void> {
  using _claim = await needs.networks.claim(place.network.Id, container.id);
  const before = needs.network.sandbox(container.id)?.resolvConf ?? '';
  await using undo = new AsyncDisposableStack();
  const { sandbox, sandboxId } = await sandboxOf(needs, container, undo);
  let endpoint: RecordedEndpoint = { ...place.endpoint, NetworkID: place.network.Id, EndpointID: needs.clock.randomHex(ID_BYTES) };
  let joined: Endpoint | undefined;
  if (sandbox && isWired(place.network)) {
    joined = await needs.metrics.timed('connect', () => sandbox.connect(endpointWish(needs, container, { ...place, endpoint })));
    undo.defer(() => sandbox.disconnect(place.network.Id));
    endpoint = filledEndpoint(endpoint, joined);
  }
  const networks = { ...container.record.NetworkSettings.Networks, [place.name]: endpoint };
  await saveNetworks(needs, container, networks, sandbox && { SandboxID: sandboxId, SandboxKey: sandbox.key, Ports: portsNow(needs, container, { networks, sandbox }) });
  undo.move();
  await followFiles(needs, container, { before, ...(joined ? { joined } : {}) });
  publishNetwork(needs, container, { action: 'connect', name: place.network.Name, id: place.network.Id });
}

/** One that runs without any network so far gets a sandbox now. */
async function sandboxOf(needs: ContainerNeeds, container: Container, undo: AsyncDisposableStack): Promise<{ sandbox: Sandbox | undefined; sandboxId: string }> {
  const { record: { State: { Pid: pid }, Config: config, NetworkSettings: { SandboxID: known } } } = container;
  const sandboxId = known || needs.clock.randomHex(ID_BYTES);
  const existing = needs.network.sandbox(container.id);
  if (existing || config.NetworkDisabled) return { sandbox: existing, sandboxId };
  const sandbox = await needs.network.prepare(wishOf(container, { sandboxId, wishes: [], links: [] }));
  undo.defer(() => sandbox.release());
  await sandbox.attach(pid);
  return { sandbox, sandboxId };
}

async function disconnectRunning(needs: ContainerNeeds, container: Container, { network, name, endpoint }: Place): Promise<void> {
  const sandbox = needs.network.sandbox(container.id);
  const before = sandbox?.resolvConf ?? '';
  if (sandbox?.endpoints.has(network.Id)) await sandbox.disconnect(network.Id);
  const networks = without(container, name);
  await saveNetworks(needs, container, networks, sandbox && { Ports: portsNow(needs, container, { networks, sandbox }) });
  await followFiles(needs, container, { before, left: givenTo(endpoint) });
  // Twice, as dockerd tells it of a container that runs: clients compare counts.
  for (const _told of ['detached', 'disconnected']) publishNetwork(needs, container, { action: 'disconnect', name: network.Name, id: network.Id });
}

/** What could not be written into a file is no reason to undo what is there. */
async function followFiles(needs: ContainerNeeds, container: Container, change: Parameters<typeof followNetworks>[2]): Promise<void> {
  await followNetworks(needs, container, change).catch((error: unknown) => needs.log.error('the files of a container do not show its networks', { container: container.id, error }));
}

function portsNow(needs: ContainerNeeds, { record }: Container, { networks, sandbox }: { networks: Record<string, RecordedEndpoint>; sandbox: Sandbox }) {
  const known = Object.values(networks).flatMap(({ NetworkID: id }) => needs.networks.get(id) ?? []);
  return portsOfRun(record.Config, { published: sandbox.published, networks: known });
}

async function saveNetworks(needs: ContainerNeeds, container: Container, networks: Record<string, RecordedEndpoint>, more: Partial<Container['record']['NetworkSettings']> = {}): Promise<void> {
  const record = { ...container.record, NetworkSettings: { ...container.record.NetworkSettings, ...more, Networks: networks } };
  await needs.store.containers.save(record);
  container.record = record;
}

/** A container that is gone can have left an endpoint with Docker; here there is none to be deleted by force. */
function findOrForce(needs: ContainerNeeds, { network, container, force }: { network: string; container: string; force: boolean }): Container {
  try { return needs.table.find(container); }
  catch (error) {
    if (!force || kindOf(error) !== 'not-found') throw error;
    needs.networks.find(network);
    throw notFound(`endpoint ${container} not found`, { cause: error });
  }
}

function found(find: () => NetworkRecord): NetworkRecord | Error {
  try { return find(); }
  catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
}
