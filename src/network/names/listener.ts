// The two sockets that one sandbox asks at: reads questions from them and writes the answers back, whenever they come.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import type { NetNamespace } from '../../kernel/index.ts';
import type { Ports } from './redirect.ts';
import { RESOLVER_ADDRESS } from './resolv-conf.ts';
import { given, lengthOf, type Transport } from './upstream.ts';

/** Of one sandbox over TCP. */
const MAX_CONNECTIONS = 128;
const MAX_OPEN_QUESTIONS = 32;
/** Longer than the servers of one question may take. */
const IDLE_MS = 20_000;
const BACKLOG = 128;

/** An answer at once or later; undefined: none. Never rejects. */
export type Answerer = (message: Buffer, transport: Transport) => Buffer | undefined | Promise<Buffer | undefined>;

export interface Listener extends Disposable { readonly ports: Ports }

/** Error: EADDRINUSE when a port is taken; port 0 takes any. */
export async function openListener({ namespace, ports, answer }: { namespace: NetNamespace; ports: Ports; answer: Answerer }): Promise<Listener> {
  using undo = new DisposableStack();
  const udp = namespace.udpSocket({ address: RESOLVER_ADDRESS, port: ports.udp });
  const datagrams = createSocket({ type: 'udp4', lookup: given('udp4') });
  undo.defer(() => { datagrams.close(); });
  serveDatagrams(datagrams, answer);
  const bound = Promise.withResolvers<void>();
  datagrams.once('error', bound.reject);
  datagrams.bind({ fd: udp.fd }, () => { datagrams.off('error', bound.reject); bound.resolve(); });
  await bound.promise;
  const tcp = namespace.tcpListener({ address: RESOLVER_ADDRESS, port: ports.tcp, backlog: BACKLOG });
  const connections = createServer();
  const open = serveConnections(connections, answer);
  undo.defer(() => { for (const connection of open) connection.destroy(); connections.close(); });
  const listening = Promise.withResolvers<void>();
  connections.once('error', listening.reject);
  connections.listen({ fd: tcp.fd }, () => { connections.off('error', listening.reject); listening.resolve(); });
  await listening.promise;
  const kept = undo.move();
  return { ports: { udp: udp.port, tcp: tcp.port }, [Symbol.dispose]: () => { kept.dispose(); } };
}

function serveDatagrams(socket: UdpSocket, answer: Answerer): void {
  let closed = false;
  socket.on('close', () => { closed = true; });
  socket.on('error', () => {}); // of one datagram: its client asks again
  socket.on('message', (message, { address, port }) => {
    if (port === 0) return; // made by hand: nobody can be answered there
    const reply = (bytes: Buffer | undefined) => { if (bytes && !closed) socket.send(bytes, port, address, () => {}); };
    const now = answer(message, 'udp');
    if (now instanceof Promise) void now.then(reply); else reply(now);
  });
}

/** The connections that are open. */
function serveConnections(server: Server, answer: Answerer): Set<Socket> {
  const open = new Set<Socket>();
  server.maxConnections = MAX_CONNECTIONS;
  server.on('connection', (connection) => {
    open.add(connection);
    connection.on('close', () => { open.delete(connection); });
    serveConnection(connection, answer);
  });
  return open;
}

function serveConnection(connection: Socket, answer: Answerer): void {
  let waiting = Buffer.alloc(0);
  let asked = 0;
  connection.setTimeout(IDLE_MS, () => { connection.destroy(); });
  connection.on('error', () => {}); // a client that went away
  const reply = (bytes: Buffer | undefined) => {
    asked--;
    if (!connection.writable) return;
    if (bytes) connection.write(Buffer.concat([lengthOf(bytes), bytes]));
    read();
  };
  // A client that asks faster than it reads, or than anybody answers, is read no further.
  const read = () => {
    while (asked < MAX_OPEN_QUESTIONS && !connection.writableNeedDrain && waiting.length >= 2 && waiting.length >= 2 + waiting.readUInt16BE(0)) {
      const end = 2 + waiting.readUInt16BE(0);
      const message = waiting.subarray(2, end);
      waiting = waiting.subarray(end);
      asked++;
      const now = answer(message, 'tcp');
      void Promise.resolve(now).then(reply);
    }
    if (asked >= MAX_OPEN_QUESTIONS || connection.writableNeedDrain) connection.pause(); else connection.resume();
  };
  connection.on('drain', read);
  connection.on('data', (bytes: Buffer) => { waiting = Buffer.concat([waiting, bytes]); read(); });
}
