// An exec from its making to its end, whoever asked for it: a client, or a health check; and found again by a later daemon.
import { messageOf } from '../../lib/errors.ts';
import type { ExecProcess, ExecTask } from '../../runtime/index.ts';
import type { ExecCreateBody } from '../../wire/types.ts';
import type { Container } from './container.ts';
import type { Exec } from './exec-table.ts';
import { knownLinks, linkEnvironment } from './links.ts';
import { publish, type ContainerNeeds } from './needs.ts';
import { failureCode } from './start.ts';
import { rethrowUnlessGone } from './stop.ts';

export type ExecNeeds = Pick<ContainerNeeds, 'clock' | 'events' | 'execs' | 'log' | 'runtime' | 'table'>;

/** Told when nobody could say how an exec ended. */
const EXIT_UNKNOWN = 255;
const NOTE = 'exec-';

/** Known from now on, not begun. */
export function makeExec(needs: ExecNeeds, container: Container, what: { body: ExecCreateBody; argv: readonly string[]; probe: boolean }): Exec {
  const exec: Exec = { id: needs.clock.randomHex(32), container, ...what, started: false, process: undefined, exitCode: null, endedAtMs: undefined, waiting: [] };
  needs.execs.add(exec);
  note(needs, exec);
  publish(needs, container, { action: `exec_create: ${spoken(exec.argv)}`, extra: { execID: exec.id } });
  return exec;
}

/** Begins it, once. When that fails it counts as ended, with the code that a shell would give. */
export async function beginExec(needs: ExecNeeds, exec: Exec, options: { consoleSize: { width: number; height: number } | undefined; limitSeconds?: number }): Promise<ExecTask> {
  const { body, container, id } = exec;
  exec.started = true;
  note(needs, exec);
  publish(needs, container, { action: `exec_start: ${spoken(exec.argv)}`, extra: { execID: id } });
  try {
    const task = await needs.runtime.exec({
      containerId: container.id, execId: id, argv: exec.argv,
      env: [...linkEnvironment(knownLinks(needs.table, container), container.name), ...container.record.Config.Env ?? [], ...body.Env ?? []],
      cwd: body.WorkingDir || container.record.Config.WorkingDir || '/',
      user: body.User ?? '', tty: body.Tty ?? false, stdin: body.AttachStdin ?? false, privileged: body.Privileged ?? false, ...options,
    });
    follow(needs, exec, task);
    return task;
  } catch (error) {
    const code = failureCode(messageOf(error));
    end(needs, exec, code === 128 ? 126 : code);
    return await rethrowUnlessGone(needs, container, error);
  }
}

/** After a restart of the daemon: the execs of a container that lives on. Those that ended meanwhile have their code. */
export async function adoptExecs(needs: ExecNeeds, container: Container): Promise<void> {
  for (const [name, text] of needs.runtime.notes(container.id)) {
    if (!name.startsWith(NOTE)) continue;
    const kept = parseNote(text);
    if (!kept) {
      needs.log.warn('what was known of an exec cannot be read', { container: container.id, exec: name.slice(NOTE.length) });
      continue;
    }
    const exec: Exec = { id: name.slice(NOTE.length), container, probe: false, process: undefined, waiting: [], ...kept, endedAtMs: kept.exitCode === null ? undefined : needs.clock.monotonicMs() };
    needs.execs.add(exec);
    if (!exec.started || exec.exitCode !== null) continue;
    const found = await needs.runtime.adoptExec(exec.id);
    if (found) follow(needs, exec, found);
    else end(needs, exec, EXIT_UNKNOWN);
  }
}

/** Takes away what is kept of one whose time is over. */
export function forgetNote({ runtime }: Pick<ExecNeeds, 'runtime'>, exec: Exec): void {
  runtime.saveNote(exec.container.id, { name: `${NOTE}${exec.id}`, text: '' });
}

function follow(needs: ExecNeeds, exec: Exec, process: ExecProcess): void {
  exec.process = process;
  for (const tell of exec.waiting.splice(0)) tell();
  const over = (code: number) => {
    end(needs, exec, code);
    publish(needs, exec.container, { action: 'exec_die', extra: { execID: exec.id, exitCode: String(code) } });
  };
  process.exited.then(over, (error: unknown) => {
    needs.log.warn('exec ended without an exit code', { exec: exec.id, error });
    over(EXIT_UNKNOWN);
  });
}

function end(needs: ExecNeeds, exec: Exec, exitCode: number): void {
  needs.execs.end(exec, { exitCode, now: needs.clock.monotonicMs() });
  if (needs.execs.find(exec.id, needs.clock.monotonicMs()) === exec) note(needs, exec);
}

/** As Docker's events have it: a program without words still has the space behind it. */
const spoken = ([program = '', ...words]: readonly string[]) => `${program} ${words.join(' ')}`;

interface Note { body: ExecCreateBody; argv: readonly string[]; started: boolean; exitCode: number | null }

/** A health check's is of no use to a later daemon, which ends it. */
function note(needs: ExecNeeds, exec: Exec): void {
  const { body, argv, started, exitCode } = exec;
  if (!exec.probe) needs.runtime.saveNote(exec.container.id, { name: `${NOTE}${exec.id}`, text: JSON.stringify({ body, argv, started, exitCode } satisfies Note) });
}

function parseNote(text: string): Note | undefined {
  try {
    const value = JSON.parse(text) as Partial<Note>;
    const { argv, body, exitCode, started } = value;
    return Array.isArray(argv) && typeof body === 'object' && typeof started === 'boolean' && (exitCode === null || typeof exitCode === 'number') ? { argv, body, started, exitCode } : undefined;
  } catch { return undefined; }
}
