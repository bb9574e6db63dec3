// Request bodies, checked as Go's decoder would: names in any case, null for "not said", unknown fields passed over, wrong types refused.
import { invalid } from '../lib/errors.ts';
import type {
  ContainerConfig, CreateBody, DeviceMapping, DeviceRequest, EndpointSettings, ExecCreateBody, HealthConfig, HostConfig, LogConfig, MountSpec,
  PortBinding, RegistryAuth, RestartPolicy, ThrottleDevice, Ulimit, WeightDevice,
} from '../wire/types.ts';

/** Reads a value or refuses it; `path` is how the message calls it. Returning undefined leaves the field out. */
export type Shape = (value: unknown, path: string) => unknown;
/** One shape for every field of T: a field that is added to the type and not here does not compile. */
type Fields<T> = { readonly [K in keyof Required<T>]: Shape };

const refuse = (path: string, want: string, value: unknown): never => {
  const got = Array.isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : `a ${typeof value}`;
  throw invalid(`invalid JSON: ${path}: ${want} is needed, not ${got}`);
};

const scalar = (type: 'string' | 'boolean', want: string): Shape => (value, path) =>
  (value === null || value === undefined ? undefined : typeof value === type ? value : refuse(path, want, value));
export const text = scalar('string', 'a string');
export const flag = scalar('boolean', 'true or false');
export const whole: Shape = (value, path) =>
  (value === null || value === undefined ? undefined : Number.isInteger(value) ? value : refuse(path, 'a whole number', value));

export const list = (item: Shape, absent?: unknown): Shape => (value, path) => {
  if (value === null || value === undefined) return undefined;
  if (!Array.isArray(value)) return refuse(path, 'an array', value);
  return value.map((entry, i) => item(entry, `${path}[${i}]`) ?? absent ?? refuse(`${path}[${i}]`, 'a value', null));
};
export const texts = list(text, '');
/** Go's strslice: one word may stand for a list of one. */
const words: Shape = (value, path) => (typeof value === 'string' ? [value] : texts(value, path));

/** `absent` stands where a value is null. fromEntries, because a key may be called __proto__. */
export const map = (item: Shape, absent: unknown): Shape => (value, path) => {
  if (value === null || value === undefined) return undefined;
  if (typeof value !== 'object' || Array.isArray(value)) return refuse(path, 'an object', value);
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => {
    const read = item(entry, `${path}.${key}`);
    return [key, read === undefined ? absent : read];
  }));
};
const textMap = map(text, '');
const anyObject: Shape = (value, path) => (value === null || value === undefined ? undefined : typeof value === 'object' && !Array.isArray(value) ? {} : refuse(path, 'an object', value));
const keySet = map(anyObject, {});

/** `zero` fills what was not said, as Go's zero values do, where the type promises a value. */
export const record = <T>(fields: Fields<T>, zero?: T): Shape => {
  const names = new Map(Object.keys(fields).map((name) => [name.toLowerCase(), name]));
  const shapes = new Map(Object.entries<Shape>(fields));
  return (value, path) => {
    if (value === null || value === undefined) return undefined;
    if (typeof value !== 'object' || Array.isArray(value)) return refuse(path || 'the body', 'an object', value);
    const read: Record<string, unknown> = { ...zero };
    for (const [key, entry] of Object.entries(value)) {
      const name = names.get(key.toLowerCase());
      const result = name === undefined ? undefined : shapes.get(name)?.(entry, path === '' ? name : `${path}.${name}`);
      if (name !== undefined && result !== undefined) read[name] = result;
    }
    return read;
  };
};

const pair: Shape = (value, path) => {
  const numbers = list(whole)(value, path);
  return Array.isArray(numbers) && numbers.length !== 2 ? refuse(path, 'an array of two numbers', value) : numbers;
};

