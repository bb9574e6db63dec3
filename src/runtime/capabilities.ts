// Which capabilities a container gets: Docker's fourteen, what was added and dropped, and never more than this machine can give.
import { invalid } from '../lib/errors.ts';

/** Every capability of Linux 6, in kernel order: what ALL means. */
export const ALL_CAPABILITIES: readonly string[] = names(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
  LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE
  SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
  MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`);

/** What Docker gives when nothing is said. */
export const DEFAULT_CAPABILITIES: readonly string[] = names(`CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP
  SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE`);

export interface CapabilityWish { add: readonly string[] | null; drop: readonly string[] | null; privileged: boolean }

/** The capabilities asked for, as Docker reads CapAdd and CapDrop; `available` is this process's bounding set. */
export function decideCapabilities(wish: CapabilityWish, available: ReadonlySet<string>): { granted: string[]; withheld: string[] } {
  const wanted = wantedOf(wish);
  return { granted: wanted.filter((name) => available.has(name)), withheld: wanted.filter((name) => !available.has(name)) };
}

/**
 * The sets as an OCI process wants them. Without root, execve would clear the effective and permitted ones anyway; inheritable
 * stays empty, or file capabilities would give an unprivileged user what only root should have.
 */
export function capabilitySets(granted: readonly string[], uid: number): Record<string, readonly string[]> {
  return uid === 0 ? { bounding: granted, effective: granted, permitted: granted } : { bounding: granted };
}

function wantedOf(wish: CapabilityWish): readonly string[] {
  const add = normalise(wish.add ?? [], 'CapAdd');
  const drop = normalise(wish.drop ?? [], 'CapDrop');
  if (wish.privileged) return ALL_CAPABILITIES;
  if (add.includes('ALL')) return ALL_CAPABILITIES.filter((name) => !drop.includes(name));
  const base = drop.includes('ALL') ? [] : DEFAULT_CAPABILITIES.filter((name) => !drop.includes(name));
  return [...new Set([...base, ...add])];
}

function normalise(list: readonly string[], field: string): string[] {
  return list.map((given) => {
    const upper = given.toUpperCase();
    if (upper === 'ALL') return upper;
    const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
    if (!ALL_CAPABILITIES.includes(name)) throw invalid(`invalid ${field}: unknown capability: "${name}"`);
    return name;
  });
}

function names(text: string): string[] {
  return text.trim().split(/\s+/).map((name) => `CAP_${name}`);
}
