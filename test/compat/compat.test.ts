// The same words to this engine and to Debian's dockerd, through each docker command line on the machine: the answers are compared.
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { CLIS } from '../kit/docker.ts';
import { compare } from './asking.ts';
import type { Story } from './scene.ts';
import { archiveStories } from './stories/archives.ts';
import { fileStories } from './stories/files.ts';
import { courseStories } from './stories/course.ts';
import { imageStories } from './stories/images.ts';
import { isolationStories } from './stories/isolation.ts';
import { lifecycleStories } from './stories/lifecycle.ts';
import { mountStories } from './stories/mounts.ts';
import { resourceStories } from './stories/resources.ts';
import { logStories } from './stories/logs.ts';
import { pushStories } from './stories/push.ts';
import { runStories } from './stories/run.ts';
import { securityStories } from './stories/security.ts';
import { streamStories } from './stories/streams.ts';
import { systemStories } from './stories/system.ts';
import { volumeStories } from './stories/volumes.ts';
import { assertSame, closeWorld, openWorld, told, type World } from './telling.ts';

const STORIES: readonly Story[] = [...lifecycleStories, ...courseStories, ...streamStories, ...imageStories, ...pushStories, ...systemStories, ...runStories, ...isolationStories, ...logStories, ...securityStories, ...volumeStories, ...mountStories, ...fileStories, ...archiveStories, ...resourceStories];
/** Stories at once; each is told to both engines at the same time. */
const AT_ONCE = 3;

describe('the docker command lines find here what they find at dockerd', { concurrency: AT_ONCE }, () => {
  let world: World;
  before(async () => { world = await openWorld(); });
  after(() => closeWorld(world));
  for (const [cli, binary] of Object.entries(CLIS)) {
    if (!existsSync(binary)) {
      console.log(`compat: ${binary} is not installed, its half of the stories is not told`);
      continue;
    }
    for (const story of STORIES.filter(({ once }) => once !== true || cli === 'debian' || process.env['VAQUITA_TEST_LONG'] === '1')) {
      test(`${story.name} (${cli})`, async () => {
        await compare(world, (engine) => told(world, story, { cli, binary, engine }), assertSame);
      });
    }
  }
});
