// An engine for tests of the API: one image, one container, and a note of every call.
import { BUCKET_SECONDS, type AttachSession, type ContainerView, type Engine, type ExecView, type ImageView, type MetricsView, type NetworkView, type StatsSample, type SystemInfo, type Timings } from '../engine/index.ts';
import { conflict, EngineError, notFound } from '../lib/errors.ts';
import { parseDiffId, parseImageId } from '../oci/digest.ts';
import type { PathStat } from '../rootfs/index.ts';
import type { RecordedNetworkSettings } from '../store/index.ts';
import type { EventLine, HostConfig, ProgressLine } from '../wire/types.ts';

export const CONTAINER_ID = '388deedef289c30f323eb2f8f742a848a87f17775d6433717dd8dd3753cef4af';
export const IMAGE_ID = parseImageId(`sha256:${'c1d3'.repeat(16)}`);
export const EXEC_ID = 'f43b04a53007162fa9b7460e14020a5d02cb047042e76b999a325c98c87cc0d3';

/** Stdio that a test plays the program of. */
export class FakeSession implements AttachSession {
  readonly tty: boolean;
  readonly typed: string[] = [];
  inputEnded = false;
  disposed = false;
  /** When it returns a promise, the program is slow to read. */
  onInput: (text: string) => Promise<'ok' | 'detached'> | 'ok' | 'detached' = () => 'ok';
  #queue: Array<{ stream: 'stdout' | 'stderr'; bytes: Uint8Array }> = [];
  #ended = false;
  #failure: Error | undefined;
  #wake: () => void = () => {};

  constructor(options?: { tty?: boolean }) { this.tty = options?.tty ?? false; }

