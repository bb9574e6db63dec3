// Sends lines to a syslog: datagrams or a stream, plain or encrypted, over the network or on this machine.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { existsSync, readFileSync } from 'node:fs';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Kernel } from '../kernel/index.ts';
import type { Clock } from '../lib/clock.ts';
import { errnoOf, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { refusal } from './options.ts';
import type { Piece } from './pieces.ts';
import { RETRY_MS, type Sink } from './sink.ts';
import { syslogMessage, type SyslogAddress, type SyslogStyle } from './syslog-format.ts';

/** Where a machine's own syslog listens, of the two kinds that there are. Source: syslog(3) and what Go's log/syslog tries. */
const LOCAL_PATHS = ['/dev/log', '/var/run/syslog', '/var/run/log'];
const CONNECT_TIMEOUT_MS = 10_000;
/** Unsent bytes of a stream beyond which no more is taken. */
const MAX_UNSENT_BYTES = 256 * 1024;
/** Datagrams under way. */
const MAX_UNSENT_DATAGRAMS = 64;
const FULL_MS = 5;

export interface SyslogOptions { address: SyslogAddress; style: SyslogStyle; tls: { ca: string | undefined; cert: string | undefined; key: string | undefined; skipVerify: boolean } }
interface Needs { kernel: Pick<Kernel, 'sockets'>; clock: Clock; log: Log; container: string }

/** One way to send; made anew when it breaks. */
interface Line extends Disposable {
  /** False when there is no room now. Throws when the receiver is gone. */
  send(message: Buffer): boolean;
  /** Resolves when there may be room, or when it broke. */
  room(): Promise<void>;
}

/** Reaches the receiver first. Error: system, in Go's words, as Docker's clients read them. */
export async function openSyslogSink(options: SyslogOptions, needs: Needs): Promise<Sink> {
  return new SyslogSink(options, needs, await openLine(options, needs));
}

/** Without reaching it now: for a log that goes on after a restart of the daemon. */
export function resumeSyslogSink(options: SyslogOptions, needs: Needs): Sink {
  return new SyslogSink(options, needs, undefined);
}

class SyslogSink implements Sink {
  readonly #options: SyslogOptions;
  readonly #needs: Needs;
  #line: Line | undefined;
  #pauseMs = 0;

  constructor(options: SyslogOptions, needs: Needs, line: Line | undefined) {
    this.#options = options;
    this.#needs = needs;
    this.#line = line;
  }

  offer(pieces: readonly Piece[], from: number): number {
    for (let at = from; at < pieces.length; at++) {
      const piece = pieces[at];
      if (!piece || piece.bytes.length === 0) continue; // an empty line is not sent, as with Docker
      if (!this.#line) return at - from;
      try {
        if (!this.#line.send(syslogMessage(this.#options.style, piece))) return at - from;
        this.#pauseMs = 0;
      } catch (error) {
        this.#break(error);
        return at - from;
      }
    }
    return pieces.length - from;
  }

  async ready(signal: AbortSignal): Promise<void> {
    const { clock } = this.#needs;
    if (this.#line) return await unlessAborted(this.#line.room(), signal);
    if (this.#pauseMs > 0) await clock.sleep(this.#pauseMs, { signal });
    try {
      this.#line = await openLine(this.#options, this.#needs);
    } catch (error) {
      this.#break(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> { this.#line?.[Symbol.dispose](); }

  #break(error: unknown): void {
    const { log, container } = this.#needs;
    this.#line?.[Symbol.dispose]();
    this.#line = undefined;
    if (this.#pauseMs === 0) log.warn('syslog cannot be reached; output is kept for it as long as there is room', { container, error });
    this.#pauseMs = this.#pauseMs === 0 ? RETRY_MS.first : Math.min(this.#pauseMs * 2, RETRY_MS.last);
  }
}

async function openLine(options: SyslogOptions, needs: Needs): Promise<Line> {
  const { address } = options;
  switch (address.protocol) {
    case 'local': return await localLine(needs);
    case 'unixgram': return datagrams(address.path, needs);
    case 'unix': return await streamTo({ path: address.path }, `unix ${address.path}`, needs);
    case 'udp': return await udpLine(address);
    default: return await streamTo({ host: address.host || '127.0.0.1', port: portOf(address) }, `tcp ${address.host}:${address.port}`, { ...needs, ...(address.protocol === 'tcp+tls' ? { tls: certificates(options) } : {}) });
  }
}

async function localLine(needs: Needs): Promise<Line> {
  for (const path of LOCAL_PATHS.filter((one) => existsSync(one))) {
    try {
      return datagrams(path, needs);
    } catch {
      try { return await streamTo({ path }, `unix ${path}`, needs); } catch { /* not this one */ }
    }
  }
  throw refusal('Unix syslog delivery error');
}

/** Throws when nobody takes datagrams there. */
function datagrams(path: string, { kernel: { sockets }, clock }: Needs): Line {
  try {
    sockets.sendDatagram(path, new Uint8Array(0)); // says nothing, and shows who listens
  } catch (cause) {
    if (errnoOf(cause) !== 'EAGAIN') throw refusal(`dial unixgram ${path}: connect: ${wordsOf(cause)}`, { cause });
  }
  return {
    send(message) {
      try {
        sockets.sendDatagram(path, message);
        return true;
      } catch (error) {
        if (errnoOf(error) === 'EAGAIN') return false;
        if (errnoOf(error) === 'EMSGSIZE') return true; // will never fit: there is nothing to wait for
        throw error;
      }
    },
    room: () => clock.sleep(FULL_MS),
    [Symbol.dispose]() { /* the socket is the kernel's */ },
  };
}

async function udpLine(address: { host: string; port: string }): Promise<Line> {
  const port = portOf({ ...address, protocol: 'udp' });
  const host = address.host || '127.0.0.1';
  const socket: UdpSocket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const found = Promise.withResolvers<void>();
  socket.once('error', found.reject).connect(port, host, found.resolve);
  try {
    await found.promise;
  } catch (cause) {
    socket.close();
    throw refusal(`dial udp: lookup ${host}: no such host`, { cause });
  }
  socket.on('error', () => {}); // nobody listens: what is sent is lost, as it is with datagrams
  socket.unref();
  let unsent = 0;
  let room: () => void = () => {};
  return {
    send(message) {
      if (unsent >= MAX_UNSENT_DATAGRAMS) return false;
      unsent++;
      socket.send(message, () => { unsent--; room(); });
      return true;
    },
    room: () => (unsent < MAX_UNSENT_DATAGRAMS ? Promise.resolve() : new Promise((resolve) => { room = resolve; })),
    [Symbol.dispose]() { socket.close(); },
  };
}

async function streamTo(place: NetConnectOpts, name: string, needs: Needs & { tls?: Certificates }): Promise<Line> {
  const socket: Socket = needs.tls ? connectTls({ ...place, ...needs.tls }) : connect(place);
  let failure: Error | undefined;
  let changed: () => void = () => {};
  const fail = (error: Error) => { failure ??= error; changed(); };
  socket.on('error', fail).on('close', () => fail(new Error(`${name}: the connection was closed`))).on('drain', () => changed()).resume();
  const connected = Promise.withResolvers<void>();
  changed = () => connected.reject(failure);
  socket.once(needs.tls ? 'secureConnect' : 'connect', connected.resolve);
  using _late = needs.clock.after(CONNECT_TIMEOUT_MS, () => fail(new Error('i/o timeout')));
  try {
    await connected.promise;
  } catch (cause) {
    socket.destroy();
    const said = wordsOf(cause);
    throw refusal(`dial ${name}: ${errnoOf(cause) === undefined ? said : `connect: ${said}`}`, { cause });
  }
  return {
    send(message) {
      if (failure) throw failure;
      if (socket.writableLength > MAX_UNSENT_BYTES) return false;
      socket.write(message);
      return true;
    },
    room: () => (failure || !socket.writableNeedDrain ? Promise.resolve() : new Promise((resolve) => { changed = resolve; })),
    [Symbol.dispose]() { socket.destroySoon(); },
  };
}

interface Certificates { ca?: string; cert?: string; key?: string; rejectUnauthorized: boolean }

function certificates({ tls }: SyslogOptions): Certificates {
  const read = (path: string, what: (problem: string) => string) => {
    try { return readFileSync(path, 'utf8'); } catch (cause) { throw refusal(what(`open ${path}: ${wordsOf(cause)}`), { cause }); }
  };
  const pair = (path: string) => read(path, (problem) => `Could not load X509 key pair: ${problem}`);
  return {
    rejectUnauthorized: !tls.skipVerify,
    ...(tls.ca ? { ca: read(tls.ca, (problem) => `could not read CA certificate ${JSON.stringify(tls.ca)}: ${problem}`) } : {}),
    ...(tls.cert || tls.key ? { cert: pair(tls.cert ?? ''), key: pair(tls.key ?? '') } : {}),
  };
}

function portOf({ port, protocol }: { port: string; protocol: string }): number {
  const number = Number(port);
  if (!/^\d+$/.test(port) || number > 65_535) throw refusal(`dial ${protocol === 'udp' ? 'udp' : 'tcp'}: address ${port}: invalid port`);
  return number;
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused', ENOENT: 'no such file or directory', EHOSTUNREACH: 'no route to host', ENETUNREACH: 'network is unreachable', EACCES: 'permission denied',
  ECONNRESET: 'connection reset by peer', ETIMEDOUT: 'connection timed out', EPROTOTYPE: 'protocol wrong type for socket', ENOTSOCK: 'connection refused',
};

/** As the C library words an error. */
function wordsOf(error: unknown): string {
  return WORDS[errnoOf(error) ?? ''] ?? messageOf(error);
}

async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const left = Promise.withResolvers<never>();
  const leave = () => left.reject(signal.reason as Error);
  signal.addEventListener('abort', leave, { once: true });
  try {
    await Promise.race([work, left.promise]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}
