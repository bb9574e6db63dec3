// exec: further processes in a running container.
import type { Clock } from '../../lib/clock.ts';
import { conflict, invalid, messageOf, notFound } from '../../lib/errors.ts';
import type { ExecTask } from '../../runtime/index.ts';
import type { ExecCreateBody } from '../../wire/types.ts';
import type { AttachSession, ExecsFace, ExecView } from '../index.ts';
import type { Container } from './container.ts';
import { DetachKeys } from './detach.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { failureCode } from './start.ts';
import { rethrowUnlessGone } from './stop.ts';

/** An ended exec can be inspected for so long; Docker too forgets them after a few minutes. */
const KEEP_ENDED_MS = 300_000;

interface Exec {
  id: string;
  container: Container;
  body: ExecCreateBody;
  argv: readonly string[];
  started: boolean;
  task: ExecTask | undefined;
  exitCode: number | null;
}

export function openExecs(needs: ContainerNeeds): ExecsFace {
  const execs = new Map<string, Exec>();
  const find = (id: string): Exec => {
    const exec = execs.get(id);
    if (!exec) throw notFound(`No such exec instance: ${id}`);
    return exec;
  };
  return {
    async create(containerName, body) {
      const container = needs.table.find(containerName);
      assertRunning(container, containerName);
      const argv = body.Cmd ?? [];
      if (argv.length === 0) throw invalid('No exec command specified');
      new DetachKeys(body.DetachKeys);
      for (const [id, old] of execs) if (!old.started && !old.container.execIds.has(id)) execs.delete(id); // its container ended before it began
      const exec: Exec = { id: newId(needs.clock), container, body, argv, started: false, task: undefined, exitCode: null };
      execs.set(exec.id, exec);
      container.execIds.add(exec.id);
      publish(needs, container, { action: `exec_create: ${spoken(argv)}`, extra: { execID: exec.id } });
      return { id: exec.id };
    },
    inspect: async (id) => viewOf(find(id)),
    async start(id, options) {
      const exec = find(id);
      if (exec.started) throw conflict(`Error: Exec command ${id} has already run`);
      assertRunning(exec.container, exec.container.id);
      exec.started = true;
      publish(needs, exec.container, { action: `exec_start: ${spoken(exec.argv)}`, extra: { execID: id } });
      const task = await begin(needs, exec, options.consoleSize ?? sizeOf(exec.body)).catch((error: unknown) => {
        forget(needs, execs, exec);
        if (options.detach) throw error;
        return refusal(exec, error);
      });
      if (!('exited' in task)) return task;
      task.exited.then((code) => ended(needs, { execs, exec, code }), (error: unknown) => {
        needs.log.warn('exec ended without an exit code', { exec: id, error });
        ended(needs, { execs, exec, code: 255 });
      });
      if (!options.detach) return new ExecSession(exec, task);
      void drain(task);
      return undefined;
    },
    async resize(id, size) {
      const exec = find(id);
      if (!exec.task || exec.exitCode !== null) throw conflict(`exec ${id} is not running`);
      await exec.task.resize(size);
    },
  };
}

/** As Docker's events have it: a program without words still has the space behind it. */
const spoken = ([program = '', ...words]: readonly string[]) => `${program} ${words.join(' ')}`;

const newId = (clock: Clock) => clock.randomHex(32);

function sizeOf(body: ExecCreateBody): { width: number; height: number } | undefined {
  return body.ConsoleSize ? { height: body.ConsoleSize[0], width: body.ConsoleSize[1] } : undefined;
}

function assertRunning(container: Container, word: string): void {
  const { status } = container.state;
  if (status === 'paused') throw conflict(`Container ${word} is paused, unpause the container before exec`);
  if (status === 'restarting') throw conflict(`Container ${container.id} is restarting, wait until the container is running`);
  if (status !== 'running') throw conflict(`Container ${container.id} is not running`);
}

