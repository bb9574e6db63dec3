// Programs of the machine that are run for what they say.
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import type { Programs } from './index.ts';

const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const ENVIRONMENT = { PATH: FOLDERS.join(':'), LANG: 'C' };
/** What is kept of a program's complaints. */
const MAX_COMPLAINT_LENGTH = 4096;

export function openPrograms(): Programs {
  return {
    find: (name) => FOLDERS.map((folder) => `${folder}/${name}`).find(isExecutable),
    output,
  };
}

async function * output([program, ...words]: readonly [string, ...string[]], { signal }: { signal?: AbortSignal } = {}): AsyncGenerator<Uint8Array> {
  if (signal?.aborted) return;
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], env: ENVIRONMENT });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => { complaint = (complaint + chunk).slice(-MAX_COMPLAINT_LENGTH); });
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(code === 0 ? '' : complaint.trim() || `it ended with ${signal ?? `exit code ${code}`}`));
  });
  const stop = () => { child.kill('SIGKILL'); };
  signal?.addEventListener('abort', stop, { once: true });
  try {
    yield* child.stdout as AsyncIterable<Uint8Array>;
  } finally {
    signal?.removeEventListener('abort', stop);
    stop(); // whoever leaves early wants no more of it
    await ended;
  }
  const failure = await ended;
  if (failure !== '' && !signal?.aborted) throw new Error(`${program}: ${failure}`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
