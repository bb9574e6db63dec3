// Networks, told to this engine and to Debian's dockerd: each has its bridges, rules and ports on a machine of its own, and traffic is sent through them.
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CLIS } from '../kit/docker.ts';
import { compare } from './asking.ts';
import { assertSameSaid, normalSaid } from './clients/answers.ts';
import { tellNetworked } from './clients/compose/networked.ts';
import { ComposeScene } from './clients/compose/scene.ts';
import type { Story } from './scene.ts';
import { addressStories } from './stories/network-addresses.ts';
import { flagStories } from './stories/network-flags.ts';
import { namesStories } from './stories/network-names.ts';
import { networkStories } from './stories/networks.ts';
import { assertSame, closeWorld, namesOf, openWorld, relaunch, told, type World } from './telling.ts';

const STORIES: readonly Story[] = [...networkStories, ...namesStories];
/** One story after the other, to both engines at the same time: addresses that nobody asked for are then the same. */
const AT_ONCE = 1;

let world: World;
before(async () => { world = await openWorld({ networks: true }); });
after(() => closeWorld(world));

describe('networks are here what they are at dockerd', { concurrency: AT_ONCE }, () => {
  for (const story of STORIES) {
    for (const cli of story.once ? ['debian'] as const : ['debian', 'newer'] as const) {
      test(`${story.name} (${cli})`, async () => {
        await compare(world, (engine) => told(world, story, { cli, binary: CLIS[cli], engine }), assertSame);
      });
    }
  }
  test('a project with networks (compose)', async () => {
    await compare(world, async (engine) => {
      const scene = new ComposeScene({
        socket: engine.socket, host: engine.host, configDir: join(world.root.path, 'client'), prefix: 'project', images: world.images.get('debian') ?? {}, folder: join(engine.root, 'files-project'),
      });
      const machine = world.machines.get(engine);
      if (!machine) throw new Error('an engine without a machine');
      try { await tellNetworked(scene, machine); }
      catch (cause) { throw new Error(`at ${engine === world.ours ? 'this engine' : 'dockerd'} after ${JSON.stringify(scene.said.at(-1))}`, { cause }); }
      finally { await scene.end(); }
      return scene.said.flatMap((line) => normalSaid(line, { names: namesOf(world, engine), knownIds: world.knownIds }, 'compose networks') ?? []);
    }, assertSameSaid);
  });
});

/** Every subnet in these is their own. */
describe('addresses are here what they are at dockerd', { concurrency: 2 }, () => {
  for (const story of addressStories) {
    test(story.name, async () => { await compare(world, (engine) => told(world, story, { cli: 'debian', binary: CLIS.debian, engine }), assertSame); });
  }
});

describe('flags make the default network and the pools what they make them at dockerd', { concurrency: false }, () => {
  for (const story of flagStories) {
    test(story.name, async () => {
      world = await relaunch(world, story);
      await compare(world, (engine) => told(world, story, { cli: 'debian', binary: CLIS.debian, engine }), assertSame);
    });
  }
});
