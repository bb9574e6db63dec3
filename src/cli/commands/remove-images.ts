// rmi and tag: names of images taken away and given.
import { parseReference, familiarName } from '../../oci/reference.ts';
import { messageOf } from '../../lib/errors.ts';
import { imagePath, print, warn, type Call, type Command } from '../command.ts';
import { Failure, Missing } from '../failure.ts';
import { flag } from '../flags.ts';

export const rmi: Command = {
  name: 'rmi', usage: '[OPTIONS] IMAGE [IMAGE...]', short: 'Remove one or more images', args: { min: 1 },
  flags: [
    flag('f, force', 'bool', 'Force removal of the image'),
    flag('no-prune', 'bool', 'Keep parents that have no name'),
  ],
  run: removeImages,
};

export const tag: Command = {
  name: 'tag', usage: 'SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]', short: 'Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE', args: { min: 2, max: 2 }, flags: [],
  run: async (call) => {
    const [source = '', target = ''] = call.args;
    const reference = readTarget(target);
    if (reference.digest !== undefined) throw new Failure('refusing to create a tag with a digest reference');
    await call.client.text('POST', imagePath(source, '/tag'), { query: { repo: familiarName(reference), tag: reference.tag ?? 'latest' } });
  },
};

function readTarget(text: string) {
  try {
    return parseReference(text);
  } catch (error) {
    throw new Failure(`Error parsing reference: ${JSON.stringify(text)} is not a valid repository/tag: ${messageOf(error)}`);
  }
}

async function removeImages(call: Call): Promise<void> {
  const { flags, client } = call;
  const failed: string[] = [];
  let fatal = false;
  for (const name of call.args) {
    try {
      const done = await client.json<Array<{ Untagged?: string; Deleted?: string }>>('DELETE', imagePath(name), {
        query: { force: flags.bool('force') || undefined, noprune: flags.bool('no-prune') || undefined },
        missing: { object: 'image', name },
      });
      for (const one of done) print(call, one.Deleted ? `Deleted: ${one.Deleted}` : `Untagged: ${one.Untagged ?? ''}`);
    } catch (error) {
      fatal ||= !(error instanceof Missing);
      failed.push(messageOf(error));
    }
  }
  if (failed.length === 0) return;
  if (fatal || !flags.bool('force')) throw new Failure(failed.join('\n'));
  warn(call, failed.join('\n'));
}
