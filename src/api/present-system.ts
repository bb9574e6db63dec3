// The engine about itself, and its events, as Docker's JSON.
import type { SystemInfo, SystemVersion } from '../engine/index.ts';
import type { EventLine } from '../wire/types.ts';
import { keeps, type ApiVersion } from './routes.ts';
import { DOCKER_VERSION, MAX_VERSION, MIN_VERSION } from './version.ts';

/** Tools look here to learn whether pulls of deltas will work; this is the name they know. */
const DELTA_ENGINE = 'balena-engine';
const HUB = 'docker.io';

/** GET /version */
export function presentVersion(version: SystemVersion) {
  const facts = { Arch: version.arch, BuildTime: version.buildTime, GitCommit: version.gitCommit, GoVersion: version.nodeVersion, KernelVersion: version.kernelVersion, Os: version.os };
  const limits = { ApiVersion: MAX_VERSION, MinAPIVersion: MIN_VERSION };
  const engine = { Name: 'Engine', Version: DOCKER_VERSION, Details: { ...limits, ...facts, Experimental: String(version.experimental) } };
  const self = { Name: 'vaquita', Version: version.version, Details: { GitCommit: version.gitCommit } };
  return {
    Platform: { Name: `Vaquita ${version.version}` },
    Components: [engine, self, ...version.components.map(({ name, version: of }) => ({ Name: name, Version: of, Details: { GitCommit: '' } }))],
    Engine: DELTA_ENGINE, Version: DOCKER_VERSION, ...limits, ...facts, ...(version.experimental ? { Experimental: true } : {}),
  };
}

/** GET /info */
export function presentInfo(info: SystemInfo, version: ApiVersion) {
  const can = info.abilities;
  return {
    ID: info.id, Containers: info.containers.total, ContainersRunning: info.containers.running, ContainersPaused: info.containers.paused,
    ContainersStopped: info.containers.stopped, Images: info.images, Driver: 'overlay2', DriverStatus: info.driverStatus,
    Plugins: { Volume: ['local'], Network: info.networkDrivers, Authorization: null, Log: info.logDrivers },
    MemoryLimit: can.memory, SwapLimit: can.swap, ...(keeps(version, 42) ? { KernelMemory: can.kernelMemory } : {}), KernelMemoryTCP: can.kernelMemoryTcp,
    CpuCfsPeriod: can.cpuPeriod, CpuCfsQuota: can.cpuQuota, CPUShares: can.cpuShares, CPUSet: can.cpuset, PidsLimit: can.pids, IPv4Forwarding: info.ipv4Forwarding,
    ...(keeps(version, 50) ? { BridgeNfIptables: info.bridgeNfIptables, BridgeNfIp6tables: info.bridgeNfIp6tables } : {}),
    Debug: info.debug, NFd: info.fileDescriptors, OomKillDisable: can.oomKillDisable, NGoroutines: info.threads, SystemTime: info.systemTime,
    LoggingDriver: info.loggingDriver, CgroupDriver: info.cgroupDriver, CgroupVersion: info.cgroupVersion, NEventsListener: info.eventListeners,
    KernelVersion: info.kernelVersion, OperatingSystem: info.operatingSystem, OSVersion: info.osVersion, OSType: info.osType, Architecture: info.architecture,
    IndexServerAddress: info.indexServerAddress, RegistryConfig: presentRegistries(info), NCPU: info.cpus, MemTotal: info.memoryBytes,
    GenericResources: null, DockerRootDir: info.dockerRootDir, HttpProxy: info.httpProxy, HttpsProxy: info.httpsProxy, NoProxy: info.noProxy,
    Name: info.name, Labels: info.labels, ExperimentalBuild: info.experimental, ServerVersion: DOCKER_VERSION, Runtimes: presentRuntimes(info.runtimes),
    DefaultRuntime: info.defaultRuntime, Swarm: { NodeID: '', NodeAddr: '', LocalNodeState: 'inactive', ControlAvailable: false, Error: '', RemoteManagers: null },
    LiveRestoreEnabled: info.liveRestore, Isolation: '', InitBinary: info.initBinary, ContainerdCommit: { ID: '', Expected: '' },
    RuncCommit: { ID: info.crunVersion, Expected: info.crunVersion }, InitCommit: { ID: '', Expected: '' }, SecurityOptions: info.securityOptions,
    ...(info.addressPools.length > 0 ? { DefaultAddressPools: info.addressPools.map(({ base, size }) => ({ Base: base, Size: size })) } : {}),
    CDISpecDirs: [], Warnings: info.warnings.length > 0 ? info.warnings : null,
  };
}

/** A line of GET /events. Clients below 1.52 read status, id and from; those of containers and images have them. */
export function presentEvent(event: EventLine): object {
  const { status: _status, id: _id, from: _from, ...rest } = event;
  if (event.Type !== 'container' && event.Type !== 'image') return rest;
  const from = event.Type === 'container' ? event.Actor.Attributes['image'] : undefined;
  return { status: event.Action, ...(event.Actor.ID === '' ? {} : { id: event.Actor.ID }), ...(from === undefined ? {} : { from }), ...rest };
}

function presentRegistries(info: SystemInfo) {
  const isRange = (name: string) => /^[0-9a-fA-F.:]+\/\d+$/.test(name);
  const hosts = info.insecureRegistries.filter((name) => !isRange(name));
  return {
    AllowNondistributableArtifactsCIDRs: [], AllowNondistributableArtifactsHostnames: [],
    InsecureRegistryCIDRs: [...new Set(['127.0.0.0/8', '::1/128', ...info.insecureRegistries.filter(isRange)])],
    IndexConfigs: {
      [HUB]: { Name: HUB, Mirrors: info.registryMirrors, Secure: true, Official: true },
      ...Object.fromEntries(hosts.map((name) => [name, { Name: name, Mirrors: [], Secure: false, Official: false }])),
    },
    Mirrors: info.registryMirrors,
  };
}

const presentRuntimes = (runtimes: SystemInfo['runtimes']) =>
  Object.fromEntries(Object.entries(runtimes).map(([name, { path, args }]) => [name, { path, ...(args.length > 0 ? { runtimeArgs: args } : {}) }]));
