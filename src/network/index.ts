// Networks in the kernel: bridges and macvlans, endpoints of containers, published ports, firewall rules, names. Survives the daemon: what it made is found and matched at the next start.
import type { NetworkPools, NetworkRecord } from '../store/index.ts';
import type { StringMap } from '../wire/types.ts';

/** What the daemon was told about networks. */
export interface NetworkSettings {
  /** Device of the default network; 'none': there is no default network. One of that name that is there already is used as it is. */
  bridge: string;
  /** Address of that device with its prefix, as in --bip; '' chooses one from the pools. */
  bip: string;
  /** The part of the default network's subnet that containers get addresses of; '' all of it. */
  fixedCidr: string;
  fixedCidrV6: string;
  /** '' the device's own address. */
  defaultGateway: string;
  defaultGatewayV6: string;
  /** Whether the default network has IPv6. */
  ipv6: boolean;
  /** Of the default network; 0: the kernel's. */
  mtu: number;
  /** Whether containers of the default network may talk to each other. */
  icc: boolean;
  ipMasq: boolean;
  ipForward: boolean;
  iptables: boolean;
  ip6tables: boolean;
  /** Where ports are published that name no address; '' everywhere. */
  hostIp: string;
  /** Whether the daemon itself passes on what the kernel cannot (::1, or everything local without firewall rules). */
  userlandProxy: boolean;
  /** Given to containers that say nothing themselves. */
  dns: readonly string[];
  dnsSearch: readonly string[];
  dnsOptions: readonly string[];
  /** What host-gateway stands for; '' the default network's gateway. */
  hostGatewayIp: string;
  /** Pools that subnets are taken from, in this order: base "172.17.0.0/16", size 16. Empty: Docker's own. */
  addressPools: ReadonlyArray<{ base: string; size: number }>;
}

/** A network as a client wants it; checked for itself already, but not against the others. */
export interface NetworkWish {
  name: string;
  driver: 'bridge' | 'macvlan';
  ipv6: boolean;
  /** As asked: one entry per subnet, possibly without one. */
  config: ReadonlyArray<{ subnet: string; ipRange: string; gateway: string; auxAddresses: StringMap }>;
  options: StringMap;
  internal: boolean;
}

/** A place in a network, as wanted. */
export interface EndpointWish {
  network: NetworkRecord;
  /** 64 hex digits, chosen by the caller. */
  endpointId: string;
  /** '' leaves the choice. */
  ipv4: string;
  ipv6: string;
  linkLocal: readonly string[];
  mac: string;
  driverOpts: StringMap;
  /** Of several networks the one with the highest is the way out; equal ones by name, as Docker decides. */
  gwPriority: number;
  /** What others in this network may call it: name, short ID, aliases. The first one is what an address is resolved to. */
  names: readonly string[];
  /** Names that hold for this container alone: alias to the ID of the container meant. */
  links: ReadonlyMap<string, string>;
}

/** What an endpoint got; '' and 0 for what it has not. Addresses without prefix. */
export interface Endpoint {
  networkId: string;
  endpointId: string;
  ipv4: string;
  ipv4PrefixLen: number;
  gateway: string;
  ipv6: string;
  ipv6PrefixLen: number;
  ipv6Gateway: string;
  mac: string;
  /** Name of the interface inside, such as eth0; '' before `attach`. */
  interfaceName: string;
}

export type Protocol = 'tcp' | 'udp' | 'sctp';
/** `hostPorts`: first and last one that will do; 0 to 0: any free one. */
export interface PortWish { port: number; protocol: Protocol; hostIp: string; hostPorts: { first: number; last: number } }
export interface PublishedPort { port: number; protocol: Protocol; hostIp: string; hostPort: number }

/** The network side of one run of a container. */
export interface SandboxWish {
  /** The container's. */
  id: string;
  /** Docker's SandboxID: 64 hex digits, new for each run. `Sandbox.key` is made from it. */
  sandboxId: string;
  endpoints: readonly EndpointWish[];
  ports: readonly PortWish[];
  /** Own servers, search and options of the container, or empty: the daemon's, then the host's. */
  dns: readonly string[];
  dnsSearch: readonly string[];
  dnsOptions: readonly string[];
  /**
   * Those of the container's settings that need its interfaces or that a start sets itself: all below net.ipv4.conf, net.ipv6.conf and
   * net.*.neigh, with Docker's names ("net.ipv6.conf.all.disable_ipv6"). Set last, so that they win; the runtime is not told about them.
   */
  sysctls: StringMap;
  /** Addresses of legacy links in the default network whose ports are opened although containers there may not talk to each other. */
  linkedPorts: ReadonlyArray<{ ipv4: string; port: number; protocol: Protocol }>;
}

