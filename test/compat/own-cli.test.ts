// The same words to our own command line and to Debian's docker CLI, each in front of an engine of ours: output and exit codes are compared.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runCommandLine } from '../../src/cli/cli.ts';
import { commands, groups } from '../../src/cli/commands/index.ts';
import { openTestIo } from '../kit/cli-io.ts';
import { EXECUTABLE, startDaemon, type Daemon } from '../kit/daemon.ts';
import { CLIS, openDocker, type Docker } from '../kit/docker.ts';
import { busyboxImage, treeTar, type BuiltImage } from '../kit/image.ts';
import { openNetns } from '../kit/netns.ts';
import { pushImage, startRegistry, type DebianRegistry } from '../kit/registry.ts';
import { openTempRoot } from '../kit/temp.ts';
import { ALLOWED, neutralText } from './own-differences.ts';
import { Scene, type Line, type Story } from './scene.ts';
import { archiveStories } from './stories/archives.ts';
import { fileStories } from './stories/files.ts';
import { lifecycleStories } from './stories/lifecycle.ts';
import { networkStories } from './stories/networks.ts';
import { ownCliStories, pruneStory } from './stories/own-cli.ts';
import { resourceStories } from './stories/resources.ts';
import { streamStories } from './stories/streams.ts';
import { volumeStories } from './stories/volumes.ts';

/** Of the stories for engines, those whose answers the command line puts together. */
const SHARED = new Set(['ps', 'logs', 'cp', 'diff', 'export', 'commit', 'stats', 'update', 'volumes-verbs', 'archives']);
const STORIES: readonly Story[] = [...ownCliStories, ...[...lifecycleStories, ...resourceStories, ...streamStories, ...fileStories, ...archiveStories, ...volumeStories].filter(({ name }) => SHARED.has(name))];
/** Stories at once; each is told through both command lines at the same time. */
const AT_ONCE = 3;

interface World { root: ReturnType<typeof openTempRoot>; registry: DebianRegistry; docker: Daemon; own: Daemon; images: Record<string, string>; knownIds: Set<string> }

describe('our own words are answered as docker\'s are', { concurrency: AT_ONCE }, () => {
  let world: World;
  const needed = new Set<string>();
  before(async () => {
    assert.ok(existsSync(CLIS.debian), `${CLIS.debian} is needed for comparison`);
    world = await openWorld();
  });
  after(async () => {
    await Promise.all([world.docker.stop(), world.own.stop(), world.registry.stop()]);
    await world.root[Symbol.asyncDispose]();
    assert.deepEqual(ALLOWED.filter(({ why, sometimes }) => sometimes !== true && !needed.has(why)).map(({ why }) => why), [], 'differences that are allowed, but gone');
  });
  for (const story of STORIES) {
    test(story.name, async () => {
      compare(story, await Promise.all([told(world, story, { engine: world.docker, client: 'docker' }), told(world, story, { engine: world.own, client: 'own' })]), needed);
    });
  }
  test('networks', async () => {
    await using netns = openNetns();
    await using engine = await startDaemon({ root: join(world.root.path, 'networked'), netns });
    for (const story of [...networkStories.filter(({ name }) => name === 'networks-verbs'), pruneStory]) {
      // One after the other to the same engine: nothing of a network is the engine's own business here.
      const docker = await told(world, story, { engine, client: 'docker' });
      compare(story, [docker, await told(world, story, { engine, client: 'own' })], needed);
    }
  });
});

/** `needed` collects why differences were forgiven. */
function compare(story: Story, [docker, own]: readonly [docker: readonly Line[], own: readonly Line[]], needed: Set<string>): void {
  const differing = [...docker.keys()].filter((at) => !same(docker[at], own[at], { story: story.name, needed }));
  const text = (lines: readonly Line[]) => `${differing.map((at) => lineText(lines[at])).join('\n')}\n(${lines.length} lines)`;
  if (differing.length > 0 || docker.length !== own.length) assert.equal(text(own), text(docker));
}

test('every word of docker is carried out, or its absence is told in a sentence', async () => {
  const have = new Set([...commands.map(({ name }) => name), ...groups.map(({ name }) => name), ...groups.flatMap((group) => group.commands.map(({ name }) => `${group.name} ${name}`))]);
  const missing = ['', 'container', 'image', 'network', 'system', 'volume'].flatMap((noun) => wordsOf(noun)).filter((words) => !have.has(words));
  assert.ok(missing.length > 10, missing.join(', '));
  for (const words of missing) {
    const io = openTestIo({ env: { DOCKER_HOST: 'unix:///nowhere' } });
    assert.equal(await runCommandLine([...words.split(' '), 'x', '--help'], io), 1, words);
    assert.match(io.err(), new RegExp(`^vaquita: (this version does not have '${words}' yet: .+ comes with a later release\\.|there is no '${words}', and there will be none: )`), words);
    assert.equal(io.out(), '', words);
  }
});

/** As docker's own help lists them. */
function wordsOf(noun: string): string[] {
  const help = execFileSync(CLIS.debian, [...(noun === '' ? [] : [noun]), '--help'], { encoding: 'utf8' });
  return [...help.matchAll(/^  ([a-z]+)\*? {2,}/gm)].map(([, word]) => (noun === '' ? word ?? '' : `${noun} ${word}`));
}

/** Two engines of one kind, so that both tellings may use the same names at the same time. */
async function openWorld(): Promise<World> {
  const root = openTempRoot();
  const [registry, docker, own] = await Promise.all([startRegistry({ root: root.path }), startDaemon({ root: join(root.path, 'docker') }), startDaemon({ root: join(root.path, 'own') })]);
  const world: World = { root, registry, docker, own, images: {}, knownIds: new Set() };
  world.images = await pushImages(world);
  for (const engine of [docker, own]) {
    const client = openDocker({ host: engine.host, configDir: join(root.path, 'client'), binary: CLIS.debian });
    for (const name of ['IMAGE', 'FULLIMAGE']) await client.ok(['pull', '-q', world.images[name] ?? '']);
  }
  return world;
}

