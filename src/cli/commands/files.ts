// diff, export and commit: what a container has changed, all it has, and an image of it.
import { pathOf } from '../../archive/byte-string.ts';
import { familiarName, parseReference } from '../../oci/reference.ts';
import { containerPath, print, type Call, type Command } from '../command.ts';
import { hostPath, validateOutputPath } from '../copying.ts';
import { Failure } from '../failure.ts';
import { flag } from '../flags.ts';
import { messageOf } from '../../lib/errors.ts';

const KINDS = ['C', 'A', 'D'];

export const diff: Command = {
  name: 'diff', usage: 'CONTAINER', short: 'Inspect changes to files or directories on a container\'s filesystem', args: { min: 1, max: 1 }, flags: [],
  run: async (call) => {
    const [name = ''] = call.args;
    if (name === '') throw new Failure('Container name cannot be empty');
    const changes = await call.client.json<Array<{ Path: string; Kind: number }> | null>('GET', containerPath(name, '/changes'));
    for (const { Path: path, Kind: kind } of changes ?? []) print(call, `${KINDS[kind] ?? ''} ${path}`);
  },
};

export const exportContainer: Command = {
  name: 'export', usage: '[OPTIONS] CONTAINER', short: 'Export a container\'s filesystem as a tar archive', args: { min: 1, max: 1 },
  flags: [flag('o, output', 'string', 'Write to this file instead of STDOUT')],
  run: runExport,
};

async function runExport({ client, io, flags, args: [name = ''] }: Call): Promise<void> {
  const output = flags.text('output');
  if (output === '' && io.stdout.isTTY) throw new Failure('cowardly refusing to save to a terminal. Use the -o flag or redirect');
  const trees = await io.trees();
  const path = hostPath(io.cwd, output);
  try { if (output !== '') validateOutputPath(trees.source, path); } catch (error) { throw new Failure(`failed to export container: ${messageOf(error)}`); }
  const bytes = await client.stream('GET', containerPath(name, '/export'));
  if (output !== '') return trees.save(String(pathOf(path)), bytes);
  for await (const chunk of bytes) { io.stdout.write(chunk); await io.stdout.drained(); }
}

export const commit: Command = {
  name: 'commit', usage: '[OPTIONS] CONTAINER [REPOSITORY[:TAG]]', short: 'Create a new image from a container\'s changes', args: { min: 1, max: 2 },
  flags: [
    flag('a, author', 'string', 'Who made it (such as "John Hannibal Smith <hannibal@a-team.com>")'),
    flag('c, change', 'list', 'Apply an instruction of a Dockerfile to the image'),
    flag('m, message', 'string', 'What was done'),
    flag('p, pause', 'bool', 'Hold the container still meanwhile', { value: 'true' }),
  ],
  run: async (call) => {
    const { flags, args: [name = '', reference] } = call;
    const answer = await call.client.json<{ Id: string }>('POST', '/commit', {
      body: null,
      query: {
        container: name, ...nameIn(reference), comment: flags.text('message'), author: flags.text('author'), changes: flags.list('change'),
        pause: flags.bool('pause') ? undefined : '0',
      },
    });
    print(call, answer.Id);
  },
};

function nameIn(reference: string | undefined): { repo?: string; tag?: string } {
  if (reference === undefined || reference === '') return {};
  const parsed = parseReference(reference);
  if (parsed.digest !== undefined) throw new Failure('refusing to create a tag with a digest reference');
  return { repo: familiarName(parsed), tag: parsed.tag ?? 'latest' };
}
