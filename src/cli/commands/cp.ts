// cp: files and trees from a container to here, and the other way.
import { byteStringOf, textOf } from '../../archive/byte-string.ts';
import { packTree } from '../../archive/pack.ts';
import { TarReader } from '../../archive/tar-read.ts';
import { fileErrorWords, Unpacker } from '../../archive/unpack.ts';
import { containerPath, PROGRAM, warn, type Call, type Command } from '../command.ts';
import { base, decidePlace, hostDestination, hostPath, hostSource, linkedTo, packRoot, rebaser, renamedTo, split, validateOutputPath, type Place, type Source } from '../copying.ts';
import { DaemonError, Failure } from '../failure.ts';
import { flag } from '../flags.ts';

/** Source: Go's io/fs. */
const GO_DIR = 2 ** 31, GO_SYMLINK = 1 << 27, GO_DEVICE = 1 << 26, GO_IRREGULAR = 1 << 19;

interface PathStat { name: string; size: number; mode: number; linkTarget: string }

export const cp: Command = {
  name: 'cp', usage: `[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\t${PROGRAM} cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH`, short: 'Copy files/folders between a container and the local filesystem', args: { min: 2, max: 2 },
  flags: [
    flag('a, archive', 'bool', 'Give everything to the user of the container'),
    flag('L, follow-link', 'bool', 'Copy what a link in the source path leads to'),
    flag('q, quiet', 'bool', 'Say nothing of what was copied, as always here'),
  ],
  run: runCp,
};

async function runCp(call: Call): Promise<void> {
  const [from = '', to = ''] = call.args;
  if (from === '') throw new Failure('source can not be empty');
  if (to === '') throw new Failure('destination can not be empty');
  const source = splitArgument(from), destination = splitArgument(to);
  if (source.container !== undefined && destination.container !== undefined) throw new Failure('copying between containers is not supported');
  if (source.container !== undefined) return fromContainer(call, { container: source.container, path: source.path }, destination.path);
  if (destination.container !== undefined) return toContainer(call, source.path, { container: destination.container, path: destination.path });
  throw new Failure('must specify at least one container source');
}

interface Remote { container: string; path: string }

/** An absolute path, or one that starts with a dot, is the machine's even with a colon in it. */
function splitArgument(argument: string): { container: string | undefined; path: string } {
  const colon = argument.indexOf(':');
  if (argument.startsWith('/') || argument.startsWith('.') || colon < 0) return { container: undefined, path: argument };
  return { container: argument.slice(0, colon), path: argument.slice(colon + 1) };
}

const missingPath = ({ container, path }: Remote) => ({ object: 'container:path', name: `${container}:${path}` });

async function statRemote({ client }: Call, remote: Remote): Promise<PathStat | undefined> {
  try {
    const { header } = await client.answer('HEAD', containerPath(remote.container, '/archive'), { query: { path: remote.path }, missing: missingPath(remote) });
    return statIn(header('X-Docker-Container-Path-Stat'));
  } catch (error) {
    if (error instanceof DaemonError || (error instanceof Error && error.name === 'Missing')) return undefined; // what is wrong is told when it is copied
    throw error;
  }
}

const statIn = (header: string): PathStat => JSON.parse(Buffer.from(header, 'base64').toString('utf8')) as PathStat;
const isLink = (stat: PathStat): boolean => (stat.mode & GO_SYMLINK) !== 0;

async function fromContainer(call: Call, remote: Remote, to: string): Promise<void> {
  const { client, flags, io } = call;
  const trees = await io.trees();
  const destination = to === '-' ? to : hostPath(io.cwd, to);
  if (to !== '-') validateOutputPath(trees.source, destination);
  let { path } = remote;
  let rebase: string | undefined;
  if (flags.bool('follow-link')) {
    const stat = await statRemote(call, remote);
    if (stat && isLink(stat)) ({ path, rebase } = renamedTo(path, linkedTo(path, stat.linkTarget)));
  }
  const { header, bytes } = await client.answer('GET', containerPath(remote.container, '/archive'), { query: { path }, missing: missingPath({ ...remote, path }) });
  if (destination === '-') {
    for await (const chunk of bytes) { io.stdout.write(chunk); await io.stdout.drained(); }
    return;
  }
  const source: Source = { path: byteStringOf(path), isDir: statIn(header('X-Docker-Container-Path-Stat')).mode >= GO_DIR, rebase: rebase === undefined ? undefined : byteStringOf(rebase) };
  const place = decidePlace(source, hostDestination(trees.source, destination));
  // Two renamings: to the name that was asked for, then to the one it gets here.
  const first = source.rebase === undefined ? undefined : rebaser(split(source.path).base, source.rebase);
  const rename = (name: string) => { const once = first?.(name) ?? name; return place.rename?.(once) ?? once; };
  const unpacker = new Unpacker(trees.target(place.folder), { destination: place.folder, keepKinds: true, keepInside: true, rename });
  try { await unpack(unpacker, bytes); } catch (error) {
    unpacker.abandon();
    throw new Failure(fileErrorWords(error));
  }
}

async function unpack(unpacker: Unpacker, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const reader = new TarReader(unpacker);
  for await (const chunk of bytes) reader.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
  reader.finish();
  unpacker.finish();
}

async function toContainer(call: Call, from: string, remote: Remote): Promise<void> {
  const { client, flags, io } = call;
  let { path } = remote;
  let stat = await statRemote(call, remote);
  if (stat && isLink(stat)) {
    path = linkedTo(path, stat.linkTarget);
    stat = await statRemote(call, { ...remote, path });
  }
  assertNoDevice(stat, remote);
  const destination: Place = { path: byteStringOf(path), exists: stat !== undefined, isDir: (stat?.mode ?? 0) >= GO_DIR };
  const put = (folder: string, body: AsyncIterable<Uint8Array>) => client.upload(containerPath(remote.container, '/archive'), body, {
    query: { path: folder, noOverwriteDirNonDir: 'true', copyUIDGID: flags.bool('archive') ? 'true' : undefined }, missing: missingPath({ ...remote, path: folder }),
  });
  if (from === '-') {
    if (!destination.isDir) throw new Failure(`destination "${remote.container}:${remote.path}" must be a directory`);
    return put(path, io.stdin.chunks());
  }
  const trees = await io.trees();
  const source = hostSource(trees.source, hostPath(io.cwd, from), flags.bool('follow-link'));
  const place = decidePlace(source, destination);
  const as = place.rename?.(source.rebase ?? base(source.path)) ?? source.rebase ?? base(source.path);
  const skipped = (at: string, error: unknown) => warn(call, `Can't add file ${textOf(at)} to tar: ${fileErrorWords(error)}`);
  await put(textOf(place.folder), copies(packTree(trees.source, packRoot(source), { as: as === '/' ? '' : as, onSkipped: skipped })));
}

function assertNoDevice(stat: PathStat | undefined, { container, path }: Remote): void {
  const what = ((stat?.mode ?? 0) & GO_DEVICE) !== 0 ? 'got a device' : ((stat?.mode ?? 0) & GO_IRREGULAR) !== 0 ? 'got an irregular file' : undefined;
  if (what !== undefined) throw new Failure(`destination "${container}:${path}" must be a directory or a regular file: ${what}`);
}

/** The pieces are used again; what is on its way to a socket must not change. */
async function* copies(pieces: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield Buffer.from(piece);
}
