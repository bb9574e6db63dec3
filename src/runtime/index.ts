// Tasks: crun makes and kills them, one conmon each holds them. Survives the daemon: everything here can be found again by `observe`.
import type { IdMap } from '../lib/ids.ts';
import type { ContainerConfig, HostConfig } from '../wire/types.ts';
import type { Security } from './security.ts';
import type { Abilities } from './abilities.ts';
import type { Usage } from './usage.ts';

/** What a bundle is made of; the paths exist already. */
export interface BundleInput {
  id: string;
  config: ContainerConfig;
  hostConfig: HostConfig;
  /** argv: entrypoint and command merged. */
  argv: readonly string[];
  /** Mounted root file system (overlay merged directory). */
  rootfs: string;
  hostname: string;
  /** Binds beside Docker's defaults, in order: resolv.conf, hosts, hostname, volumes, binds, tmpfs. */
  mounts: readonly BundleMount[];
  /** Cgroup path below the root of each hierarchy, such as /docker/ID; for the systemd driver slice, prefix and name: system.slice:docker:ID. */
  cgroupPath: string;
  /** Namespaces joined by path instead of made (network of another container …). */
  joinNamespaces: Readonly<Partial<Record<'network' | 'ipc' | 'pid' | 'uts' | 'user', string>>>;
  /** A user namespace of its own, with these numbers outside; undefined: the host's. */
  idMap?: IdMap | undefined;
  /** What is to be seen at /dev/shm, mounted on the host already; undefined: one of its own, as the IPC mode says. */
  shmPath?: string | undefined;
  /** As it was decided when the container was created. */
  security: Security;
}

export interface BundleMount {
  type: 'bind' | 'tmpfs';
  source: string;
  destination: string;
  options: readonly string[];
}

/** An OCI runtime: a program with the verbs create, start, state, kill and delete. */
export interface RuntimeProgram { readonly path: string; readonly args: readonly string[] }

/** What the daemon was told to give to every container that does not say otherwise. */
export interface BundleSettings {
  noNewPrivileges: boolean;
  /** A profile in Docker's format, 'unconfined', or '' for the engine's own. */
  seccompProfile: string;
  /** What `info` calls it: builtin, unconfined, or the path that it was read from. */
  seccompName: string;
  /** Whether SELinux labels are given, where the kernel has them. */
  selinux: boolean;
  /** Whether a container that does not say gets an init. */
  init: boolean;
  /** Of the init program; '' finds docker-init or tini. */
  initPath: string;
}

export interface TaskInput {
  id: string;
  /** Which OCI runtime makes it, by its name (see facts.runtimes). Error of create: invalid, `Unknown runtime specified NAME`. */
  runtime: string;
  /** OCI config.json as built by `bundleOf`. */
  spec: OciSpec;
  tty: boolean;
  /** 'closed': /dev/null; 'once': closed when the first attached client closes; 'open': stays open. */
  stdin: 'closed' | 'once' | 'open';
  /** Where conmon writes the log (its k8s-file format), or undefined for the log driver none. */
  logPath: string | undefined;
  /** conmon puts an empty file in the place of one that would become longer. Default: never. */
  logMaxBytes?: number | undefined;
}

export type OciSpec = Readonly<Record<string, unknown>>;

export interface TaskExit { exitCode: number; finishedAtNs: bigint; oomKilled: boolean }

export type Observed =
  /** `waiting`: made, but its program was never begun. */
  | { task: 'alive'; pid: number; paused: boolean; waiting?: true }
  | { task: 'gone'; exit: TaskExit | undefined };

/** One attached stream to a task or exec. */
export interface Console extends AsyncDisposable {
  /** Ends when the task's output ends or the console is disposed. Must be drained: conmon waits for the slowest reader. */
  readonly output: AsyncIterable<{ stream: 'stdout' | 'stderr'; bytes: Uint8Array }>;
  /** Resolves when the task's side has room again. After the task ended it resolves and does nothing. */
  write(bytes: Uint8Array): Promise<void>;
  /** End of stdin. */
  endInput(): Promise<void>;
}

/** A task that is made but whose program does not run yet (crun create). */
export interface CreatedTask {
  readonly pid: number;
  /** Runs the program. Errors (program not found …) carry crun's words; the task is then gone. */
  start(): Promise<void>;
  /** Kills and deletes what was made; for undo. */
  discard(): Promise<void>;
}

export interface ExecInput {
  containerId: string;
  execId: string;
  argv: readonly string[];
  env: readonly string[];
  cwd: string;
  /** As clients give it: name or uid, optionally :group. '' is the container's user. */
  user: string;
  tty: boolean;
  stdin: boolean;
  privileged: boolean;
  consoleSize: { width: number; height: number } | undefined;
  /** Killed after so many seconds even when no daemon is there any more to do it; undefined: it may run as long as it likes. */
  limitSeconds?: number;
}

