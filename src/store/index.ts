// What survives a power cut: Docker's overlay2 layout under one root. `openStore` is recovery: there is no other way to open.
import type { IdMap } from '../lib/ids.ts';
import type { ChainId, Digest, DiffId, ImageId } from '../oci/digest.ts';
import type { Compression, ImageConfig } from '../oci/manifest.ts';
import type { ContainerConfig, ContainerState, EndpointSettings, HostConfig, MountSpec, StringMap } from '../wire/types.ts';

export interface Store {
  readonly root: string;
  /**
   * How containers' users and groups are numbered on this root (user namespaces): layers and snapshots hold the host's numbers, archives
   * the container's (lib/ids.ts counts between them). undefined when they are the same.
   */
  readonly idMap: IdMap | undefined;
  readonly images: ImageStore;
  readonly names: NameStore;
  readonly layers: LayerStore;
  readonly containers: ContainerStore;
  readonly volumes: VolumeStore;
  readonly networks: NetworkStore;
  readonly deltas: DeltaStore;
  readonly distribution: DistributionStore;
  /** What opening found and mended, for the log and for `info`. */
  readonly recovered: RecoveryReport;
  /**
   * Removes every layer that no image config, active snapshot or lease needs (and its ancestors likewise), newest first.
   * Resolves with the chainIDs removed, bottom last. Called after names and images were removed.
   */
  collect(): Promise<ChainId[]>;
  /** Ends the extractors and gives the lock of the root back. */
  close(): Promise<void>;
}

export interface RecoveryReport {
  /** Records set aside because they could not be read: path now, and why. */
  quarantined: readonly { path: string; reason: string }[];
  /** Staging directories and unreferenced snapshots that were removed. */
  swept: readonly string[];
}

/** imagedb: image configs by the digest of their bytes. */
export interface ImageStore {
  get(id: ImageId): ImageConfig | undefined;
  list(): ImageConfig[];
  /** Durable when resolved. Every layer of it must be committed. Adding one that is there is fine. */
  add(config: ImageConfig, options?: { parent?: ImageId | undefined }): Promise<void>;
  /** Durable when resolved. Layers stay until `collect`. */
  remove(id: ImageId): Promise<void>;
  /** IDs that start with `hexPrefix` (hex digits, no algorithm). */
  withPrefix(hexPrefix: string): ImageId[];
  /** The image it was built from, where that was recorded. */
  parentOf(id: ImageId): ImageId | undefined;
  /** Notes that it was given a name, at a time in RFC 3339; not durable. */
  tagged(id: ImageId, time: string): Promise<void>;
  /** When it was last given a name by `tag` or a commit, here or by Docker. */
  lastTagged(id: ImageId): string | undefined;
}

/** repositories.json: familiar references ("busybox:latest", "busybox@sha256:…", "registry:5000/a/b:1") to image IDs. */
export interface NameStore {
  get(familiar: string): ImageId | undefined;
  all(): ReadonlyMap<string, ImageId>;
  /** Familiar references of an image, sorted. */
  of(id: ImageId): string[];
  /** One atomic, durable replacement of the file with all changes in it. */
  update(changes: { set?: ReadonlyArray<readonly [familiar: string, id: ImageId]>; remove?: readonly string[] }): Promise<void>;
}

export interface LayerInfo {
  chainId: ChainId;
  diffId: DiffId;
  parent: ChainId | undefined;
  cacheId: string;
  /** Sum of the file sizes of this layer alone. */
  sizeBytes: number;
  /** Folder with the layer's files. */
  diffPath: string;
}

/** What the exact tar of a layer can be put together from, by a worker too (`openLayerView`). */
export interface LayerFiles { diffId: DiffId; tarSplitPath: string; diffPath: string }

/** How a layer's bytes come as a delta. */
export interface LayerDelta {
  /** `rsync`: a tar with a librsync delta against all of `base`, one behind the other. `vaquita`: our own format, which names the layers of `base` it needs. */
  format: 'rsync' | 'vaquita';
  /** Bottom first. They must be kept (leased) by the caller until the layer is staged. */
  base: readonly LayerFiles[];
}

