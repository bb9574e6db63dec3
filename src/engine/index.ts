// The verbs. Routers call these; what they return are records and plain values, which api/present.ts turns into Docker's JSON.
import type { ImageConfig, Platform } from '../oci/manifest.ts';
import type { ImageId } from '../oci/digest.ts';
import type { ContainerRecord, DeltaRecord, NetworkRecord, OverlayMount, RecordedNetworkSettings, StoredVolume } from '../store/index.ts';
import type { NetworkEndpoint } from './networks/networks.ts';
import type { CreateBody, EndpointSettings, EventLine, ExecCreateBody, HostConfig, MountPoint, NetworkCreateBody, ProgressLine, RegistryAuth, StringMap, UpdateBody } from '../wire/types.ts';
import type { LogRecord } from '../logs/index.ts';
import type { PathStat } from '../rootfs/index.ts';
import type { Abilities, Usage } from '../runtime/index.ts';
import type { MetricsView } from './metrics.ts';

/** Parsed `filters`: key to values, in the order given. Unknown keys are refused by the verb: invalid, "invalid filter 'x'". */
export type Filters = ReadonlyMap<string, readonly string[]>;
export interface Signalled { signal: AbortSignal }

export interface Engine {
  readonly images: ImagesFace;
  readonly containers: ContainersFace;
  readonly volumes: VolumesFace;
  readonly networks: NetworksFace;
  readonly execs: ExecsFace;
  readonly files: FilesFace;
  readonly events: EventsFace;
  readonly system: SystemFace;
}

export interface ImagesFace extends TransferFace {
  /**
   * Progress is told by `onLine`; whatever fails after the first line is thrown as well, and the router decides how to say it.
   * Deltas are used where they make it cheaper, unless `deltas` is false. With `dryRun` the lines tell what would happen, and nothing changes.
   */
  pull(reference: string, options: Signalled & { platform: Platform | undefined; auth: RegistryAuth | undefined; all: boolean; deltas?: boolean | undefined; dryRun?: boolean | undefined; onLine(line: ProgressLine): void }): Promise<void>;
  /** With `sharedSize` each says how much of it others of the list have too. */
  list(options: { all: boolean; sharedSize: boolean; filters: Filters }): Promise<ImageView[]>;
  /** By name, name@digest, ID or unique prefix of an ID. not-found: `No such image: NAME`. */
  inspect(name: string): Promise<ImageView>;
  history(name: string): Promise<ImageHistoryEntry[]>;
  tag(name: string, target: { repo: string; tag: string }): Promise<void>;
  remove(name: string, options: { force: boolean; noPrune: boolean }): Promise<Array<{ Untagged: string } | { Deleted: string }>>;
  prune(options: { filters: Filters }): Promise<{ deleted: Array<{ Untagged: string } | { Deleted: string }>; spaceReclaimedBytes: number }>;
  login(auth: RegistryAuth, options: Signalled): Promise<{ status: string; identityToken: string }>;
  distribution(name: string, options: Signalled & { auth: RegistryAuth | undefined }): Promise<{ descriptor: { mediaType: string; digest: string; size: number }; platforms: readonly Platform[] }>;
}

/** Verbs that carry images about. */
export interface TransferFace {
  /** `name` without a tag pushes `latest`, or with `all` every tag. Lines in Docker's words; deltas to the image go along, unless `deltas` is false. */
  push(name: string, options: Signalled & { auth: RegistryAuth | undefined; all: boolean; deltas: boolean; onLine(line: ProgressLine): void }): Promise<void>;
  /** A tar in the layout of `docker save`. What is named wrongly is refused before the first byte. */
  save(names: readonly string[], options: Signalled): Promise<AsyncIterable<Uint8Array>>;
  /** Takes images from such a tar (also OCI layouts, also packed); applies delta images. */
  load(archive: AsyncIterable<Uint8Array>, options: Signalled & { quiet: boolean; onLine(line: ProgressLine): void }): Promise<void>;
  /** `balena` makes a delta image, named `tag` when that is not ''; `vaquita` keeps the delta beside its target for a push. */
  delta(options: Signalled & { base: string; target: string; tag: string; format: 'balena' | 'vaquita'; onLine(line: ProgressLine): void }): Promise<void>;
  /** Our deltas to an image that are kept here, the oldest first. */
  deltas(name: string): DeltaRecord[];
  /** Those of them from one base, or with '' all. Gives what was removed; not-found where there is none from that base. */
  removeDeltas(name: string, options: { base: string }): Promise<DeltaRecord[]>;
  /**
   * Makes our deltas from each of `from` to `target`, and pushes target and deltas; pulls what is not here. What is published already is left
   * out, unless `force`. One delta that fails does not stop the others: the error at the end names it.
   */
  publishDeltas(target: string, options: Signalled & { from: readonly string[]; force: boolean; auth: RegistryAuth | undefined; onLine(line: ProgressLine): void }): Promise<void>;
}

