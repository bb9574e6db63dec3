// The world as the command line sees it: three streams, a terminal, signals, a few files. Only main.ts knows `process`.
import type { SourceTree } from '../archive/pack.ts';
import type { TargetTree } from '../archive/unpack.ts';
import type { Clock } from '../lib/clock.ts';

export interface Output {
  readonly isTTY: boolean;
  write(data: string | Uint8Array): void;
  /** Resolves when what was written has left or the buffer is short again: to be awaited inside of loops that copy. */
  drained(): Promise<void>;
}

export interface Input {
  readonly isTTY: boolean;
  /** The bytes until end of input; may be asked for once. */
  chunks(): AsyncIterable<Uint8Array>;
  /** Keys one by one and without echo, or as the terminal usually gives them. */
  setRawMode(raw: boolean): void;
}

export interface Size { columns: number; rows: number }

/** The files of this machine; paths are byte strings (see archive/byte-string.ts). Errors have `code`. */
export interface HostTrees {
  readonly source: SourceTree;
  /** New files belong to who makes them. */
  target(base: string): TargetTree;
  /** A file from its beginning to its end. */
  bytes(path: string): AsyncIterable<Uint8Array>;
  /** Replaces a file when all of it is there; until then nothing is seen of it. */
  save(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void>;
}

export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdin: Input;
  /** Of the terminal at stdout, or undefined when there is none. */
  size(): Size | undefined;
  onResize(changed: () => void): Disposable;
  /** Called with names like SIGTERM; while someone listens, these signals do not end the program. */
  onSignal(received: (name: string) => void): Disposable;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly home: string;
  readonly clock: Clock;
  readFile(path: string): Promise<Uint8Array>;
  /** Replaces the file, or with `exclusive` fails when it is there (errno EEXIST); makes the directories above it. */
  writeFile(path: string, data: string, options: { mode: number; exclusive?: boolean }): Promise<void>;
  removeFile(path: string): Promise<void>;
  exists(path: string): Promise<boolean>;
  /** For whole trees. */
  trees(): Promise<HostTrees>;
}
