// What this machine can give to containers, asked once at start.
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { arch, release } from 'node:os';
import type { CgroupLayout, Kernel } from '../kernel/index.ts';
import { ALL_CAPABILITIES } from './capabilities.ts';
import { parseContexts, type LabelContexts } from './labels.ts';

export interface Machine {
  /** Node's name of the machine: x64, arm64, arm … */
  arch: string;
  /** Release of the kernel. */
  kernel: string;
  capabilities: ReadonlySet<string>;
  layout: CgroupLayout;
  /** Where each v1 controller is mounted. */
  controllerPaths: Readonly<Record<string, string>>;
  seccomp: boolean;
  /** Of this process: what a child can have at most without CAP_SYS_RESOURCE. */
  limits: Readonly<Record<string, { hard: number }>>;
  oomScoreAdj: number;
  /** Whether a file of the system is there: for limits and sysctls that a kernel may lack. */
  exists(path: string): boolean;
  /** Whether the kernel guards programs by AppArmor. */
  apparmor: boolean;
  /** The labels that the policy has for containers, where the kernel guards by SELinux. */
  selinuxContexts: LabelContexts | undefined;
  /** Text of a file of the system; '' when there is none. */
  read: (path: string) => string;
  /** The program's absolute path, or undefined; a name with a slash in it is one. */
  findProgram(name: string): string | undefined;
}

const PROGRAM_DIRS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/libexec/podman', '/usr/libexec/crio'];

export function openMachine(kernel: Kernel): Machine {
  return {
    arch: arch(),
    kernel: release(),
    capabilities: new Set(kernel.processes.boundingCapabilities()),
    layout: kernel.cgroups.layout(),
    controllerPaths: controllerPathsOf(kernel),
    seccomp: /^Seccomp:/m.test(textOf('/proc/self/status')),
    limits: parseLimits(textOf('/proc/self/limits')),
    oomScoreAdj: Number(textOf('/proc/self/oom_score_adj').trim()) || 0,
    exists: (path) => existsSync(path),
    findProgram: (name) => (name.includes('/') ? [name] : PROGRAM_DIRS.map((dir) => `${dir}/${name}`)).find(isExecutable),
    apparmor: textOf('/sys/module/apparmor/parameters/enabled').startsWith('Y'),
    selinuxContexts: existsSync('/sys/fs/selinux/enforce') ? readContexts() : undefined,
    read: textOf,
  };
}

export function missingCapabilities(machine: Machine): string[] {
  return ALL_CAPABILITIES.filter((name) => !machine.capabilities.has(name));
}

/** Lines such as "Max open files  1024  4096  files", by the names that ulimits have. */
export function parseLimits(text: string): Record<string, { hard: number }> {
  const limits: Record<string, { hard: number }> = {};
  for (const line of text.split('\n')) {
    const match = /^Max (.+?) {2,}(\S+) +(\S+)/.exec(line);
    const name = match?.[1] === undefined ? undefined : LIMIT_NAMES[match[1]];
    if (name !== undefined) limits[name] = { hard: match?.[3] === 'unlimited' ? Infinity : Number(match?.[3]) };
  }
  return limits;
}

const LIMIT_NAMES: Readonly<Record<string, string>> = {
  'cpu time': 'cpu', 'file size': 'fsize', 'data size': 'data', 'stack size': 'stack', 'core file size': 'core', 'resident set': 'rss',
  processes: 'nproc', 'open files': 'nofile', 'locked memory': 'memlock', 'address space': 'as', 'file locks': 'locks',
  'pending signals': 'sigpending', 'msgqueue size': 'msgqueue', 'nice priority': 'nice', 'realtime priority': 'rtprio', 'realtime timeout': 'rttime',
};

function controllerPathsOf(kernel: Kernel): Record<string, string> {
  const paths: Record<string, string> = {};
  for (const mount of kernel.mounts.list()) {
    if (mount.fsType !== 'cgroup') continue;
    for (const option of mount.superOptions.split(',')) paths[option] ??= mount.target;
  }
  return paths;
}

/** Source: selinux_config(5) and selinux_lxc_contexts_path(3). */
function readContexts(): LabelContexts | undefined {
  const policy = /^SELINUXTYPE=(\S+)/m.exec(textOf('/etc/selinux/config'))?.[1] ?? 'targeted';
  return parseContexts(textOf(`/etc/selinux/${policy}/contexts/lxc_contexts`));
}

function textOf(path: string): string {
  try { return readFileSync(path, 'utf8'); } catch { return ''; } // a kernel without the file answers like one that says nothing
}

function isExecutable(path: string): boolean {
  try { accessSync(path, constants.X_OK); return true; } catch { return false; }
}
