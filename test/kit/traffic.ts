// Packets between network namespaces, sent and answered by the test itself: who answered, and whom that one thinks it talks to.
import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { once } from 'node:events';
import { createServer, Socket } from 'node:net';
import type { NetNamespace } from '../../src/kernel/index.ts';

export interface Spot { address: string; port: number; protocol: 'tcp' | 'udp' }

/** Far more than any answer takes. */
const ANSWER_MS = 20_000;

/** Answers "NAME ADDRESS TEXT", where ADDRESS is the client's as it is seen from here. */
export function serve(namespace: NetNamespace, name: string, at: Spot): Disposable {
  if (at.protocol === 'udp') {
    const socket = createSocket(at.address.includes(':') ? 'udp6' : 'udp4').bind({ fd: namespace.udpSocket(at).fd });
    socket.on('message', (bytes, { address: from, port }) => socket.send(`${name} ${from} ${bytes.toString()}`, port, from));
    return { [Symbol.dispose]: () => socket.close() };
  }
  const server = createServer({ allowHalfOpen: true }, (client) => {
    client.on('error', () => {});
    client.write(`${name} ${client.remoteAddress} `);
    client.pipe(client);
  });
  server.listen({ fd: namespace.tcpListener({ address: at.address, port: at.port, backlog: 16 }).fd });
  return { [Symbol.dispose]: () => server.close() };
}

/** A server for both families and both protocols on one port. */
export function serveAll(namespace: NetNamespace, name: string, port: number): Disposable {
  const stack = new DisposableStack();
  for (const protocol of ['tcp', 'udp'] as const) for (const address of ['0.0.0.0', '::']) stack.use(serve(namespace, name, { address, port, protocol }));
  return stack;
}

/** The whole answer; undefined when there is none in time, or a refusal. */
export async function ask(from: NetNamespace, to: Spot, waitMs = ANSWER_MS): Promise<string | undefined> {
  if (to.protocol === 'udp') {
    using client = datagramsTo(to.address, from);
    client.socket.send('hello', to.port, to.address);
    return await answer(once(client.socket, 'message').then(([bytes]) => String(bytes)), waitMs);
  }
  const socket = new Socket({ fd: from.tcpConnection(to), readable: true, writable: true, allowHalfOpen: true });
  let said = '';
  socket.setEncoding('utf8').on('data', (text: string) => { said += text; });
  socket.end('hello');
  const told = await answer(once(socket, 'end').then(() => said), waitMs);
  socket.on('error', () => {}).destroy();
  return told;
}

/** A socket of any port, for the family of an address. */
export function datagramsTo(address: string, from: NetNamespace): Disposable & { readonly socket: Datagrams } {
  const isIpv6 = address.includes(':');
  const socket = createSocket(isIpv6 ? 'udp6' : 'udp4').bind({ fd: from.udpSocket({ address: isIpv6 ? '::' : '0.0.0.0', port: 0 }).fd });
  return { socket, [Symbol.dispose]: () => socket.close() };
}

async function answer(coming: Promise<string>, waitMs: number): Promise<string | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), waitMs);
  try { return await Promise.race([coming.catch(() => undefined), late]); }
  finally { clearTimeout(timer); }
}
