// What was typed behind run or create → the body of POST /containers/create.
import { posix } from 'node:path';
import type { CreateBody, DeviceMapping, HealthConfig, HostConfig, RestartPolicy } from '../wire/types.ts';
import { errnoOf } from '../lib/errors.ts';
import { pairs } from './csv.ts';
import { Failure } from './failure.ts';
import type { Flags } from './flags.ts';
import type { Io } from './io.ts';
import { parseGpus, parseMount } from './mount-flag.ts';
import { isMacAddress, networksWanted } from './network-flag.ts';
import { parsePorts } from './ports-flag.ts';
import { parseUlimit } from '../wire/ulimit.ts';
import { parseDuration } from '../wire/duration.ts';
import { parseBytes } from '../wire/units.ts';

export type { CreateBody };

/** Throws a Failure with the reason when flags contradict each other. */
export async function createBody(flags: Flags, args: readonly string[], io: Io): Promise<CreateBody> {
  const [image = '', ...command] = args;
  const ports = parsePorts(flags.list('publish'), flags.list('expose'));
  const attach = attachTo(flags);
  const { anonymous } = splitVolumes(flags);
  const health = healthcheck(flags);
  const networks = networksWanted(flags);
  const mac = flags.text('mac-address') || networks.mac;
  if (mac !== '' && !isMacAddress(mac)) throw new Failure(`${mac} is not a valid mac address`);
  const interactive = flags.bool('interactive');
  return {
    Hostname: flags.text('hostname'),
    Domainname: flags.text('domainname'),
    User: flags.text('user'),
    AttachStdin: attach.has('stdin'),
    AttachStdout: attach.has('stdout'),
    AttachStderr: attach.has('stderr'),
    ...(Object.keys(ports.exposed).length > 0 ? { ExposedPorts: ports.exposed } : {}),
    Tty: flags.bool('tty'),
    OpenStdin: interactive,
    StdinOnce: interactive && attach.has('stdin'),
    Env: orNull(await environment(flags, io)),
    Cmd: orNull(command),
    ...(health ? { Healthcheck: health } : {}),
    Image: image,
    Volumes: Object.fromEntries(anonymous.map((path) => [path, {}])),
    WorkingDir: flags.text('workdir'),
    Entrypoint: entrypoint(flags),
    ...(mac === '' ? {} : { MacAddress: mac }),
    OnBuild: null,
    Labels: pairs([...await lines(flags.list('label-file'), io), ...flags.list('label')]),
    ...(flags.given('stop-signal') ? { StopSignal: flags.text('stop-signal') } : {}),
    ...(flags.given('stop-timeout') ? { StopTimeout: flags.number('stop-timeout') } : {}),
    HostConfig: { ...hostConfig(flags), ...resources(flags), NetworkMode: networks.mode, PortBindings: ports.bindings, SecurityOpt: orNull(await securityOptions(flags.list('security-opt'), io)) },
    NetworkingConfig: { EndpointsConfig: networks.endpoints },
  };
}

/** The streams to watch: those named, or else both of output, and with -i input in any case; none with -d. */
export function attachTo(flags: Flags): ReadonlySet<string> {
  const named = flags.given('attach');
  if (flags.bool('detach') && !named) return new Set();
  return new Set([...(named ? flags.list('attach') : ['stdout', 'stderr']), ...(flags.bool('interactive') ? ['stdin'] : [])]);
}

/** `KEY=value`, or `KEY` alone for our own value of it; files first, flags after, so that flags win. */
export async function environment(flags: Flags, io: Io): Promise<string[]> {
  const given = [...await lines(flags.list('env-file'), io), ...flags.list('env')];
  return given.map((one) => {
    const own = one.includes('=') ? undefined : io.env[one];
    return own === undefined ? one : `${one}=${own}`;
  });
}

