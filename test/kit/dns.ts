// A DNS client and server for tests, written apart from the engine's own reading and writing of messages: what they agree on is right, not merely shared.
import { createSocket } from 'node:dgram';
import { createServer, Socket } from 'node:net';
import type { NetNamespace } from '../../src/kernel/index.ts';

export const TYPES = { A: 1, PTR: 12, MX: 15, TXT: 16, AAAA: 28, HTTPS: 65, ANY: 255 } as const;
export type TypeName = keyof typeof TYPES;

export interface DnsQuestion { name: string; type?: TypeName; class?: number; flags?: number; id?: number; ednsBytes?: number }
export interface DnsRecord { name: string; type: number; ttl: number; data: string }
export interface DnsReply { id: number; flags: number; rcode: number; truncated: boolean; questions: Array<{ name: string; type: number }>; answers: DnsRecord[]; bytes: number }

const TIMEOUT_MS = 20_000;

/**
 * A port of its own for every question: for 30 s the kernel leads what comes from one to the resolver that its rules led the last one to, and the
 * next test has another resolver in the same namespace. Below those that the kernel gives, where resolvers listen.
 */
const FIRST_PORT = 10_000, LAST_PORT = 32_000;
let lastPort = FIRST_PORT + (process.pid % 10_000);
const nextPort = (): number => { lastPort = lastPort < LAST_PORT ? lastPort + 1 : FIRST_PORT; return lastPort; };

export const encodeName = (name: string): Buffer => Buffer.concat([...name.split('.').filter((label) => label !== '').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')])), Buffer.from([0])]);

const words = (...numbers: number[]): Buffer => Buffer.from(numbers.flatMap((number) => [number >> 8, number & 0xff]));

export function encodeQuery({ name, type = 'A', class: klass = 1, flags = 0x0100, id = 0x4242, ednsBytes = 0 }: DnsQuestion): Buffer {
  const edns = ednsBytes > 0 ? [Buffer.from([0]), words(41, ednsBytes, 0, 0, 0)] : [];
  return Buffer.concat([words(id, flags, 1, 0, 0, edns.length > 0 ? 1 : 0), encodeName(name), words(TYPES[type], klass), ...edns]);
}

/** An answer to `query` with these records of its own type; `flags` over the usual ones. */
export function encodeReply(query: Buffer, { data = [], flags = 0x8180, ttl = 60 }: { data?: readonly Buffer[]; flags?: number; ttl?: number } = {}): Buffer {
  const end = nameAt(query, 12).end + 4;
  const type = query.readUInt16BE(end - 4);
  const records = data.map((bytes) => Buffer.concat([words(0xc00c, type, 1, ttl >> 16, ttl & 0xffff, bytes.length), bytes]));
  return Buffer.concat([query.subarray(0, 2), words(flags, 1, records.length, 0, 0), query.subarray(12, end), ...records]);
}

export function decodeReply(message: Buffer): DnsReply {
  const [id, flags, questionCount, answerCount] = [0, 2, 4, 6].map((at) => message.readUInt16BE(at)) as [number, number, number, number];
  let at = 12;
  const questions = Array.from({ length: questionCount }, () => {
    const { name, end } = nameAt(message, at);
    at = end + 4;
    return { name, type: message.readUInt16BE(end) };
  });
  const answers = Array.from({ length: answerCount }, () => {
    const { name, end } = nameAt(message, at);
    const [type, length] = [message.readUInt16BE(end), message.readUInt16BE(end + 8)];
    at = end + 10 + length;
    return { name, type, ttl: message.readUInt32BE(end + 4), data: dataText(message, type, { start: end + 10, length }) };
  });
  return { id, flags, rcode: flags & 15, truncated: (flags & 0x0200) !== 0, questions, answers, bytes: message.length };
}

function dataText(message: Buffer, type: number, { start, length }: { start: number; length: number }): string {
  const bytes = message.subarray(start, start + length);
  if (type === TYPES.A) return [...bytes].join('.');
  if (type === TYPES.AAAA) return bytes.toString('hex').match(/.{4}/g)?.join(':') ?? '';
  return type === TYPES.PTR ? nameAt(message, start).name : bytes.toString('hex');
}

export function nameAt(message: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let end = -1;
  for (let at = start, hops = 0; ;) {
    const length = message.readUInt8(at);
    if (length === 0) return { name: labels.join('.'), end: end < 0 ? at + 1 : end };
    if (length < 0xc0) { labels.push(message.toString('latin1', at + 1, at + 1 + length)); at += length + 1; continue; }
    if (hops++ > 20) throw new Error('a name without an end');
    if (end < 0) end = at + 2;
    at = message.readUInt16BE(at) & 0x3fff;
  }
}

/** Sends bytes from within a namespace; undefined when nothing comes in time. */
export function sendDatagram(namespace: NetNamespace, message: Buffer, { address = '127.0.0.11', port = 53, fromPort = nextPort(), timeoutMs = TIMEOUT_MS } = {}): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const timer = setTimeout(() => { socket.close(); resolve(undefined); }, timeoutMs);
    socket.once('error', (error) => { clearTimeout(timer); socket.close(); reject(error); });
    socket.once('message', (reply) => { clearTimeout(timer); socket.close(); resolve(reply); });
    socket.bind({ fd: namespace.udpSocket({ address: address.includes(':') ? '::' : '0.0.0.0', port: fromPort }).fd }, () => { socket.send(message, port, address); });
  });
}

