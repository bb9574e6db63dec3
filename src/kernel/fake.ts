// A kernel in memory for tests: it records every call, and fails where told. Files that are read for real stay real.
import { fstatSync } from 'node:fs';
import { posix } from 'node:path';
import { openFakeNet, type FakeNet } from './fake-net.ts';
import { MOUNT_FLAGS, type CgroupLayout, type Files, type Kernel, type MountEntry, type Mounts, type Processes, type Sockets, type Workers } from './index.ts';

export interface FakeOptions {
  /** The n-th call (from 1) fails with `failCode`; calls that only ask count too, since they can fail as well. */
  failAt?: number;
  /** Default: EIO. */
  failCode?: string;
  /** Called before every call with its name and what it is about; may throw, so that several fakes can share one count. */
  onCall?: (call: string) => void;
  /** What listens on datagram sockets: called with the path and each message. Default: nobody does. */
  onDatagram?: (path: string, bytes: Uint8Array) => void;
  /** Default: none can be started. */
  workers?: Workers;
  /** What a program answers that is run in a network namespace. Default: nothing. */
  onRun?: (command: readonly string[], input: string) => string;
  layout?: CgroupLayout;
  capabilities?: readonly string[];
}

export interface FakeKernel extends Kernel {
  net: FakeNet;
  /** "mount overlay on /x", "signal 12 9" …, in order, those that failed included. */
  readonly calls: readonly string[];
  /** Living processes: pid to start time. `signal` 9 removes one. */
  readonly alive: Map<number, bigint>;
  /** What `readInRoot` finds: whole path, root and all, to content. */
  readonly contents: Map<string, Uint8Array>;
  readonly xattrs: Map<string, Map<string, Uint8Array>>;
  readonly nodes: Map<string, { mode: number; major: number; minor: number }>;
  readonly times: Map<string, { atimeNs: bigint; mtimeNs: bigint }>;
}

type Step = (call: string, path?: string) => void;

export function openFake(options: FakeOptions = {}): FakeKernel {
  const calls: string[] = [];
  const step: Step = (call, path) => {
    calls.push(path === undefined ? call : `${call} ${path}`);
    options.onCall?.(calls.at(-1) ?? call);
    if (calls.length === options.failAt) throw failure(options.failCode ?? 'EIO', call, path);
  };
  const files = openFakeFiles(step);
  const mounts = openFakeMounts(step);
  const alive = new Map<number, bigint>();
  const layout = options.layout ?? { mode: 'v1', controllers: ['cpu', 'memory', 'pids', 'devices', 'freezer'], unifiedPath: undefined, strayControllers: [] };
  return {
    calls, alive, ...files.state,
    net: openFakeNet({ step, failure, alive, onRun: options.onRun }),
    mounts,
    remoteMounts: { mount: async (what) => mounts.mount(what) },
    files: files.face,
    cgroups: { layout: () => { step('cgroups'); return layout; } },
    processes: openFakeProcesses(step, { alive, capabilities: options.capabilities ?? ['CAP_CHOWN', 'CAP_KILL', 'CAP_SYS_ADMIN'] }),
    programs: { find: () => undefined, output: ([program]) => { step('spawn', program); throw failure('ENOENT', 'spawn', program); } },
    names: { addressOf: (name) => { step('lookup', name); return Promise.reject(failure('ENOTFOUND', 'lookup', name)); } },
    sockets: openFakeSockets(step, options.onDatagram),
    workers: { spawn: (role, how) => {
      step('spawn', role);
      if (!options.workers) throw failure('ENOSYS', 'spawn', role);
      return options.workers.spawn(role, how);
    } },
  };
}

function openFakeMounts(step: Step): Mounts {
  const entries: MountEntry[] = [];
  let lastId = 1;
  const face: Mounts = {
    mount(what) {
      step('mount', `${what.source} on ${what.target}`);
      const flags = what.flags ?? 0;
      if (flags & (MOUNT_FLAGS.remount | MOUNT_FLAGS.private | MOUNT_FLAGS.slave | MOUNT_FLAGS.shared)) {
        if (!entries.some((entry) => entry.target === what.target)) throw failure('EINVAL', 'mount', what.target);
        return;
      }
      const options = flags & MOUNT_FLAGS.readOnly ? 'ro' : 'rw';
      entries.push({
        id: ++lastId, parentId: 1, root: '/', target: what.target, fsType: what.fsType, source: what.source,
        options, superOptions: what.data ? `${options},${what.data}` : options, propagation: '',
      });
    },
    bindFrom: (root, path, { target }) => face.mount({ source: posix.join(root, path), target, fsType: '' }),
    unmount(target, options) {
      step('unmount', target);
      const at = entries.findLastIndex((entry) => entry.target === target);
      if (at < 0) throw failure('EINVAL', 'unmount', target);
      const within = (entry: MountEntry) => entry.target.startsWith(`${target}/`);
      const covers = entries.slice(at + 1).filter(within);
      if (covers.length > 0 && !options?.lazy) throw failure('EBUSY', 'unmount', target);
      for (const gone of [entries[at], ...covers]) if (gone) entries.splice(entries.indexOf(gone), 1);
    },
    list() { step('mountinfo'); return entries.map((entry) => ({ ...entry })); },
  };
  return face;
}

