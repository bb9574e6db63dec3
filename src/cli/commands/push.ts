// push and image publish-deltas: images to a registry, and what devices need to come from one version to the next.
import { familiarName, parseReference, withDefaultTag, type Reference } from '../../oci/reference.ts';
import type { ProgressLine } from '../../wire/types.ts';
import { jsonLines } from '../client.ts';
import { imagePath, print, type Call, type Command } from '../command.ts';
import { registryAuthHeader } from '../config.ts';
import { Failure } from '../failure.ts';
import { flag } from '../flags.ts';
import { showProgress } from '../progress.ts';

export const push: Command = {
  name: 'push', usage: '[OPTIONS] NAME[:TAG]', short: 'Push an image or a repository to a registry', args: { min: 1, max: 1 },
  flags: [
    flag('a, all-tags', 'bool', 'Push all tagged images in the repository'),
    flag('disable-content-trust', 'bool', 'Accepted and ignored: images are not signed', { value: 'true' }),
    flag('no-delta', 'bool', 'Leave the deltas to the image here'),
    flag('q, quiet', 'bool', 'Print only the name of the image'),
  ],
  run: runPush,
};

async function runPush(call: Call): Promise<void> {
  const { flags, client, io, args: [name = ''] } = call;
  const typed = parseReference(name);
  const all = flags.bool('all-tags');
  if (all && (typed.tag !== undefined || typed.digest !== undefined)) throw new Failure('tag can\'t be used with --all-tags/-a');
  if (typed.digest !== undefined) throw new Failure('cannot push a digest reference');
  const reference = all ? typed : withDefaultTag(typed);
  if (!all && reference.tag !== typed.tag && !flags.bool('quiet')) print(call, `Using default tag: ${reference.tag}`);
  const stream = await client.stream('POST', imagePath(familiarName(reference), '/push'), {
    query: { tag: reference.tag, delta: flags.bool('no-delta') ? '0' : undefined },
    headers: await registryAuthHeader(call, reference.registry),
  });
  const silent = { isTTY: false, write() {}, drained: () => Promise.resolve() };
  await showProgress(jsonLines<ProgressLine>(stream), { output: flags.bool('quiet') ? silent : io.stdout, columns: io.size()?.columns ?? 80 });
  if (flags.bool('quiet')) print(call, completeName(reference));
}

const completeName = ({ registry, path, tag }: Reference): string => `${registry}/${path}${tag === undefined ? '' : `:${tag}`}`;

export const publishDeltas: Command = {
  name: 'publish-deltas', usage: '[OPTIONS] NAME[:TAG]', short: 'Make deltas to an image from the versions that devices run, and push them', args: { min: 1, max: 1 },
  flags: [
    flag('force', 'bool', 'Also make those that are published already'),
    flag('from', 'list', 'Image to make a delta from; may be given several times'),
  ],
  run: async (call) => {
    const { flags, client, io, args: [name = ''] } = call;
    const reference = withDefaultTag(parseReference(name));
    const from = flags.list('from').flatMap((words) => words.split(',')).filter((word) => word !== '');
    if (from.length === 0) throw new Failure('--from is needed: the image to make a delta from');
    const stream = await client.stream('POST', '/images/publish-deltas', {
      query: { target: name, from, force: flags.bool('force') ? '1' : undefined },
      headers: await registryAuthHeader(call, reference.registry),
    });
    await showProgress(jsonLines<ProgressLine>(stream), { output: io.stdout, columns: io.size()?.columns ?? 80 });
  },
};
