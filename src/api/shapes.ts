// Request bodies, one table of fields for each; the types are those of Docker's Go structs.
import type {
  ContainerConfig, CreateBody, DeviceMapping, DeviceRequest, EndpointSettings, ExecCreateBody, HealthConfig, HostConfig, LogConfig, MountSpec, NetworkConnectBody, NetworkCreateBody,
  PortBinding, RegistryAuth, RestartPolicy, ThrottleDevice, Ulimit, WeightDevice,
} from '../wire/types.ts';
import { flag, keySet, list, map, natural, natural16, natural32, numbers, record, text, textMap, texts, whole, words, type Fields } from './shape.ts';

/** Rows, then columns. */
const consoleSize = numbers(2, natural);

const healthConfig = record<HealthConfig>({ Test: texts, Interval: whole, Timeout: whole, StartPeriod: whole, StartInterval: whole, Retries: whole });
const weights = list(record<WeightDevice>({ Path: text, Weight: natural16 }, { Path: '', Weight: 0 }));
const throttles = list(record<ThrottleDevice>({ Path: text, Rate: natural }, { Path: '', Rate: 0 }));
const mountSpec = record<MountSpec>({
  Type: text, Source: text, Target: text, ReadOnly: flag, Consistency: text,
  BindOptions: record<NonNullable<MountSpec['BindOptions']>>({ Propagation: text, NonRecursive: flag, CreateMountpoint: flag, ReadOnlyNonRecursive: flag, ReadOnlyForceRecursive: flag }),
  VolumeOptions: record<NonNullable<MountSpec['VolumeOptions']>>({ NoCopy: flag, Labels: textMap, DriverConfig: record<{ Name: string; Options: object }>({ Name: text, Options: textMap }), Subpath: text }),
  TmpfsOptions: record<NonNullable<MountSpec['TmpfsOptions']>>({ SizeBytes: whole, Mode: natural32, Options: list(texts) }),
}, { Type: '', Target: '' });
const endpoint = record<EndpointSettings>({
  IPAMConfig: record<NonNullable<EndpointSettings['IPAMConfig']>>({ IPv4Address: text, IPv6Address: text, LinkLocalIPs: texts }),
  Links: texts, Aliases: texts, MacAddress: text, NetworkID: text, EndpointID: text, Gateway: text, IPAddress: text, IPPrefixLen: whole, IPv6Gateway: text,
  GlobalIPv6Address: text, GlobalIPv6PrefixLen: whole, DriverOpts: textMap, GwPriority: whole, DNSNames: texts,
});

const configFields: Fields<ContainerConfig> = {
  Hostname: text, Domainname: text, User: text, AttachStdin: flag, AttachStdout: flag, AttachStderr: flag, ExposedPorts: keySet, Tty: flag, OpenStdin: flag,
  StdinOnce: flag, Env: texts, Cmd: words, Healthcheck: healthConfig, ArgsEscaped: flag, Image: text, Volumes: keySet, WorkingDir: text, Entrypoint: words,
  NetworkDisabled: flag, MacAddress: text, OnBuild: texts, Labels: textMap, StopSignal: text, StopTimeout: whole, Shell: words,
};

