// One HTTP exchange with a registry: connections kept alive, proxies, redirects, time limits; no retries but of dead idle sockets.
import { Agent as HttpAgent, request as requestPlain, type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as requestTls } from 'node:https';
import { connect as connectTls, createSecureContext, getCACertificates, rootCertificates, type SecureContext, type TLSSocket } from 'node:tls';
import type { Duplex } from 'node:stream';
import { isIP, type Socket } from 'node:net';
import { chooseProxy, openTunnel, proxyHeaders } from './proxy.ts';
import { isInsecure, readTlsMaterial } from './hosts.ts';
import { bareHost } from './addresses.ts';
import { RegistryFailure, connectionFailure, shownUrl, stalled, verbOf, type Answer } from './errors.ts';
import { EngineError, errnoOf, kindOf, messageOf } from '../lib/errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { RegistryConfig } from './index.ts';

export interface Request {
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  url: URL;
  headers: Readonly<Record<string, string>>;
  body?: string | Uint8Array;
  /** A body that is not held in memory; called anew when the request has to be sent again. */
  stream?: () => AsyncIterable<Uint8Array>;
  /** How long the answer may take once everything is sent; as long as any silence unless said otherwise. */
  answerMs?: number;
  signal: AbortSignal | undefined;
  /** The bytes are checked by digest, so a redirect from HTTPS to plain HTTP cannot change them. */
  isVerified?: boolean;
  /** A shorter limit than the configured one on getting connected. */
  connectMs?: number;
}

export interface Response { status: number; message: IncomingMessage; url: URL; method: string }

const MAX_REDIRECTS = 10;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Error texts and tokens are small; what is longer is not read to its end. */
const MAX_ANSWER_BYTES = 1 << 20;
/** An idle connection holds memory on both sides; between two layers it is worth keeping. */
const IDLE_MS = 20_000;
const MAX_IDLE_PER_HOST = 4;
/** How many idle sockets in a row may turn out to be dead before it counts as a failure. */
const MAX_DEAD_SOCKETS = MAX_IDLE_PER_HOST + 1;

export class Transport {
  readonly #config: RegistryConfig;
  readonly #clock: Clock;
  readonly #agents = new Map<string, Promise<HttpAgent>>();
  /** Hosts whose certificate only the system's own authorities vouch for. */
  readonly #systemTrust = new Set<string>();
  readonly #closing = new AbortController();
  bytesReceived = 0;

  readonly #onReceived: (bytes: number) => void;

  constructor(config: RegistryConfig, clock: Clock, onReceived: (bytes: number) => void = () => {}) {
    this.#config = config;
    this.#clock = clock;
    this.#onReceived = onReceived;
  }

