// What a route is: a method, a path with names in it, and one verb to call. Tables of these are all that the nouns export.
import type { IncomingHttpHeaders } from 'node:http';
import type { AttachSession } from '../engine/index.ts';
import { invalid } from '../lib/errors.ts';
import type { Query } from './query.ts';

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';

/** The minor number of API 1.x that a request asked for. */
export interface ApiVersion {
  readonly minor: number;
  /** No version in the path: the newest, with every field that older versions had (dockerode and balena-supervisor read them). */
  readonly superset: boolean;
}

/** Whether an answer still has a field that API 1.`minor` dropped. */
export const keeps = (version: ApiVersion, minor: number): boolean => version.superset || version.minor < minor;
/** Whether behaviour that came with API 1.`minor` applies. */
export const since = (version: ApiVersion, minor: number): boolean => version.minor >= minor;

export interface ApiRequest {
  readonly method: string;
  /** Without the version. */
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly version: ApiVersion;
  readonly headers: IncomingHttpHeaders;
  /** Aborted when the client goes away, and for endless routes when the daemon stops. */
  readonly signal: AbortSignal;
  readonly body: AsyncIterable<Uint8Array>;
}

export interface Answer {
  status: number;
  json?: unknown;
  text?: string;
  /** Headers are sent before the first chunk is waited for. */
  stream?: AsyncIterable<Uint8Array | string>;
  contentType?: string;
  headers?: Readonly<Record<string, string>>;
}

/** The connection becomes a stream between the client and a session. */
export interface Takeover {
  session: AttachSession;
  /** Frames for stdout and stderr; else the bytes as they are. */
  framed: boolean;
  /** Whether what the client sends is for the program; else it is read and thrown away. */
  stdin: boolean;
  /** For the answer to an upgrade; the older 200 always says raw-stream. */
  contentType: string;
  /** WebSocket messages: text for old clients. */
  messages?: 'text' | 'binary';
}

export interface Route {
  readonly method: Method;
  /** `{name}` matches one segment, `{name*}` several (image names have slashes). */
  readonly path: string;
  /** Has no end of its own: cut at once when the daemon stops. */
  readonly endless?: true;
  readonly handle?: (request: ApiRequest) => Promise<Answer>;
  readonly takeover?: (request: ApiRequest) => Promise<Takeover | Answer>;
  /** Which upgrade it takes. */
  readonly upgrade?: 'tcp' | 'websocket';
}

export const streamType = (multiplexed: boolean): string => `application/vnd.docker.${multiplexed ? 'multiplexed' : 'raw'}-stream`;

export type RouteMatch = { route: Route; params: Record<string, string> };

export function openRouter(routes: readonly Route[]): (method: string, path: string) => RouteMatch | undefined {
  const byMethod = new Map<string, Array<{ route: Route; pattern: RegExp; names: string[] }>>();
  for (const route of routes) {
    const list = byMethod.get(route.method) ?? [];
    list.push({ route, ...compile(route.path) });
    byMethod.set(route.method, list);
  }
  return (method, path) => {
    for (const { route, pattern, names } of byMethod.get(method) ?? []) {
      const match = pattern.exec(path);
      if (match) return { route, params: Object.fromEntries(names.map((name, i) => [name, decoded(match[i + 1] ?? '')])) };
    }
    return undefined;
  };
}

/** A parameter that the path of the route promises. */
export function required(request: ApiRequest, name: string): string {
  const value = request.params[name];
  if (value === undefined || value === '') throw invalid(`the path needs a value for ${name}`);
  return value;
}

function compile(path: string): { pattern: RegExp; names: string[] } {
  const names: string[] = [];
  const source = path.replace(/\{(\w+)(\*?)\}/g, (_all, name: string, many: string) => {
    names.push(name);
    return many ? '(.+)' : '([^/]+)';
  });
  return { pattern: new RegExp(`^${source}$`), names };
}

function decoded(text: string): string {
  try { return decodeURIComponent(text); }
  catch (cause) { throw invalid(`malformed escape in the path: ${JSON.stringify(text)}`, { cause }); }
}
