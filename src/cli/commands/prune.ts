// prune: what nobody uses goes, after a question.
import { filtersParameter } from '../client.ts';
import { confirmed, print, type Call, type Command } from '../command.ts';
import { flag } from '../flags.ts';
import { humanSize } from '../../wire/units.ts';

const FORCE = flag('f, force', 'bool', 'Do not ask first');
const FILTER = flag('filter', 'filter', 'Take only what meets the condition (until=<time>)');

export const pruneContainers: Command = {
  name: 'prune', usage: '[OPTIONS]', short: 'Remove all stopped containers', args: { min: 0, max: 0 }, flags: [FILTER, FORCE],
  run: async (call) => {
    if (!await agreed(call, 'WARNING! This will remove all stopped containers.')) return report(call, 0);
    const answer = await call.client.json<{ ContainersDeleted: string[] | null; SpaceReclaimed: number }>('POST', '/containers/prune', { query: { filters: filtersParameter(call.flags.filters()) } });
    const gone = answer.ContainersDeleted ?? [];
    if (gone.length > 0) call.io.stdout.write(`Deleted Containers:\n${gone.map((id) => `${id}\n`).join('')}\n`);
    report(call, answer.SpaceReclaimed);
  },
};

export const pruneImages: Command = {
  name: 'prune', usage: '[OPTIONS]', short: 'Remove unused images', args: { min: 0, max: 0 },
  flags: [flag('a, all', 'bool', 'Remove all that no container uses, not just those without a name'), FILTER, FORCE],
  run: async (call) => {
    const all = call.flags.bool('all');
    const warning = all ? 'WARNING! This will remove all images without at least one container associated to them.' : 'WARNING! This will remove all dangling images.';
    if (!await agreed(call, warning)) return report(call, 0);
    const filters = new Map([...call.flags.filters(), ['dangling', [String(!all)]] as [string, string[]]]);
    const answer = await call.client.json<{ ImagesDeleted: Array<{ Untagged?: string; Deleted?: string }> | null; SpaceReclaimed: number }>('POST', '/images/prune', { query: { filters: filtersParameter(filters) } });
    const gone = answer.ImagesDeleted ?? [];
    if (gone.length > 0) call.io.stdout.write(`Deleted Images:\n${gone.map((one) => (one.Untagged ? `untagged: ${one.Untagged}\n` : `deleted: ${one.Deleted ?? ''}\n`)).join('')}\n`);
    report(call, answer.SpaceReclaimed);
  },
};

const agreed = async (call: Call, warning: string): Promise<boolean> => call.flags.bool('force') || confirmed(call, `${warning}\nAre you sure you want to continue?`);
const report = (call: Call, bytes: number): void => print(call, `Total reclaimed space: ${humanSize(bytes)}`);
