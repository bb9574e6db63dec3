// Ports of the host that belong to containers: held by a listening socket each, so that nobody else gets them, and passed on where the kernel cannot.
import { closeSync } from 'node:fs';
import { errnoOf, EngineError } from '../../lib/errors.ts';
import type { NetNamespace } from '../../kernel/index.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { NetworkSettings, PortWish, Protocol, PublishedPort } from '../index.ts';
import { addressesOf, candidates, listenWords, portRange, toldMapping } from './choose.ts';
import { holdDatagrams } from './datagrams.ts';
import { holdStreams } from './streams.ts';

export interface Ports extends Disposable {
  /**
   * All of them or none, before anything else is changed. Errors in dockerd's words: "Bind for 0.0.0.0:80 failed: port is already allocated" when another container
   * has it, "Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use" when another program has. `fixed`: what an earlier daemon
   * published for the same run; that stays published even when somebody has taken the port meanwhile, which is logged.
   */
  reserve(wishes: readonly PortWish[], fixed?: readonly PublishedPort[], options?: ReserveOptions): Promise<Reservation>;
}

/** `ipv6`: whether the container has an IPv6 address; without one only the daemon itself can pass on what comes by IPv6. */
export interface ReserveOptions { ipv6: boolean }

/** Disposing lets the ports go and ends what is passed on. */
export interface Reservation extends Disposable {
  readonly published: readonly PublishedPort[];
  /** What the kernel does not send to the container by itself goes there through the daemon from now on; '' for no such address. May change. */
  passOn(target: Target): void;
}

export interface Target { ipv4: string; ipv6: string }

export interface PortsNeeds { net: NetNamespace; log: Log; clock: Clock; settings: Pick<NetworkSettings, 'hostIp' | 'userlandProxy'> }

/** A held port. Whatever it passes on ends with it. */
export interface Holder extends Disposable { passOn(to: { address: string; port: number } | undefined): void }

/** Numbers that are tried for one port when programs of the host hold one after the other. */
const MAX_TRIES = 4096;
/** Errors of SCTP sockets on a kernel that has none: there nobody can take the port either. */
const NO_SUCH_SOCKETS = new Set(['EPROTONOSUPPORT', 'ESOCKTNOSUPPORT', 'EAFNOSUPPORT']);

/** `mine`: no other container can have it meanwhile. */
interface Held { published: PublishedPort; holder: Holder | undefined; mine: boolean }

export function openPorts(needs: PortsNeeds): Ports {
  return new LivePorts(needs);
}

class LivePorts implements Ports {
  readonly #needs: PortsNeeds;
  /** "tcp 0.0.0.0 80" of every port that is held for a container. */
  readonly #taken = new Set<string>();
  /** The last one given by free choice, by protocol. */
  readonly #last = new Map<Protocol, number>();
  readonly #reservations = new Set<LiveReservation>();

