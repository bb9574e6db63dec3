// Valid values for every field of a create body, random bodies of them, and what inspect must then show.
import type { Shape } from '../../../src/api/shape.ts';
import type { ContainerConfig, HostConfig } from '../../../src/wire/types.ts';

type Values<T> = { readonly [K in keyof Required<T>]: readonly unknown[] };

const CONFIG: Values<Omit<ContainerConfig, 'Image'>> = {
  Hostname: ['device', 'a.b.c', 'x_y'], Domainname: ['example.org'], User: ['0', '1000:1000', 'root'], AttachStdin: [true, false], AttachStdout: [true], AttachStderr: [true], ExposedPorts: [{ '80/tcp': {}, '53/udp': {} }],
  Tty: [true], OpenStdin: [true], StdinOnce: [true], Env: [['A=1', 'B=', 'C'], ['É=ü\n']], Cmd: [['true'], ['sh', '-c', 'exit 3'], ['']],
  Healthcheck: [{ Test: ['CMD', 'true'], Interval: 1e9, Timeout: 2e9, StartPeriod: 3e9, StartInterval: 1e9, Retries: 3 }, { Test: ['NONE'] }, { Test: ['CMD-SHELL', 'true'] }], ArgsEscaped: [true], Volumes: [{ '/data': {} }],
  WorkingDir: ['/', '/a/b'], Entrypoint: [['true'], ['sh', '-c']], NetworkDisabled: [true], MacAddress: ['02:42:ac:11:00:02'], OnBuild: [['RUN true']], Labels: [{ a: 'b', 'io.balena.app': '1', '': 'none' }],
  StopSignal: ['SIGTERM', '9', 'RTMIN+3'], StopTimeout: [0, 30, -1], Shell: [['/bin/sh', '-c']],
};

const HOST: Values<HostConfig> = {
  Binds: [['/tmp:/host:ro'], ['/tmp:/a', '/usr:/b:ro,rslave']], ContainerIDFile: ['/x'], LogConfig: [{ Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '2' } }, { Type: 'none', Config: {} }], NetworkMode: ['none'],
  PortBindings: [{ '80/tcp': [{ HostIp: '', HostPort: '8080' }], '81/tcp': [{ HostIp: '127.0.0.1', HostPort: '' }] }, { '80/tcp': null }], RestartPolicy: [{ Name: 'always', MaximumRetryCount: 0 }, { Name: 'on-failure', MaximumRetryCount: 3 }, { Name: 'unless-stopped', MaximumRetryCount: 0 }],
  AutoRemove: [true], VolumeDriver: ['local'], VolumesFrom: [[]], ConsoleSize: [[24, 80]], Annotations: [{ 'org.example': 'x' }], CapAdd: [['NET_ADMIN'], ['CAP_SYS_TIME', 'all']], CapDrop: [['ALL'], ['chown']], CgroupnsMode: ['host', 'private'],
  Dns: [['1.2.3.4', '::1'], []], DnsOptions: [['ndots:2']], DnsSearch: [['a.b']], ExtraHosts: [['a:1.2.3.4', 'b:host-gateway', 'c:::1']], GroupAdd: [['audio', '1000']], IpcMode: ['private', 'shareable', 'none'], Cgroup: [''], Links: [null], OomScoreAdj: [500, -1000],
  PidMode: [''], Privileged: [false], PublishAllPorts: [true], ReadonlyRootfs: [true], SecurityOpt: [['no-new-privileges'], ['seccomp=unconfined', 'label=disable']], StorageOpt: [undefined], Tmpfs: [{ '/run': 'size=1m,mode=1777', '/t': '' }], UTSMode: ['host'], UsernsMode: ['host'],
  ShmSize: [1 << 20], Sysctls: [{ 'net.ipv4.ip_forward': '1' }], Runtime: ['runc'], Isolation: ['default', ''], CpuShares: [512], Memory: [64 << 20], NanoCpus: [5e8], CgroupParent: ['/parent'], BlkioWeight: [0], BlkioWeightDevice: [[]],
  BlkioDeviceReadBps: [[]], BlkioDeviceWriteBps: [[]], BlkioDeviceReadIOps: [[]], BlkioDeviceWriteIOps: [[]], CpuPeriod: [100_000], CpuQuota: [50_000], CpuRealtimePeriod: [0], CpuRealtimeRuntime: [0], CpusetCpus: ['0'], CpusetMems: ['0'],
  Devices: [[{ PathOnHost: '/dev/null', PathInContainer: '/dev/nothing', CgroupPermissions: 'rwm' }]], DeviceCgroupRules: [['c 1:3 rwm']], DeviceRequests: [[]], KernelMemory: [0], KernelMemoryTCP: [0], MemoryReservation: [32 << 20], MemorySwap: [128 << 20, -1], MemorySwappiness: [null],
  OomKillDisable: [false], PidsLimit: [100], Ulimits: [[{ Name: 'nofile', Hard: 2048, Soft: 1024 }]], CpuCount: [1], CpuPercent: [0], IOMaximumIOps: [0], IOMaximumBandwidth: [0], MaskedPaths: [[], ['/proc/kcore']], ReadonlyPaths: [[], ['/proc/sys']], Init: [true, false],
  Mounts: [[{ Type: 'tmpfs', Target: '/m', TmpfsOptions: { SizeBytes: 1 << 20, Mode: 0o1777 } }], [{ Type: 'bind', Source: '/tmp', Target: '/m', ReadOnly: true, BindOptions: { Propagation: 'rslave' } }]], ContainerIDEnv: ['OWN_ID'],
};

