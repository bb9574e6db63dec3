// The one place where native calls are declared: a wrong signature here corrupts memory, so everything else calls these by name.
import { dlopen, getInt32, getRawPointer } from 'node:ffi';
import { arch, constants } from 'node:os';

// The signatures below hold where int is 32 and long, size_t and off_t are 64 bits wide.
const SUPPORTED = ['x64', 'arm64'];
if (!SUPPORTED.includes(arch())) {
  throw new Error(`native calls: this build knows the calling conventions of ${SUPPORTED.join(' and ')} only, and this machine is ${arch()}`);
}

// A string with a NUL byte in it is refused by node:ffi, so no path is ever cut short unseen. null stands for NULL.
const { functions } = dlopen('libc.so.6', {
  __errno_location: { return: 'pointer', arguments: [] },
  mount: { return: 'i32', arguments: ['string', 'string', 'string', 'u64', 'string'] },
  umount2: { return: 'i32', arguments: ['string', 'i32'] },
  syncfs: { return: 'i32', arguments: ['i32'] },
  sync_file_range: { return: 'i32', arguments: ['i32', 'i64', 'i64', 'u32'] },
  posix_fadvise: { return: 'i32', arguments: ['i32', 'i64', 'i64', 'i32'] },
  mknod: { return: 'i32', arguments: ['string', 'u32', 'u64'] },
  lsetxattr: { return: 'i32', arguments: ['string', 'string', 'pointer', 'u64', 'i32'] },
  lgetxattr: { return: 'i64', arguments: ['string', 'string', 'pointer', 'u64'] },
  futimens: { return: 'i32', arguments: ['i32', 'pointer'] },
  fsetxattr: { return: 'i32', arguments: ['i32', 'string', 'pointer', 'u64', 'i32'] },
  llistxattr: { return: 'i64', arguments: ['string', 'pointer', 'u64'] },
  utimensat: { return: 'i32', arguments: ['i32', 'string', 'pointer', 'i32'] },
  chroot: { return: 'i32', arguments: ['string'] },
  chdir: { return: 'i32', arguments: ['string'] },
  // Variadic in C: the mode is left out, so nothing may be created with it.
  openat: { return: 'i32', arguments: ['i32', 'string', 'i32'] },
  unshare: { return: 'i32', arguments: ['i32'] },
  setns: { return: 'i32', arguments: ['i32', 'i32'] },
  fchdir: { return: 'i32', arguments: ['i32'] },
  flock: { return: 'i32', arguments: ['i32', 'i32'] },
  mmap: { return: 'i64', arguments: ['pointer', 'u64', 'i32', 'i32', 'i32', 'i64'] },
  munmap: { return: 'i32', arguments: ['u64', 'u64'] },
  mincore: { return: 'i32', arguments: ['u64', 'u64', 'pointer'] },
  getpagesize: { return: 'i32', arguments: [] },
  kill: { return: 'i32', arguments: ['i32', 'i32'] },
  socket: { return: 'i32', arguments: ['i32', 'i32', 'i32'] },
  connect: { return: 'i32', arguments: ['i32', 'pointer', 'u32'] },
  bind: { return: 'i32', arguments: ['i32', 'pointer', 'u32'] },
  listen: { return: 'i32', arguments: ['i32', 'i32'] },
  getsockname: { return: 'i32', arguments: ['i32', 'pointer', 'pointer'] },
  setsockopt: { return: 'i32', arguments: ['i32', 'i32', 'i32', 'pointer', 'u32'] },
  recv: { return: 'i64', arguments: ['i32', 'pointer', 'u64', 'i32'] },
  sendto: { return: 'i64', arguments: ['i32', 'pointer', 'u64', 'i32', 'pointer', 'u32'] },
  sendmsg: { return: 'i64', arguments: ['i32', 'pointer', 'i32'] },
  memfd_create: { return: 'i32', arguments: ['string', 'u32'] },
  // Variadic in C; with one integer behind the command both supported conventions pass it like this.
  fcntl: { return: 'i32', arguments: ['i32', 'i32', 'i32'] },
  mallopt: { return: 'i32', arguments: ['i32', 'i32'] },
  malloc_trim: { return: 'i32', arguments: ['u64'] },
  // Variadic in C as well; its four further arguments are all of type unsigned long.
  prctl: { return: 'i32', arguments: ['i32', 'u64', 'u64', 'u64', 'u64'] },
  // Of the calls that libc does not wrap only openat2 is used; this is its argument list: number, dirfd, path, how, size.
  syscall: { return: 'i64', arguments: ['i64', 'i32', 'string', 'pointer', 'u64'] },
});

