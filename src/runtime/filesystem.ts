// What a container sees beside its rootfs: Docker's default mounts, the user's over them, and the paths of the kernel that are hidden. Pure.
import type { HostConfig } from '../wire/types.ts';
import type { BundleInput, BundleMount } from './index.ts';

export interface OciMount { destination: string; type: string; source: string; options: readonly string[] }

/** Docker's size of /dev/shm when none is given, in bytes. */
const DEFAULT_SHM_BYTES = 64 * 1024 * 1024;

const DEFAULT_MASKED = [
  '/proc/asound', '/proc/acpi', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list', '/proc/timer_stats',
  '/proc/sched_debug', '/proc/scsi', '/sys/firmware', '/sys/devices/virtual/powercap',
];
const DEFAULT_READONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** Default mounts without those that a mount of the user's replaces, then the user's in their order. */
export function mountsOf(host: HostConfig, { mounts, shmPath, idMap }: Pick<BundleInput, 'mounts' | 'shmPath' | 'idMap'>): OciMount[] {
  const taken = new Set(mounts.map((mount) => mount.destination));
  const defaults = defaultMounts(host, { shmPath, remapped: idMap !== undefined }).filter((mount) => !taken.has(mount.destination) && !(taken.has('/dev') && mount.destination.startsWith('/dev/')));
  return [...defaults, ...mounts.map(ociMount)];
}

export function hiddenPaths(host: HostConfig): { maskedPaths: readonly string[]; readonlyPaths: readonly string[] } {
  if (host.Privileged || host.SecurityOpt?.includes('systempaths=unconfined')) return { maskedPaths: [], readonlyPaths: [] };
  return { maskedPaths: host.MaskedPaths ?? DEFAULT_MASKED, readonlyPaths: host.ReadonlyPaths ?? DEFAULT_READONLY };
}

/** A bind that shall carry mounts to or from the host needs a rootfs that does not cut it off. */
export function rootPropagation(mounts: readonly BundleMount[]): 'rprivate' | 'rshared' | 'rslave' {
  const options = new Set(mounts.filter((mount) => mount.type === 'bind').flatMap((mount) => mount.options));
  if (options.has('shared') || options.has('rshared')) return 'rshared';
  return options.has('slave') || options.has('rslave') ? 'rslave' : 'rprivate';
}

function defaultMounts(host: HostConfig, { shmPath, remapped }: { shmPath: string | undefined; remapped: boolean }): OciMount[] {
  const write = host.Privileged ? 'rw' : 'ro';
  const guarded = ['nosuid', 'noexec', 'nodev'];
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: guarded },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'] },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...guarded, write] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [remapped ? 'rw' : write, ...guarded] }, // within a user namespace it cannot be made read-only
    ...ipcMounts(host, guarded, shmPath),
  ];
}

function ipcMounts(host: HostConfig, guarded: readonly string[], shmPath: string | undefined): OciMount[] {
  // A mount of queues shows those of its IPC namespace: the host's own when that is shared.
  const queue = { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: guarded };
  if (host.IpcMode === 'host') return [queue, { destination: '/dev/shm', type: 'bind', source: '/dev/shm', options: ['rbind', 'rprivate'] }];
  if (host.IpcMode === 'none') return [queue];
  if (shmPath !== undefined) return [queue, { destination: '/dev/shm', type: 'bind', source: shmPath, options: ['rbind', 'rprivate', ...guarded] }];
  const size = host.ShmSize > 0 ? host.ShmSize : DEFAULT_SHM_BYTES;
  return [queue, { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: [...guarded, 'mode=1777', `size=${size}`] }];
}

function ociMount(mount: BundleMount): OciMount {
  const { type, source, destination } = mount;
  const bound = mount.options.some((option) => option === 'bind' || option === 'rbind');
  return { destination, type, source: type === 'tmpfs' ? 'tmpfs' : source, options: type === 'bind' && !bound ? ['rbind', ...mount.options] : mount.options };
}
