// The real kernel: small interfaces, each made of native calls and what /proc tells.
import { openCgroups } from './cgroups.ts';
import { openFiles } from './files.ts';
import { openHostNames } from './host-names.ts';
import type { Kernel } from './index.ts';
import { openMounts } from './mounts.ts';
import { openNet } from './net.ts';
import { openProcesses } from './processes.ts';
import { openPrograms } from './programs.ts';
import { openRemoteMounts } from './remote-mounts.ts';
import { openSockets } from './sockets.ts';
import { openWorkers } from './workers.ts';

/** `selfCommand` starts our own executable; 'worker ROLE' is appended to it. */
export function openLinux({ selfCommand }: { selfCommand: readonly string[] }): Kernel {
  const mounts = openMounts();
  const workers = openWorkers(selfCommand);
  return {
    net: openNet(),
    mounts,
    remoteMounts: openRemoteMounts(workers),
    files: openFiles(),
    cgroups: openCgroups(mounts),
    processes: openProcesses(),
    names: openHostNames(),
    sockets: openSockets(),
    programs: openPrograms(),
    workers,
  };
}