// The same function with the argument lists of two newer calls: number, fd, path, fd, path, flags; and number, path, path.
const { functions: mounting } = dlopen('libc.so.6', { syscall: { return: 'i64', arguments: ['i64', 'i32', 'string', 'i64', 'string', 'u32'] } });
const { functions: pivoting } = dlopen('libc.so.6', { syscall: { return: 'i64', arguments: ['i64', 'string', 'string'] } });

/** The C library, by the names of its manual pages. */
export const libc = functions;

/** open_tree(2): an open mount that is nowhere yet, or -1. */
export const openTree = (path: string, flags: number): number => Number(mounting.syscall(428n, AT_FDCWD, path, BigInt(flags), null, 0));
/** move_mount(2) of an open mount onto an open directory or file; 0 or -1. */
export const moveMount = (fromFd: number, toFd: number): number => Number(mounting.syscall(429n, fromFd, '', BigInt(toFd), '', MOVE_MOUNT_EMPTY_PATHS));
/** pivot_root(2), which libc does not wrap; 0 or -1. */
export const pivotRoot = (newRoot: string, putOld: string): number => Number(pivoting.syscall(arch() === 'x64' ? 155n : 41n, newRoot, putOld));

// Source: fcntl.h and linux/mount.h: F_EMPTY_PATH and T_EMPTY_PATH.
const AT_FDCWD = -100;
const MOVE_MOUNT_EMPTY_PATHS = 0x4 | 0x40;

/** The same number on every architecture. */
export const SYS_OPENAT2 = 437n;

// errno's address never changes within a thread, and nothing of ours calls from another.
const errnoAddress = functions.__errno_location();

const ERRNO_NAMES = errnoNames();

/** Name of the error of the call just made; must be asked before anything else is called. */
export function lastErrno(): string {
  return errnoName(getInt32(errnoAddress, 0));
}

/** Name of an error number; of two names of one number the usual one. */
export function errnoName(number: number): string {
  return ERRNO_NAMES.get(number) ?? `errno ${number}`;
}

/** The error of a failed call: "mount /a on /b: EBUSY". */
export function systemError(code: string, what: { syscall: string; detail?: string; path?: string }): Error {
  const subject = what.detail ?? what.path;
  const error = new Error(`${what.syscall}${subject === undefined ? '' : ` ${subject}`}: ${code}`);
  return Object.assign(error, { code, syscall: what.syscall }, what.path === undefined ? {} : { path: what.path });
}

/**
 * A struct msghdr for sendmsg(2) that hands over one descriptor and no bytes. Header, address and control message lie in one block, so
 * that what the pointers in it mean lives as long as it does. Source: sys/socket.h where pointers have 64 bits.
 */
export function descriptorMessage(address: Uint8Array, fd: number): Buffer {
  const HEADER = 56, CONTROL = 24, SOL_SOCKET = 1, SCM_RIGHTS = 1;
  const block = Buffer.alloc(HEADER + CONTROL + address.length);
  const at = getRawPointer(block);
  const numbers = new DataView(block.buffer, block.byteOffset);
  numbers.setBigUint64(0, at + BigInt(HEADER + CONTROL), true); // msg_name
  numbers.setUint32(8, address.length, true);
  numbers.setBigUint64(32, at + BigInt(HEADER), true);          // msg_control
  numbers.setBigUint64(40, BigInt(CONTROL), true);
  numbers.setBigUint64(HEADER, 20n, true);                      // cmsg_len: its own 16 bytes and one int
  numbers.setInt32(HEADER + 8, SOL_SOCKET, true);
  numbers.setInt32(HEADER + 12, SCM_RIGHTS, true);
  numbers.setInt32(HEADER + 16, fd, true);
  block.set(address, HEADER + CONTROL);
  return block;
}

function errnoNames(): Map<number, string> {
  const names = new Map<number, string>();
  for (const [name, number] of Object.entries(constants.errno)) names.set(number, name);
  names.set(constants.errno.EAGAIN, 'EAGAIN');         // also EWOULDBLOCK
  names.set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP'); // also ENOTSUP
  return names;
}