export interface ImageView {
  config: ImageConfig;
  /** Familiar names with tag, sorted; empty for a dangling image. */
  repoTags: readonly string[];
  /** Familiar names with digest. */
  repoDigests: readonly string[];
  parent: string;
  sizeBytes: number;
  /** overlay2 folders of the top layer for GraphDriver.Data; undefined for an image without layers. */
  graph: { lowerDir: string; upperDir: string; workDir: string; mergedDir: string } | undefined;
  /** Containers that use it. */
  containers: number;
  /** RFC 3339; when the name was last set. Zero time when unknown. */
  lastTagTime: string;
  /** Where it was asked for. */
  sharedSizeBytes?: number;
}

export interface ImageHistoryEntry { id: string; createdSeconds: number; createdBy: string; tags: readonly string[]; sizeBytes: number; comment: string }

export interface ContainerView {
  record: ContainerRecord;
  hostConfig: HostConfig;
  /** With slashes: its own, and those that links gave it; sorted. */
  names: readonly string[];
  /** One word of Docker's: created, running, paused, restarting, removing, exited, dead. */
  status: string;
  /** What the image was called at creation; list shows the ID's start when that name now means another image. */
  imageName: string;
  imageId: ImageId;
  graph: OverlayMount | undefined;
  mounts: readonly MountPoint[];
  network: RecordedNetworkSettings;
  execIds: readonly string[];
  sizeRwBytes: number | undefined;
  sizeRootFsBytes: number | undefined;
}

export interface ContainersFace {
  /** `platform` as the client wrote it; what it leaves out is this machine's. `fitNetworks`: what does not fit to a network is refused now, not at the start. */
  create(options: Signalled & { name: string | undefined; body: CreateBody; platform: string | undefined; fitNetworks: boolean }): Promise<{ id: string; warnings: string[] }>;
  list(options: { all: boolean; limit: number; size: boolean; filters: Filters }): Promise<ContainerView[]>;
  /** By exact ID, exact name (with or without slash), or unique prefix of an ID, in this order. */
  inspect(name: string, options: { size: boolean }): Promise<ContainerView>;
  start(name: string, options: Signalled): Promise<void>;
  /** `signal` here is the name or number of the stop signal. */
  stop(name: string, options: { timeoutSeconds: number | undefined; stopSignal: string | undefined; signal: AbortSignal }): Promise<void>;
  restart(name: string, options: { timeoutSeconds: number | undefined; stopSignal: string | undefined; signal: AbortSignal }): Promise<void>;
  kill(name: string, options: { killSignal: string | undefined }): Promise<void>;
  pause(name: string): Promise<void>;
  unpause(name: string): Promise<void>;
  rename(name: string, newName: string): Promise<void>;
  remove(name: string, options: { force: boolean; volumes: boolean; link: boolean }): Promise<void>;
  prune(options: { filters: Filters }): Promise<{ deleted: string[]; spaceReclaimedBytes: number }>;
  /** Resolves once the wait is registered (headers may then be sent); `exited` resolves with the outcome. */
  wait(name: string, options: Signalled & { condition: 'not-running' | 'next-exit' | 'removed' }): Promise<{ exited: Promise<{ statusCode: number; error: string | undefined }> }>;
  logs(name: string, options: LogsOptions): Promise<{ tty: boolean; records: AsyncIterable<LogRecord> }>;
  attach(name: string, options: AttachOptions): Promise<AttachSession>;
  resize(name: string, size: { width: number; height: number }): Promise<void>;
  top(name: string, psArgs: string): Promise<{ titles: string[]; processes: string[][] }>;
  /**
   * What it uses: with `stream` one frame at once and one per second until the container is gone or the signal is aborted; without, one frame
   * with the second before it to compare with, or with `oneShot` (or when it does not run) alone and at once.
   */
  stats(name: string, options: Signalled & { stream: boolean; oneShot: boolean }): Promise<AsyncIterable<StatsFrame>>;
  /** Changes limits and restart policy; system when the kernel refuses, and then nothing has changed. */
  update(name: string, body: UpdateBody): Promise<{ warnings: string[] }>;
}

