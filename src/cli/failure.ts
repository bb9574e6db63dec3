// How a word of the command line ends when it does not end well: what to say on stderr, and the exit code.

/** `message` goes to stderr with a newline unless it is empty; `code` is the exit code. */
export class Failure extends Error {
  readonly code: number;
  constructor(message: string, code = 1) {
    super(message);
    this.name = 'Failure';
    this.code = code;
  }
}

/** The daemon refused: its status, and its own words without the usual "Error response from daemon". */
export class DaemonError extends Error {
  readonly status: number;
  readonly reason: string;
  constructor(status: number, reason: string) {
    super(`Error response from daemon: ${reason}`);
    this.name = 'DaemonError';
    this.status = status;
    this.reason = reason;
  }
}

/** What look-ups by name say instead of the daemon's sentence. */
export class Missing extends Error {
  constructor(object: string, name: string) {
    super(`Error: No such ${object}: ${name}`);
    this.name = 'Missing';
  }
}

export const EXIT_USAGE = 125;
export const EXIT_TEMPLATE = 64;
