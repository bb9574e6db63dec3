// Container and exec records as Docker's JSON, with what API versions differ in.
import type { ContainerView, ExecView } from '../engine/index.ts';
import { ZERO_TIME } from '../lib/clock.ts';
import type { OverlayMount, RecordedEndpoint, RecordedNetworkSettings } from '../store/index.ts';
import type { ContainerConfig, ContainerState, HostConfig, MountSpec, StringMap } from '../wire/types.ts';
import { humanDuration } from '../wire/units.ts';
import { keeps, since, type ApiVersion } from './routes.ts';

const SHORT_ID = 12;
/** Networks without names. */
const PREDEFINED: readonly string[] = ['bridge', 'host', 'none'];

/** GET /containers/{name}/json */
export function presentContainer(view: ContainerView, version: ApiVersion) {
  const { record } = view;
  return {
    Id: record.ID, Created: record.Created, Path: record.Path, Args: record.Args, State: presentState(view), Image: record.Image,
    ResolvConfPath: record.ResolvConfPath, HostnamePath: record.HostnamePath, HostsPath: record.HostsPath, LogPath: record.LogPath,
    Name: record.Name, RestartCount: record.RestartCount, Driver: record.Driver, Platform: record.OS || 'linux', MountLabel: record.MountLabel,
    ProcessLabel: record.ProcessLabel, AppArmorProfile: record.AppArmorProfile, ExecIDs: view.execIds.length > 0 ? view.execIds : null,
    HostConfig: presentHostConfig(view.hostConfig, version),
    GraphDriver: { Data: view.graph ? { ID: record.ID, ...graphData(view.graph) } : null, Name: record.Driver },
    ...(view.sizeRwBytes === undefined ? {} : { SizeRw: view.sizeRwBytes }),
    ...(view.sizeRootFsBytes === undefined ? {} : { SizeRootFs: view.sizeRootFsBytes }),
    Mounts: view.mounts, Config: presentConfig(record.Config), NetworkSettings: presentNetworkSettings(view, version),
  };
}

/** One entry of GET /containers/json */
export function presentSummary(view: ContainerView, options: { version: ApiVersion; now: number }) {
  const { record, hostConfig } = view;
  const annotations = hostConfig.Annotations && Object.keys(hostConfig.Annotations).length > 0 && since(options.version, 46) ? { Annotations: hostConfig.Annotations } : {};
  return {
    Id: record.ID, Names: view.names, Image: view.imageName, ImageID: view.imageId, Command: commandLine(record.Path, record.Args),
    Created: secondsOf(record.Created), Ports: presentPorts(view.network.Ports),
    ...(view.sizeRwBytes ? { SizeRw: view.sizeRwBytes } : {}), ...(view.sizeRootFsBytes ? { SizeRootFs: view.sizeRootFsBytes } : {}),
    Labels: sorted(record.Config.Labels ?? {}), State: view.status, Status: statusText(record.State, options.now),
    HostConfig: { NetworkMode: hostConfig.NetworkMode, ...annotations },
    NetworkSettings: { Networks: presentEndpoints(view, options.version) }, Mounts: view.mounts,
  };
}

/** GET /exec/{id}/json */
export function presentExec(exec: ExecView) {
  const { process } = exec;
  return {
    ID: exec.id, Running: exec.running, ExitCode: exec.exitCode,
    ProcessConfig: {
      tty: process.tty, entrypoint: process.entrypoint, arguments: process.arguments, privileged: process.privileged,
      ...(process.user === '' ? {} : { user: process.user }),
    },
    OpenStdin: exec.openStdin, OpenStderr: exec.openStderr, OpenStdout: exec.openStdout, CanRemove: exec.canRemove, ContainerID: exec.containerId,
    DetachKeys: exec.detachKeys, Pid: exec.pid,
  };
}

/** The STATUS column of ps. */
export function statusText(state: ContainerState, now: number): string {
  const age = (time: string) => humanDuration(Math.max(0, now - Date.parse(time)));
  if (state.Running) {
    if (state.Paused) return `Up ${age(state.StartedAt)} (Paused)`;
    if (state.Restarting) return `Restarting (${state.ExitCode}) ${age(state.FinishedAt)} ago`;
    return `Up ${age(state.StartedAt)}${healthText(state)}`;
  }
  if (state.Restarting) return `Restarting (${state.ExitCode}) ${age(state.FinishedAt)} ago`;
  if (state.RemovalInProgress) return 'Removal In Progress';
  if (state.Dead) return 'Dead';
  if (isZero(state.StartedAt)) return 'Created';
  return isZero(state.FinishedAt) ? '' : `Exited (${state.ExitCode}) ${age(state.FinishedAt)} ago`;
}

