// Calls to the daemon over its socket: JSON in and out, streams, and connections taken over for attach and exec.
import { request as httpRequest, type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { invalid, errnoOf, messageOf } from '../lib/errors.ts';
import { JsonLines, MAX_LINE_BYTES } from '../wire/frames.ts';
import { DaemonError, Failure, Missing } from './failure.ts';

export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface CallOptions {
  query?: Query;
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal;
  /** A 404 is then reported as `No such <object>: <name>`. */
  missing?: { object: string; name: string };
}

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';

export interface DaemonClient {
  readonly host: string;
  readonly apiVersion: string;
  /** The answer's bytes, as they come. Refusals of the daemon are thrown as DaemonError. */
  stream(method: Method, path: string, options?: CallOptions): Promise<AsyncIterable<Uint8Array>>;
  /** The whole answer as text, within a limit. */
  text(method: Method, path: string, options?: CallOptions): Promise<string>;
  json<T>(method: Method, path: string, options?: CallOptions): Promise<T>;
  /** Head and bytes of an answer. */
  answer(method: Method, path: string, options?: CallOptions): Promise<{ header: (name: string) => string; bytes: AsyncIterable<Uint8Array> }>;
  /** PUT of bytes as they come; ends early when the daemon refuses before it has them all. Chunks must not change after they were yielded. */
  upload(path: string, body: AsyncIterable<Uint8Array>, options?: CallOptions): Promise<void>;
  /** POST of bytes as they come; the answer's bytes come meanwhile. Chunks must not change after they were yielded. */
  send(path: string, body: AsyncIterable<Uint8Array>, options?: CallOptions): Promise<AsyncIterable<Uint8Array>>;
  /** The connection itself: raw bytes both ways, `end()` is the end of input for the other side. */
  hijack(path: string, options?: CallOptions): Promise<Duplex>;
}

export interface Tls { ca?: Uint8Array; cert?: Uint8Array; key?: Uint8Array; verify: boolean }
export interface ClientOptions { host: string; tls?: Tls | undefined; apiVersion?: string | undefined }

export const DEFAULT_HOST = 'unix:///var/run/vaquita.sock';
/** The newest version that old engines of the same API understand as well. */
const API_VERSION = '1.41';
/** Answers that are read whole; an inspect of hundreds of containers stays far below. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

/** A client for `host`: unix:///path, tcp://host:port, http(s)://…; connects at the first call. */
export function openClient(options: ClientOptions): DaemonClient {
  const address = parseHost(options.host, options.tls);
  const apiVersion = options.apiVersion ?? API_VERSION;
  const open = (method: Method, path: string, call: CallOptions): ClientRequest => {
    const body = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body));
    const request = (options.tls ? httpsRequest : httpRequest)({
      ...address, method, path: `/v${apiVersion}${path}${queryText(call.query)}`, headers: headersOf(method, body, call),
      ...(call.signal ? { signal: call.signal } : {}),
    });
    request.end(body);
    return request;
  };
  const answer = async (method: Method, path: string, call: CallOptions): Promise<IncomingMessage> => {
    const response = await responseOf(open(method, path, call), options.host);
    if ((response.statusCode ?? 0) >= 400) throw await refusal(response, call, `${options.host}/v${apiVersion}${path}`);
    return response;
  };
  const text = async (method: Method, path: string, call: CallOptions = {}) => readAll(await answer(method, path, call));
  return {
    host: options.host,
    apiVersion,
    stream: async (method, path, call = {}) => unbroken(await answer(method, path, call)),
    text,
    json: async <T>(method: Method, path: string, call: CallOptions = {}) => JSON.parse(await text(method, path, call) || 'null') as T,
    answer: async (method, path, call = {}) => {
      const response = await answer(method, path, call);
      return { header: (name) => String(response.headers[name.toLowerCase()] ?? ''), bytes: response };
    },
    upload: async (path, body, call = {}) => {
      const request = (options.tls ? httpsRequest : httpRequest)({
        ...address, method: 'PUT', path: `/v${apiVersion}${path}${queryText(call.query)}`, headers: { Host: 'docker', 'User-Agent': 'Vaquita-Client', 'Content-Type': 'application/octet-stream' },
      });
      const response = await responseTo(request, body, options.host);
      if ((response.statusCode ?? 0) >= 400) throw await refusal(response, call, `${options.host}/v${apiVersion}${path}`);
      await readAll(response);
    },
    send: async (path, body, call = {}) => {
      const request = (options.tls ? httpsRequest : httpRequest)({
        ...address, method: 'POST', path: `/v${apiVersion}${path}${queryText(call.query)}`, headers: { Host: 'docker', 'User-Agent': 'Vaquita-Client', ...call.headers },
      });
      const answered = responseOf(request, options.host);
      const sending = sendTo(request, body, answered.then((response) => ((response.statusCode ?? 0) >= 400 ? undefined : endOf(response))));
      // Nothing may be answered before the last byte: then what goes wrong here is all there is.
      const response = await Promise.race([answered, sending.then(() => answered)]);
      if ((response.statusCode ?? 0) >= 400) throw await refusal(response, call, `${options.host}/v${apiVersion}${path}`);
      return withSender(response, sending);
    },
    hijack: async (path, call = {}) => {
      const request = open('POST', path, { ...call, headers: { ...call.headers, Connection: 'Upgrade', Upgrade: 'tcp' } });
      const taken = await upgradeOf(request, options.host);
      if ('socket' in taken) return taken.socket;
      throw await refusal(taken.response, call, `${options.host}/v${apiVersion}${path}`);
    },
  };
}

