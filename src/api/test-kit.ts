// An API on a socket of its own, and clients that see every byte, for the tests of this room.
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { request, type IncomingHttpHeaders } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, type Clock } from '../lib/clock.ts';
import { silentLog } from '../lib/log.ts';
import { fakeEngine, type Calls, type Overrides } from './fake-engine.ts';
import { openApi, type Api, type ApiConfig, type SocketFiles } from './index.ts';

export interface Reply { status: number; headers: IncomingHttpHeaders; body: string }
export interface Ask { body?: string | object; headers?: Record<string, string> }

export interface TestApi extends AsyncDisposable {
  readonly path: string;
  readonly api: Api;
  readonly calls: Calls;
  ask(method: string, path: string, options?: Ask): Promise<Reply>;
  json(method: string, path: string, options?: Ask): Promise<unknown>;
  raw(): Promise<RawClient>;
}

export const socketFiles: SocketFiles = {
  remove: (path) => rm(path, { force: true }),
  protect: (path, { mode }) => chmod(path, mode),
};

export async function openTestApi(overrides: Overrides = {}, config: Partial<ApiConfig> = {}, clock: Clock = systemClock): Promise<TestApi> {
  const directory = await mkdtemp(join(tmpdir(), 'vaquita-api-'));
  const path = join(directory, 'api.sock');
  const engine = fakeEngine(overrides);
  const api = await openApi({
    engine, log: silentLog, clock,
    config: { listen: [{ kind: 'unix', path, gid: undefined }], allowPlainTcp: false, files: socketFiles, ...config },
  }).catch(async (error: unknown) => { await rm(directory, { recursive: true, force: true }); throw error; });
  const ask = (method: string, target: string, options?: Ask) => askSocket({ socketPath: path }, { method, path: target, ...options });
  return {
    path, api, calls: engine.calls, ask, raw: () => openRaw(path),
    json: async (method, target, options) => JSON.parse((await ask(method, target, options)).body),
    async [Symbol.asyncDispose]() {
      await api.close({ graceMs: 0 });
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export function askSocket(where: { socketPath: string } | { host: string; port: number }, options: Ask & { method: string; path: string }): Promise<Reply> {
  const body = options.body === undefined ? undefined : typeof options.body === 'string' ? options.body : JSON.stringify(options.body);
  const headers = { ...(body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': String(Buffer.byteLength(body)) }), ...options.headers };
  return new Promise((resolve, reject) => {
    const sent = request({ ...where, method: options.method, path: options.path, headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts).toString('utf8') }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** A connection of bytes. */
export interface RawClient {
  readonly socket: Socket;
  send(text: string | Uint8Array): void;
  /** Half-closes. */
  finish(): void;
  /** All bytes received, as latin1. */
  seen(): string;
  /** Resolves when what was received includes `text`; fails after five seconds. */
  until(text: string): Promise<string>;
  /** Resolves with everything when the server has closed its side. */
  ended(): Promise<string>;
}

export async function openRaw(path: string): Promise<RawClient> {
  const socket = connect({ path, allowHalfOpen: true });
  let seen = '';
  let over = false;
  const watchers = new Set<() => void>();
  const changed = () => { for (const watcher of watchers) watcher(); };
  socket.on('data', (chunk: Buffer) => { seen += chunk.toString('latin1'); changed(); });
  socket.on('end', () => { over = true; changed(); });
  socket.on('error', () => { over = true; changed(); });
  socket.on('close', () => { over = true; changed(); });
  await new Promise<void>((resolve) => { socket.once('connect', resolve); });
  const when = (test: () => boolean, what: string) => new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => { watchers.delete(look); reject(new Error(`no ${what} within 20 s; seen: ${JSON.stringify(seen)}`)); }, 20_000);
    const look = () => { if (test()) { clearTimeout(timer); watchers.delete(look); resolve(seen); } };
    watchers.add(look);
    look();
  });
  return {
    socket, send: (text) => { socket.write(text); }, finish: () => { socket.end(); }, seen: () => seen,
    until: (text) => when(() => seen.includes(text), JSON.stringify(text)), ended: () => when(() => over, 'end'),
  };
}

/** Polls until `test` holds; fails after five seconds. */
export async function eventually(test: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!test()) {
    if (performance.now() > deadline) throw new Error(`not within 20 s: ${what}`);
    await systemClock.sleep(2);
  }
}