/** `usage` and `readNs` are undefined while it does not run. `memoryBytes`: of the whole machine. */
export interface StatsSample { readNs: bigint | undefined; usage: Usage | undefined; memoryBytes: number }
/** `before`: the sample that its reader had last. */
export interface StatsFrame { name: string; id: string; sample: StatsSample; before: StatsSample | undefined }

export interface VolumesFace {
  /** The volume of that name, made if there is none; an empty name makes an anonymous one. */
  create(wish: { name: string; driver?: string | undefined; options?: StringMap | null | undefined; labels?: StringMap | null | undefined }): Promise<StoredVolume>;
  list(options: { filters: Filters }): Promise<StoredVolume[]>;
  /** not-found: `get NAME: no such volume`. */
  inspect(name: string): StoredVolume;
  /** conflict while a container has it, running or not. With `force` one that is not there is removed already. */
  remove(name: string, options: { force: boolean }): Promise<void>;
  /** Of those that no container has: the anonymous ones, with the filter `all` any. Volumes with options of their own stay. */
  prune(options: { filters: Filters }): Promise<{ deleted: string[]; spaceReclaimedBytes: number }>;
}

/** `sizeBytes` is -1 when it could not be found out. */
export interface VolumeView { volume: StoredVolume; usage: { sizeBytes: number; containers: number } }

/** Names are found by exact ID, exact name, unique start of an ID. not-found: `network NAME not found`; invalid where several are meant. */
export interface NetworksFace {
  /** Predefined ones first, then in the order of making. */
  list(options: { filters: Filters }): NetworkView[];
  /** `scope`: '' or where the network must be known. */
  inspect(name: string, options: { scope: string }): NetworkView;
  /** `unique`: conflict when there is one of that name; else that is a warning. All or nothing. */
  create(body: NetworkCreateBody, options: { unique: boolean }): Promise<{ id: string; warning: string }>;
  /** forbidden for predefined ones, and while a running container is in it. */
  remove(name: string): Promise<void>;
  /** Names of those removed: users' networks that no running container is in. */
  prune(options: { filters: Filters }): Promise<string[]>;
  connect(name: string, options: { container: string; endpoint: Partial<EndpointSettings> }): Promise<void>;
  disconnect(name: string, options: { container: string; force: boolean }): Promise<void>;
}

/** `endpoints`: of the containers in it now. */
export interface NetworkView { network: NetworkRecord; endpoints: readonly NetworkEndpoint[] }

export interface LogsOptions extends Signalled { stdout: boolean; stderr: boolean; follow: boolean; tail: number | 'all'; sinceNs: bigint | undefined; untilNs: bigint | undefined }

export interface AttachOptions extends Signalled {
  logs: boolean; stream: boolean; stdin: boolean; stdout: boolean; stderr: boolean;
  /** Docker's spelling ("ctrl-p,ctrl-q"); undefined for the default, '' for none. */
  detachKeys: string | undefined;
}

/** One client on the stdio of a container or exec. */
export interface AttachSession extends AsyncDisposable {
  readonly tty: boolean;
  /** Ends when the program's output ends, when the client detached by keys, or when the session is disposed. */
  readonly output: AsyncIterable<{ stream: 'stdout' | 'stderr'; bytes: Uint8Array }>;
  /** What the client typed. Detach keys are recognised here: 'detached' means that the caller should close the connection. */
  input(bytes: Uint8Array): Promise<'ok' | 'detached'>;
  /** The client half-closed. */
  endInput(): Promise<void>;
}

export interface ExecView {
  id: string; containerId: string; running: boolean; exitCode: number | null; pid: number;
  openStdin: boolean; openStdout: boolean; openStderr: boolean; canRemove: boolean; detachKeys: string;
  process: { tty: boolean; entrypoint: string; arguments: readonly string[]; privileged: boolean; user: string };
}

