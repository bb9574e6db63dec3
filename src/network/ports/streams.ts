// Holds a TCP port with a listening socket, and passes on the connections that reach it: those that the kernel could not send to the container by itself.
import { createServer, Socket } from 'node:net';
import type { NetNamespace } from '../../kernel/index.ts';
import type { Log } from '../../lib/log.ts';
import type { Holder } from './index.ts';

/** Connections that wait to be taken. */
const BACKLOG = 128;
/** Passed on at once, per port; further ones are closed. Each takes two sockets and about 20 KiB. */
const MAX_CONNECTIONS = 512;
/** Goes once the container has taken the connection, and whatever follows goes after it: an end that came before would call the connection off. */
const NOTHING = new Uint8Array(0);

export function holdStreams({ net, log }: { net: NetNamespace; log: Log }, at: { address: string; port: number }): Holder {
  const { fd } = net.tcpListener({ ...at, backlog: BACKLOG });
  const open = new Set<Socket>();
  let target: { address: string; port: number } | undefined;

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (target === undefined || open.size >= 2 * MAX_CONNECTIONS) { client.resetAndDestroy(); return; }
    let container: Socket;
    try { container = new Socket({ fd: net.tcpConnection(target), allowHalfOpen: true, readable: true, writable: true }); }
    catch (error) {
      log.debug('a connection cannot be passed on', { ...at, error });
      client.resetAndDestroy();
      return;
    }
    container.setNoDelay(true);
    container.write(NOTHING);
    join(client, container, open);
  });
  server.on('error', (error) => log.error('a held port is lost', { ...at, error }));
  server.listen({ fd, backlog: BACKLOG }).unref();

  return {
    passOn: (to) => { target = to; },
    [Symbol.dispose]() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

/** Both directions with backpressure; the end of one is passed on as such, an error ends both. */
function join(client: Socket, container: Socket, open: Set<Socket>): void {
  for (const [from, to] of [[client, container], [container, client]] as const) {
    open.add(from);
    from.on('error', () => to.resetAndDestroy());
    from.once('close', () => {
      open.delete(from);
      to.destroy();
    });
    from.pipe(to);
  }
}
