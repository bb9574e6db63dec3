// A further process in a running container: its description from the container's own, and a conmon that holds its stdio.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Kernel } from '../kernel/index.ts';
import type { Clock } from '../lib/clock.ts';
import { assert, errnoOf } from '../lib/errors.ts';
import { openConsole } from './attach.ts';
import { mergeEnv, withHome } from './bundle.ts';
import { ALL_CAPABILITIES, capabilitySets } from './capabilities.ts';
import { MonitorRefusal, startMonitor, tell, type Monitor } from './conmon.ts';
import type { Program } from './program.ts';
import { processesIn } from './cgroup.ts';
import { familyOf, kinOf, type Kin } from './family.ts';
import type { Console, ExecInput, ExecProcess, ExecTask } from './index.ts';
import type { Machine } from './machine.ts';
import { execArgs, runtimeLog } from './monitor-args.ts';
import { stringifySpec } from './spec-text.ts';
import { identityOf, isAlive, monitorIn, readTaskRecord, type Identity, type Places } from './tasks.ts';
import { resolveUser, type ResolvedUser, type UserFiles } from './users.ts';
import { runtimeError } from './words.ts';

export interface ExecNeeds { kernel: Kernel; clock: Clock; program: Program; conmonPath: string; places: Places; machine: Machine; userFiles(rootfs: string): UserFiles }

/** Told when an exec's conmon was killed: nobody knows how the process ended. */
const EXIT_UNKNOWN = 255;
/** More than conmon has files. */
const MAX_REMOVALS = 20;
/** How often one looks whether an exec of an earlier daemon has ended: nobody waits for its output any more. */
const LOOK_MS = 250;
/** A process that forks while it is killed leaves children for the next pass; one that is frozen, or hangs in the kernel, stays whatever is done. */
const KILL_PASSES = 25;
const KILL_PASS_MS = 20;
const SIGKILL = 9;
/** No process's number, and no one's parent. */
const NOBODY = -1;

export async function startExec(needs: ExecNeeds, input: ExecInput): Promise<ExecTask> {
  const { kernel, places } = needs;
  const bundle = `${places.execs}/${input.execId}`;
  mkdirSync(bundle, { mode: 0o700 });
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rmSync(bundle, { recursive: true, force: true }));
  mkdirSync(`${bundle}/exit`, { mode: 0o700 });
  writeFileSync(`${bundle}/container`, input.containerId);
  const container = parseContainer(readFileSync(`${places.tasks}/${input.containerId}/config.json`, 'utf8'));
  writeFileSync(`${bundle}/process.json`, stringifySpec(processOf(input, container, needs)));

  let console: Console | undefined;
  const monitor = await startMonitor({
    conmonPath: needs.conmonPath, bundle, clock: needs.clock, args: execArgs(input, bundle, needs.program),
    beforeStart: async () => { console = undo.use(openConsole(kernel, `${bundle}/attach`)); },
  }).catch((error: unknown) => {
    throw error instanceof MonitorRefusal ? runtimeError(error.message || textOf(runtimeLog(bundle)) || '', { stage: 'exec', program: input.argv[0] ?? '', runtime: needs.program }) : error;
  });
  assert(console, `conmon started exec ${input.execId} without offering its socket`);
  if (!input.stdin && !input.tty) await console.endInput();
  undo.move();
  const process = execProcess(needs, { bundle, containerId: input.containerId, pid: monitor.pid, exited: exitOf(monitor) });
  // crun sets the size of process.json as well, but now and then it does so on a terminal that conmon has not taken over yet, and it is lost.
  if (input.tty && input.consoleSize) await process.resize(input.consoleSize);
  return { ...process, console };
}

async function exitOf(monitor: Monitor): Promise<number> {
  try { return await monitor.next() ?? EXIT_UNKNOWN; } finally { monitor.release(); }
}

/** undefined when there is no folder of it. */
export function adoptExec(needs: ExecNeeds, execId: string): ExecProcess | undefined {
  const bundle = `${needs.places.execs}/${execId}`;
  const containerId = textOf(`${bundle}/container`);
  if (containerId === undefined) return undefined;
  const exited = new Promise<number>((resolve) => {
    const look = () => {
      const alive = monitorIn(needs.kernel, bundle, execId) !== undefined; // before the look at the file: it is written first
      const code = textOf(`${bundle}/exit/${containerId}`);
      if (code !== undefined || !alive) resolve(code === undefined ? EXIT_UNKNOWN : Number(code));
      else needs.clock.after(LOOK_MS, look);
    };
    look();
  });
  return execProcess(needs, { bundle, containerId, pid: Number(textOf(`${bundle}/pid`) ?? 0), exited });
}

