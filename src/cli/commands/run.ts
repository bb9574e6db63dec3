// run: create, attach, wait, start, in this order, so that neither the first output nor a quick exit is missed.
import { containerPath, print, type Call, type Command } from '../command.ts';
import { EXIT_USAGE, Failure } from '../failure.ts';
import { runOnlyFlags, containerFlags } from '../run-flags.ts';
import type { CreateBody } from '../../wire/types.ts';
import { attachTo } from '../flags-run.ts';
import { runSession } from '../streams.ts';
import { Detached, followSize, proxySignals } from '../terminal.ts';
import { readConfig } from '../config.ts';
import { bodyOf, createContainer, helpFor, sentence } from './create.ts';
import { waitFor } from './wait-exit.ts';

const EXIT_CANNOT_RUN = 126;
const EXIT_NOT_FOUND = 127;

export const run: Command = {
  name: 'run', usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]', short: 'Run a command in a new container', args: { min: 1 },
  flags: [...containerFlags, ...runOnlyFlags], flagsFirst: true,
  run: runContainer,
};

/** Told at the creation, the terminal has its size before the program can ask; a resize after the start would come too late for that. */
function withConsoleSize(body: CreateBody, { flags, io }: Call): CreateBody {
  const size = flags.bool('tty') && io.stdout.isTTY ? io.size() : undefined;
  return size ? { ...body, HostConfig: { ...body.HostConfig, ConsoleSize: [size.rows, size.columns] } } : body;
}

async function runContainer(call: Call): Promise<number> {
  const { flags, client, io } = call;
  const body = withConsoleSize(await bodyOf(call), call);
  const detached = flags.bool('detach');
  if (detached && flags.given('attach')) throw new Failure('Conflicting options: -a and -d');
  const attach = attachTo(flags);
  if (attach.has('stdin') && flags.bool('tty') && !io.stdin.isTTY) throw new Failure('the input device is not a TTY');
  const id = await created(call, () => createContainer(call, body));
  using _signals = !detached && flags.bool('sig-proxy') && !flags.bool('tty') ? proxySignals(client, io, id) : undefined;
  // Before the start: when that fails, the container is there, and this is how to find it.
  const unheard = !attach.has('stdout') && !attach.has('stderr');
  if (unheard) print(call, id);
  if (attach.size === 0) {
    await started(call, id);
    return 0;
  }
  const detachKeys = flags.text('detach-keys') || (await readConfig(call)).detachKeys || '';
  const connection = await created(call, () => client.hijack(containerPath(id, '/attach'), { query: {
    detachKeys: detachKeys || undefined, stderr: attach.has('stderr') || undefined, stdin: attach.has('stdin') || undefined, stdout: attach.has('stdout') || undefined, stream: true,
  } }));
  const exit = await waitFor(client, id, flags.bool('rm') ? 'removed' : 'next-exit');
  const session = runSession({ io, connection, tty: flags.bool('tty'), stdin: attach.has('stdin'), stdout: attach.has('stdout'), stderr: attach.has('stderr'), detachKeys });
  session.catch(() => {}); // awaited below; until then a failed start is the news
  try {
    await started(call, id);
  } catch (error) {
    connection.destroy();
    await session.catch(() => {});
    // Its removal is part of the failure: whoever calls again at once must not meet the name.
    if (flags.bool('rm')) await exit.code.catch(() => {});
    throw error;
  }
  using _size = flags.bool('tty') && io.stdout.isTTY ? followSize(client, io, containerPath(id)) : undefined;
  try {
    await session;
  } catch (error) {
    if (error instanceof Detached) return 0;
    throw error;
  }
  if (unheard) return 0; // its input was delivered: nobody asked how it ends
  // Awaited here: signals are passed on until the container is gone, not until its output is.
  return await exit.code;
}

/** A refusal before the start: 125, or what it says about the command, and where to read about it. */
async function created<T>(call: Call, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new Failure(sentence((error as Error).message, helpFor(call)), exitCodeOf((error as Error).message));
  }
}

async function started(call: Call, id: string): Promise<void> {
  try {
    await call.client.text('POST', containerPath(id, '/start'), { query: { detachKeys: undefined } });
  } catch (error) {
    throw new Failure(sentence((error as Error).message), exitCodeOf((error as Error).message));
  }
}

/** The shell's codes: 127 for what is not there, 126 for what may not be run, 125 for everything else. */
function exitCodeOf(message: string): number {
  const reason = message.replace(/^Error response from daemon: /, '');
  if (/executable file not found|no such file or directory|system cannot find the file specified/.test(reason)) return EXIT_NOT_FOUND;
  return reason.includes('permission denied') ? EXIT_CANNOT_RUN : EXIT_USAGE;
}
