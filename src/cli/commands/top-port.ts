// top and port: the processes of a container, and where its ports are published.
import type { PortBinding } from '../../wire/types.ts';
import { containerPath, print, type Command } from '../command.ts';
import { Failure } from '../failure.ts';
import { alignTabs } from '../table.ts';

/** Least width of a column of ps. */
const TOP_COLUMN = 20;

export const top: Command = {
  name: 'top', usage: 'CONTAINER [ps OPTIONS]', short: 'Display the running processes of a container', args: { min: 1 }, flags: [], flagsFirst: true,
  run: async ({ args: [name = '', ...options], client, io }) => {
    const answer = await client.json<{ Titles: string[]; Processes: string[][] | null }>('GET', containerPath(name, '/top'), { query: { ps_args: options.length === 0 ? undefined : options.join(' ') } });
    const lines = [answer.Titles, ...answer.Processes ?? []].map((cells) => `${cells.join('\t')}\n`);
    io.stdout.write(alignTabs(lines.join(''), TOP_COLUMN));
  },
};

export const port: Command = {
  name: 'port', usage: 'CONTAINER [PRIVATE_PORT[/PROTO]]', short: 'List port mappings or a specific mapping for the container', args: { min: 1, max: 2 }, flags: [],
  run: async (call) => {
    const [name = '', wanted] = call.args;
    const container = await call.client.json<{ NetworkSettings: { Ports: Record<string, PortBinding[] | null> | null } }>('GET', containerPath(name, '/json'), { missing: { object: 'container', name } });
    const ports = container.NetworkSettings.Ports ?? {};
    const address = (binding: PortBinding) => `${binding.HostIp}:${binding.HostPort}`;
    if (wanted !== undefined) {
      const key = wanted.includes('/') ? wanted : `${wanted}/tcp`;
      const bindings = ports[key];
      if (!bindings || bindings.length === 0) throw new Failure(`Error: No public port '${key}' published for ${name}`);
      for (const binding of bindings) print(call, address(binding));
      return;
    }
    const byNumber = Object.entries(ports).toSorted(([a], [b]) => parseInt(a, 10) - parseInt(b, 10) || (a < b ? -1 : 1));
    for (const [key, bindings] of byNumber) for (const binding of bindings ?? []) print(call, `${key} -> ${address(binding)}`);
  },
};
