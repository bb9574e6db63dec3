// The world of a command line inside of a test: what it wrote, what it is given to read, files in memory.
import { systemClock } from '../../src/lib/clock.ts';
import type { Io } from '../../src/cli/io.ts';
import { hostTrees } from '../../src/trees.ts';

export interface TestIo extends Io {
  /** What was written so far. */
  readonly out: () => string;
  readonly err: () => string;
  readonly files: Map<string, string>;
  /** Delivers a signal to whoever listens; the number of listeners. */
  readonly signal: (name: string) => number;
  /** Raw mode as it was switched. */
  readonly raw: boolean[];
}

export interface TestIoOptions { tty?: boolean; input?: AsyncIterable<Uint8Array>; env?: Record<string, string>; files?: Record<string, string>; nowMs?: number; columns?: number }

export function openTestIo(options: TestIoOptions = {}): TestIo {
  const written = { out: [] as Uint8Array[], err: [] as Uint8Array[] };
  const files = new Map(Object.entries(options.files ?? {}));
  const listeners = new Set<(name: string) => void>();
  const raw: boolean[] = [];
  const tty = options.tty === true;
  const output = (chunks: Uint8Array[]) => ({ isTTY: tty, write: (data: string | Uint8Array) => { chunks.push(Buffer.from(data)); }, drained: () => Promise.resolve() });
  const failure = (code: string) => Object.assign(new Error(code), { code });
  return {
    stdout: output(written.out),
    stderr: output(written.err),
    stdin: { isTTY: tty, chunks: () => options.input ?? nothing(), setRawMode: (on) => { raw.push(on); } },
    size: () => (tty ? { columns: options.columns ?? 80, rows: 24 } : undefined),
    onResize: () => ({ [Symbol.dispose]() {} }),
    onSignal: (received) => {
      listeners.add(received);
      return { [Symbol.dispose]: () => { listeners.delete(received); } };
    },
    env: options.env ?? {},
    cwd: '/',
    home: '/user',
    clock: options.nowMs === undefined ? systemClock : { ...systemClock, now: () => options.nowMs ?? 0 },
    readFile: (path) => (files.has(path) ? Promise.resolve(Buffer.from(files.get(path) ?? '')) : Promise.reject(failure('ENOENT'))),
    writeFile: (path, data, { exclusive }) => {
      if (exclusive && files.has(path)) return Promise.reject(failure('EEXIST'));
      files.set(path, data);
      return Promise.resolve();
    },
    removeFile: (path) => { files.delete(path); return Promise.resolve(); },
    exists: (path) => Promise.resolve(files.has(path)),
    trees: () => Promise.resolve(hostTrees()),
    out: () => Buffer.concat(written.out).toString('utf8'),
    err: () => Buffer.concat(written.err).toString('utf8'),
    files,
    raw,
    signal: (name) => {
      for (const listener of listeners) listener(name);
      return listeners.size;
    },
  };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