type FileState = Pick<FakeKernel, 'contents' | 'xattrs' | 'nodes' | 'times'>;

function openFakeFiles(step: Step): { face: Files; state: FileState } {
  const state: FileState = { contents: new Map(), xattrs: new Map(), nodes: new Map(), times: new Map() };
  const locks = new Map<string, number>();
  const face: Files = {
    syncFs: (path) => step('syncfs', path),
    writeOut: (fd, how) => step(`write-out-${how}`, `fd ${fd}`),
    dropCache: (fd) => step('drop-cache', `fd ${fd}`),
    readAhead: (fd) => step('read-ahead', `fd ${fd}`),
    mknod: (path, mode, device) => {
      step('mknod', path);
      if (state.nodes.has(path)) throw failure('EEXIST', 'mknod', path);
      state.nodes.set(path, { mode, ...device });
    },
    setXattr: (path, name, value) => {
      step('lsetxattr', path);
      state.xattrs.set(path, new Map(state.xattrs.get(path)).set(name, value.slice()));
    },
    getXattr: (path, name) => { step('lgetxattr', path); return state.xattrs.get(path)?.get(name)?.slice(); },
    listXattr: (path) => { step('llistxattr', path); return [...(state.xattrs.get(path)?.keys() ?? [])]; },
    setTimes: (path, times) => { step('utimensat', path); state.times.set(path, { ...times }); },
    chroot: (path) => step('chroot', path),
    fchdir: (fd) => step('fchdir', `fd ${fd}`),
    tryLock: (fd) => {
      step('flock', `fd ${fd}`);
      const file = inodeOf(fd);
      const holder = locks.get(file ?? '');
      if (file === undefined) throw failure('EBADF', 'flock', `fd ${fd}`);
      if (holder !== undefined && holder !== fd && inodeOf(holder) === file) return false;
      locks.set(file, fd);
      return true;
    },
    readInRoot: (root, path, limitBytes) => {
      step('openat2', path);
      const found = state.contents.get(posix.join(root, posix.join('/', path))); // '..' ends at the root
      if (found !== undefined && found.length > limitBytes) throw failure('EFBIG', 'read', path);
      return found?.slice();
    },
    findInRoot: (root, path) => { step('openat2', path); return { kind: undefined, path: posix.join(root, path) }; },
    openInRoot: (_root, path) => { step('openat2', path); return undefined; },
    ensureDirectory: (path) => step('mkdir', path),
    exists: () => true,
    cachedBytes: (file) => { step('mincore', String(file)); return 0; },
  };
  return { face, state };
}

function openFakeProcesses(step: Step, { alive, capabilities }: { alive: Map<number, bigint>; capabilities: readonly string[] }): Processes {
  return {
    signal(pid, signal) {
      step('kill', `${pid} ${signal}`);
      if (!Number.isInteger(pid) || pid <= 0) throw failure('EINVAL', 'kill', `process ${pid}`);
      return signal === 9 ? alive.delete(pid) : alive.has(pid);
    },
    startTicks: (pid) => { step('stat', String(pid)); return alive.get(pid); },
    boundingCapabilities: () => { step('capabilities'); return [...capabilities]; },
    connectSeqpacket: (path) => { step('connect', path); throw failure('ECONNREFUSED', 'connect', path); },
    duplicate: (fd) => { step('duplicate', `fd ${fd}`); throw failure('EBADF', 'fcntl', `descriptor ${fd}`); },
    closeOnExec: (fd) => step('close-on-exec', `fd ${fd}`),
    trimMemory: () => step('malloc_trim'),
  };
}

function openFakeSockets(step: Step, listener: FakeOptions['onDatagram']): Sockets {
  const send = (path: string, bytes: Uint8Array) => {
    step('sendto', path);
    if (!listener) throw failure('ENOENT', 'sendto', path);
    listener(path, bytes);
  };
  return { sendDatagram: send, sendFile: send };
}

function inodeOf(fd: number): string | undefined {
  try { const { dev, ino } = fstatSync(fd); return `${dev}:${ino}`; }
  catch { return undefined; } // closed: whatever it had locked is free again
}

function failure(code: string, syscall: string, path?: string): Error {
  return Object.assign(new Error(`${syscall}${path === undefined ? '' : ` ${path}`}: ${code}`), { code, syscall }, path === undefined ? {} : { path });
}
