// The runtime's face: makes tasks through conmon and crun, and finds them again after any death of the daemon.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Kernel } from '../kernel/index.ts';
import type { Clock } from '../lib/clock.ts';
import { conflict, EngineError, invalid, messageOf, unavailable } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { decideApart } from './apart.ts';
import { openConsole } from './attach.ts';
import { buildSpec } from './bundle.ts';
import { isFrozen, processesIn } from './cgroup.ts';
import { MonitorRefusal, startMonitor, tell } from './conmon.ts';
import { openCrun, runProgram, type Crun } from './crun.ts';
import { startExec } from './exec.ts';
import { Exits } from './exits.ts';
import type { BundleInput, Console, CreatedTask, ExecInput, ExecTask, Observed, OciSpec, Runtime, TaskInput } from './index.ts';
import { missingCapabilities, openMachine, type Machine } from './machine.ts';
import { taskArgs } from './monitor-args.ts';
import { stringifySpec } from './spec-text.ts';
import { identityOf, isAlive, monitorIn, placesOf, readTaskRecord, writeTaskRecord, type Places, type TaskRecord } from './tasks.ts';
import type { UserFiles } from './users.ts';
import { crunError } from './words.ts';

export interface RuntimeOptions {
  kernel: Kernel;
  log: Log;
  clock: Clock;
  /** On tmpfs: what is there belongs to this boot. */
  execRoot: string;
  crunPath?: string;
  conmonPath?: string;
}

/** passwd and group of a container larger than this are not read: no image has such. */
const MAX_USER_FILE_BYTES = 4 * 1024 * 1024;
/** How long conmon may take to write an exit code and end, once its container has. */
const MONITOR_END_MS = 10_000;
const POLL_MS = 10;
const SIGKILL = 9;

export async function openRuntime(options: RuntimeOptions): Promise<Runtime> {
  const { kernel, log, clock } = options;
  const machine = openMachine(kernel);
  const crunPath = options.crunPath ?? machine.findProgram('crun');
  const conmonPath = options.conmonPath ?? machine.findProgram('conmon');
  if (crunPath === undefined) throw unavailable('crun is not installed: no container can be run without it');
  if (conmonPath === undefined) throw unavailable('conmon is not installed: no container can be run without it');
  const apart = decideApart(machine.layout, kernel.mounts.list(), { unshare: machine.findProgram('unshare'), sh: machine.findProgram('sh') });
  const [crunSays, conmonSays] = await Promise.all([runProgram([crunPath, '--version'], 'crun --version'), runProgram([conmonPath, '--version'], 'conmon --version')]);
  const places = placesOf(options.execRoot);
  for (const place of Object.values(places)) mkdirSync(place, { recursive: true, mode: 0o700 });
  const crun = openCrun({ crunPath, root: places.crun, prefix: apart.prefix, cgroups: machine.layout.mode !== 'none' });
  const seccomp = machine.seccomp && crunSays.includes('+SECCOMP');
  const facts: Runtime['facts'] = {
    crunVersion: versionIn(crunSays), conmonVersion: versionIn(conmonSays), cgroupVersion: machine.layout.mode === 'v2' ? 2 : 1, cgroupDriver: 'cgroupfs',
    cgroupNote: apart.note, seccomp, missingCapabilities: missingCapabilities(machine),
  };
  sweepExecs(kernel, places);
  return new CrunRuntime({ kernel, log, clock, machine: { ...machine, seccomp }, places, crun, conmonPath }, facts);
}

interface Needs { kernel: Kernel; log: Log; clock: Clock; machine: Machine; places: Places; crun: Crun; conmonPath: string }

class CrunRuntime implements Runtime {
  readonly facts: Runtime['facts'];
  readonly #needs: Needs;
  readonly #exits: Exits;

  constructor(needs: Needs, facts: Runtime['facts']) {
    this.#needs = needs;
    this.facts = facts;
    this.#exits = new Exits({ places: needs.places, clock: needs.clock, log: needs.log, pending: (id) => this.#pending(id) });
  }

