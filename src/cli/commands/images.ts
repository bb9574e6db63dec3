// images: the list of images, one line per name.
import { print, type Call, type Command } from '../command.ts';
import { filtersParameter } from '../client.ts';
import { readConfig } from '../config.ts';
import { flag } from '../flags.ts';
import { renderRows, type Row } from '../rows.ts';
import { shortId } from '../table.ts';
import { goTime } from '../time.ts';
import { humanDuration, humanSize } from '../../wire/units.ts';

export interface ImageSummary {
  Id: string;
  RepoTags: string[] | null;
  RepoDigests: string[] | null;
  /** Unix seconds. */
  Created: number;
  Size: number;
  VirtualSize?: number;
  SharedSize?: number;
  Containers?: number;
}

export const IMAGE_HEADERS = {
  ID: 'IMAGE ID', Repository: 'REPOSITORY', Tag: 'TAG', Digest: 'DIGEST', CreatedSince: 'CREATED', CreatedAt: 'CREATED AT', Size: 'SIZE',
  Containers: 'CONTAINERS', VirtualSize: 'SIZE', SharedSize: 'SHARED SIZE', UniqueSize: 'UNIQUE SIZE',
};

const TABLE = 'table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}';
const TABLE_WITH_DIGESTS = 'table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}';
/** One line per field and a blank one behind each image, for scripts. */
const RAW = 'repository: {{.Repository}}\ntag: {{.Tag}}\nDIGEST\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n';
const NONE = '<none>';

export const images: Command = {
  name: 'images',
  usage: '[OPTIONS] [REPOSITORY[:TAG]]',
  short: 'List images',
  args: { min: 0, max: 1 },
  flags: [
    flag('a, all', 'bool', 'Show intermediate images as well'),
    flag('digests', 'bool', 'Show digests'),
    flag('f, filter', 'filter', 'Show only what meets the condition'),
    flag('format', 'string', 'Print each image by a Go template'),
    flag('no-trunc', 'bool', 'Don\'t truncate output'),
    flag('q, quiet', 'bool', 'Only show image IDs'),
  ],
  run: runImages,
};

async function runImages(call: Call): Promise<void> {
  const { flags, client, io } = call;
  const filters = flags.filters();
  const [reference] = call.args;
  if (reference !== undefined) filters.set('reference', [...filters.get('reference') ?? [], reference]);
  const list = await client.json<ImageSummary[]>('GET', '/images/json', { query: { all: flags.bool('all') || undefined, filters: filtersParameter(filters) } });
  const typed = flags.text('format') || (flags.bool('quiet') ? '' : (await readConfig(call)).imagesFormat ?? '');
  const isTable = typed === '' || typed === 'table';
  const withDigests = flags.bool('digests') && (isTable || typed === 'raw') || /\.Digest\b/.test(typed);
  const rows = list.flatMap((image) => imageRows(image, { nowMs: io.clock.now(), full: flags.bool('no-trunc'), withDigests }));
  if (flags.bool('quiet') && isTable) {
    for (const row of rows) print(call, row.ID as string);
    return;
  }
  const raw = flags.bool('quiet') ? 'image_id: {{.ID}}' : RAW.replace('DIGEST\n', flags.bool('digests') ? 'digest: {{.Digest}}\n' : '');
  const format = isTable ? (withDigests ? TABLE_WITH_DIGESTS : TABLE) : typed === 'raw' ? raw : typed;
  io.stdout.write(renderRows({ format, headers: IMAGE_HEADERS, rows, typeName: '*formatter.imageContext' }));
}

interface Show { nowMs: number; full: boolean; withDigests: boolean }

/** One row per name; with digests, one per name and digest. */
export function imageRows(image: ImageSummary, show: Show): Row[] {
  const tags = (image.RepoTags ?? []).filter((one) => one !== `${NONE}:${NONE}`);
  const digests = (image.RepoDigests ?? []).filter((one) => one !== `${NONE}@${NONE}`);
  const row = (repository: string, tag: string, digest: string) => imageRow(image, show, { Repository: repository, Tag: tag, Digest: digest });
  if (tags.length === 0 && digests.length === 0) return [row(NONE, NONE, NONE)];
  const named = byRepository(tags, digests);
  return [...named].flatMap(([repository, { tags: own, digests: known }]) => {
    if (own.length === 0) return known.map((digest) => row(repository, NONE, show.withDigests ? digest : ''));
    if (!show.withDigests || known.length === 0) return own.map((tag) => row(repository, tag, NONE));
    return own.flatMap((tag) => known.map((digest) => row(repository, tag, digest)));
  });
}

function byRepository(tags: readonly string[], digests: readonly string[]): Map<string, { tags: string[]; digests: string[] }> {
  const named = new Map<string, { tags: string[]; digests: string[] }>();
  const of = (repository: string) => {
    const entry = named.get(repository) ?? { tags: [], digests: [] };
    named.set(repository, entry);
    return entry;
  };
  for (const tag of tags) of(tag.slice(0, tag.lastIndexOf(':'))).tags.push(tag.slice(tag.lastIndexOf(':') + 1));
  for (const digest of digests) of(digest.slice(0, digest.indexOf('@'))).digests.push(digest.slice(digest.indexOf('@') + 1));
  return named;
}

function imageRow(image: ImageSummary, show: Show, name: { Repository: string; Tag: string; Digest: string }): Row {
  const known = (size: number | undefined, text: (n: number) => string) => (size === undefined || size === -1 ? 'N/A' : text(size));
  return {
    Containers: known(image.Containers, String),
    CreatedAt: goTime(image.Created),
    CreatedSince: `${humanDuration(show.nowMs - image.Created * 1000)} ago`,
    Digest: name.Digest,
    ID: show.full ? image.Id : shortId(image.Id),
    Repository: name.Repository,
    SharedSize: known(image.SharedSize, (n) => humanSize(n)),
    Size: humanSize(image.Size, 3),
    Tag: name.Tag,
    UniqueSize: image.SharedSize === undefined || image.SharedSize === -1 ? 'N/A' : humanSize((image.VirtualSize ?? image.Size) - image.SharedSize),
    VirtualSize: humanSize(image.VirtualSize ?? image.Size),
  };
}
