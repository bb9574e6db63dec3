// The zero value of every field of Docker's container records: what a record that lacks a field means by that.
import { ZERO_TIME } from '../lib/clock.ts';
import { corrupt } from '../lib/errors.ts';
import type { ContainerConfig, ContainerState, HostConfig } from '../wire/types.ts';
import type { ContainerRecord, RecordedNetworkSettings } from './index.ts';
import { isObject, type JsonObject } from './records.ts';

const STATE: ContainerState = {
  Running: false, Paused: false, Restarting: false, OOMKilled: false, RemovalInProgress: false, Dead: false,
  Pid: 0, ExitCode: 0, Error: '', StartedAt: ZERO_TIME, FinishedAt: ZERO_TIME,
};

const CONFIG: ContainerConfig = {
  Hostname: '', Domainname: '', User: '', AttachStdin: false, AttachStdout: false, AttachStderr: false, Tty: false, OpenStdin: false, StdinOnce: false,
  Env: null, Cmd: null, Image: '', Volumes: null, WorkingDir: '', Entrypoint: null, OnBuild: null, Labels: null,
};

const NETWORK: RecordedNetworkSettings = {
  Bridge: '', SandboxID: '', HairpinMode: false, LinkLocalIPv6Address: '', LinkLocalIPv6PrefixLen: 0, Networks: {}, Service: null, Ports: null,
  SandboxKey: '', SecondaryIPAddresses: null, SecondaryIPv6Addresses: null, IsAnonymousEndpoint: false, HasSwarmEndpoint: false,
};

const RECORD: ContainerRecord = {
  StreamConfig: {}, State: STATE, ID: '', Created: ZERO_TIME, Managed: false, Path: '', Args: [], Config: CONFIG, Image: '', NetworkSettings: NETWORK,
  LogPath: '', Name: '', Driver: '', OS: 'linux', MountLabel: '', ProcessLabel: '', RestartCount: 0, HasBeenStartedBefore: false,
  HasBeenManuallyStopped: false, MountPoints: {}, SecretReferences: null, ConfigReferences: null, AppArmorProfile: '', HostnamePath: '', HostsPath: '',
  ShmPath: '', ResolvConfPath: '', SeccompProfile: '', NoNewPrivileges: false, LocalLogCacheMeta: { HaveNotifyEnabled: false },
};

const HOST_CONFIG: HostConfig = {
  Binds: null, ContainerIDFile: '', LogConfig: { Type: 'json-file', Config: {} }, NetworkMode: 'default', PortBindings: null,
  RestartPolicy: { Name: 'no', MaximumRetryCount: 0 }, AutoRemove: false, VolumeDriver: '', VolumesFrom: null, ConsoleSize: [0, 0],
  CapAdd: null, CapDrop: null, CgroupnsMode: 'host', Dns: null, DnsOptions: null, DnsSearch: null, ExtraHosts: null, GroupAdd: null, IpcMode: 'private',
  Cgroup: '', Links: null, OomScoreAdj: 0, PidMode: '', Privileged: false, PublishAllPorts: false, ReadonlyRootfs: false, SecurityOpt: null,
  UTSMode: '', UsernsMode: '', ShmSize: 64 * 2 ** 20, Runtime: '', Isolation: '', CpuShares: 0, Memory: 0, NanoCpus: 0, CgroupParent: '',
  BlkioWeight: 0, BlkioWeightDevice: null, BlkioDeviceReadBps: null, BlkioDeviceWriteBps: null, BlkioDeviceReadIOps: null, BlkioDeviceWriteIOps: null,
  CpuPeriod: 0, CpuQuota: 0, CpuRealtimePeriod: 0, CpuRealtimeRuntime: 0, CpusetCpus: '', CpusetMems: '', Devices: null, DeviceCgroupRules: null,
  DeviceRequests: null, MemoryReservation: 0, MemorySwap: 0, MemorySwappiness: null, OomKillDisable: false, PidsLimit: null, Ulimits: null,
  CpuCount: 0, CpuPercent: 0, IOMaximumIOps: 0, IOMaximumBandwidth: 0,
  // What records older than these fields were run with.
  MaskedPaths: ['/proc/asound', '/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list', '/proc/timer_stats',
    '/proc/sched_debug', '/proc/scsi', '/sys/firmware'],
  ReadonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
};

/** A record as it stands in config.v2.json, complete; `corrupt` when it is none or another container's. */
export function completeRecord(json: JsonObject, containerId: string): ContainerRecord {
  if (json['ID'] !== containerId) throw corrupt(`the record is of container ${JSON.stringify(json['ID'])}`);
  if (!isObject(json['Config'])) throw corrupt('the record has no Config');
  if (!isObject(json['State'])) throw corrupt('the record has no State');
  if (typeof json['Name'] !== 'string' || json['Name'] === '') throw corrupt('the record has no Name');
  const record = filled(RECORD, json);
  return {
    ...record,
    State: filled(STATE, json['State']),
    Config: filled(CONFIG, json['Config']),
    NetworkSettings: filled(NETWORK, isObject(json['NetworkSettings']) ? json['NetworkSettings'] : {}),
  };
}

export const completeHostConfig = (json: JsonObject): HostConfig => filled(HOST_CONFIG, json);

/**
 * `json` with every field of `zero` that it lacks or that has another kind of value there; fields that `zero` does not know stay,
 * since the engine that wrote them may want them back. A field whose zero is null may hold anything.
 */
function filled<T extends object>(zero: T, json: JsonObject): T {
  const out: JsonObject = { ...json };
  for (const [key, value] of Object.entries(zero) as Array<[string, unknown]>) {
    if (value === null ? json[key] === undefined : kindOf(json[key]) !== kindOf(value)) out[key] = structuredClone(value);
  }
  return out as T;
}

/** null stands for an empty list or map in Docker's JSON, unless it is the field's own zero. */
const kindOf = (value: unknown): string => (Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value);
