// Which control groups this machine has, and where: one of four layouts that containers are placed in differently.
import { readFileSync } from 'node:fs';
import type { CgroupLayout, Cgroups, MountEntry, Mounts } from './index.ts';

export function openCgroups(mounts: Pick<Mounts, 'list'>): Cgroups {
  return {
    layout: () => decideLayout({
      mounts: mounts.list(),
      procCgroups: readOrEmpty('/proc/cgroups'),
      unifiedControllers: (unified) => readOrEmpty(`${unified}/cgroup.controllers`),
    }),
  };
}

export interface CgroupFacts {
  mounts: readonly MountEntry[];
  /** /proc/cgroups: one line per controller that this kernel has. */
  procCgroups: string;
  /** cgroup.controllers of a cgroup2 mount point. */
  unifiedControllers(unifiedPath: string): string;
}

export function decideLayout(facts: CgroupFacts): CgroupLayout {
  const known = new Set(facts.procCgroups.split('\n').filter((line) => !line.startsWith('#')).map((line) => line.split('\t')[0] ?? ''));
  // Named hierarchies (name=systemd) track processes and control nothing.
  const v1 = facts.mounts.filter((mount) => mount.fsType === 'cgroup').flatMap((mount) => mount.superOptions.split(',')).filter((option) => known.has(option));
  const unifiedPath = unifiedOf(facts.mounts);
  const unified = unifiedPath === undefined ? [] : facts.unifiedControllers(unifiedPath).split(/\s+/).filter((name) => name !== '');
  if (v1.length > 0) {
    const mode = unifiedPath === undefined ? 'v1' : 'hybrid';
    return { mode, controllers: [...new Set(v1)], unifiedPath, strayControllers: unified };
  }
  return { mode: unifiedPath === undefined ? 'none' : 'v2', controllers: unified, unifiedPath, strayControllers: [] };
}

/** The usual places first: a container manager may have mounted the hierarchy a second time elsewhere. */
function unifiedOf(mounts: readonly MountEntry[]): string | undefined {
  const targets = mounts.filter((mount) => mount.fsType === 'cgroup2').map((mount) => mount.target);
  return ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'].find((usual) => targets.includes(usual)) ?? targets[0];
}

/** A kernel without control groups lacks the file. */
function readOrEmpty(path: string): string {
  try { return readFileSync(path, 'utf8'); }
  catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}
