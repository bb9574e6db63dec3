// save and load: images into a tar archive, and out of one.
import { byteStringOf, pathOf } from '../../archive/byte-string.ts';
import { fileErrorWords } from '../../archive/unpack.ts';
import { messageOf } from '../../lib/errors.ts';
import type { ProgressLine } from '../../wire/types.ts';
import { jsonLines } from '../client.ts';
import type { Call, Command } from '../command.ts';
import { hostPath, validateOutputPath } from '../copying.ts';
import { Failure } from '../failure.ts';
import { flag } from '../flags.ts';
import type { Io } from '../io.ts';
import { showProgress } from '../progress.ts';

export const save: Command = {
  name: 'save', usage: '[OPTIONS] IMAGE [IMAGE...]', short: 'Save one or more images to a tar archive (streamed to STDOUT by default)', args: { min: 1 },
  flags: [flag('o, output', 'string', 'Write to this file instead of STDOUT')],
  run: async ({ client, io, flags, args }) => {
    const output = flags.text('output');
    if (output === '' && io.stdout.isTTY) throw new Failure('cowardly refusing to save to a terminal. Use the -o flag or redirect');
    const trees = output === '' ? undefined : await io.trees();
    const path = hostPath(io.cwd, output);
    try { if (trees) validateOutputPath(trees.source, path); } catch (error) { throw new Failure(`failed to save image: ${messageOf(error)}`); }
    const bytes = await client.stream('GET', '/images/get', { query: { names: args } });
    if (trees) return await trees.save(String(pathOf(path)), bytes);
    for await (const chunk of bytes) { io.stdout.write(chunk); await io.stdout.drained(); }
  },
};

export const load: Command = {
  name: 'load', usage: '[OPTIONS]', short: 'Load an image from a tar archive or STDIN', args: { min: 0, max: 0 },
  flags: [flag('i, input', 'string', 'Read from this file instead of STDIN'), flag('q, quiet', 'bool', 'Do not show how far it is')],
  run: runLoad,
};

/** Bars are for terminals; elsewhere they are not even asked for. */
async function runLoad({ client, io, flags }: Call): Promise<void> {
  const input = flags.text('input');
  if (input === '' && io.stdin.isTTY) throw new Failure('requested load from stdin, but stdin is empty');
  const quiet = flags.bool('quiet') || !io.stdout.isTTY;
  const archive = input === '' ? io.stdin.chunks() : fileBytes(io, input);
  const lines = await client.send('/images/load', archive, { query: { quiet: quiet ? '1' : '0' }, headers: { 'Content-Type': 'application/x-tar' } });
  await showProgress(jsonLines<ProgressLine>(lines), { output: io.stdout, columns: io.size()?.columns ?? 80 });
}

async function* fileBytes(io: Io, input: string): AsyncGenerator<Uint8Array> {
  const path = input.startsWith('/') ? input : `${io.cwd}/${input}`;
  try { yield* (await io.trees()).bytes(path); } catch (error) { throw new Failure(fileErrorWords(error, byteStringOf(input)), 1); }
}
