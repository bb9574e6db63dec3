// The words that do one thing to each container named and print its name: stop, restart, kill, pause, unpause, wait, rename, rm.
import { containerPath, forEachArgument, print, warn, type Call, type Command } from '../command.ts';
import { Failure, Missing } from '../failure.ts';
import { flag } from '../flags.ts';

const MANY = 'CONTAINER [CONTAINER...]';

const TIME = 'Seconds to wait for the container to stop before it is killed (default 10)';

export const stop: Command = {
  name: 'stop', usage: `[OPTIONS] ${MANY}`, short: 'Stop one or more running containers', args: { min: 1 },
  flags: [flag('t, time', 'int', TIME)],
  run: (call) => forEachArgument(call, async (name) => {
    await call.client.text('POST', containerPath(name, '/stop'), { query: { t: call.flags.given('time') ? call.flags.number('time') : undefined } });
    print(call, name);
  }),
};

export const restart: Command = {
  name: 'restart', usage: `[OPTIONS] ${MANY}`, short: 'Restart one or more containers', args: { min: 1 },
  flags: [flag('t, time', 'int', TIME)],
  run: (call) => forEachArgument(call, async (name) => {
    await call.client.text('POST', containerPath(name, '/restart'), { query: { t: call.flags.given('time') ? call.flags.number('time') : undefined } });
    print(call, name);
  }),
};

export const kill: Command = {
  name: 'kill', usage: `[OPTIONS] ${MANY}`, short: 'Kill one or more running containers', args: { min: 1 },
  flags: [flag('s, signal', 'string', 'Signal to send to the container', { value: 'KILL' })],
  run: (call) => forEachArgument(call, async (name) => {
    await call.client.text('POST', containerPath(name, '/kill'), { query: { signal: call.flags.text('signal') } });
    print(call, name);
  }),
};

const simple = (name: 'pause' | 'unpause', short: string): Command => ({
  name, usage: MANY, short, args: { min: 1 }, flags: [],
  run: (call) => forEachArgument(call, async (container) => {
    await call.client.text('POST', containerPath(container, `/${name}`));
    print(call, container);
  }),
});

export const pause = simple('pause', 'Pause all processes within one or more containers');
export const unpause = simple('unpause', 'Unpause all processes within one or more containers');

export const wait: Command = {
  name: 'wait', usage: MANY, short: 'Block until one or more containers stop, then print their exit codes', args: { min: 1 }, flags: [],
  run: (call) => forEachArgument(call, async (name) => {
    const answer = await call.client.json<{ StatusCode: number; Error?: { Message: string } | null }>('POST', containerPath(name, '/wait'), { query: { condition: 'not-running' } });
    if (answer.Error) throw new Error(answer.Error.Message);
    print(call, String(answer.StatusCode));
  }),
};

export const rename: Command = {
  name: 'rename', usage: 'CONTAINER NEW_NAME', short: 'Rename a container', args: { min: 2, max: 2 }, flags: [],
  run: async (call) => {
    const [from = '', to = ''] = call.args.map((name) => name.trim());
    if (from === '' || to === '') throw new Failure('Error: Neither old nor new names may be empty');
    try {
      await call.client.text('POST', containerPath(from, '/rename'), { query: { name: to } });
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw new Failure(`${(error as Error).message}\nError: failed to rename container named ${from}`);
    }
  },
};

export const rm: Command = {
  name: 'rm', usage: `[OPTIONS] ${MANY}`, short: 'Remove one or more containers', args: { min: 1 },
  flags: [
    flag('f, force', 'bool', 'Remove a running container too, by SIGKILL'),
    flag('l, link', 'bool', 'Remove the link of that name, not the container'),
    flag('v, volumes', 'bool', 'Remove the container\'s anonymous volumes as well'),
  ],
  run: removeContainers,
};

async function removeContainers(call: Call): Promise<void> {
  const { flags, client } = call;
  const query = { v: flags.bool('volumes') || undefined, link: flags.bool('link') || undefined, force: flags.bool('force') || undefined };
  await forEachArgument(call, async (typed) => {
    const name = typed.replace(/^\/+|\/+$/g, '');
    if (name === '') throw new Error('Container name cannot be empty');
    try {
      await client.text('DELETE', containerPath(name), { query, missing: { object: 'container', name } });
    } catch (error) {
      // Forced removal has what it wants when there is nothing.
      if (!(error instanceof Missing && flags.bool('force'))) throw error;
      return warn(call, error.message);
    }
    print(call, typed);
  });
}
