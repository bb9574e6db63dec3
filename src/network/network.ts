// Puts the room together: one registry of open networks and of sandboxes, and the parts that addresses, ports, rules and names are kept in.
import type { Kernel, NetNamespace } from '../kernel/index.ts';
import type { Clock } from '../lib/clock.ts';
import { assert, EngineError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { NetworkRecord } from '../store/index.ts';
import { join } from 'node:path';
import { Leases } from './addresses/leases.ts';
import { Planner } from './addresses/plan.ts';
import { addressesOf, hostsOf, isOnHost } from './addresses/surroundings.ts';
import { closeBridge, openBridge, prepareWalls, rulesOf } from './bridge.ts';
import { bridgeOf, isDefault, openNotes, shortId, standInOf } from './devices.ts';
import { openFirewall, type Firewall } from './firewall/index.ts';
import type { Network, NetworkSettings, Sandbox, SandboxWish } from './index.ts';
import { closeMacvlan, openMacvlan, parentOf } from './macvlan.ts';
import { openNames } from './names/names.ts';
import { HOST_FILE } from './names/servers.ts';
import { openPorts } from './ports/index.ts';
import { readHostFile, resolvConf } from './resolv.ts';
import { LiveSandbox, type SandboxNeeds } from './sandbox.ts';
import { removeStrays } from './settle.ts';
import { Traces } from './traces.ts';

export interface NetworkNeeds {
  kernel: Pick<Kernel, 'net' | 'programs'>;
  log: Log;
  clock: Clock;
  /** Where notes lie that are of use until the next boot. */
  execRoot: string;
  /** Marks our devices: two daemons on one machine leave each other's alone. */
  daemonId: string;
  settings: NetworkSettings;
}

/** How long the kernel may take to remove the devices of a namespace that is gone; far more than it needs. */
const REAP_AFTER_MS = 2000;

/** Touches nothing yet but the firewall's note: a daemon without bridges leaves its machine as it was. */
export async function openNetwork(needs: NetworkNeeds): Promise<Network> {
  const host = needs.kernel.net.host();
  try {
    const firewall = await openFirewall({ net: host, programs: needs.kernel.programs, notePath: join(needs.execRoot, 'network', 'firewall.json'), log: needs.log, settings: needs.settings });
    return new Room(needs, host, firewall);
  } catch (error) {
    host[Symbol.dispose]();
    throw error;
  }
}

class Room implements Network {
  readonly settings: NetworkSettings;
  readonly #needs: NetworkNeeds;
  readonly #host: NetNamespace;
  readonly #planner: Planner;
  readonly #parts: SandboxNeeds;
  readonly #open = new Map<string, NetworkRecord>();
  readonly #sandboxes = new Map<string, LiveSandbox>();
  /** Devices whose namespace is going. */
  readonly #dying = new Set<string>();
  #reaping: Disposable | undefined;

  constructor(needs: NetworkNeeds, host: NetNamespace, firewall: Firewall) {
    const { settings, log, clock } = needs;
    this.settings = settings;
    this.#needs = needs;
    this.#host = host;
    this.#planner = new Planner(settings.addressPools);
    this.#parts = {
      host, settings, log, clock, firewall, net: needs.kernel.net,
      notes: openNotes(needs.daemonId), leases: new Leases(), // What a port is bound to that names no address is said by its network.
      ports: openPorts({ net: host, log, clock, settings: { ...settings, hostIp: '' } }),
      names: openNames({ log, clock, settings, hostNamespace: host, programs: needs.kernel.programs, readHostFile }), traces: new Traces(needs.execRoot),
      isOpen: (id) => this.#open.has(id), leaving: () => this.#leaving(),
      reap: (devices) => this.#reap(devices),
      onRelease: (sandbox) => { if (this.#sandboxes.get(sandbox.id) === sandbox) this.#sandboxes.delete(sandbox.id); },
    };
  }

  get facts(): Network['facts'] { return this.#parts.firewall.facts; }
  sandbox(containerId: string): Sandbox | undefined { return this.#sandboxes.get(containerId); }

  plan(wish: Parameters<Network['plan']>[0], others: readonly NetworkRecord[]): ReturnType<Network['plan']> {
    return this.#planner.plan(wish, { others, hosts: this.#hosts() });
  }

  planDefault(others: readonly NetworkRecord[]): ReturnType<Network['planDefault']> {
    const { bridge } = this.settings;
    if (bridge === 'none') return undefined;
    return this.#planner.planDefault(this.settings, { others, hosts: this.#hosts(), device: addressesOf(this.#host, bridge) });
  }

  remains(networkId: string, subnets: readonly string[]): ReturnType<Network['remains']> {
    const owned = this.#host.links().filter(({ alias }) => this.#parts.notes.owned(alias) === shortId(networkId));
    const bridge = owned.find(({ kind }) => kind === 'bridge');
    return { bridge: bridge?.name, elsewhere: owned.some((link) => link !== bridge) || isOnHost(this.#host, { subnets, but: bridge?.index }) };
  }

  #hosts(): string[] { return hostsOf(this.#host, readHostFile(HOST_FILE) ?? ''); }

  async open(network: NetworkRecord): Promise<void> {
    assert(!this.#open.has(network.Id), `network ${network.Name} is open already`);
    this.#assertDeviceIsFree(network);
    await using undo = new AsyncDisposableStack();
    if (network.Driver === 'bridge') await this.#openBridge(network, undo);
    else if (network.Driver === 'macvlan') undo.use(made((stack) => openMacvlan(this.#parts, network, stack)));
    else throw new EngineError('system', `network ${network.Name} has the driver ${network.Driver}, which is not known`);
    this.#parts.leases.open(network);
    this.#open.set(network.Id, network);
    undo.move();
  }

  async #openBridge(network: NetworkRecord, undo: AsyncDisposableStack): Promise<void> {
    await this.#forward(network);
    await prepareWalls(this.#parts, network);
    undo.use(made((stack) => openBridge(this.#parts, network, stack)));
    await this.#parts.firewall.put(network.Id, { bridges: [rulesOf(network, this.settings)] });
    undo.defer(() => this.#parts.firewall.drop(network.Id));
  }

  /** With the first bridge, and with the first that has IPv6: the host passes on what its containers send. Others' packets stay where they were. */
  async #forward({ EnableIPv6 }: NetworkRecord): Promise<void> {
    if (!this.settings.ipForward) return;
    await this.#switchOn('ipv4', ['ipv4/ip_forward']);
    // Docker's order: new devices first, then all there are.
    if (EnableIPv6) await this.#switchOn('ipv6', ['ipv6/conf/default/forwarding', 'ipv6/conf/all/forwarding']);
  }

  async #switchOn(family: 'ipv4' | 'ipv6', paths: readonly string[]): Promise<void> {
    const off = paths.filter((path) => !['1', undefined].includes(this.#host.sysctl(path)));
    if (off.length === 0) return;
    await this.#parts.firewall.closeForward(family);
    for (const path of off) this.#host.setSysctl(path, '1');
  }

  /** Two networks on one device would give its addresses twice. */
  #assertDeviceIsFree(network: NetworkRecord): void {
    const other = [...this.#open.values()].find((one) => one.Driver === network.Driver && deviceOf(one) === deviceOf(network));
    if (other === undefined) return;
    throw network.Driver === 'bridge'
      ? new EngineError('forbidden', `cannot create network ${network.Id} (${bridgeOf(network)}): conflicts with network ${other.Id} (${bridgeOf(other)}): networks have same bridge name`)
      : new EngineError('system', `network ${standInOf(other)} is already using parent interface ${parentOf(network)}`);
  }

  #leaving(networkId?: string): Array<Promise<void>> {
    return [...this.#sandboxes.values()].filter((sandbox) => networkId === undefined || sandbox.uses(networkId)).flatMap(({ leaving }) => leaving ?? []);
  }

  async close(network: NetworkRecord): Promise<void> {
    await Promise.all(this.#leaving(network.Id)); // their records may say already that they are gone
    const user = [...this.#sandboxes.values()].find((sandbox) => sandbox.uses(network.Id));
    assert(user === undefined, `network ${network.Name} is used by container ${user?.id}`);
    if (network.Driver === 'bridge') {
      await closeBridge(this.#parts, network);
      await this.#parts.firewall.drop(network.Id);
    } else if (network.Driver === 'macvlan') await closeMacvlan(this.#parts, network);
    this.#parts.leases.close(network.Id);
    this.#open.delete(network.Id);
  }

  async prepare(wish: SandboxWish): Promise<Sandbox> {
    const sandbox = this.#enter(wish);
    await sandbox.prepare();
    return sandbox;
  }

  async adopt(wish: SandboxWish, got: Parameters<Network['adopt']>[1]): Promise<Sandbox> {
    const sandbox = this.#enter(wish);
    await sandbox.adopt(got);
    return sandbox;
  }

  /** Before anything else, so that its networks are not closed meanwhile. */
  #enter(wish: SandboxWish): LiveSandbox {
    assert(!this.#sandboxes.has(wish.id), `container ${wish.id} has a sandbox already`);
    const sandbox = new LiveSandbox(this.#parts, wish);
    this.#sandboxes.set(wish.id, sandbox);
    return sandbox;
  }

  async settle({ keep }: { keep: readonly string[] } = { keep: [] }): Promise<void> {
    this.#parts.names.settle();
    const sandboxes = [...this.#sandboxes.values()];
    this.#parts.traces.sweep(sandboxes.map(({ sandboxId }) => sandboxId));
    await this.#parts.firewall.settle().catch((error: unknown) => this.#needs.log.error('rules that nothing needs any more stay until the next start', { error }));
    const removed = await removeStrays(this.#parts, { networks: [...this.#open.keys(), ...keep], endpoints: sandboxes.flatMap(({ endpointIds }) => endpointIds) });
    if (removed.length > 0) this.#needs.log.info('removed devices of networks and containers that are no more', { devices: removed });
  }

  hostGateway(): string | undefined {
    if (this.settings.hostGatewayIp !== '') return this.settings.hostGatewayIp;
    const network = [...this.#open.values()].find(isDefault);
    return network?.pools.v4[0]?.gateway || undefined;
  }

  resolvConf(own: Parameters<Network['resolvConf']>[0], mode: 'host' | 'none'): string {
    return resolvConf(own, { settings: this.settings, mode, ipv6: false });
  }

  /**
   * A pair of devices goes with the namespace of its far end, without a wait of ours (removing one takes 12 ms, in which the daemon stands still);
   * but that namespace may live on in another container.
   */
  #reap(devices: readonly string[]): void {
    for (const device of devices) this.#dying.add(device);
    if (this.#dying.size > 0) this.#reaping ??= this.#needs.clock.after(REAP_AFTER_MS, () => { void this.#reapNow(); });
  }

  async #reapNow(): Promise<void> {
    this.#reaping = undefined;
    const devices = [...this.#dying];
    this.#dying.clear();
    try {
      const known = new Set([...this.#sandboxes.values()].flatMap(({ endpointIds }) => endpointIds).map((id) => this.#parts.notes.alias(id)));
      const left = this.#host.links().filter(({ name, alias }) => devices.includes(name) && this.#parts.notes.owned(alias) !== undefined && !known.has(alias));
      await this.#host.removeLinks(left.map(({ name }) => name));
    } catch (error) {
      this.#needs.log.warn('devices of a container may stay until the next start', { devices, error });
    }
  }

  async end(): Promise<void> {
    this.#reaping?.[Symbol.dispose]();
    this.#parts.names.end();
    this.#parts.ports[Symbol.dispose]();
    for (const sandbox of this.#sandboxes.values()) sandbox.leave();
    this.#host[Symbol.dispose]();
  }
}

const deviceOf = (network: NetworkRecord): string => (network.Driver === 'bridge' ? bridgeOf(network) : parentOf(network));

/** A stack of synchronous undos, empty again when the making fails. */
function made(make: (undo: DisposableStack) => void): DisposableStack {
  using undo = new DisposableStack();
  make(undo);
  return undo.move();
}
