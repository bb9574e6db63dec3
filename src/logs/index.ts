// Container logs: where conmon writes them, what is kept of them, to whom they are passed on, and how they are read.
// conmon writes (k8s-file: "RFC3339Nano stdout|stderr F|P text"), so that no daemon has to live for it; the daemon comes behind.

/** What a log needs to know of its container. */
export interface LogSubject {
  id: string;
  /** Without the slash. */
  name: string;
  driver: string;
  options: Readonly<Record<string, string>>;
  image: { id: string; name: string };
  argv: readonly string[];
  env: readonly string[];
  labels: Readonly<Record<string, string>>;
  /** The container's folder in the data root. */
  folder: string;
}

/** For conmon. `path` undefined: no log is written; `maxBytes`: it begins the file anew before it is longer than that. */
export interface LogTarget { path: string | undefined; maxBytes: number | undefined }

export interface LogRecord {
  stream: 'stdout' | 'stderr';
  timeNs: bigint;
  /** The text with its newline; a part of a long line has none. */
  bytes: Uint8Array;
  /** What `--details` shows. */
  attributes?: Readonly<Record<string, string>>;
}

export interface LogQuery {
  stdout: boolean;
  stderr: boolean;
  /** The last so many records (then since/until are applied, as Docker does), or all. */
  tail: number | 'all';
  sinceNs: bigint | undefined;
  untilNs: bigint | undefined;
  /** Go on with what is written from now on until `ended` resolves and the file is read to its end, or the signal is aborted. */
  follow: boolean;
  /** Resolves when nothing more will be written. */
  ended: Promise<void>;
  /** The program runs: a line that it has only begun is held back until it is whole or a piece long. Default: false. */
  running?: boolean;
  /** 'lines' (default): as Docker keeps them, in pieces of 16 KiB. 'written': as they came, for one who watches a terminal. */
  as?: 'lines' | 'written';
  signal?: AbortSignal | undefined;
}

export interface Logs {
  /**
   * Before a start: checks the options, reaches whoever is to receive, and takes care of the log from now on. Errors: system and
   * invalid, with Docker's words behind "failed to initialize logging driver: ".
   */
  prepare(subject: LogSubject): Promise<LogTarget>;
  /** After a restart of the daemon: goes on with the log of a container; of one that does not run, with what is still to be passed on. */
  adopt(subject: LogSubject, options: { running: boolean }): void;
  /** Nothing more is written by this run; what there is is still passed on. */
  ended(id: string): void;
  /** Before a removal: passes on what is left, for a few seconds at most, and forgets the log. Its files in the container's folder stay. */
  release(id: string): Promise<void>;
  /**
   * Rotated files are read before the newest one; a missing file is an empty log. Bounded memory whatever its size. Errors:
   * not-implemented where the driver cannot be read back; system for options that are wrong.
   */
  read(subject: LogSubject, query: LogQuery): AsyncIterable<LogRecord>;
  /** How far each log was passed on is on file; no log is cared for any more. Containers write on. */
  close(): Promise<void>;
}

export { LOG_DRIVERS, validateLogConfig, withLogDefaults } from './options.ts';
export { openLogs } from './logs.ts';
