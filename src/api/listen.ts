// Where the API is reachable: a unix socket, an inherited one, or TCP with and without client certificates.
import { connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { EngineError, errnoOf, invalid, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';

export type ListenTarget =
  | { kind: 'unix'; path: string; gid: number | undefined }
  /** A listening socket that systemd made. */
  | { kind: 'fd'; fd: number }
  | { kind: 'tcp'; host: string; port: number; tls: TlsOptions | undefined };

/** PEM texts. With `verify`, clients without a certificate signed by `ca` are turned away. */
export interface TlsOptions { ca: string | undefined; cert: string; key: string; verify: boolean }

/** What the daemon does to socket files for us: this room does not touch files. */
export interface SocketFiles {
  /** Removes the file; absent is fine. */
  remove(path: string): Promise<void>;
  /** Sets mode and, when given, group. */
  protect(path: string, options: { mode: number; gid: number | undefined }): Promise<void>;
}

/** Owner and group may speak to the engine, which is to say: may become root. */
const SOCKET_MODE = 0o660;
const PROBE_TIMEOUT_MS = 2000;
/** A device that swaps and writes an image may take as long for a ping. */
const ANSWER_TIMEOUT_MS = 30_000;
const TCP_KEEP_ALIVE_MS = 60_000;

export interface ListenOptions {
  target: ListenTarget;
  allowPlainTcp: boolean;
  maxConnections: number;
  files: SocketFiles;
  log: Log;
  accept: (socket: Socket) => void;
}

export interface Listener {
  /** unix:///run/x.sock, tcp://127.0.0.1:2376, fd://3 */
  readonly address: string;
  /** Whether a client would be answered: connects like one and asks for /_ping (with TLS, only whether the connection is taken). */
  answers(): Promise<boolean>;
  /** No new connections. */
  stop(): void;
}

export async function openListener(options: ListenOptions): Promise<Listener> {
  const { target, log } = options;
  const server = target.kind === 'tcp' && target.tls ? tlsServer(options, target.tls) : plainServer(options);
  server.maxConnections = options.maxConnections;
  server.on('drop', (data) => log.warn('connection refused: too many', { maxConnections: options.maxConnections, ...data }));
  switch (target.kind) {
    case 'unix': await freePath(target.path, options.files); await listening(server, { path: target.path }); break;
    case 'fd': await listening(server, { fd: target.fd }); break;
    case 'tcp': await listening(server, { host: target.host, port: target.port }); break;
  }
  // The umask of a daemon keeps others out until the mode is set: connecting needs the right to write.
  if (target.kind === 'unix') await options.files.protect(target.path, { mode: SOCKET_MODE, gid: target.gid });
  server.on('error', (error) => log.error('listening failed', { error }));
  return { address: addressOf(server, target), answers: () => ping(server, target), stop: () => { server.close(); } };
}

function plainServer({ target, allowPlainTcp, accept }: ListenOptions): Server {
  if (target.kind === 'tcp' && !allowPlainTcp)
    throw invalid(`refusing to listen on ${target.host}:${target.port} without TLS: whoever can connect would be root here; give certificates, or allow plain TCP in the configuration`);
  const tcp = target.kind === 'tcp';
  return createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: tcp, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS }, accept);
}

function tlsServer({ accept, log }: ListenOptions, tls: TlsOptions): Server {
  if (tls.verify && tls.ca === undefined) throw invalid('tlsverify needs the certificate of the authority (tlscacert) that signs the clients');
  const server = createTlsServer({
    ca: tls.ca, cert: tls.cert, key: tls.key, requestCert: tls.verify, rejectUnauthorized: tls.verify, minVersion: 'TLSv1.2',
    allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
  }, accept);
  server.on('tlsClientError', (error, socket) => {
    log.debug('TLS handshake failed', { error, from: socket.remoteAddress });
    socket.destroy();
  });
  return server;
}

function listening(server: Server, where: { path: string } | { fd: number } | { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) => reject(new EngineError('system', `listen on ${JSON.stringify(where)}: ${messageOf(cause)}`, { cause }));
    server.once('error', fail);
    server.listen({ ...where, backlog: 512 }, () => { server.off('error', fail); resolve(); });
  });
}

/** A socket file that nobody answers on is left from a crash; one that answers belongs to a running engine. */
async function freePath(path: string, files: SocketFiles): Promise<void> {
  const answered = await new Promise<boolean>((resolve, reject) => {
    const probe = connect({ path });
    const settle = (result: boolean) => { probe.destroy(); resolve(result); };
    probe.setTimeout(PROBE_TIMEOUT_MS, () => settle(true));
    probe.once('connect', () => settle(true));
    probe.once('error', (error) => {
      const code = errnoOf(error);
      if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTSOCK') settle(false);
      else { probe.destroy(); reject(new EngineError('system', `look at the socket ${path}: ${messageOf(error)}`, { cause: error })); }
    });
  });
  if (answered) throw new EngineError('conflict', `${path} is in use: another engine answers there`);
  await files.remove(path);
}

function ping(server: Server, target: ListenTarget): Promise<boolean> {
  const bound = server.address();
  if (bound === null) return Promise.resolve(false);
  return new Promise((resolve) => {
    const probe = connect(typeof bound === 'string' ? { path: bound } : { host: bound.address, port: bound.port });
    const settle = (result: boolean) => { probe.destroy(); resolve(result); };
    probe.setTimeout(ANSWER_TIMEOUT_MS, () => settle(false)).once('error', () => settle(false)).once('end', () => settle(false));
    probe.once('connect', () => {
      if (target.kind === 'tcp' && target.tls) settle(true);
      else probe.write('GET /_ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    });
    probe.once('data', (head: Buffer) => settle(head.toString('latin1').startsWith('HTTP/1.1 200')));
  });
}

function addressOf(server: Server, target: ListenTarget): string {
  const bound = server.address();
  if (target.kind === 'unix') return `unix://${target.path}`;
  if (target.kind === 'fd' || bound === null || typeof bound === 'string') return `fd://${target.kind === 'fd' ? target.fd : ''}`;
  return `tcp://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`;
}
