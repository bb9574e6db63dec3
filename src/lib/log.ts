// Structured logging: JSON lines, a constant message, fields for the rest.

export type Level = 'debug' | 'info' | 'warn' | 'error';
export type Fields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** A log that adds `fields` to every line. */
  with(fields: Fields): Log;
}

const RANK: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** Writes lines of at least `level`, asked anew for each line when it is a function, to `write`; errors among the fields are shown by their message and their causes. */
export function openLog(write: (line: string) => void, options: { level: Level | (() => Level); now: () => number; fields?: Fields }): Log {
  const put = (level: Level, message: string, fields?: Fields) => {
    if (RANK[level] < RANK[typeof options.level === 'function' ? options.level() : options.level]) return;
    const line = { time: new Date(options.now()).toISOString(), level, message, ...options.fields, ...fields };
    write(`${JSON.stringify(line, (_key, value: unknown) => (value instanceof Error ? describe(value) : value))}\n`);
  };
  return {
    debug: (message, fields) => put('debug', message, fields),
    info: (message, fields) => put('info', message, fields),
    warn: (message, fields) => put('warn', message, fields),
    error: (message, fields) => put('error', message, fields),
    with: (fields) => openLog(write, { ...options, fields: { ...options.fields, ...fields } }),
  };
}

/** A log that says nothing, for tests. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {}, with: () => silentLog };

function describe(error: Error): string {
  const cause = error.cause instanceof Error ? `: ${describe(error.cause)}` : '';
  return error.message + cause;
}