function hostConfig(flags: Flags): Partial<HostConfig> {
  const { binds } = splitVolumes(flags);
  if (!['', 'host', 'private'].includes(flags.text('cgroupns'))) throw new Failure('--cgroupns: invalid CGROUP mode');
  const restart = restartPolicy(flags.text('restart'));
  if (flags.bool('rm') && restart.Name !== 'no' && restart.Name !== '') throw new Failure('Conflicting options: --restart and --rm');
  return {
    Binds: orNull(binds),
    ContainerIDFile: flags.text('cidfile'),
    LogConfig: { Type: flags.text('log-driver'), Config: pairs(flags.list('log-opt')) },
    RestartPolicy: restart,
    AutoRemove: flags.bool('rm'),
    VolumeDriver: flags.text('volume-driver'),
    VolumesFrom: orNull(flags.list('volumes-from')),
    CapAdd: orNull(flags.list('cap-add')),
    CapDrop: orNull(flags.list('cap-drop')),
    CgroupnsMode: flags.text('cgroupns'),
    Dns: [...flags.list('dns')],
    DnsOptions: [...flags.list('dns-option'), ...flags.list('dns-opt')],
    DnsSearch: [...flags.list('dns-search')],
    ExtraHosts: orNull(flags.list('add-host')),
    GroupAdd: orNull(flags.list('group-add')),
    IpcMode: flags.text('ipc'),
    Links: orNull(flags.list('link')),
    OomScoreAdj: flags.number('oom-score-adj'),
    PidMode: flags.text('pid'),
    Privileged: flags.bool('privileged'),
    PublishAllPorts: flags.bool('publish-all'),
    ReadonlyRootfs: flags.bool('read-only'),
    ...(flags.given('storage-opt') ? { StorageOpt: storageOptions(flags.list('storage-opt')) } : {}),
    ...(flags.given('tmpfs') ? { Tmpfs: Object.fromEntries(flags.list('tmpfs').map((one) => [one.split(':')[0] ?? '', one.split(':').slice(1).join(':')])) } : {}),
    UTSMode: flags.text('uts'),
    UsernsMode: flags.text('userns'),
    ShmSize: flags.bytes('shm-size'),
    ...(flags.given('sysctl') ? { Sysctls: pairs(flags.list('sysctl')) } : {}),
    ...(flags.given('runtime') ? { Runtime: flags.text('runtime') } : {}),
    Isolation: flags.text('isolation'),
    ...(flags.given('init') ? { Init: flags.bool('init') } : {}),
    ...(flags.given('mount') ? { Mounts: flags.list('mount').map(parseMount) } : {}),
    ...(flags.given('cidenv') ? { ContainerIDEnv: flags.text('cidenv') } : {}),
  };
}

function resources(flags: Flags): Partial<HostConfig> {
  const swappiness = flags.number('memory-swappiness');
  if (swappiness !== -1 && (swappiness < 0 || swappiness > 100)) throw new Failure(`invalid value: ${swappiness}. Valid memory swappiness range is 0-100`);
  const rates = (name: string) => orNull(flags.list(name).map((one) => ({ Path: one.split(':')[0] ?? '', Rate: parseBytes(one.split(':')[1] ?? '') ?? 0 })));
  return {
    CpuShares: flags.number('cpu-shares'),
    Memory: flags.bytes('memory'),
    NanoCpus: Math.round(flags.number('cpus') * 1e9),
    CgroupParent: flags.text('cgroup-parent'),
    BlkioWeight: flags.number('blkio-weight'),
    BlkioWeightDevice: flags.list('blkio-weight-device').map((one) => ({ Path: one.split(':')[0] ?? '', Weight: Number(one.split(':')[1]) })),
    BlkioDeviceReadBps: rates('device-read-bps'),
    BlkioDeviceWriteBps: rates('device-write-bps'),
    BlkioDeviceReadIOps: rates('device-read-iops'),
    BlkioDeviceWriteIOps: rates('device-write-iops'),
    CpuPeriod: flags.number('cpu-period'),
    CpuQuota: flags.number('cpu-quota'),
    CpuRealtimePeriod: flags.number('cpu-rt-period'),
    CpuRealtimeRuntime: flags.number('cpu-rt-runtime'),
    CpusetCpus: flags.text('cpuset-cpus'),
    CpusetMems: flags.text('cpuset-mems'),
    Devices: flags.list('device').map(deviceMapping),
    DeviceCgroupRules: orNull(flags.list('device-cgroup-rule')),
    DeviceRequests: orNull(flags.list('gpus').map(parseGpus)),
    KernelMemory: flags.bytes('kernel-memory'),
    MemoryReservation: flags.bytes('memory-reservation'),
    MemorySwap: flags.bytes('memory-swap'),
    MemorySwappiness: swappiness,
    OomKillDisable: flags.bool('oom-kill-disable'),
    PidsLimit: flags.number('pids-limit'),
    Ulimits: orNull(flags.list('ulimit').map(parseUlimit)),
  };
}

const orNull = <T>(list: readonly T[]): T[] | null => (list.length === 0 ? null : [...list]);

function storageOptions(list: readonly string[]): Record<string, string> {
  if (list.some((one) => !one.includes('='))) throw new Failure('invalid storage option');
  return pairs(list);
}

/** A volume with a colon is bound; one without is a path to keep, on a volume without a name. */
function splitVolumes(flags: Flags): { binds: string[]; anonymous: string[] } {
  const all = flags.list('volume');
  return { binds: all.filter((one) => one.includes(':')).toSorted(), anonymous: all.filter((one) => !one.includes(':')) };
}

