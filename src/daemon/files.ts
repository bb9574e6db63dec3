// Small files of the daemon's own: its PID and its identity.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Kernel } from '../kernel/index.ts';
import { conflict, errnoOf } from '../lib/errors.ts';
import { newDaemonId } from './facts.ts';

/** Writes our PID; refuses when the file names a daemon that runs. Disposing removes the file. */
export function holdPidFile(path: string, kernel: Kernel): Disposable {
  const other = Number(readText(path).trim());
  if (other > 1 && other !== process.pid && kernel.processes.signal(other, 0) && isDaemon(other)) {
    throw conflict(`pid file found, ensure the daemon is not running or delete ${path} (process with PID ${other} is running)`);
  }
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, String(process.pid));
  return { [Symbol.dispose]: () => rmSync(path, { force: true }) };
}

/** After a crash the number in the file may be any process's: one that is none of ours must not keep the daemon from starting, for ever. */
function isDaemon(pid: number): boolean {
  const words = readText(`/proc/${pid}/cmdline`).split('\0');
  return words.includes('daemon') || words.some((word) => word.endsWith('vaquitad') || word.endsWith('dockerd'));
}

/** The identity of the data root: made once, kept for `info`. Docker keeps its own in the same place. */
export function readDaemonId(dataRoot: string): string {
  const path = join(dataRoot, 'engine-id');
  const known = readText(path).trim();
  if (known !== '') return known;
  const id = newDaemonId();
  writeFileSync(path, id, { mode: 0o600 });
  return id;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(errnoOf(error) ?? '')) return '';
    throw error;
  }
}
