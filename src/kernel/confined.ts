// For workers that meet the files of a container: mounts of their own, a root of their own, and no way back.
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import type { Confined } from './index.ts';
import { openBelow } from './files.ts';
import { lastErrno, libc, moveMount, openTree, pivotRoot, systemError } from './sys.ts';

// Source: sched.h, linux/mount.h, sys/mount.h, fcntl.h.
const CLONE_NEWNS = 0x20000;
const OPEN_TREE_CLONE = 1, OPEN_TREE_CLOEXEC = 0o2000000, AT_SYMLINK_NOFOLLOW = 0x100;
const MS_REC_PRIVATE = (1 << 18) | 16384;
const MNT_DETACH = 2;
const O_PATH = 0o10000000;
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;

export function openConfined(): Confined {
  const own = openSync('/proc/self/fd', DIRECTORY); // works on behind every change of the root
  return {
    leaveMounts() {
      // Only this thread leaves: others keep root and mounts, and none of them is used by synchronous calls.
      if (libc.unshare(CLONE_NEWNS) !== 0) throw systemError(lastErrno(), { syscall: 'unshare', detail: 'the mounts of this process' });
      if (libc.mount('none', '/', null, BigInt(MS_REC_PRIVATE), null) !== 0) throw systemError(lastErrno(), { syscall: 'mount', detail: '/ private', path: '/' });
    },
    openBelow,
    graft,
    enter(rootFd) {
      fchdir(rootFd);
      // A file system that the machine booted from cannot be left like this; then the root is changed and the rest stays mounted, unreachable.
      if (pivotRoot('.', '.') === 0) {
        if (libc.umount2('.', MNT_DETACH) !== 0) throw systemError(lastErrno(), { syscall: 'umount', path: '.' });
      } else if (lastErrno() !== 'EINVAL') throw systemError(lastErrno(), { syscall: 'pivot_root', path: '.' });
      else if (libc.chroot('.') !== 0) throw systemError(lastErrno(), { syscall: 'chroot', path: '.' });
      if (libc.chdir('/') !== 0) throw systemError(lastErrno(), { syscall: 'chdir', path: '/' });
    },
    reopen(fd, flags) {
      const opened = libc.openat(own, String(fd), flags | OPEN_TREE_CLOEXEC);
      if (opened < 0) throw systemError(lastErrno(), { syscall: 'open', detail: `fd ${fd}` });
      return opened;
    },
  };
}

function graft({ pid, path, ontoFd, rootDevice }: Parameters<Confined['graft']>[0]): boolean {
  const here = openSync('/proc/self/ns/mnt', constants.O_RDONLY);
  let tree = -1;
  try {
    const there = openSync(`/proc/${pid}/ns/mnt`, constants.O_RDONLY);
    const entered = libc.setns(there, CLONE_NEWNS) === 0;
    closeSync(there);
    if (!entered) return false;
    // The number may be another process's by now: only the container has this root.
    if (statSync('/', { bigint: true, throwIfNoEntry: false })?.dev === rootDevice) tree = openTree(path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
    if (libc.setns(here, CLONE_NEWNS) !== 0) throw systemError(lastErrno(), { syscall: 'setns', detail: 'back' });
    return tree >= 0 && moveMount(tree, ontoFd) === 0;
  } finally {
    if (tree >= 0) closeSync(tree);
    closeSync(here);
  }
}

function fchdir(fd: number): void {
  if (libc.fchdir(fd) !== 0) throw systemError(lastErrno(), { syscall: 'fchdir', detail: `fd ${fd}` });
}

/** A regular file by its handle, so that nothing else is ever opened: a device would do something, a pipe would wait. */
export function openRegular(path: string | Buffer, reopen: Confined['reopen']): number {
  const handle = openSync(path, O_PATH | constants.O_NOFOLLOW);
  try {
    if (!fstatSync(handle).isFile()) throw systemError('EINVAL', { syscall: 'open', path: String(path) });
    return reopen(handle, constants.O_RDONLY | constants.O_NONBLOCK);
  } finally { closeSync(handle); }
}