/** Image names as the stories have them; repositories are named after the story that empties them. */
async function pushImages({ registry, knownIds }: World): Promise<Record<string, string>> {
  const own = (kind: string) => busyboxImage({ extra: [treeTar({ [kind]: kind }), treeTar({ which: kind })], config: { Labels: { story: kind } } });
  const push = (image: BuiltImage, repository: string, tag: string) => {
    for (const id of [...[image.manifest, image.config, ...image.layers].map((blob) => blob.digest), ...image.diffIds]) knownIds.add(id.slice('sha256:'.length));
    return pushImage(registry.host, image, { repository, tag });
  };
  const full = busyboxImage({ config: { Entrypoint: ['echo', 'entry'], Cmd: ['and', 'words'], Env: ['PATH=/usr/bin:/bin', 'GREETING=hello'], WorkingDir: '/tmp/work', User: '1000:1000', Labels: { from: 'image' }, StopSignal: 'SIGHUP' } });
  const mine = own('own');
  return {
    IMAGE: await push(busyboxImage(), 'compat/busybox', '1'), FULLIMAGE: await push(full, 'compat/full', '1'),
    OWNIMAGE: await push(mine, 'compat/xpull-repo', '1'), OTHERIMAGE: await push(own('other'), 'compat/xpull-repo', '2'),
    OWNDIGESTIMAGE: `${registry.host}/compat/xpull-repo@${mine.manifest.digest}`,
    RMIIMAGE: await push(own('rmi'), 'compat/xrmi-repo', '1'), EVENTIMAGE: await push(own('event'), 'compat/xevent-repo', '1'),
    AUTOIMAGE: await push(own('auto'), 'compat/auto', 'latest'), TTYIMAGE: await push(own('tty'), 'compat/tty', '1'),
    NOIMAGE: `${registry.host}/compat/busybox:none`,
  };
}

/** One telling, with what is never the same twice written the same way. */
async function told(world: World, story: Story, { engine, client: which }: { engine: Daemon; client: 'docker' | 'own' }): Promise<Line[]> {
  const client = { host: engine.host, configDir: join(world.root.path, 'client') };
  const docker = which === 'own' ? openOwn(client) : openDocker({ ...client, binary: CLIS.debian });
  const scene = new Scene({ docker, prefix: `x${story.name}`, images: world.images, registry: world.registry.host, folder: join(engine.root, `files-${story.name}`) });
  try { await story.tell(scene); }
  catch (cause) { throw new Error(`${story.name} through ${which === 'own' ? 'our own words' : 'docker'} after ${JSON.stringify(scene.said.at(-1), null, 1)}`, { cause }); }
  finally { await scene.end(); }
  const names = [[engine.dataRoot, '<data root>'], [engine.socket, '<socket>'], [engine.root, '<root>'], [world.registry.host, 'registry.example']] as const;
  const neutral = (text: string) => neutralText(text, { names, knownIds: world.knownIds });
  return scene.said.map((line) => ({
    ...line, words: neutral(line.words), ...(line.stdout === undefined ? {} : { stdout: neutral(line.stdout) }), ...(line.stderr === undefined ? {} : { stderr: neutral(line.stderr) }),
    ...(typeof line.note === 'string' ? { note: neutral(line.note) } : {}),
  }));
}

/** What needs a terminal, input or signals is a process of its own; the rest is spared the start of one, a tenth of a second each. */
function openOwn(client: { host: string; configDir: string }): Docker {
  const processes = openDocker({ ...client, binary: EXECUTABLE });
  const run: Docker['run'] = async (words, options = {}) => {
    if (options.input !== undefined) return processes.run(words, options);
    const io = {
      ...openTestIo({ env: { DOCKER_HOST: client.host, DOCKER_CONFIG: client.configDir } }),
      readFile: (path: string) => readFile(path), exists: (path: string) => access(path).then(() => true, () => false),
      writeFile: (path: string, data: string) => writeFile(path, data, { flag: 'wx' }),
    };
    const code = await runCommandLine(words, io);
    return { code, signal: null, stdout: io.out(), stderr: io.err(), stdoutBytes: Buffer.from(io.out()) };
  };
  const ok: Docker['ok'] = async (words) => {
    const { code, stdout, stderr } = await run(words);
    if (code !== 0) throw new Error(`${words.join(' ')}: exit code ${code}\n${stdout}${stderr}`);
    return stdout.replace(/\n$/, '');
  };
  return { ...processes, run, ok };
}

function same(docker: Line | undefined, own: Line | undefined, { story, needed }: { story: string; needed: Set<string> }): boolean {
  if (docker === undefined || own === undefined) return false;
  let [a, b] = [docker, own].map((line) => JSON.stringify(line));
  for (const allowed of a === b ? [] : ALLOWED.filter(({ where }) => where.test(`${story}: ${docker.words}`))) {
    const [nextA, nextB] = [docker, own].map((line) => JSON.stringify(allowed.alike(line)));
    if (nextA === a && nextB === b) continue;
    needed.add(allowed.why);
    [a, b] = [nextA, nextB];
    if (a === b) break;
  }
  return a === b;
}

function lineText(line: Line | undefined): string {
  if (line === undefined) return '(nothing)';
  const note = 'note' in line ? `[note] ${JSON.stringify(line.note)}\n` : '';
  return `$ ${line.words}\n${line.stdout ?? ''}${line.stderr ? `[stderr] ${line.stderr}` : ''}${note}[code ${line.code}]\n`;
}
