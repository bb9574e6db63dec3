// Hybrid cgroup hosts: crun refuses to work while the cgroup2 hierarchy beside v1 holds a controller, so it is run where that one is not mounted. Pure.
import type { CgroupLayout, MountEntry } from '../kernel/index.ts';

export interface Apart {
  /** What stands before crun's own command line; empty when nothing has to be hidden. */
  prefix: readonly string[];
  /** One sentence for `info`, or ''. */
  note: string;
}

/**
 * Only crun is put apart, for the moment that it runs: conmon stays in the host's namespace, since a copy of the mount table held
 * for a container's lifetime would keep every overlay busy that was mounted when it began. Propagation is left as it is, so that
 * binds and later unmounts pass between host and container; only the mount above the hidden one is made private, because the
 * unmount would otherwise reach the host.
 */
export function decideApart(layout: CgroupLayout, mounts: readonly MountEntry[], programs: { unshare: string | undefined; sh: string | undefined }): Apart {
  const { unifiedPath, strayControllers } = layout;
  if (layout.mode !== 'hybrid' || strayControllers.length === 0 || unifiedPath === undefined) return { prefix: [], note: '' };
  const found = `The cgroup2 hierarchy beside v1 holds ${strayControllers.join(', ')}, which crun refuses`;
  if (programs.unshare === undefined || programs.sh === undefined) return { prefix: [], note: `${found}; unshare is missing to hide it, so containers will not start.` };
  const entry = mounts.findLast((mount) => mount.target === unifiedPath);
  const above = mounts.find((mount) => mount.id === entry?.parentId)?.target ?? '/';
  const script = 'mount --make-private "$1" && umount "$2" && shift 2 && exec "$@"';
  return {
    prefix: [programs.unshare, '--mount', '--propagation', 'unchanged', programs.sh, '-c', script, 'crun', above, unifiedPath],
    note: `${found}; crun is run in a mount namespace without ${unifiedPath}.`,
  };
}
