// What only Linux can do, as small interfaces; linux.ts is the real one, fake.ts records calls and fails where told.
// Every error is an Error with `code` (errno name), `syscall` and, where there is one, `path`; the message names all three.

export interface MountEntry {
  id: number;
  parentId: number;
  root: string;
  target: string;
  fsType: string;
  source: string;
  /** Per-mount options, such as ro, nosuid. */
  options: string;
  /** Options of the file system, such as lowerdir=…. */
  superOptions: string;
  /** 'shared:1 master:2' … */
  propagation: string;
}

export interface Mounts {
  /** mount(2). `flags` are MS_* numbers of MOUNT_FLAGS. Relative paths in it, also within `data`, start from `cwd`. */
  mount(what: { source: string; target: string; fsType: string; flags?: number; data?: string; cwd?: string }): void;
  /**
   * Binds what a process chrooted into `root` finds at `path` onto `target`, alone or with all that is mounted below it. A target that is
   * not there is made, of the same kind. ENOENT when there is nothing to bind.
   */
  bindFrom(root: string, path: string, to: { target: string; recursive: boolean }): void;
  /** umount2(2); `lazy` detaches at once and lets go when nobody uses it. A target that is no mount is an error (EINVAL). */
  unmount(target: string, options?: { lazy?: boolean }): void;
  /** Every mount of this process's namespace, oldest first, from /proc/self/mountinfo. */
  list(): MountEntry[];
}

export interface RemoteMounts {
  /** mount(2) for what may wait long for a server: nothing else waits meanwhile. ETIMEDOUT when `signal` aborts it; then it may be mounted all the same. */
  mount(what: Parameters<Mounts['mount']>[0], options: { signal: AbortSignal }): Promise<void>;
}

/** Source: mount(2). */
export const MOUNT_FLAGS = {
  readOnly: 1, noSuid: 2, noDev: 4, noExec: 8, synchronous: 16, remount: 32, mandatoryLocks: 64, dirSync: 128, noAtime: 1024, noDirAtime: 2048,
  bind: 4096, recursive: 16384, unbindable: 1 << 17, private: 1 << 18, slave: 1 << 19, shared: 1 << 20, relAtime: 1 << 21, strictAtime: 1 << 24,
} as const;

export interface Files {
  /** Writes out the whole file system that holds `path`, and nothing else (syncfs(2)). */
  syncFs(path: string): void;
  /** Starts the write-out of a file's dirty pages ('start'), or waits for what was started and finishes the rest ('wait'). sync_file_range(2). */
  writeOut(fd: number, how: 'start' | 'wait', range?: { offset: number; bytes: number }): void;
  /** Gives the clean cached pages of a file back: posix_fadvise(DONTNEED). */
  dropCache(fd: number): void;
  /** Begins to read a whole file into the page cache, and does not wait for it: posix_fadvise(WILLNEED). */
  readAhead(fd: number): void;
  /** `mode` with its type bits (S_IFCHR …). */
  mknod(path: string, mode: number, device: { major: number; minor: number }): void;
  /** Never follows a symlink. */
  setXattr(path: string, name: string, value: Uint8Array): void;
  /** undefined when the file has no such attribute. Never follows a symlink. */
  getXattr(path: string, name: string): Uint8Array | undefined;
  listXattr(path: string): string[];
  /** Sets the time of last access and modification, in nanoseconds since the epoch; never follows a symlink. */
  setTimes(path: string, times: { atimeNs: bigint; mtimeNs: bigint }): void;
  /** Changes this process's root; `path` may be '.', after fchdir. */
  chroot(path: string): void;
  fchdir(fd: number): void;
  /** Takes an exclusive lock without waiting; false when another process holds it. Held until the fd is closed. */
  tryLock(fd: number): boolean;
  /**
   * The content of a regular file below `root`, found as a process chrooted there would find it (openat2(2), RESOLVE_IN_ROOT): no
   * symlink leads out. undefined when there is none; an error when it is larger than `limitBytes` or no regular file.
   */
  readInRoot(root: string, path: string, limitBytes: number): Uint8Array | undefined;
  /** What a process chrooted into `root` finds at `path`, and where that is for us; of what is not there the path that was asked for. */
  findInRoot(root: string, path: string): { kind: 'directory' | 'other' | undefined; path: string };
  /** A descriptor (O_PATH) of whatever a process chrooted into `root` finds at `path`; undefined when there is nothing. */
  openInRoot(root: string, path: string): number | undefined;
  /** Makes `path` a directory with its parents (0755) unless something is there already; what is made belongs to `owner`. */
  ensureDirectory(path: string, owner?: { uid: number; gid: number }): void;
  /** Whether anything is there, following symlinks. */
  exists(path: string): boolean;
  /** Pages of a file in the page cache, in bytes (mincore(2)). By descriptor it is left open. */
  cachedBytes(file: string | number): number;
}

