// conmon's attach socket: packets with a stream byte out, raw bytes in, both ways held back by the slower side.
import { closeSync, readFileSync, readSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Kernel } from '../kernel/index.ts';
import { assert, errnoOf } from '../lib/errors.ts';
import type { Console } from './index.ts';

/** conmon takes at most this from one packet; a longer one is refused with EMSGSIZE, and merged writes would be longer. */
const MAX_WRITE_BYTES = 8192;
/** More than conmon puts into one packet. */
const MAX_PACKET_BYTES = 64 * 1024;
/** Held for a slow reader before conmon is made to wait, per console. */
const HIGH_WATER_BYTES = 256 * 1024;

type Piece = { stream: 'stdout' | 'stderr'; bytes: Uint8Array };

export function openConsole(kernel: Kernel, socketPath: string): Console {
  return new AttachConsole(kernel, kernel.processes.connectSeqpacket(socketPath));
}

/**
 * Connections that were made and that a conmon has still to take, of all containers: the address says no more than `attach`. Source: /proc/net/unix,
 * where 0005 is SOCK_SEQPACKET and 02 a connection that was not accepted; each is known by the kernel's own name for it.
 */
export function waitingConnections(): ReadonlySet<string> {
  return new Set([...readFileSync('/proc/net/unix', 'latin1').matchAll(/^(\S+): \S+ \S+ \S+ 0005 02 +\d+ \S*\/attach$/gm)].map(([, name = '']) => name));
}

/** Of a task that has ended before anyone could attach: its output is in the log. */
export function endedConsole(): Console {
  async function* nothing(): AsyncGenerator<Piece> { /* it ends at once */ }
  return { output: nothing(), write: async () => {}, endInput: async () => {}, [Symbol.asyncDispose]: async () => {} };
}

class AttachConsole implements Console {
  readonly output: AsyncIterable<Piece>;
  readonly #kernel: Kernel;
  readonly #fd: number;
  readonly #socket: Socket;
  /**
   * What is written goes another way to the same connection: a write that fails, since the program has ended, would end the way out as well,
   * with the program's last words in it. Made with the first byte.
   */
  #input: { socket: Socket; spareFd: number } | undefined;
  readonly #closed: Promise<void>;
  #writing: Promise<void> = Promise.resolve();
  #queue: Piece[] = [];
  #queuedBytes = 0;
  #ended = false;
  #wake: () => void = () => {};

  constructor(kernel: Kernel, fd: number) {
    this.#kernel = kernel;
    this.#fd = fd;
    const socket = this.#socket = seqpacketSocket(fd, { readable: true });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closed = promise;
    const end = () => { this.#ended = true; this.#wake(); };
    socket.on('data', (packet: Uint8Array) => this.#take(packet));
    socket.on('end', end);
    // A broken connection is the end of the output; what the task did is told by its exit.
    socket.on('error', (error) => { if (errnoOf(error) === 'ECONNRESET') this.#takeRest(); end(); });
    socket.on('close', () => { end(); this.#closeInput(); resolve(); });
    this.output = { [Symbol.asyncIterator]: () => this.#read() };
  }

  write(bytes: Uint8Array): Promise<void> {
    this.#writing = this.#writing.then(() => this.#writeAll(bytes));
    return this.#writing;
  }

  endInput(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#untilClosed((done) => (this.#input?.socket ?? this.#socket).end(done)));
    return this.#writing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    await this.#closed;
  }

  /** Never two writes at once: Node would merge them into one packet. */
  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let start = 0; start < bytes.length; start += MAX_WRITE_BYTES) {
      const socket = this.#openInput();
      if (!socket?.writable) return;
      const part = bytes.subarray(start, start + MAX_WRITE_BYTES);
      await this.#untilClosed((done) => socket.write(part, done));
    }
  }

  /** undefined when nobody takes it any more. */
  #openInput(): Socket | undefined {
    if (this.#ended || this.#socket.destroyed || !this.#socket.writable) return undefined;
    if (this.#input) return this.#input.socket;
    const socket = seqpacketSocket(this.#kernel.processes.duplicate(this.#fd), { readable: false });
    socket.on('error', () => {}); // the program has ended, which the way out tells
    try {
      this.#input = { socket, spareFd: this.#kernel.processes.duplicate(this.#fd) };
    } catch (error) {
      socket.destroy();
      throw error;
    }
    return socket;
  }

  #closeInput(): void {
    if (!this.#input) return;
    this.#input.socket.destroy();
    closeSync(this.#input.spareFd);
    this.#input = undefined;
  }

  /** When conmon ends with something of ours unread, the kernel tells of that before it gives out what conmon had sent; Node closes its descriptor then. */
  #takeRest(): void {
    for (let packet = this.#socket.read() as Uint8Array | null; packet !== null; packet = this.#socket.read() as Uint8Array | null) this.#take(packet);
    if (!this.#input) return;
    for (let packet = readPacket(this.#input.spareFd); packet; packet = readPacket(this.#input.spareFd)) this.#take(packet);
  }

  #untilClosed(act: (done: () => void) => void): Promise<void> {
    const acted = new Promise<void>((resolve) => act(() => resolve()));
    return Promise.race([acted, this.#closed]);
  }

  #take(packet: Uint8Array): void {
    if (packet.length < 2) return; // a stream byte alone says nothing
    assert(packet[0] === 2 || packet[0] === 3, `conmon packet of stream ${packet[0]}`);
    this.#queue.push({ stream: packet[0] === 2 ? 'stdout' : 'stderr', bytes: packet.subarray(1) });
    this.#queuedBytes += packet.length;
    if (this.#queuedBytes >= HIGH_WATER_BYTES) this.#socket.pause();
    this.#wake();
  }

  async * #read(): AsyncGenerator<Piece> {
    for (;;) {
      const piece = this.#queue.shift();
      if (piece) {
        this.#queuedBytes -= piece.bytes.length + 1;
        if (this.#queuedBytes < HIGH_WATER_BYTES / 2 && this.#socket.isPaused()) this.#socket.resume();
        yield piece;
      } else if (this.#ended) return;
      else await new Promise<void>((resolve) => { this.#wake = resolve; });
    }
  }
}

interface PipeHandle { open(fd: number): number }
interface PipeWrap { Pipe: new (type: number) => PipeHandle; constants: { SOCKET: number } }

/**
 * net.Socket refuses the fd of a SOCK_SEQPACKET socket, but reads and writes one well: each read is one packet. The handle below it
 * takes any fd, and is reached in this way only.
 */
function seqpacketSocket(fd: number, { readable }: { readable: boolean }): Socket {
  const internals = globalThis.process as unknown as { binding(name: 'pipe_wrap'): PipeWrap };
  const { Pipe, constants } = internals.binding('pipe_wrap');
  const handle = new Pipe(constants.SOCKET);
  const failed = handle.open(fd);
  assert(failed === 0 || failed === undefined, `attach socket: handle refused fd ${fd}: ${failed}`);
  return new Socket({ handle, allowHalfOpen: true, readable, writable: true } as unknown as ConstructorParameters<typeof Socket>[0]);
}

/** undefined at the end, and where there is none for now. */
function readPacket(fd: number): Uint8Array | undefined {
  const packet = Buffer.allocUnsafe(MAX_PACKET_BYTES);
  try {
    const bytes = readSync(fd, packet);
    return bytes === 0 ? undefined : Uint8Array.from(packet.subarray(0, bytes));
  } catch (error) {
    if (['EAGAIN', 'ECONNRESET'].includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}