export const graphData = (graph: Pick<OverlayMount, 'upperDir' | 'workDir' | 'mergedDir'> & { lowerDirs: readonly string[] }): StringMap => ({
  ...(graph.lowerDirs.length > 0 ? { LowerDir: graph.lowerDirs.join(':') } : {}), MergedDir: graph.mergedDir, UpperDir: graph.upperDir, WorkDir: graph.workDir,
});

/** Unix seconds of an RFC 3339 time; 0 where there is none. */
export const secondsOf = (time: string): number => Math.floor((Date.parse(time) || 0) / 1000);

/** Go writes maps in the order of their keys. */
export const sorted = <T>(map: Readonly<Record<string, T>>): Record<string, T> => Object.fromEntries(Object.entries(map).toSorted(([a], [b]) => (a < b ? -1 : 1)));

const isZero = (time: string) => time === '' || time.startsWith(ZERO_TIME.slice(0, 10));

function healthText(state: ContainerState): string {
  switch (state.Health?.Status) {
    case undefined: case 'none': return '';
    case 'starting': return ' (health: starting)';
    case 'healthy': case 'unhealthy': return ` (${state.Health.Status})`;
  }
}

function presentState({ record, status }: ContainerView) {
  const { State: state } = record;
  const health = state.Health && state.Health.Status !== 'none' ? { Health: state.Health } : {};
  return {
    Status: status, Running: state.Running, Paused: state.Paused, Restarting: state.Restarting, OOMKilled: state.OOMKilled, Dead: state.Dead, Pid: state.Pid,
    ExitCode: state.ExitCode, Error: state.Error, StartedAt: state.StartedAt || ZERO_TIME, FinishedAt: state.FinishedAt || ZERO_TIME, ...health,
  };
}

function presentHostConfig(hostConfig: HostConfig, version: ApiVersion): object {
  const { KernelMemory, KernelMemoryTCP, ContainerIDEnv, Annotations, StorageOpt, Tmpfs, Sysctls, Mounts, ...rest } = hostConfig;
  return {
    ...rest, ...saying({ StorageOpt, Tmpfs, Sysctls, Annotations: version.minor < 43 ? undefined : Annotations, Mounts: (Mounts ?? []).map(presentMount) }),
    ...(keeps(version, 42) ? { KernelMemory: KernelMemory ?? 0, KernelMemoryTCP: KernelMemoryTCP ?? 0 } : {}),
    ...(ContainerIDEnv || keeps(version, 42) ? { ContainerIDEnv: ContainerIDEnv ?? '' } : {}),
  };
}

/** What Go leaves out because it says nothing: zero, false, an empty text, list or map. */
function saying<T extends object>(fields: T): Partial<T> {
  const says = (value: unknown) => value !== undefined && value !== null && value !== '' && value !== 0 && value !== false && !(typeof value === 'object' && Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => says(value))) as Partial<T>;
}

/** Options that were named stay, even if they say nothing. */
function presentMount(mount: MountSpec): object {
  const { BindOptions: bind, VolumeOptions: volume, TmpfsOptions: tmpfs, ...rest } = mount;
  const driver = volume?.DriverConfig;
  return {
    ...saying(rest), ...(bind ? { BindOptions: saying(bind) } : {}), ...(tmpfs ? { TmpfsOptions: saying(tmpfs) } : {}),
    ...(volume ? { VolumeOptions: { ...saying({ ...volume, DriverConfig: undefined }), ...(driver ? { DriverConfig: saying(driver) } : {}) } } : {}),
  };
}

