// Volumes that are mounted when they are used: once for all users, and let go after the last one.
import { MOUNT_FLAGS, type Kernel } from '../../kernel/index.ts';
import type { Clock } from '../../lib/clock.ts';
import { EngineError, errnoOf, messageOf } from '../../lib/errors.ts';
import type { LocalMount, StoredVolume } from '../../store/index.ts';
import { mountCallOf } from './options.ts';

const NFS = ['nfs', 'nfs4'];
const SMB = ['cifs', 'smb3'];
/** Where a server has to answer before the mount is made, or is missed. */
const REMOTE = [...NFS, ...SMB, 'ceph', '9p'];
/** As long as the kernel itself tries a server that is silent, or somewhat longer. */
const ANSWER_LIMIT_MS = 200_000;

type Needs = { kernel: Pick<Kernel, 'mounts' | 'remoteMounts' | 'names'>; clock: Pick<Clock, 'after'> };

export const isMounted = ({ kernel }: { kernel: Pick<Kernel, 'mounts'> }, path: string): boolean => kernel.mounts.list().some(({ target }) => target === path);

/** Whether its files may be on a machine that does not answer: then only a worker looks at them. */
export const isRemote = ({ mount }: StoredVolume): boolean => mount !== undefined && REMOTE.includes(mount.type);

/** Mounts what the options say on the volume's folder. Error: system, in Docker's words. */
export async function mountVolume(needs: Needs, volume: StoredVolume, mount: LocalMount): Promise<void> {
  if (mount.device === '') throw new EngineError('system', 'missing device in volume options');
  const { flags, propagation, data } = mountCallOf({ options: await withAddress(needs, mount) });
  const { mounts } = needs.kernel;
  const call = { source: mount.device, target: volume.path, fsType: mount.type, flags, data };
  try {
    if (REMOTE.includes(mount.type)) await mountRemote(needs, call);
    else mounts.mount(call);
  } catch (cause) {
    const said = `${flags === 0 ? '' : `, flags: 0x${flags.toString(16)}`}${data === '' ? '' : `, data: ${data}`}`;
    throw new EngineError('system', `failed to mount local volume: mount ${mount.device}:${volume.path}${said}: ${spoken(cause)}${hint(mount, data)}`, { cause });
  }
  try {
    if (propagation !== 0) mounts.mount({ source: 'none', target: volume.path, fsType: '', flags: propagation });
    // A bind takes the flags of what it shows; its own need a second call.
    if ((flags & MOUNT_FLAGS.bind) !== 0 && (flags & ~(MOUNT_FLAGS.bind | MOUNT_FLAGS.recursive)) !== 0) mounts.mount({ source: 'none', target: volume.path, fsType: '', flags: (flags & ~MOUNT_FLAGS.recursive) | MOUNT_FLAGS.remount });
  } catch (cause) {
    unmountVolume(needs, volume);
    throw new EngineError('system', `failed to mount local volume: ${messageOf(cause)}`, { cause });
  }
}

async function mountRemote({ kernel, clock }: Needs, call: Parameters<Kernel['mounts']['mount']>[0]): Promise<void> {
  const limit = new AbortController();
  using _timer = clock.after(ANSWER_LIMIT_MS, () => limit.abort());
  try {
    await kernel.remoteMounts.mount(call, { signal: limit.signal });
  } catch (error) {
    // The server may have answered in the very moment when nobody wanted to know any more.
    if (limit.signal.aborted) unmountPath({ kernel }, call.target);
    throw error;
  }
}

/** What the kernel's `invalid argument` leaves unsaid. */
const hint = ({ type }: LocalMount, data: string): string => (NFS.includes(type) && !/(?:^|,)addr=/.test(data) ? ' (a volume of this type needs the address of its server: o=addr=ADDRESS)' : '');

/** Fine when nothing is mounted. */
export function unmountVolume(needs: Pick<Needs, 'kernel'>, { path }: StoredVolume): void {
  unmountPath(needs, path);
}

function unmountPath(needs: Pick<Needs, 'kernel'>, path: string): void {
  while (isMounted(needs, path)) needs.kernel.mounts.unmount(path, { lazy: true });
}

/** The kernel wants the server's address as a number; where it is not said, that of an SMB server stands in the device. */
async function withAddress({ kernel }: Needs, { type, options, device }: LocalMount): Promise<string> {
  if (!NFS.includes(type) && !SMB.includes(type)) return options;
  const name = /(?:^|,)addr=([^,]*)/.exec(options)?.[1];
  const implied = SMB.includes(type) && name === undefined && !/(?:^|,)ip=/.test(options) ? /^\/\/([^/]+)/.exec(device)?.[1] : undefined;
  const wanted = name ?? implied ?? '';
  if (wanted === '' || (name !== undefined && /^\d+\.\d+\.\d+\.\d+$/.test(wanted))) return options;
  try {
    const address = await kernel.names.addressOf(wanted);
    return name === undefined ? `${options === '' ? '' : `${options},`}addr=${address}` : options.replace(`addr=${name}`, `addr=${address}`);
  } catch (cause) {
    throw new EngineError('system', `error resolving passed in network volume address: lookup ${wanted}: no such host`, { cause });
  }
}

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory', ENODEV: 'no such device', EINVAL: 'invalid argument', EPERM: 'operation not permitted', EACCES: 'permission denied', EBUSY: 'device or resource busy',
  ENOTDIR: 'not a directory', ENOTBLK: 'block device required', ENXIO: 'no such device or address', EIO: 'input/output error', EROFS: 'read-only file system', ECONNREFUSED: 'connection refused',
  ETIMEDOUT: 'connection timed out', EPROTONOSUPPORT: 'protocol not supported', EHOSTUNREACH: 'no route to host', ENETUNREACH: 'network is unreachable', EHOSTDOWN: 'host is down', ECONNRESET: 'connection reset by peer', ESTALE: 'stale file handle', EADDRNOTAVAIL: 'cannot assign requested address', ENOMEM: 'cannot allocate memory',
};

const spoken = (error: unknown): string => WORDS[errnoOf(error) ?? ''] ?? messageOf(error);