export interface LayerWrite {
  /** The promise the uncompressed tar is held to; undefined when it is made just now, and nobody knows it before its last byte. */
  diffId: DiffId | undefined;
  /** `later`: it is told at the commit. */
  parent: ChainId | undefined | 'later';
  compression: Compression;
  /**
   * The bytes are a delta: it is applied as they arrive. Wrong ones, and a base that is not what it was, are `corrupt`, and the message says
   * which. One delta is applied at a time.
   */
  delta?: LayerDelta | undefined;
  /** Compressed bytes as they arrive. An error in it discards the layer and is thrown on. */
  source: AsyncIterable<Uint8Array>;
  /** Called now and then with the number of source bytes consumed so far. */
  onProgress?(consumedBytes: number): void;
  signal?: AbortSignal | undefined;
}

/** A layer whose bytes are all on the disk, but which nobody can see yet. Disposing of it discards it unless committed. */
export interface StagedLayer extends AsyncDisposable {
  readonly diffId: DiffId;
  /**
   * Makes it visible, durably; its parent must be committed. Committing a chainID that exists keeps the existing one. `on` is for what was
   * staged to learn its parent later, and for that alone.
   */
  commit(on?: { parent: ChainId | undefined }): Promise<LayerInfo>;
  /**
   * Durably marks it as whole, for the time that it waits for its parent: should this process end, the next one finds it among the kept ones.
   * Costs nothing, since the commit has less to do then. Disposing of it discards it all the same.
   */
  keep(): Promise<void>;
  /** Puts it among the kept ones, instead of disposing of it: whoever pulls it next has it. Only after `keep`. */
  leave(): Promise<void>;
  /** What a worker reads it from: in staging until it is committed, then where that is. */
  files(): LayerFiles;
  /** Its exact tar, as `LayerStore.tar` gives it. */
  tar(): AsyncIterable<Uint8Array>;
}

/** An overlay mount as a plain value; mounting is the caller's (kernel.mounts). */
export interface OverlayMount {
  lowerDirs: readonly string[];
  upperDir: string;
  workDir: string;
  /** Where it is to be mounted. */
  mergedDir: string;
  /** Shortest form of the mount data, relative to `cwd`, for chains whose absolute paths exceed the page that mount(2) takes. */
  data: string;
  /** The directory that `data` counts from; absent when its paths are absolute. */
  cwd?: string;
}

/**
 * Whole layers without a parent, which pulls left that failed, or that ended with their process. They are removed a week after they came.
 */
export interface KeptStore {
  has(diffId: DiffId): boolean;
  /** Of all of them. */
  sizeBytes(): number;
  /**
   * Takes one, to be committed on any parent. All of it is read first and held to its diffID: `corrupt` when it is not what it was (it is
   * removed then), `not-found` when there is none, the signal's reason (it stays). Disposing of it discards it, unless it is left again.
   */
  stage(diffId: DiffId, options: { parent: ChainId | undefined; signal?: AbortSignal | undefined }): Promise<StagedLayer>;
  /** Removes all that nobody has taken. */
  clear(): Promise<void>;
  /** How much was removed since opening, in bytes: grows when there is more room. */
  readonly clearedBytes: number;
}

