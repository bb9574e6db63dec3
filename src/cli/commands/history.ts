// history: the steps an image was made of.
import { imagePath, print, type Call, type Command } from '../command.ts';
import { flag } from '../flags.ts';
import { renderRows, type Row } from '../rows.ts';
import { ellipsis, shortId } from '../table.ts';
import { rfc3339 } from '../time.ts';
import { humanDuration, humanSize } from '../../wire/units.ts';

interface Step { Id: string; Created: number; CreatedBy: string; Size: number; Comment: string }

const HEADERS = { ID: 'IMAGE', CreatedSince: 'CREATED', CreatedAt: 'CREATED AT', CreatedBy: 'CREATED BY', Size: 'SIZE', Comment: 'COMMENT' };

export const history: Command = {
  name: 'history', usage: '[OPTIONS] IMAGE', short: 'Show the history of an image', args: { min: 1, max: 1 },
  flags: [
    flag('format', 'string', 'Print each step by a Go template'),
    flag('H, human', 'bool', 'Print sizes and times for people', { value: 'true' }),
    flag('no-trunc', 'bool', 'Don\'t truncate output'),
    flag('q, quiet', 'bool', 'Only show image IDs'),
  ],
  run: runHistory,
};

async function runHistory(call: Call): Promise<void> {
  const { flags, client, io, args: [name = ''] } = call;
  const steps = await client.json<Step[]>('GET', imagePath(name, '/history'));
  const human = flags.bool('human');
  const full = flags.bool('no-trunc');
  const rows = steps.map((step): Row => {
    const createdBy = step.CreatedBy.replaceAll('\t', ' ');
    return {
      Comment: step.Comment,
      CreatedAt: rfc3339(step.Created),
      CreatedBy: full ? createdBy : ellipsis(createdBy, 45),
      CreatedSince: step.Created > 0 ? `${humanDuration(io.clock.now() - step.Created * 1000)} ago` : 'N/A',
      ID: full || step.Id.startsWith('<') ? step.Id : shortId(step.Id),
      Size: human ? humanSize(step.Size, 3) : String(step.Size),
    };
  });
  const typed = flags.text('format');
  if (flags.bool('quiet') && typed === '') {
    for (const row of rows) print(call, row.ID as string);
    return;
  }
  const table = `table {{.ID}}\t${human ? '{{.CreatedSince}}' : '{{.CreatedAt}}'}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}`;
  io.stdout.write(renderRows({ format: typed === '' || typed === 'table' ? table : typed, headers: HEADERS, rows, typeName: '*history.historyContext' }));
}
