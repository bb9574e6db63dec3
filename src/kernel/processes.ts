// Other processes and our own: signals, identity, capabilities, conmon's kind of socket, the allocator.
import { closeSync, readFileSync } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';
import type { Processes } from './index.ts';
import { lastErrno, libc, systemError } from './sys.ts';
import { AF_UNIX, unixAddress } from './unix-address.ts';

// Source: sys/socket.h.
const SOCK_SEQPACKET_NONBLOCK_CLOEXEC = 5 | 0o4000 | 0o2000000;
// Source: fcntl.h.
const F_SETFD = 2;
const F_DUPFD_CLOEXEC = 1030;
const FD_CLOEXEC = 1;

/** Bit number to name. Source: linux/capability.h; a newer kernel's further bits have no name that crun would know. */
const CAPABILITIES = [
  'CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_DAC_READ_SEARCH', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_KILL', 'CAP_SETGID', 'CAP_SETUID',
  'CAP_SETPCAP', 'CAP_LINUX_IMMUTABLE', 'CAP_NET_BIND_SERVICE', 'CAP_NET_BROADCAST', 'CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_IPC_LOCK',
  'CAP_IPC_OWNER', 'CAP_SYS_MODULE', 'CAP_SYS_RAWIO', 'CAP_SYS_CHROOT', 'CAP_SYS_PTRACE', 'CAP_SYS_PACCT', 'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT', 'CAP_SYS_NICE', 'CAP_SYS_RESOURCE', 'CAP_SYS_TIME', 'CAP_SYS_TTY_CONFIG', 'CAP_MKNOD', 'CAP_LEASE', 'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL', 'CAP_SETFCAP', 'CAP_MAC_OVERRIDE', 'CAP_MAC_ADMIN', 'CAP_SYSLOG', 'CAP_WAKE_ALARM', 'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ', 'CAP_PERFMON', 'CAP_BPF', 'CAP_CHECKPOINT_RESTORE',
] as const;

export function openProcesses(): Processes {
  return {
    signal,
    startTicks,
    boundingCapabilities: () => capabilityNames(/^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'),
    connectSeqpacket,
    duplicate,
    closeOnExec,
    trimMemory: () => { libc.malloc_trim(0n); },
  };
}

function signal(pid: number, number: number): boolean {
  // 0 and below would mean whole groups of processes, our own among them.
  if (!Number.isInteger(pid) || pid <= 0) throw systemError('EINVAL', { syscall: 'kill', detail: `process ${pid}` });
  if (libc.kill(pid, number) === 0) return true;
  const code = lastErrno();
  if (code === 'ESRCH') return false;
  throw systemError(code, { syscall: 'kill', detail: `process ${pid} with signal ${number}` });
}

function startTicks(pid: number): bigint | undefined {
  try {
    return parseStartTicks(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(errnoOf(error) ?? '')) return undefined; // ESRCH: it went between open and read
    throw error;
  }
}

/** Source: proc_pid_stat(5). The program's name may itself hold spaces and brackets, so counting starts behind the last one. */
export function parseStartTicks(stat: string): bigint | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).trim().split(' ');
  const state = fields[0], ticks = fields[19];
  if (state === 'Z' || state === 'X' || ticks === undefined) return undefined;
  return BigInt(ticks);
}

export function capabilityNames(hex: string): string[] {
  const bits = BigInt(`0x${hex}`);
  return CAPABILITIES.filter((_name, bit) => (bits >> BigInt(bit) & 1n) === 1n);
}

function connectSeqpacket(path: string): number {
  using address = unixAddress(path, 'connect');
  const fd = libc.socket(AF_UNIX, SOCK_SEQPACKET_NONBLOCK_CLOEXEC, 0);
  if (fd < 0) throw systemError(lastErrno(), { syscall: 'socket', path });
  if (libc.connect(fd, address.bytes, address.bytes.length) === 0) return fd;
  const code = lastErrno();
  closeSync(fd);
  throw systemError(code, { syscall: 'connect', path });
}

function duplicate(fd: number): number {
  const copy = libc.fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw systemError(lastErrno(), { syscall: 'fcntl', detail: `descriptor ${fd}` });
  return copy;
}

function closeOnExec(fd: number): void {
  if (libc.fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) throw systemError(lastErrno(), { syscall: 'fcntl', detail: `descriptor ${fd}` });
}
