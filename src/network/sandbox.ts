// The network side of one run of a container: addresses and ports first, interfaces once there is a namespace, and all of it back at the end.
import type { Net, NetLink, NetNamespace } from '../kernel/index.ts';
import { assert, EngineError, notFound } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { Leases } from './addresses/leases.ts';
import { linkLocalAddress } from './addresses/link-local.ts';
import type { BridgeNeeds } from './bridge.ts';
import { isDefault, vethOf } from './devices.ts';
import type { Firewall } from './firewall/index.ts';
import type { Endpoint, EndpointWish, PublishedPort, Sandbox, SandboxWish } from './index.ts';
import { assertKnownDriver, cutOff, dropInterface, findInterface, makeInterface, nextName, removeInterface } from './interfaces.ts';
import type { Names } from './names/names.ts';
import type { Ports, Reservation } from './ports/index.ts';
import { resolvConf } from './resolv.ts';
import { boundPort, linkRules, portRules, publisherOf, unpublished } from './publishing.ts';
import { applySysctls, putSysctl } from './sysctls.ts';
import type { Traces } from './traces.ts';
import { decideWayOut, isClosed, type Place, type WayOut } from './way-out.ts';

/** The default routes. */
const EVERYWHERE = { ipv4: '0.0.0.0/0', ipv6: '::/0' } as const;

export interface SandboxNeeds extends BridgeNeeds {
  net: Net;
  log: Log;
  leases: Leases;
  ports: Ports;
  firewall: Firewall;
  names: Names;
  traces: Traces;
  isOpen(networkId: string): boolean;
  /** Those that are on their way out and have not given back everything yet. */
  leaving(): ReadonlyArray<Promise<void>>;
  /** Looks after a while whether the kernel has taken these devices with their namespace, and takes those that are left. */
  reap(devices: readonly string[]): void;
  /** It is no more. */
  onRelease(sandbox: LiveSandbox): void;
}

export class LiveSandbox implements Sandbox {
  readonly id: string;
  readonly #needs: SandboxNeeds;
  readonly #wish: SandboxWish;
  /** By network ID. */
  #places = new Map<string, Place>();
  #namespace: NetNamespace | undefined;
  #reservation: Reservation | undefined;
  /** What the firewall was last asked for, and how that went. */
  #ruled: Promise<void> = Promise.resolve();
  #routed: WayOut = { ipv4: undefined, ipv6: undefined };
  /** Names of interfaces given in this run. */
  readonly #given = new Set<string>();
  #hasNames = false;
  /** Whether it is an earlier daemon's work. */
  #adopted = false;
  #released: Promise<void> | undefined;

  constructor(needs: SandboxNeeds, wish: SandboxWish) {
    this.id = wish.id;
    this.#needs = needs;
    this.#wish = wish;
  }

