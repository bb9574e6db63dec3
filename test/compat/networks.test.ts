// Networks, told to this engine and to Debian's dockerd: each has its bridges, rules and ports on a machine of its own, and traffic is sent through them.
import { after, before, describe, test } from 'node:test';
import { CLIS } from '../kit/docker.ts';
import type { Story } from './scene.ts';
import { assertSame, closeWorld, openWorld, told, type World } from './telling.ts';

const STORIES: readonly Story[] = [];
/** Stories at once; each is told to both engines at the same time. */
const AT_ONCE = 3;

describe('networks are here what they are at dockerd', { concurrency: AT_ONCE }, () => {
  let world: World;
  before(async () => { world = await openWorld({ networks: true }); });
  after(() => closeWorld(world));
  for (const story of STORIES) {
    for (const cli of story.once ? ['debian'] as const : ['debian', 'newer'] as const) {
      test(`${story.name} (${cli})`, async () => {
        const tellings = await Promise.allSettled([world.ours, world.theirs].map((engine) => told(world, story, { cli, binary: CLIS[cli], engine })));
        const [ours, theirs] = tellings.map((telling) => { if (telling.status === 'rejected') throw telling.reason; return telling.value; });
        assertSame(ours ?? [], theirs ?? []);
      });
    }
  }
});
