// Containers: parse the request, call one verb, present the result.
import type { ContainersFace } from '../engine/index.ts';
import type { Clock } from '../lib/clock.ts';
import { invalid } from '../lib/errors.ts';
import type { CreateBody } from '../wire/types.ts';
import { readBytes, readJson } from './body.ts';
import { bodyAsMeant, versionWarnings } from './create-body.ts';
import { logBytes } from './logs.ts';
import { presentContainer, presentSummary } from './present-containers.ts';
import { required, since, streamType, type ApiRequest, type Route, type Takeover } from './routes.ts';
import { createBody } from './shapes.ts';
import { gathered } from './streams.ts';

/** Enough to see that a body is not empty. */
const MAX_START_BODY_BYTES = 64 * 1024;
/** The shortest JSON object that says anything is longer. Source: Docker's own limit. */
const MAX_MEANINGLESS_BODY_BYTES = 7;
const WAIT_CONDITIONS = ['not-running', 'next-exit', 'removed'] as const;

export const containerRoutes = (containers: ContainersFace, clock: Clock): readonly Route[] => [...viewRoutes(containers, clock), ...changeRoutes(containers), ...streamRoutes(containers)];

const viewRoutes = (containers: ContainersFace, clock: Clock): readonly Route[] => [
  { method: 'GET', path: '/containers/json', async handle({ query, version }) {
      const limit = query.int('limit') ?? 0;
      const views = await containers.list({ all: query.flag('all') || limit > 0, limit: Math.max(0, limit), size: query.flag('size'), filters: query.filters() });
      return { status: 200, json: views.map((view) => presentSummary(view, { version, now: clock.now() })) };
  } },
  { method: 'GET', path: '/containers/{name*}/json', async handle(request) {
      const view = await containers.inspect(required(request, 'name'), { size: request.query.flag('size') });
      return { status: 200, json: presentContainer(view, request.version) };
  } },
  { method: 'GET', path: '/containers/{name}/top', async handle(request) {
      const { titles, processes } = await containers.top(required(request, 'name'), request.query.optional('ps_args') ?? '-ef');
      return { status: 200, json: { Processes: processes.length > 0 ? processes : null, Titles: titles } };
  } },
];

const changeRoutes = (containers: ContainersFace): readonly Route[] => [
  { method: 'POST', path: '/containers/create', handle: (request) => create(containers, request) },
  { method: 'POST', path: '/containers/prune', async handle({ query }) {
      const { deleted, spaceReclaimedBytes } = await containers.prune({ filters: query.filters() });
      return { status: 200, json: { ContainersDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: spaceReclaimedBytes } };
  } },
  { method: 'POST', path: '/containers/{name}/start', async handle(request) {
      await refuseStartBody(request);
      await containers.start(required(request, 'name'), { signal: request.signal });
      return { status: 204 };
  } },
  { method: 'POST', path: '/containers/{name}/stop', async handle(request) {
      await containers.stop(required(request, 'name'), stopOptions(request));
      return { status: 204 };
  } },
  { method: 'POST', path: '/containers/{name}/restart', async handle(request) {
      await containers.restart(required(request, 'name'), stopOptions(request));
      return { status: 204 };
  } },
  { method: 'POST', path: '/containers/{name}/kill', async handle(request) {
      await containers.kill(required(request, 'name'), { killSignal: request.query.optional('signal') });
      return { status: 204 };
  } },
  { method: 'POST', path: '/containers/{name}/pause', async handle(request) {
      await containers.pause(required(request, 'name'));
      return { status: 204 };
  } },
  { method: 'POST', path: '/containers/{name}/unpause', async handle(request) {
      await containers.unpause(required(request, 'name'));
      return { status: 204 };
  } },
  { method: 'POST', path: '/containers/{name}/rename', async handle(request) {
      await containers.rename(required(request, 'name'), request.query.text('name'));
      return { status: 204 };
  } },
  { method: 'POST', path: '/containers/{name}/resize', async handle(request) {
      await containers.resize(required(request, 'name'), request.query.size());
      return { status: 200 };
  } },
  // A link of old is named by two words with a slash between them, and answered as what is not there.
  { method: 'DELETE', path: '/containers/{name*}', async handle(request) {
      const { query } = request;
      await containers.remove(required(request, 'name'), { force: query.flag('force'), volumes: query.flag('v'), link: query.flag('link') });
      return { status: 204 };
  } },
];

const streamRoutes = (containers: ContainersFace): readonly Route[] => [
  { method: 'POST', path: '/containers/{name}/wait', endless: true, handle: (request) => wait(containers, request) },
  { method: 'GET', path: '/containers/{name}/logs', endless: true, handle: (request) => logs(containers, request) },
  { method: 'POST', path: '/containers/{name}/attach', upgrade: 'tcp', endless: true, takeover: (request) => attach(containers, request) },
  { method: 'GET', path: '/containers/{name}/attach/ws', upgrade: 'websocket', endless: true, takeover: (request) => attachMessages(containers, request) },
];