/** Fields that Go leaves out when they say nothing are left out here too; lists and maps that must be there are. */
function presentConfig(config: ContainerConfig): object {
  const { ExposedPorts, Healthcheck, ArgsEscaped, NetworkDisabled, MacAddress, StopSignal, StopTimeout, Shell, ...rest } = config;
  return {
    ...rest, Env: config.Env ?? [], Labels: sorted(config.Labels ?? {}),
    ...(ExposedPorts && Object.keys(ExposedPorts).length > 0 ? { ExposedPorts } : {}), ...(Healthcheck ? { Healthcheck: saying(Healthcheck) } : {}),
    ...(ArgsEscaped ? { ArgsEscaped } : {}), ...(NetworkDisabled ? { NetworkDisabled } : {}), ...(MacAddress ? { MacAddress } : {}),
    ...(StopSignal ? { StopSignal } : {}), ...(StopTimeout === undefined || StopTimeout === null ? {} : { StopTimeout }), ...(Shell?.length ? { Shell } : {}),
  };
}

/** The fields beside Networks are those of the default bridge, kept for clients from before there were others. */
function presentNetworkSettings(view: ContainerView, version: ApiVersion) {
  const { network: settings } = view;
  const bridge = settings.Networks['bridge'];
  return {
    Bridge: settings.Bridge, SandboxID: settings.SandboxID, SandboxKey: settings.SandboxKey, Ports: settings.Ports ?? {},
    HairpinMode: settings.HairpinMode, LinkLocalIPv6Address: settings.LinkLocalIPv6Address, LinkLocalIPv6PrefixLen: settings.LinkLocalIPv6PrefixLen,
    SecondaryIPAddresses: settings.SecondaryIPAddresses, SecondaryIPv6Addresses: settings.SecondaryIPv6Addresses,
    EndpointID: bridge?.EndpointID ?? '', Gateway: bridge?.Gateway ?? '', GlobalIPv6Address: bridge?.GlobalIPv6Address ?? '',
    GlobalIPv6PrefixLen: bridge?.GlobalIPv6PrefixLen ?? 0, IPAddress: bridge?.IPAddress ?? '', IPPrefixLen: bridge?.IPPrefixLen ?? 0,
    IPv6Gateway: bridge?.IPv6Gateway ?? '', MacAddress: bridge?.MacAddress ?? '', Networks: presentEndpoints(view, version),
  };
}

function presentEndpoints(view: ContainerView, version: ApiVersion): Record<string, object> {
  return sorted(Object.fromEntries(Object.entries(view.network.Networks ?? {}).map(([name, endpoint]) => [name, presentEndpoint(view, { name, endpoint, version })])));
}

function presentEndpoint({ record }: ContainerView, { name, endpoint, version }: { name: string; endpoint: RecordedEndpoint; version: ApiVersion }): object {
  const { GwPriority, DNSNames: _none, DesiredMacAddress: _asked, IPAMOperational: _inner, IPAMConfig, ...rest } = endpoint;
  // Where names are resolved a container has these two without being asked; from 1.45 on they stand apart from what the user said.
  const given = [record.ID.slice(0, SHORT_ID), record.Config.Hostname];
  const said = (endpoint.Aliases ?? []).filter((alias) => !given.includes(alias));
  const resolved = !PREDEFINED.includes(name);
  return {
    IPAMConfig: IPAMConfig === null ? null : saying(IPAMConfig), ...rest, ...(keeps(version, 45) ? {} : { Aliases: said.length > 0 ? said : null }), ...(since(version, 48) ? { GwPriority: GwPriority ?? 0 } : {}),
    ...(since(version, 44) ? { DNSNames: resolved ? [...new Set([record.Name.replace(/^\//, ''), ...said, ...given])] : null } : {}),
  };
}

function commandLine(path: string, args: readonly string[]): string {
  return [path, ...args.map((arg) => (arg.includes(' ') ? `'${arg}'` : arg))].join(' ');
}

/** "80/tcp" and its bindings, by number; an exposed port without any is shown alone. */
function presentPorts(ports: RecordedNetworkSettings['Ports']) {
  return Object.entries(ports ?? {}).toSorted(([a], [b]) => Number.parseInt(a, 10) - Number.parseInt(b, 10) || (a < b ? -1 : 1)).flatMap(([spec, bindings]) => {
    const [port = '', type = 'tcp'] = spec.split('/');
    const PrivatePort = Number(port) || 0;
    if (!bindings?.length) return [{ PrivatePort, Type: type }];
    return bindings.map(({ HostIp, HostPort }) => ({ IP: HostIp, PrivatePort, PublicPort: Number(HostPort) || 0, Type: type }));
  });
}