export interface CgroupLayout {
  /** 'v1' and 'v2' are pure; 'hybrid' has v1 controllers and a cgroup2 mount beside them. */
  mode: 'v1' | 'hybrid' | 'v2' | 'none';
  /** Where each v1 controller is mounted; for v2 the controllers of the root. */
  controllers: readonly string[];
  /** Mount point of the cgroup2 hierarchy, where there is one. */
  unifiedPath: string | undefined;
  /** Controllers that stand in the cgroup2 hierarchy of a hybrid host: crun refuses such a host (see runtime). */
  strayControllers: readonly string[];
}

export interface Cgroups {
  layout(): CgroupLayout;
}

export interface Processes {
  /** kill(2); false when there is no such process. Signal 0 asks only. */
  signal(pid: number, signal: number): boolean;
  /** Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat), the second half of its identity; undefined when gone or a zombie. */
  startTicks(pid: number): bigint | undefined;
  /** Capability names (CAP_…) in this process's bounding set: what a container can get at most. */
  boundingCapabilities(): string[];
  /** Connects to a unix socket of type SOCK_SEQPACKET and gives a non-blocking, close-on-exec fd. `path` may be longer than sun_path. */
  connectSeqpacket(path: string): number;
  /** A further descriptor, close-on-exec, of what `fd` has open (F_DUPFD_CLOEXEC). */
  duplicate(fd: number): number;
  /** Keeps an inherited descriptor from the children of this process (FD_CLOEXEC). */
  closeOnExec(fd: number): void;
  /** Gives freed memory of the C allocator back to the kernel (malloc_trim(3)). */
  trimMemory(): void;
}

/** A child process of our own executable that does one kind of work with synchronous calls, apart from the daemon's memory. */
export interface Worker {
  readonly pid: number;
  /** Writes to its stdin, all parts at once; resolves when they are in the pipe (backpressure). Rejects when the worker is gone. */
  send(...parts: readonly Uint8Array[]): Promise<void>;
  /** Lines that it writes to its stdout, without the newline; ends when it exits. */
  readonly lines: AsyncIterable<string>;
  /** The same bytes as they come, for a worker that writes no lines: either this or `lines` is read. */
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Ends it at once (SIGKILL). */
  kill(): void;
  /** Closes its stdin: the polite way to end it. */
  end(): void;
  /** How it ended; `stderr` holds at most the last 4 KiB. */
  readonly exited: Promise<{ code: number | null; signal: string | null; stderr: string }>;
}

export interface Workers {
  /** Starts `main.ts worker ROLE`. `heapBytes`: what its JavaScript objects may take at most (buffers are not among them); with more it ends by SIGABRT. */
  spawn(role: string, options?: { heapBytes?: number }): Worker;
}

export interface Sockets {
  /**
   * Sends one message to a socket of type AF_UNIX SOCK_DGRAM; '@name' is an abstract one. Never waits. Errors by code: EAGAIN the
   * receiver's queue is full, ENOENT and ECONNREFUSED nobody listens, EMSGSIZE too long for a datagram.
   */
  sendDatagram(path: string, bytes: Uint8Array): void;
  /** The same for a message of any length, as a sealed file in memory that is handed over: how the journal takes what is too long. */
  sendFile(path: string, bytes: Uint8Array): void;
}

