// From a request to an answer: version, route, signal, and the one place where errors leave.
import { createServer, STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { posix } from 'node:path';
import type { Duplex } from 'node:stream';
import type { Clock } from '../lib/clock.ts';
import { assert, EngineError, kindOf, notFound, unavailable } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { answerOf } from './errors.ts';
import { MAX_HEAD_BYTES } from './front.ts';
import { serveTakeover, takeoverHead, upgradeBody } from './hijack.ts';
import { Query } from './query.ts';
import { openRouter, type Answer, type ApiRequest, type Route, type RouteMatch, type Takeover } from './routes.ts';
import { sessionBody, write } from './streams.ts';
import { decideVersion, MAX_VERSION, splitVersion } from './version.ts';

/** Clients keep connections for the next request; five minutes of silence is none. */
const KEEP_ALIVE_MS = 300_000;
const HEADERS_TIMEOUT_MS = 60_000;

export interface ServerNeeds {
  routes: readonly Route[];
  log: Log;
  clock: Clock;
  /** For the Server header. */
  engineVersion: string;
  experimental: boolean;
  /** Connections on which a takeover is answered with 200. */
  legacy: WeakSet<object>;
}

export interface ApiServer {
  readonly http: Server;
  /** Requests being answered, takeovers included. */
  active(): number;
  /** Resolves when no request is being answered. */
  idle(): Promise<void>;
  /** Cuts the endless ones and asks for the connections to be closed after the answers. */
  drain(): void;
  /** Aborts every request that is still under way. */
  cutOff(): void;
}

interface Call { match: RouteMatch | undefined; request: ApiRequest; refusal: Answer | undefined; abort: AbortController }

export const openServer = (needs: ServerNeeds): ApiServer => new HttpApi(needs);

class HttpApi implements ApiServer {
  readonly http: Server;
  readonly #needs: ServerNeeds;
  readonly #find: ReturnType<typeof openRouter>;
  /** Said by every answer. */
  readonly #headers: Readonly<Record<string, string>>;
  readonly #calls = new Set<Call>();
  #draining = false;
  #whenIdle: Array<() => void> = [];

  constructor(needs: ServerNeeds) {
    this.#needs = needs;
    this.#find = openRouter(needs.routes);
    this.#headers = {
      'Api-Version': MAX_VERSION, 'Docker-Experimental': String(needs.experimental), Ostype: 'linux', Server: `Docker/${needs.engineVersion} (linux)`,
    };
    this.http = createServer({
      maxHeaderSize: MAX_HEAD_BYTES, keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: 0, // a build context or an image over a slow line takes as long as it takes
      shouldUpgradeCallback: (message) => isTakeover(this.#find, message),
    });
    // A half-close looks like a client that has gone, so it aborts the request; but `printf … | nc` half-closes and still reads, so what
    // has an answer in spite of that gets to send it. Node would end the connection instead.
    Object.assign(this.http, { httpAllowHalfOpen: true });
    this.http.on('request', (message, response) => { void this.#serve(message, response); });
    this.http.on('upgrade', (message, socket, head) => {
      // Without a listener, a client that resets its connection would end the process.
      for (const stream of new Set<Duplex>([socket, message.socket])) stream.on('error', (error) => needs.log.debug('connection failed', { error }));
      void this.#upgrade(message, socket, head);
    });
    this.http.on('clientError', (error, socket) => {
      needs.log.debug('no HTTP request', { error });
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request');
      else socket.destroy();
    });
  }

  active(): number { return this.#calls.size; }

  idle(): Promise<void> {
    return new Promise((resolve) => { if (this.#calls.size === 0) resolve(); else this.#whenIdle.push(resolve); });
  }

  drain(): void {
    this.#draining = true;
    for (const call of this.#calls) if (call.match?.route.endless) call.abort.abort(stopping());
  }

  /** What still runs is told why it ends: no client has called it off. */
  cutOff(): void { for (const call of this.#calls) call.abort.abort(stopping()); }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const call = this.#begin(message, message);
    const leave = () => call.abort.abort(goneAway());
    const { socket } = message; // by the time of 'close' the response and the request may have lost it
    socket.once('end', leave);
    response.on('close', () => { socket.off('end', leave); if (!response.writableFinished) leave(); });
    try {
      if (this.#draining) response.setHeader('Connection', 'close');
      await send(response, await answerCall(call, this.#needs.log), this.#headers);
    } catch (error) {
      // The head has been sent: all that can be said now is that the body is not whole.
      if (!call.request.signal.aborted) this.#needs.log.error('answer broke off', { method: call.request.method, path: call.request.path, error });
      response.destroy();
    } finally { this.#end(call); }
  }

  async #upgrade(message: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { log, clock } = this.#needs;
    const legacy = this.#needs.legacy.has(message.socket);
    let call: Call | undefined;
    try {
      // A body that cannot be read is the handler's to refuse, like any other.
      call = this.#begin(message, await upgradeBody(message, socket, head).then(once, failing));
      const { abort, request } = call;
      socket.once('close', () => abort.abort(goneAway()));
      const outcome = await answerCall(call, log, { upgraded: true });
      if (!isSession(outcome)) { socket.end(answerHead(outcome, this.#headers)); return; }
      socket.write(takeoverHead(outcome, { legacy, headers: this.#headers, request: message }));
      await serveTakeover(socket, outcome, { clock, log, signal: request.signal });
    } catch (error) {
      log.error('takeover broke off', { path: message.url, error });
      socket.destroy();
    } finally { if (call) this.#end(call); }
  }

  #begin(message: IncomingMessage, body: AsyncIterable<Uint8Array>): Call {
    const call = openCall({ find: this.#find, message, body, clock: this.#needs.clock });
    this.#calls.add(call);
    if (this.#draining && call.match?.route.endless) call.abort.abort(stopping());
    return call;
  }

  #end(call: Call): void {
    this.#calls.delete(call);
    if (this.#calls.size > 0) return;
    for (const resolve of this.#whenIdle) resolve();
    this.#whenIdle = [];
  }
}

const goneAway = () => new EngineError('cancelled', 'the client went away');
const stopping = () => unavailable('the engine is stopping');

function openCall(needs: { find: ReturnType<typeof openRouter>; message: IncomingMessage; body: AsyncIterable<Uint8Array>; clock: Clock }): Call {
  const { message } = needs;
  const url = pathOf(message);
  const mark = url.indexOf('?');
  const { version: asked, path } = splitVersion(mark < 0 ? url : url.slice(0, mark));
  const method = message.method ?? 'GET';
  const abort = new AbortController();
  const version = decideVersion(asked);
  const call = (match: RouteMatch | undefined, refusal: Answer | undefined): Call => ({
    match, refusal, abort,
    request: {
      method, path, params: match?.params ?? {}, query: new Query(mark < 0 ? '' : url.slice(mark + 1), () => needs.clock.nowNanos()),
      version: 'refusal' in version ? { minor: 0, superset: false } : version, headers: message.headers, signal: abort.signal, body: needs.body,
    },
  });
  try {
    const moved = movedTo(url);
    if (moved !== undefined) return call(undefined, { status: 301, headers: { Location: moved } });
    if (method === 'OPTIONS') return call(undefined, { status: 200 });
    const match = needs.find(method, path);
    if (!match) return call(undefined, answerOf(notFound('page not found')));
    if (!('refusal' in version)) return call(match, undefined);
    const text = `${version.refusal.message}\n`;
    return call(match, version.tooOld ? { status: 400, text, contentType: 'text/plain; charset=utf-8', headers: { 'X-Content-Type-Options': 'nosniff' } } : answerOf(version.refusal));
  } catch (error) { return call(undefined, answerOf(error)); }
}

/** With the query. A client behind a proxy names the whole address. */
const pathOf = ({ url = '/' }: IncomingMessage): string => url.replace(/^https?:\/\/[^/?]*/i, '');

/** As the router of dockerd has it: clients that put a name with its slash into a path are sent from /containers//web/json to /containers/web/json. */
function movedTo(url: string): string | undefined {
  const [path = ''] = url.split('?', 1);
  const clean = posix.normalize(path);
  return path.startsWith('/') && clean !== path ? clean + url.slice(path.length) : undefined;
}

/** The answer, or, for an upgraded connection, what is to be done with it. */
async function answerCall(call: Call, log: Log, options?: { upgraded: false }): Promise<Answer>;
async function answerCall(call: Call, log: Log, options: { upgraded: true }): Promise<Answer | Takeover>;
async function answerCall({ match, request, refusal }: Call, log: Log, options?: { upgraded: boolean }): Promise<Answer | Takeover> {
  if (refusal || !match) return refusal ?? answerOf(notFound('page not found'));
  try {
    if (match.route.handle) return await match.route.handle(request);
    assert(match.route.takeover, `route ${match.route.path} handles nothing`);
    const outcome = await match.route.takeover(request);
    if (options?.upgraded || !isSession(outcome)) return outcome;
    // The second request of a connection, without an upgrade: the output can be shown, input cannot be told from a third request.
    return { status: 200, contentType: 'application/vnd.docker.raw-stream', headers: { Connection: 'close' }, stream: sessionBody(outcome.session, { framed: outcome.framed, signal: request.signal }) };
  } catch (error) {
    const answer = answerOf(error);
    const fields = { method: request.method, path: request.path, status: answer.status, error };
    if (answer.status !== 500) log.debug('request refused', fields);
    else log.error('request failed', kindOf(error) === 'system' && error instanceof Error ? { ...fields, stack: error.stack } : fields);
    return answer;
  }
}

const isSession = (outcome: Answer | Takeover): outcome is Takeover => 'session' in outcome;

function isTakeover(find: ReturnType<typeof openRouter>, message: IncomingMessage): boolean {
  const path = splitVersion(pathOf(message).split('?', 1)[0] ?? '/').path;
  try { return find(message.method ?? 'GET', path)?.route.upgrade === (message.headers.upgrade ?? '').toLowerCase(); }
  catch { return false; }
}

async function send(response: ServerResponse, answer: Answer, headers: Readonly<Record<string, string>>): Promise<void> {
  if (response.destroyed) return;
  const { bytes, type } = rendered(answer);
  const all = { ...headers, ...(type === undefined ? {} : { 'Content-Type': type }), ...answer.headers };
  if (answer.stream === undefined) {
    const hasBody = answer.status !== 204 && answer.status !== 304;
    response.writeHead(answer.status, hasBody ? { ...all, 'Content-Length': String(bytes.length) } : all);
    return finish(response, bytes);
  }
  response.writeHead(answer.status, all);
  response.flushHeaders();
  for await (const chunk of answer.stream) if (!(await write(response, chunk))) return;
  await finish(response, Buffer.alloc(0));
}

/** Resolves when the last byte is with the kernel, or the client is gone: only then may the connection be closed. */
function finish(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    response.once('close', () => resolve());
    response.end(bytes, () => resolve());
  });
}

/** The whole of a plain answer, for a socket that Node's HTTP server no longer looks after. */
function answerHead(answer: Answer, headers: Readonly<Record<string, string>>): Buffer {
  const { bytes, type } = rendered(answer);
  const lines = Object.entries({ ...headers, ...answer.headers, ...(type === undefined ? {} : { 'Content-Type': type }), 'Content-Length': String(bytes.length), Connection: 'close' });
  const head = [`HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ''}`, ...lines.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n');
  return Buffer.concat([Buffer.from(head), bytes]);
}

function rendered(answer: Answer): { bytes: Buffer; type: string | undefined } {
  if (answer.stream !== undefined) return { bytes: Buffer.alloc(0), type: answer.contentType };
  if (answer.json !== undefined) return { bytes: Buffer.from(`${JSON.stringify(answer.json)}\n`), type: answer.contentType ?? 'application/json' };
  return { bytes: Buffer.from(answer.text ?? ''), type: answer.contentType ?? (answer.text === undefined ? undefined : 'text/plain; charset=utf-8') };
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> { if (bytes.length > 0) yield bytes; }
const failing = (error: unknown): AsyncIterable<Uint8Array> => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }) });
