// Network namespaces of the real kernel: its devices, addresses and routes over netlink, its settings, sockets and programs by entering it for a moment.
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';
import { posix } from 'node:path';
import { errnoOf } from '../lib/errors.ts';
import { forgetFlows, type FlowsWish } from './conntrack.ts';
import type { Net, NetLink, NetNamespace } from './index.ts';
import { listener, tcpConnection, udpSocket } from './net-sockets.ts';
import { NETLINK, openNetlinkSocket, verdictError, type NetlinkSocket } from './netlink-socket.ts';
import { runWithInput } from './programs.ts';
import * as rt from './rtnetlink.ts';
import { errnoName, lastErrno, libc, systemError } from './sys.ts';

// Source: sched.h.
const CLONE_NEWNET = 0x40000000;
const SETTINGS = '/proc/sys/net';

export function openNet(): Net {
  let host: Namespace | undefined;
  const own = () => (host ??= new Namespace(openSync('/proc/self/ns/net', constants.O_RDONLY), undefined));
  const open = (path: string) => new Namespace(openSync(path, constants.O_RDONLY), own());
  return { host: own, ofProcess: (pid) => open(`/proc/${pid}/ns/net`), ofPath: open };
}

class Namespace implements NetNamespace {
  readonly #fd: number;
  /** The one that this thread belongs in; undefined: it is this very one. */
  readonly #home: Namespace | undefined;
  #socket: NetlinkSocket | undefined;
  #disposed = false;

  constructor(fd: number, home: Namespace | undefined) {
    this.#fd = fd;
    this.#home = home;
  }

