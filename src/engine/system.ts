// info, version, df: what the engine says of itself and its machine.
import { availableParallelism, totalmem } from 'node:os';
import { formatNanos } from '../lib/clock.ts';
import type { Platform } from '../oci/manifest.ts';
import type { Abilities } from '../runtime/index.ts';
import type { ContainerNeeds } from './containers/needs.ts';
import { listContainers } from './containers/list.ts';
import { totalBytes } from './images/remove.ts';
import type { NetNamespace } from '../kernel/index.ts';
import { listImages } from './images/view.ts';
import { LOG_DRIVERS } from '../logs/index.ts';
import type { SystemFace, SystemInfo } from './index.ts';
import { volumesWithUsage } from './volumes/verbs.ts';

/** What does not change while the daemon runs; gathered by the daemon. */
export interface SystemFacts {
  engineVersion: string;
  gitCommit: string;
  buildTime: string;
  nodeVersion: string;
  kernelVersion: string;
  operatingSystem: string;
  osVersion: string;
  /** uname -m */
  machine: string;
  platform: Platform;
  daemonId: string;
  hostName: string;
  debug: boolean;
  experimental: boolean;
  labels: readonly string[];
  insecureRegistries: readonly string[];
  registryMirrors: readonly string[];
  proxy: { http?: string; https?: string; no?: string };
  warnings: readonly string[];
}

export function openSystem(needs: ContainerNeeds & { usersOf: (id: string) => number }, facts: SystemFacts): SystemFace {
  const { runtime } = needs;
  return {
    version: () => ({
      version: facts.engineVersion, gitCommit: facts.gitCommit, buildTime: facts.buildTime, nodeVersion: facts.nodeVersion, os: 'linux',
      arch: facts.platform.architecture, kernelVersion: facts.kernelVersion, experimental: facts.experimental,
      components: [{ name: 'crun', version: runtime.facts.crunVersion }, { name: 'conmon', version: runtime.facts.conmonVersion }, { name: 'node', version: facts.nodeVersion }],
    }),
    info: async () => infoOf(needs, facts),
    metrics: () => ({
      actions: needs.metrics.actions(), networkActions: needs.metrics.networkActions(), containers: countStates(needs), healthChecks: needs.metrics.healthChecks, healthChecksFailed: needs.metrics.healthChecksFailed,
      events: needs.events.published, eventSubscribers: needs.events.listeners,
    }),
    async diskUsage() {
      const none = new Map<string, readonly string[]>();
      return {
        layersSizeBytes: totalBytes(needs.store),
        images: listImages(needs.store, { all: false, sharedSize: true, filters: none, usersOf: needs.usersOf, clock: needs.clock }),
        containers: await listContainers(needs, { all: true, limit: 0, size: true, filters: none }),
        volumes: await volumesWithUsage(needs),
      };
    },
  };
}

function countStates({ table }: ContainerNeeds): { running: number; paused: number; stopped: number } {
  const count = { running: 0, paused: 0, stopped: 0 };
  for (const { state } of table.all()) count[state.status === 'paused' ? 'paused' : state.status === 'running' || state.status === 'restarting' ? 'running' : 'stopped']++;
  return count;
}

