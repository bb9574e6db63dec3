// The terminal while a container has it: raw keys, its size, the keys to let go, signals passed on.
import type { DaemonClient } from './client.ts';
import { Failure } from './failure.ts';
import type { Io } from './io.ts';

const DEFAULT_DETACH_KEYS = 'ctrl-p,ctrl-q';

/** Thrown when the keys to detach were typed; attach and exec show its words, run and start leave quietly. */
export class Detached extends Failure {
  constructor() { super('read escape sequence'); }
}

/** `ctrl-a,x` → the bytes that a terminal sends for them. */
export function parseDetachKeys(text: string): Uint8Array {
  return Uint8Array.from((text || DEFAULT_DETACH_KEYS).split(','), (key) => {
    if (key.length === 1) return key.charCodeAt(0);
    const control = /^ctrl-([a-zA-Z@[\\\]^_])$/.exec(key)?.[1];
    if (control === undefined) throw new Failure(`invalid detach keys (${text}): unknown character: '${key}'`);
    return control.toUpperCase().charCodeAt(0) & 0x1f;
  });
}

/** Passes bytes on until the detach keys come in a row; what turned out to be no such row is passed on late. */
export async function* untilDetachKeys(input: AsyncIterable<Uint8Array>, keys: Uint8Array): AsyncGenerator<Uint8Array> {
  let matched = 0;
  for await (const chunk of input) {
    const out: number[] = [];
    for (const byte of chunk) {
      if (byte === keys[matched]) {
        matched++;
        if (matched < keys.length) continue;
        if (out.length > 0) yield Uint8Array.from(out);
        throw new Detached();
      }
      out.push(...keys.subarray(0, matched));
      matched = byte === keys[0] ? 1 : 0;
      if (matched === 0) out.push(byte);
    }
    if (out.length > 0) yield Uint8Array.from(out);
  }
}

/** Raw mode until disposed. */
export function rawTerminal(io: Io): Disposable {
  io.stdin.setRawMode(true);
  return { [Symbol.dispose]: () => io.stdin.setRawMode(false) };
}

/** The first size may come before the process has its terminal: it is told this often, a little later each time. */
const SIZE_TRIES = 6;
const SIZE_DELAY_MS = 10;

/** Tells the daemon the size of the terminal now and whenever it changes; `path` is `/containers/x` or `/exec/x`. */
export function followSize(client: DaemonClient, io: Io, path: string): Disposable {
  const tell = async () => {
    for (let tries = 1; tries <= SIZE_TRIES; tries++) {
      const size = io.size();
      if (!size || size.rows === 0) return;
      const told = await client.text('POST', `${path}/resize`, { query: { h: size.rows, w: size.columns } }).then(() => true, () => false);
      if (told) return;
      await io.clock.sleep(SIZE_DELAY_MS * tries);
    }
  };
  void tell();
  return io.onResize(() => void tell());
}

/** Passes signals on to the container until disposed. */
export function proxySignals(client: DaemonClient, io: Io, container: string): Disposable {
  return io.onSignal((name) => {
    const signal = name.replace(/^SIG/, '');
    if (signal === 'CHLD' || signal === 'PIPE' || signal === 'WINCH') return;
    client.text('POST', `/containers/${encodeURIComponent(container)}/kill`, { query: { signal } }).catch(() => {});
  });
}
