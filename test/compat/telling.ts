// Two engines side by side with the same images in them, and a story told to both: what the comparisons of command lines are made of.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { startChild, type Child } from '../kit/child.ts';
import { startDaemon, type Daemon } from '../kit/daemon.ts';
import { CLIS, openDocker } from '../kit/docker.ts';
import { startDockerd, type Dockerd } from '../kit/dockerd.ts';
import { busyboxImage, treeTar, type BuiltImage } from '../kit/image.ts';
import { openNetns, type Netns } from '../kit/netns.ts';
import { until } from '../kit/poll.ts';
import { pushImage, startRegistry, type DebianRegistry } from '../kit/registry.ts';
import { openTempRoot } from '../kit/temp.ts';
import { normalLine } from './differences.ts';
import { Scene, type Line, type Story } from './scene.ts';
import { volumeImage } from './stories/volumes.ts';

export interface World {
  root: ReturnType<typeof openTempRoot>; registry: DebianRegistry; ours: Daemon; theirs: Dockerd; images: Map<string, Record<string, string>>; knownIds: Set<string>; emptyBefore: ReadonlySet<string>;
  /** Where each engine has its networks, when it has any. */
  machines: Map<Daemon | Dockerd, Netns>;
  /** Each machine's name server. */
  nameServers: readonly Child[];
}

/** Whatever is found, nothing is left running: the process of the tests would wait for it for ever. */
export async function closeWorld(world: World): Promise<void> {
  const found = await look(world).then(() => undefined, (error: unknown) => error);
  await world.ours.stop();
  await world.theirs[Symbol.asyncDispose]();
  await world.registry.stop();
  for (const server of world.nameServers) await server[Symbol.asyncDispose]();
  const left = await Promise.allSettled([...world.machines.values()].map((machine) => machine[Symbol.asyncDispose]()));
  if (found !== undefined) throw found;
  await world.root[Symbol.asyncDispose]();
  for (const one of left) if (one.status === 'rejected') throw one.reason;
}

/** Nothing of any story is left. Processes and mounts are looked for when the folder goes. */
async function look(world: World): Promise<void> {
  for (const { host } of [world.ours, world.theirs]) {
    const left = () => client(world, host).ok(['ps', '-a', '--format', '{{.Names}} {{.Command}} {{.Status}}']);
    await until('what removes itself to be gone', async () => await left() === '').catch(() => { /* told below */ });
    assert.equal(await left(), '', host);
  }
  await until('all cgroups of ended containers to be gone', () => emptyCgroups().every((path) => world.emptyBefore.has(path)))
    .catch((cause: unknown) => { throw new Error(`left: ${emptyCgroups().filter((path) => !world.emptyBefore.has(path)).join(' ')}`, { cause }); });
}

/** On lo of each machine, for containers to reach through their gateways. */
const NAME_SERVER = '198.51.100.53';

/** With `networks` each engine is on a machine of its own, as far as networks go; images are pulled before, where the registry is. */
export async function openWorld({ networks = false }: { networks?: boolean } = {}): Promise<World> {
  await using undo = new AsyncDisposableStack();
  const root = undo.use(openTempRoot());
  const registry = undo.use(await startRegistry({ root: root.path }));
  const [ours, theirs] = await launch(root.path, { machines: [], flags: [] });
  const engines = undo.adopt([ours, theirs], async (both) => { for (const engine of both) await engine[Symbol.asyncDispose](); });
  const world: World = { root, registry, ours, theirs, images: new Map(), knownIds: new Set(), emptyBefore: new Set(emptyCgroups()), machines: new Map(), nameServers: [] };
  for (const cli of Object.keys(CLIS)) world.images.set(cli, await pushImages(world, cli));
  for (const engine of engines) {
    const docker = client(world, engine.host);
    for (const name of ['IMAGE', 'FULLIMAGE', 'VOLIMAGE']) await docker.ok(['pull', '-q', world.images.get('debian')?.[name] ?? '']);
  }
  const opened = networks ? await relaunch(world) : world;
  undo.move();
  return opened;
}

/** The same engines with other flags, each on a new machine that `prepare` was run on by a shell. Whoever has a world has the new one from then on. */
export async function relaunch(world: World, { flags = [], prepare = '' }: { flags?: readonly string[]; prepare?: string } = {}): Promise<World> {
  await Promise.all([world.ours.stop(), world.theirs[Symbol.asyncDispose]()]);
  for (const gone of [...world.nameServers, ...world.machines.values()]) await gone[Symbol.asyncDispose]();
  rmSync(join(world.theirs.dataRoot, 'network'), { recursive: true, force: true }); // where dockerd keeps the default network of its last machine
  const [mine, docks] = [openNetns(), openNetns()];
  const nameServers = await Promise.all([mine, docks].map(startNameServer));
  if (prepare !== '') await Promise.all([mine, docks].map((machine) => machine.ok('sh', '-c', prepare)));
  const [ours, theirs] = await launch(world.root.path, { machines: [mine, docks], flags: ['--dns', NAME_SERVER, ...flags] });
  return { ...world, ours, theirs, nameServers, machines: new Map<Daemon | Dockerd, Netns>([[ours, mine], [theirs, docks]]) };
}

/** Both, or neither: one that were left would keep the process of the tests waiting for it. */
async function launch(root: string, { machines, flags }: { machines: readonly Netns[]; flags: readonly string[] }): Promise<[ours: Daemon, theirs: Dockerd]> {
  const [ours, theirs] = await Promise.allSettled([
    startDaemon({ root: join(root, 'ours'), netns: machines[0], flags }), startDockerd({ root: join(root, 'theirs'), netns: machines[1], flags }),
  ]);
  if (ours.status === 'fulfilled' && theirs.status === 'fulfilled') return [ours.value, theirs.value];
  for (const one of [ours, theirs]) if (one.status === 'fulfilled') await one.value[Symbol.asyncDispose]();
  throw ours.status === 'rejected' ? ours.reason : (theirs as PromiseRejectedResult).reason;
}