const FIELDS_PER_BODY = 18;

interface Body { [field: string]: unknown; HostConfig: Record<string, unknown> }

export function randomBody(random: () => number): Body {
  const any = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const body: Body = { HostConfig: {} };
  for (let n = 0; n < FIELDS_PER_BODY; n++) {
    const [place, table] = random() < 0.35 ? [body, CONFIG] as const : [body.HostConfig, HOST] as const;
    const [field, values] = any(Object.entries(table));
    place[field] = any(values);
  }
  return reconciled(body);
}

/** Without what excludes each other. */
function reconciled(body: Body): Body {
  const { HostConfig: host } = body;
  if ('NanoCpus' in host) { delete host['CpuPeriod']; delete host['CpuQuota']; }
  if ('RestartPolicy' in host) delete host['AutoRemove'];
  if (!('Memory' in host)) delete host['MemorySwap'];
  if ('UTSMode' in host) delete body['Hostname'];
  if ('Entrypoint' in body) delete body['Cmd'];
  if ('Mounts' in host) delete host['Binds']; // may have the same target
  return body;
}

/** What inspect shows for each field that was sent; some have more in them than was sent, as Docker adds to them. */
export function shownOf(body: Body, shown: Record<string, Record<string, unknown>>): Array<{ path: string; sent: unknown; got: unknown }> {
  const { HostConfig: host, ...config } = body;
  const expected = (field: string, value: unknown): unknown => {
    if (field === 'Env' && host['ContainerIDEnv'] === undefined) return [...value as string[], ...inherited(value as string[])];
    if (['ArgsEscaped', 'NetworkDisabled'].includes(field) && value === false) return undefined;
    return value;
  };
  const skipped = (field: string, value: unknown) => value === undefined || (field === 'Env' && host['ContainerIDEnv'] !== undefined) || ['KernelMemory', 'KernelMemoryTCP', 'ContainerIDEnv'].includes(field);
  return [
    ...Object.entries(config).filter(([field, value]) => !skipped(field, value)).map(([field, value]) => ({ path: `Config.${field}`, sent: expected(field, value), got: shown['Config']?.[field] })),
    ...Object.entries(host).filter(([field, value]) => !skipped(field, value)).map(([field, value]) => ({ path: `HostConfig.${field}`, sent: value, got: shown['HostConfig']?.[field] })),
  ];
}

/** The bench's image sets PATH. */
const inherited = (own: readonly string[]): string[] => (own.some((entry) => entry.startsWith('PATH=')) ? [] : ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin']);

/** Fields that the shape knows and this list does not. */
export function unlisted(shape: Shape): string[] {
  const fieldsOf = (of: Shape | undefined) => (of?.takes.kind === 'record' ? [...of.takes.fields.keys()] : []);
  const hostShape = shape.takes.kind === 'record' ? shape.takes.fields.get('HostConfig') : undefined;
  return [...fieldsOf(shape).filter((field) => !(field in CONFIG) && !['Image', 'HostConfig', 'NetworkingConfig'].includes(field)), ...fieldsOf(hostShape).filter((field) => !(field in HOST))];
}