export interface LayerStore {
  /** What pulls left behind that failed. */
  readonly kept: KeptStore;
  get(chainId: ChainId): LayerInfo | undefined;
  list(): LayerInfo[];
  /**
   * Extracts a layer into staging and syncs it (one syncfs); several may be staged at once, in any order. Fails with `corrupt` when the
   * bytes are no tar, do not hash to diffId or try to leave the directory; with `system` (ENOSPC …) when the disk refuses. A failure leaves nothing.
   */
  stage(layer: LayerWrite): Promise<StagedLayer>;
  /**
   * The exact tar that a committed layer was made from, put together from its files. Throws `corrupt` as soon as one of them is not what
   * it was, `not-found` when the layer is gone. Leaves nothing in the page cache.
   */
  tar(chainId: ChainId): AsyncIterable<Uint8Array>;
  /** How many bytes `tar` gives: reads the layer's tar-split, not its files. Errors as there. */
  tarSizeBytes(chainId: ChainId): Promise<number>;
  /** While held, `collect` spares the layers (a pull holds what it found and made until its image has a record). */
  lease(chainIds: readonly ChainId[]): Disposable & { add(chainId: ChainId): void };
  /** Makes the writable snapshot of a container, durably: on `parent`, with Docker's init layer between unless `init` is false. */
  createActive(containerId: string, options: { parent: ChainId | undefined; init: boolean }): Promise<OverlayMount>;
  /** The writable snapshot of a container, or undefined. */
  active(containerId: string): OverlayMount | undefined;
  removeActive(containerId: string): Promise<void>;
  /** Bytes that a container has written, by walking its upper directory. */
  activeSizeBytes(containerId: string): Promise<number>;
  /** What a worker reads a committed layer from; undefined when there is none. */
  files(chainId: ChainId): LayerFiles | undefined;
  /** The file from which, with `diffPath`, the layer's exact tar can be put together (see tarsplit.ts). */
  tarSplitPath(chainId: ChainId): string;
  /** Reads every file of a layer and tells what is not as it was extracted; nothing when all is well. not-found without such a layer. */
  verify(chainId: ChainId, options?: { signal?: AbortSignal | undefined }): Promise<LayerDamage[]>;
}

/** `file` is undefined when the damage is in the layer's own records. */
export interface LayerDamage { file: string | undefined; reason: string }

/** One of our own deltas, made here and not yet taken away: what a push of its target brings along. */
export interface DeltaRecord {
  /** Image IDs. */
  base: ImageId;
  target: ImageId;
  /** RFC 3339. */
  created: string;
  /** Of those layers of the target that the base has not, the bottom first. */
  layers: ReadonlyArray<{ diffId: DiffId; digest: Digest; sizeBytes: number; targetBytes: number; sources: readonly DiffId[] }>;
}

/** vaquita/deltas: our own deltas between images that are here. They go with their target (`collect`). */
export interface DeltaStore {
  list(): DeltaRecord[];
  /** To this image. */
  of(target: ImageId): DeltaRecord[];
  /** A fresh directory on the root's file system to make deltas in. */
  workshop(): Promise<Workshop>;
  /** Takes the files over from a workshop (by rename), in the order of `record.layers`. Durable when resolved; replaces an older one of the same pair. */
  add(record: DeltaRecord, paths: readonly string[]): Promise<void>;
  /** Error: not-found. */
  blob(record: DeltaRecord, digest: Digest): AsyncIterable<Uint8Array>;
  remove(record: DeltaRecord): Promise<void>;
}

/** Disposing of it removes what is left in it, and so does the next start. */
export interface Workshop extends AsyncDisposable {
  readonly path: string;
  /** The bytes of a file in it, by its whole path; they leave the page cache. */
  read(path: string): AsyncIterable<Uint8Array>;
}

/** A second data root that is only read: nothing is written, locked or mended in it. */
export interface BaseRoot {
  readonly root: string;
  readonly images: Pick<ImageStore, 'get' | 'list'>;
  readonly layers: Pick<LayerStore, 'get' | 'list' | 'files' | 'tar'>;
}

/** distribution/: which blob a layer came from, as Docker records it (used by push). */
export interface DistributionStore {
  /** `blob` is the layer packed with gzip, and nothing else. */
  record(diffId: DiffId, blob: Digest, repository: string): Promise<void>;
  diffIdOf(blob: Digest): DiffId | undefined;
  /** Oldest first. What is not our own was recorded by an older engine on this root, and may be a delta or packed otherwise. */
  sourcesOf(diffId: DiffId): readonly { digest: Digest; repository: string; isOwn: boolean }[];
}