async function begin(needs: ContainerNeeds, exec: Exec, consoleSize: { width: number; height: number } | undefined): Promise<ExecTask> {
  const { body, container } = exec;
  try {
    exec.task = await needs.runtime.exec({
      containerId: container.id, execId: exec.id, argv: exec.argv,
      env: [...container.record.Config.Env ?? [], ...body.Env ?? []],
      cwd: body.WorkingDir || container.record.Config.WorkingDir || '/',
      user: body.User ?? '', tty: body.Tty ?? false, stdin: body.AttachStdin ?? false, privileged: body.Privileged ?? false, consoleSize,
    });
    return exec.task;
  } catch (error) {
    exec.exitCode = failureCode(messageOf(error)) === 128 ? 126 : failureCode(messageOf(error));
    return await rethrowUnlessGone(needs, container, error);
  }
}

/** By now the client reads a stream: what went wrong stands there as output, as Docker has it, and the exit code in inspect. */
function refusal(exec: Exec, error: unknown): AttachSession {
  async function* output(): AsyncGenerator<{ stream: 'stdout'; bytes: Uint8Array }> { yield { stream: 'stdout', bytes: new TextEncoder().encode(`${messageOf(error)}\r\n`) }; }
  return { tty: exec.body.Tty ?? false, output: output(), input: async () => 'ok', endInput: async () => {}, [Symbol.asyncDispose]: async () => {} };
}

function ended(needs: ContainerNeeds, what: { execs: Map<string, Exec>; exec: Exec; code: number }): void {
  const { exec, execs, code } = what;
  exec.exitCode = code;
  publish(needs, exec.container, { action: 'exec_die', extra: { execID: exec.id, exitCode: String(code) } });
  forget(needs, execs, exec);
}

function forget(needs: ContainerNeeds, execs: Map<string, Exec>, exec: Exec): void {
  exec.container.execIds.delete(exec.id);
  needs.clock.after(KEEP_ENDED_MS, () => execs.delete(exec.id));
}

/** A detached exec's output goes nowhere, but must be read, or the program would wait for ever. */
async function drain(task: ExecTask): Promise<void> {
  await using console = task.console;
  try {
    await console.endInput();
    for await (const part of console.output) void part;
  } catch { /* it ended: its exit code tells */ }
}

class ExecSession implements AttachSession {
  readonly tty: boolean;
  readonly output: AttachSession['output'];
  readonly #exec: Exec;
  readonly #task: ExecTask;
  readonly #keys: DetachKeys;

  constructor(exec: Exec, task: ExecTask) {
    this.#exec = exec;
    this.#task = task;
    this.#keys = DetachKeys.of(exec.body.DetachKeys || undefined, exec.body.Tty ?? false);
    this.tty = exec.body.Tty ?? false;
    this.output = this.#produce();
  }

  async input(bytes: Uint8Array): Promise<'ok' | 'detached'> {
    const { pass, detached } = this.#keys.scan(bytes);
    if (pass.length > 0 && this.#exec.body.AttachStdin) await this.#task.console.write(pass);
    if (detached) await this.#task.console[Symbol.asyncDispose]();
    return detached ? 'detached' : 'ok';
  }

  async endInput(): Promise<void> { if (this.#exec.body.AttachStdin) await this.#task.console.endInput(); }

  async [Symbol.asyncDispose](): Promise<void> { await this.#task.console[Symbol.asyncDispose](); }

  /** Ends only after the exit code is known: a client asks for it as soon as the stream closes. */
  async *#produce(): AsyncGenerator<{ stream: 'stdout' | 'stderr'; bytes: Uint8Array }> {
    const { AttachStdout: stdout, AttachStderr: stderr } = this.#exec.body;
    for await (const part of this.#task.console.output) if (this.tty || (part.stream === 'stdout' ? stdout : stderr)) yield part;
    await this.#task.exited.catch(() => undefined);
  }
}

function viewOf(exec: Exec): ExecView {
  const { body } = exec;
  return {
    id: exec.id, containerId: exec.container.id, running: exec.task !== undefined && exec.exitCode === null, exitCode: exec.exitCode, pid: exec.task?.pid ?? 0,
    openStdin: body.AttachStdin ?? false, openStdout: body.AttachStdout ?? false, openStderr: body.AttachStderr ?? false,
    canRemove: exec.exitCode !== null, detachKeys: body.DetachKeys ?? '',
    process: { tty: body.Tty ?? false, entrypoint: exec.argv[0] ?? '', arguments: exec.argv.slice(1), privileged: body.Privileged ?? false, user: body.User ?? '' },
  };
}
