// The runtime's face: makes tasks through conmon and crun, and finds them again after any death of the daemon.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Kernel } from '../kernel/index.ts';
import type { Clock } from '../lib/clock.ts';
import { conflict, EngineError, errnoOf, invalid, messageOf, unavailable } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import type { HostConfig } from '../wire/types.ts';
import { abilitiesOf } from './abilities.ts';
import { decideApart } from './apart.ts';
import { ensureProfile } from './apparmor.ts';
import { endedConsole, openConsole, waitingConnections } from './attach.ts';
import { buildSpec, NO_SETTINGS } from './bundle.ts';
import { cgroupOf, isFrozen, oomKills, processesIn, thaw } from './cgroup.ts';
import { MonitorRefusal, startMonitor, tell } from './conmon.ts';
import { Programs, runProgram, STOCK_NAMES, withoutNull, type Program } from './program.ts';
import { adoptExec, endExecs, startExec, type ExecNeeds } from './exec.ts';
import { Exits } from './exits.ts';
import type { BundleInput, BundleSettings, Console, CreatedTask, ExecInput, ExecProcess, ExecTask, Observed, OciSpec, Runtime, RuntimeProgram, TaskInput } from './index.ts';
import { liftLimits, rememberLimits } from './limit-files.ts';
import { missingCapabilities, openMachine, type Machine } from './machine.ts';
import { taskArgs } from './monitor-args.ts';
import { readNotes, saveNote } from './notes.ts';
import { Ooms } from './ooms.ts';
import { limitsOf, supportOf } from './resources.ts';
import { stringifySpec } from './spec-text.ts';
import { identityOf, isAlive, monitorIn, placesOf, readMaker, readTaskRecord, writeMaker, writeTaskRecord, type Places, type TaskRecord } from './tasks.ts';
import { readUsage, type Usage } from './usage.ts';
import type { UserFiles } from './users.ts';
import { decideSecurity, type Security } from './security.ts';
import { runtimeError, runtimeMissing } from './words.ts';

export interface RuntimeOptions {
  kernel: Kernel;
  log: Log;
  clock: Clock;
  /** On tmpfs: what is there belongs to this boot. */
  execRoot: string;
  crunPath?: string;
  conmonPath?: string;
  /** Further OCI runtimes by the names that containers ask for them. */
  runtimes?: Readonly<Record<string, RuntimeProgram>>;
  settings?: BundleSettings;
  /** '' lets the machine decide. */
  cgroupDriver?: '' | 'cgroupfs' | 'systemd';
}

/** passwd and group of a container larger than this are not read: no image has such. */
const MAX_USER_FILE_BYTES = 4 * 1024 * 1024;
/** How long conmon may take to write an exit code and end, once its container has. */
const MONITOR_END_MS = 10_000;
/** How long the next one that is attached before the start waits for conmon to take the one before it. */
const TAKEN_MS = 10_000;
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
  const cgroupDriver = decideDriver(machine, { asked: options.cgroupDriver ?? '', crunSays });
  const registered = options.runtimes ?? {};
  const programs = new Programs({ crunPath, crunRoot: places.crun, othersRoot: places.runtimes, prefix: apart.prefix, cgroups: machine.layout.mode === 'none' ? 'disabled' : cgroupDriver, registered });
  const settings = options.settings ?? NO_SETTINGS;
  const seccomp = machine.seccomp && crunSays.includes('+SECCOMP');
  const facts: Runtime['facts'] = {
    crunVersion: versionIn(crunSays), conmonVersion: versionIn(conmonSays), cgroupVersion: machine.layout.mode === 'v2' ? 2 : 1, cgroupDriver,
    runtimes: { ...Object.fromEntries(STOCK_NAMES.map((name) => [name, { path: 'crun', args: [] }])), ...registered },
    guards: guardsOf({ ...machine, seccomp }, settings), cgroupNote: apart.note, missingCapabilities: missingCapabilities(machine), abilities: abilitiesOf(machine),
  };
  return new OciRuntime({ kernel, log, clock, machine: { ...machine, seccomp }, places, programs, conmonPath, settings }, facts);
}

/** systemd's own way where it is PID 1 and alone with cgroup v2, as Docker decides; elsewhere only when it is asked for. Error: unavailable. */
function decideDriver(machine: Machine, { asked, crunSays }: { asked: '' | 'cgroupfs' | 'systemd'; crunSays: string }): 'cgroupfs' | 'systemd' {
  const reachable = machine.exists('/run/systemd/system') && machine.exists('/run/dbus/system_bus_socket') && crunSays.includes('+SYSTEMD');
  if (asked === 'systemd' && !reachable) throw unavailable('native.cgroupdriver=systemd needs systemd as PID 1, its D-Bus socket /run/dbus/system_bus_socket, and a crun that was built with systemd');
  return asked || (machine.layout.mode === 'v2' && reachable ? 'systemd' : 'cgroupfs');
}