/** What goes wrong behind the first byte cannot be told any more: then the daemon breaks off, as it does when it is killed. */
async function* unbroken(response: IncomingMessage): AsyncGenerator<Uint8Array> {
  try { yield* response as AsyncIterable<Uint8Array>; } catch (error) {
    if (errnoOf(error) !== 'ECONNRESET') throw error;
    throw new Failure('unexpected EOF: the daemon broke off its answer; its log says why');
  }
}

/** The values of a stream of JSON lines, each as soon as it is whole. */
export async function* jsonLines<T>(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<T> {
  const lines = new JsonLines();
  for await (const chunk of bytes) yield* lines.push(chunk) as T[];
  yield* lines.end() as T[];
}

/** The same lines as text, for readers to whom JavaScript's numbers are too short. */
export async function* textLines(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of bytes) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE_BYTES) throw new Failure(`the daemon sent a line longer than ${MAX_LINE_BYTES} bytes`);
    for (const line of lines) if (line.trim() !== '') yield line.trim();
  }
  if (rest.trim() !== '') yield rest.trim();
}

/** Docker's `filters` parameter. */
export function filtersParameter(filters: ReadonlyMap<string, readonly string[]>): string | undefined {
  if (filters.size === 0) return undefined;
  const keys = [...filters.keys()].toSorted();
  return JSON.stringify(Object.fromEntries(keys.map((key) => [key, Object.fromEntries((filters.get(key) ?? []).map((value) => [value, true]))])));
}

function parseHost(host: string, tls: Tls | undefined): RequestOptions {
  const unix = /^unix:\/\/(\/.+)$/.exec(host);
  if (unix) return { socketPath: unix[1] };
  const url = /^(?:tcp|https?):\/\/(\[[^\]]+\]|[^/:]+)(?::(\d+))?\/?$/.exec(host);
  if (!url?.[1]) throw invalid(`unable to parse docker host \`${host}\``);
  const name = url[1].replace(/^\[|\]$/g, '');
  // The certificate must be the host's: without this Node would look for the Host header, which always says docker. An address is no server name.
  const to = { host: name, port: Number(url[2] ?? (tls ? 2376 : 2375)), servername: isIP(name) === 0 ? name : '' };
  return tls ? { ...to, ...(tls.ca ? { ca: tls.ca } : {}), ...(tls.cert ? { cert: tls.cert } : {}), ...(tls.key ? { key: tls.key } : {}), rejectUnauthorized: tls.verify } as RequestOptions : to;
}

