// A machine in a network namespace of its own for tests of this room, with containers that are one sleeping process each.
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { openLinux, type Kernel } from '../kernel/index.ts';
import { systemClock } from '../lib/clock.ts';
import { silentLog } from '../lib/log.ts';
import type { NetworkRecord } from '../store/index.ts';
import { openNetns, type Netns } from '../../test/kit/netns.ts';
import { until } from '../../test/kit/poll.ts';
import { openNetwork, type EndpointWish, type Network, type NetworkSettings, type SandboxWish } from './index.ts';

export const SETTINGS: NetworkSettings = {
  bridge: 'docker0', bip: '', fixedCidr: '', fixedCidrV6: '', defaultGateway: '', defaultGatewayV6: '', ipv6: false, mtu: 0, icc: true, ipMasq: true, ipForward: true,
  iptables: true, ip6tables: true, hostIp: '', userlandProxy: true, dns: [], dnsSearch: [], dnsOptions: [], hostGatewayIp: '', addressPools: [],
};

export interface Container { pid: number; run(...words: string[]): string; end(): Promise<void> }
export interface Machine extends AsyncDisposable {
  netns: Netns;
  kernel: Pick<Kernel, 'net' | 'programs'>;
  /** The room anew, as after a start of the daemon. */
  open(settings?: Partial<NetworkSettings>, daemonId?: string): Promise<Network>;
  /** A process in a namespace of its own. */
  container(): Promise<Container>;
}

export function openMachine(execRoot: string): Machine {
  const netns = openNetns();
  const linux = openLinux({ selfCommand: [process.execPath] });
  const kernel = { programs: linux.programs, net: { ...linux.net, host: () => linux.net.ofPath(netns.path) } };
  const containers: Container[] = [];
  const rooms: Network[] = [];
  return {
    netns, kernel,
    async open(settings = {}, daemonId = 'one') {
      const room = await openNetwork({ kernel, log: silentLog, clock: systemClock, execRoot, daemonId, settings: { ...SETTINGS, ...settings } });
      rooms.push(room);
      return room;
    },
    async container() {
      const container = await startContainer();
      containers.push(container);
      return container;
    },
    async [Symbol.asyncDispose]() {
      for (const room of rooms) await room.end();
      for (const container of containers) await container.end();
      await netns[Symbol.asyncDispose]();
    },
  };
}

async function startContainer(): Promise<Container> {
  const child = spawn('unshare', ['--net', 'busybox', 'sleep', '600'], { stdio: 'ignore' });
  const { pid = 0 } = child;
  const ended = new Promise<void>((resolve) => { child.once('close', () => resolve()); });
  const own = readlinkSync('/proc/self/ns/net');
  await until('a namespace of its own', () => readlinkSync(`/proc/${pid}/ns/net`) !== own);
  return {
    pid,
    run: (...words) => execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000 }).trim(),
    end: () => { child.kill('SIGKILL'); return ended; },
  };
}

export const randomId = (): string => randomBytes(32).toString('hex');

/** `subnets` with their gateways: "10.1.0.0/24 10.1.0.1". */
export function network(name: string, subnets: readonly string[], more: Partial<NetworkRecord> = {}): NetworkRecord {
  const pools = subnets.map((text) => {
    const [subnet = '', gateway = ''] = text.split(' ');
    return { subnet, range: subnet, gateway, aux: {} };
  });
  const v6 = pools.filter(({ subnet }) => subnet.includes(':'));
  return {
    Id: randomId(), Name: name, Created: '2026-01-01T00:00:00Z', Driver: 'bridge', EnableIPv6: v6.length > 0, Internal: false, Attachable: false, Ingress: false, ConfigOnly: false,
    ConfigFrom: '', Options: {}, Labels: {}, IPAM: { Driver: 'default', Options: null, Config: [] }, pools: { v4: pools.filter((pool) => !v6.includes(pool)), v6 }, ...more,
  };
}

export const DEFAULT_NETWORK = (): NetworkRecord => network('bridge', ['172.17.0.0/16 172.17.0.1'], { Options: { 'com.docker.network.bridge.name': 'docker0', 'com.docker.network.bridge.default_bridge': 'true' } });

export const place = (record: NetworkRecord, more: Partial<EndpointWish> = {}): EndpointWish => ({
  network: record, endpointId: randomId(), ipv4: '', ipv6: '', linkLocal: [], mac: '', driverOpts: {}, gwPriority: 0, names: [], links: new Map(), ...more,
});

export const sandboxWish = (endpoints: readonly EndpointWish[], more: Partial<SandboxWish> = {}): SandboxWish => ({
  id: randomId(), sandboxId: randomId(), endpoints, ports: [], dns: [], dnsSearch: [], dnsOptions: [], sysctls: {}, linkedPorts: [], ...more,
});
