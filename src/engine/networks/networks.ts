// All networks of this daemon, found by ID or name; made and removed one at a time, kernel and record together.
import { conflict, EngineError, kindOf, messageOf, notFound, invalid } from '../../lib/errors.ts';
import { formatNanos } from '../../lib/clock.ts';
import { KeyedLock } from '../../lib/lock.ts';
import type { NetworkRecord } from '../../store/index.ts';
import type { NetworkCreateBody } from '../../wire/types.ts';
import type { ContainerNeeds } from '../containers/needs.ts';
import { assertBridgeOptions, assertOwnDevice } from './options.ts';
import { configOf, isPredefined, NO_POOLS } from './predefined.ts';
import { planOf, readWish } from './wish.ts';

export type NetworksNeeds = Pick<ContainerNeeds, 'store' | 'network' | 'events' | 'clock' | 'log' | 'table'>;

/** A container that is in a network now. */
export interface NetworkEndpoint { containerId: string; containerName: string; endpointId: string; mac: string; ipv4: string; ipv6: string }

/** Subnets and devices are chosen against all others: changes wait for each other. */
const CHANGE = 'change';

export class Networks {
  readonly #needs: NetworksNeeds;
  readonly #lock = new KeyedLock();
  readonly #byId = new Map<string, NetworkRecord>();
  /** Those with a device, or about to have one. */
  readonly #opened = new Set<string>();
  /** Of those that could not be set up. */
  readonly #broken = new Map<string, string>();
  /** Who is on the way into a network, of which no record tells yet: network to container IDs. */
  readonly #claims = new Map<string, string[]>();
  readonly #leaving = new Set<string>();