function infoOf(needs: ContainerNeeds, facts: SystemFacts): SystemInfo {
  const { runtime, store, table } = needs;
  const states = countStates(needs);
  const can = runtime.facts.abilities;
  const note = runtime.facts.cgroupNote;
  using host = needs.kernel.net.host();
  const forwarding = forwardingOf(host);
  return {
    id: facts.daemonId, name: facts.hostName,
    containers: { total: table.all().length, ...states },
    images: store.images.list().length,
    driverStatus: [['Backing Filesystem', 'extfs'], ['Supports d_type', 'true'], ['Native Overlay Diff', 'true'], ['userxattr', 'false']],
    dockerRootDir: store.root, debug: facts.debug, experimental: facts.experimental, liveRestore: true,
    cpus: availableParallelism(), memoryBytes: totalmem(), operatingSystem: facts.operatingSystem, osVersion: facts.osVersion, osType: 'linux',
    architecture: facts.machine, kernelVersion: facts.kernelVersion,
    cgroupDriver: runtime.facts.cgroupDriver, cgroupVersion: String(runtime.facts.cgroupVersion),
    defaultRuntime: needs.defaults.runtime, runtimes: runtime.facts.runtimes,
    securityOptions: [...runtime.facts.guards, ...(store.idMap ? ['name=userns'] : []), ...(runtime.facts.cgroupVersion === 2 ? ['name=cgroupns'] : [])],
    labels: facts.labels,
    warnings: [...facts.warnings, ...missingLimits(can, runtime.facts.cgroupVersion), ...missingForwarding(forwarding), ...(note === '' ? [] : [`WARNING: ${note}`]),
      ...(runtime.facts.missingCapabilities.length === 0 ? [] : [`WARNING: this machine lacks ${runtime.facts.missingCapabilities.join(', ')}; privileged containers run without`]),
      ...needs.networks.all().flatMap(({ Id, Name }) => needs.networks.brokenOf(Id)?.replace(/^/, `WARNING: network ${Name} could not be set up: `) ?? []),
      ...store.recovered.quarantined.map(({ path, reason }) => `WARNING: a damaged record was set aside: ${path}: ${reason}`)],
    systemTime: formatNanos(needs.clock.nowNanos()), indexServerAddress: 'https://index.docker.io/v1/',
    insecureRegistries: facts.insecureRegistries, registryMirrors: facts.registryMirrors, loggingDriver: needs.defaults.log.driver, logDrivers: LOG_DRIVERS.filter((name) => name !== 'none'),
    httpProxy: facts.proxy.http ?? '', httpsProxy: facts.proxy.https ?? '', noProxy: facts.proxy.no ?? '',
    eventListeners: needs.events.listeners, fileDescriptors: 0, threads: 0, crunVersion: runtime.facts.crunVersion, conmonVersion: runtime.facts.conmonVersion,
    initBinary: 'docker-init', abilities: can,
    networkDrivers: NETWORK_DRIVERS, ...forwarding, addressPools: needs.network.settings.addressPools,
  };
}

/** By name, as Docker sorts them. */
const NETWORK_DRIVERS = ['bridge', 'host', 'macvlan', 'null'] as const;

type Forwarding = Pick<SystemInfo, 'ipv4Forwarding' | 'bridgeNfIptables' | 'bridgeNfIp6tables'>;

/** Whether packets of bridges get anywhere, and pass the firewall. */
function forwardingOf(host: Pick<NetNamespace, 'sysctl'>): Forwarding {
  const isOn = (path: string) => host.sysctl(path)?.trim() === '1';
  return { ipv4Forwarding: isOn('ipv4/ip_forward'), bridgeNfIptables: isOn('bridge/bridge-nf-call-iptables'), bridgeNfIp6tables: isOn('bridge/bridge-nf-call-ip6tables') };
}

function missingForwarding({ ipv4Forwarding, bridgeNfIptables, bridgeNfIp6tables }: Forwarding): string[] {
  const wanted = [[ipv4Forwarding, 'IPv4 forwarding'], [bridgeNfIptables, 'bridge-nf-call-iptables'], [bridgeNfIp6tables, 'bridge-nf-call-ip6tables']] as const;
  return wanted.filter(([there]) => !there).map(([, what]) => `WARNING: ${what} is disabled`);
}

/** In the words that Docker has for each, which scripts look for. */
export function missingLimits(can: Abilities, cgroupVersion: 1 | 2): string[] {
  const wanted: ReadonlyArray<readonly [there: boolean, what: string]> = [
    [can.memory, 'memory limit'], [can.swap, 'swap limit'], [can.kernelMemoryTcp || cgroupVersion === 2, 'kernel memory TCP limit'], [can.oomKillDisable || cgroupVersion === 2, 'oom kill disable'],
    [can.cpuQuota, 'cpu cfs quota'], [can.cpuPeriod, 'cpu cfs period'], [can.cpuShares, 'cpu shares'], [can.cpuset, 'cpuset'],
  ];
  return wanted.filter(([there]) => !there).map(([, what]) => `WARNING: No ${what} support`);
}
