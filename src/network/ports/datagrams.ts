// Holds a UDP port with a bound socket, and passes on what reaches it: each sender has a socket of its own towards the container, so that answers find back.
import { createSocket, type Socket } from 'node:dgram';
import type { NetNamespace } from '../../kernel/index.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Holder } from './index.ts';

/** How long a sender is remembered that neither sends nor is answered. Source: docker-proxy. */
const IDLE_MS = 90_000;
/** Senders at once, per port; a further one takes the place of the one that was silent longest. */
const MAX_SENDERS = 256;

interface Sender { socket: Socket; usedAtMs: number }
interface Needs { net: NetNamespace; log: Log; clock: Clock }
interface Place { address: string; port: number }

export function holdDatagrams(needs: Needs, at: Place): Holder {
  const { net, log } = needs;
  const server = adopt(net.udpSocket(at).fd, at.address);
  const senders = new Senders(needs);
  let target: Place | undefined;
  server.on('error', (error) => log.debug('a datagram cannot be passed on', { ...at, error }));
  server.on('message', (bytes, { address, port }) => {
    if (target === undefined) return;
    const to = target;
    // A datagram may be lost on any way; that it was here is no reason to remember it.
    senders.of({ address, port, target: to }, (answer) => server.send(answer, port, address))?.send(bytes, to.port, to.address, () => {});
  });
  return {
    passOn(to) {
      if (to?.address !== target?.address || to?.port !== target?.port) senders.clear();
      target = to;
    },
    [Symbol.dispose]() {
      senders.clear();
      server.close();
    },
  };
}

class Senders {
  readonly #needs: Needs;
  /** By address and port, the one that was silent longest first. */
  readonly #known = new Map<string, Sender>();
  #sweep: Disposable | undefined;

  constructor(needs: Needs) { this.#needs = needs; }

  /** The socket of a sender towards the container; undefined when there can be none now. */
  of({ address, port, target }: Place & { target: Place }, onAnswer: (bytes: Buffer) => void): Socket | undefined {
    const { net, log } = this.#needs;
    const key = `${address} ${port}`;
    const known = this.#known.get(key);
    if (known !== undefined) { this.#use(key, known); return known.socket; }
    if (this.#known.size >= MAX_SENDERS) this.#forget([...this.#known.keys()].slice(0, 1));
    let socket: Socket;
    try { socket = adopt(net.udpSocket({ address: target.address.includes(':') ? '::' : '0.0.0.0', port: 0 }).fd, target.address); }
    catch (error) {
      log.debug('a datagram cannot be passed on', { address, port, error });
      return undefined;
    }
    const sender: Sender = { socket, usedAtMs: 0 };
    socket.on('error', () => this.#forget([key]));
    socket.on('message', (bytes, from) => {
      if (from.port !== target.port || from.address !== target.address) return;
      if (this.#known.get(key) === sender) this.#use(key, sender);
      onAnswer(bytes);
    });
    this.#use(key, sender);
    return socket;
  }

  clear(): void {
    this.#sweep?.[Symbol.dispose]();
    this.#sweep = undefined;
    this.#forget([...this.#known.keys()]);
  }

  #use(key: string, sender: Sender): void {
    sender.usedAtMs = this.#needs.clock.monotonicMs();
    this.#known.delete(key);
    this.#known.set(key, sender); // last
    this.#sweep ??= this.#needs.clock.after(IDLE_MS, () => this.#forgetIdle());
  }

  #forgetIdle(): void {
    this.#sweep = undefined;
    const limit = this.#needs.clock.monotonicMs() - IDLE_MS;
    this.#forget([...this.#known].filter(([, { usedAtMs }]) => usedAtMs <= limit).map(([key]) => key));
    if (this.#known.size > 0) this.#sweep = this.#needs.clock.after(IDLE_MS, () => this.#forgetIdle());
  }

  #forget(keys: readonly string[]): void {
    for (const key of keys) {
      const sender = this.#known.get(key);
      this.#known.delete(key);
      sender?.socket.close();
    }
  }
}

/** Takes over a bound socket. */
function adopt(fd: number, address: string): Socket {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind({ fd });
  socket.unref();
  return socket;
}
