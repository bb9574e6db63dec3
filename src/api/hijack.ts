// A connection becomes the stdio of a program: bytes both ways, each direction ending by itself.
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '../lib/clock.ts';
import { invalid, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { readBytes, MAX_JSON_BYTES } from './body.ts';
import type { Takeover } from './routes.ts';
import { write, writeFrame } from './streams.ts';
import { CLOSE, MessageDecoder, encodeMessage, OPCODE } from './websocket.ts';

/** A client that has been told the end has this long to close its side. */
const LINGER_MS = 10_000;
/** A client that half-closed is looked after so often. */
const PROBE_MS = 5_000;
/** Source: RFC 6455, section 1.3. */
const WEBSOCKET_KEY = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** The other end of a taken-over connection, whatever it speaks. */
interface Peer {
  /** What the client sends, until it half-closes. Abandoned, never broken off: that would close the connection. */
  readonly incoming: AsyncIterator<Uint8Array>;
  send(stream: 'stdout' | 'stderr', bytes: Uint8Array): Promise<boolean>;
  end(): void;
}

/** The body of an upgrade request, which may still be on its way: `socket` is then a stream of Node's that begins behind it. Node 26 parses it; older ones leave it in `head` and on the socket. What follows it goes back into the socket. */
export async function upgradeBody(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<Buffer> {
  const parsed = await readBytes(request, MAX_JSON_BYTES);
  const wantBytes = Number(request.headers['content-length'] ?? 0) || 0;
  if (wantBytes > MAX_JSON_BYTES) throw invalid(`the request body is larger than ${MAX_JSON_BYTES} bytes`);
  let rest: Buffer = head;
  if (parsed.length < wantBytes) {
    for await (const chunk of incomingOf(socket, () => rest.length < wantBytes)) rest = Buffer.concat([rest, chunk]);
    if (rest.length < wantBytes) throw invalid('invalid JSON: unexpected EOF');
  }
  const tail = parsed.length < wantBytes ? rest.subarray(wantBytes) : rest;
  if (tail.length > 0) socket.unshift(tail);
  return parsed.length < wantBytes ? rest.subarray(0, wantBytes) : parsed;
}

/** The first lines of the answer to a takeover. A client that asked for no upgrade gets 200 and the same stream. */
export function takeoverHead(takeover: Takeover, options: { legacy: boolean; headers: Readonly<Record<string, string>>; request: IncomingMessage }): string {
  const lines = Object.entries(options.headers).map(([name, value]) => `${name}: ${value}`);
  if (takeover.messages !== undefined) {
    const accept = createHash('sha1').update(`${options.request.headers['sec-websocket-key'] ?? ''}${WEBSOCKET_KEY}`).digest('base64');
    return ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept}`, ...lines, '', ''].join('\r\n');
  }
  return options.legacy
    ? ['HTTP/1.1 200 OK', 'Content-Type: application/vnd.docker.raw-stream', ...lines, '', ''].join('\r\n')
    : ['HTTP/1.1 101 UPGRADED', `Content-Type: ${takeover.contentType}`, 'Connection: Upgrade', 'Upgrade: tcp', ...lines, '', ''].join('\r\n');
}

/** Moves bytes until the program's output ends, the client detaches or vanishes, or `signal` is aborted; then the session is disposed of. */
export async function serveTakeover(socket: Duplex, takeover: Takeover, needs: { clock: Clock; log: Log; signal: AbortSignal }): Promise<void> {
  const gone = new Promise<void>((resolve) => {
    if (socket.destroyed || needs.signal.aborted) resolve();
    socket.once('close', () => resolve());
    needs.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  {
    await using session = takeover.session;
    using _probe = probeHalfClosed(socket, needs.clock);
    const peer = takeover.messages === undefined ? rawPeer(socket, takeover.framed) : messagePeer(socket, takeover.messages);
    const output = pumpOutput(peer, takeover);
    const detached = pumpInput(peer, takeover, needs.log);
    // Whichever loses the race may still fail when the session goes; nobody is left to be told.
    output.catch((error: unknown) => needs.log.debug('output of a session ended', { error }));
    try { await Promise.race([output, detached, gone]); }
    catch (error) { await peer.send('stderr', Buffer.from(`${messageOf(error)}\n`)); }
    peer.end();
    void session;
  }
  if (socket.destroyed) return;
  // What the client still sends is read and thrown away: unread bytes would turn the close into a reset that eats our output.
  socket.resume();
  const timer = needs.clock.after(LINGER_MS, () => socket.destroy());
  socket.once('close', () => timer[Symbol.dispose]());
  await new Promise<void>((resolve) => { if (socket.writableFinished) resolve(); socket.once('finish', () => resolve()); socket.once('close', () => resolve()); });
}

/**
 * On a unix socket, a client that is gone looks like one that half-closed and waits for output, until something is written: no bytes are
 * enough. Without this, one that left before a program says anything would be kept until it does. On TCP, keep-alive finds it.
 */
function probeHalfClosed(socket: Duplex, clock: Clock): Disposable {
  let timer: Disposable | undefined;
  const probe = () => {
    if (socket.destroyed || socket.writableEnded) return;
    if (socket.writableLength === 0) socket.write(new Uint8Array(0));
    timer = clock.after(PROBE_MS, probe);
  };
  const remote = 'remoteAddress' in socket && socket.remoteAddress !== undefined;
  if (!remote) socket.once('end', probe);
  return { [Symbol.dispose]: () => { socket.off('end', probe); timer?.[Symbol.dispose](); } };
}

async function pumpOutput(peer: Peer, takeover: Takeover): Promise<void> {
  for await (const { stream, bytes } of takeover.session.output) {
    if (bytes.length > 0 && !(await peer.send(stream, bytes))) return;
  }
}

/** Resolves when the client detached, and never for its half-close: the output goes on then. */
async function pumpInput(peer: Peer, takeover: Takeover, log: Log): Promise<void> {
  try {
    for (let next = await peer.incoming.next(); next.done !== true; next = await peer.incoming.next()) {
      if (takeover.stdin && (await takeover.session.input(next.value)) === 'detached') return;
    }
    if (takeover.stdin) await takeover.session.endInput();
  } catch (error) {
    // A program that closed its stdin is no reason to stop showing its output.
    log.debug('input of a session ended', { error });
  }
  await new Promise<never>(() => {});
}

function rawPeer(socket: Duplex, framed: boolean): Peer {
  return {
    incoming: incomingOf(socket),
    send: (stream, bytes) => (framed ? writeFrame(socket, stream, bytes) : write(socket, bytes)),
    end: () => { socket.end(); },
  };
}

/** Docker sends unframed bytes in messages; stdout and stderr are not told apart. */
function messagePeer(socket: Duplex, kind: 'text' | 'binary'): Peer {
  const opcode = kind === 'text' ? OPCODE.text : OPCODE.binary;
  let closing = false;
  const close = (code: number) => {
    if (closing || socket.destroyed || socket.writableEnded) return;
    closing = true;
    socket.end(encodeMessage(OPCODE.close, Buffer.from([code >> 8, code & 0xff])));
  };
  async function* incoming(): AsyncGenerator<Uint8Array> {
    const decoder = new MessageDecoder();
    try {
      for await (const chunk of incomingOf(socket)) {
        for (const message of decoder.push(chunk)) {
          if (message.opcode === OPCODE.close) { close(CLOSE.normal); return; }
          if (message.opcode === OPCODE.ping) await write(socket, encodeMessage(OPCODE.pong, message.payload));
          else if (message.opcode !== OPCODE.pong) yield message.payload;
        }
      }
    } catch (error) {
      close(CLOSE.protocolError);
      throw error;
    }
  }
  return { incoming: incoming(), send: (_stream, bytes) => (closing ? Promise.resolve(false) : write(socket, encodeMessage(opcode, bytes))), end: () => close(CLOSE.normal) };
}

/** Chunks of a socket until its end or while `more`; the socket stays open when the reader leaves. */
async function* incomingOf(socket: Duplex, more: () => boolean = () => true): AsyncGenerator<Buffer> {
  if (!more()) return;
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    yield chunk as Buffer;
    if (!more()) return;
  }
}