/** config.v2.json of a container, with Docker's field names: an older engine must be able to read what we write. */
export interface ContainerRecord {
  StreamConfig: Record<string, never>;
  State: ContainerState;
  ID: string;
  Created: string;
  Managed: boolean;
  Path: string;
  Args: string[];
  Config: ContainerConfig;
  /** Image ID. */
  Image: string;
  NetworkSettings: RecordedNetworkSettings;
  LogPath: string;
  /** With the leading slash. */
  Name: string;
  Driver: string;
  OS: string;
  MountLabel: string;
  ProcessLabel: string;
  RestartCount: number;
  HasBeenStartedBefore: boolean;
  HasBeenManuallyStopped: boolean;
  /** By destination. */
  MountPoints: Record<string, RecordedMountPoint>;
  SecretReferences: null;
  ConfigReferences: null;
  AppArmorProfile: string;
  HostnamePath: string;
  HostsPath: string;
  ShmPath: string;
  ResolvConfPath: string;
  SeccompProfile: string;
  NoNewPrivileges: boolean;
  LocalLogCacheMeta: { HaveNotifyEnabled: boolean };
}

export interface RecordedNetworkSettings {
  Bridge: string;
  SandboxID: string;
  HairpinMode: boolean;
  LinkLocalIPv6Address: string;
  LinkLocalIPv6PrefixLen: number;
  Networks: Record<string, RecordedEndpoint>;
  Service: null;
  Ports: Record<string, Array<{ HostIp: string; HostPort: string }> | null> | null;
  SandboxKey: string;
  SecondaryIPAddresses: null;
  SecondaryIPv6Addresses: null;
  IsAnonymousEndpoint: boolean;
  HasSwarmEndpoint: boolean;
}

/** With what clients do not see: the address of the interface that was asked for (`MacAddress` is the one it has). */
export interface RecordedEndpoint extends EndpointSettings { IPAMOperational?: boolean; DesiredMacAddress?: string }

/** One mount of a container as Docker records it. What a client asked for is in Spec; anonymous volumes have none or one without Source. */
export interface RecordedMountPoint {
  /** Of a bind: its path on the host. Of a volume it may be empty; the volume knows. */
  Source: string;
  Destination: string;
  RW: boolean;
  Name: string;
  Driver: string;
  Type?: string;
  /** The options behind the last colon of a bind; once they were only about labels. */
  Relabel?: string;
  Propagation?: string;
  Spec: Partial<MountSpec>;
  /** The source must be there: no directory is made for it. */
  SkipMountpointCreation: boolean;
}

/** Networks that users made. The predefined ones are not recorded. */
export interface NetworkStore {
  /** All that could be read at opening, oldest first, with those of Docker's that were not known yet. */
  loaded(): NetworkRecord[];
  /** Whether one went on purpose, as far as that was to be remembered, or is of another engine and of a kind that is not for us. */
  wasRemoved(id: string): boolean;
  /** Durable when resolved. */
  save(record: NetworkRecord): Promise<void>;
  /**
   * Durable when resolved. Fine when there is none. With `remember` it is noted that this one went on purpose: who finds its ID
   * in a container's record knows that it is not lost.
   */
  remove(id: string, options: { remember: boolean }): Promise<void>;
}

/** A network with Docker's field names, as inspect shows them, and what was chosen for it. */
export interface NetworkRecord {
  /** 64 hex digits. */
  Id: string;
  Name: string;
  /** RFC 3339 with nanoseconds. */
  Created: string;
  /** bridge, macvlan, host, null. */
  Driver: string;
  EnableIPv6: boolean;
  Internal: boolean;
  Attachable: boolean;
  Ingress: boolean;
  ConfigOnly: boolean;
  /** Name of the config-only network it was made from; ''. */
  ConfigFrom: string;
  Options: StringMap;
  Labels: StringMap;
  IPAM: { Driver: string; Options: StringMap | null; /** As asked; what inspect shows is this, or `pools` where nothing was asked. */ Config: Array<{ Subnet: string; IPRange: string; Gateway: string; AuxiliaryAddresses: StringMap }> };
  pools: NetworkPools;
}