  links(): NetLink[] { return this.#netlink().list(rt.listLinks).map(rt.decodeLink); }

  link(name: string): NetLink | undefined {
    const found = this.#netlink().ask(rt.getLink(name));
    return found && rt.decodeLink(found);
  }

  addresses(): ReturnType<NetNamespace['addresses']> { return this.#netlink().list(rt.listAddresses).map(rt.decodeAddress); }
  routes(): ReturnType<NetNamespace['routes']> { return this.#netlink().list(rt.listRoutes).map(rt.decodeRoute).filter((route) => route !== undefined); }

  addBridge({ alias, ...wish }: Parameters<NetNamespace['addBridge']>[0]): void { this.#make(rt.addLink(wish, { kind: 'bridge' }), wish.name, { alias }); }
  addDummy({ name, alias }: Parameters<NetNamespace['addDummy']>[0]): void { this.#make(rt.addLink({ name }, { kind: 'dummy' }), name, { alias }); }

  addVlan({ name, parent, id, alias }: Parameters<NetNamespace['addVlan']>[0]): void {
    this.#make(rt.addLink({ name, parent: this.#index(parent) }, { kind: 'vlan', id }), name, { alias });
  }

  addVeth({ name, mtu, alias, master, hairpin, isolated, peer }: Parameters<NetNamespace['addVeth']>[0]): void {
    const masterIndex = master === undefined ? undefined : this.#index(master);
    const far = { name: peer.name, mac: peer.mac, mtu, namespaceFd: descriptorOf(peer.namespace) };
    const port = hairpin === undefined && isolated === undefined ? undefined : { hairpin, isolated };
    this.#make(rt.addLink({ name, mtu, master: masterIndex }, { kind: 'veth', peer: far }), name, { alias, port });
  }

  addMacvlan({ name, parent, mode, mac, mtu, alias, into }: Parameters<NetNamespace['addMacvlan']>[0]): void {
    const request = rt.addLink({ name, parent: this.#index(parent), mac, mtu, namespaceFd: descriptorOf(into) }, { kind: 'macvlan', mode });
    this.#tell(request, `add macvlan ${name} on ${parent}`);
    if (alias !== undefined) into.setLink(name, { alias }); // not before it is there; it goes with its namespace in any case
  }

  setLink(name: string, { rename, master, ...change }: Parameters<NetNamespace['setLink']>[1]): void {
    const masterIndex = typeof master === 'string' ? this.#index(master) : master === null ? 0 : undefined;
    if (masterIndex !== undefined || Object.keys(change).length > 0) this.#tell(rt.changeLink(name, { ...change, master: masterIndex }), `set ${name}`);
    if (rename !== undefined) this.#tell(rt.renameLink(this.#index(name), rename), `rename ${name} to ${rename}`);
  }

  setPort(name: string, port: Parameters<NetNamespace['setPort']>[1]): void { this.#tell(rt.changeLink(name, { port }), `set port ${name}`); }

  deleteLink(name: string): void { this.#tell(rt.deleteLink(name), `delete ${name}`, ['ENODEV']); }

  async removeLinks(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    using netlink = this.#within(openNetlinkSocket); // its own: others are asked meanwhile
    const verdicts = await netlink.tellInBackground(names.map(rt.deleteLink));
    const failed = verdicts.findIndex(({ errno }) => errno !== 0 && errnoName(errno) !== 'ENODEV');
    if (failed >= 0) throw verdictError(verdicts[failed] ?? { errno: 0, words: '' }, `delete ${names[failed]}`);
  }

  addAddress(name: string, address: string): void { this.#tell(rt.addAddress(this.#index(name), address), `add address ${address} to ${name}`); }
  deleteAddress(name: string, address: string): void { this.#tell(rt.deleteAddress(this.#index(name), address), `delete address ${address} of ${name}`); }

  setRoute({ link, ...route }: Parameters<NetNamespace['setRoute']>[0]): void { this.#tell(rt.setRoute({ ...route, link: this.#index(link) }), `set route to ${route.destination}`); }

  deleteRoute({ destination, link }: Parameters<NetNamespace['deleteRoute']>[0]): void {
    this.#tell(rt.deleteRoute({ destination, link: link === undefined ? undefined : this.#index(link) }), `delete route to ${destination}`);
  }

  forgetFlows(wish: FlowsWish): number { return forgetFlows(() => this.#within(() => openNetlinkSocket(NETLINK.netfilter)), wish); }

  sysctl(path: string): string | undefined {
    try {
      return this.#within(() => readFileSync(settingPath(path), 'utf8').trimEnd());
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  setSysctl(path: string, value: string): void { this.#within(() => writeSetting(settingPath(path), value)); }

  udpSocket(at: Parameters<NetNamespace['udpSocket']>[0]): { fd: number; port: number } { return this.#within(() => udpSocket(at)); }
  tcpListener(at: Parameters<NetNamespace['tcpListener']>[0]): { fd: number; port: number } { return this.#within(() => listener(at)); }
  tcpConnection({ address: text, port }: Parameters<NetNamespace['tcpConnection']>[0]): number {
    const [address = '', zone] = text.split('%', 2);
    const link = zone === undefined ? 0 : /^\d+$/.test(zone) ? Number(zone) : this.#index(zone);
    return this.#within(() => tcpConnection({ address, port, link }));
  }

  /** The child is forked before `spawn` returns, so it is in here for good and nothing else is. */
  run(command: readonly [string, ...string[]], input = ''): Promise<string> { return this.#within(() => runWithInput(command, input)); }

  /** The daemon's own is never let go of. */
  [Symbol.dispose](): void {
    if (this.#disposed || !this.#home) return;
    this.#disposed = true;
    this.#socket?.[Symbol.dispose]();
    closeSync(this.#fd);
  }

  /** For a device of another namespace that is to be put into this one. */
  get descriptor(): number {
    if (this.#disposed) throw systemError('EBADF', { syscall: 'setns', detail: 'a network namespace that was let go of' });
    return this.#fd;
  }

  /** What needs a device to be there already follows in the same breath: no device of ours is ever without its note, wherever we die. */
  #make(request: rt.Request, name: string, { alias, port }: { alias?: string | undefined; port?: rt.PortChange | undefined }): void {
    if (alias === undefined && port === undefined) { this.#tell(request, `add ${name}`); return; }
    const netlink = this.#netlink();
    if (this.link(name)) throw systemError('EEXIST', { syscall: 'netlink', detail: `add ${name}` }); // or the note would go to somebody else's
    const [made, noted] = netlink.tell([request, rt.changeLink(name, { alias, port })]);
    if (made && made.errno !== 0) throw verdictError(made, `add ${name}`);
    if (!noted || noted.errno === 0) return;
    this.deleteLink(name);
    throw verdictError(noted, `set ${name}`);
  }

  #tell(request: rt.Request, what: string, fine: readonly string[] = []): void {
    const [verdict] = this.#netlink().tell([request]);
    if (verdict && verdict.errno !== 0 && !fine.includes(errnoName(verdict.errno))) throw verdictError(verdict, what);
  }

  #index(name: string): number {
    const found = this.link(name);
    if (!found) throw systemError('ENODEV', { syscall: 'netlink', detail: name });
    return found.index;
  }

  #netlink(): NetlinkSocket { return this.#socket ??= this.#within(openNetlinkSocket); }

  /** Does something with this thread in the namespace. Nothing else runs meanwhile, since `work` is synchronous. */
  #within<T>(work: () => T): T {
    using _inside = this.#home && this.#enter(this.#home);
    return work();
  }

  /** Until disposed. The way back cannot fail for who could enter; if it ever did, all that follows would happen in a container's network. */
  #enter(home: Namespace): Disposable {
    if (libc.setns(this.descriptor, CLONE_NEWNET) !== 0) throw systemError(lastErrno(), { syscall: 'setns', detail: 'into a network namespace' });
    return { [Symbol.dispose]: () => { if (libc.setns(home.descriptor, CLONE_NEWNET) !== 0) throw systemError(lastErrno(), { syscall: 'setns', detail: 'back into the own network namespace' }); } };
  }
}

function descriptorOf(namespace: NetNamespace): number {
  if (!(namespace instanceof Namespace)) throw systemError('EINVAL', { syscall: 'setns', detail: 'a network namespace of another kernel' });
  return namespace.descriptor;
}

/** Opened for writing and nothing else: some settings cannot be read, and none can be created. */
function writeSetting(path: string, value: string): void {
  const fd = openSync(path, constants.O_WRONLY);
  try { writeSync(fd, value); } finally { closeSync(fd); }
}

function settingPath(path: string): string {
  const whole = posix.join(SETTINGS, path);
  if (!whole.startsWith(`${SETTINGS}/`)) throw systemError('EINVAL', { syscall: 'open', path });
  return whole;
}