interface Needs { kernel: Kernel; log: Log; clock: Clock; machine: Machine; places: Places; programs: Programs; conmonPath: string; settings: BundleSettings }

class OciRuntime implements Runtime {
  readonly facts: Runtime['facts'];
  readonly #needs: Needs;
  readonly #exits: Exits;
  /**
   * By which the stdin of a made task was ended: the first who attaches gets it. conmon would mix up its descriptors when one connection
   * is closed while another comes, and the newer one would then see no output (one in 25 runs).
   */
  readonly #held = new Map<string, Console>();
  /**
   * Of tasks that are made and not begun: the last connection, as long as conmon has not taken it. It takes one in each turn of its loop, and
   * of two that wait the second one after it has passed on what the program said by then.
   */
  readonly #untaken = new Map<string, ReadonlySet<string>>();
  readonly #ooms: Ooms;

  constructor(needs: Needs, facts: Runtime['facts']) {
    this.#needs = needs;
    this.facts = facts;
    this.#ooms = new Ooms(needs.places, (id) => oomKills(needs.machine, readTaskRecord(this.#bundle(id))?.cgroupPath ?? '/nowhere'));
    this.#exits = new Exits({ places: needs.places, clock: needs.clock, log: needs.log, pending: (id) => this.#pending(id), struck: (id, exitCode) => this.#ooms.struck(id, exitCode), ending: (id, exitCode) => this.#ooms.ending(id, exitCode) });
  }

  securityOf(host: Pick<HostConfig, 'SecurityOpt' | 'Privileged'>): Security {
    const { clock, machine, settings } = this.#needs;
    const category = () => Number.parseInt(clock.randomHex(2), 16) % 1024;
    const pair = (): [number, number] => {
      for (;;) {
        const [one, other] = [category(), category()];
        if (one !== other) return [one, other];
      }
    };
    return decideSecurity(host, { apparmor: machine.apparmor, selinux: settings.selinux ? machine.selinuxContexts : undefined, noNewPrivileges: settings.noNewPrivileges, categories: pair });
  }

  async bundleOf(input: BundleInput): Promise<OciSpec> {
    const { spec, notes } = buildSpec({ ...input, settings: this.#needs.settings }, this.#userFiles(input.rootfs), this.#needs.machine);
    for (const note of notes) this.#needs.log.warn('container runs with less than it asked for', { container: input.id, note });
    return spec;
  }

  async create(task: TaskInput): Promise<CreatedTask> {
    const { clock, conmonPath, machine, places, programs } = this.#needs;
    const { id } = task;
    const program = programs.named(task.runtime);
    if (machine.apparmor) await this.#loadProfile(task.spec);
    if (machine.findProgram(program.path) === undefined) throw runtimeMissing(program.path);
    await this.delete(id); // whatever an earlier daemon left half made under this name
    await this.#vacate(id, cgroupPathOf(task.spec));
    const bundle = this.#bundle(id);
    mkdirSync(bundle, { mode: 0o700 });
    await using undo = new AsyncDisposableStack();
    undo.defer(() => this.delete(id));
    writeFileSync(`${bundle}/config.json`, stringifySpec(task.spec), { mode: 0o600 });
    writeMaker(bundle, program);
    // crun gives its stdin to the root of a remapped container, and that may be the host's /dev/null: an empty pipe takes its place.
    const remapped = isRemapped(task.spec);
    const emptied = remapped && task.stdin === 'closed' && !task.tty;
    const maker = remapped && task.tty ? withoutNull(program) : program;
    const monitor = await startMonitor({ conmonPath, bundle, clock, args: taskArgs(emptied ? { ...task, stdin: 'once' } : task, places, maker) }).catch((error: unknown) => {
      throw error instanceof MonitorRefusal ? runtimeError(error.message, { stage: 'create', program: argumentOf(task.spec), runtime: program }) : error;
    });
    monitor.release(); // the exit of a task is told by a file, which outlives this daemon
    this.#writeRecord(id, monitor.pid, task.spec);
    this.#untaken.set(id, new Set());
    if (emptied) {
      const console = await this.attach(id);
      this.#held.set(id, console);
      await console.endInput();
    }
    this.#ooms.watch(id);
    this.#exits.expect(id);
    undo.move();
    return { pid: monitor.pid, start: () => this.#start(id, task.spec), discard: () => this.delete(id) };
  }

  /**
   * Ends whom nobody has on record: processes of a creation that was cut short with its monitor, in a cgroup that crun had frozen to end them. A task that is made
   * in there would be frozen as well, and its creation never return.
   */
  async #vacate(id: string, cgroupPath: string): Promise<void> {
    const { kernel, log, machine } = this.#needs;
    if (!cgroupPath.endsWith(id)) return; // nobody's but its own
    const left = () => processesIn(machine, cgroupPath) ?? [];
    const pids = left();
    if (pids.length === 0 && !isFrozen(machine, cgroupPath)) return;
    log.warn('ending what an earlier task left in its cgroup', { container: id, cgroup: cgroupPath, pids });
    for (const pid of pids) kernel.processes.signal(pid, SIGKILL);
    thaw(machine, cgroupPath); // on cgroup v1 a frozen process does not die before
    await this.#until(() => left().length === 0);
  }

  async #loadProfile(spec: OciSpec): Promise<void> {
    const { machine, places } = this.#needs;
    const { apparmorProfile: name = '' } = (spec['process'] ?? {}) as { apparmorProfile?: string };
    await ensureProfile(name, {
      read: machine.read,
      load: async (text) => {
        const parser = machine.findProgram('apparmor_parser');
        if (parser === undefined) throw new Error('apparmor_parser is not installed');
        const path = `${places.tasks}/../apparmor-profile`;
        writeFileSync(path, text, { mode: 0o600 });
        await runProgram([parser, '-Kr', path], 'apparmor_parser');
      },
    });
  }

  async #start(id: string, spec: OciSpec): Promise<void> {
    const runtime = this.#makerOf(id);
    this.#untaken.delete(id);
    await this.#letGo(id);
    try {
      await runtime.runPlain('start', id);
    } catch (error) {
      await this.delete(id);
      throw runtimeError(error instanceof Error && error.cause instanceof Error ? error.cause.message : messageOf(error), { stage: 'start', program: argumentOf(spec), runtime });
    }
  }

