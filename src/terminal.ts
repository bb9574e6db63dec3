// The world of the command line made of this process: its streams, signals, environment and files.
import { spawnSync } from 'node:child_process';
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname } from 'node:path';
import { isatty } from 'node:tty';
import type { Io, Output } from './cli/io.ts';
import { errnoOf } from './lib/errors.ts';
import { systemClock } from './lib/clock.ts';

/** What a user or a supervisor sends to a command; the others are about jobs and children, or cannot be caught. */
const SIGNALS = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGALRM'] as const;

export function openTerminal({ onBrokenPipe }: { onBrokenPipe: () => void }): Io {
  const { stdout } = process;
  return {
    stdout: outputOf(stdout, isatty(1), onBrokenPipe),
    stderr: outputOf(process.stderr, isatty(2), onBrokenPipe),
    // process.stdin takes hold of the descriptor when it is first named: only a command that reads should do that.
    stdin: {
      isTTY: isatty(0),
      chunks: () => process.stdin,
      setRawMode,
    },
    size: () => (stdout.isTTY ? { columns: stdout.columns, rows: stdout.rows } : undefined),
    onResize: (changed) => {
      stdout.on('resize', changed);
      return { [Symbol.dispose]: () => { stdout.off('resize', changed); } };
    },
    onSignal: (received) => {
      const listener = (name: string) => received(name);
      for (const name of SIGNALS) process.on(name, listener);
      return { [Symbol.dispose]: () => { for (const name of SIGNALS) process.off(name, listener); } };
    },
    env: process.env,
    cwd: process.cwd(),
    home: process.env['HOME'] ?? homedir(),
    clock: systemClock,
    readFile: (path) => readFile(path),
    writeFile: replaceFile,
    removeFile: (path) => rm(path, { force: true }),
    exists: (path) => access(path).then(() => true, () => false),
    trees: async () => (await import('./trees.ts')).hostTrees(), // native calls: only for who copies
  };
}

/**
 * Node's raw mode still turns every line feed of the output into two characters, which garbles full-screen programs in a container. There
 * is no call for that in Node; stty is one, and everywhere. Leaving raw mode, and the end of the process, bring the old settings back.
 */
function setRawMode(raw: boolean): void {
  if (!isatty(0)) return;
  process.stdin.setRawMode(raw);
  if (raw) spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] });
}

function outputOf(stream: NodeJS.WriteStream, isTTY: boolean, onBrokenPipe: () => void): Output {
  stream.on('error', (error) => { if (errnoOf(error) === 'EPIPE') onBrokenPipe(); });
  return {
    isTTY,
    write: (data) => { if (!stream.destroyed) stream.write(data); },
    drained: () => new Promise((resolve) => {
      if (!stream.writableNeedDrain || stream.destroyed) return resolve();
      const done = () => { stream.off('drain', done); stream.off('close', done); resolve(); };
      stream.on('drain', done).on('close', done);
    }),
  };
}

/** Renamed into place, so that a second command never reads half a file of credentials. */
async function replaceFile(path: string, data: string, options: { mode: number; exclusive?: boolean }): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  if (options.exclusive) return writeFile(path, data, { mode: options.mode, flag: 'wx' });
  const staged = `${path}.${process.pid}.new`;
  await writeFile(staged, data, { mode: options.mode });
  await rename(staged, path);
}
