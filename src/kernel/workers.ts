// Children of our own executable, spoken to by pipes: bytes and lines in, lines out, the end of stderr for the obituary.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import type { Worker, Workers } from './index.ts';
import { lastErrno, libc, systemError } from './sys.ts';

const STDERR_TAIL_BYTES = 4096;
const MIB = 1 << 20;
/** Source: linux/prctl.h and signal.h. */
const PR_SET_PDEATHSIG = 1, SIGKILL = 9n;
/** A worker answers in short lines; one that floods us is broken and ends. */
const MAX_LINE_LENGTH = 1 << 20;

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

export function openWorkers(selfCommand: readonly string[]): Workers {
  const [program, ...words] = selfCommand;
  return {
    spawn(role, { heapBytes } = {}) {
      if (program === undefined) throw new Error(`start worker ${role}: this kernel was opened without a command that starts this executable`);
      const command = [...heapBytes === undefined ? [] : ['env', `NODE_OPTIONS=--max-old-space-size=${Math.ceil(heapBytes / MIB)}`], program, ...words, 'worker', role];
      const child = spawn(command[0] ?? program, command.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] });
      child.on('error', () => {}); // told below: without a pid at once, otherwise by `exited`
      if (child.pid === undefined) throw systemError('ENOEXEC', { syscall: 'spawn', detail: `worker ${role} (${program} could not be started)`, path: program });
      return workerOf(child, child.pid, role);
    },
  };
}

/** For a worker whose work is of no use to anybody else: from now on it is killed when its parent dies. One that has died before is not noticed. */
export function dieWithParent(): void {
  if (libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0n, 0n, 0n) !== 0) throw systemError(lastErrno(), { syscall: 'prctl', detail: 'PR_SET_PDEATHSIG' });
}

/** Source: malloc.h of the C library. */
const M_TRIM_THRESHOLD = -1, TRIM_BYTES = 128 << 10;

/**
 * For a worker that is to have little memory: what it frees goes back to the kernel, instead of a growing part staying for later; and V8
 * collects in one go, some 10 ms, instead of letting the young pile up while it marks. Measured where 566 programs are patched: 27 MB instead of 37.
 */
export function stayLean(): void {
  libc.mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
  setFlagsFromString('--no-incremental-marking');
}

function workerOf(child: Child, pid: number, role: string): Worker {
  const { stdin, stdout } = child;
  // A worker that dies while we write breaks the pipe; whoever sends is told by `send`, and everybody by `exited`.
  stdin.on('error', () => {});
  // A listener from the start on: without one, lines still unread at the exit would be thrown away.
  stdout.on('readable', () => {});
  return {
    pid,
    send: (...parts) => send(stdin, parts, `worker ${role} (process ${pid})`),
    lines: linesOf(child),
    bytes: { [Symbol.asyncIterator]: () => child.stdout[Symbol.asyncIterator]() as AsyncIterator<Uint8Array> },
    kill: () => { child.kill('SIGKILL'); },
    end: () => { stdin.end(); },
    exited: exitOf(child),
  };
}

/** Resolves when the bytes are in the pipe and not ours any more: at most one chunk waits in our memory. */
function send(stdin: Writable, parts: readonly Uint8Array[], name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (cause?: unknown) => reject(new Error(`write to ${name}: it is gone`, { cause }));
    if (stdin.destroyed || stdin.writableEnded) return gone();
    stdin.cork(); // one system call for all parts
    for (const part of parts.slice(0, -1)) stdin.write(part);
    stdin.write(parts.at(-1) ?? new Uint8Array(), (error) => { if (error) gone(error); else resolve(); });
    stdin.uncork();
  });
}

async function* linesOf(child: Child): AsyncGenerator<string> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout as AsyncIterable<Uint8Array>) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE_LENGTH) {
      child.kill('SIGKILL');
      throw new Error(`worker (process ${child.pid}): a line of more than ${MAX_LINE_LENGTH} characters`);
    }
    yield* lines;
  }
  if (rest !== '') yield rest;
}

/** Waits for stderr to end too, since its last words come after the exit; stdout may have no reader and never end. */
function exitOf(child: Child): Worker['exited'] {
  let tail = Buffer.alloc(0);
  child.stderr.on('data', (chunk: Buffer) => { tail = Buffer.concat([tail, chunk]).subarray(-STDERR_TAIL_BYTES); });
  child.stderr.on('error', () => {});
  const closed = new Promise<void>((resolve) => child.stderr.once('close', () => resolve()));
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      void closed.then(() => resolve({ code, signal, stderr: tail.toString('utf8') }));
    });
  });
}