async function create(containers: ContainersFace, request: ApiRequest) {
  const body = await readJson<CreateBody>(request, createBody, { required: true });
  const said = Object.keys(body ?? {}).filter((key) => key !== 'HostConfig' && key !== 'NetworkingConfig');
  if (!body || said.length === 0) throw invalid('config cannot be empty in order to create a container');
  const { version, query, signal } = request;
  const platform = since(version, 41) ? query.optional('platform') : undefined;
  const { id, warnings } = await containers.create({ name: query.optional('name'), body: bodyAsMeant(body, version), platform, fitNetworks: since(version, 44), signal });
  return { status: 201, json: { Id: id, Warnings: [...warnings, ...versionWarnings(body, version)] } };
}

/** Before 1.24 a start could carry a HostConfig; now one that says something is refused, lest it be believed to count. A shorter one can say nothing. */
async function refuseStartBody(request: ApiRequest): Promise<void> {
  const body = (await readBytes(request.body, MAX_START_BODY_BYTES)).toString('latin1').trim();
  if (body.length > MAX_MEANINGLESS_BODY_BYTES)
    throw invalid('starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24');
}

function stopOptions({ query, version, signal }: ApiRequest) {
  return { timeoutSeconds: query.int('t'), stopSignal: since(version, 42) ? query.optional('signal') : undefined, signal };
}

async function wait(containers: ContainersFace, request: ApiRequest) {
  const asked = request.query.optional('condition') ?? 'not-running';
  // Older clients may say what they like: what is not understood was passed over then.
  const condition = WAIT_CONDITIONS.find((known) => known === asked) ?? (since(request.version, 42) ? undefined : 'not-running');
  if (condition === undefined) throw invalid(`invalid condition: "${asked}"`);
  const { exited } = await containers.wait(required(request, 'name'), { condition, signal: request.signal });
  // Nobody may be listening any more when it fails; the stream below still sees the failure.
  exited.catch(() => {});
  const oldNull = request.version.minor < 42;
  async function* body(): AsyncGenerator<string> {
    const { statusCode, error } = await exited;
    const said = error === undefined ? (oldNull ? { Error: null } : {}) : { Error: { Message: error } };
    yield `${JSON.stringify({ ...said, StatusCode: statusCode })}\n`;
  }
  return { status: 200, contentType: 'application/json', stream: body() };
}

async function logs(containers: ContainersFace, request: ApiRequest) {
  const { query, version, signal } = request;
  const [stdout, stderr] = [query.flag('stdout'), query.flag('stderr')];
  if (!stdout && !stderr) throw invalid('Bad parameters: you must choose at least one stream');
  const until = query.text('until') === '0' ? undefined : query.time('until');
  const { tty, records } = await containers.logs(required(request, 'name'), {
    stdout, stderr, follow: query.flag('follow'), tail: tailOf(query.text('tail')), sinceNs: query.time('since'), untilNs: until, signal,
  });
  const stream = gathered(logBytes(records, { framed: !tty, timestamps: query.flag('timestamps'), details: query.flag('details') }));
  return since(version, 42) ? { status: 200, stream, contentType: streamType(!tty) } : { status: 200, stream };
}

/** Everything that is no count of lines means all of them. */
function tailOf(text: string): number | 'all' {
  return /^\d{1,9}$/.test(text) ? Number(text) : 'all';
}

async function attach(containers: ContainersFace, request: ApiRequest): Promise<Takeover> {
  const { query, signal } = request;
  const stdin = query.flag('stdin') && query.flag('stream');
  const session = await containers.attach(required(request, 'name'), {
    logs: query.flag('logs'), stream: query.flag('stream'), stdin: query.flag('stdin'), stdout: query.flag('stdout'), stderr: query.flag('stderr'),
    detachKeys: query.optional('detachKeys'), signal,
  });
  const framed = !session.tty;
  return { session, framed, stdin, contentType: streamType(framed && since(request.version, 42)) };
}

/** Before 1.42, and for clients that name no stream, all three are meant. */
async function attachMessages(containers: ContainersFace, request: ApiRequest): Promise<Takeover> {
  const { query, version, signal } = request;
  if (typeof request.headers['sec-websocket-key'] !== 'string') throw invalid('a websocket handshake needs a Sec-WebSocket-Key');
  const unnamed = !['stdin', 'stdout', 'stderr'].some((name) => query.has(name)) && version.superset;
  const all = !since(version, 42) || unnamed;
  const stdin = all || query.flag('stdin');
  const session = await containers.attach(required(request, 'name'), {
    logs: query.flag('logs'), stream: query.flag('stream'), stdin, stdout: all || query.flag('stdout'), stderr: all || query.flag('stderr'),
    detachKeys: query.optional('detachKeys'), signal,
  });
  return { session, framed: false, stdin: stdin && query.flag('stream'), contentType: '', messages: since(version, 28) ? 'binary' : 'text' };
}