  /** The answer, whatever its status, after redirects. Its body must be read or destroyed. */
  async send(request: Request): Promise<Response> {
    let { url } = request;
    let headers = request.headers;
    for (let redirects = 0; ; redirects++) {
      const message = await this.#exchange({ ...request, url, headers });
      const status = message.statusCode ?? 0;
      const location = message.headers.location;
      if (!REDIRECTS.has(status) || location === undefined) return { status, message, url, method: request.method };
      await this.#discard(message);
      if (redirects === MAX_REDIRECTS) throw new RegistryFailure('unavailable', `${verbOf(request.method)} "${shownUrl(request.url)}": stopped after ${MAX_REDIRECTS} redirects`);
      const next = this.#redirected(url, location, request);
      const isForm = typeof request.body === 'string';
      if (isForm && next.origin !== url.origin) throw new RegistryFailure('unavailable', `${shownUrl(url)}: redirected a form with a token to another host`);
      const keepsMethod = status === 307 || status === 308 || request.method === 'GET' || request.method === 'HEAD';
      if (!keepsMethod && !isForm) throw new RegistryFailure('unavailable', `${verbOf(request.method)} "${shownUrl(url)}": redirected with status ${status}, which turns it into another request`);
      // Whoever the registry sends us to is not meant to see what we showed the registry.
      if (next.origin !== url.origin) headers = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'Authorization'));
      url = next;
    }
  }

  /** The rest of a response as text, cut at a limit. */
  async text(response: Response, signal: AbortSignal | undefined): Promise<Answer> {
    const body = await this.bytes(response, { maxBytes: MAX_ANSWER_BYTES, signal, isCut: true });
    return { status: response.status, headers: response.message.headers, url: response.url, method: response.method, body: Buffer.from(body).toString('utf8') };
  }

  /** The whole body; more than `maxBytes` is refused, or cut off. */
  async bytes(response: Response, options: { maxBytes: number; signal: AbortSignal | undefined; isCut?: boolean }): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of this.chunks(response, options.signal)) {
      size += chunk.length;
      if (size > options.maxBytes) {
        if (options.isCut) break;
        throw new RegistryFailure('invalid', `${verbOf(response.method)} "${shownUrl(response.url)}": the answer is larger than ${options.maxBytes} bytes`);
      }
      parts.push(chunk);
    }
    return Buffer.concat(parts);
  }

  /** The body as it arrives. The connection is given back at its end, and closed when the reader stops before or the signal aborts. */
  async *chunks(response: Response, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void> {
    const { message, url } = response;
    const { stallMs } = this.#config.limits;
    const iterator = message[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    // The limit holds while we wait for the server, not while the reader is busy. One timer looks now and then: one per chunk cost 3 % of a pull.
    let waitingSinceMs: number | undefined;
    const look = () => {
      const silentMs = waitingSinceMs === undefined ? 0 : this.#clock.monotonicMs() - waitingSinceMs;
      if (silentMs >= stallMs) message.destroy(stalled(url, stallMs));
      else timer = this.#clock.after(stallMs - silentMs, look);
    };
    let timer = this.#clock.after(stallMs, look);
    try {
      for (;;) {
        waitingSinceMs = this.#clock.monotonicMs();
        const next = await iterator.next();
        waitingSinceMs = undefined;
        if (next.done) break;
        yield this.#counted(next.value);
      }
    } catch (error) {
      // What had arrived when the connection broke, and waited for a busy reader, is as good as the rest: it need not be fetched again.
      const rest = () => (signal?.aborted ? null : message.read() as Buffer | null);
      for (let chunk = rest(); chunk !== null; chunk = rest()) if (chunk.length > 0) yield this.#counted(chunk);
      this.#rethrow(error, { url, signal, established: true, method: response.method });
    } finally {
      timer[Symbol.dispose]();
      if (!message.complete || !message.readableEnded) message.destroy();
    }
  }

  #counted(chunk: Buffer): Buffer {
    this.bytesReceived += chunk.length;
    this.#onReceived(chunk.length);
    return chunk;
  }

  close(): void {
    this.#closing.abort(new RegistryFailure('unavailable', 'the registry client is closed'));
    for (const agent of this.#agents.values()) void agent.then((opened) => opened.destroy(), () => {});
    this.#agents.clear();
  }

  async #discard(message: IncomingMessage): Promise<void> {
    // A redirect's body is a line or two; reading it keeps the connection.
    await this.text({ status: 0, message, url: new URL('http://redirect.invalid'), method: '' }, undefined).catch(() => {});
  }

  #redirected(from: URL, location: string, request: Request): URL {
    const next = URL.parse(location, from);
    const refused = (why: string) => new RegistryFailure('unavailable', `${verbOf(request.method)} "${shownUrl(request.url)}": ${why}`);
    if (!next || !/^https?:$/.test(next.protocol)) throw refused('redirected to what is no http or https address');
    const isDowngrade = from.protocol === 'https:' && next.protocol === 'http:';
    if (isDowngrade && !request.isVerified && !isInsecure(next, this.#config.insecureRegistries)) throw refused(`redirected from HTTPS to plain HTTP (${shownUrl(next)})`);
    return next;
  }

  async #exchange(request: Request): Promise<IncomingMessage> {
    for (let dead = 0; ; dead++) {
      const attempt: Attempt = { isReused: false, isEstablished: false, trustsSystem: this.#systemTrust.has(request.url.host) };
      try {
        return await this.#once(request, attempt);
      } catch (error) {
        const code = errnoOf(error) ?? '';
        if (attempt.isReused && dead < MAX_DEAD_SOCKETS && (code === 'ECONNRESET' || code === 'EPIPE') && !this.#isOver(request.signal)) continue;
        if (this.#mayTrustSystem(request.url, code, attempt)) continue;
        this.#rethrow(error, { url: request.url, signal: request.signal, established: attempt.isEstablished, method: request.method });
      }
    }
  }

  async #once(request: Request, attempt: Attempt): Promise<IncomingMessage> {
    const { url } = request;
    const proxy = chooseProxy(url, this.#config.proxy);
    const options = { ...addressOf(url, proxy), method: request.method, agent: await this.#agentFor(url, proxy), signal: this.#signalOf(request) };
    const headers = { Host: url.host, 'User-Agent': this.#config.userAgent, ...request.headers, ...(proxy && url.protocol === 'http:' ? proxyHeaders(proxy) : {}) };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const outgoing = (url.protocol === 'https:' ? requestTls : requestPlain)({ ...options, headers });
    const { stallMs } = this.#config.limits;
    const connectMs = request.connectMs ?? this.#config.limits.connectMs;
    let timer = this.#clock.after(connectMs, () => outgoing.destroy(new Error(`no connection to ${url.host} within ${connectMs} ms`)));
    const wait: Waiting = {
      begin: (ms) => { timer[Symbol.dispose](); timer = this.#clock.after(ms, () => outgoing.destroy(stalled(url, ms, request.method))); },
      end: () => timer[Symbol.dispose](),
    };
    const answerMs = request.answerMs ?? stallMs;
    onceReady(outgoing, () => {
      attempt.isReused = outgoing.reusedSocket;
      attempt.isEstablished = true;
      if (request.stream) void pump(outgoing, request.stream, { wait, stallMs, answerMs, onMoved: () => { attempt.isReused = false; } });
      else wait.begin(answerMs);
    });
    outgoing.on('response', (message) => {
      message.on('error', () => {}); // whoever reads it hears of it; until then it must not end the process
      resolve(message);
    });
    outgoing.on('error', reject);
    if (request.stream) outgoing.flushHeaders();
    else outgoing.end(request.body);
    return promise.finally(() => timer[Symbol.dispose]());
  }

  #signalOf(request: Request): AbortSignal {
    return request.signal ? AbortSignal.any([request.signal, this.#closing.signal]) : this.#closing.signal;
  }

  #isOver = (signal: AbortSignal | undefined): boolean => this.#closing.signal.aborted || signal?.aborted === true;

  #rethrow(error: unknown, at: { url: URL; signal: AbortSignal | undefined; established: boolean; method: string }): never {
    at.signal?.throwIfAborted();
    this.#closing.signal.throwIfAborted();
    throw connectionFailure(at.url, error, at);
  }

  /**
   * Node's own list of authorities is quick to use; the system's costs 5 MB and a tenth of a second, so only hosts pay for it
   * that the first does not vouch for. Either way the folder of certificates is read anew, it may have been mended. Several requests may
   * find that out at once: what one of them has opened since then is left to the others, and what is under way is not broken off.
   */
  #mayTrustSystem(url: URL, code: string, { trustsSystem }: Attempt): boolean {
    if (url.protocol !== 'https:' || !/ISSUER|SELF_SIGNED|LEAF_SIGNATURE/.test(code)) return false;
    const isNews = trustsSystem || !this.#systemTrust.has(url.host);
    if (isNews) for (const key of this.#agents.keys()) if (key.startsWith(`${url.origin} `)) this.#agents.delete(key);
    this.#systemTrust.add(url.host);
    return !trustsSystem;
  }

  #agentFor(url: URL, proxy: URL | undefined): Promise<HttpAgent> {
    const key = `${url.origin} ${proxy?.href ?? ''}`;
    const known = this.#agents.get(key);
    if (known) return known;
    const opening = this.#openAgent(url, proxy);
    this.#agents.set(key, opening);
    opening.catch(() => this.#agents.delete(key)); // a certificate that could not be read may be mended
    return opening;
  }

  async #openAgent(url: URL, proxy: URL | undefined): Promise<HttpAgent> {
    const keep = { keepAlive: true, maxFreeSockets: MAX_IDLE_PER_HOST, timeout: IDLE_MS };
    if (url.protocol === 'http:') return new HttpAgent(keep);
    const isUnverified = isInsecure(url, this.#config.insecureRegistries);
    const secureContext = await this.#contextFor(url);
    const tls = { rejectUnauthorized: !isUnverified, ...(secureContext ? { secureContext } : {}) };
    const agent = new HttpsAgent({ ...keep, ...tls });
    if (proxy) tunnelled(agent, () => this.#tunnel(url, proxy, tls));
    return agent;
  }

  async #contextFor(url: URL): Promise<SecureContext | undefined> {
    const { authorities, cert, key } = await readTlsMaterial(this.#config.certsDir, url.host);
    const isSystem = this.#systemTrust.has(url.host);
    if (authorities.length === 0 && cert === undefined && !isSystem) return undefined;
    const usual = isSystem ? getCACertificates('system') : rootCertificates;
    return createSecureContext({ ca: [...usual, ...authorities], ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }) });
  }

  async #tunnel(url: URL, proxy: URL, tls: { rejectUnauthorized: boolean; secureContext?: SecureContext }): Promise<TLSSocket> {
    const socket = await openTunnel(url, proxy, { clock: this.#clock, connectMs: this.#config.limits.connectMs });
    const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
    const secured = connectTls({ socket: socket as Socket, ...serverName(url), ...tls, ALPNProtocols: ['http/1.1'] });
    using _ = this.#clock.after(this.#config.limits.connectMs, () => secured.destroy(new Error(`no TLS with ${url.host} within ${this.#config.limits.connectMs} ms`)));
    secured.once('secureConnect', () => { secured.off('error', reject); resolve(secured); });
    secured.once('error', reject);
    return await promise;
  }
}

/** `trustsSystem`: the system's authorities were believed when it began. */
interface Attempt { isReused: boolean; isEstablished: boolean; trustsSystem: boolean }
/** One limit at a time on how long the server may do nothing. */
interface Waiting { begin(ms: number): void; end(): void }

/**
 * Sends a body at the server's pace. The limit holds while we wait for the server, not while the source makes up its mind. An answer that
 * comes before the end is a refusal: nothing more is sent, and the connection ends with the answer.
 */
async function pump(outgoing: ClientRequest, open: () => AsyncIterable<Uint8Array>, { wait, stallMs, answerMs, onMoved }: { wait: Waiting; stallMs: number; answerMs: number; onMoved: () => void }): Promise<void> {
  let isAnswered = false;
  outgoing.once('response', (message) => {
    isAnswered = true;
    wait.end();
    if (!outgoing.writableEnded) message.once('close', () => outgoing.destroy());
  });
  wait.end();
  try {
    for await (const chunk of open()) {
      if (isAnswered || outgoing.destroyed) return;
      if (outgoing.write(chunk)) continue;
      wait.begin(stallMs);
      await untilDrained(outgoing);
      if (isAnswered || outgoing.destroyed) return;
      wait.end();
      onMoved(); // the connection was no dead one
    }
    wait.begin(answerMs);
    outgoing.end();
  } catch (error) {
    // What the source says is about the source: it must not be taken for the connection's failure.
    outgoing.destroy(error instanceof EngineError ? error : new EngineError(kindOf(error), messageOf(error), { cause: error }));
  }
}

function untilDrained(outgoing: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => { for (const event of ['drain', 'close', 'response']) outgoing.off(event, settle); resolve(); };
    for (const event of ['drain', 'close', 'response']) outgoing.on(event, settle);
  });
}

/** Where to connect, and what to ask for there: a proxy wants the whole address when it is spoken to in plain. */
function addressOf(url: URL, proxy: URL | undefined): RequestOptions {
  const plain = (host: URL) => ({ host: bareHost(host.hostname), port: host.port || (host.protocol === 'https:' ? 443 : 80) });
  const path = url.pathname + url.search;
  if (url.protocol === 'https:') return { ...plain(url), path, ...serverName(url) };
  return proxy ? { ...plain(proxy), path: `${url.origin}${path}` } : { ...plain(url), path };
}

/** An address has no name to present. */
const serverName = (url: URL): { servername: string } => ({ servername: isIP(bareHost(url.hostname)) === 0 ? url.hostname : '' });

/** Calls back when the request has a connection that is made, and secured where it is to be. */
function onceReady(outgoing: ClientRequest, ready: () => void): void {
  outgoing.on('socket', (socket: Socket & { secureConnecting?: boolean }) => {
    if (socket.secureConnecting) socket.once('secureConnect', ready);
    else if (socket.connecting) socket.once('connect', ready);
    else ready();
  });
}

/** Makes the agent's new connections come out of `open`. */
function tunnelled(agent: HttpsAgent, open: () => Promise<Duplex>): void {
  agent.createConnection = (_options, callback) => {
    open().then((socket) => callback?.(null, socket), (error: unknown) => callback?.(error as Error, undefined as never));
    return undefined;
  };
}