  constructor(needs: PortsNeeds) { this.#needs = needs; }

  async reserve(wishes: readonly PortWish[], fixed?: readonly PublishedPort[], options: ReserveOptions = { ipv6: true }): Promise<Reservation> {
    using undo = new DisposableStack();
    const held: Held[] = [];
    undo.defer(() => this.#release(held));
    if (fixed !== undefined) for (const published of fixed) held.push(this.#again(published));
    else for (const wish of wishes) held.push(...this.#choose(wish, options));
    undo.move();
    const reservation = new LiveReservation(held, {
      userlandProxy: this.#needs.settings.userlandProxy,
      release: () => { this.#reservations.delete(reservation); this.#release(held); },
    });
    this.#reservations.add(reservation);
    return await Promise.resolve(reservation);
  }

  [Symbol.dispose](): void { for (const reservation of this.#reservations) reservation[Symbol.dispose](); }

  /** The same number on every address. */
  #choose(wish: PortWish, options: ReserveOptions): Held[] {
    const { net, settings } = this.#needs;
    const free = wish.hostPorts.first === 0;
    const addresses = addressesOf(wish, { defaultIp: settings.hostIp, ipv6: this.#ipv6(options) });
    const range = free ? portRange(net.sysctl('ipv4/ip_local_port_range')) : wish.hostPorts;
    let failure: unknown;
    let tries = 0;
    for (const hostPort of candidates(wish, { range, last: this.#last.get(wish.protocol) })) {
      if (++tries > MAX_TRIES) break;
      try {
        const held = this.#holdAll(addresses.map((hostIp) => ({ port: wish.port, protocol: wish.protocol, hostIp, hostPort })));
        if (free) this.#last.set(wish.protocol, hostPort);
        return held;
      } catch (error) {
        failure = error;
        if (!(error instanceof TakenError)) break; // another number is no better
      }
    }
    if (failure instanceof TakenError && range.first !== range.last && failure.ours) throw new EngineError('system', 'all ports are allocated');
    throw failure;
  }

  #ipv6({ ipv6 }: ReserveOptions): 'yes' | 'asked' | 'no' {
    if (!ipv6 && !this.#needs.settings.userlandProxy) return 'no';
    return this.#needs.net.sysctl('ipv6/conf/lo/disable_ipv6') === '0' ? 'yes' : 'asked';
  }

  #holdAll(ports: readonly PublishedPort[]): Held[] {
    using undo = new DisposableStack();
    const held: Held[] = [];
    undo.defer(() => this.#release(held));
    for (const published of ports) held.push(this.#hold(published));
    undo.move();
    return held;
  }

  #hold(published: PublishedPort): Held {
    const { protocol, hostIp, hostPort } = published;
    const key = keyOf(published);
    if (this.#taken.has(key)) throw new TakenError(`Bind for ${toldMapping(hostIp, hostPort)} failed: port is already allocated`, { ours: true });
    const at = { protocol, address: hostIp, port: hostPort };
    try {
      const holder = this.#socket(at);
      this.#taken.add(key);
      return { published, holder, mine: true };
    } catch (error) {
      const code = errnoOf(error);
      const words = listenWords(at, code);
      throw code === 'EADDRINUSE' ? new TakenError(words, { cause: error }) : new EngineError('system', words, { cause: error });
    }
  }

  /** Without a promise: what cannot be held is published all the same. */
  #again(published: PublishedPort): Held {
    try { return this.#hold(published); }
    catch (error) {
      this.#needs.log.error('a published port is not held any more: its traffic goes to the container by the firewall alone', { ...published, error });
      return { published, holder: undefined, mine: false };
    }
  }

  #socket({ protocol, address, port }: { protocol: Protocol; address: string; port: number }): Holder | undefined {
    const { net, log, clock } = this.#needs;
    switch (protocol) {
      case 'tcp': return holdStreams({ net, log }, { address, port });
      case 'udp': return holdDatagrams({ net, log, clock }, { address, port });
      case 'sctp': return holdAssociations(net, { address, port });
    }
  }

  #release(held: readonly Held[]): void {
    for (const { published, holder, mine } of held) {
      if (mine) this.#taken.delete(keyOf(published));
      holder?.[Symbol.dispose]();
    }
  }
}

/** Nothing of SCTP is passed on by us: the kernel alone does that. */
function holdAssociations(net: NetNamespace, at: { address: string; port: number }): Holder | undefined {
  try {
    const { fd } = net.tcpListener({ ...at, backlog: 0, protocol: 'sctp' });
    return { passOn() {}, [Symbol.dispose]: () => closeSync(fd) };
  } catch (error) {
    if (NO_SUCH_SOCKETS.has(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}

class LiveReservation implements Reservation {
  readonly published: readonly PublishedPort[];
  readonly #held: readonly Held[];
  readonly #userlandProxy: boolean;
  readonly #release: () => void;
  #released = false;

  constructor(held: readonly Held[], { userlandProxy, release }: { userlandProxy: boolean; release: () => void }) {
    this.published = held.map(({ published }) => published);
    this.#held = held;
    this.#userlandProxy = userlandProxy;
    this.#release = release;
  }

  /** By IPv6 to its IPv6 address, or else to the other one, as docker-proxy does. */
  passOn({ ipv4, ipv6 }: Target): void {
    if (this.#released || !this.#userlandProxy) return;
    for (const { published, holder } of this.#held) {
      const address = published.hostIp.includes(':') ? ipv6 || ipv4 : ipv4;
      holder?.passOn(address === '' ? undefined : { address, port: published.port });
    }
  }

  [Symbol.dispose](): void {
    if (this.#released) return;
    this.#released = true;
    this.#release();
  }
}

/** Somebody has the port: another number might do. */
class TakenError extends EngineError {
  readonly ours: boolean;
  constructor(message: string, { ours = false, cause }: { ours?: boolean; cause?: unknown }) {
    super('system', message, { cause });
    this.ours = ours;
  }
}

const keyOf = ({ protocol, hostIp, hostPort }: PublishedPort): string => `${protocol} ${hostIp} ${hostPort}`;
