// The engine itself: ping, version, info, events, login and disk usage.
import type { Engine } from '../engine/index.ts';
import type { Clock } from '../lib/clock.ts';
import { invalid } from '../lib/errors.ts';
import type { EventLine, RegistryAuth } from '../wire/types.ts';
import { readJson } from './body.ts';
import { presentSummary } from './present-containers.ts';
import { presentImageSummary } from './present-images.ts';
import { presentVolumeUsage } from './volumes.ts';
import { presentEvent, presentInfo, presentVersion } from './present-system.ts';
import { keeps, type Answer, type ApiRequest, type Route } from './routes.ts';
import { registryAuth } from './shapes.ts';

/** Builder 1 keeps clients from looking for BuildKit here. */
const PING: Answer = {
  status: 200, text: 'OK',
  headers: { 'Builder-Version': '1', Swarm: 'inactive', 'Cache-Control': 'no-cache, no-store, must-revalidate', Pragma: 'no-cache' },
};
const USAGE_TYPES = ['container', 'image', 'volume', 'build-cache'] as const;

export const systemRoutes = (engine: Engine, clock: Clock): readonly Route[] => [
  { method: 'GET', path: '/_ping', handle: async () => PING },
  { method: 'HEAD', path: '/_ping', handle: async () => ({ ...PING, text: '', contentType: 'text/plain; charset=utf-8' }) },
  { method: 'GET', path: '/version', handle: async () => ({ status: 200, json: presentVersion(engine.system.version()) }) },
  { method: 'GET', path: '/info', async handle({ version }) {
      return { status: 200, json: presentInfo(await engine.system.info(), version) };
  } },
  { method: 'GET', path: '/events', endless: true, async handle({ query, signal }) {
      const until = query.text('until') === '0' ? undefined : query.time('until');
      const since = query.time('since');
      if (since !== undefined && until !== undefined && until < since) throw invalid(`\`since\` time (${query.text('since')}) cannot be after \`until\` time (${query.text('until')})`);
      const events = engine.events.subscribe({ sinceNs: since, untilNs: until, filters: query.filters(), signal });
      return { status: 200, contentType: 'application/json', stream: eventLines(await started(events)) };
  } },
  { method: 'POST', path: '/auth', async handle(request) {
      const auth = await readJson<RegistryAuth>(request, registryAuth, { required: true });
      const { status, identityToken } = await engine.images.login(auth ?? {}, { signal: request.signal });
      return { status: 200, json: { IdentityToken: identityToken, Status: status } };
  } },
  { method: 'GET', path: '/system/df', handle: (request) => diskUsage({ engine, clock }, request) },
];

async function* eventLines(events: AsyncIterable<EventLine>): AsyncGenerator<string> {
  for await (const event of events) yield `${JSON.stringify(presentEvent(event))}\n`;
}

/**
 * A generator does nothing until it is asked for the first time, so a bad filter would come to light behind the headers.
 * Asking now lets it refuse; what it answers when there is an event is handed on later.
 */
async function started<T>(source: AsyncIterable<T>): Promise<AsyncIterable<T>> {
  const iterator = source[Symbol.asyncIterator]();
  const first = iterator.next();
  first.catch(() => {}); // thrown again by whoever reads; nobody does when the client has gone by then
  const turn = new Promise<'waiting'>((resolve) => { setImmediate(() => resolve('waiting')); });
  await Promise.race([first, turn]);
  async function* all(): AsyncGenerator<T> {
    try { for (let next = await first; next.done !== true; next = await iterator.next()) yield next.value; }
    finally { await iterator.return?.(); }
  }
  return all();
}

async function diskUsage({ engine, clock }: { engine: Engine; clock: Clock }, { query, version }: ApiRequest): Promise<Answer> {
  const types = query.all('type');
  const unknown = types.find((type) => !USAGE_TYPES.some((known) => known === type));
  if (unknown !== undefined) throw invalid(`unknown object type: ${unknown}`);
  const wants = (type: string) => types.length === 0 || types.includes(type);
  const { layersSizeBytes, images, containers, volumes } = await engine.system.diskUsage();
  return {
    status: 200,
    json: {
      ...(wants('image') ? { LayersSize: layersSizeBytes, Images: images.map((view) => ({ ...presentImageSummary(view, { version }), Containers: view.containers })) } : { Images: null }),
      Containers: wants('container') ? containers.map((view) => presentSummary(view, { version, now: clock.now() })) : null,
      Volumes: wants('volume') ? volumes.map(presentVolumeUsage) : null, ...(keeps(version, 42) ? { BuilderSize: 0 } : {}), BuildCache: wants('build-cache') ? [] : null,
    },
  };
}