/** The empty text is a choice too: it takes the image's entrypoint away. */
const entrypoint = (flags: Flags): string[] | null => (flags.given('entrypoint') ? [flags.text('entrypoint')] : null);

/** "on-failure:3". */
export function restartPolicy(text: string): RestartPolicy {
  const [name = '', count, ...more] = text.split(':');
  if (more.length > 0) throw new Failure('invalid restart policy format');
  if (count !== undefined && !/^-?\d+$/.test(count)) throw new Failure('maximum retry count must be an integer');
  return { Name: name, MaximumRetryCount: Number(count ?? 0) };
}

function healthcheck(flags: Flags): HealthConfig | undefined {
  const nanos = (name: string) => Number(parseDuration(flags.text(name) || '0')); // the flag was held to it
  const given = ['health-cmd', 'health-interval', 'health-timeout', 'health-start-period', 'health-retries'].some((name) => flags.given(name));
  if (flags.bool('no-healthcheck')) {
    if (given) throw new Failure('--no-healthcheck conflicts with --health-* options');
    return { Test: ['NONE'] };
  }
  if (!given) return undefined;
  for (const name of ['interval', 'timeout', 'start-period']) if (nanos(`health-${name}`) < 0) throw new Failure(`--health-${name} cannot be negative`);
  if (flags.number('health-retries') < 0) throw new Failure('--health-retries cannot be negative');
  const positive = (key: keyof HealthConfig, value: number) => (value > 0 ? { [key]: value } : {});
  return {
    ...(flags.text('health-cmd') === '' ? {} : { Test: ['CMD-SHELL', flags.text('health-cmd')] }),
    ...positive('Interval', nanos('health-interval')),
    ...positive('Timeout', nanos('health-timeout')),
    ...positive('StartPeriod', nanos('health-start-period')),
    ...positive('Retries', flags.number('health-retries')),
  };
}

/** `/dev/a`, `/dev/a:/dev/b`, `/dev/a:rw`, `/dev/a:/dev/b:rwm`. */
function deviceMapping(text: string): DeviceMapping {
  const [host = '', second, third, ...more] = text.split(':');
  const isMode = (part: string | undefined) => part !== undefined && /^[rwm]{1,3}$/.test(part) && new Set(part).size === part.length;
  if (more.length > 0) throw new Failure(`bad format for path: ${text}`);
  if (third === undefined && isMode(second)) return { PathOnHost: host, PathInContainer: host, CgroupPermissions: second ?? '' };
  if (third !== undefined && !isMode(third)) throw new Failure(`bad mode specified: ${third}`);
  const inside = second === undefined || second === '' ? host : second;
  if (!inside.startsWith('/')) throw new Failure(`${inside} is not an absolute path`);
  return { PathOnHost: host, PathInContainer: posix.normalize(inside), CgroupPermissions: third ?? 'rwm' };
}

async function securityOptions(list: readonly string[], io: Io): Promise<string[]> {
  return Promise.all(list.map(async (option) => {
    const match = /^([^=:]+)[=:](.*)$/s.exec(option);
    if (!match) {
      if (option === 'no-new-privileges') return option;
      throw new Failure(`Invalid --security-opt: ${JSON.stringify(option)}`);
    }
    const [, name, value = ''] = match;
    if (name !== 'seccomp' || value === 'unconfined' || value === 'builtin') return option;
    try {
      return `seccomp=${JSON.stringify(JSON.parse(Buffer.from(await io.readFile(value)).toString('utf8')))}`;
    } catch (error) {
      throw new Failure(`opening seccomp profile (${value}) failed: ${errnoOf(error) === undefined ? 'it is not JSON' : openFailure(value, error)}`);
    }
  }));
}

/** Lines that hold something, of all files, without comments. */
async function lines(files: readonly string[], io: Io): Promise<string[]> {
  const read = files.map(async (file) => {
    try {
      return Buffer.from(await io.readFile(file)).toString('utf8').replace(/^\uFEFF/, '').split(/\r?\n/);
    } catch (error) {
      throw new Failure(openFailure(file, error));
    }
  });
  return (await Promise.all(read)).flat().map((line) => line.trimStart()).filter((line) => line !== '' && !line.startsWith('#'));
}

function openFailure(file: string, error: unknown): string {
  const code = errnoOf(error);
  const reason = code === 'ENOENT' ? 'no such file or directory' : code === 'EACCES' ? 'permission denied' : code === 'EISDIR' ? 'is a directory' : String(code);
  return `open ${file}: ${reason}`;
}