  get sandboxId(): string { return this.#wish.sandboxId; }
  get key(): string { return this.#needs.traces.keyOf(this.#wish.sandboxId); }
  get endpoints(): ReadonlyMap<string, Endpoint> { return new Map([...this.#places].map(([id, { endpoint }]) => [id, endpoint])); }
  get published(): readonly PublishedPort[] { return this.#reservation?.published ?? []; }
  /** Networks with a place in it are not closed. */
  uses(networkId: string): boolean { return this.#places.has(networkId); }
  /** Resolves when it has given back everything; undefined while nobody has told it to. */
  get leaving(): Promise<void> | undefined { return this.#released; }
  /** Endpoints whose devices are to stay. */
  get endpointIds(): string[] { return [...this.#places.values()].map(({ wish }) => wish.endpointId); }

  get resolvConf(): string {
    const named = [...this.#places.values()].some(({ wish }) => !isDefault(wish.network)) || this.#hasNames;
    const ipv6 = [...this.#places.values()].some(({ endpoint }) => endpoint.ipv6 !== '');
    return resolvConf(this.#wish, { settings: this.#needs.settings, mode: named ? 'names' : 'bridge', ipv6, log: this.#needs.log });
  }

  /** Addresses and ports, and the rules for them begun: those need no namespace. A failure leaves nothing. */
  async prepare(): Promise<void> {
    try {
      for (const wish of this.#wish.endpoints) this.#places.set(wish.network.Id, await this.#whenFree(() => this.#take(wish)));
      await this.#whenFree(() => this.#reserve(decideWayOut(this.#places.values())));
      this.#rule();
    } catch (error) {
      await this.release();
      throw error;
    }
  }

  async attach(pid: number): Promise<void> {
    await using undo = new AsyncDisposableStack();
    const namespace = undo.use(this.#needs.net.ofProcess(pid));
    this.#namespace = namespace;
    undo.defer(() => { this.#namespace = undefined; });
    this.#needs.traces.link(this.#wish.sandboxId, pid);
    undo.defer(() => this.#needs.traces.unlink(this.#wish.sandboxId));
    // What has an address gets IPv6 back, as with Docker; a user's own setting comes last.
    putSysctl(namespace, 'ipv6/conf/all/disable_ipv6', '1');
    namespace.setLink('lo', { up: true });
    for (const place of this.#places.values()) {
      this.#make(place, namespace);
      undo.defer(() => this.#unmake(place, namespace));
    }
    this.#route(namespace);
    undo.defer(() => { this.#routed = { ipv4: undefined, ipv6: undefined }; });
    for (const place of this.#places.values()) await this.#join(place, undo);
    applySysctls(namespace, this.#wish.sysctls);
    await this.#ruled;
    undo.move();
  }

  async connect(wish: EndpointWish): Promise<Endpoint> {
    const namespace = this.#namespace;
    if (namespace === undefined) throw new EngineError('system', `container ${this.id} has no network namespace of ours`);
    await using undo = new AsyncDisposableStack();
    const place = await this.#whenFree(() => this.#take(wish));
    undo.defer(() => this.#give(place));
    this.#make(place, namespace);
    undo.defer(() => this.#unmake(place, namespace));
    await this.#join(place, undo);
    undo.defer(() => this.#turn());
    this.#places.set(wish.network.Id, place);
    undo.defer(() => { this.#places.delete(wish.network.Id); });
    await this.#turn();
    undo.move();
    return place.endpoint;
  }

  async disconnect(networkId: string): Promise<void> {
    const place = this.#places.get(networkId);
    if (place === undefined) throw notFound(`container ${this.id} is not connected to the network ${networkId}`);
    await using undo = new AsyncDisposableStack();
    const before = new Map(this.#places);
    undo.defer(() => this.#turn());
    undo.defer(() => { this.#places = before; });
    this.#places.delete(networkId);
    await this.#turn();
    if (this.#namespace !== undefined) await removeInterface(this.#needs, place, this.#namespace);
    undo.move();
    // From here on nothing fails.
    if (!isDefault(place.wish.network)) this.#needs.names.leave(this.id, networkId);
    this.#give(place);
  }

  rename(names: ReadonlyMap<string, readonly string[]>): void {
    for (const [networkId, place] of this.#places) {
      const now = names.get(networkId);
      if (now === undefined) continue;
      this.#places.set(networkId, { ...place, wish: { ...place.wish, names: now } });
      if (this.#hasNames && !isDefault(place.wish.network)) this.#needs.names.rename(this.id, networkId, now);
    }
  }

  /**
   * Takes over what an earlier daemon made; makes anew what is missing of it. Fails only when the process is gone: what cannot be taken over is
   * logged, and the rest of a running container's network goes on.
   */
  async adopt(got: { pid: number; endpoints: readonly Endpoint[]; published: readonly PublishedPort[] }): Promise<void> {
    try {
      const namespace = this.#needs.net.ofProcess(got.pid);
      this.#namespace = namespace;
      this.#adopted = true;
      const inside = namespace.links();
      for (const { name } of inside) this.#given.add(name);
      for (const wish of this.#wish.endpoints) await this.#despite(`network ${wish.network.Name}`, () => this.#find(wish, got.endpoints, { namespace, inside }));
      await this.#despite('unfinished interfaces', () => this.#dropStrays(namespace));
      await this.#despite('routes', () => this.#route(namespace));
      await this.#despite('key', () => this.#needs.traces.link(this.#wish.sandboxId, got.pid));
    } catch (error) {
      await this.release();
      throw error;
    }
    for (const place of this.#places.values()) await this.#despite(`names in network ${place.wish.network.Name}`, () => this.#join(place));
    await this.#despite('published ports', () => this.#reserve(decideWayOut(this.#places.values()), got.published));
    this.#rule();
    await this.#despite('rules', () => this.#ruled);
  }

  async #despite(what: string, run: () => void | Promise<void>): Promise<void> {
    try { await run(); }
    catch (error) { this.#needs.log.error('a part of a running container\'s network could not be taken over', { container: this.id, what, error }); }
  }

  #find(wish: EndpointWish, endpoints: readonly Endpoint[], { namespace, inside }: { namespace: NetNamespace; inside: readonly NetLink[] }): void {
    const had = endpoints.find(({ networkId }) => networkId === wish.network.Id);
    const place = had === undefined ? this.#take(wish) : this.#keep(wish, had);
    this.#places.set(wish.network.Id, place);
    const name = findInterface(this.#needs, place, inside);
    if (name !== undefined) place.endpoint.interfaceName = name;
    else this.#make(place, namespace);
  }

  /** Interfaces of endpoints that a dead daemon had not finished: those without a near end are found only here. */
  #dropStrays(namespace: NetNamespace): void {
    const known = new Set(this.endpointIds.map((id) => this.#needs.notes.alias(id)));
    for (const { name, alias } of namespace.links()) {
      if (this.#needs.notes.owned(alias) !== undefined && !known.has(alias)) namespace.deleteLink(name);
    }
  }

  /** The daemon ends, the container does not: what listens and looks on here ends, all else stays. */
  leave(): void {
    this.#letPortsGo();
    this.#namespace?.[Symbol.dispose]();
    this.#namespace = undefined;
  }

  release(): Promise<void> {
    this.#released ??= this.#release();
    return this.#released;
  }

  /** In this order: nobody gets through any more, then the addresses are free for others. */
  async #release(): Promise<void> {
    const { firewall, names, traces, log } = this.#needs;
    const places = [...this.#places.values()];
    const step = (what: string, run: () => void) => {
      try { run(); }
      catch (error) { log.warn('something of a network stays until the next start', { container: this.id, what, error }); }
    };
    step('names', () => { if (this.#hasNames) names.close(this.id); });
    for (const place of places) if (this.#namespace !== undefined) step('interface', () => cutOff(this.#needs, place));
    await this.#ruled.catch(() => {}); // told to whoever waited for it
    await firewall.drop(this.id).catch((error: unknown) => log.warn('rules of a container stay until the next start', { container: this.id, error }));
    step('ports', () => this.#letPortsGo());
    step('namespace', () => this.#namespace?.[Symbol.dispose]());
    this.#namespace = undefined;
    step('key', () => traces.unlink(this.#wish.sandboxId));
    for (const place of places) step('addresses', () => this.#give(place));
    this.#places.clear();
    this.#needs.reap(places.filter(({ wish }) => wish.network.Driver === 'bridge').map(({ wish }) => vethOf(wish.endpointId)));
    this.#needs.onRelease(this);
  }

  /** An exit is seen before everything of it is given back: an address or a port that cannot be had is asked for again when those are gone who were going. */
  async #whenFree<T>(get: () => T | Promise<T>): Promise<T> {
    const leaving = this.#needs.leaving();
    try { return await get(); } catch (error) {
      if (leaving.length === 0) throw error;
      await Promise.all(leaving);
      return await get();
    }
  }

  #take(wish: EndpointWish): Place {
    const { network, endpointId } = wish;
    assertKnownDriver(network);
    if (!this.#needs.isOpen(network.Id)) throw notFound(`network ${network.Id} not found`);
    assert(!this.#places.has(network.Id), `container ${this.id} is in network ${network.Name} already`);
    for (const address of wish.linkLocal) linkLocalAddress(address);
    const got = this.#needs.leases.take(network.Id, { ipv4: wish.ipv4, ipv6: wish.ipv6, mac: wish.mac });
    // Docker tells an internal bridge's gateway although nothing is sent there; a macvlan that leads nowhere has none.
    const none = network.Driver === 'macvlan' && isClosed(network) ? { gateway: '', ipv6Gateway: '' } : {};
    return { wish, endpoint: { networkId: network.Id, endpointId, ...got, ...none, interfaceName: '' } };
  }

  /** What it has already stays its own, whatever the settings say by now, and in a network that could not be opened too. */
  #keep(wish: EndpointWish, had: Endpoint): Place {
    this.#needs.leases.adopt(wish.network.Id, had);
    return { wish, endpoint: { ...had } };
  }

  #give({ wish, endpoint }: Place): void { this.#needs.leases.give(wish.network.Id, endpoint); }

  #make(place: Place, namespace: NetNamespace): void {
    place.endpoint.interfaceName = nextName(place, this.#given);
    makeInterface(this.#needs, place, namespace);
    this.#given.add(place.endpoint.interfaceName);
  }

  /** As if it had never been: its name may be given again. */
  #unmake(place: Place, namespace: NetNamespace): void {
    dropInterface(this.#needs, place, namespace);
    this.#given.delete(place.endpoint.interfaceName);
    place.endpoint.interfaceName = '';
  }

  /** Names of its own for everybody in the network, and the resolver with the first such network. */
  async #join({ wish, endpoint }: Place, undo?: AsyncDisposableStack): Promise<void> {
    const { names } = this.#needs;
    if (isDefault(wish.network) || this.#namespace === undefined) return;
    if (!this.#hasNames) {
      await names.open({ id: this.id, namespace: this.#namespace, dns: this.#wish.dns, dnsOptions: this.#wish.dnsOptions, adopted: this.#adopted });
      this.#hasNames = true;
      undo?.defer(() => { this.#hasNames = false; names.close(this.id); });
    }
    names.join(this.id, { networkId: wish.network.Id, networkName: wish.network.Name, ipv4: endpoint.ipv4, ipv6: endpoint.ipv6, names: wish.names, links: wish.links, internal: wish.network.Internal });
    undo?.defer(() => names.leave(this.id, wish.network.Id));
  }

  /** After the set of networks has changed: routes, ports and rules follow. May be repeated. */
  async #turn(): Promise<void> {
    if (this.#namespace !== undefined) this.#route(this.#namespace);
    const way = decideWayOut(this.#places.values());
    await this.#reserve(way);
    this.#rule();
    await this.#ruled;
    // Only when nobody is sent here any more may somebody else have the ports.
    if (publisherOf(way) === undefined) this.#letPortsGo();
  }

  #letPortsGo(): void {
    this.#reservation?.[Symbol.dispose]();
    this.#reservation = undefined;
  }

  #route(namespace: NetNamespace): void {
    const way = decideWayOut(this.#places.values());
    for (const family of ['ipv4', 'ipv6'] as const) {
      const place = way[family];
      if (place === this.#routed[family]) continue;
      const gateway = family === 'ipv4' ? place?.endpoint.gateway : place?.endpoint.ipv6Gateway;
      // Without a way out there is nothing to do: the route went with its interface, or is about to.
      if (place !== undefined && gateway !== undefined) namespace.setRoute({ link: place.endpoint.interfaceName, destination: EVERYWHERE[family], gateway });
      this.#routed = { ...this.#routed, [family]: place };
    }
  }

  async #reserve(way: WayOut, had?: readonly PublishedPort[]): Promise<void> {
    const place = publisherOf(way);
    if (this.#wish.ports.length === 0 || place === undefined) return;
    const target = { ipv4: way.ipv4?.endpoint.ipv4 ?? '', ipv6: way.ipv6?.endpoint.ipv6 ?? '' };
    const wishes = this.#wish.ports.map((port) => boundPort(port, place, this.#needs.settings));
    this.#reservation ??= await this.#needs.ports.reserve(wishes, had, { ipv6: target.ipv6 !== '' }).catch((cause: unknown) => { throw unpublished(place, cause); });
    this.#reservation.passOn(target);
  }

  /** Asks the firewall for what holds now; `#ruled` is how that goes. */
  #rule(): void {
    const places = [...this.#places.values()];
    const rules = { ports: portRules(this.published, decideWayOut(places)), links: linkRules(this.#wish.linkedPorts, places, this.#needs.settings) };
    this.#ruled = this.#needs.firewall.put(this.id, rules);
    this.#ruled.catch(() => {}); // whoever waits for it is told
  }
}