  async attach(id: string): Promise<Console> {
    const held = this.#held.get(id);
    if (held && this.#held.delete(id)) return held;
    const untaken = this.#untaken.get(id);
    try {
      if (!untaken) return openConsole(this.#needs.kernel, `${this.#bundle(id)}/attach`);
      await this.#until(() => untaken.isDisjointFrom(waitingConnections()), TAKEN_MS);
      const others = waitingConnections();
      const console = openConsole(this.#needs.kernel, `${this.#bundle(id)}/attach`);
      this.#untaken.set(id, waitingConnections().difference(others));
      return console;
    } catch (error) {
      // A runtime's container may have ended when its creation returns, and conmon with it.
      if (!['ENOENT', 'ECONNREFUSED'].includes(errnoOf(error) ?? '') || this.#makerOf(id).stock) throw error;
      return endedConsole();
    }
  }

  async resize(id: string, size: { width: number; height: number }): Promise<void> {
    if (!await tell(this.#bundle(id), `1 ${size.height} ${size.width}`)) throw conflict(`Container ${id} is not running`);
  }

  async signal(id: string, signal: number): Promise<boolean> {
    const { kernel } = this.#needs;
    const record = await this.#record(id);
    if (record === undefined || !isAlive(kernel, record.task)) return false;
    const maker = this.#makerOf(id);
    // Another runtime's process may stand for something that only it can reach.
    if (!maker.stock && await maker.run('kill', id, String(signal)).then(() => true, () => false)) return true;
    return kernel.processes.signal(record.task.pid, signal);
  }

  async pause(id: string): Promise<void> { await this.#makerOf(id).run('pause', id); }

  async resume(id: string): Promise<void> { await this.#makerOf(id).run('resume', id); }

  exec(input: ExecInput): Promise<ExecTask> {
    return startExec(this.#execNeeds(input.containerId), input);
  }

  async adoptExec(execId: string): Promise<ExecProcess | undefined> { return adoptExec(this.#execNeeds(), execId); }

  endExecs(but: ReadonlySet<string>): Promise<void> { return endExecs(this.#execNeeds(), but); }

  #execNeeds(containerId?: string): ExecNeeds { return { ...this.#needs, program: containerId === undefined ? this.#needs.programs.stock : this.#makerOf(containerId), userFiles: (rootfs) => this.#userFiles(rootfs) }; }

  saveNote(id: string, note: { name: string; text: string }): void { saveNote(this.#bundle(id), note); }

  notes(id: string): ReadonlyMap<string, string> { return readNotes(this.#bundle(id)); }

  async processes(id: string): Promise<number[]> {
    const record = await this.#record(id);
    if (!record || !isAlive(this.#needs.kernel, record.task)) return [];
    return processesIn(this.#needs.machine, record.cgroupPath) ?? [record.task.pid];
  }

  async listProcesses(psArgs: readonly string[]): Promise<string[]> {
    const ps = this.#needs.machine.findProgram('ps');
    if (ps === undefined) throw unavailable('ps is not installed: processes cannot be listed');
    const text = await runProgram([ps, ...psArgs.filter((arg) => arg !== '')], 'ps').catch((error: unknown) => {
      const said = error instanceof Error && error.cause instanceof Error ? error.cause.message : messageOf(error);
      throw invalid(`ps: ${said.split('\n', 1)[0] ?? ''}`, { cause: error }); // the first line; the others explain how ps is used
    });
    return text.split('\n').filter((line) => line !== '');
  }

  async known(): Promise<string[]> {
    const { places } = this.#needs;
    return [...new Set([places.tasks, places.crun, places.exits].flatMap((place) => readdirSync(place)))];
  }

  async observe(id: string): Promise<Observed> {
    const { kernel, machine } = this.#needs;
    const record = await this.#record(id);
    if (!record) return { task: 'gone', exit: this.#exits.read(id) };
    if (isAlive(kernel, record.task)) {
      const maker = this.#makerOf(id);
      // crun takes its pipe away when it begins the program; another runtime is asked.
      const waits = maker.stock ? existsSync(`${maker.root}/${id}/exec.fifo`) : await maker.runPlain('state', id).then((text) => stateIn(text).status === 'created', () => false);
      return { task: 'alive', pid: record.task.pid, paused: isFrozen(machine, record.cgroupPath), ...(waits ? { waiting: true } : {}) };
    }
    // The container is gone, its conmon perhaps just about to say how.
    await this.#until(() => this.#exits.read(id) !== undefined || !isAlive(kernel, record.monitor));
    return { task: 'gone', exit: this.#exits.read(id) };
  }

  onExit(listener: Parameters<Runtime['onExit']>[0]): Disposable { return this.#exits.listen(listener); }

  onOom(listener: (id: string) => void): Disposable { return this.#ooms.listen(listener); }

  async update(id: string, hostConfig: HostConfig): Promise<{ undo(): void }> {
    const { machine } = this.#needs;
    const record = await this.#record(id);
    if (!record) throw conflict(`Container ${id} is not running`);
    const undo = rememberLimits(machine, record.cgroupPath);
    const resources = limitsOf(hostConfig, supportOf(this.facts.abilities, []));
    try {
      if (Object.keys(resources).length > 0) {
        const path = `${this.#bundle(id)}/resources.json`;
        writeFileSync(path, stringifySpec(resources), { mode: 0o600 });
        await this.#makerOf(id).run('update', '--resources', path, id);
      }
      liftLimits(machine, record.cgroupPath, hostConfig);
    } catch (error) {
      undo();
      throw error instanceof EngineError && error.cause instanceof Error ? new EngineError('system', `crun did not terminate successfully: ${error.cause.message}: unknown`, { cause: error }) : error;
    }
    return { undo };
  }

  async usage(id: string): Promise<Usage | undefined> {
    const record = await this.#record(id);
    return record && isAlive(this.#needs.kernel, record.task) ? readUsage(this.#needs.machine, { cgroupPath: record.cgroupPath, pid: record.task.pid }) : undefined;
  }

  async adopt(id: string): Promise<void> {
    await this.#record(id);
    this.#ooms.watch(id);
    this.#exits.expect(id);
  }

  async delete(id: string): Promise<void> {
    const { kernel, places, programs } = this.#needs;
    this.#exits.forget(id);
    this.#ooms.forget(id);
    this.#untaken.delete(id);
    await this.#letGo(id);
    const record = await this.#record(id);
    const maker = this.#makerOf(id);
    if (!maker.stock) await this.#deleteOther(id, { maker, record });
    else if (programs.withState().includes(id)) await this.#deleteState(id, record);
    const monitor = record?.monitor ?? this.#monitorOf(id);
    // Only when conmon is gone can no exit file appear under this name, where the next task of the container would find it.
    if (monitor && !await this.#until(() => !isAlive(kernel, monitor))) kernel.processes.signal(monitor.pid, SIGKILL);
    rmSync(this.#bundle(id), { recursive: true, force: true });
    rmSync(`${places.exits}/${id}`, { force: true });
  }

  async #deleteState(id: string, record: TaskRecord | undefined): Promise<void> {
    const { kernel, log, machine, places, programs } = this.#needs;
    const crun = programs.stock;
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

  async #letGo(id: string): Promise<void> {
    const held = this.#held.get(id);
    this.#held.delete(id);
    await held?.[Symbol.asyncDispose]();
  }

  /** By the verbs that the OCI runtime specification has; what it cannot do is done without it, so that nothing is left. */
  async #deleteOther(id: string, { maker, record }: { maker: Program; record: TaskRecord | undefined }): Promise<void> {
    const { kernel, log, machine } = this.#needs;
    const task = record?.task;
    if (record && task && isAlive(kernel, task)) {
      if (isFrozen(machine, record.cgroupPath)) await maker.run('resume', id).catch(() => '');
      await maker.run('kill', id, 'KILL').catch(() => '');
      if (!await this.#until(() => !isAlive(kernel, task))) kernel.processes.signal(task.pid, SIGKILL);
    }
    const deleted = await maker.run('delete', id).catch(() => maker.run('delete', '--force', id)).then(() => undefined, (error: unknown) => error);
    if (deleted !== undefined) log.warn('a runtime could not delete what it had of an ended container', { container: id, runtime: maker.name, error: deleted });
    rmSync(`${maker.root}/${id}`, { recursive: true, force: true });
  }

  /** Who made the task: the one that was noted beside it. */
  #makerOf(id: string): Program {
    const { programs } = this.#needs;
    const noted = readMaker(this.#bundle(id));
    return noted === undefined ? programs.stock : programs.other(noted);
  }

  reopenLog(id: string): Promise<boolean> { return tell(this.#bundle(id), '2 0 0'); }

  async close(): Promise<void> {
    this.#exits[Symbol.dispose]();
    this.#ooms[Symbol.dispose]();
  }

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
    const { programs } = this.#needs;
    const known = readTaskRecord(this.#bundle(id));
    const maker = this.#makerOf(id);
    if (known || (maker.stock && !programs.withState().includes(id))) return known;
    const pid = await maker.runPlain('state', id).then(parsePid, () => undefined); // half made: crun itself cannot read it
    if (pid === undefined) return undefined;
    return this.#writeRecord(id, pid, parseSpec(readFileSync(`${this.#bundle(id)}/config.json`, 'utf8')));
  }

  #writeRecord(id: string, pid: number, spec: OciSpec): TaskRecord {
    const { kernel } = this.#needs;
    const record = { task: identityOf(kernel, pid), monitor: this.#monitorOf(id) ?? { pid: 0, startTicks: 'gone' }, cgroupPath: cgroupOf(this.#needs.machine, pid) ?? cgroupPathOf(spec) };
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
  async #until(met: () => boolean, mostMs = MONITOR_END_MS): Promise<boolean> {
    const { clock } = this.#needs;
    for (const end = clock.monotonicMs() + mostMs; !met(); await clock.sleep(POLL_MS)) {
      if (clock.monotonicMs() > end) return false;
    }
    return true;
  }
}

/** The program a user named, which is not the init that is put before it. */
function argumentOf(spec: OciSpec): string {
  const args = (spec['process'] as { args?: string[] } | undefined)?.args ?? [];
  return (args[1] === '--' ? args[2] : args[0]) ?? '';
}

function guardsOf(machine: Machine, settings: BundleSettings): string[] {
  return [
    ...(machine.apparmor ? ['name=apparmor'] : []), ...(machine.seccomp ? [`name=seccomp,profile=${settings.seccompName}`] : []),
    ...(settings.selinux && machine.selinuxContexts ? ['name=selinux'] : []), ...(settings.noNewPrivileges ? ['name=no-new-privileges'] : []),
  ];
}

function isRemapped(spec: OciSpec): boolean {
  return (spec['linux'] as { uidMappings?: unknown } | undefined)?.uidMappings !== undefined;
}

function cgroupPathOf(spec: OciSpec): string {
  return (spec['linux'] as { cgroupsPath?: string } | undefined)?.cgroupsPath ?? '';
}

function parseSpec(text: string): OciSpec {
  return JSON.parse(text) as OciSpec;
}

/** Of `crun state`; undefined when the container has stopped. */
function parsePid(text: string): number | undefined {
  const state = stateIn(text);
  return state.status === 'stopped' || state.pid === undefined || state.pid <= 1 ? undefined : state.pid;
}

const stateIn = (text: string) => JSON.parse(text) as { pid?: number; status?: string };

function versionIn(text: string): string {
  const version = /version (\S+)/.exec(text)?.[1];
  if (version === undefined) throw new EngineError('system', `no version in ${JSON.stringify(text.slice(0, 200))}`);
  return version;
}