function queryText(query: Query | undefined): string {
  const pairs = Object.entries(query ?? {}).flatMap(([key, value]) => {
    if (value === undefined) return [];
    const values = Array.isArray(value) ? value as readonly string[] : [value === true ? '1' : String(value as string | number | boolean)];
    return values.map((one): [string, string] => [key, one]);
  });
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`;
}

function headersOf(method: Method, body: Buffer | undefined, call: CallOptions): Record<string, string | number> {
  const type: Record<string, string> = body ? { 'Content-Type': 'application/json' } : method === 'POST' ? { 'Content-Type': 'text/plain' } : {};
  return { Host: 'docker', 'User-Agent': 'Vaquita-Client', ...type, 'Content-Length': body?.length ?? 0, ...call.headers };
}

function responseOf(request: ClientRequest, host: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    request.once('error', (error) => reject(unreachableDaemon(error, host)));
  });
}

/** Sends until everything is sent or the answer is there: a refusal may come in the middle. */
async function responseTo(request: ClientRequest, body: AsyncIterable<Uint8Array>, host: string): Promise<IncomingMessage> {
  const answered = responseOf(request, host);
  await sendTo(request, body, answered);
  return await answered;
}

/** What comes of a verb that answers while it is given its bytes. Who has nothing more to say has heard enough, too. */
async function* withSender(response: IncomingMessage, sending: Promise<void>): AsyncGenerator<Uint8Array> {
  let failure: { error: unknown } | undefined;
  sending.catch((error: unknown) => { failure = { error }; });
  try { yield* response as AsyncIterable<Uint8Array>; } catch (error) { throw failure ? failure.error : error; }
  if (failure) throw failure.error;
}

const endOf = (response: IncomingMessage): Promise<void> => new Promise((resolve) => { response.once('close', resolve); });

/** Until all is sent or it is enough. */
async function sendTo(request: ClientRequest, body: AsyncIterable<Uint8Array>, enough: Promise<unknown>): Promise<void> {
  let over = false;
  const end = () => { over = true; };
  enough.then(end, end);
  request.on('error', () => {}); // told by the answer, or no matter behind it
  try {
    for await (const chunk of body) {
      if (over) break;
      if (!request.write(chunk)) await Promise.race([new Promise<void>((resolve) => { request.once('drain', resolve).once('close', resolve); }), enough]);
    }
    request.end();
  } catch (error) {
    request.destroy(); // half an archive must not be taken for a whole one
    throw error;
  }
}

function upgradeOf(request: ClientRequest, host: string): Promise<{ socket: Duplex } | { response: IncomingMessage }> {
  return new Promise((resolve, reject) => {
    request.once('upgrade', (_response: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (head.length > 0) socket.unshift(head);
      // Without a listener a reset of the connection would end the program instead of the stream.
      socket.on('error', () => {});
      resolve({ socket });
    });
    request.once('response', (response: IncomingMessage) => resolve({ response }));
    request.once('error', (error) => reject(unreachableDaemon(error, host)));
  });
}

function unreachableDaemon(error: Error, host: string): Error {
  if (error.name === 'AbortError') return error;
  switch (errnoOf(error)) {
    case 'ECONNREFUSED': case 'ENOENT':
      return new Failure(`Cannot connect to the Vaquita daemon at ${host}. Is the vaquita daemon running?`);
    case 'EACCES':
      return new Failure(`Got permission denied while trying to connect to the Vaquita daemon socket at ${host}`);
    default:
      return new Failure(`error during connect: ${host}: ${messageOf(error)}`);
  }
}

async function refusal(response: IncomingMessage, call: CallOptions, where: string): Promise<Error> {
  const status = response.statusCode ?? 0;
  const text = await readAll(response);
  if (status === 404 && call.missing) return new Missing(call.missing.object, call.missing.name);
  if (text.trim() === '') {
    return new DaemonError(status, `${response.statusMessage ?? status} for API route and version ${where}, check if the server supports the requested API version`);
  }
  return new DaemonError(status, messageIn(text));
}

function messageIn(text: string): string {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string') return value.message.trim();
  } catch { /* A proxy or a very old engine answers in plain text. */ }
  return text.trim();
}

async function readAll(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of bytes) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Failure(`the daemon's answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
