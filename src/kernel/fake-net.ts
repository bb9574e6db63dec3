// Network namespaces in memory for tests: devices, addresses, routes and settings as the kernel would keep them; programs are only recorded.
import type { Net, NetAddress, NetLink, NetNamespace, NetRoute } from './index.ts';

export interface FakeNetOptions {
  /** Called with what is about to be done; may throw. */
  step: (call: string, path?: string) => void;
  failure: (code: string, syscall: string, path?: string) => Error;
  /** Processes there are; `ofProcess` of another one fails. */
  alive: ReadonlyMap<number, bigint>;
  /** What a program answers; default: nothing. */
  onRun?: ((command: readonly string[], input: string) => string) | undefined;
}

export interface FakeNet extends Net {
  host(): FakeNamespace;
  ofProcess(pid: number): FakeNamespace;
  ofPath(path: string): FakeNamespace;
}

type Device = NetLink & { hairpin?: boolean | undefined; isolated?: boolean | undefined; learning?: boolean | undefined; vlan?: number; mode?: string; pairedWith?: { namespace: FakeNamespace; device: Device } };

/** One namespace each for the host, every process and every path, made when first asked for. Calls are told with its name: "host add bridge docker0", "42 set eth0". */
export function openFakeNet(options: FakeNetOptions): FakeNet {
  const known = new Map<string, FakeNamespace>();
  const indexes = { last: 1, lastFd: 1000 };
  const open = (name: string) => {
    const found = known.get(name) ?? new FakeNamespace(name, { ...options, indexes });
    known.set(name, found);
    return found;
  };
  return {
    host: () => open('host'),
    ofProcess: (pid) => {
      if (!options.alive.has(pid)) throw options.failure('ENOENT', 'open', `/proc/${pid}/ns/net`);
      return open(String(pid));
    },
    ofPath: (path) => open(path),
  };
}

/** Programs that were run in it stand in `ran`; `settings` is what sysctls there are. */
export class FakeNamespace implements NetNamespace {
  readonly name: string;
  readonly devices: Device[] = [];
  readonly addressList: NetAddress[] = [];
  readonly routeList: NetRoute[] = [];
  readonly settings = new Map<string, string>([['ipv4/ip_forward', '0'], ['ipv6/conf/all/forwarding', '0'], ['ipv6/conf/default/forwarding', '0']]);
  readonly ran: Array<{ command: readonly string[]; input: string }> = [];
  /** "tcp 0.0.0.0:80" of what is bound. A test takes away what it closes. */
  readonly bound = new Set<string>();
  readonly #options: FakeNetOptions & { indexes: { last: number; lastFd: number } };

  constructor(name: string, options: FakeNetOptions & { indexes: { last: number; lastFd: number } }) {
    this.name = name;
    this.#options = options;
    this.devices.push({ index: 1, name: 'lo', kind: '', mac: '00:00:00:00:00:00', mtu: 65536, up: name === 'host', alias: '', master: 0, peer: 0 });
    this.addressList.push({ link: 1, address: '127.0.0.1/8', scope: 'host' });
  }

