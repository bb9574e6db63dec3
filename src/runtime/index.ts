// Tasks: crun makes and kills them, one conmon each holds them. Survives the daemon: everything here can be found again by `observe`.
import type { ContainerConfig, HostConfig } from '../wire/types.ts';

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
  /** Cgroup path below the root of each hierarchy, such as /docker/ID. */
  cgroupPath: string;
  /** Namespaces joined by path instead of made (network of another container …). */
  joinNamespaces: Readonly<Partial<Record<'network' | 'ipc' | 'pid' | 'uts', string>>>;
}

export interface BundleMount {
  type: 'bind' | 'tmpfs';
  source: string;
  destination: string;
  options: readonly string[];
}

export interface TaskInput {
  id: string;
  /** OCI config.json as built by `bundleOf`. */
  spec: OciSpec;
  tty: boolean;
  /** 'closed': /dev/null; 'once': closed when the first attached client closes; 'open': stays open. */
  stdin: 'closed' | 'once' | 'open';
  /** Where conmon writes the log (its k8s-file format), or undefined for the log driver none. */
  logPath: string | undefined;
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
}

export interface ExecTask {
  readonly pid: number;
  readonly console: Console;
  /** Resolves with the exit code. */
  readonly exited: Promise<number>;
  resize(size: { width: number; height: number }): Promise<void>;
  signal(signal: number): Promise<void>;
}

export interface Runtime {
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
  /** After a restart: watch for the exit of a task that an earlier daemon started. */
  adopt(id: string): Promise<void>;
  /** Deletes runtime state, cgroup and files of an ended task, and kills what is left of it. Fine when there is nothing. */
  delete(id: string): Promise<void>;
  /** Asks for the log file to be opened anew after it was moved (rotation). */
  reopenLog(id: string): Promise<void>;
  /** For `info`: names and versions, cgroup mode and driver, and how a hybrid host was dealt with ('' when nothing had to be). */
  readonly facts: { crunVersion: string; conmonVersion: string; cgroupVersion: 1 | 2; cgroupDriver: 'cgroupfs' | 'systemd'; cgroupNote: string; seccomp: boolean; missingCapabilities: readonly string[] };
  /** Stops watching. Tasks go on. */
  close(): Promise<void>;
}

export { decideCapabilities } from './capabilities.ts';
export { openRuntime } from './runtime.ts'; // openRuntime({ kernel, log, clock, execRoot, crunPath?, conmonPath? }): Promise<Runtime>
