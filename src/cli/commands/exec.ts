// exec: a further process in a running container.
import type { ExecCreateBody } from '../../wire/types.ts';
import { containerPath, type Call, type Command } from '../command.ts';
import { readConfig } from '../config.ts';
import { Failure } from '../failure.ts';
import { flag } from '../flags.ts';
import { environment } from '../flags-run.ts';
import { variable } from '../run-flags.ts';
import { runSession } from '../streams.ts';
import { followSize } from '../terminal.ts';

export const exec: Command = {
  name: 'exec', usage: '[OPTIONS] CONTAINER COMMAND [ARG...]', short: 'Run a command in a running container', args: { min: 2 }, flagsFirst: true,
  flags: [
    flag('d, detach', 'bool', 'Leave the command in the background'),
    flag('detach-keys', 'string', 'Keys that let go of the command'),
    flag('e, env', 'list', 'Set environment variables', { check: variable }),
    flag('env-file', 'list', 'Read environment variables from a file'),
    flag('i, interactive', 'bool', 'Keep STDIN open even if not attached'),
    flag('privileged', 'bool', 'Give the command every privilege'),
    flag('t, tty', 'bool', 'Give the command a terminal'),
    flag('u, user', 'string', 'User to run as (<name|uid>[:<group|gid>])'),
    flag('w, workdir', 'string', 'Working directory inside the container'),
  ],
  run: runExec,
};

async function runExec(call: Call): Promise<number> {
  const { flags, client, io, args: [name = '', ...command] } = call;
  const detach = flags.bool('detach');
  const tty = flags.bool('tty');
  const stdin = !detach && flags.bool('interactive');
  const detachKeys = flags.text('detach-keys') || (await readConfig(call)).detachKeys || '';
  const env = await environment(flags, io);
  const body: ExecCreateBody = {
    User: flags.text('user'),
    Privileged: flags.bool('privileged'),
    Tty: tty,
    AttachStdin: stdin,
    AttachStderr: !detach,
    AttachStdout: !detach,
    DetachKeys: detachKeys,
    Env: env.length === 0 ? null : env,
    WorkingDir: flags.text('workdir'),
    Cmd: command,
  };
  // Looked up first, so that a wrong name is reported by name and not as a failed exec.
  await client.text('GET', containerPath(name, '/json'), { missing: { object: 'container', name } });
  if (stdin && tty && !io.stdin.isTTY) throw new Failure('the input device is not a TTY');
  const { Id: id } = await client.json<{ Id: string }>('POST', containerPath(name, '/exec'), { body });
  if (id === '') throw new Failure('exec ID empty');
  if (detach) {
    await client.text('POST', `/exec/${id}/start`, { body: { Detach: true, Tty: tty } });
    return 0;
  }
  const connection = await client.hijack(`/exec/${id}/start`, { body: { Detach: false, Tty: tty } });
  using _size = tty && io.stdin.isTTY ? followSize(client, io, `/exec/${id}`) : undefined;
  await runSession({ io, connection, tty, stdin, detachKeys });
  return exitCode(call, id);
}

async function exitCode(call: Call, id: string): Promise<number> {
  const { ExitCode } = await call.client.json<{ ExitCode: number | null }>('GET', `/exec/${id}/json`);
  return ExitCode ?? 0;
}