const healthConfig = record<HealthConfig>({ Test: texts, Interval: whole, Timeout: whole, StartPeriod: whole, StartInterval: whole, Retries: whole });
const weights = list(record<WeightDevice>({ Path: text, Weight: whole }, { Path: '', Weight: 0 }));
const throttles = list(record<ThrottleDevice>({ Path: text, Rate: whole }, { Path: '', Rate: 0 }));
const mountSpec = record<MountSpec>({
  Type: text, Source: text, Target: text, ReadOnly: flag, Consistency: text,
  BindOptions: record<NonNullable<MountSpec['BindOptions']>>({ Propagation: text, NonRecursive: flag, CreateMountpoint: flag, ReadOnlyNonRecursive: flag, ReadOnlyForceRecursive: flag }),
  VolumeOptions: record<NonNullable<MountSpec['VolumeOptions']>>({ NoCopy: flag, Labels: textMap, DriverConfig: record<{ Name: string; Options: object }>({ Name: text, Options: textMap }), Subpath: text }),
  TmpfsOptions: record<NonNullable<MountSpec['TmpfsOptions']>>({ SizeBytes: whole, Mode: whole, Options: list(texts) }),
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
  RestartPolicy: record<RestartPolicy>({ Name: text, MaximumRetryCount: whole }, { Name: '', MaximumRetryCount: 0 }), AutoRemove: flag, VolumeDriver: text, VolumesFrom: texts, ConsoleSize: pair,
  Annotations: textMap, CapAdd: words, CapDrop: words, CgroupnsMode: text, Dns: texts, DnsOptions: texts, DnsSearch: texts, ExtraHosts: texts, GroupAdd: texts,
  IpcMode: text, Cgroup: text, Links: texts, OomScoreAdj: whole, PidMode: text, Privileged: flag, PublishAllPorts: flag, ReadonlyRootfs: flag, SecurityOpt: texts,
  StorageOpt: textMap, Tmpfs: textMap, UTSMode: text, UsernsMode: text, ShmSize: whole, Sysctls: textMap, Runtime: text, Isolation: text, CpuShares: whole,
  Memory: whole, NanoCpus: whole, CgroupParent: text, BlkioWeight: whole, BlkioWeightDevice: weights, BlkioDeviceReadBps: throttles,
  BlkioDeviceWriteBps: throttles, BlkioDeviceReadIOps: throttles, BlkioDeviceWriteIOps: throttles, CpuPeriod: whole, CpuQuota: whole, CpuRealtimePeriod: whole,
  CpuRealtimeRuntime: whole, CpusetCpus: text, CpusetMems: text,
  Devices: list(record<DeviceMapping>({ PathOnHost: text, PathInContainer: text, CgroupPermissions: text }, { PathOnHost: '', PathInContainer: '', CgroupPermissions: '' })), DeviceCgroupRules: texts,
  DeviceRequests: list(record<DeviceRequest>({ Driver: text, Count: whole, DeviceIDs: texts, Capabilities: list(texts), Options: textMap }, { Driver: '', Count: 0, DeviceIDs: null, Capabilities: null, Options: null })), KernelMemory: whole,
  KernelMemoryTCP: whole, MemoryReservation: whole, MemorySwap: whole, MemorySwappiness: whole, OomKillDisable: flag, PidsLimit: whole,
  Ulimits: list(record<Ulimit>({ Name: text, Hard: whole, Soft: whole }, { Name: '', Hard: 0, Soft: 0 })), CpuCount: whole, CpuPercent: whole, IOMaximumIOps: whole, IOMaximumBandwidth: whole,
  MaskedPaths: texts, ReadonlyPaths: texts, Init: flag, Mounts: list(mountSpec), ContainerIDEnv: text,
});

export const createBody = record<CreateBody>({
  ...configFields, HostConfig: hostConfig,
  NetworkingConfig: record<NonNullable<CreateBody['NetworkingConfig']>>({ EndpointsConfig: map(endpoint, null) }),
});
export const execCreateBody = record<ExecCreateBody>({
  AttachStdin: flag, AttachStdout: flag, AttachStderr: flag, DetachKeys: text, Tty: flag, Env: texts, Cmd: words, Privileged: flag, User: text,
  WorkingDir: text, ConsoleSize: pair,
});
export interface ExecStartBody { Detach?: boolean; Tty?: boolean; ConsoleSize?: [height: number, width: number] }
export const execStartBody = record<ExecStartBody>({ Detach: flag, Tty: flag, ConsoleSize: pair });
export const registryAuth = record<RegistryAuth>({ username: text, password: text, auth: text, email: text, serveraddress: text, identitytoken: text, registrytoken: text });
export const networkCreateBody = record<{ Name?: string; Driver?: string }>({ Name: text, Driver: text });