  constructor(needs: NetworksNeeds) { this.#needs = needs; }

  /** Predefined ones first, then in the order of making. */
  all(): NetworkRecord[] { return [...this.#byId.values()]; }
  get(id: string): NetworkRecord | undefined { return this.#byId.get(id); }
  /** The oldest of that name; several may have one. */
  named(name: string): NetworkRecord | undefined { return this.all().find((network) => network.Name === name); }
  /** Why a network could not be set up: at the start, or with the last container. */
  brokenOf(id: string): string | undefined { return this.#broken.get(id); }
  /** IDs of those that could not be set up. */
  broken(): string[] { return [...this.#broken.keys()]; }

  /** By exact ID, exact name, or unique start of an ID, in this order. Errors: not-found; invalid where several are meant. */
  find(word: string, say: (matches: string) => string = (matches) => `network ${word} is ambiguous (${matches})`): NetworkRecord {
    const networks = this.all();
    const exact = this.#byId.get(word);
    if (exact) return exact;
    const named = networks.filter(({ Name }) => Name === word);
    if (named.length > 1) throw invalid(say(`${named.length} matches found based on name`));
    const matches = named.length > 0 || word === '' ? named : networks.filter(({ Id }) => Id.startsWith(word));
    if (matches.length > 1) throw invalid(say(`${matches.length} matches found based on ID prefix`));
    if (!matches[0]) throw noSuchNetwork(word);
    return matches[0];
  }

  /** Those in it now, by their records. */
  endpoints(id: string): NetworkEndpoint[] {
    return this.#needs.table.all().filter(({ running }) => running).flatMap((container) =>
      Object.values(container.record.NetworkSettings.Networks ?? {}).filter(({ NetworkID, EndpointID }) => NetworkID === id && EndpointID !== '').map((endpoint) => ({
        containerId: container.id, containerName: container.name, endpointId: endpoint.EndpointID, mac: endpoint.MacAddress,
        ipv4: withPrefix(endpoint.IPAddress, endpoint.IPPrefixLen), ipv6: withPrefix(endpoint.GlobalIPv6Address, endpoint.GlobalIPv6PrefixLen),
      })));
  }

  isUsed(id: string): boolean { return this.#claims.has(id) || this.endpoints(id).length > 0; }

  /**
   * Keeps a network for a container that is on its way into it, until disposed; by then its record names it. One that could not be set up at the
   * start is tried again. Errors: not-found; forbidden for a template; whatever setting it up says.
   */
  async claim(id: string, containerId: string): Promise<Disposable> {
    const network = this.#byId.get(id);
    if (!network || this.#leaving.has(id)) throw noSuchNetwork(network?.Name ?? id);
    if (network.ConfigOnly) throw new EngineError('forbidden', 'cannot create endpoint on configuration-only network');
    const claims = this.#claims.get(id) ?? [];
    this.#claims.set(id, [...claims, containerId]);
    const giveBack = () => {
      const left = [...this.#claims.get(id) ?? []];
      left.splice(left.indexOf(containerId), 1);
      if (left.length > 0) this.#claims.set(id, left);
      else this.#claims.delete(id);
    };
    try { await this.#mend(network); } catch (error) { giveBack(); throw error; }
    return { [Symbol.dispose]: giveBack };
  }

  /** By one container at a time. */
  async #mend(network: NetworkRecord): Promise<void> {
    if (!this.#broken.has(network.Id)) return;
    using _lock = await this.#lock.hold(CHANGE);
    if (this.#broken.has(network.Id)) await this.open(network);
  }

  /** Takes in what was there before; nothing is written. */
  add(network: NetworkRecord, { opened }: { opened: boolean } = { opened: false }): void {
    this.#byId.set(network.Id, network);
    if (opened) this.#opened.add(network.Id);
  }

  /** Sets up one that is known. Remembers why it could not be, and throws it. */
  async open(network: NetworkRecord): Promise<void> {
    if (planOf(network) === undefined) return;
    try {
      this.#assertApart(network);
      this.#opened.add(network.Id);
      await this.#needs.network.open(network);
      this.#broken.delete(network.Id);
    } catch (error) {
      this.#opened.delete(network.Id);
      this.#broken.set(network.Id, messageOf(error));
      throw error;
    }
  }

  /** Two engines that take turns on a root know nothing of each other's networks: the second one on a subnet or device would cut off both. */
  #assertApart(network: NetworkRecord): void {
    const others = this.all().filter(({ Id }) => Id !== network.Id && this.#opened.has(Id));
    const wish = planOf({ ...network, IPAM: { ...network.IPAM, Config: configOf(network.pools) } });
    if (wish) this.#needs.network.plan(wish, others);
    assertOwnDevice(network, others);
  }

  /** `unique`: another one of that name is an error, conflict; else a warning. */
  async create(body: NetworkCreateBody, { unique }: { unique: boolean }): Promise<{ id: string; warning: string }> {
    using _lock = await this.#lock.hold(CHANGE);
    const { network, store, events, clock } = this.#needs;
    const name = body.Name ?? '';
    const other = isPredefined(name) ? undefined : this.named(name);
    if (other && unique) throw conflict(`network with name ${name} already exists`);
    const draft = readWish(body, (template) => this.all().find((one) => one.ConfigOnly && one.Name === template));
    const wish = planOf(draft);
    const pools = wish ? network.plan(wish, this.all()) : NO_POOLS;
    const record: NetworkRecord = { ...draft, Id: clock.randomHex(32), Created: formatNanos(clock.nowNanos()), pools };
    if (wish) {
      assertBridgeOptions(record.Options);
      assertOwnDevice(record, this.all());
    }
    await using undo = new AsyncDisposableStack();
    if (wish) {
      await network.open(record);
      undo.defer(() => network.close(record));
    }
    await store.networks.save(record);
    undo.move();
    this.#byId.set(record.Id, record);
    if (wish) this.#opened.add(record.Id);
    events.publish({ type: 'network', action: 'create', id: record.Id, attributes: { name, type: record.Driver } });
    return { id: record.Id, warning: other ? `Network with name ${name} (id : ${other.Id}) already exists` : '' };
  }

  /** Errors: not-found; forbidden for predefined ones and those in use. */
  async remove(word: string): Promise<void> {
    using _lock = await this.#lock.hold(CHANGE);
    const found = this.find(word);
    if (isPredefined(found.Name)) throw new EngineError('forbidden', `${found.Name} is a pre-defined network and cannot be removed`);
    try {
      await this.#removeUnused(found);
    } catch (cause) {
      throw new EngineError(kindOf(cause), `error while removing network: ${messageOf(cause)}`, { cause });
    }
  }

  /** As one step that `accepts` sees the network in; false when it is in use or not accepted. */
  async removeIf(network: NetworkRecord, accepts: (network: NetworkRecord) => boolean): Promise<boolean> {
    using _lock = await this.#lock.hold(CHANGE);
    if (this.#byId.get(network.Id) !== network || this.isUsed(network.Id) || !accepts(network)) return false;
    await this.#removeUnused(network);
    return true;
  }

  async #removeUnused(found: NetworkRecord): Promise<void> {
    const { events } = this.#needs;
    if (found.ConfigOnly && this.all().some(({ ConfigFrom }) => ConfigFrom === found.Name)) throw new EngineError('forbidden', `configuration network "${found.Name}" is in use`);
    if (this.isUsed(found.Id)) throw new EngineError('forbidden', `network ${found.Name} id ${found.Id} has active endpoints`);
    this.#leaving.add(found.Id);
    try {
      await this.#takeAway(found);
    } finally {
      this.#leaving.delete(found.Id);
    }
    this.#byId.delete(found.Id);
    this.#opened.delete(found.Id);
    this.#broken.delete(found.Id);
    events.publish({ type: 'network', action: 'destroy', id: found.Id, attributes: { name: found.Name, type: found.Driver } });
  }

  /** Killed in between, the daemon opens it again at its next start, since the record goes last. */
  async #takeAway(found: NetworkRecord): Promise<void> {
    const { network, store, table, log } = this.#needs;
    await using undo = new AsyncDisposableStack();
    if (planOf(found)) {
      await network.close(found);
      undo.defer(() => this.open(found).catch((error: unknown) => log.error('could not set up a network again that could not be removed', { network: found.Name, error })));
    }
    const isNamed = table.all().some(({ record }) => Object.values(record.NetworkSettings.Networks ?? {}).some(({ NetworkID }) => NetworkID === found.Id));
    await store.networks.remove(found.Id, { remember: isNamed });
    undo.move();
  }
}

export const noSuchNetwork = (word: string) => notFound(`network ${word} not found`);

const withPrefix = (address: string, prefixLen: number): string => (address === '' ? '' : `${address}/${prefixLen}`);
