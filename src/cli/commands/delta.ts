// image delta and image deltas: what an update from one image to another costs, made here, listed and thrown away.
import { parseReference } from '../../oci/reference.ts';
import type { ProgressLine } from '../../wire/types.ts';
import { humanDuration, humanSize } from '../../wire/units.ts';
import { jsonLines } from '../client.ts';
import { imagePath, print, type Call, type Command } from '../command.ts';
import { Failure } from '../failure.ts';
import { flag } from '../flags.ts';
import { showProgress } from '../progress.ts';
import { renderRows, type Row } from '../rows.ts';
import { shortId } from '../table.ts';

export const delta: Command = {
  name: 'delta', usage: '[OPTIONS] SRC_IMAGE DEST_IMAGE', short: 'Create a binary delta between SRC_IMAGE and DEST_IMAGE', args: { min: 2, max: 2 },
  flags: [
    flag('disable-content-trust', 'bool', 'Accepted and ignored: signatures are not checked', { value: 'true' }),
    flag('format', 'string', 'Format of the delta: "balena" makes an image of it, "vaquita" a smaller one that is pushed along with DEST_IMAGE', { value: 'balena' }),
    flag('t, tag', 'string', 'Name and optionally a tag in the \'name:tag\' format'),
  ],
  run: async (call) => {
    const { flags, client, io, args: [src, dest] } = call;
    const tag = flags.text('tag');
    if (tag !== '' && parseReference(tag).digest !== undefined) throw new Failure('build tag cannot contain a digest'); // the engine says so when the delta is made
    const stream = await client.stream('POST', '/images/delta', { query: { src, dest, t: tag || undefined, format: flags.text('format') } });
    await showProgress(jsonLines<ProgressLine>(stream), { output: io.stdout, columns: io.size()?.columns ?? 80 });
  },
};

interface Kept { Base: string; Created: string; Size: number; Layers: unknown[] }

const HEADERS = { Base: 'BASE', Size: 'SIZE', Layers: 'LAYERS', Created: 'CREATED' };
const TABLE = 'table {{.Base}}\t{{.Size}}\t{{.Layers}}\t{{.Created}}';

export const deltas: Command = {
  name: 'deltas', usage: '[OPTIONS] IMAGE', short: 'List the deltas to an image that are kept for its next push', args: { min: 1, max: 1 },
  flags: [
    flag('format', 'string', 'Print each delta by a Go template'),
    flag('no-trunc', 'bool', 'Don\'t truncate output'),
    flag('rm', 'bool', 'Remove them'),
  ],
  run: async (call) => {
    const { flags, client, io, args: [name = ''] } = call;
    if (flags.bool('rm')) return await removeAll(call, name);
    const kept = await client.json<Kept[]>('GET', imagePath(name, '/deltas'));
    const rows = kept.map((one): Row => ({
      Base: flags.bool('no-trunc') ? one.Base : shortId(one.Base), Created: `${humanDuration(io.clock.now() - Date.parse(one.Created))} ago`, Layers: String(one.Layers.length), Size: humanSize(one.Size),
    }));
    const typed = flags.text('format');
    io.stdout.write(renderRows({ format: typed === '' || typed === 'table' ? TABLE : typed, headers: HEADERS, rows, typeName: 'deltas' }));
  },
};

async function removeAll(call: Call, name: string): Promise<void> {
  const { DeltasDeleted: removed } = await call.client.json<{ DeltasDeleted: Kept[] }>('POST', imagePath(name, '/deltas/prune'));
  for (const { Base } of removed) print(call, `Deleted delta: ${Base}`);
}
