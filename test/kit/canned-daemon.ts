// A daemon that answers from a table: for tests of clients, and for asking two clients the same question.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Asked { method: string; path: string; query: URLSearchParams; body: string; headers: IncomingMessage['headers'] }
export type Answer = { status?: number; json?: unknown; bytes?: Uint8Array | string } | ((asked: Asked) => Answer);

export interface CannedDaemon extends AsyncDisposable {
  /** unix:///… */
  readonly host: string;
  /** What was asked so far, as `METHOD /path?query`, pings left out. */
  readonly asked: Asked[];
}

/** `routes` by `METHOD /path` without the version; `upgrade` gets the connections that are taken over. */
export async function openCannedDaemon(routes: Readonly<Record<string, Answer>>, upgrade?: (asked: Asked, socket: Duplex) => void): Promise<CannedDaemon> {
  const directory = mkdtempSync(join(tmpdir(), 'canned-'));
  const asked: Asked[] = [];
  const sockets = new Set<Duplex>();
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => { body += chunk.toString('utf8'); });
    request.on('end', () => { answer(routes, record(request, body), response); });
  });
  const record = (request: IncomingMessage, body: string): Asked => {
    const url = new URL(request.url ?? '/', 'http://daemon');
    const one = { method: request.method ?? '', path: url.pathname.replace(/^\/v[\d.]+/, ''), query: url.searchParams, body, headers: request.headers };
    if (one.path !== '/_ping') asked.push(one);
    return one;
  };
  server.on('connection', (socket: Duplex) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {}); // clients under test may leave at any time
  });
  server.on('upgrade', (request, socket: Duplex) => {
    socket.write('HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
    upgrade?.(record(request, ''), socket);
  });
  await new Promise<void>((resolve) => { server.listen(join(directory, 'daemon.sock'), resolve); });
  return {
    host: `unix://${join(directory, 'daemon.sock')}`,
    asked,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => { server.close(resolve); });
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function answer(routes: Readonly<Record<string, Answer>>, asked: Asked, response: ServerResponse): void {
  if (asked.path === '/_ping') {
    response.writeHead(200, { 'Api-Version': '1.41', Ostype: 'linux' }).end(asked.method === 'HEAD' ? '' : 'OK');
    return;
  }
  let found = routes[`${asked.method} ${asked.path}`] ?? { status: 404, json: { message: `No such container: ${asked.path.split('/')[2] ?? ''}` } };
  while (typeof found === 'function') found = found(asked);
  const bytes = found.json === undefined ? found.bytes ?? '' : `${JSON.stringify(found.json)}\n`;
  response.writeHead(found.status ?? 200, { 'Api-Version': '1.41', 'Content-Type': 'application/json' }).end(bytes);
}
