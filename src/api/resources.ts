// Limits of a container: what it uses of them, and how they are changed.
import type { ContainersFace, StatsFrame } from '../engine/index.ts';
import { EngineError, invalid } from '../lib/errors.ts';
import type { UpdateBody } from '../wire/types.ts';
import { readJson } from './body.ts';
import { presentStats } from './present-stats.ts';
import { required, since, type Route } from './routes.ts';
import { updateBody } from './shapes.ts';

export const resourceRoutes = (containers: ContainersFace): readonly Route[] => [
  { method: 'GET', path: '/containers/{name}/stats', endless: true, async handle(request) {
      const { query, version, signal } = request;
      const stream = query.flag('stream', true);
      const oneShot = since(version, 41) && query.flag('one-shot');
      if (stream && oneShot) throw invalid('cannot have stream=true and one-shot=true');
      const frames = await containers.stats(required(request, 'name'), { stream, oneShot, signal });
      if (stream) return { status: 200, stream: lines(frames) };
      for await (const frame of frames) return { status: 200, text: presentStats(frame), contentType: 'application/json' };
      throw new EngineError('not-found', `No such container: ${required(request, 'name')}`); // removed meanwhile
  } },
  { method: 'POST', path: '/containers/{name}/update', async handle(request) {
      const body = await readJson<UpdateBody>(request, updateBody, { required: true });
      const { warnings } = await containers.update(required(request, 'name'), body ?? {});
      return { status: 200, json: { Warnings: warnings.length > 0 ? warnings : null } };
  } },
];

async function* lines(frames: AsyncIterable<StatsFrame>): AsyncGenerator<string> {
  for await (const frame of frames) yield presentStats(frame);
}
