// logs: what a container has written, and what it writes.
import { containerPath, type Command } from '../command.ts';
import { messageOf } from '../../lib/errors.ts';
import { Failure } from '../failure.ts';
import { flag } from '../flags.ts';
import { copyOutput } from '../streams.ts';
import { parseTimestamp } from '../time.ts';

export const logs: Command = {
  name: 'logs', usage: '[OPTIONS] CONTAINER', short: 'Fetch the logs of a container', args: { min: 1, max: 1 },
  flags: [
    flag('details', 'bool', 'Show the attributes given to the log driver'),
    flag('f, follow', 'bool', 'Follow log output'),
    flag('since', 'string', 'Begin at a time (2013-01-02T13:23:37Z) or so long ago (42m)'),
    flag('n, tail', 'string', 'How many lines from the end to begin with', { value: 'all' }),
    flag('t, timestamps', 'bool', 'Show timestamps'),
    flag('until', 'string', 'End at a time (2013-01-02T13:23:37Z) or so long ago (42m)'),
  ],
  run: async ({ args: [name = ''], flags, client, io }) => {
    const container = await client.json<{ Id: string; Config: { Tty: boolean } }>('GET', containerPath(name, '/json'), { missing: { object: 'container', name } });
    const time = (which: string) => {
      try {
        return flags.text(which) === '' ? undefined : parseTimestamp(flags.text(which), io.clock.now());
      } catch (error) {
        throw new Failure(`invalid value for "${which}": ${messageOf(error)}`);
      }
    };
    const stream = await client.stream('GET', containerPath(container.Id, '/logs'), { query: {
      details: flags.bool('details') || undefined,
      follow: flags.bool('follow') || undefined,
      since: time('since'),
      stderr: true,
      stdout: true,
      tail: flags.text('tail'),
      timestamps: flags.bool('timestamps') || undefined,
      until: time('until'),
    } });
    await copyOutput(stream, { io, tty: container.Config.Tty });
  },
};