export interface Sandbox {
  readonly id: string;
  /** Docker's SandboxKey: a link in the exec root to the namespace; there from `attach` to `release`. */
  readonly key: string;
  /** By network ID, in the order of connection. */
  readonly endpoints: ReadonlyMap<string, Endpoint>;
  /** May change with `connect` and `disconnect`: ports are published for the network that is the way out, and not at all without one. */
  readonly published: readonly PublishedPort[];
  /** What its /etc/resolv.conf says; another text after the first network with names was connected. */
  readonly resolvConf: string;
  /** Sets everything up for the namespace of a process that was made and whose program does not run yet. On failure nothing is left; `release` is still due. */
  attach(pid: number): Promise<void>;
  /** One more network while it runs. All or nothing. */
  connect(wish: EndpointWish): Promise<Endpoint>;
  disconnect(networkId: string): Promise<void>;
  /** New names after a rename. */
  rename(names: ReadonlyMap<string, readonly string[]>): void;
  /** Gives back ports, rules, devices and addresses. Never fails; what could not be taken away is logged and taken at the next start. */
  release(): Promise<void>;
}

export interface Network {
  readonly settings: NetworkSettings;
  /** The subnets a new network gets, besides those of `others` and of the host's own. Errors: invalid, forbidden, conflict in Docker's words. Changes nothing. */
  plan(wish: NetworkWish, others: readonly NetworkRecord[]): NetworkPools;
  /** The record of the default network as settings and kernel want it; undefined when there is none. */
  planDefault(others: readonly NetworkRecord[]): NetworkPools | undefined;
  /**
   * What is left in the kernel of a network whose record is lost: the name of its bridge, where that is there, and whether the host is in one of these
   * subnets ("10.1.0.1/16") by another device: then it was no bridge, or its subnet is somebody else's by now.
   */
  remains(networkId: string, subnets: readonly string[]): { bridge: string | undefined; elsewhere: boolean };
  /** Makes its device and its rules, or adopts those that are there. All or nothing. */
  open(network: NetworkRecord): Promise<void>;
  /** Takes them away again; only devices of our own making. Sandboxes in it that are being released are waited for; another one in it is a bug. */
  close(network: NetworkRecord): Promise<void>;
  /** Addresses and ports for a run; the kernel's devices are not touched yet. Errors before anything was changed: forbidden (address in use, outside …), conflict-like system errors for ports, in Docker's words. */
  prepare(wish: SandboxWish): Promise<Sandbox>;
  /** A sandbox that an earlier daemon made for a process that still runs, with what it got then. */
  adopt(wish: SandboxWish, got: { pid: number; endpoints: readonly Endpoint[]; published: readonly PublishedPort[] }): Promise<Sandbox>;
  sandbox(containerId: string): Sandbox | undefined;
  /** What /etc/resolv.conf says in a container without a sandbox of ours: in the host's namespace, or (`none`) without a network. */
  resolvConf(own: Pick<SandboxWish, 'dns' | 'dnsSearch' | 'dnsOptions'>, mode: 'host' | 'none'): string;
  /**
   * After the start, when every network is open and every sandbox adopted: whatever of ours the kernel has beyond that goes. `keep`: IDs of networks
   * that could not be opened now, but whose containers may still use what there is.
   */
  settle(options?: { keep: readonly string[] }): Promise<void>;
  /** What host-gateway stands for; undefined when there is no default network and no setting. */
  hostGateway(): string | undefined;
  /** Whether the firewall's program is there, and which: for `info` and the log. */
  readonly facts: { firewall: 'nf_tables' | 'legacy' | 'none'; note: string };
  /** Stops listening. Networks and endpoints go on. */
  end(): Promise<void>;
}

export { bridgeOf, BRIDGE_NAME } from './devices.ts'; // what the device of a bridge network is called, and the option that says so
export { openNetwork, type NetworkNeeds } from './network.ts'; // openNetwork(needs: NetworkNeeds): Promise<Network>
