// One engine with busybox in it, for tests that speak its API directly: requests, events, streams and taken-over connections.
import { request, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { FrameDecoder } from '../../src/wire/frames.ts';
import type { EventLine } from '../../src/wire/types.ts';
import { startDaemon, type Daemon, type DaemonOptions } from './daemon.ts';
import { ask, type Answer } from './http.ts';
import { busyboxImage, type BuiltImage } from './image.ts';
import { until } from './poll.ts';
import { mustPull } from './pull.ts';
import { pushImage, startRegistry } from './registry.ts';
import { openTempRoot } from './temp.ts';

export interface State { Status: string; Running: boolean; Restarting: boolean; OOMKilled: boolean; Pid: number; ExitCode: number; Error: string; StartedAt: string; FinishedAt: string }
export interface Inspected { Id: string; Name: string; State: State; RestartCount: number; ExecIDs: string[] | null; LogPath: string; Config: { Hostname: string }; HostConfig: Record<string, unknown> }

export interface Bench extends AsyncDisposable {
  readonly path: string;
  readonly daemon: Daemon;
  readonly socket: string;
  readonly image: string;
  /** A request; fails unless it is answered with `status`, when that is given. */
  api(method: string, path: string, options?: { body?: unknown; status?: number; timeoutMs?: number }): Promise<Answer>;
  /** Pushes an image to the bench's registry and pulls it; its name. */
  add(image: BuiltImage, repository: string): Promise<string>;
  /** Gives the ID. `body` is merged over { Image, Cmd }. */
  create(cmd: readonly string[], options?: { name?: string; body?: Readonly<Record<string, unknown>>; host?: Readonly<Record<string, unknown>> }): Promise<string>;
  start(id: string): Promise<void>;
  run(cmd: readonly string[], options?: Parameters<Bench['create']>[1]): Promise<string>;
  inspect(id: string): Promise<Inspected>;
  /** Until it has ended; the exit code. */
  end(id: string): Promise<number>;
  remove(...ids: string[]): Promise<void>;
  /** Everything in its log, unframed. */
  logs(id: string, query?: string): Promise<string>;
  /** Once the listener is known to the engine. */
  events(query?: string): Promise<Listening>;
  /** A taken-over connection. */
  hijack(path: string, body?: unknown): Promise<Hijacked>;
  /** An answer whose body comes bit by bit, from the moment its head is there. */
  open(method: string, path: string): Promise<Streaming>;
  /** A new daemon on the same folders. */
  restart(how?: 'stop' | 'kill', between?: () => void | Promise<void>): Promise<void>;
}

export async function openBench(options: Partial<DaemonOptions> = {}): Promise<Bench> {
  await using undo = new AsyncDisposableStack();
  const root = undo.use(openTempRoot());
  const registry = undo.use(await startRegistry({ root: join(root.path, 'registry') }));
  const launch = () => startDaemon({ root: join(root.path, 'engine'), ...options });
  // The registry is in the machine's own network: the first daemon of a bench in another one only pulls.
  let daemon = options.netns ? await startDaemon({ root: join(root.path, 'engine') }) : await launch();
  undo.defer(() => daemon[Symbol.asyncDispose]());
  const { socket } = daemon;
  const api: Bench['api'] = async (method, path, { body, status, timeoutMs } = {}) => {
    const answer = await ask(socket, { method, path, body, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    if (status !== undefined && answer.status !== status) throw new Error(`${method} ${path}: ${answer.status} instead of ${status}: ${answer.text}`);
    return answer;
  };
  const add: Bench['add'] = async (image, repository) => {
    const name = await pushImage(registry.host, image, { repository, tag: '1' });
    await mustPull(socket, name);
    return name;
  };
  const image = await add(busyboxImage(), 'busybox');
  if (options.netns) {
    await daemon.stop();
    daemon = await launch();
  }
  undo.defer(async () => {
    if (!daemon.running) daemon = await launch();
    const all = (await api('GET', '/containers/json?all=1', { status: 200 })).json<Array<{ Id: string }>>();
    for (const { Id } of all) await api('DELETE', `/containers/${Id}?force=1`);
  });
  const create: Bench['create'] = async (cmd, { name, body, host } = {}) => {
    const answer = await api('POST', `/containers/create${name === undefined ? '' : `?name=${name}`}`, { status: 201, body: { Image: image, Cmd: cmd, ...body, HostConfig: { NetworkMode: 'none', ...host } } });
    return answer.json<{ Id: string }>().Id;
  };
  const start: Bench['start'] = async (id) => { await api('POST', `/containers/${id}/start`, { status: 204 }); };
  const held = undo.move();
  return {
    path: root.path, socket, image, api, add, create, start,
    get daemon() { return daemon; },
    run: async (cmd, how) => { const id = await create(cmd, how); await start(id); return id; },
    inspect: async (id) => (await api('GET', `/containers/${id}/json`, { status: 200 })).json<Inspected>(),
    end: async (id) => (await api('POST', `/containers/${id}/wait`, { status: 200 })).json<{ StatusCode: number }>().StatusCode,
    remove: async (...ids) => { await Promise.all(ids.map((id) => api('DELETE', `/containers/${id}?force=1`, { status: 204 }))); },
    logs: async (id, query = '') => unframed((await api('GET', `/containers/${id}/logs?stdout=1&stderr=1${query}`, { status: 200 })).body),
    events: (query = '') => listen(socket, query),
    hijack: (path, body) => hijack(socket, path, body),
    open: (method, path) => openStream(socket, { method, path }),
    restart: async (how = 'stop', between) => {
      if (how === 'kill') await daemon.kill();
      else await daemon.stop();
      await between?.();
      daemon = await launch();
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

export interface Streaming { readonly status: number; text(): string; readonly ended: Promise<void>; readonly failed: boolean; leave(): void; pause(): void; resume(): void }

export function openStream(socket: string, what: { method: string; path: string }): Promise<Streaming> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: socket, agent: false, ...what }, (response: IncomingMessage) => {
      const parts: Buffer[] = [];
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      let failed = false;
      response.on('data', (chunk: Buffer) => parts.push(chunk)).on('end', end).on('error', () => { failed = true; end(); }).on('close', end);
      resolve({
        status: response.statusCode ?? 0, ended, text: () => Buffer.concat(parts).toString('utf8'), get failed() { return failed; },
        leave: () => { sent.destroy(); }, pause: () => { response.pause(); }, resume: () => { response.resume(); },
      });
    });
    sent.on('error', reject).end();
  });
}

export interface Listening extends Streaming { lines(): EventLine[]; sees(action: string, id?: string): Promise<EventLine>; actions(id: string): string[] }

async function listen(socket: string, query: string): Promise<Listening> {
  const stream = await openStream(socket, { method: 'GET', path: `/events${query}` });
  const lines = () => stream.text().split('\n').slice(0, -1).map((line) => JSON.parse(line) as EventLine);
  return Object.defineProperties({
    lines,
    actions: (id: string) => lines().filter((line) => line.Actor.ID === id).map((line) => line.Action),
    sees: (action: string, id?: string) => until(`event ${action}`, () => lines().find((line) => line.Action === action && (id === undefined || line.Actor.ID === id))),
  }, Object.getOwnPropertyDescriptors(stream)) as Listening;
}

export interface Hijacked {
  readonly status: number;
  readonly head: string;
  readonly socket: Socket;
  /** What came, frames taken off. */
  stdout(): string;
  stderr(): string;
  raw(): Buffer;
  sees(text: string): Promise<void>;
  write(text: string | Uint8Array): void;
  /** Half-closes. */
  end(): void;
  /** Resolves at the end of what the engine sends. */
  readonly ended: Promise<void>;
  leave(): void;
}

export function hijack(path: string, target: string, body?: unknown): Promise<Hijacked> {
  const text = body === undefined ? '' : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true });
    socket.write(`POST ${target} HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    let head: string | undefined;
    const parts: Buffer[] = [];
    const raw = () => Buffer.concat(parts);
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const of = (stream: 'stdout' | 'stderr') => () => frames(raw()).filter((frame) => frame.stream === stream).map(({ bytes }) => Buffer.from(bytes).toString('latin1')).join('');
    const opened = (text: string): Hijacked => ({
      head: text, status: Number(text.split(' ')[1]), socket, raw, ended,
      stdout: of('stdout'), stderr: of('stderr'),
      sees: async (wanted) => { await until(`${JSON.stringify(wanted)} on the connection`, () => raw().includes(wanted)).catch((cause: unknown) => { throw new Error(`it said ${JSON.stringify(raw().toString('latin1').slice(-400))}`, { cause }); }); },
      write: (data) => { socket.write(data); }, end: () => { socket.end(); }, leave: () => { socket.destroy(); },
    });
    socket.on('data', (chunk: Buffer) => {
      parts.push(chunk);
      if (head !== undefined) return;
      const all = raw(), at = all.indexOf('\r\n\r\n');
      if (at < 0) return;
      head = all.toString('latin1', 0, at);
      parts.splice(0, parts.length, all.subarray(at + 4));
      resolve(opened(head));
    });
    socket.on('error', (error) => { reject(error); end(); }).on('end', end).on('close', end);
  });
}

function frames(bytes: Uint8Array) { return new FrameDecoder().push(bytes); }

export const unframed = (bytes: Uint8Array): string => frames(bytes).map((frame) => Buffer.from(frame.bytes).toString('utf8')).join('');