/** An exec as any daemon can have it, also one that came after it began: everything but its stdio. */
export interface ExecProcess {
  readonly pid: number;
  /** Resolves with the exit code. */
  readonly exited: Promise<number>;
  resize(size: { width: number; height: number }): Promise<void>;
  signal(signal: number): Promise<void>;
  /** Kills it with all that it started and that did not become a daemon. A frozen one dies when it is thawed. */
  kill(): Promise<void>;
}

export interface ExecTask extends ExecProcess { readonly console: Console }

export interface Runtime {
  /** What guards a container that asks for this. Error: invalid, `invalid --security-opt N: "…"`. */
  securityOf(host: Pick<HostConfig, 'SecurityOpt' | 'Privileged'>): Security;
  /** Builds the OCI spec: Docker's defaults for capabilities, masked paths, seccomp, devices, namespaces, limits. Resolves the user inside the rootfs. */
  bundleOf(input: BundleInput): Promise<OciSpec>;
  create(task: TaskInput): Promise<CreatedTask>;
  /** Another connection to the stdio of a task, created or running. */
  attach(id: string): Promise<Console>;
  resize(id: string, size: { width: number; height: number }): Promise<void>;
  /** Signal to the task's init; false when it is gone. */
  signal(id: string, signal: number): Promise<boolean>;
  pause(id: string): Promise<void>;
  resume(id: string): Promise<void>;
  exec(input: ExecInput): Promise<ExecTask>;
  /** An exec that an earlier daemon started: still running, or ended meanwhile; undefined when nothing is left that could tell. */
  adoptExec(execId: string): Promise<ExecProcess | undefined>;
  /** Ends what is left of execs of earlier daemons, but for those named. */
  endExecs(but: ReadonlySet<string>): Promise<void>;
  /** Keeps a text of the engine's beside a task: it outlives the daemon, but not the task or this boot. '' takes it away. A task that is gone keeps nothing. */
  saveNote(id: string, note: { name: string; text: string }): void;
  /** Name to text. */
  notes(id: string): ReadonlyMap<string, string>;
  /** Sets the limits of a running task to those of `hostConfig`. After an error they are what they were; `undo` makes them so after a success. */
  update(id: string, hostConfig: HostConfig): Promise<{ undo(): void }>;
  /** What it has used so far; undefined when it is gone. */
  usage(id: string): Promise<Usage | undefined>;
  /** PIDs inside the container's cgroup. */
  processes(id: string): Promise<number[]>;
  /** Lines of the host's ps(1) with these arguments, the titles first. Error: invalid, with ps's own words. */
  listProcesses(psArgs: readonly string[]): Promise<string[]>;
  /** All tasks of which anything is left in the exec root, ended or not. */
  known(): Promise<string[]>;
  /** What is there of a task now: the truth after a restart. */
  observe(id: string): Promise<Observed>;
  /** Calls back once per exit of a task of which `create` or `adopt` told, in this daemon or an earlier one. */
  onExit(listener: (id: string, exit: TaskExit) => void): Disposable;
  /** Calls back when the OOM killer has struck in a task, before its exit is told; several strikes at once may count as one. */
  onOom(listener: (id: string) => void): Disposable;
  /** After a restart: watch for the exit of a task that an earlier daemon started. */
  adopt(id: string): Promise<void>;
  /** Deletes runtime state, cgroup and files of an ended task, and kills what is left of it. Fine when there is nothing. */
  delete(id: string): Promise<void>;
  /** Asks for the log file to be opened anew after it was moved (rotation); false when there is nobody to ask. */
  reopenLog(id: string): Promise<boolean>;
  /** For `info`: names and versions, cgroup mode and driver, and how a hybrid host was dealt with ('' when nothing had to be). */
  readonly facts: { runtimes: Readonly<Record<string, RuntimeProgram>>; /** What guards containers here, as `info` has it: name=seccomp,profile=builtin … */ guards: readonly string[]; crunVersion: string; conmonVersion: string; cgroupVersion: 1 | 2; cgroupDriver: 'cgroupfs' | 'systemd'; cgroupNote: string; missingCapabilities: readonly string[]; abilities: Abilities };
  /** Stops watching. Tasks go on. */
  close(): Promise<void>;
}

export type { Abilities } from './abilities.ts';
export type { Usage } from './usage.ts';
export { decideCapabilities } from './capabilities.ts';
export { parseRule as parseDeviceRule } from './devices.ts';
export { runProgram } from './program.ts';
export type { Security } from './security.ts';
export { openRuntime } from './runtime.ts'; // openRuntime({ kernel, log, clock, execRoot, crunPath?, conmonPath? }): Promise<Runtime>