/** What nobody knows is said at once, instead of being asked for outside. */
async function startNameServer(machine: Netns): Promise<Child> {
  await machine.ok('ip', 'addr', 'add', `${NAME_SERVER}/32`, 'dev', 'lo');
  return startChild({
    command: [...machine.wrap, process.execPath, '--no-warnings', join(import.meta.dirname, '../kit/dns-server.ts'), NAME_SERVER],
    ready: async () => / [0-9A-F]{8}:0035 /.test(await machine.ok('cat', '/proc/net/udp')),
  });
}

const client = ({ root }: World, host: string) => openDocker({ host, configDir: join(root.path, 'client'), binary: CLIS.debian });

/** Each command line has repositories of its own to pull and remove; what is run is shared. */
async function pushImages({ registry, knownIds }: World, cli: string): Promise<Record<string, string>> {
  const prefix = cli.charAt(0);
  const own = (kind: string) => busyboxImage({ extra: [treeTar({ [`${kind}-${cli}`]: kind }), treeTar({ which: `${kind} of ${cli}` })], config: { Labels: { story: kind, cli } } });
  const push = (image: BuiltImage, repository: string, tag: string) => {
    for (const blob of [image.manifest, image.config, ...image.layers]) knownIds.add(blob.digest.slice('sha256:'.length));
    for (const id of image.diffIds) knownIds.add(id.slice('sha256:'.length));
    return pushImage(registry.host, image, { repository, tag });
  };
  const full = busyboxImage({ config: { Entrypoint: ['echo', 'entry'], Cmd: ['and', 'words'], Env: ['PATH=/usr/bin:/bin', 'GREETING=hello'], WorkingDir: '/tmp/work', User: '1000:1000', Labels: { from: 'image' }, StopSignal: 'SIGHUP' } });
  const mine = own('own');
  return {
    IMAGE: await push(busyboxImage(), 'compat/busybox', '1'), FULLIMAGE: await push(full, 'compat/full', '1'), VOLIMAGE: await push(volumeImage(), 'compat/volumes', '1'),
    OWNIMAGE: await push(mine, `compat/${prefix}pull-repo`, '1'), OTHERIMAGE: await push(own('other'), `compat/${prefix}pull-repo`, '2'),
    OWNDIGESTIMAGE: `${registry.host}/compat/${prefix}pull-repo@${mine.manifest.digest}`,
    RMIIMAGE: await push(own('rmi'), `compat/${prefix}rmi-repo`, '1'), EVENTIMAGE: await push(own('event'), `compat/${prefix}event-repo`, '1'),
    NOIMAGE: `${registry.host}/compat/busybox:none`,
  };
}

/** One telling, normalised. */
export async function told(world: World, story: Story, { cli, binary, engine }: { cli: string; binary: string; engine: Daemon | Dockerd }): Promise<Line[]> {
  const prefix = `${cli.charAt(0)}${story.name}`;
  const docker = openDocker({ host: engine.host, configDir: join(world.root.path, 'client'), binary });
  const folder = join(engine.root, `files-${prefix}`);
  rmSync(folder, { recursive: true, force: true }); // of an earlier telling
  const scene = new Scene({ docker, prefix, images: world.images.get(cli) ?? {}, registry: world.registry.host, folder, machine: world.machines.get(engine) });
  try { await story.tell(scene); }
  catch (cause) { throw new Error(`${story.name} at ${engine === world.ours ? 'this engine' : 'dockerd'} after ${JSON.stringify(scene.said.at(-1), null, 1)}`, { cause }); }
  finally { await scene.end(); }
  const names = namesOf(world, engine);
  return scene.said.map((line) => normalLine(line, { names, knownIds: world.knownIds }, story.name));
}

/** One engine's own paths and names, and what they are written as. */
export const namesOf = ({ registry }: World, engine: Daemon | Dockerd): ReadonlyArray<readonly [text: string, written: string]> => [
  [engine.dataRoot, '<data root>'], [engine.root, '<root>'], [engine.socket, '<socket>'], [registry.host, 'registry.example'],
];

/** Compares line by line, and tells all that differ at once. */
export function assertSame(ours: readonly Line[], theirs: readonly Line[]): void {
  const wrong: string[] = [];
  for (let at = 0; at < Math.max(ours.length, theirs.length); at++) {
    if (!isDeepStrictEqual(ours[at], theirs[at])) wrong.push(`$ ${ours[at]?.words ?? theirs[at]?.words}\n  this engine: ${shown(ours[at])}\n  dockerd:     ${shown(theirs[at])}`);
  }
  assert.equal(wrong.length, 0, `${wrong.length} answers differ:\n${wrong.join('\n')}`);
}

function shown(line: Line | undefined): string {
  if (!line) return '(nothing was said)';
  const { words: _words, ...answer } = line;
  return JSON.stringify(answer);
}

/** Cgroup folders of containers, without a process: those of an ended container should be gone, others on this machine have some. */
function emptyCgroups(): string[] {
  return readdirSync('/sys/fs/cgroup').flatMap((controller) => {
    const parent = join('/sys/fs/cgroup', controller, 'docker');
    if (!existsSync(parent)) return [];
    return readdirSync(parent).filter((name) => /^[0-9a-f]{64}$/.test(name)).map((name) => join(parent, name)).filter(isEmpty);
  });
}

function isEmpty(cgroup: string): boolean {
  try { return readFileSync(join(cgroup, 'cgroup.procs'), 'utf8') === ''; }
  catch { return false; } // gone just now
}
