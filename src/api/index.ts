// The door for clients: Docker's HTTP API on the sockets that the configuration names.
import type { Socket } from 'node:net';
import type { Engine } from '../engine/index.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { containerRoutes } from './containers.ts';
import { execRoutes } from './execs.ts';
import { fileRoutes } from './files.ts';
import { acceptConnection } from './front.ts';
import { archiveRoutes } from './image-archives.ts';
import { imageRoutes } from './images.ts';
import { openListener, type Listener, type ListenTarget, type SocketFiles } from './listen.ts';
import { networkRoutes } from './networks.ts';
import { resourceRoutes } from './resources.ts';
import { openServer } from './server.ts';
import { systemRoutes } from './system.ts';
import { laterRoutes } from './later.ts';
import { DOCKER_VERSION } from './version.ts';
import { volumeRoutes } from './volumes.ts';

export type { ListenTarget, SocketFiles, TlsOptions } from './listen.ts';
export { openMetricsDoor, type ProcessNumbers } from './metrics.ts';

export interface ApiConfig {
  listen: readonly ListenTarget[];
  /** Whether TCP without TLS may be listened on; the daemon warns whoever allows it. */
  allowPlainTcp: boolean;
  files: SocketFiles;
  /** Connections per socket; each costs some 30 KiB. Default 512. */
  maxConnections?: number;
}

export interface Api {
  /** What is listened on, as `unix://`, `tcp://` or `fd://`. */
  readonly addresses: readonly string[];
  /** Whether a request goes all the way through the server: what a watchdog asks. */
  answers(): Promise<boolean>;
  /** No new connections; endless answers (events, followed logs, attach, exec, wait) are cut; others may finish for `graceMs`, then they are cut too. */
  close(options: { graceMs: number }): Promise<void>;
}

/** Listens from the moment it resolves. A target that cannot be listened on fails it, and leaves none listening. */
export async function openApi(needs: { engine: Engine; log: Log; clock: Clock; config: ApiConfig }): Promise<Api> {
  const { engine, log, clock, config } = needs;
  const version = engine.system.version();
  const legacy = new WeakSet<object>();
  const sockets = new Set<Socket>();
  const server = openServer({
    routes: [
      ...systemRoutes(engine, clock), ...containerRoutes(engine.containers, clock), ...resourceRoutes(engine.containers), ...execRoutes(engine.execs), ...fileRoutes(engine.files), ...archiveRoutes(engine.images), ...imageRoutes(engine.images),
      ...networkRoutes(engine.networks), ...volumeRoutes(engine.volumes), ...laterRoutes(),
    ],
    log, clock, legacy, engineVersion: DOCKER_VERSION, experimental: version.experimental,
  });
  const accept = (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    acceptConnection(socket, { http: server.http, clock, legacy });
  };

  await using undo = new AsyncDisposableStack();
  const listeners: Listener[] = [];
  for (const target of config.listen) {
    const listener = await openListener({ target, accept, log, files: config.files, allowPlainTcp: config.allowPlainTcp, maxConnections: config.maxConnections ?? 512 });
    undo.defer(() => listener.stop());
    listeners.push(listener);
  }
  undo.move();

  return {
    addresses: listeners.map((listener) => listener.address),
    answers: async () => await listeners[0]?.answers() ?? true,
    async close({ graceMs }) {
      for (const listener of listeners) listener.stop();
      server.drain();
      const grace = new AbortController();
      await Promise.race([server.idle(), clock.sleep(graceMs, { signal: grace.signal }).catch(() => {})]);
      grace.abort();
      if (server.active() > 0) log.warn('requests cut off at the end of the grace period', { requests: server.active(), graceMs });
      server.cutOff();
      for (const socket of sockets) socket.destroy();
    },
  };
}
