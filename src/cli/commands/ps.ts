// ps: the list of containers.
import { familiarString, parseReference } from '../../oci/reference.ts';
import { print, type Call, type Command } from '../command.ts';
import { filtersParameter } from '../client.ts';
import { readConfig } from '../config.ts';
import { flag } from '../flags.ts';
import { displayPorts, type Port } from '../ports.ts';
import { renderRows, type Row } from '../rows.ts';
import { ellipsis, shortId } from '../table.ts';
import { goTime } from '../time.ts';
import { humanDuration, humanSize } from '../../wire/units.ts';

export interface ContainerSummary {
  Id: string;
  Names: string[] | null;
  Image: string;
  ImageID: string;
  Command: string;
  /** Unix seconds. */
  Created: number;
  Ports: Port[] | null;
  SizeRw?: number;
  SizeRootFs?: number;
  Labels: Record<string, string> | null;
  State: string;
  Status: string;
  NetworkSettings?: { Networks?: Record<string, unknown> | null } | null;
  Mounts?: Array<{ Type: string; Name?: string; Source?: string; Driver?: string }> | null;
}

const TABLE = 'table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}';

export const CONTAINER_HEADERS = {
  ID: 'CONTAINER ID', Names: 'NAMES', Image: 'IMAGE', Command: 'COMMAND', CreatedAt: 'CREATED AT', RunningFor: 'CREATED', Ports: 'PORTS', State: 'STATE',
  Status: 'STATUS', Size: 'SIZE', Labels: 'LABELS', Mounts: 'MOUNTS', LocalVolumes: 'LOCAL VOLUMES', Networks: 'NETWORKS',
};

export const ps: Command = {
  name: 'ps',
  usage: '[OPTIONS]',
  short: 'List containers',
  args: { min: 0, max: 0 },
  flags: [
    flag('a, all', 'bool', 'Show stopped containers as well'),
    flag('f, filter', 'filter', 'Show only what meets the condition'),
    flag('format', 'string', 'Print each container by a Go template'),
    flag('n, last', 'int', 'Show the n containers created last, in any state', { value: '-1' }),
    flag('l, latest', 'bool', 'Show the container created last, in any state'),
    flag('no-trunc', 'bool', 'Don\'t truncate output'),
    flag('q, quiet', 'bool', 'Only display container IDs'),
    flag('s, size', 'bool', 'Show how much space each one takes'),
  ],
  run: runPs,
};

async function runPs(call: Call): Promise<void> {
  const { flags, client, io } = call;
  const typed = flags.text('format') || (flags.bool('quiet') ? '' : (await readConfig(call)).psFormat ?? '');
  const wantsSize = flags.bool('size') || /\.Size\b|\bjson \.\s*(-\s*)?}}|^json$/.test(typed);
  const last = flags.bool('latest') && !flags.given('last') ? 1 : flags.number('last');
  const list = await client.json<ContainerSummary[]>('GET', '/containers/json', { query: {
    all: flags.bool('all') || undefined,
    limit: last > 0 ? last : undefined,
    size: wantsSize || undefined,
    filters: filtersParameter(flags.filters()),
  } });
  const rows = list.map((container) => containerRow(container, { nowMs: io.clock.now(), full: flags.bool('no-trunc') }));
  if (flags.bool('quiet') && (typed === '' || typed === 'table')) {
    for (const row of rows) print(call, row.ID as string);
    return;
  }
  const format = typed === '' || typed === 'table' ? TABLE + (wantsSize ? '\t{{.Size}}' : '') : typed === 'raw' ? rawFormat(flags.bool('quiet'), wantsSize) : typed;
  io.stdout.write(renderRows({ format, headers: CONTAINER_HEADERS, rows, typeName: '*formatter.ContainerContext', complaint: 'failed to execute template' }));
}

/** One line per field and a blank one behind each container, for scripts. */
const rawFormat = (quiet: boolean, size: boolean): string => (quiet ? 'container_id: {{.ID}}' : `container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state:{{pad .State 1 0}}
status:{{pad .Status 1 0}}
names: {{.Names}}
labels:{{pad .Labels 1 0}}
ports:{{pad .Ports 1 0}}
${size ? 'size: {{.Size}}\n' : ''}`);

/** A container as tables and templates see it. */
export function containerRow(container: ContainerSummary, show: { nowMs: number; full: boolean }): Row {
  const { full } = show;
  const labels = container.Labels ?? {};
  const mounts = (container.Mounts ?? []).map((mount) => (mount.Name === undefined || mount.Name === '' ? mount.Source ?? '' : mount.Name));
  const virtual = (container.SizeRootFs ?? 0) > 0 ? ` (virtual ${humanSize(container.SizeRootFs ?? 0, 3)})` : '';
  return {
    Command: quoted(full ? container.Command : ellipsis(container.Command, 20)),
    CreatedAt: goTime(container.Created),
    ID: full ? container.Id : shortId(container.Id),
    Image: imageName(container, full),
    Labels: Object.entries(labels).map(([key, value]) => `${key}=${value}`).join(','),
    LocalVolumes: String((container.Mounts ?? []).filter((mount) => mount.Driver === 'local').length),
    Mounts: mounts.map((name) => (full ? name : ellipsis(name, 15))).join(','),
    Names: namesOf(container, full),
    Networks: Object.keys(container.NetworkSettings?.Networks ?? {}).toSorted().join(','),
    Ports: displayPorts(container.Ports ?? []),
    RunningFor: `${humanDuration(show.nowMs - container.Created * 1000)} ago`,
    Size: humanSize(container.SizeRw ?? 0, 3) + virtual,
    State: container.State,
    Status: container.Status,
    ...methods({ Label: (name: unknown) => labels[String(name)] ?? '' }),
  };
}

/** Callable from templates, but no part of `{{json .}}`: JSON leaves functions out. */
const methods = <T extends Record<string, (arg: unknown) => string>>(of: T): T => of;

/** Names given through links hold a slash and are shown only in full. */
function namesOf(container: ContainerSummary, full: boolean): string {
  const names = (container.Names ?? []).map((name) => name.replace(/^\//, ''));
  return names.filter((name) => full || !name.includes('/')).join(',');
}

function imageName(container: ContainerSummary, full: boolean): string {
  if (container.Image === '') return '<no image>';
  if (full) return container.Image;
  if (shortId(container.ImageID) === shortId(container.Image)) return shortId(container.Image);
  if (!container.Image.includes('@')) return container.Image;
  try {
    const reference = parseReference(container.Image);
    return reference.tag === undefined ? container.Image : familiarString({ ...reference, digest: undefined });
  } catch {
    return container.Image;
  }
}

/** As Go quotes it: what cannot be printed is escaped. */
function quoted(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return `"${text.replace(/["\\]/g, '\\$&').replace(/[\x00-\x1f\x7f]/g, (char) => SHORT_ESCAPES[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)}"`;
}

const SHORT_ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\t': '\\t', '\r': '\\r', '\x07': '\\a', '\b': '\\b', '\f': '\\f', '\v': '\\v' };
