// The files of one log, oldest first: PATH.2.gz, PATH.1, PATH.now, PATH; held open, so that a rotation meanwhile takes nothing away.
import { createReadStream } from 'node:fs';
import { open, readdir, type FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { createGunzip } from 'node:zlib';
import { errnoOf } from '../lib/errors.ts';

export const BLOCK_BYTES = 64 * 1024;
/** Docker's max-file is a handful; a folder full of more is not read to its end. */
const MAX_FILES = 256;

export interface LogFile {
  path: string;
  handle: FileHandle;
  compressed: boolean;
  /** Device and inode: what stays the same when it is renamed. */
  identity: string;
  /** When it was opened; it may grow. */
  sizeBytes: number;
}

/**
 * A second name of the newest file, given by the daemon: conmon begins a full file anew by putting an empty one in its place, and what
 * was in it is kept by this name until it is counted among the rotated ones.
 */
export const liveName = (path: string): string => `${path}.now`;

/** What is renamed, compressed or deleted while it is opened is looked for again so often: then what is there has to do. */
const MOST_TRIES = 10;

/** The handles are the caller's to close. */
export async function openLogFiles(path: string): Promise<LogFile[]> {
  for (let tries = 1; ; tries++) {
    const { files, settled } = await openAsFound(path);
    if (settled || tries === MOST_TRIES) return files;
    await Promise.all(files.map((file) => file.handle.close()));
  }
}

/** `settled` unless the rotated files changed meanwhile: one that is compressed goes by the name under which it was found. */
async function openAsFound(path: string): Promise<{ files: LogFile[]; settled: boolean }> {
  // Against the way that files go: one renamed between the calls is then met twice, which is seen, and never missed.
  const live = await openLogFile(liveName(path));
  const found = [await openLogFile(path), live];
  const names = await rotatedNames(path);
  for (const name of names) found.push(await openLogFile(`${dirname(path)}/${name}`));
  const settled = !found.includes(undefined, 2) && isDeepStrictEqual(await rotatedNames(path), names);
  const files: LogFile[] = [];
  for (const file of found) {
    if (!file) continue;
    if (files.some((known) => known.identity === file.identity)) await file.handle.close();
    else files.unshift(file);
  }
  return { files, settled };
}

export const identityOf = ({ dev, ino }: { dev: bigint; ino: bigint }): string => `${dev}:${ino}`;

/** undefined when there is none. */
export async function openLogFile(path: string): Promise<LogFile | undefined> {
  try {
    const handle = await open(path, 'r');
    const stat = await handle.stat({ bigint: true });
    return { path, handle, compressed: path.endsWith('.gz'), identity: identityOf(stat), sizeBytes: Number(stat.size) };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Blocks from `offset` to `end` (the end as it is then); of a compressed file, its content from the start. Each block is a new buffer. */
export async function * blocksOf(file: LogFile, offset: number, end = Infinity): AsyncGenerator<Uint8Array> {
  if (file.compressed) {
    // A stream of its own, so that reading it twice starts at the start twice.
    const raw = createReadStream(`/proc/self/fd/${file.handle.fd}`, { highWaterMark: BLOCK_BYTES });
    const content = createGunzip({ chunkSize: BLOCK_BYTES });
    raw.on('error', (error) => content.destroy(error));
    try { yield* raw.pipe(content) as AsyncIterable<Uint8Array>; } finally { raw.destroy(); content.destroy(); }
    return;
  }
  for (let at = offset; at < end;) {
    const { bytesRead, buffer } = await file.handle.read(Buffer.allocUnsafeSlow(BLOCK_BYTES), 0, Math.min(BLOCK_BYTES, end - at), at);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}

/** Names of rotated files, newest first; of a file and its compressed copy only the file. */
export async function rotatedNames(path: string): Promise<string[]> {
  const base = basename(path);
  const names = new Map<number, string>();
  for (const name of await readdir(dirname(path)).catch(emptyWhenMissing)) {
    const match = name.startsWith(`${base}.`) ? /^([1-9]\d{0,5})(\.gz)?$/.exec(name.slice(base.length + 1)) : null;
    if (match && (match[2] === undefined || !names.has(Number(match[1])))) names.set(Number(match[1]), name);
  }
  return [...names].toSorted(([a], [b]) => a - b).map(([, name]) => name).slice(0, MAX_FILES);
}

function emptyWhenMissing(error: unknown): string[] {
  if (errnoOf(error) === 'ENOENT') return [];
  throw error;
}