/** Sends messages over one connection and reads as many back, in the order in which they come. */
export function sendOverTcp(namespace: NetNamespace, messages: readonly Buffer[], { address = '127.0.0.11', port = 53 } = {}): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const socket = new Socket({ fd: namespace.tcpConnection({ address, port }), readable: true, writable: true });
    socket.setTimeout(TIMEOUT_MS, () => { socket.destroy(new Error(`no answer of ${address} over TCP`)); });
    const replies: Buffer[] = [];
    let left = Buffer.alloc(0);
    socket.on('error', reject).on('close', () => { resolve(replies); });
    socket.on('data', (bytes: Buffer) => {
      left = Buffer.concat([left, bytes]);
      while (left.length >= 2 && left.length >= 2 + left.readUInt16BE(0)) {
        replies.push(left.subarray(2, 2 + left.readUInt16BE(0)));
        left = left.subarray(2 + left.readUInt16BE(0));
      }
      if (replies.length >= messages.length) socket.destroy();
    });
    socket.write(Buffer.concat(messages.flatMap((message) => [words(message.length), message])));
  });
}

/** One question over UDP. */
export async function dig(namespace: NetNamespace, question: DnsQuestion | string): Promise<DnsReply> {
  const asked = typeof question === 'string' ? { name: question } : question;
  const reply = await sendDatagram(namespace, encodeQuery(asked));
  if (!reply) throw new Error(`no answer for ${asked.name}`);
  return decodeReply(reply);
}

export interface FakeServer extends AsyncDisposable {
  /** "udp name" or "tcp name", in the order of asking. */
  readonly asked: string[];
  /** The messages themselves, and where they came from. */
  readonly seen: Array<{ message: Buffer; address: string; port: number }>;
}

/** A server at port 53 of an address of a namespace; undefined as a reply says nothing. */
export async function startDnsServer(namespace: NetNamespace, address: string, reply: (message: Buffer, about: { name: string; transport: 'udp' | 'tcp' }) => Buffer | undefined): Promise<FakeServer> {
  const asked: string[] = [];
  const seen: FakeServer['seen'] = [];
  const answer = (message: Buffer, transport: 'udp' | 'tcp', from: { address: string; port: number }) => {
    const { name } = nameAt(message, 12);
    asked.push(`${transport} ${name}`);
    seen.push({ message: Buffer.from(message), ...from });
    return reply(message, { name, transport });
  };
  const datagrams = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  datagrams.on('message', (message, from) => {
    const bytes = answer(message, 'udp', from);
    if (bytes) datagrams.send(bytes, from.port, from.address);
  });
  await new Promise<void>((done) => { datagrams.bind({ fd: namespace.udpSocket({ address, port: 53 }).fd }, done); });
  const connections = createServer((connection) => {
    connection.on('error', () => {});
    connection.on('data', (bytes: Buffer) => {
      const message = answer(bytes.subarray(2, 2 + bytes.readUInt16BE(0)), 'tcp', { address: connection.remoteAddress ?? '', port: connection.remotePort ?? 0 });
      if (message) connection.end(Buffer.concat([words(message.length), message]));
    });
  });
  await new Promise<void>((done) => { connections.listen({ fd: namespace.tcpListener({ address, port: 53, backlog: 16 }).fd }, done); });
  return {
    asked, seen,
    [Symbol.asyncDispose]: async () => {
      datagrams.close();
      await new Promise<void>((done) => { connections.close(() => { done(); }); });
    },
  };
}