/** The subnets of a network as they were decided. */
export interface NetworkPools { v4: readonly NetworkPool[]; v6: readonly NetworkPool[] }
/** `range`: the part of the subnet that addresses are given from, the subnet itself when it was not narrowed. `gateway` without prefix; '' none. `aux`: name to address, never given. */
export interface NetworkPool { subnet: string; range: string; gateway: string; aux: StringMap }

export interface StoredContainer { record: ContainerRecord; hostConfig: HostConfig }

export interface ContainerStore {
  /** Every readable container, read once at opening; unreadable ones are in `recovered`. Fields that a foreign record lacks are filled in. */
  loaded(): StoredContainer[];
  /** Folder of a container: also holds its log, hostname, hosts and resolv.conf. */
  directory(containerId: string): string;
  /** Both files, durable when resolved. The directory is made. */
  create(container: StoredContainer): Promise<void>;
  /** config.v2.json, replaced atomically. `durable: false` renames without sync: for state that recovery can find again. */
  save(record: ContainerRecord, options?: { durable?: boolean }): Promise<void>;
  saveHostConfig(containerId: string, hostConfig: HostConfig): Promise<void>;
  /** Writes a small file into the container's directory (hostname, hosts, resolv.conf); not synced. Returns its path. */
  writeFile(containerId: string, name: string, content: string): Promise<string>;
  /** Makes an empty directory below the container's `mounts`, where Docker has what it mounts for one; not synced. Returns its path. */
  makeMountPoint(containerId: string, name: string): Promise<string>;
  /** Removes the directory. Gone when resolved, also after a power cut. */
  remove(containerId: string): Promise<void>;
}

export interface VolumeSource {
  name: string;
  labels: StringMap | null;
  /** Of the local driver, as the client gave them: type, o, device. */
  options: StringMap | null;
}

/** What is mounted on the volume's folder while it is in use. */
export interface LocalMount { type: string; options: string; device: string }

export interface StoredVolume extends VolumeSource {
  /** RFC 3339, to the second. */
  createdAt: string;
  /** Where its files are. */
  path: string;
  /** undefined for a plain directory. */
  mount: LocalMount | undefined;
  /** Why it cannot be used: its options are lost, and its files may be somewhere else. */
  damaged: string | undefined;
}

/** volumes/: who uses them is the engine's business, and so is mounting. */
export interface VolumeStore {
  get(name: string): StoredVolume | undefined;
  /** By name. */
  list(): StoredVolume[];
  /** Durable when resolved, whole or not at all. Error: conflict when there is one of that name. */
  create(volume: VolumeSource): Promise<StoredVolume>;
  /** Gone when resolved, also after a power cut. Fine when there is none. Error: conflict when something is mounted in it. */
  remove(name: string): Promise<void>;
  /** Lengths of its files, each inode once. */
  sizeBytes(name: string): Promise<number>;
  /**
   * Gives an empty volume the content of a directory of a root file system, with owners, modes, times, attributes and links; `path` is
   * found as a process in it would find it. Nothing is done when the volume is not empty or there is no such directory. A power cut leaves
   * all of it or nothing, unless it is done `inPlace`: where the volume is mounted, its folder cannot be exchanged. What is `remote` is
   * looked at and filled in place by a worker alone: its server may not answer.
   */
  fill(name: string, from: { rootfs: string; path: string; inPlace: boolean; remote: boolean }): Promise<void>;
}

export { openBaseRoot } from './base-root.ts';
export { openLayerView, openViewShare, type ViewShare } from './layer-view.ts';
export { remappedRoot } from './remap.ts';
export { openStore } from './store.ts';