export interface ExecsFace {
  create(containerName: string, body: ExecCreateBody): Promise<{ id: string }>;
  inspect(id: string): Promise<ExecView>;
  /** With `detach` the session is undefined and the exec runs on by itself. conflict when it has run already. */
  start(id: string, options: Signalled & { detach: boolean; tty: boolean; consoleSize: { width: number; height: number } | undefined }): Promise<AttachSession | undefined>;
  resize(id: string, size: { width: number; height: number }): Promise<void>;
}

/** The files of containers, running or not. Names are found as in ContainersFace; not-found: `Could not find the file PATH in container NAME`. */
export interface FilesFace {
  stat(name: string, path: string, options: Signalled): Promise<PathStat>;
  /** A file or a tree as a tar. */
  read(name: string, path: string, options: Signalled): Promise<{ stat: PathStat; tar: AsyncIterable<Uint8Array> }>;
  /** Extracts an archive into a directory; `keepKinds`: directories and others do not replace each other; `ownUser`: everything becomes the container's user's. */
  write(name: string, path: string, body: AsyncIterable<Uint8Array>, options: Signalled & { keepKinds: boolean; ownUser: boolean }): Promise<void>;
  /** Everything but volumes as a tar. */
  export(name: string, options: Signalled): Promise<AsyncIterable<Uint8Array>>;
  /** Text of a JSON list of { Path, Kind }, or null. */
  changes(name: string, options: Signalled): Promise<AsyncIterable<Uint8Array>>;
  /** Makes an image of a container, and names it unless `repo` is ''. */
  commit(name: string, options: Signalled & CommitOptions): Promise<{ id: ImageId }>;
}

export interface CommitOptions {
  repo: string; tag: string; comment: string; author: string;
  pause: boolean;
  /** Instructions of a Dockerfile. */
  changes: readonly string[];
  /** Replaces the container's own. */
  config: CreateBody | undefined;
}

export interface EventsFace {
  /** Events of the past from `sinceNs` on, then new ones until `untilNs` (then it ends) or the signal is aborted. */
  subscribe(options: Signalled & { sinceNs: bigint | undefined; untilNs: bigint | undefined; filters: Filters }): AsyncIterable<EventLine>;
}

export interface SystemFace {
  info(): Promise<SystemInfo>;
  version(): SystemVersion;
  metrics(): MetricsView;
  diskUsage(): Promise<{ layersSizeBytes: number; images: ImageView[]; containers: ContainerView[]; volumes: VolumeView[] }>;
}

export interface SystemVersion {
  version: string; gitCommit: string; buildTime: string; nodeVersion: string; os: string; arch: string; kernelVersion: string; experimental: boolean;
  components: readonly { name: string; version: string }[];
}

export interface SystemInfo {
  id: string; name: string; containers: { total: number; running: number; paused: number; stopped: number }; images: number;
  driverStatus: readonly (readonly [string, string])[]; dockerRootDir: string; debug: boolean; experimental: boolean; liveRestore: boolean;
  cpus: number; memoryBytes: number; operatingSystem: string; osVersion: string; osType: string; architecture: string; kernelVersion: string;
  cgroupDriver: string; cgroupVersion: string; defaultRuntime: string; runtimes: Readonly<Record<string, { path: string; args: readonly string[] }>>;
  securityOptions: readonly string[]; labels: readonly string[]; warnings: readonly string[]; systemTime: string;
  indexServerAddress: string; insecureRegistries: readonly string[]; registryMirrors: readonly string[];
  loggingDriver: string; logDrivers: readonly string[]; httpProxy: string; httpsProxy: string; noProxy: string;
  eventListeners: number; fileDescriptors: number; threads: number; crunVersion: string; conmonVersion: string; initBinary: string;
  /** What the kernel can limit. */
  abilities: Abilities;
  networkDrivers: readonly string[];
  /** As they are now, whoever has set them. */
  ipv4Forwarding: boolean; bridgeNfIptables: boolean; bridgeNfIp6tables: boolean;
  addressPools: ReadonlyArray<{ base: string; size: number }>;
}

export { openEngine } from './engine.ts';
export type { ContainerDefaults } from './containers/needs.ts';
export { BUCKET_SECONDS, type MetricsView, type Timings } from './metrics.ts';
export type { NetworkEndpoint } from './networks/networks.ts';
export type { SystemFacts } from './system.ts';
