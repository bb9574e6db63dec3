// What a create body leaves out, as Docker fills it in: inspect must show it, and balena-supervisor compares it field by field.
import type { ContainerConfig, CreateBody, HostConfig } from '../../wire/types.ts';
import { withLogDefaults } from '../../logs/index.ts';
import { NO_DEFAULTS, type ContainerDefaults } from './needs.ts';

/** Source: Docker's documentation of --shm-size. */
export const DEFAULT_SHM_BYTES = 64 << 20;

/** Kernel files that would tell or change too much. Source: what Docker masks, as its inspect shows. */
const MASKED_PATHS = ['/proc/asound', '/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list', '/proc/timer_stats', '/proc/sched_debug', '/proc/scsi', '/sys/firmware'];
const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

export function completeConfig(body: CreateBody): ContainerConfig {
  return {
    Hostname: body.Hostname ?? '',
    Domainname: body.Domainname ?? '',
    User: body.User ?? '',
    AttachStdin: body.AttachStdin ?? false,
    AttachStdout: body.AttachStdout ?? false,
    AttachStderr: body.AttachStderr ?? false,
    ...(body.ExposedPorts ? { ExposedPorts: body.ExposedPorts } : {}),
    Tty: body.Tty ?? false,
    OpenStdin: body.OpenStdin ?? false,
    StdinOnce: body.StdinOnce ?? false,
    Env: body.Env ?? null,
    Cmd: listOf(body.Cmd),
    ...(body.Healthcheck ? { Healthcheck: body.Healthcheck } : {}),
    ...(body.ArgsEscaped ? { ArgsEscaped: body.ArgsEscaped } : {}),
    Image: body.Image ?? '',
    Volumes: body.Volumes ?? null,
    WorkingDir: body.WorkingDir ?? '',
    Entrypoint: listOf(body.Entrypoint),
    ...(body.NetworkDisabled ? { NetworkDisabled: true } : {}),
    ...(body.MacAddress ? { MacAddress: body.MacAddress } : {}),
    OnBuild: body.OnBuild ?? null,
    Labels: body.Labels ?? {},
    ...(body.StopSignal ? { StopSignal: body.StopSignal } : {}),
    ...(body.StopTimeout === undefined || body.StopTimeout === null ? {} : { StopTimeout: body.StopTimeout }),
    ...(body.Shell ? { Shell: body.Shell } : {}),
  };
}

/** Clients of old send one string where a list is meant. */
function listOf(value: string[] | string | null | undefined): string[] | null {
  return typeof value === 'string' ? [value] : value ?? null;
}

export function completeHostConfig(given: Partial<HostConfig>, { cgroupVersion, defaults = NO_DEFAULTS }: { cgroupVersion: 1 | 2; defaults?: ContainerDefaults }): HostConfig {
  const privileged = given.Privileged ?? false;
  const memory = given.Memory ?? 0;
  const unconfined = privileged;
  return {
    ...EMPTY,
    ...dropUndefined(given),
    LogConfig: logConfig(given.LogConfig, defaults),
    NetworkMode: given.NetworkMode || 'default',
    RestartPolicy: { Name: given.RestartPolicy?.Name || 'no', MaximumRetryCount: given.RestartPolicy?.Name ? given.RestartPolicy.MaximumRetryCount : 0 },
    CgroupnsMode: given.CgroupnsMode || (cgroupVersion === 1 && privileged ? 'host' : defaults.cgroupnsMode || (cgroupVersion === 2 ? 'private' : 'host')),
    IpcMode: given.IpcMode || defaults.ipcMode,
    ShmSize: given.ShmSize || defaults.resources.shmSizeBytes,
    Runtime: given.Runtime || defaults.runtime,
    // Docker gives as much swap as memory when only memory is limited.
    MemorySwap: given.MemorySwap || (memory > 0 ? memory * 2 : 0),
    MaskedPaths: unconfined ? null : given.MaskedPaths ?? [...MASKED_PATHS],
    ReadonlyPaths: unconfined ? null : given.ReadonlyPaths ?? [...READONLY_PATHS],
    ConsoleSize: given.ConsoleSize ?? [0, 0],
    OomKillDisable: given.OomKillDisable ?? false,
    PidsLimit: (given.PidsLimit ?? 0) > 0 ? given.PidsLimit ?? null : null, // no limit, however it was said
    Links: (given.Links ?? []).length > 0 ? given.Links ?? null : null,
    SecurityOpt: securityOf(given),
  };
}

function logConfig(given: HostConfig['LogConfig'] | undefined, defaults: ContainerDefaults): HostConfig['LogConfig'] {
  const { driver, options } = withLogDefaults({ driver: given?.Type ?? '', options: given?.Config ?? {} }, defaults.log);
  return { Type: driver, Config: { ...options } };
}

/** A container that shares so much with the host gets no label of its own; Docker writes that down, and clients compare it. */
function securityOf(given: Partial<HostConfig>): string[] | null {
  const said = given.SecurityOpt ?? null;
  const shares = given.Privileged === true || given.PidMode === 'host' || given.IpcMode === 'host';
  if (!shares || said?.some((option) => /^label[:=]/.test(option))) return said;
  return [...said ?? [], 'label=disable'];
}

const EMPTY: HostConfig = {
  Binds: null, ContainerIDFile: '', LogConfig: { Type: '', Config: {} }, NetworkMode: '', PortBindings: null, RestartPolicy: { Name: '', MaximumRetryCount: 0 },
  AutoRemove: false, VolumeDriver: '', VolumesFrom: null, ConsoleSize: [0, 0], CapAdd: null, CapDrop: null, CgroupnsMode: '', Dns: null, DnsOptions: null, DnsSearch: null,
  ExtraHosts: null, GroupAdd: null, IpcMode: '', Cgroup: '', Links: null, OomScoreAdj: 0, PidMode: '', Privileged: false, PublishAllPorts: false,
  ReadonlyRootfs: false, SecurityOpt: null, UTSMode: '', UsernsMode: '', ShmSize: 0, Runtime: '', Isolation: '', CpuShares: 0, Memory: 0, NanoCpus: 0,
  CgroupParent: '', BlkioWeight: 0, BlkioWeightDevice: null, BlkioDeviceReadBps: null, BlkioDeviceWriteBps: null, BlkioDeviceReadIOps: null, BlkioDeviceWriteIOps: null,
  CpuPeriod: 0, CpuQuota: 0, CpuRealtimePeriod: 0, CpuRealtimeRuntime: 0, CpusetCpus: '', CpusetMems: '', Devices: null, DeviceCgroupRules: null, DeviceRequests: null,
  KernelMemory: 0, KernelMemoryTCP: 0, MemoryReservation: 0, MemorySwap: 0, MemorySwappiness: null, OomKillDisable: false, PidsLimit: null, Ulimits: null,
  CpuCount: 0, CpuPercent: 0, IOMaximumIOps: 0, IOMaximumBandwidth: 0, MaskedPaths: null, ReadonlyPaths: null,
};

function dropUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as { [K in keyof T]: Exclude<T[K], undefined> };
}