  print(stream: 'stdout' | 'stderr', text: string | Uint8Array): void { this.#queue.push({ stream, bytes: Buffer.from(text) }); this.#wake(); }
  exit(): void { this.#ended = true; this.#wake(); }
  fail(error: Error): void { this.#failure = error; this.#wake(); }

  readonly output: AttachSession['output'] = { [Symbol.asyncIterator]: () => ({ next: () => this.#next() }) };

  async input(bytes: Uint8Array): Promise<'ok' | 'detached'> {
    const text = Buffer.from(bytes).toString('utf8');
    this.typed.push(text);
    const outcome = await this.onInput(text);
    if (outcome === 'detached') this.exit();
    return outcome;
  }

  async endInput(): Promise<void> { this.inputEnded = true; this.#wake(); }
  async [Symbol.asyncDispose](): Promise<void> { this.disposed = true; this.exit(); }

  async #next(): Promise<IteratorResult<{ stream: 'stdout' | 'stderr'; bytes: Uint8Array }, undefined>> {
    for (;;) {
      if (this.#failure) throw this.#failure;
      const value = this.#queue.shift();
      if (value) return { value, done: false };
      if (this.#ended) return { value: undefined, done: true };
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }
}

export type Overrides = { [Face in keyof Engine]?: Partial<Engine[Face]> };
export type Calls = Array<[verb: string, ...args: unknown[]]>;

/** `calls` tells what was asked, arguments without signals and callbacks. */
export function fakeEngine(overrides: Overrides = {}): Engine & { calls: Calls } {
  const calls: Calls = [];
  const face = <Face extends keyof Engine>(name: Face, base: Engine[Face]): Engine[Face] => {
    const merged = { ...base, ...overrides[name] };
    return Object.fromEntries(Object.entries(merged).map(([verb, run]) => [verb, (...args: unknown[]) => {
      calls.push([`${name}.${verb}`, ...args.map(plain)]);
      return (run as (...given: unknown[]) => unknown)(...args);
    }])) as unknown as Engine[Face];
  };
  return {
    calls, files: face('files', files), images: face('images', images), containers: face('containers', containers), volumes: face('volumes', volumes), networks: face('networks', networks), execs: face('execs', execs),
    events: face('events', { async *subscribe() { yield* EVENTS; } }),
    system: face('system', {
      info: async () => INFO, version: () => VERSION, metrics: () => METRICS,
      diskUsage: async () => ({ layersSizeBytes: 1984679, images: [imageView()], containers: [containerView()], volumes: [{ volume: storedVolume(), usage: { sizeBytes: 7, containers: 1 } }] }),
    }),
  };
}

function plain(arg: unknown): unknown {
  if (arg instanceof Map) return Object.fromEntries(arg);
  if (typeof arg !== 'object' || arg === null) return arg;
  return Object.fromEntries(Object.entries(arg).filter(([key]) => key !== 'signal' && key !== 'onLine').map(([key, value]) => [key, value instanceof Map ? Object.fromEntries(value) : value]));
}

const none = (name: string) => { if (!['probe', '/probe', CONTAINER_ID, CONTAINER_ID.slice(0, 12)].includes(name)) throw notFound(`No such container: ${name}`); };
const noImage = (name: string) => { if (!['busybox', 'busybox:latest', 'registry:5000/a/b:1', IMAGE_ID].includes(name)) throw notFound(`No such image: ${name}`); };

const images: Engine['images'] = {
  async pull(reference, options) {
    const onLine = (line: ProgressLine) => options.onLine(line);
    if (reference.startsWith('nosuch')) throw notFound(`pull access denied for ${reference}`);
    onLine({ status: `Pulling from library/${reference.split(':')[0]}`, id: 'latest' });
    if (reference.startsWith('breaks')) throw new EngineError('corrupt', 'layer is not what was promised');
    onLine({ status: 'Downloading', id: '4c15718faa35', progressDetail: { current: 1, total: 2 }, progress: '[=> ]' });
    onLine({ status: `Status: Downloaded newer image for ${reference}` });
  },
  async push(name, options) {
    options.onLine({ status: `The push refers to repository [docker.io/library/${name.split(':')[0]}]` });
    noImage(name);
  },
  async publishDeltas(target, options) { options.onLine({ status: `${target} from ${options.from.join(' and ')}` }); },
  list: async () => [imageView()],
  async inspect(name) { noImage(name); return imageView(); },
  async history(name) {
    noImage(name);
    return [{ id: IMAGE_ID, createdSeconds: 1_600_000_000, createdBy: '/bin/sh -c #(nop)  CMD ["sh"]', tags: ['busybox:latest'], sizeBytes: 0, comment: '' },
      { id: '<missing>', createdSeconds: 1_600_000_000, createdBy: 'ADD layer', tags: [], sizeBytes: 1984679, comment: '' }];
  },
  async tag(name) { noImage(name); },
  async remove(name) { noImage(name); return [{ Untagged: 'busybox:latest' }, { Deleted: IMAGE_ID }]; },
  prune: async () => ({ deleted: [], spaceReclaimedBytes: 0 }),
  async save(names) {
    names.forEach(noImage);
    return (async function* () { yield Buffer.from(`tar of ${names.join(' and ')}`); })();
  },
  async load(archive, options) {
    let text = '';
    for await (const chunk of archive) {
      text += Buffer.from(chunk).toString('utf8');
      if (text.startsWith('bad')) throw new EngineError('corrupt', 'Error processing tar file(exit status 1): unexpected EOF');
    }
    options.onLine({ stream: `Loaded image: ${text}${options.quiet ? '' : ' aloud'}\n` });
  },
  async delta(options) {
    noImage(options.base);
    options.onLine({ status: 'Created delta: sha256:0123' });
  },
  deltas: (name) => { noImage(name); return []; },
  async removeDeltas(name) { noImage(name); return []; },
  login: async () => ({ status: 'Login Succeeded', identityToken: '' }),
  distribution: async () => ({ descriptor: { mediaType: 'application/vnd.oci.image.index.v1+json', digest: IMAGE_ID, size: 7 }, platforms: [{ os: 'linux', architecture: 'arm', variant: 'v7' }] }),
};

const FAKE_USAGE: NonNullable<StatsSample['usage']> = {
  cgroupVersion: 1, system: { cpuNs: 14_778_980_000_000, onlineCpus: 2 },
  cpu: { totalNs: 77_011_050, userNs: 60_000_000, kernelNs: 10_000_000, perCpuNs: [29_039_594, 47_971_456], periods: 0, throttledPeriods: 0, throttledNs: 0 },
  memory: { usageBytes: 733_184, maxBytes: 4_075_520, limitBytes: 9_223_372_036_854_771_712n, failures: 0, stats: { active_anon: 4096n, hierarchical_memory_limit: 9_223_372_036_854_771_712n } },
  pids: { current: 1, limit: undefined }, blkio: {},
  networks: { eth0: { rxBytes: 1042, rxPackets: 11, rxErrors: 0, rxDropped: 0, txBytes: 126, txPackets: 3, txErrors: 0, txDropped: 0 } },
};

const storedVolume = () => ({ name: 'probevol', createdAt: '2026-11-20T19:34:31Z', labels: null, options: null, path: '/root/volumes/probevol/_data', mount: undefined, damaged: undefined });
const noVolume = (name: string) => { if (name !== 'probevol') throw notFound(`get ${name}: no such volume`); };

/** What inspect shows of a network; the API's tests change a field or two. */
export const networkRecord = (changes: Partial<NetworkView['network']> = {}): NetworkView['network'] => ({
  Id: 'aa'.repeat(32), Name: 'host', Created: '2026-11-20T19:32:47.128979461Z', Driver: 'host', EnableIPv6: false, Internal: false, Attachable: false, Ingress: false, ConfigOnly: false, ConfigFrom: '',
  Options: {}, Labels: {}, IPAM: { Driver: 'default', Options: null, Config: [] }, pools: { v4: [], v6: [] }, ...changes,
});
const NETWORKS = [networkRecord(), networkRecord({ Id: 'bb'.repeat(32), Name: 'none', Driver: 'null' })];

const networks: Engine['networks'] = {
  list: () => NETWORKS.map((network) => ({ network, endpoints: [] })),
  inspect(name) {
    const network = NETWORKS.find(({ Id, Name }) => Name === name || Id.startsWith(name));
    if (!network) throw notFound(`network ${name} not found`);
    return { network, endpoints: [] };
  },
  create: async () => ({ id: 'cc'.repeat(32), warning: '' }),
  async remove(name) { if (name !== 'probenet') throw notFound(`network ${name} not found`); },
  prune: async () => [],
  async connect(_name, { container }) { none(container); },
  async disconnect(_name, { container }) { none(container); },
};

const volumes: Engine['volumes'] = {
  create: async ({ name }) => ({ ...storedVolume(), name }),
  list: async () => [storedVolume()],
  inspect(name) { noVolume(name); return storedVolume(); },
  async remove(name, { force }) { if (!force) noVolume(name); },
  prune: async () => ({ deleted: ['probevol'], spaceReclaimedBytes: 7 }),
};

const containers: Engine['containers'] = {
  async create({ body }) {
    if (body.Image === 'nosuch') throw notFound('No such image: nosuch:latest');
    return { id: CONTAINER_ID, warnings: [] };
  },
  list: async () => [containerView()],
  async inspect(name, { size }) { none(name); return containerView(size ? { sizeRwBytes: 7, sizeRootFsBytes: 1984686 } : {}); },
  async start(name) { none(name); },
  async stop(name) { none(name); throw new EngineError('not-modified', 'container is already stopped'); },
  async restart(name) { none(name); },
  async kill(name) { none(name); throw conflict(`cannot kill container: ${name}: container ${CONTAINER_ID} is not running`); },
  async pause(name) { none(name); },
  async unpause(name) { none(name); },
  async rename(name) { none(name); },
  async remove(name) { none(name); },
  prune: async () => ({ deleted: [CONTAINER_ID], spaceReclaimedBytes: 12 }),
  async wait(name) { none(name); return { exited: Promise.resolve({ statusCode: 137, error: undefined }) }; },
  async logs(name) {
    none(name);
    async function* records() {
      yield { stream: 'stdout' as const, timeNs: 1_795_203_192_181_148_600n, bytes: Buffer.from('out\n') };
      yield { stream: 'stderr' as const, timeNs: 1_795_203_192_181_186_295n, bytes: Buffer.from('err\n') };
    }
    return { tty: false, records: records() };
  },
  async attach(name) { none(name); const session = new FakeSession(); session.print('stdout', 'out\n'); session.exit(); return session; },
  async resize(name) { none(name); },
  async stats(name, { stream }) {
    none(name);
    const sample = { readNs: 1_795_203_195_535_967_076n, usage: FAKE_USAGE, memoryBytes: 25_276_502_016 };
    const before = { ...sample, readNs: 1_795_203_194_514_143_069n };
    async function* frames() {
      yield { name: '/probe', id: CONTAINER_ID, sample, before };
      if (stream) yield { name: '/probe', id: CONTAINER_ID, sample: { readNs: undefined, usage: undefined, memoryBytes: 0 }, before: sample };
    }
    return frames();
  },
  async update(name, { CpuPercent }) { none(name); return { warnings: CpuPercent ? ['linux does not support CPU percent. Percent discarded.'] : [] }; },
  async top(name) { none(name); return { titles: ['PID', 'CMD'], processes: [['1264', 'sleep 300']] }; },
};

const execs: Engine['execs'] = {
  async create(name) { none(name); return { id: EXEC_ID }; },
  async inspect(id) { if (id !== EXEC_ID) throw notFound(`No such exec instance: ${id}`); return EXEC; },
  async start(_id, { detach }) {
    if (detach) return undefined;
    const session = new FakeSession();
    session.print('stdout', 'hi\n');
    session.exit();
    return session;
  },
  async resize() {},
};

const STAT: PathStat = { name: 'passwd', sizeBytes: 340, mode: 420, mtimeNs: 1_600_000_000_000_000_000n, linkTarget: '' };

const files: Engine['files'] = {
  async stat(name, path) { none(name); return { ...STAT, name: path }; },
  async read(name) { none(name); return { stat: STAT, tar: pieces('tar') }; },
  async write(name, _path, body) { none(name); for await (const _chunk of body); },
  async export(name) { none(name); return pieces('tar'); },
  async changes(name) { none(name); return pieces('[{"Path":"/data","Kind":1}]\n'); },
  async commit(name) { none(name); return { id: IMAGE_ID }; },
};

async function* pieces(text: string): AsyncGenerator<Uint8Array> { yield Buffer.from(text); }

const EXEC: ExecView = {
  id: EXEC_ID, containerId: CONTAINER_ID, running: false, exitCode: 3, pid: 1496, openStdin: false, openStdout: true, openStderr: false, canRemove: false,
  detachKeys: '', process: { tty: false, entrypoint: 'sh', arguments: ['-c', 'echo hi; exit 3'], privileged: false, user: '' },
};

export const EVENTS: EventLine[] = [
  { Type: 'container', Action: 'start', Actor: { ID: CONTAINER_ID, Attributes: { a: 'b', image: 'busybox', name: 'probe' } }, scope: 'local', time: 1795203192, timeNano: 1795203192188777000 },
  { Type: 'image', Action: 'pull', Actor: { ID: 'busybox:latest', Attributes: { name: 'busybox' } }, scope: 'local', time: 1795203192, timeNano: 1795203192188777000 },
  { Type: 'volume', Action: 'create', Actor: { ID: 'v', Attributes: { driver: 'local' } }, scope: 'local', time: 1795203192, timeNano: 1795203192188777000 },
];

export const VERSION: ReturnType<Engine['system']['version']> = {
  version: '0.1.0', gitCommit: 'abc', buildTime: '2026-11-20T00:00:00Z', nodeVersion: 'v26.10.0', os: 'linux', arch: 'amd64', kernelVersion: '6.18', experimental: false,
  components: [{ name: 'crun', version: '1.8.1' }],
};

export const INFO: SystemInfo = {
  id: '3a3abf0f', name: 'vm', containers: { total: 1, running: 1, paused: 0, stopped: 0 }, images: 1, driverStatus: [['Backing Filesystem', 'extfs']],
  dockerRootDir: '/var/lib/vaquita', debug: false, experimental: false, liveRestore: true, cpus: 2, memoryBytes: 268435456, operatingSystem: 'Debian',
  osVersion: '12', osType: 'linux', architecture: 'x86_64', kernelVersion: '6.18', cgroupDriver: 'cgroupfs', cgroupVersion: '2', defaultRuntime: 'crun',
  runtimes: { crun: { path: 'crun', args: [] } }, securityOptions: ['name=seccomp,profile=builtin'], labels: [], warnings: [], systemTime: '2026-11-20T19:33:11.083294051Z',
  indexServerAddress: 'https://index.docker.io/v1/', insecureRegistries: ['10.0.0.0/8', 'reg:5000'], registryMirrors: ['http://127.0.0.1:5055/'],
  loggingDriver: 'json-file', logDrivers: ['journald', 'json-file', 'local', 'syslog'], httpProxy: '', httpsProxy: '', noProxy: '', eventListeners: 0, fileDescriptors: 29, threads: 11,
  crunVersion: '1.8.1', conmonVersion: '2.1.6', initBinary: '',
  networkDrivers: ['bridge', 'host', 'macvlan', 'null'], ipv4Forwarding: true, bridgeNfIptables: true, bridgeNfIp6tables: true, addressPools: [],
  abilities: {
    memory: true, swap: true, reservation: true, swappiness: false, oomKillDisable: false, kernelMemory: false, kernelMemoryTcp: false, pids: true, cpuShares: true, cpuPeriod: true, cpuQuota: true,
    realtimePeriod: false, realtimeRuntime: false, cpuset: true, cpus: '0-1', mems: '0', blkioWeight: true, blkioWeightDevice: true, blkioThrottle: true, cgroupNamespaces: true,
  },
};

const NO_TIMINGS: Timings = { atMost: BUCKET_SECONDS.map(() => 0), count: 0, sumSeconds: 0 };

export const METRICS: MetricsView = {
  actions: { changes: NO_TIMINGS, commit: NO_TIMINGS, create: { atMost: BUCKET_SECONDS.map((bound) => (bound >= 0.25 ? 2 : 1)), count: 3, sumSeconds: 12.5 }, delete: NO_TIMINGS, start: NO_TIMINGS }, networkActions: { allocate: NO_TIMINGS, connect: NO_TIMINGS, release: NO_TIMINGS },
  containers: { running: 1, paused: 2, stopped: 3 }, healthChecks: 4, healthChecksFailed: 1, events: 9, eventSubscribers: 5,
};

export function imageView(changes: Partial<ImageView> = {}): ImageView {
  return {
    config: {
      id: IMAGE_ID, architecture: 'amd64', variant: '', os: 'linux', osVersion: '', author: 'a', comment: 'c', created: '2020-09-13T12:26:40Z', container: 'cafe',
      dockerVersion: '20.10', diffIds: [parseDiffId(`sha256:${'65'.repeat(32)}`)], history: [],
      config: {
        User: '', Env: ['PATH=/bin'], Entrypoint: null, Cmd: ['sh'], ArgsEscaped: false, WorkingDir: '', ExposedPorts: null, Volumes: null, Labels: { a: 'b' },
        StopSignal: '', StopTimeout: null, Healthcheck: null, OnBuild: null, Shell: null, raw: { Env: ['PATH=/bin'], Cmd: ['sh'], Labels: { a: 'b' } },
      },
      bytes: Buffer.from('{"container_config":{"Cmd":["/bin/sh"]}}'),
    },
    repoTags: ['busybox:latest'], repoDigests: [], parent: '', sizeBytes: 1984679,
    graph: { lowerDir: '', upperDir: '/r/overlay2/x/diff', workDir: '/r/overlay2/x/work', mergedDir: '/r/overlay2/x/merged' },
    containers: 1, lastTagTime: '2026-11-20T19:33:18.676685011Z', ...changes,
  };
}

export function containerView(changes: Partial<ContainerView> = {}): ContainerView {
  return {
    record: {
      StreamConfig: {}, ID: CONTAINER_ID, Created: '2026-11-20T19:33:11.672329143Z', Managed: false, Path: 'sh', Args: ['-c', 'echo out'], Image: IMAGE_ID,
      State: {
        Running: true, Paused: false, Restarting: false, OOMKilled: false, RemovalInProgress: false, Dead: false, Pid: 1264, ExitCode: 0, Error: '',
        StartedAt: '2026-11-20T19:33:11.844881652Z', FinishedAt: '0001-01-01T00:00:00Z',
      },
      Config: {
        Hostname: '388deedef289', Domainname: '', User: '', AttachStdin: false, AttachStdout: false, AttachStderr: false, Tty: false, OpenStdin: false, StdinOnce: false,
        Env: ['PATH=/bin'], Cmd: ['sh', '-c', 'echo out'], Image: 'busybox', Volumes: null, WorkingDir: '', Entrypoint: null, OnBuild: null, Labels: { a: 'b' }, ExposedPorts: { '80/tcp': {} },
      },
      NetworkSettings: NETWORK,
      LogPath: '/log', Name: '/probe', Driver: 'overlay2', OS: 'linux', MountLabel: '', ProcessLabel: '', RestartCount: 0, HasBeenStartedBefore: true,
      HasBeenManuallyStopped: false, MountPoints: {}, SecretReferences: null, ConfigReferences: null, AppArmorProfile: '', HostnamePath: '/h', HostsPath: '/hosts',
      ShmPath: '', ResolvConfPath: '/resolv', SeccompProfile: '', NoNewPrivileges: false, LocalLogCacheMeta: { HaveNotifyEnabled: false },
    },
    hostConfig: HOST_CONFIG, names: [changes.record?.Name ?? '/probe'], status: 'running', imageName: 'busybox', imageId: IMAGE_ID,
    graph: { lowerDirs: ['/r/a-init/diff', '/r/b/diff'], upperDir: '/r/a/diff', workDir: '/r/a/work', mergedDir: '/r/a/merged', data: '' },
    mounts: [], execIds: [], sizeRwBytes: undefined, sizeRootFsBytes: undefined, network: changes.record?.NetworkSettings ?? NETWORK, ...changes,
  };
}

const HOST_CONFIG: HostConfig = {
  Binds: null, ContainerIDFile: '', LogConfig: { Type: 'json-file', Config: {} }, NetworkMode: 'host', PortBindings: {}, RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
  AutoRemove: false, VolumeDriver: '', VolumesFrom: null, ConsoleSize: [0, 0], CapAdd: null, CapDrop: null, CgroupnsMode: 'host', Dns: [], DnsOptions: [], DnsSearch: [],
  ExtraHosts: null, GroupAdd: null, IpcMode: 'private', Cgroup: '', Links: null, OomScoreAdj: 0, PidMode: '', Privileged: false, PublishAllPorts: false,
  ReadonlyRootfs: false, SecurityOpt: null, UTSMode: '', UsernsMode: '', ShmSize: 67108864, Runtime: 'crun', Isolation: '', CpuShares: 0, Memory: 0, NanoCpus: 0,
  CgroupParent: '', BlkioWeight: 0, BlkioWeightDevice: null, BlkioDeviceReadBps: null, BlkioDeviceWriteBps: null, BlkioDeviceReadIOps: null,
  BlkioDeviceWriteIOps: null, CpuPeriod: 0, CpuQuota: 0, CpuRealtimePeriod: 0, CpuRealtimeRuntime: 0, CpusetCpus: '', CpusetMems: '', Devices: null,
  DeviceCgroupRules: null, DeviceRequests: null, MemoryReservation: 0, MemorySwap: 0, MemorySwappiness: null, OomKillDisable: false, PidsLimit: null, Ulimits: null,
  CpuCount: 0, CpuPercent: 0, IOMaximumIOps: 0, IOMaximumBandwidth: 0, MaskedPaths: null, ReadonlyPaths: null,
};

const NETWORK: RecordedNetworkSettings = {
  Bridge: '', SandboxID: '', HairpinMode: false, LinkLocalIPv6Address: '', LinkLocalIPv6PrefixLen: 0,
  Networks: {
    host: {
      IPAMConfig: null, Links: null, Aliases: null, MacAddress: '', NetworkID: 'aa', EndpointID: '', Gateway: '', IPAddress: '', IPPrefixLen: 0, IPv6Gateway: '',
      GlobalIPv6Address: '', GlobalIPv6PrefixLen: 0, DriverOpts: null,
    },
  },
  Service: null, Ports: { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '18123' }], '81/udp': null }, SandboxKey: '', SecondaryIPAddresses: null,
  SecondaryIPv6Addresses: null, IsAnonymousEndpoint: false, HasSwarmEndpoint: false,
};
