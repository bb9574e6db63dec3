// Passes a question on to servers one after the other, from sockets of the namespace that reaches them. Every question has a socket, a port and a number of its own, so that a stranger cannot guess an answer.
import { createSocket } from 'node:dgram';
import { Socket } from 'node:net';
import type { Clock } from '../../lib/clock.ts';
import type { NetNamespace } from '../../kernel/index.ts';
import { RCODE, readAnswer, withId, MAX_MESSAGE_BYTES, type Question } from './message.ts';

/** As dockerd: for each server, and of the servers only the first ones. */
export const SERVER_TIMEOUT_MS = 4000;
export const MAX_SERVERS = 3;
const DNS_PORT = 53;

export interface Server {
  /** IPv4 or IPv6, possibly with a %zone. */
  address: string;
  namespace: NetNamespace;
}

export type Transport = 'udp' | 'tcp';

export interface Asking {
  /** As the client wrote it. */
  message: Buffer;
  question: Question;
  servers: readonly Server[];
  transport: Transport;
  clock: Clock;
  signal: AbortSignal;
}

/**
 * The first answer that settles it, under the client's number: a positive one, or the word of who is in charge of the name that there is
 * none; as with dockerd a server that merely does not know leaves it to the next one. Otherwise the last answer; undefined when nobody answers in time.
 */
export async function ask(asking: Asking): Promise<Buffer | undefined> {
  let last: Buffer | undefined;
  for (const server of asking.servers.slice(0, MAX_SERVERS)) {
    if (asking.signal.aborted) break;
    const id = Number.parseInt(asking.clock.randomHex(2), 16);
    const reply = await (asking.transport === 'udp' ? overUdp : overTcp)(asking, server, id);
    if (!reply) continue;
    const answer = withId(reply.message, asking.message.readUInt16BE(0));
    if (reply.rcode === RCODE.ok || (reply.rcode === RCODE.noSuchName && reply.authoritative)) return answer;
    last = answer;
  }
  return last;
}

interface Reply { message: Buffer; rcode: number; authoritative: boolean }

/** The socket is connected: the kernel lets in nothing but what comes from the server, and says at once when nobody is there. */
function overUdp({ message, question, clock, signal }: Asking, { address, namespace }: Server, id: number): Promise<Reply | undefined> {
  return new Promise((resolve) => {
    const family = address.includes(':') ? 'udp6' : 'udp4';
    let fd: number;
    try { fd = namespace.udpSocket({ address: family === 'udp6' ? '::' : '0.0.0.0', port: 0 }).fd; }
    catch { return resolve(undefined); }
    const socket = createSocket({ type: family, lookup: given(family) });
    let closed = false;
    const done = (reply?: Reply) => {
      if (closed) return;
      closed = true;
      timeout[Symbol.dispose]();
      signal.removeEventListener('abort', stop);
      socket.removeAllListeners('message').removeAllListeners('error').on('error', () => {});
      socket.close();
      resolve(reply);
    };
    const stop = () => { done(); };
    const timeout = clock.after(SERVER_TIMEOUT_MS, stop);
    signal.addEventListener('abort', stop, { once: true });
    socket.on('error', stop);
    socket.on('message', (bytes) => {
      const facts = readAnswer(bytes, { id, question });
      if (facts) done({ message: bytes, ...facts });
    });
    socket.bind({ fd }, () => {
      socket.connect(DNS_PORT, address, (error?: Error | null) => {
        if (error) stop();
        else if (!closed) socket.send(withId(message, id)); // it may have been told to stop since
      });
    });
  });
}

/** A connection for one question, as dockerd does. */
function overTcp({ message, question, clock, signal }: Asking, { address, namespace }: Server, id: number): Promise<Reply | undefined> {
  return new Promise((resolve) => {
    let fd: number;
    try { fd = namespace.tcpConnection({ address, port: DNS_PORT }); }
    catch { return resolve(undefined); }
    const socket = new Socket({ fd, readable: true, writable: true });
    const done = (reply?: Reply) => {
      timeout[Symbol.dispose]();
      signal.removeEventListener('abort', stop);
      socket.removeAllListeners('data').removeAllListeners('close');
      socket.destroy();
      resolve(reply);
    };
    const stop = () => { done(); };
    const timeout = clock.after(SERVER_TIMEOUT_MS, stop);
    signal.addEventListener('abort', stop, { once: true });
    socket.on('error', stop).on('close', stop);
    let received = Buffer.alloc(0);
    socket.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
      if (received.length > MAX_MESSAGE_BYTES + 2) return stop();
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const answer = received.subarray(2, 2 + received.readUInt16BE(0));
      const facts = readAnswer(answer, { id, question });
      done(facts && { message: answer, ...facts });
    });
    socket.write(Buffer.concat([lengthOf(message), withId(message, id)]));
  });
}

/** How many bytes follow, as DNS over TCP begins each message. Source: RFC 1035 §4.2.2. */
export function lengthOf(message: Uint8Array): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length, 0);
  return length;
}

/** Servers are addresses: nothing is ever looked up. */
export function given(family: 'udp4' | 'udp6') {
  return (address: string, _options: unknown, done: (error: Error | null, address: string, family: number) => void): void => { done(null, address, family === 'udp6' ? 6 : 4); };
}
