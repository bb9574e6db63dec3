// Networks, told to this engine and to Debian's dockerd: each has its bridges, rules and ports on a machine of its own, and traffic is sent through them.
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CLIS } from '../kit/docker.ts';
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
        assertSame(...await both(world, (engine) => told(world, story, { cli, binary: CLIS[cli], engine })));
      });
    }
  }
  test('a project with networks (compose)', async () => {
    assertSameSaid(...await both(world, async (engine) => {
      const scene = new ComposeScene({
        socket: engine.socket, host: engine.host, configDir: join(world.root.path, 'client'), prefix: 'project', images: world.images.get('debian') ?? {}, folder: join(engine.root, 'files-project'),
      });
      const machine = world.machines.get(engine);
      if (!machine) throw new Error('an engine without a machine');
      try { await tellNetworked(scene, machine); }
      catch (cause) { throw new Error(`at ${engine === world.ours ? 'this engine' : 'dockerd'} after ${JSON.stringify(scene.said.at(-1))}`, { cause }); }
      finally { await scene.end(); }
      return scene.said.flatMap((line) => normalSaid(line, { names: namesOf(world, engine), knownIds: world.knownIds }, 'compose networks') ?? []);
    }));
  });
});

/** Every subnet in these is their own. */
describe('addresses are here what they are at dockerd', { concurrency: 2 }, () => {
  for (const story of addressStories) {
    test(story.name, async () => { assertSame(...await both(world, (engine) => told(world, story, { cli: 'debian', binary: CLIS.debian, engine }))); });
  }
});

describe('flags make the default network and the pools what they make them at dockerd', { concurrency: false }, () => {
  for (const story of flagStories) {
    test(story.name, async () => {
      world = await relaunch(world, story);
      assertSame(...await both(world, (engine) => told(world, story, { cli: 'debian', binary: CLIS.debian, engine })));
    });
  }
});

/** Both to their end, whatever happens to one: what is not ended would be left behind. */
async function both<T>(world: World, tell: (engine: World['ours'] | World['theirs']) => Promise<T>): Promise<[ours: T, theirs: T]> {
  const [ours, theirs] = await Promise.allSettled([tell(world.ours), tell(world.theirs)]);
  for (const telling of [ours, theirs]) if (telling.status === 'rejected') throw telling.reason;
  return [(ours as PromiseFulfilledResult<T>).value, (theirs as PromiseFulfilledResult<T>).value];
}
