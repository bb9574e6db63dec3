// prune: what nobody uses goes, after a question.
import { filtersParameter } from '../client.ts';
import { confirmed, print, type Call, type Command } from '../command.ts';
import { Failure } from '../failure.ts';
import { flag } from '../flags.ts';
import { humanSize } from '../../wire/units.ts';

type Filters = ReadonlyMap<string, readonly string[]>;
interface Answer { SpaceReclaimed?: number; ImagesDeleted?: Array<{ Untagged?: string; Deleted?: string }> | null; [list: string]: unknown }
interface Reclaimed { text: string; bytes: number }

const FORCE = flag('f, force', 'bool', 'Do not ask first');
const UNTIL = flag('filter', 'filter', 'Take only what meets the condition (until=<time>)');
const LABEL = flag('filter', 'filter', 'Take only what meets the condition (label=<label>)');

export const pruneContainers: Command = {
  name: 'prune', usage: '[OPTIONS]', short: 'Remove all stopped containers', args: { min: 0, max: 0 }, flags: [UNTIL, FORCE],
  run: async (call) => {
    if (!await agreed(call, 'WARNING! This will remove all stopped containers.')) return report(call, NOTHING);
    report(call, await reclaim(call, 'containers', call.flags.filters()));
  },
};

export const pruneImages: Command = {
  name: 'prune', usage: '[OPTIONS]', short: 'Remove unused images', args: { min: 0, max: 0 },
  flags: [flag('a, all', 'bool', 'Remove all that no container uses, not just those without a name'), UNTIL, FORCE],
  run: async (call) => {
    const all = call.flags.bool('all');
    const warning = all ? 'WARNING! This will remove all images without at least one container associated to them.' : 'WARNING! This will remove all dangling images.';
    if (!await agreed(call, warning)) return report(call, NOTHING);
    report(call, await reclaim(call, 'images', withDangling(call.flags.filters(), all)));
  },
};

/** As Docker's of API 1.41, which this command line speaks: all, not just those without a name. */
export const pruneVolumes: Command = {
  name: 'prune', usage: '[OPTIONS]', short: 'Remove all unused local volumes', args: { min: 0, max: 0 }, flags: [LABEL, FORCE],
  run: async (call) => {
    if (!await agreed(call, 'WARNING! This will remove all local volumes not used by at least one container.')) return report(call, NOTHING);
    report(call, await reclaim(call, 'volumes', call.flags.filters()));
  },
};

export const pruneNetworks: Command = {
  name: 'prune', usage: '[OPTIONS]', short: 'Remove all unused networks', args: { min: 0, max: 0 }, flags: [UNTIL, FORCE],
  run: async (call) => {
    if (await agreed(call, 'WARNING! This will remove all custom networks not used by at least one container.')) call.io.stdout.write((await reclaim(call, 'networks', call.flags.filters())).text);
  },
};

export const pruneSystem: Command = {
  name: 'prune', usage: '[OPTIONS]', short: 'Remove unused data', args: { min: 0, max: 0 },
  flags: [flag('a, all', 'bool', 'Remove all images that no container uses, not just those without a name'), LABEL, FORCE, flag('volumes', 'bool', 'Remove volumes as well')],
  run: async (call) => {
    const { flags } = call;
    const [all, volumes, filters] = [flags.bool('all'), flags.bool('volumes'), flags.filters()];
    if (volumes && filters.has('until')) throw new Failure('ERROR: The "until" filter is not supported with "--volumes"');
    if (!await agreed(call, systemWarning({ all, volumes, filters }))) return;
    let bytes = 0;
    for (const kind of ['containers', 'networks', ...volumes ? ['volumes' as const] : [], 'images', 'build'] as const) {
      const done = await reclaim(call, kind, kind === 'images' ? withDangling(filters, all) : filters);
      call.io.stdout.write(done.text);
      bytes += done.bytes;
    }
    print(call, `Total reclaimed space: ${humanSize(bytes)}`);
  },
};

function systemWarning({ all, volumes, filters }: { all: boolean; volumes: boolean; filters: Filters }): string {
  const items = [
    'all stopped containers', 'all networks not used by at least one container', ...volumes ? ['all volumes not used by at least one container'] : [],
    ...all ? ['all images without at least one container associated to them', 'all build cache'] : ['all dangling images', 'all dangling build cache'],
  ];
  const conditions = [...filters].flatMap(([name, values]) => values.map((value) => `${name}=${value}`)).toSorted();
  const list = (lines: readonly string[]) => lines.map((line) => `  - ${line}\n`).join('');
  return `WARNING! This will remove:\n${list(items)}${conditions.length === 0 ? '' : `\n  Items to be pruned will be filtered with:\n${list(conditions)}`}`;
}

/** One kind after the other, since each may set the next free. */
const KINDS = {
  containers: { heading: 'Deleted Containers', list: 'ContainersDeleted' }, networks: { heading: 'Deleted Networks', list: 'NetworksDeleted' },
  volumes: { heading: 'Deleted Volumes', list: 'VolumesDeleted' }, images: { heading: 'Deleted Images', list: 'ImagesDeleted' }, build: { heading: 'Deleted build cache objects', list: 'CachesDeleted' },
} as const;

async function reclaim(call: Call, kind: keyof typeof KINDS, filters: Filters): Promise<Reclaimed> {
  const answer = await call.client.json<Answer>('POST', `/${kind}/prune`, { query: { all: kind === 'build' && call.flags.bool('all') || undefined, filters: filtersParameter(filters) } });
  const gone = kind === 'images' ? (answer.ImagesDeleted ?? []).map((one) => (one.Untagged ? `untagged: ${one.Untagged}` : `deleted: ${one.Deleted ?? ''}`)) : (answer[KINDS[kind].list] ?? []) as string[];
  return { text: gone.length === 0 ? '' : `${KINDS[kind].heading}:\n${gone.map((name) => `${name}\n`).join('')}\n`, bytes: answer.SpaceReclaimed ?? 0 };
}

const NOTHING: Reclaimed = { text: '', bytes: 0 };
const withDangling = (filters: Filters, all: boolean): Filters => new Map([...filters, ['dangling', [String(!all)]] as [string, string[]]]);
const agreed = async (call: Call, warning: string): Promise<boolean> => call.flags.bool('force') || confirmed(call, `${warning}\nAre you sure you want to continue?`);
const report = (call: Call, { text, bytes }: Reclaimed): void => call.io.stdout.write(`${text}Total reclaimed space: ${humanSize(bytes)}\n`);
