// conmon's attach socket: packets with a stream byte out, raw bytes in, both ways held back by the slower side.
import { Socket } from 'node:net';
import type { Kernel } from '../kernel/index.ts';
import { assert } from '../lib/errors.ts';
import type { Console } from './index.ts';

/** conmon takes at most this from one packet; a longer one is refused with EMSGSIZE, and merged writes would be longer. */
const MAX_WRITE_BYTES = 8192;
/** Held for a slow reader before conmon is made to wait, per console. */
const HIGH_WATER_BYTES = 256 * 1024;

type Piece = { stream: 'stdout' | 'stderr'; bytes: Uint8Array };

export function openConsole(kernel: Kernel, socketPath: string): Console {
  return new AttachConsole(seqpacketSocket(kernel.processes.connectSeqpacket(socketPath)));
}

/** Of a task that has ended before anyone could attach: its output is in the log. */
export function endedConsole(): Console {
  async function* nothing(): AsyncGenerator<Piece> { /* it ends at once */ }
  return { output: nothing(), write: async () => {}, endInput: async () => {}, [Symbol.asyncDispose]: async () => {} };
}

class AttachConsole implements Console {
  readonly output: AsyncIterable<Piece>;
  readonly #socket: Socket;
  readonly #closed: Promise<void>;
  #writing: Promise<void> = Promise.resolve();
  #queue: Piece[] = [];
  #queuedBytes = 0;
  #ended = false;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closed = promise;
    const end = () => { this.#ended = true; this.#wake(); };
    socket.on('data', (packet: Uint8Array) => this.#take(packet));
    socket.on('end', end);
    socket.on('error', end); // a broken connection is the end of the output; what the task did is told by its exit
    socket.on('close', () => { end(); resolve(); });
    this.output = { [Symbol.asyncIterator]: () => this.#read() };
  }

  write(bytes: Uint8Array): Promise<void> {
    this.#writing = this.#writing.then(() => this.#writeAll(bytes));
    return this.#writing;
  }

  endInput(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#untilClosed((done) => this.#socket.end(done)));
    return this.#writing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    await this.#closed;
  }

  /** Never two writes at once: Node would merge them into one packet. */
  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let start = 0; start < bytes.length && this.#socket.writable; start += MAX_WRITE_BYTES) {
      const part = bytes.subarray(start, start + MAX_WRITE_BYTES);
      await this.#untilClosed((done) => this.#socket.write(part, done));
    }
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
function seqpacketSocket(fd: number): Socket {
  const internals = globalThis.process as unknown as { binding(name: 'pipe_wrap'): PipeWrap };
  const { Pipe, constants } = internals.binding('pipe_wrap');
  const handle = new Pipe(constants.SOCKET);
  const failed = handle.open(fd);
  assert(failed === 0 || failed === undefined, `attach socket: handle refused fd ${fd}: ${failed}`);
  return new Socket({ handle, allowHalfOpen: true, readable: true, writable: true } as unknown as ConstructorParameters<typeof Socket>[0]);
}
