// The same stories through docker-py, dockerode and docker-compose to this engine and to Debian's dockerd: what the libraries make of the answers is compared.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compare } from '../asking.ts';
import { assertSameSaid, type Said } from './answers.ts';
import { ComposeScene } from './compose/scene.ts';
import { composeStories } from './compose/stories.ts';
import { containerStories } from './dockerode/containers.ts';
import { NodeScene } from './dockerode/scene.ts';
import { streamStories } from './dockerode/streams.ts';
import { systemStories } from './dockerode/system.ts';
import { pythonStories, tellInPython } from './python.ts';
import { openWorld, sweepStory, type Engine, type World } from './world.ts';

/** Stories at once; each is told to both engines at the same time. */
const AT_ONCE = 3;

type Tell = (engine: Engine, place: { prefix: string; folder: string }) => Promise<readonly Said[]>;

describe('client libraries find here what they find at dockerd', { concurrency: AT_ONCE }, () => {
  let world: World;
  before(async () => { world = await openWorld(); });
  after(() => world[Symbol.asyncDispose]());
  const tellBoth = (client: string, story: string, tell: Tell): void => { test(`${story} (${client})`, async () => {
    const prefix = `${client}-${story.replaceAll(' ', '')}`;
    const told = async (engine: Engine) => {
      const folder = join(engine.root, `files-${prefix}`);
      rmSync(folder, { recursive: true, force: true }); // of an earlier telling
      try { return world.normal(await tell(engine, { prefix, folder }), engine, `${client} ${story}`); }
      catch (cause) { throw new Error(`at ${engine === world.ours ? 'this engine' : 'dockerd'}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause }); }
      finally { await sweepStory(engine, prefix); }
    };
    await compare(world, told, assertSameSaid);
  }); };
  const stage = (engine: Engine, place: { prefix: string; folder: string }) => ({ ...place, socket: engine.socket, images: world.images, registry: world.registry.host });
  for (const story of pythonStories()) tellBoth('docker-py', story, (engine, place) => tellInPython(story, { ...stage(engine, place), door: world.door(engine) }));
  for (const story of [...containerStories, ...streamStories, ...systemStories]) {
    tellBoth('dockerode', story.name, async (engine, place) => {
      const scene = new NodeScene(stage(engine, place));
      try { await story.tell(scene); }
      catch (cause) { throw new Error(`${cause instanceof Error ? cause.message : String(cause)} after ${JSON.stringify(scene.said.at(-1))}`, { cause }); }
      return scene.said;
    });
  }
  for (const story of composeStories) {
    tellBoth('compose', story.name, async (engine, place) => {
      const scene = new ComposeScene({ ...stage(engine, place), host: engine.host, configDir: join(world.root, 'client') });
      try { await story.tell(scene); }
      finally { await scene.end(); }
      return scene.said;
    });
  }
});