const hostConfig = record<HostConfig>({
  Binds: texts, ContainerIDFile: text, LogConfig: record<LogConfig>({ Type: text, Config: textMap }, { Type: '', Config: null }), NetworkMode: text,
  PortBindings: map(list(record<PortBinding>({ HostIp: text, HostPort: text }, { HostIp: '', HostPort: '' })), null),
  RestartPolicy: record<RestartPolicy>({ Name: text, MaximumRetryCount: whole }, { Name: '', MaximumRetryCount: 0 }), AutoRemove: flag, VolumeDriver: text, VolumesFrom: texts, ConsoleSize: consoleSize,
  Annotations: textMap, CapAdd: words, CapDrop: words, CgroupnsMode: text, Dns: texts, DnsOptions: texts, DnsSearch: texts, ExtraHosts: texts, GroupAdd: texts,
  IpcMode: text, Cgroup: text, Links: texts, OomScoreAdj: whole, PidMode: text, Privileged: flag, PublishAllPorts: flag, ReadonlyRootfs: flag, SecurityOpt: texts,
  StorageOpt: textMap, Tmpfs: textMap, UTSMode: text, UsernsMode: text, ShmSize: whole, Sysctls: textMap, Runtime: text, Isolation: text, CpuShares: whole,
  Memory: whole, NanoCpus: whole, CgroupParent: text, BlkioWeight: natural16, BlkioWeightDevice: weights, BlkioDeviceReadBps: throttles,
  BlkioDeviceWriteBps: throttles, BlkioDeviceReadIOps: throttles, BlkioDeviceWriteIOps: throttles, CpuPeriod: whole, CpuQuota: whole, CpuRealtimePeriod: whole,
  CpuRealtimeRuntime: whole, CpusetCpus: text, CpusetMems: text,
  Devices: list(record<DeviceMapping>({ PathOnHost: text, PathInContainer: text, CgroupPermissions: text }, { PathOnHost: '', PathInContainer: '', CgroupPermissions: '' })), DeviceCgroupRules: texts,
  DeviceRequests: list(record<DeviceRequest>({ Driver: text, Count: whole, DeviceIDs: texts, Capabilities: list(texts), Options: textMap }, { Driver: '', Count: 0, DeviceIDs: null, Capabilities: null, Options: null })), KernelMemory: whole,
  KernelMemoryTCP: whole, MemoryReservation: whole, MemorySwap: whole, MemorySwappiness: whole, OomKillDisable: flag, PidsLimit: whole,
  Ulimits: list(record<Ulimit>({ Name: text, Hard: whole, Soft: whole }, { Name: '', Hard: 0, Soft: 0 })), CpuCount: whole, CpuPercent: whole, IOMaximumIOps: natural, IOMaximumBandwidth: natural,
  MaskedPaths: texts, ReadonlyPaths: texts, Init: flag, Mounts: list(mountSpec), ContainerIDEnv: text,
});

export const createBody = record<CreateBody>({
  ...configFields, HostConfig: hostConfig,
  NetworkingConfig: record<NonNullable<CreateBody['NetworkingConfig']>>({ EndpointsConfig: map(endpoint, null) }),
});
/** A few fields of the host's part; the others are read like those that Docker does not know. */
export const updateBody = hostConfig;
export const execCreateBody = record<ExecCreateBody>({
  AttachStdin: flag, AttachStdout: flag, AttachStderr: flag, DetachKeys: text, Tty: flag, Env: texts, Cmd: words, Privileged: flag, User: text,
  WorkingDir: text, ConsoleSize: consoleSize,
});
export interface ExecStartBody { Detach?: boolean; Tty?: boolean; ConsoleSize?: [height: number, width: number] }
export const execStartBody = record<ExecStartBody>({ Detach: flag, Tty: flag, ConsoleSize: consoleSize });
export const registryAuth = record<RegistryAuth>({ username: text, password: text, auth: text, email: text, serveraddress: text, identitytoken: text, registrytoken: text });
export const networkCreateBody = record<NetworkCreateBody>({
  Name: text, CheckDuplicate: flag, Driver: text, Scope: text, EnableIPv4: flag, EnableIPv6: flag,
  IPAM: record<NonNullable<NetworkCreateBody['IPAM']>>({
    Driver: text, Options: textMap, Config: list(record<{ Subnet?: string; IPRange?: string; Gateway?: string; AuxiliaryAddresses?: object }>({ Subnet: text, IPRange: text, Gateway: text, AuxiliaryAddresses: textMap }), {}),
  }),
  Internal: flag, Attachable: flag, Ingress: flag, ConfigOnly: flag, ConfigFrom: record<{ Network?: string }>({ Network: text }), Options: textMap, Labels: textMap,
});
export const networkConnectBody = record<Omit<NetworkConnectBody, 'Force'>>({ Container: text, EndpointConfig: endpoint });
export const networkDisconnectBody = record<Omit<NetworkConnectBody, 'EndpointConfig'>>({ Container: text, Force: flag });
