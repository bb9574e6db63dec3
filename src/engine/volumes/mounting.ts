// Volumes that are mounted when they are used: once for all users, and let go after the last one.
import { MOUNT_FLAGS, type Kernel } from '../../kernel/index.ts';
import { EngineError, errnoOf, messageOf } from '../../lib/errors.ts';
import type { LocalMount, StoredVolume } from '../../store/index.ts';
import { mountCallOf } from './options.ts';

const NETWORK_TYPES = ['nfs', 'cifs'];

type Needs = { kernel: Pick<Kernel, 'mounts' | 'names'> };

export const isMounted = ({ kernel }: Needs, path: string): boolean => kernel.mounts.list().some(({ target }) => target === path);

/** Mounts what the options say on the volume's folder. Error: system, in Docker's words. */
export async function mountVolume(needs: Needs, volume: StoredVolume, mount: LocalMount): Promise<void> {
  if (mount.device === '') throw new EngineError('system', 'missing device in volume options');
  const options = NETWORK_TYPES.includes(mount.type) ? await withAddress(needs, mount.options) : mount.options;
  const { flags, propagation, data } = mountCallOf({ options });
  const { mounts } = needs.kernel;
  try {
    mounts.mount({ source: mount.device, target: volume.path, fsType: mount.type, flags, data });
  } catch (cause) {
    const said = `${flags === 0 ? '' : `, flags: 0x${flags.toString(16)}`}${data === '' ? '' : `, data: ${data}`}`;
    throw new EngineError('system', `failed to mount local volume: mount ${mount.device}:${volume.path}${said}: ${spoken(cause)}`, { cause });
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

/** Fine when nothing is mounted. */
export function unmountVolume(needs: Needs, { path }: StoredVolume): void {
  while (isMounted(needs, path)) needs.kernel.mounts.unmount(path, { lazy: true });
}

/** The kernel wants the server's address as a number. */
async function withAddress({ kernel }: Needs, options: string): Promise<string> {
  const name = /(?:^|,)addr=([^,]*)/.exec(options)?.[1];
  if (name === undefined || name === '' || /^\d+\.\d+\.\d+\.\d+$/.test(name)) return options;
  try {
    return options.replace(`addr=${name}`, `addr=${await kernel.names.addressOf(name)}`);
  } catch (cause) {
    throw new EngineError('system', `error resolving passed in network volume address: lookup ${name}: no such host`, { cause });
  }
}

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory', ENODEV: 'no such device', EINVAL: 'invalid argument', EPERM: 'operation not permitted', EACCES: 'permission denied', EBUSY: 'device or resource busy',
  ENOTDIR: 'not a directory', ENOTBLK: 'block device required', ENXIO: 'no such device or address', EIO: 'input/output error', EROFS: 'read-only file system', ECONNREFUSED: 'connection refused',
  ETIMEDOUT: 'connection timed out', EPROTONOSUPPORT: 'protocol not supported', EHOSTUNREACH: 'no route to host', ENOMEM: 'cannot allocate memory',
};

const spoken = (error: unknown): string => WORDS[errnoOf(error) ?? ''] ?? messageOf(error);
