// A docker CLI, any of those installed, run against any engine: words in, output and exit code out, with or without a terminal.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { until } from './poll.ts';

/** Debian's and the newer one, where installed; and our own command line, which takes the same words. */
export const CLIS = { debian: '/usr/bin/docker', newer: '/usr/local/bin/docker' } as const;

export interface Outcome { code: number | null; signal: string | null; stdout: string; stderr: string; stdoutBytes: Buffer }

export interface RunOptions {
  /** stdin; without it, end of input at once. */
  input?: string | Uint8Array;
  /** Default: two minutes. Then it is killed and the call fails. */
  timeoutMs?: number;
  env?: Readonly<Record<string, string>>;
  cwd?: string;
}

/** One command that is still running. */
export interface Session extends AsyncDisposable {
  readonly pid: number;
  write(data: string | Uint8Array): void;
  /** End of input. */
  end(): void;
  signal(name: NodeJS.Signals): void;
  stdout(): string;
  stderr(): string;
  /** Until stdout (with a terminal: all output) matches. */
  sees(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>;
  readonly outcome: Promise<Outcome>;
}

export interface Docker {
  /** Runs to its end; never throws for an exit code. */
  run(words: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** stdout without the last newline; throws with everything when the exit code is not 0. */
  ok(words: readonly string[], options?: RunOptions): Promise<string>;
  start(words: readonly string[], options?: RunOptions): Session;
  /** With a terminal of 24 rows and 80 columns for all three streams. */
  startPty(words: readonly string[], options?: RunOptions): Session;
}

/** `binary`: a path or a name on PATH. `configDir`: for credentials, so that a user's own are neither used nor changed. */
export function openDocker({ host, configDir, binary = 'docker' }: { host: string; configDir: string; binary?: string }): Docker {
  const env = { DOCKER_HOST: host, DOCKER_CONFIG: configDir, DOCKER_BUILDKIT: '0', DOCKER_CLI_HINTS: 'false', DOCKER_CONTEXT: undefined, DOCKER_API_VERSION: undefined, DOCKER_TLS_VERIFY: undefined, DOCKER_CERT_PATH: undefined };
  const start = (command: readonly [string, ...string[]], options: RunOptions) => openSession(command, { ...options, env: { ...env, ...options.env } });
  const run = async (words: readonly string[], options: RunOptions = {}) => {
    const session = start([binary, ...words], options);
    if (options.input !== undefined) session.write(options.input);
    session.end();
    return session.outcome;
  };
  return {
    run,
    ok: async (words, options) => {
      const { code, stdout, stderr } = await run(words, options);
      if (code !== 0) throw new Error(`${binary} ${words.join(' ')}: exit code ${code}\n${stdout}${stderr}`);
      return stdout.replace(/\n$/, '');
    },
    start: (words, options = {}) => start([binary, ...words], options),
    startPty: (words, options = {}) => {
      const line = `stty rows 24 cols 80; exec ${[binary, ...words].map(quoted).join(' ')}`;
      return start(['script', '-qec', line, '/dev/null'], { ...options, env: { TERM: 'xterm', ...options.env } });
    },
  };
}

function openSession(command: readonly [string, ...string[]], options: Omit<RunOptions, 'env'> & { env: Readonly<Record<string, string | undefined>> }): Session {
  const [program, ...words] = command;
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...options.env }, ...(options.cwd ? { cwd: options.cwd } : {}) });
  child.stdin.on('error', () => {}); // it may end before it has read everything
  const out: Buffer[] = [], err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  const outcome = outcomeOf(child, { out, err, name: command.join(' '), timeoutMs: options.timeoutMs ?? 120_000 });
  outcome.catch(() => {}); // told to whoever awaits it; a session that is disposed may have nobody
  const stdout = () => Buffer.concat(out).toString('utf8');
  const stderr = () => Buffer.concat(err).toString('utf8');
  return {
    pid: child.pid ?? 0, outcome, stdout, stderr,
    write: (data) => { child.stdin.write(data); },
    end: () => { child.stdin.end(); },
    signal: (name) => { child.kill(name); },
    sees: async (pattern, timeoutMs) => {
      try { return await until(`${command.join(' ')} to write ${String(pattern)}`, () => pattern.exec(stdout()) ?? undefined, timeoutMs); }
      catch (cause) { throw new Error(`it wrote instead:\n${stdout()}${stderr()}`, { cause }); }
    },
    [Symbol.asyncDispose]: async () => { child.kill('SIGKILL'); await outcome.catch(() => {}); },
  };
}

function outcomeOf(child: ChildProcessByStdio<Writable, Readable, Readable>, kept: { out: Buffer[]; err: Buffer[]; name: string; timeoutMs: number }): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const text = () => `${Buffer.concat(kept.out).toString('utf8')}${Buffer.concat(kept.err).toString('utf8')}`;
    const late = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${kept.name}: still running after ${kept.timeoutMs} ms\n${text()}`));
    }, kept.timeoutMs);
    child.once('error', (error) => { clearTimeout(late); reject(error); });
    child.once('close', (code, signal) => {
      clearTimeout(late);
      const stdoutBytes = Buffer.concat(kept.out);
      resolve({ code, signal, stdout: stdoutBytes.toString('utf8'), stderr: Buffer.concat(kept.err).toString('utf8'), stdoutBytes });
    });
  });
}

/** For the shell. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
