// What node:fs lacks: durability and cache control, devices, extended attributes, exact times, confined reading, locks.
import { chownSync, closeSync, constants, existsSync, fstatSync, mkdirSync, openSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf } from '../lib/errors.ts';
import type { Files } from './index.ts';
import { SYS_OPENAT2, errnoName, lastErrno, libc, systemError } from './sys.ts';

// Source: the headers fcntl.h, linux/openat2.h, sys/file.h, sys/mman.h of Linux; the same on x64 and arm64.
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const SYNC_FILE_RANGE_WRITE = 2;
const SYNC_FILE_RANGE_WAIT_BEFORE_WRITE_WAIT_AFTER = 1 | 2 | 4;
const POSIX_FADV_WILLNEED = 3, POSIX_FADV_DONTNEED = 4;
const LOCK_EX_NB = 2 | 4;
const RESOLVE_IN_ROOT = 0x10n;
const PROT_READ = 1;
const MAP_SHARED = 1;

/** XATTR_SIZE_MAX and XATTR_LIST_MAX of limits.h: no attribute and no list of names is larger. */
const XATTR_MAX_BYTES = 65536;
const OPENAT2_HOW_BYTES = 24n;
/** openat2 answers EAGAIN when a rename came between; it is then asked again. */
const OPENAT2_TRIES = 100;

export function openFiles(): Files {
  return {
    syncFs, writeOut, dropCache, readAhead, mknod, setXattr, listXattr, fchdir, tryLock, readInRoot, openInRoot, findInRoot, ensureDirectory, exists: existsSync, cachedBytes,
    getXattr: xattrReader(),
    setTimes: timeSetter(),
    chroot: (path) => { if (libc.chroot(path) !== 0) throw systemError(lastErrno(), { syscall: 'chroot', path }); },
  };
}

function syncFs(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (libc.syncfs(fd) !== 0) throw systemError(lastErrno(), { syscall: 'syncfs', path });
  } finally { closeSync(fd); }
}

/** Without a range, or with one of 0 bytes, it reaches to the end of the file. */
function writeOut(fd: number, how: 'start' | 'wait', range?: { offset: number; bytes: number }): void {
  const flags = how === 'start' ? SYNC_FILE_RANGE_WRITE : SYNC_FILE_RANGE_WAIT_BEFORE_WRITE_WAIT_AFTER;
  if (libc.sync_file_range(fd, BigInt(range?.offset ?? 0), BigInt(range?.bytes ?? 0), flags) !== 0) throw systemError(lastErrno(), { syscall: 'sync_file_range', detail: `fd ${fd}` });
}

const dropCache = (fd: number): void => { advise(fd, POSIX_FADV_DONTNEED); };
const readAhead = (fd: number): void => { advise(fd, POSIX_FADV_WILLNEED); };

/** About the whole file. */
function advise(fd: number, advice: number): void {
  const error = libc.posix_fadvise(fd, 0n, 0n, advice); // returns the error instead of setting errno
  if (error !== 0) throw systemError(errnoName(error), { syscall: 'posix_fadvise', detail: `fd ${fd}` });
}

function mknod(path: string, mode: number, device: { major: number; minor: number }): void {
  if (libc.mknod(path, mode, deviceNumber(device)) !== 0) throw systemError(lastErrno(), { syscall: 'mknod', path });
}

/** Source: makedev(3): the low bits stand where 16-bit device numbers had them. */
function deviceNumber({ major, minor }: { major: number; minor: number }): bigint {
  if (major < 4096 && minor < 256) return BigInt(major << 8 | minor); // nearly always; 0:0 is a whiteout
  const high = BigInt(major), low = BigInt(minor);
  return (low & 0xffn) | (high & 0xfffn) << 8n | (low & 0xffffff00n) << 12n | (high & 0xfffff000n) << 32n;
}

function setXattr(path: string, name: string, value: Uint8Array): void {
  // An empty array has no address that could be passed on.
  const bytes = value.length === 0 ? null : value;
  if (libc.lsetxattr(path, name, bytes, BigInt(value.length), 0) !== 0) {
    throw systemError(lastErrno(), { syscall: 'lsetxattr', detail: `${name} of ${path}`, path });
  }
}

/** One buffer for all reads: most files have no attribute, and what is found is copied out. */
function xattrReader(): Files['getXattr'] {
  const buffer = new Uint8Array(XATTR_MAX_BYTES);
  return (path, name) => {
    const size = Number(libc.lgetxattr(path, name, buffer, BigInt(XATTR_MAX_BYTES)));
    if (size >= 0) return buffer.slice(0, size);
    const code = lastErrno();
    // A file system without attributes has none of this file either.
    if (code === 'ENODATA' || code === 'EOPNOTSUPP') return undefined;
    throw systemError(code, { syscall: 'lgetxattr', detail: `${name} of ${path}`, path });
  };
}

function listXattr(path: string): string[] {
  const buffer = Buffer.allocUnsafe(XATTR_MAX_BYTES);
  const size = Number(libc.llistxattr(path, buffer, BigInt(XATTR_MAX_BYTES)));
  if (size < 0) {
    const code = lastErrno();
    if (code === 'EOPNOTSUPP') return [];
    throw systemError(code, { syscall: 'llistxattr', path });
  }
  return size === 0 ? [] : buffer.toString('utf8', 0, size - 1).split('\0');
}