/** For a worker that meets the files of a container: everything it changes about itself stays with it. Only its own thread is meant. */
export interface Confined {
  /** From now on this process has mounts of its own: what it mounts is seen by nobody else and goes with it. */
  leaveMounts(): void;
  /** A handle (O_PATH) on what stands at `path` for a process chrooted to `rootFd` (openat2(2), RESOLVE_IN_ROOT); undefined when there is nothing. */
  openBelow(rootFd: number, path: string): number | undefined;
  /**
   * Mounts onto `ontoFd` what stands at `path` in the mounts of another process, whose root has the device number `rootDevice`. False when
   * that process is gone or another one, there is nothing, or the kernel has no such call (before 5.2).
   */
  graft(what: { pid: number; path: string; ontoFd: number; rootDevice: bigint }): boolean;
  /** Makes a directory this process's root and working directory and lets go of all other mounts: there is no way back. */
  enter(rootFd: number): void;
  /** Opens the very file that a handle (O_PATH) is of, also from within another root. */
  reopen(fd: number, flags: number): number;
}

export interface Programs {
  /** Path of a program of this machine; undefined when it is not installed. */
  find(name: string): string | undefined;
  /**
   * Runs a program without input and gives what it writes to stdout, read no faster than it is taken. Leaving early kills it. An exit
   * code other than 0 is an error after the last bytes, with its own words. Aborting ends it without one.
   */
  output(command: readonly [string, ...string[]], options?: { signal?: AbortSignal }): AsyncIterable<Uint8Array>;
}

export interface HostNames {
  /** IPv4 or IPv6, as getaddrinfo(3) of this machine finds it. */
  addressOf(hostName: string): Promise<string>;
}

/** An interface of a namespace, as rtnetlink shows it. */
export interface NetLink {
  index: number;
  name: string;
  /** bridge, veth, macvlan …; '' for devices of hardware and lo. */
  kind: string;
  mac: string;
  mtu: number;
  up: boolean;
  /** The note on the device (IFLA_IFALIAS); '' none. */
  alias: string;
  /** Index of the bridge it is a port of; 0 none. */
  master: number;
  /** Index of its other end or of its parent, in whatever namespace that is; 0 none. */
  peer: number;
}

/** `address` with its prefix: 172.17.0.2/16. */
export interface NetAddress { link: number; address: string; scope: 'global' | 'link' | 'host' }
/** `destination` with its prefix, 0.0.0.0/0 or ::/0 for the default; `gateway` '' when there is none. */
export interface NetRoute { link: number; destination: string; gateway: string; table: number; source: string; scope: 'global' | 'link' | 'host' }

/**
 * One network namespace. Every call is one or few messages to the kernel and returns when it is done. Errors have the kernel's code: EEXIST,
 * ENODEV, EBUSY, EADDRINUSE … Names of devices are at most 15 bytes long.
 */
