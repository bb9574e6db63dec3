// exec: what clients ask of further processes in a running container.
import { conflict, EngineError, invalid, messageOf, notFound } from '../../lib/errors.ts';
import type { ExecTask } from '../../runtime/index.ts';
import type { ExecCreateBody } from '../../wire/types.ts';
import type { AttachSession, ExecsFace, ExecView } from '../index.ts';
import type { Container } from './container.ts';
import { DetachKeys, parseDetachKeys } from './detach.ts';
import { beginExec, makeExec } from './exec-run.ts';
import type { Exec } from './exec-table.ts';
import { publish, type ContainerNeeds } from './needs.ts';

/** Docker's: a client tells the size of its terminal while the exec is still being begun. */
const RESIZE_WAIT_MS = 10_000;

type Size = { width: number; height: number };

export function openExecs(needs: ContainerNeeds): ExecsFace {
  const find = (id: string): Exec => {
    const exec = needs.execs.find(id, needs.clock.monotonicMs());
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
      return { id: makeExec(needs, container, { body, argv, probe: false }).id };
    },
    inspect: async (id) => viewOf(needs, find(id)),
    async start(id, { detach, tty, consoleSize }) {
      const exec = find(id);
      assertRunning(exec.container, exec.container.id);
      const begin = async () => {
        if (exec.started) throw conflict(`Error: Exec command ${id} ${exec.endedAtMs === undefined ? 'is already running' : 'has already run'}`);
        return await beginExec(needs, exec, { consoleSize: consoleSize ?? sizeOf(exec.body) });
      };
      if (!detach) return new ExecSession(needs, { exec, begin, tty });
      void drain(await begin());
      return undefined;
    },
    resize: (id, size) => resize(needs, find(id), size),
  };
}

function sizeOf(body: ExecCreateBody): Size | undefined {
  return body.ConsoleSize ? { height: body.ConsoleSize[0], width: body.ConsoleSize[1] } : undefined;
}

function assertRunning(container: Container, word: string): void {
  const { status } = container.state;
  if (status === 'paused') throw conflict(`Container ${word} is paused, unpause the container before exec`);
  if (status === 'restarting') throw conflict(`Container ${container.id} is restarting, wait until the container is running`);
  if (status !== 'running') throw conflict(`Container ${container.id} is not running`);
}

async function resize(needs: ContainerNeeds, exec: Exec, size: Size): Promise<void> {
  assertRunning(exec.container, exec.container.id);
  if (exec.process === undefined && exec.endedAtMs === undefined) {
    const begun = Promise.withResolvers<void>();
    exec.waiting.push(begun.resolve);
    using _limit = needs.clock.after(RESIZE_WAIT_MS, begun.resolve);
    await begun.promise;
    if (exec.process === undefined && exec.endedAtMs === undefined) throw new EngineError('system', 'timeout waiting for exec session ready');
  }
  if (exec.process === undefined || exec.endedAtMs !== undefined) throw notFound('no such exec');
  await exec.process.resize(size);
}

/** A detached exec's output goes nowhere, but must be read, or the program would wait for ever. */
async function drain(task: ExecTask): Promise<void> {
  await using console = task.console;
  try {
    await console.endInput();
    for await (const part of console.output) void part;
  } catch { /* it ended: its exit code tells */ }
}

/**
 * The program is begun when its output is asked for, which is after the head of the answer has been sent: docker-py, among others, loses
 * what comes together with the head.
 */
class ExecSession implements AttachSession {
  /** Of the client, as it said when it began: it may take raw bytes of what has no terminal, and frames of what has one. */
  readonly tty: boolean;
  readonly output: AttachSession['output'];
  readonly #needs: ContainerNeeds;
  readonly #exec: Exec;
  readonly #begin: () => Promise<ExecTask>;
  readonly #keys: DetachKeys;
  #begun: Promise<ExecTask> | undefined;

  constructor(needs: ContainerNeeds, { exec, begin, tty }: { exec: Exec; begin: () => Promise<ExecTask>; tty: boolean }) {
    this.#needs = needs;
    this.#exec = exec;
    this.#begin = begin;
    this.#keys = DetachKeys.of(exec.body.DetachKeys || undefined, exec.body.Tty ?? false);
    this.tty = tty;
    this.output = this.#produce();
  }

  async input(bytes: Uint8Array): Promise<'ok' | 'detached'> {
    const { console } = await this.#task();
    const { pass, detached } = this.#keys.scan(bytes);
    if (pass.length > 0 && this.#exec.body.AttachStdin) await console.write(pass);
    if (!detached) return 'ok';
    publish(this.#needs, this.#exec.container, { action: 'exec_detach', extra: { execID: this.#exec.id } });
    await console[Symbol.asyncDispose]();
    return 'detached';
  }

  async endInput(): Promise<void> {
    const { console } = await this.#task();
    if (this.#exec.body.AttachStdin) await console.endInput();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const task = await this.#begun?.catch(() => undefined); // without a task there is nothing to let go
    await task?.console[Symbol.asyncDispose]();
  }

  #task(): Promise<ExecTask> { return this.#begun ??= this.#begin(); }

  /** Ends only after the exit code is known: a client asks for it as soon as the stream closes. */
  async *#produce(): AsyncGenerator<{ stream: 'stdout' | 'stderr'; bytes: Uint8Array }> {
    const { AttachStdout: stdout, AttachStderr: stderr, Tty: terminal } = this.#exec.body;
    const task = await this.#task().catch((error: unknown) => messageOf(error));
    if (typeof task === 'string') {
      // By now the client reads a stream: what went wrong stands there as output, as Docker has it, and the exit code in inspect.
      yield { stream: 'stdout', bytes: new TextEncoder().encode(`${task}\r\n`) };
      return;
    }
    for await (const part of task.console.output) if (terminal || (part.stream === 'stdout' ? stdout : stderr)) yield part;
    await task.exited.catch(() => undefined);
  }
}

function viewOf(needs: ContainerNeeds, exec: Exec): ExecView {
  const { body } = exec;
  return {
    id: exec.id, containerId: exec.container.id, running: exec.process !== undefined && exec.endedAtMs === undefined, exitCode: exec.exitCode, pid: exec.process?.pid ?? 0,
    openStdin: body.AttachStdin ?? false, openStdout: body.AttachStdout ?? false, openStderr: body.AttachStderr ?? false,
    canRemove: needs.execs.isMarked(exec, needs.clock.monotonicMs()), detachKeys: Buffer.from(body.DetachKeys ? parseDetachKeys(body.DetachKeys) : []).toString('base64'), // as Go writes bytes
    process: { tty: body.Tty ?? false, entrypoint: exec.argv[0] ?? '', arguments: exec.argv.slice(1), privileged: body.Privileged ?? false, user: body.User ?? '' },
  };
}