  async bundleOf(input: BundleInput): Promise<OciSpec> {
    const { spec, notes } = buildSpec(input, this.#userFiles(input.rootfs), this.#needs.machine);
    for (const note of notes) this.#needs.log.warn('container runs with less than it asked for', { container: input.id, note });
    return spec;
  }

  async create(task: TaskInput): Promise<CreatedTask> {
    const { clock, conmonPath, crun, places } = this.#needs;
    const { id } = task;
    await this.delete(id); // whatever an earlier daemon left half made under this name
    const bundle = this.#bundle(id);
    mkdirSync(bundle, { mode: 0o700 });
    await using undo = new AsyncDisposableStack();
    undo.defer(() => this.delete(id));
    writeFileSync(`${bundle}/config.json`, stringifySpec(task.spec), { mode: 0o600 });
    const monitor = await startMonitor({ conmonPath, bundle, clock, args: taskArgs(task, places, crun) }).catch((error: unknown) => {
      throw error instanceof MonitorRefusal ? crunError('create', error.message, programOf(task.spec)) : error;
    });
    monitor.release(); // the exit of a task is told by a file, which outlives this daemon
    this.#writeRecord(id, monitor.pid, task.spec);
    this.#exits.expect(id);
    undo.move();
    return { pid: monitor.pid, start: () => this.#start(id, task.spec), discard: () => this.delete(id) };
  }

  async #start(id: string, spec: OciSpec): Promise<void> {
    try {
      await this.#needs.crun.runPlain('start', id);
    } catch (error) {
      await this.delete(id);
      throw crunError('start', error instanceof Error && error.cause instanceof Error ? error.cause.message : messageOf(error), programOf(spec));
    }
  }

  async attach(id: string): Promise<Console> {
    return openConsole(this.#needs.kernel, `${this.#bundle(id)}/attach`);
  }

  async resize(id: string, size: { width: number; height: number }): Promise<void> {
    if (!await tell(this.#bundle(id), `1 ${size.height} ${size.width}`)) throw conflict(`Container ${id} is not running`);
  }

  async signal(id: string, signal: number): Promise<boolean> {
    const { kernel } = this.#needs;
    const record = await this.#record(id);
    return record !== undefined && isAlive(kernel, record.task) && kernel.processes.signal(record.task.pid, signal);
  }

  async pause(id: string): Promise<void> { await this.#needs.crun.run('pause', id); }

  async resume(id: string): Promise<void> { await this.#needs.crun.run('resume', id); }

  exec(input: ExecInput): Promise<ExecTask> {
    return startExec({ ...this.#needs, userFiles: (rootfs) => this.#userFiles(rootfs) }, input);
  }

  async processes(id: string): Promise<number[]> {
    const record = await this.#record(id);
    if (!record || !isAlive(this.#needs.kernel, record.task)) return [];
    return processesIn(this.#needs.machine, record.cgroupPath) ?? [record.task.pid];
  }

  async listProcesses(psArgs: readonly string[]): Promise<string[]> {
    const ps = this.#needs.machine.findProgram('ps');
    if (ps === undefined) throw unavailable('ps is not installed: processes cannot be listed');
    const text = await runProgram([ps, ...psArgs.filter((arg) => arg !== '')], 'ps').catch((error: unknown) => {
      throw invalid(`Error running ps: ${error instanceof Error && error.cause instanceof Error ? error.cause.message : messageOf(error)}`, { cause: error });
    });
    return text.split('\n').filter((line) => line !== '');
  }

  async known(): Promise<string[]> {
    const { places } = this.#needs;
    return [...new Set([places.tasks, places.crun, places.exits].flatMap((place) => readdirSync(place)))];
  }

  async observe(id: string): Promise<Observed> {
    const { kernel, machine, places } = this.#needs;
    const record = await this.#record(id);
    if (!record) return { task: 'gone', exit: this.#exits.read(id) };
    if (isAlive(kernel, record.task)) {
      const waits = existsSync(`${places.crun}/${id}/exec.fifo`); // crun takes it away when it begins the program
      return { task: 'alive', pid: record.task.pid, paused: isFrozen(machine, record.cgroupPath), ...(waits ? { waiting: true } : {}) };
    }
    // The container is gone, its conmon perhaps just about to say how.
    await this.#until(() => this.#exits.read(id) !== undefined || !isAlive(kernel, record.monitor));
    return { task: 'gone', exit: this.#exits.read(id) };
  }

  onExit(listener: Parameters<Runtime['onExit']>[0]): Disposable { return this.#exits.listen(listener); }

  async adopt(id: string): Promise<void> {
    await this.#record(id);
    this.#exits.expect(id);
  }

  async delete(id: string): Promise<void> {
    const { kernel, places } = this.#needs;
    this.#exits.forget(id);
    const record = await this.#record(id);
    if (readdirSync(places.crun).includes(id)) await this.#deleteState(id, record);
    const monitor = record?.monitor ?? this.#monitorOf(id);
    // Only when conmon is gone can no exit file appear under this name, where the next task of the container would find it.
    if (monitor && !await this.#until(() => !isAlive(kernel, monitor))) kernel.processes.signal(monitor.pid, SIGKILL);
    rmSync(this.#bundle(id), { recursive: true, force: true });
    rmSync(`${places.exits}/${id}`, { force: true });
  }

  async #deleteState(id: string, record: TaskRecord | undefined): Promise<void> {
    const { crun, kernel, log, machine, places } = this.#needs;
    try {
      // On cgroup v1 a frozen process does not die before it is thawed.
      if (record && isFrozen(machine, record.cgroupPath)) await crun.run('resume', id);
      await crun.run('delete', '--force', id);
    } catch (error) {
      if (record && isAlive(kernel, record.task)) throw error;
      log.warn('crun could not delete what it had of an ended container; its state was removed', { container: id, error });
      rmSync(`${places.crun}/${id}`, { recursive: true, force: true }); // half made: crun cannot read it itself
    }
  }

  async reopenLog(id: string): Promise<void> {
    await tell(this.#bundle(id), '2 0 0'); // without a conmon nothing writes, and nothing has to be opened
  }

  async close(): Promise<void> { this.#exits[Symbol.dispose](); }

  #bundle(id: string): string { return `${this.#needs.places.tasks}/${id}`; }

  #userFiles(rootfs: string): UserFiles {
    const text = (path: string) => {
      const bytes = this.#needs.kernel.files.readInRoot(rootfs, path, MAX_USER_FILE_BYTES);
      return bytes === undefined ? '' : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
    };
    return { passwd: text('/etc/passwd'), group: text('/etc/group') };
  }

  /** The record, or one made again from what crun knows: a daemon may die between conmon's start and the record's writing. */
  async #record(id: string): Promise<TaskRecord | undefined> {
    const { crun, places } = this.#needs;
    const known = readTaskRecord(this.#bundle(id));
    if (known || !readdirSync(places.crun).includes(id)) return known;
    const pid = await crun.runPlain('state', id).then(parsePid, () => undefined); // half made: crun itself cannot read it
    if (pid === undefined) return undefined;
    return this.#writeRecord(id, pid, parseSpec(readFileSync(`${this.#bundle(id)}/config.json`, 'utf8')));
  }

  #writeRecord(id: string, pid: number, spec: OciSpec): TaskRecord {
    const { kernel } = this.#needs;
    const record = { task: identityOf(kernel, pid), monitor: this.#monitorOf(id) ?? { pid: 0, startTicks: 'gone' }, cgroupPath: cgroupPathOf(spec) };
    writeTaskRecord(this.#bundle(id), record);
    return record;
  }

  #monitorOf(id: string): TaskRecord['monitor'] | undefined {
    return monitorIn(this.#needs.kernel, this.#bundle(id), id);
  }

  #pending(id: string): boolean {
    const record = readTaskRecord(this.#bundle(id));
    return record !== undefined && (isAlive(this.#needs.kernel, record.monitor) || isAlive(this.#needs.kernel, record.task));
  }

  /** Polls: neither the end of a process that is no child of ours nor a file's coming is worth a watcher here. */
  async #until(met: () => boolean): Promise<boolean> {
    const { clock } = this.#needs;
    for (const end = clock.monotonicMs() + MONITOR_END_MS; !met(); await clock.sleep(POLL_MS)) {
      if (clock.monotonicMs() > end) return false;
    }
    return true;
  }
}

/** Folders of execs whose conmon ended while no daemon was there to clean up. */
function sweepExecs(kernel: Kernel, places: Places): void {
  for (const execId of readdirSync(places.execs)) {
    const bundle = `${places.execs}/${execId}`;
    if (!monitorIn(kernel, bundle, execId)) rmSync(bundle, { recursive: true, force: true });
  }
}

/** The program a user named, which is not the init that is put before it. */
function programOf(spec: OciSpec): string {
  const args = (spec['process'] as { args?: string[] } | undefined)?.args ?? [];
  return (args[1] === '--' ? args[2] : args[0]) ?? '';
}

function cgroupPathOf(spec: OciSpec): string {
  return (spec['linux'] as { cgroupsPath?: string } | undefined)?.cgroupsPath ?? '';
}

function parseSpec(text: string): OciSpec {
  return JSON.parse(text) as OciSpec;
}

/** Of `crun state`; undefined when the container has stopped. */
function parsePid(text: string): number | undefined {
  const state = JSON.parse(text) as { pid?: number; status?: string };
  return state.status === 'stopped' || state.pid === undefined || state.pid <= 1 ? undefined : state.pid;
}

function versionIn(text: string): string {
  const version = /version (\S+)/.exec(text)?.[1];
  if (version === undefined) throw new EngineError('system', `no version in ${JSON.stringify(text.slice(0, 200))}`);
  return version;
}