  links(): NetLink[] { this.#step('links'); return this.devices.map((device) => ({ ...device })); }
  link(name: string): NetLink | undefined { this.#step('link', name); const found = this.#find(name); return found && { ...found }; }
  addresses(): NetAddress[] { this.#step('addresses'); return this.addressList.map((entry) => ({ ...entry })); }
  routes(): NetRoute[] { this.#step('routes'); return this.routeList.map((entry) => ({ ...entry })); }

  addBridge(what: Parameters<NetNamespace['addBridge']>[0]): void { this.#step('add bridge', what.name); this.#add({ ...what, kind: 'bridge' }); }
  addDummy(what: Parameters<NetNamespace['addDummy']>[0]): void { this.#step('add dummy', what.name); this.#add({ ...what, kind: 'dummy' }); }

  addVlan({ name, parent, id, alias }: Parameters<NetNamespace['addVlan']>[0]): void {
    this.#step('add vlan', name);
    this.#add({ name, kind: 'vlan', alias, peer: this.#index(parent), vlan: id });
  }

  addVeth({ peer, master, ...what }: Parameters<NetNamespace['addVeth']>[0]): void {
    this.#step('add veth', what.name);
    const there = this.#own(peer.namespace);
    const masterIndex = master === undefined ? 0 : this.#index(master);
    if (there.#find(peer.name)) throw this.#options.failure('EEXIST', 'netlink', peer.name);
    const near = this.#add({ ...what, kind: 'veth', master: masterIndex });
    const far = there.#add({ ...peer, kind: 'veth', mtu: what.mtu, peer: near.index });
    near.peer = far.index;
    near.pairedWith = { namespace: there, device: far };
    far.pairedWith = { namespace: this, device: near };
  }

  addMacvlan({ into, parent, ...what }: Parameters<NetNamespace['addMacvlan']>[0]): void {
    this.#step('add macvlan', what.name);
    this.#own(into).#add({ ...what, kind: 'macvlan', peer: this.#index(parent) });
  }

  setLink(name: string, { rename, master, ...change }: Parameters<NetNamespace['setLink']>[1]): void {
    this.#step('set', name);
    const device = this.#get(name);
    Object.assign(device, change);
    if (master !== undefined) device.master = master === null ? 0 : this.#index(master);
    if (rename === undefined) return;
    if (this.#find(rename)) throw this.#options.failure('EEXIST', 'netlink', rename);
    device.name = rename;
  }

  setPort(name: string, what: Parameters<NetNamespace['setPort']>[1]): void { this.#step('set port', name); Object.assign(this.#get(name), what); }

  deleteLink(name: string): void {
    this.#step('delete', name);
    const device = this.#find(name);
    if (!device) return;
    this.#drop(device);
    if (device.pairedWith) device.pairedWith.namespace.#drop(device.pairedWith.device);
  }

  async removeLinks(names: readonly string[]): Promise<void> {
    await Promise.resolve();
    for (const name of names) this.deleteLink(name);
  }

  addAddress(name: string, address: string): void {
    this.#step('add address', `${address} ${name}`);
    const link = this.#index(name);
    if (this.addressList.some((entry) => entry.link === link && entry.address === address)) throw this.#options.failure('EEXIST', 'netlink', address);
    this.addressList.push({ link, address, scope: 'global' });
  }

  deleteAddress(name: string, address: string): void {
    this.#step('delete address', `${address} ${name}`);
    const link = this.#index(name);
    const at = this.addressList.findIndex((entry) => entry.link === link && entry.address === address);
    if (at < 0) throw this.#options.failure('EADDRNOTAVAIL', 'netlink', address);
    this.addressList.splice(at, 1);
  }

  setRoute({ link, destination, gateway = '', source = '' }: Parameters<NetNamespace['setRoute']>[0]): void {
    this.#step('set route', destination);
    const index = this.#index(link);
    const at = this.routeList.findIndex((entry) => entry.destination === destination);
    this.routeList.splice(at < 0 ? this.routeList.length : at, at < 0 ? 0 : 1, { link: index, destination, gateway, table: 254, source, scope: gateway === '' ? 'link' : 'global' });
  }

  deleteRoute({ destination }: Parameters<NetNamespace['deleteRoute']>[0]): void {
    this.#step('delete route', destination);
    const at = this.routeList.findIndex((entry) => entry.destination === destination);
    if (at < 0) throw this.#options.failure('ESRCH', 'netlink', destination);
    this.routeList.splice(at, 1);
  }

  forgetFlows({ addresses = [], udpPorts = [] }: Parameters<NetNamespace['forgetFlows']>[0]): number {
    this.#step('forget flows', [...addresses, ...udpPorts].join(' '));
    return 0;
  }

  sysctl(path: string): string | undefined { this.#step('sysctl', path); return this.settings.get(path); }

  setSysctl(path: string, value: string): void {
    this.#step('set sysctl', `${path}=${value}`);
    if (!this.settings.has(path) && !this.#ofDevice(path)) throw this.#options.failure('ENOENT', 'open', path);
    this.settings.set(path, value);
  }

  udpSocket(at: Parameters<NetNamespace['udpSocket']>[0]): { fd: number; port: number } { return this.#bind('udp', at); }
  tcpListener(at: Parameters<NetNamespace['tcpListener']>[0]): { fd: number; port: number } { return this.#bind(at.protocol ?? 'tcp', at); }
  tcpConnection(to: Parameters<NetNamespace['tcpConnection']>[0]): number { this.#step('connect', `${to.address}:${to.port}`); return ++this.#options.indexes.lastFd; }

  async run(command: readonly [string, ...string[]], input = ''): Promise<string> {
    this.#step('run', command.join(' '));
    this.ran.push({ command, input });
    return await Promise.resolve(this.#options.onRun?.(command, input) ?? '');
  }

  [Symbol.dispose](): void { /* nothing is held */ }

  #step(call: string, about?: string): void { this.#options.step(`${this.name} ${call}`, about); }
  #find(name: string): Device | undefined { return this.devices.find((device) => device.name === name); }

  #get(name: string): Device {
    const found = this.#find(name);
    if (!found) throw this.#options.failure('ENODEV', 'netlink', name);
    return found;
  }

  #index(name: string): number { return this.#get(name).index; }

  #add(what: { name: string; kind: string } & { [Key in keyof Device]?: Device[Key] | undefined }): Device {
    if (this.#find(what.name)) throw this.#options.failure('EEXIST', 'netlink', what.name);
    const index = ++this.#options.indexes.last;
    const given = Object.fromEntries(Object.entries(what).filter(([key, value]) => value !== undefined && key !== 'namespace'));
    const device: Device = { name: what.name, kind: what.kind, index, mac: `02:00:00:00:00:${(index & 0xff).toString(16).padStart(2, '0')}`, mtu: 1500, up: false, alias: '', master: 0, peer: 0, ...given };
    this.devices.push(device);
    return device;
  }

  #drop(device: Device): void {
    this.devices.splice(this.devices.indexOf(device), 1);
    for (const list of [this.addressList, this.routeList]) for (const entry of list.filter(({ link }) => link === device.index)) list.splice(list.indexOf(entry as never), 1);
    for (const port of this.devices) if (port.master === device.index) port.master = 0;
  }

  #ofDevice(path: string): boolean {
    const name = /^ipv[46]\/(?:conf|neigh)\/([^/]+)\//.exec(path)?.[1];
    return name !== undefined && (name === 'all' || name === 'default' || this.#find(name) !== undefined);
  }

  #bind(protocol: string, { address, port }: { address: string; port: number }): { fd: number; port: number } {
    this.#step('bind', `${protocol} ${address}:${port}`);
    let chosen = port;
    const taken = (candidate: number) => this.bound.has(`${protocol} ${address}:${candidate}`);
    if (chosen === 0) { chosen = 49153; while (taken(chosen)) chosen++; }
    if (taken(chosen)) throw this.#options.failure('EADDRINUSE', 'bind', `${address}:${chosen}`);
    this.bound.add(`${protocol} ${address}:${chosen}`);
    return { fd: ++this.#options.indexes.lastFd, port: chosen };
  }

  #own(namespace: NetNamespace): FakeNamespace {
    if (!(namespace instanceof FakeNamespace)) throw this.#options.failure('EINVAL', 'setns', 'a namespace of another kernel');
    return namespace;
  }
}
