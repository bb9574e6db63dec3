// volume: make, list and remove them.
import { filtersParameter } from '../client.ts';
import { forEachArgument, print, type Command } from '../command.ts';
import { readConfig } from '../config.ts';
import { pairs } from '../csv.ts';
import { Failure } from '../failure.ts';
import { flag } from '../flags.ts';
import { naturalOrder } from '../order.ts';
import { renderRows, type Row } from '../rows.ts';

interface Volume { Name: string; Driver: string; Mountpoint: string; Scope: string; Labels: Record<string, string> | null }

const HEADERS = { Driver: 'DRIVER', Name: 'VOLUME NAME', Scope: 'SCOPE', Mountpoint: 'MOUNTPOINT', Labels: 'LABELS', Links: 'LINKS', Size: 'SIZE' };
const TABLE = 'table {{.Driver}}\t{{.Name}}';
const RAW = 'name: {{.Name}}\ndriver: {{.Driver}}\n';

export const createVolume: Command = {
  name: 'create', usage: '[OPTIONS] [VOLUME]', short: 'Create a volume', args: { min: 0, max: 1 },
  flags: [
    flag('d, driver', 'string', 'Volume driver', { value: 'local' }), flag('label', 'list', 'Attach a label to the volume'),
    flag('name', 'string', 'Name of the volume', { hidden: true }), flag('o, opt', 'map', 'Options of the driver (type, o, device)'),
  ],
  run: async (call) => {
    const { args, client, flags } = call;
    if (flags.text('name') !== '' && args.length > 0) throw new Failure('conflicting options: either specify --name or provide positional arg, not both');
    const body = { Name: args[0] ?? flags.text('name'), Driver: flags.text('driver'), DriverOpts: pairs(flags.list('opt')), Labels: pairs(flags.list('label')) };
    print(call, (await client.json<Volume>('POST', '/volumes/create', { body })).Name);
  },
};

export const listVolumes: Command = {
  name: 'ls', usage: '[OPTIONS]', short: 'List volumes', aliases: ['ls', 'list'], args: { min: 0, max: 0 },
  flags: [flag('f, filter', 'filter', 'Show only what meets the condition'), flag('format', 'string', 'Print each volume by a Go template'), flag('q, quiet', 'bool', 'Only display volume names')],
  run: async (call) => {
    const { flags, client, io } = call;
    const { Volumes: found } = await client.json<{ Volumes: Volume[] | null }>('GET', '/volumes', { query: { filters: filtersParameter(flags.filters()) } });
    const rows = (found ?? []).toSorted((a, b) => naturalOrder(a.Name, b.Name)).map(volumeRow);
    const typed = flags.text('format') || (flags.bool('quiet') ? '' : (await readConfig(call)).volumesFormat ?? '');
    const isTable = typed === '' || typed === 'table';
    if (flags.bool('quiet') && isTable) {
      for (const row of rows) print(call, String(row['Name']));
      return;
    }
    const format = isTable ? TABLE : typed === 'raw' ? (flags.bool('quiet') ? 'name: {{.Name}}' : RAW) : typed;
    io.stdout.write(renderRows({ format, headers: HEADERS, rows, typeName: '*formatter.volumeContext' }));
  },
};

export const removeVolumes: Command = {
  name: 'rm', usage: '[OPTIONS] VOLUME [VOLUME...]', short: 'Remove one or more volumes', aliases: ['rm', 'remove'], args: { min: 1 },
  flags: [flag('f, force', 'bool', 'Do not mind volumes that are not there')],
  run: (call) => forEachArgument(call, async (name) => {
    await call.client.text('DELETE', `/volumes/${encodeURIComponent(name)}`, { query: { force: call.flags.bool('force') || undefined }, missing: { object: 'volume', name } });
    print(call, name);
  }),
};

function volumeRow(volume: Volume): Row {
  const labels = volume.Labels ?? {};
  return {
    Driver: volume.Driver, Labels: Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(','), Links: 'N/A', Mountpoint: volume.Mountpoint, Name: volume.Name,
    Scope: volume.Scope, Size: 'N/A', Label: (name: unknown) => labels[String(name)] ?? '',
  };
}
