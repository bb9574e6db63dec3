// Container logs: read, tail, follow. Written by conmon (k8s-file: "RFC3339Nano stdout|stderr F|P text"), so that no daemon has to live for it.

export interface LogRecord {
  stream: 'stdout' | 'stderr';
  timeNs: bigint;
  /** The text with its newline; a part of a long line (P) has none. */
  bytes: Uint8Array;
}

export interface LogQuery {
  stdout: boolean;
  stderr: boolean;
  /** The last so many lines (after since/until are applied as Docker does), or all. */
  tail: number | 'all';
  sinceNs: bigint | undefined;
  untilNs: bigint | undefined;
  /** Go on with what is written from now on until `ended` resolves and the file is read to its end, or the signal is aborted. */
  follow: boolean;
  /** Resolves when nothing more will be written. */
  ended: Promise<void>;
  signal?: AbortSignal | undefined;
}

export interface Logs {
  /** Rotated files (PATH.1, PATH.2 …, optionally .gz) are read before PATH. A missing file is an empty log. Bounded memory whatever its size. */
  read(path: string, query: LogQuery): AsyncIterable<LogRecord>;
}

export { openLogs } from './logs.ts'; // openLogs(): Logs