/** Ends every exec that is not named, with what it started, and takes its folder away. */
export async function endExecs(needs: ExecNeeds, but: ReadonlySet<string>): Promise<void> {
  await Promise.all(readdirSync(needs.places.execs).filter((execId) => !but.has(execId)).map(async (execId) => {
    if (monitorIn(needs.kernel, `${needs.places.execs}/${execId}`, execId)) await adoptExec(needs, execId)?.kill();
    removeFolder(`${needs.places.execs}/${execId}`);
  }));
}

function execProcess(needs: ExecNeeds, exec: { bundle: string; containerId: string; pid: number; exited: Promise<number> }): ExecProcess {
  const { kernel } = needs;
  const { bundle, pid } = exec;
  const identity: Identity = identityOf(kernel, pid);
  const session = kinOf(pid)?.session;
  const exited = exec.exited.finally(() => removeFolder(bundle));
  exited.catch(() => {}); // whoever waits is told; nobody has to wait
  return {
    pid, exited,
    // A size that comes after the end has no terminal to change.
    resize: async ({ width, height }) => { await tell(bundle, `1 ${height} ${width}`); },
    signal: async (signal) => { if (isAlive(kernel, identity)) kernel.processes.signal(pid, signal); },
    kill: async () => {
      const cgroupPath = readTaskRecord(`${needs.places.tasks}/${exec.containerId}`)?.cgroupPath;
      for (let pass = 0; pass < KILL_PASSES; pass++) {
        const pids = cgroupPath === undefined ? undefined : processesIn(needs.machine, cgroupPath);
        const kin = (pids ?? [pid]).map(kinOf).filter((one): one is Kin => one !== undefined);
        const left = familyOf({ pid: isAlive(kernel, identity) ? pid : NOBODY, session }, kin);
        if (left.length === 0) return;
        for (const each of left) kernel.processes.signal(each, SIGKILL);
        await needs.clock.sleep(KILL_PASS_MS);
      }
    },
  };
}

function textOf(path: string): string | undefined {
  try { return readFileSync(path, 'utf8').trim(); } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** conmon, which is just ending, takes its own files away: with a file vanishing under it, rmSync gives up in silence. */
function removeFolder(path: string): void {
  for (let tries = 0; tries < MAX_REMOVALS && existsSync(path); tries++) rmSync(path, { recursive: true, force: true });
}

type Json = Readonly<Record<string, unknown>>;
interface ContainerProcess { rootfs: string; process: Json; env: readonly string[]; cwd: string; user: ResolvedUser; bounding: readonly string[] }

/** Everything that is not said anew is as in the container: limits, OOM score, no-new-privileges, environment. */
export function processOf(input: ExecInput, container: ContainerProcess, needs: Pick<ExecNeeds, 'machine' | 'userFiles'>): Json {
  const files = needs.userFiles(container.rootfs);
  const user = input.user === '' ? container.user : resolveUser(input.user, files);
  const granted = input.privileged ? ALL_CAPABILITIES.filter((name) => needs.machine.capabilities.has(name)) : container.bounding;
  // HOME is the user's own unless the container's configuration, which is part of `input.env`, says otherwise.
  const env = withHome(mergeEnv(container.env.filter((entry) => !entry.startsWith('HOME=')), input.env), user.uid, files);
  const { consoleSize: _containers, ...inherited } = container.process;
  return {
    ...inherited,
    terminal: input.tty,
    ...(input.tty && input.consoleSize ? { consoleSize: input.consoleSize } : {}),
    user, args: input.argv,
    env: input.tty && !env.some((entry) => entry.startsWith('TERM=')) ? [...env, 'TERM=xterm'] : env,
    cwd: input.cwd === '' ? container.cwd : input.cwd,
    capabilities: capabilitySets(granted, user.uid),
  };
}

/** Our own config.json, as written by bundle.ts. */
export function parseContainer(text: string): ContainerProcess {
  const spec = JSON.parse(text) as { root: { path: string }; process: Json & { env: string[]; cwd: string; user: ResolvedUser; capabilities: { bounding: string[] } } };
  const { process, root } = spec;
  return { rootfs: root.path, process, env: process.env, cwd: process.cwd, user: process.user, bounding: process.capabilities.bounding };
}
