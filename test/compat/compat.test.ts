// The same words to this engine and to Debian's dockerd, through each docker command line on the machine: the answers are compared.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { startDaemon, type Daemon } from '../kit/daemon.ts';
import { CLIS, openDocker } from '../kit/docker.ts';
import { startDockerd, type Dockerd } from '../kit/dockerd.ts';
import { busyboxImage, treeTar, type BuiltImage } from '../kit/image.ts';
import { startRegistry, pushImage, type DebianRegistry } from '../kit/registry.ts';
import { openTempRoot } from '../kit/temp.ts';
import { until } from '../kit/poll.ts';
import { normalLine } from './differences.ts';
import { Scene, type Line, type Story } from './scene.ts';
import { fileStories } from './stories/files.ts';
import { courseStories } from './stories/course.ts';
import { imageStories } from './stories/images.ts';
import { isolationStories } from './stories/isolation.ts';
import { lifecycleStories } from './stories/lifecycle.ts';
import { mountStories } from './stories/mounts.ts';
import { resourceStories } from './stories/resources.ts';
import { logStories } from './stories/logs.ts';
import { runStories } from './stories/run.ts';
import { securityStories } from './stories/security.ts';
import { streamStories } from './stories/streams.ts';
import { systemStories } from './stories/system.ts';
import { volumeImage, volumeStories } from './stories/volumes.ts';

const STORIES: readonly Story[] = [...lifecycleStories, ...courseStories, ...streamStories, ...imageStories, ...systemStories, ...runStories, ...isolationStories, ...logStories, ...securityStories, ...volumeStories, ...mountStories, ...fileStories, ...resourceStories];
/** Stories at once; each is told to both engines at the same time. */
const AT_ONCE = 3;

interface World { root: ReturnType<typeof openTempRoot>; registry: DebianRegistry; ours: Daemon; theirs: Dockerd; images: Map<string, Record<string, string>>; knownIds: Set<string>; emptyBefore: ReadonlySet<string> }

describe('the docker command lines find here what they find at dockerd', { concurrency: AT_ONCE }, () => {
  let world: World;
  before(async () => { world = await openWorld(); });
  after(async () => {
    // Whatever is found, nothing is left running: the process of the tests would wait for it for ever.
    const found = await look(world).then(() => undefined, (error: unknown) => error);
    await world.ours.stop();
    await world.theirs[Symbol.asyncDispose]();
    await world.registry.stop();
    if (found !== undefined) throw found;
    await world.root[Symbol.asyncDispose]();
  });
  for (const [cli, binary] of Object.entries(CLIS)) {
    if (!existsSync(binary)) {
      console.log(`compat: ${binary} is not installed, its half of the stories is not told`);
      continue;
    }
    for (const story of STORIES.filter(({ once }) => once !== true || cli === 'debian')) {
      test(`${story.name} (${cli})`, async () => {
        // Both to their end, whatever happens to one: what is not ended would be left behind.
        const tellings = await Promise.allSettled([world.ours, world.theirs].map((engine) => told(world, story, { cli, binary, engine })));
        const [ours, theirs] = tellings.map((telling) => { if (telling.status === 'rejected') throw telling.reason; return telling.value; });
        assertSame(ours ?? [], theirs ?? []);
      });
    }
  }
});

/** Nothing of any story is left. Processes and mounts are looked for when the folder goes. */
async function look(world: World): Promise<void> {
  for (const { host } of [world.ours, world.theirs]) assert.equal(await client(world, host).ok(['ps', '-a', '--format', '{{.Names}} {{.Command}} {{.Status}}']), '', host);
  await until('all cgroups of ended containers to be gone', () => emptyCgroups().every((path) => world.emptyBefore.has(path)), 5000)
    .catch((cause: unknown) => { throw new Error(`left: ${emptyCgroups().filter((path) => !world.emptyBefore.has(path)).join(' ')}`, { cause }); });
}

async function openWorld(): Promise<World> {
  const root = openTempRoot();
  const registry = await startRegistry({ root: root.path });
  const [ours, theirs] = await Promise.all([startDaemon({ root: join(root.path, 'ours') }), startDockerd({ root: join(root.path, 'theirs') })]);
  const world: World = { root, registry, ours, theirs, images: new Map(), knownIds: new Set(), emptyBefore: new Set(emptyCgroups()) };
  for (const cli of Object.keys(CLIS)) world.images.set(cli, await pushImages(world, cli));
  for (const engine of [ours, theirs]) {
    const docker = client(world, engine.host);
    for (const name of ['IMAGE', 'FULLIMAGE', 'VOLIMAGE']) await docker.ok(['pull', '-q', world.images.get('debian')?.[name] ?? '']);
  }
  return world;
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
async function told(world: World, story: Story, { cli, binary, engine }: { cli: string; binary: string; engine: Daemon | Dockerd }): Promise<Line[]> {
  const prefix = `${cli.charAt(0)}${story.name}`;
  const docker = openDocker({ host: engine.host, configDir: join(world.root.path, 'client'), binary });
  const scene = new Scene({ docker, prefix, images: world.images.get(cli) ?? {}, registry: world.registry.host, folder: join(engine.root, `files-${prefix}`) });
  try { await story.tell(scene); }
  catch (cause) { throw new Error(`${story.name} at ${engine === world.ours ? 'this engine' : 'dockerd'} after ${JSON.stringify(scene.said.at(-1), null, 1)}`, { cause }); }
  finally { await scene.end(); }
  const names = [
    [engine.dataRoot, '<data root>'], [engine.root, '<root>'], [engine.socket, '<socket>'], [world.registry.host, 'registry.example'],
  ] as const;
  return scene.said.map((line) => normalLine(line, { names, knownIds: world.knownIds }, story.name));
}

/** Compares line by line, and tells all that differ at once. */
function assertSame(ours: readonly Line[], theirs: readonly Line[]): void {
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