export interface NetNamespace extends Disposable {
  links(): NetLink[];
  link(name: string): NetLink | undefined;
  addresses(): NetAddress[];
  /** Of the main table, IPv4 and IPv6. */
  routes(): NetRoute[];
  addBridge(what: { name: string; mac?: string; mtu?: number; alias?: string }): void;
  /** Both ends at once; the peer comes into being in its namespace, under its last name. */
  addVeth(what: { name: string; mtu?: number; alias?: string; master?: string; hairpin?: boolean; isolated?: boolean; peer: { name: string; mac?: string; namespace: NetNamespace } }): void;
  /** `mode` of a macvlan: bridge, private, vepa, passthru. Made in this namespace on the parent `parent` here, put into `into` under its name there. */
  addMacvlan(what: { name: string; parent: string; mode: string; mac?: string; mtu?: number; alias?: string; into: NetNamespace }): void;
  addVlan(what: { name: string; parent: string; id: number; alias?: string }): void;
  addDummy(what: { name: string; alias?: string }): void;
  setLink(name: string, what: { up?: boolean; mtu?: number; mac?: string; alias?: string; master?: string | null; rename?: string }): void;
  setPort(name: string, what: { hairpin?: boolean; isolated?: boolean; learning?: boolean }): void;
  /** Fine when there is none of that name. The kernel takes its time, and this process waits: 12 ms for a veth pair, 50 ms for a bridge. */
  deleteLink(name: string): void;
  /** The same for all of these without holding this process up; every one is tried, and the first failure told. */
  removeLinks(names: readonly string[]): Promise<void>;
  /** IPv6 addresses are usable at once (no duplicate address detection). EEXIST when it is there. */
  addAddress(name: string, address: string): void;
  deleteAddress(name: string, address: string): void;
  /** Replaces a route of the same destination. */
  setRoute(route: { link: string; destination: string; gateway?: string; source?: string; onLink?: boolean }): void;
  /** ESRCH when there is none. */
  deleteRoute(route: { destination: string; link?: string }): void;
  /**
   * Makes the kernel forget tracked connections that have one of these addresses at any end, before or after translation, and UDP flows to one of
   * these ports. A sender that never pauses would else go on to a container that is gone, or past a port that was published since. Gives how many.
   */
  forgetFlows(of: { addresses?: readonly string[]; udpPorts?: readonly number[] }): number;
  /** Below /proc/sys/net: 'ipv4/conf/eth0/forwarding'. undefined when there is no such setting. */
  sysctl(path: string): string | undefined;
  /** ENOENT when there is no such setting. */
  setSysctl(path: string, value: string): void;
  /** A bound UDP socket: a non-blocking, close-on-exec fd for node:dgram. Port 0 chooses. */
  udpSocket(at: { address: string; port: number; reuse?: boolean }): { fd: number; port: number };
  /** A listening TCP socket, likewise, for node:net. With `protocol` 'sctp' and a backlog of 0 it only holds the port; EPROTONOSUPPORT where the kernel has no such sockets. */
  tcpListener(at: { address: string; port: number; backlog: number; protocol?: 'tcp' | 'sctp' }): { fd: number; port: number };
  /** A connecting TCP socket, likewise; the connection is under way. An IPv6 address may have a zone ("fe80::1%eth0"): the name or number of an interface in here; ENODEV when there is none. */
  tcpConnection(to: { address: string; port: number }): number;
  /** Runs a program in it with `input` as its stdin. Rejects with its own words (stderr) when it exits with another code than 0. */
  run(command: readonly [string, ...string[]], input?: string): Promise<string>;
}

export interface Net {
  /** The daemon's own. */
  host(): NetNamespace;
  /** That of a process. ESRCH or ENOENT when it is gone. To be disposed: it holds the namespace. */
  ofProcess(pid: number): NetNamespace;
  /** That of an open file, such as a bind of one. */
  ofPath(path: string): NetNamespace;
}

export interface Kernel {
  net: Net;
  names: HostNames;
  programs: Programs;
  sockets: Sockets;
  mounts: Mounts;
  remoteMounts: RemoteMounts;
  files: Files;
  cgroups: Cgroups;
  processes: Processes;
  workers: Workers;
}

export { openLinux } from './linux.ts'; // openLinux({ selfCommand }: { selfCommand: readonly string[] }): Kernel
export { openFiles } from './files.ts'; // openFiles(): Files, for a worker that needs nothing else
export { openMounts } from './mounts.ts'; // openMounts(): Mounts, likewise
export { dieWithParent, stayLean } from './workers.ts'; // dieWithParent(): void, stayLean(): void, for a worker
export { openConfined } from './confined.ts'; // openConfined(): Confined
export { openSourceTree, openTargetTree } from './trees.ts'; // files for archive/pack.ts and archive/unpack.ts
