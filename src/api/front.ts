// The first look at a connection: requests that older clients mean to take over, without saying so, get the upgrade headers they lack.
import type { Server as HttpServer } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../lib/clock.ts';

/** Heads of requests are under 1 KiB; X-Registry-Config may add some. */
export const MAX_HEAD_BYTES = 64 * 1024;
/** Who opened a connection and began a POST has this long to say which. */
const HEAD_TIMEOUT_MS = 60_000;

const TAKEOVER_LINE = /^POST \/(?:v\d+\.\d+\/)?(?:containers\/[^/ ?]+\/attach|exec\/[^/ ?]+\/start)(?:\?[^ ]*)? HTTP\/1\.1\r\n/;
const POST = Buffer.from('POST ');

/**
 * Node's HTTP server gives a socket away only for requests that ask for an upgrade. A client that sends none and writes
 * its input right behind the request would have that input parsed as the next request. So the head is read here, the
 * headers are put in, the bytes go back into the socket, and `legacy` remembers that the answer must be 200 and not 101.
 */
export function acceptConnection(socket: Socket, needs: { http: HttpServer; clock: Clock; legacy: WeakSet<object> }): void {
  let held: Buffer = Buffer.alloc(0);
  const drop = () => socket.destroy();
  const timer = needs.clock.after(HEAD_TIMEOUT_MS, drop);
  const give = (bytes: Buffer) => {
    timer[Symbol.dispose]();
    socket.off('readable', look);
    socket.off('error', drop);
    socket.off('end', drop);
    if (bytes.length > 0) socket.unshift(bytes);
    needs.http.emit('connection', socket);
  };
  const look = () => {
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    if (held.length === 0) return;
    const prefix = Math.min(held.length, POST.length);
    if (!held.subarray(0, prefix).equals(POST.subarray(0, prefix))) return give(held);
    const end = held.indexOf('\r\n\r\n');
    if (end < 0) { if (held.length > MAX_HEAD_BYTES) give(held); return; }
    const patched = withUpgrade(held, end);
    if (patched) needs.legacy.add(socket);
    give(patched ?? held);
  };
  socket.on('readable', look);
  socket.on('error', drop);
  socket.on('end', drop);
}

/** The bytes with upgrade headers put in behind the request line; undefined when the request needs none. */
export function withUpgrade(bytes: Buffer, headEnd: number): Buffer | undefined {
  const head = bytes.toString('latin1', 0, headEnd + 4);
  const line = TAKEOVER_LINE.exec(head)?.[0];
  if (line === undefined || /\r\nupgrade[ \t]*:/i.test(head)) return undefined;
  return Buffer.concat([bytes.subarray(0, line.length), Buffer.from('Connection: Upgrade\r\nUpgrade: tcp\r\n'), bytes.subarray(line.length)]);
}
