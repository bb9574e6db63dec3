// What stands in a container's root file system: told, read, written and compared by workers that see nothing else of the machine.
//
// The daemon itself never touches a path of a container. Each call is one child of ours: it takes mounts of its own, puts together what the
// container sees (its overlay, its volumes over it, the tmpfs of a running one), makes that its root, and does the one thing it was started
// for. A symlink, a race or a device in there can reach what the container has, and nothing of the host. Nothing stays mounted, and the
// memory goes back with the child.
import type { OverlayMount } from '../store/index.ts';

/** What a container sees, as a plain value. */
export interface View {
  overlay: OverlayMount;
  /** Its first process; then the overlay is mounted. */
  pid: number | undefined;
  /** Over the overlay, parents before children. What is not there is left out. */
  mounts: readonly ViewMount[];
  /** Where a running container has file systems in memory. */
  tmpfs: readonly string[];
  readOnlyRoot: boolean;
}

export interface ViewMount {
  /** On the host. */
  source: string;
  destination: string;
  writable: boolean;
  recursive: boolean;
  /** A volume or bind that the client asked for; otherwise a file of ours, such as /etc/hosts. */
  asked: boolean;
}

export interface PathStat {
  name: string;
  sizeBytes: number;
  /** Go's FileMode: permissions, and the type in the high bits. */
  mode: number;
  mtimeNs: bigint;
  /** Of a symlink: where all links of the path lead to, within the container; else ''. */
  linkTarget: string;
}

export interface WriteOptions {
  signal: AbortSignal;
  /** Directories and other things do not replace each other. */
  keepKinds: boolean;
  /** Everything belongs to this user ("name", "uid:gid" …), looked up in the container; '' leaves the archive's owners. */
  user: string;
}

export interface RootFs {
  /** not-found where there is nothing; `system`, in the words of the failed call, where it cannot be told. */
  stat(view: View, path: string, options: { signal: AbortSignal }): Promise<PathStat>;
  /** A file or a tree as a tar, named as Docker names its entries. Once it resolves the view is put together: the container may go. */
  read(view: View, path: string, options: { signal: AbortSignal }): Promise<{ stat: PathStat; tar: AsyncIterable<Uint8Array> }>;
  /**
   * Puts a tar (plain, gzip, bzip2, xz or zstd) into a directory. not-found; invalid where it is no directory; forbidden where it is read-only;
   * `system` for whatever is wrong with the archive or the disk: what came before that stays. The container must not start meanwhile.
   */
  write(view: View, path: string, body: AsyncIterable<Uint8Array>, options: WriteOptions): Promise<void>;
  /** Everything in the overlay, without volumes, as a tar. */
  export(view: View, options: { signal: AbortSignal }): Promise<AsyncIterable<Uint8Array>>;
  /** What the container has changed, as the text of Docker's JSON: a list of paths with kinds, sorted, or null. */
  changes(view: View, options: { signal: AbortSignal }): Promise<AsyncIterable<Uint8Array>>;
  /** What the container has changed, as the tar of a layer. */
  layer(view: View, options: { signal: AbortSignal }): Promise<AsyncIterable<Uint8Array>>;
  /** Takes off what clients pack archives with, also what is unpacked byte by byte (bzip2, xz) and would hold the daemon up. Error: corrupt. */
  unpack(source: AsyncIterable<Uint8Array>, options: { signal: AbortSignal }): AsyncIterable<Uint8Array>;
}

export { openRootFs } from './rootfs.ts';
