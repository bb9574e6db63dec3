// start and attach: containers that exist already, in the background or with our streams on them.
import { containerPath, print, warn, type Call, type Command } from '../command.ts';
import { readConfig } from '../config.ts';
import { Failure } from '../failure.ts';
import { flag } from '../flags.ts';
import { runSession } from '../streams.ts';
import { Detached, followSize, proxySignals } from '../terminal.ts';
import { waitFor } from './wait-exit.ts';

interface Inspected {
  Id: string;
  State: { Running: boolean; Paused: boolean; Restarting: boolean };
  Config: { Tty: boolean; OpenStdin: boolean };
  HostConfig: { AutoRemove: boolean };
}

export const start: Command = {
  name: 'start', usage: '[OPTIONS] CONTAINER [CONTAINER...]', short: 'Start one or more stopped containers', args: { min: 1 },
  flags: [
    flag('a, attach', 'bool', 'Show its output and pass signals on'),
    flag('detach-keys', 'string', 'Keys that let go of the container'),
    flag('i, interactive', 'bool', 'Attach the container\'s STDIN'),
  ],
  run: (call) => (call.flags.bool('attach') || call.flags.bool('interactive') ? startAttached(call) : startAll(call)),
};

export const attach: Command = {
  name: 'attach', usage: '[OPTIONS] CONTAINER', short: 'Attach our input and output to a running container', args: { min: 1, max: 1 },
  flags: [
    flag('detach-keys', 'string', 'Keys that let go of the container'),
    flag('no-stdin', 'bool', 'Do not attach STDIN'),
    flag('sig-proxy', 'bool', 'Pass signals on to the container', { value: 'true' }),
  ],
  run: runAttach,
};

async function startAll(call: Call): Promise<void> {
  const failed: string[] = [];
  for (const name of call.args) {
    try {
      await call.client.text('POST', containerPath(name, '/start'));
      print(call, name);
    } catch (error) {
      warn(call, (error as Error).message);
      failed.push(name);
    }
  }
  if (failed.length > 0) throw new Failure(`Error: failed to start containers: ${failed.join(', ')}`);
}

const inspect = (call: Call, name: string): Promise<Inspected> =>
  call.client.json<Inspected>('GET', containerPath(name, '/json'), { missing: { object: 'container', name } });

async function startAttached(call: Call): Promise<number> {
  const { client, io, flags } = call;
  if (call.args.length > 1) throw new Failure('you cannot start and attach multiple containers at once');
  const container = await inspect(call, call.args[0] ?? '');
  const { Tty: tty, OpenStdin } = container.Config;
  using _signals = tty ? undefined : proxySignals(client, io, container.Id);
  const stdin = flags.bool('interactive') && OpenStdin;
  if (stdin && tty && !io.stdin.isTTY) throw new Failure('the input device is not a TTY');
  const { connection, detachKeys } = await attachTo(call, container.Id, stdin);
  const exit = await waitFor(client, container.Id, container.HostConfig.AutoRemove ? 'removed' : 'next-exit');
  const session = runSession({ io, connection, tty, stdin, detachKeys });
  session.catch(() => {});
  try {
    await client.text('POST', containerPath(container.Id, '/start'));
  } catch (error) {
    connection.destroy();
    await session.catch(() => {});
    throw error;
  }
  using _size = tty && io.stdout.isTTY ? followSize(client, io, containerPath(container.Id)) : undefined;
  try {
    await session;
  } catch (error) {
    if (error instanceof Detached) return 0;
    throw error;
  }
  return await exit.code;
}

async function runAttach(call: Call): Promise<number> {
  const { client, io, flags, args: [name = ''] } = call;
  const container = await inspect(call, name);
  if (!container.State.Running) throw new Failure('You cannot attach to a stopped container, start it first');
  if (container.State.Paused) throw new Failure('You cannot attach to a paused container, unpause it first');
  if (container.State.Restarting) throw new Failure('You cannot attach to a restarting container, wait until it is running');
  const { Tty: tty, OpenStdin } = container.Config;
  const stdin = !flags.bool('no-stdin') && OpenStdin;
  if (stdin && tty && !io.stdin.isTTY) throw new Failure('the input device is not a TTY');
  // Asked before attaching: an exit in between would be waited for forever.
  const exit = await waitFor(client, container.Id, 'next-exit');
  using _signals = flags.bool('sig-proxy') && !tty ? proxySignals(client, io, container.Id) : undefined;
  const { connection, detachKeys } = await attachTo(call, container.Id, stdin);
  using _size = tty && io.stdout.isTTY ? followSize(client, io, containerPath(container.Id)) : undefined;
  await runSession({ io, connection, tty, stdin, detachKeys });
  return await exit.code;
}

async function attachTo(call: Call, id: string, stdin: boolean) {
  const detachKeys = call.flags.text('detach-keys') || (await readConfig(call)).detachKeys || '';
  const connection = await call.client.hijack(containerPath(id, '/attach'), {
    query: { detachKeys: detachKeys || undefined, stderr: true, stdin: stdin || undefined, stdout: true, stream: true },
  });
  return { connection, detachKeys };
}
