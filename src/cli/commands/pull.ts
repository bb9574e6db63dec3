// pull: an image from a registry, with its progress; run and create use it for images that are missing.
import { canonicalName, familiarName, parseReference, withDefaultTag, type Reference } from '../../oci/reference.ts';
import type { ProgressLine } from '../../wire/types.ts';
import { jsonLines } from '../client.ts';
import { print, type Call, type Command } from '../command.ts';
import { registryAuthHeader } from '../config.ts';
import { Failure } from '../failure.ts';
import { flag } from '../flags.ts';
import type { Output } from '../io.ts';
import { showProgress } from '../progress.ts';

export const pull: Command = {
  name: 'pull', usage: '[OPTIONS] NAME[:TAG|@DIGEST]', short: 'Pull an image or a repository from a registry', args: { min: 1, max: 1 },
  flags: [
    flag('a, all-tags', 'bool', 'Pull every tag of the repository'),
    flag('disable-content-trust', 'bool', 'Accepted and ignored: signatures are not checked', { value: 'true' }),
    flag('dry-run', 'bool', 'Say how each layer would come and what that would cost; change nothing'),
    flag('no-delta', 'bool', 'Pull whole layers, also where a delta would do'),
    flag('platform', 'string', 'Platform of the image (os/arch/variant)'),
    flag('q, quiet', 'bool', 'Print only the name of the image'),
  ],
  run: runPull,
};

async function runPull(call: Call): Promise<void> {
  const { flags, args: [name = ''] } = call;
  const typed = parseReference(name);
  const all = flags.bool('all-tags');
  if (all && (typed.tag !== undefined || typed.digest !== undefined)) throw new Failure('tag can\'t be used with --all-tags/-a');
  const reference = all ? typed : withDefaultTag(typed);
  if (!all && reference.tag !== typed.tag && !flags.bool('quiet')) print(call, `Using default tag: ${reference.tag}`);
  await pullImage(call, reference, {
    platform: flags.text('platform'), output: flags.bool('quiet') ? undefined : call.io.stdout,
    deltas: !flags.bool('no-delta'), dryRun: flags.bool('dry-run'),
  });
  print(call, completeName(reference));
}

/** Without `output` nothing is shown; errors of the daemon are thrown either way. */
export async function pullImage(call: Call, reference: Reference, how: { platform: string; output: Output | undefined; deltas?: boolean; dryRun?: boolean }): Promise<void> {
  const stream = await call.client.stream('POST', '/images/create', {
    query: {
      fromImage: familiarName(reference),
      platform: how.platform === '' ? undefined : how.platform.toLowerCase(),
      tag: reference.digest ?? reference.tag,
      // Said only where it differs from what every other engine does as well.
      delta: how.deltas === false ? '0' : undefined,
      dryRun: how.dryRun === true ? '1' : undefined,
    },
    headers: await registryAuthHeader(call, reference.registry),
  });
  const silent: Output = { isTTY: false, write() {}, drained: () => Promise.resolve() };
  await showProgress(jsonLines<ProgressLine>(stream), { output: how.output ?? silent, columns: call.io.size()?.columns ?? 80 });
}

const completeName = (reference: Reference): string =>
  canonicalName(reference) + (reference.tag === undefined ? '' : `:${reference.tag}`) + (reference.digest === undefined ? '' : `@${reference.digest}`);
