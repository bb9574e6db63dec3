// Programs of the machine that are run for what they say.
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import type { Programs } from './index.ts';

const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const ENVIRONMENT = { PATH: FOLDERS.join(':'), LANG: 'C' };
/** What is kept of a program's complaints. */
const MAX_COMPLAINT_LENGTH = 4096;
/** What a program may say that is run with an input: rules of thousands of ports are a few hundred KiB. */
const MAX_SAID_BYTES = 32 << 20;
/** Long enough for another program that holds the firewall's lock. */
const RUN_TIMEOUT_MS = 60_000;

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

/** Starts it before it returns. Resolves to its stdout; rejects with its own words when it ends with another code than 0 or not at all. */
export function runWithInput([program, ...words]: readonly [string, ...string[]], input: string): Promise<string> {
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'], env: ENVIRONMENT, timeout: RUN_TIMEOUT_MS, killSignal: 'SIGKILL' });
  const said: Buffer[] = [];
  let saidBytes = 0;
  let complaint = '';
  child.stdin.on('error', () => { /* it reads no further; its exit code tells whether that is bad */ }).end(input);
  child.stdout.on('data', (chunk: Buffer) => {
    saidBytes += chunk.length;
    if (saidBytes <= MAX_SAID_BYTES) { said.push(chunk); return; }
    complaint = `it says more than ${MAX_SAID_BYTES} bytes`;
    child.kill('SIGKILL');
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => { complaint = (complaint + chunk).slice(-MAX_COMPLAINT_LENGTH); });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve(Buffer.concat(said).toString());
      else reject(new Error(`${program}: ${complaint.trim() || `it ended with ${signal ?? `exit code ${code}`}`}`));
    });
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