/** Called for every entry of a layer: the two timespecs are reused. */
function timeSetter(): Files['setTimes'] {
  const specs = new BigInt64Array(4);
  return (path, { atimeNs, mtimeNs }) => {
    putTimespec(specs, 0, atimeNs);
    putTimespec(specs, 2, mtimeNs);
    if (libc.utimensat(AT_FDCWD, path, specs, AT_SYMLINK_NOFOLLOW) !== 0) throw systemError(lastErrno(), { syscall: 'utimensat', path });
  };
}

/** Seconds are rounded down, also before 1970: the nanoseconds of a timespec are never negative. */
export function putTimespec(specs: BigInt64Array, at: number, ns: bigint): void {
  const rest = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  specs[at] = (ns - rest) / 1_000_000_000n;
  specs[at + 1] = rest;
}

function fchdir(fd: number): void {
  if (libc.fchdir(fd) !== 0) throw systemError(lastErrno(), { syscall: 'fchdir', detail: `fd ${fd}` });
}

function tryLock(fd: number): boolean {
  if (libc.flock(fd, LOCK_EX_NB) === 0) return true;
  const code = lastErrno();
  if (code === 'EAGAIN') return false;
  throw systemError(code, { syscall: 'flock', detail: `fd ${fd}` });
}

function readInRoot(root: string, path: string, limitBytes: number): Uint8Array | undefined {
  // O_PATH first: opening a device or a pipe of a hostile image could already have an effect, or wait for ever.
  const handle = openInRoot(root, path);
  if (handle === undefined) return undefined;
  try {
    const { size, mode } = fstatSync(handle);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw systemError('EINVAL', { syscall: 'read', detail: `${path} in ${root} (no regular file)`, path });
    const tooLarge = () => systemError('EFBIG', { syscall: 'read', detail: `${path} in ${root} (more than ${limitBytes} bytes)`, path });
    if (size > limitBytes) throw tooLarge();
    const bytes = readFileSync(`/proc/self/fd/${handle}`);
    if (bytes.length > limitBytes) throw tooLarge(); // it grew in between
    return bytes;
  } finally { closeSync(handle); }
}

export function openInRoot(root: string, path: string): number | undefined {
  const rootFd = openSync(root, O_PATH | constants.O_DIRECTORY);
  try { return openBelow(rootFd, path); } finally { closeSync(rootFd); }
}

/** A handle (O_PATH) on what a process chrooted to `rootFd` would find at `path`; undefined when there is nothing. */
export function openBelow(rootFd: number, path: string): number | undefined {
  const how = new BigUint64Array([BigInt(O_PATH | O_CLOEXEC), 0n, RESOLVE_IN_ROOT]);
  for (let tries = OPENAT2_TRIES; ; tries--) {
    const fd = Number(libc.syscall(SYS_OPENAT2, rootFd, path, how, OPENAT2_HOW_BYTES));
    if (fd >= 0) return fd;
    const code = lastErrno();
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code !== 'EAGAIN' || tries === 0) throw systemError(code, { syscall: 'openat2', detail: `${path} below fd ${rootFd}`, path });
  }
}

function findInRoot(root: string, path: string): ReturnType<Files['findInRoot']> {
  const fd = openInRoot(root, path);
  if (fd === undefined) return { kind: undefined, path: join(root, path) };
  try { return { kind: fstatSync(fd).isDirectory() ? 'directory' : 'other', path: readlinkSync(`/proc/self/fd/${fd}`) }; } finally { closeSync(fd); }
}

function ensureDirectory(path: string, owner?: { uid: number; gid: number }): void {
  try {
    const first = mkdirSync(path, { recursive: true, mode: 0o755 });
    if (owner === undefined || first === undefined) return;
    for (let made = path; made.length >= first.length; made = dirname(made)) chownSync(made, owner.uid, owner.gid);
  } catch (error) { if (errnoOf(error) !== 'EEXIST') throw error; } // a file: whoever asked finds out what it is good for
}

function cachedBytes(file: string | number): number {
  if (typeof file === 'number') return cachedBytesOf(file);
  const fd = openSync(file, 'r');
  try { return cachedBytesOf(fd); } finally { closeSync(fd); }
}

function cachedBytesOf(fd: number): number {
  const { size } = fstatSync(fd, { bigint: true });
  if (size === 0n) return 0;
  const address = libc.mmap(null, size, PROT_READ, MAP_SHARED, fd, 0n);
  if (address === -1n) throw systemError(lastErrno(), { syscall: 'mmap', detail: `fd ${fd}` });
  try {
    const pageBytes = libc.getpagesize();
    const pages = new Uint8Array(Math.ceil(Number(size) / pageBytes));
    if (libc.mincore(address, size, pages) !== 0) throw systemError(lastErrno(), { syscall: 'mincore', detail: `fd ${fd}` });
    return pages.reduce((sum, page) => sum + (page & 1), 0) * pageBytes;
  } finally { libc.munmap(address, size); }
}
