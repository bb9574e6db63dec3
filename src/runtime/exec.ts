// A further process in a running container: its description from the container's own, and a conmon that holds its stdio.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Kernel } from '../kernel/index.ts';
import type { Clock } from '../lib/clock.ts';
import { assert } from '../lib/errors.ts';
import { openConsole } from './attach.ts';
import { mergeEnv, withHome } from './bundle.ts';
import { ALL_CAPABILITIES, capabilitySets } from './capabilities.ts';
import { MonitorRefusal, startMonitor, tell, type Monitor } from './conmon.ts';
import type { Crun } from './crun.ts';
import type { Console, ExecInput, ExecTask } from './index.ts';
import type { Machine } from './machine.ts';
import { execArgs } from './monitor-args.ts';
import { stringifySpec } from './spec-text.ts';
import { identityOf, isAlive, type Identity, type Places } from './tasks.ts';
import { resolveUser, type ResolvedUser, type UserFiles } from './users.ts';
import { crunError } from './words.ts';

export interface ExecNeeds { kernel: Kernel; clock: Clock; crun: Crun; conmonPath: string; places: Places; machine: Machine; userFiles(rootfs: string): UserFiles }

/** Told when an exec's conmon was killed: nobody knows how the process ended. */
const EXIT_UNKNOWN = 255;
/** More than conmon has files. */
const MAX_REMOVALS = 20;

export async function startExec(needs: ExecNeeds, input: ExecInput): Promise<ExecTask> {
  const { kernel, places } = needs;
  const bundle = `${places.execs}/${input.execId}`;
  mkdirSync(bundle, { mode: 0o700 });
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rmSync(bundle, { recursive: true, force: true }));
  const container = parseContainer(readFileSync(`${places.tasks}/${input.containerId}/config.json`, 'utf8'));
  writeFileSync(`${bundle}/process.json`, stringifySpec(processOf(input, container, needs)));

  let console: Console | undefined;
  const monitor = await startMonitor({
    conmonPath: needs.conmonPath, bundle, clock: needs.clock, args: execArgs(input, bundle, needs.crun),
    beforeStart: async () => { console = undo.use(openConsole(kernel, `${bundle}/attach`)); },
  }).catch((error: unknown) => {
    throw error instanceof MonitorRefusal ? crunError('exec', error.message, input.argv[0] ?? '') : error;
  });
  assert(console, `conmon started exec ${input.execId} without offering its socket`);
  undo.move();
  return execTask({ needs, bundle, monitor, console });
}

function execTask(what: { needs: ExecNeeds; bundle: string; monitor: Monitor; console: Console }): ExecTask {
  const { needs, bundle, monitor, console } = what;
  const identity: Identity = identityOf(needs.kernel, monitor.pid);
  const exited = monitor.next().then((code) => code ?? EXIT_UNKNOWN).finally(() => {
    monitor.release();
    removeFolder(bundle);
  });
  exited.catch(() => {}); // whoever waits is told; nobody has to wait
  return {
    pid: monitor.pid, console, exited,
    // A size that comes after the end has no terminal to change.
    resize: async ({ width, height }) => { await tell(bundle, `1 ${height} ${width}`); },
    signal: async (signal) => { if (isAlive(needs.kernel, identity)) needs.kernel.processes.signal(identity.pid, signal); },
  };
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
