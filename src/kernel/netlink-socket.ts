// A socket to the kernel's network configuration: one question, its whole answer, and errors in the kernel's own words.
import { closeSync, write } from 'node:fs';
import { promisify } from 'node:util';
import { MESSAGE, FLAG, decodeMessages, decodeVerdict, encodeMessage, type Message, type Verdict } from './netlink.ts';
import type { Request } from './rtnetlink.ts';
import { errnoName, lastErrno, libc, systemError } from './sys.ts';

// Source: linux/netlink.h and sys/socket.h.
const AF_NETLINK = 16, SOCK_RAW_CLOEXEC = 3 | 0o2000000;
export const NETLINK = { route: 0, netfilter: 12 } as const;
const SOL_NETLINK = 270, NETLINK_CAP_ACK = 10, NETLINK_EXT_ACK = 11;
const MSG_DONTWAIT = 0x40, MSG_TRUNC = 0x20;

/** The kernel fills at most 32 KiB at once unless a single device needs more (hundreds of virtual functions). */
const ANSWER_BYTES = 256 << 10;
/** A list is asked for again when it changed while it was told. */
const LIST_TRIES = 50;
/** Sent before their verdicts are taken: one socket has room for some 270 of those, and the kernel throws away what comes beyond that. */
const MAX_REQUESTS_AT_ONCE = 64;

export interface NetlinkSocket extends Disposable {
  /**
   * Sends all of them at once (of many 64 at a time): the kernel works them off without coming back to this process, so that it cannot die between
   * two of them. Every one is tried, whatever became of those before; gives the verdict of each.
   */
  tell(requests: readonly Request[]): Verdict[];
  /** The same on a thread of libuv's, for what takes the kernel long. Nothing else may be asked of this socket meanwhile. */
  tellInBackground(requests: readonly Request[]): Promise<Verdict[]>;
  /** One request that is answered with one message: its payload. undefined for ENODEV. */
  ask(request: Request): Uint8Array | undefined;
  /** Payloads of all that a request of type dump lists, as they were at one moment; of long lists only what is of interest. */
  list(request: Request, keep?: (payload: Uint8Array) => boolean): Uint8Array[];
}

/** One for all: answers are taken in the same turn in which they are asked for. */
const answer = Buffer.alloc(ANSWER_BYTES);

/** In the network namespace of the calling thread. Works on there for as long as it is open, whichever one the thread is in. */
export function openNetlinkSocket(protocol: number = NETLINK.route): NetlinkSocket {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol);
  if (fd < 0) throw systemError(lastErrno(), { syscall: 'socket', detail: 'netlink' });
  const on = Uint8Array.of(1, 0, 0, 0);
  for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK]) libc.setsockopt(fd, SOL_NETLINK, option, on, on.length); // kernels before 4.12 have no words, and that is all
  return new Socket(fd);
}

class Socket implements NetlinkSocket {
  readonly #fd: number;
  #sequence = 0;

  constructor(fd: number) { this.#fd = fd; }

  tell(requests: readonly Request[]): Verdict[] { return inParts(requests).flatMap((part) => this.#verdicts(part, this.#send(part))); }

  async tellInBackground(requests: readonly Request[]): Promise<Verdict[]> {
    const verdicts: Verdict[] = [];
    for (const part of inParts(requests)) {
      const { first, bytes } = this.#encode(part);
      await promisify(write)(this.#fd, bytes); // to a socket that is bound to nobody this is a message to the kernel
      verdicts.push(...this.#verdicts(part, first));
    }
    return verdicts;
  }

  ask(request: Request): Uint8Array | undefined {
    const sequence = this.#send([request]);
    for (;;) {
      for (const message of this.#receive()) {
        if (message.sequence !== sequence) continue;
        if (message.type !== MESSAGE.error) return message.payload;
        const verdict = decodeVerdict(message);
        if (errnoName(verdict.errno) === 'ENODEV') return undefined;
        throw verdictError(verdict, 'ask');
      }
    }
  }

  list(request: Request, keep: (payload: Uint8Array) => boolean = () => true): Uint8Array[] {
    for (let tries = LIST_TRIES; tries > 0; tries--) {
      const found = collect(this.#send([request]), () => this.#receive(), keep);
      if (found) return found;
    }
    throw systemError('EAGAIN', { syscall: 'netlink', detail: `a list that changed ${LIST_TRIES} times while it was read` });
  }

  [Symbol.dispose](): void { closeSync(this.#fd); }

  #encode(requests: readonly Request[]): { first: number; bytes: Buffer } {
    return { first: this.#sequence + 1, bytes: Buffer.concat(requests.map((request) => encodeMessage({ ...request, sequence: ++this.#sequence }))) };
  }

  /** The number of the first one. */
  #send(requests: readonly Request[]): number {
    const { first, bytes } = this.#encode(requests);
    for (;;) {
      if (libc.sendto(this.#fd, bytes, BigInt(bytes.length), 0, null, 0) >= 0n) return first;
      const code = lastErrno();
      if (code !== 'EINTR') throw systemError(code, { syscall: 'netlink' });
    }
  }

  /** Copied, since the buffer is used again. Answers are there when the request has been sent; one that is not will never be. */
  #receive(): Message[] {
    for (;;) {
      const length = Number(libc.recv(this.#fd, answer, BigInt(answer.length), MSG_DONTWAIT | MSG_TRUNC));
      if (length > answer.length) throw systemError('EMSGSIZE', { syscall: 'netlink', detail: `an answer of ${length} bytes` });
      if (length >= 0) return decodeMessages(Buffer.from(answer.subarray(0, length)));
      const code = lastErrno();
      if (code !== 'EINTR') throw systemError(code, { syscall: 'netlink', detail: 'no answer' });
    }
  }

  #verdicts(requests: readonly Request[], first: number): Verdict[] {
    const verdicts = new Map<number, Verdict>();
    while (verdicts.size < requests.length) {
      for (const message of this.#receive()) {
        const index = message.sequence - first;
        if (message.type === MESSAGE.error && index >= 0) verdicts.set(index, decodeVerdict(message));
      }
    }
    return requests.map((_request, index) => verdicts.get(index) ?? { errno: 0, words: '' });
  }
}

function inParts(requests: readonly Request[]): Array<readonly Request[]> {
  return Array.from({ length: Math.ceil(requests.length / MAX_REQUESTS_AT_ONCE) }, (_part, n) => requests.slice(n * MAX_REQUESTS_AT_ONCE, (n + 1) * MAX_REQUESTS_AT_ONCE));
}

/** "add eth0: EEXIST (File exists, in the kernel's words)" */
export function verdictError({ errno, words }: Verdict, what: string): Error {
  const error = systemError(errnoName(errno), { syscall: 'netlink', detail: what });
  if (words !== '') error.message += ` (${words})`;
  return error;
}

/** undefined when the list changed meanwhile; it is read to its end all the same, or the next question would be refused. */
export function collect(sequence: number, receive: () => Message[], keep: (payload: Uint8Array) => boolean): Uint8Array[] | undefined {
  const found: Uint8Array[] = [];
  let changed = false;
  for (;;) {
    for (const message of receive()) {
      if (message.sequence !== sequence) continue;
      if (message.flags & FLAG.dumpInterrupted) changed = true;
      if (message.type !== MESSAGE.done && message.type !== MESSAGE.error) {
        if (keep(message.payload)) found.push(message.payload);
        continue;
      }
      const verdict = decodeVerdict(message);
      if (verdict.errno !== 0) throw verdictError(verdict, 'list');
      return changed ? undefined : found;
    }
  }
}
