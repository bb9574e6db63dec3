// A server as a child process: started, waited for, stopped politely or killed, with all it said kept for the failure message.
import { spawn } from 'node:child_process';
import { until } from './poll.ts';

export interface ChildOptions {
  command: readonly [string, ...string[]];
  env?: Readonly<Record<string, string | undefined>>;
  cwd?: string;
  /** Asked until it answers true; an error counts as "not yet". */
  ready: () => Promise<boolean>;
  readyTimeoutMs?: number;
  /** After SIGTERM; then it is killed and the stop fails. */
  stopTimeoutMs?: number;
}

export interface Child extends AsyncDisposable {
  readonly pid: number;
  readonly running: boolean;
  /** Everything it wrote to stdout and stderr so far, the last MiB of it. */
  log(): string;
  /** SIGTERM and the exit code. Fine when it has ended already. */
  stop(): Promise<number | null>;
  /** SIGKILL, as a crash would be. */
  kill(): Promise<void>;
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
}

const LOG_TAIL_LENGTH = 1 << 20;
/** dockerd alone gives its containers 15 s. */
const STOP_TIMEOUT_MS = 60_000;
const READY_TIMEOUT_MS = 60_000;

/** Resolves when it is ready; throws with what it said when it ends before that. */
export async function startChild(options: ChildOptions): Promise<Child> {
  const [program, ...words] = options.command;
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...options.env }, ...(options.cwd ? { cwd: options.cwd } : {}) });
  let log = '';
  const keep = (chunk: string) => { log = (log + chunk).slice(-LOG_TAIL_LENGTH); };
  child.stdout.setEncoding('utf8').on('data', keep);
  child.stderr.setEncoding('utf8').on('data', keep);
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('error', (error) => { keep(String(error)); resolve({ code: 127, signal: null }); });
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const running = () => child.exitCode === null && child.signalCode === null && child.pid !== undefined;
  const kill = async () => { child.kill('SIGKILL'); await exited; };
  const stop = async () => {
    child.kill('SIGTERM');
    const late = setTimeout(() => { keep('\n(test kit: did not end after SIGTERM, killed)'); child.kill('SIGKILL'); }, options.stopTimeoutMs ?? STOP_TIMEOUT_MS);
    const { code, signal } = await exited;
    clearTimeout(late);
    if (signal === 'SIGKILL') throw new Error(`${options.command.join(' ')} did not end after SIGTERM:\n${log}`);
    return code;
  };
  try {
    await until(`${program} to be ready`, async () => !running() || await options.ready(), options.readyTimeoutMs ?? READY_TIMEOUT_MS);
    if (!running()) throw new Error(`${options.command.join(' ')} ended with ${JSON.stringify(await exited)}`);
  } catch (cause) {
    await kill();
    throw new Error(`${program} did not become ready:\n${log}`, { cause });
  }
  return {
    pid: child.pid ?? 0, stop, kill, exited,
    get running() { return running(); },
    log: () => log,
    [Symbol.asyncDispose]: async () => { if (running()) await stop(); },
  };
}
