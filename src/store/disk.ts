// The verbs all durability is made of. Everything the store changes goes through them, so that a test can record every step and
// replay each state that a power cut could leave.
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { chmod, lchown, lstat, mkdir, open, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { corrupt, errnoOf, messageOf } from '../lib/errors.ts';
import type { Files } from '../kernel/index.ts';

/**
 * Reading is synchronous: the files are a few bytes, and a boot that reads hundreds of them is several times faster without a trip
 * through the thread pool for each. Writing is not: a journal commit may hold it up for as long as the flash is busy.
 */
export interface Disk {
  /** Content of a file; undefined when there is none. `corrupt` when it is larger than `limitBytes`. */
  read(path: string, limitBytes: number): Uint8Array | undefined;
  /** Names in a directory, in no order; none when there is no such directory. */
  list(path: string): string[];
  /** What stands there, without following a symlink. */
  kind(path: string): 'file' | 'directory' | 'symlink' | 'other' | undefined;
  /** Target of a symlink; undefined when there is none. */
  readLink(path: string): string | undefined;
  /** When its content was last written, in ms since the epoch; undefined when there is none. */
  modifiedMs(path: string): number | undefined;

  /** Creates the file or replaces its content in place; `mode` counts when it is created. */
  write(path: string, data: Uint8Array | string, mode: number): Promise<void>;
  /** The file's bytes are on the disk when resolved. */
  sync(path: string): Promise<void>;
  /** The names in the directory are on the disk when resolved. */
  syncDir(path: string): Promise<void>;
  /** Puts the file's bytes on their way before any later rename of it: after a power cut that name has no empty file. No flush. */
  writeOut(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Makes one directory with exactly this mode; one that is there stays as it is. */
  mkdir(path: string, mode: number): Promise<void>;
  symlink(target: string, path: string): Promise<void>;
  /** Never of a symlink's target. */
  chown(path: string, owner: { uid: number; gid: number }): Promise<void>;
  /** Removes a file or a whole tree; what is not there is removed already. */
  remove(path: string): Promise<void>;
}

export function openDisk(files: Pick<Files, 'writeOut'>): Disk {
  return {
    read: readLimited,
    list: (path) => absentAs([], () => readdirSync(path)),
    kind: kindAt,
    readLink: (path) => absentAs(undefined, () => readlinkSync(path)),
    modifiedMs: (path) => lstatSync(path, { throwIfNoEntry: false })?.mtimeMs,
    write: (path, data, mode) => named(path, writeFile(path, data, { mode })),
    sync,
    syncDir: sync,
    async writeOut(path) {
      await using file = await open(path, 'r+');
      files.writeOut(file.fd, 'start');
      files.writeOut(file.fd, 'wait');
    },
    rename,
    mkdir: makeDirectory,
    symlink: (target, path) => symlink(target, path),
    chown: (path, { uid, gid }) => lchown(path, uid, gid),
    remove: (path) => rm(path, { recursive: true, force: true }),
  };
}

export interface Replacement { data: Uint8Array | string; mode: number; durable?: boolean }

/**
 * After this resolves, `path` holds the data across a power cut; before that it holds the old content or the new one. With
 * `durable: false` a power cut may bring the old content back, but never an empty file. Docker ignores the staged name.
 */
export async function replaceFile(disk: Disk, path: string, { data, mode, durable = true }: Replacement): Promise<void> {
  const staged = stagedName(path);
  try {
    await disk.write(staged, data, mode);
    await (durable ? disk.sync(staged) : disk.writeOut(staged)); // the bytes, before the name
    await disk.rename(staged, path);
  } catch (error) {
    await disk.remove(staged).catch(() => undefined);
    throw error;
  }
  if (durable) await disk.syncDir(directoryOf(path)); // the name itself
}

export const STAGED_PREFIX = '.staged-';
export const directoryOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));
const stagedName = (path: string): string => `${directoryOf(path)}/${STAGED_PREFIX}${path.slice(path.lastIndexOf('/') + 1)}`;

function readLimited(path: string, limitBytes: number): Uint8Array | undefined {
  return absentAs(undefined, () => {
    const { size } = lstatSync(path);
    if (size > limitBytes) throw corrupt(`${path}: ${size} bytes, more than the ${limitBytes} that such a file may have`);
    return readFileSync(path);
  });
}

function kindAt(path: string): ReturnType<Disk['kind']> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat) return undefined;
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  return stat.isSymbolicLink() ? 'symlink' : 'other';
}

async function sync(path: string): Promise<void> {
  await using file = await open(path, 'r');
  await named(path, file.sync());
}

/** Node tells the path of what cannot be opened, but not of what cannot be written. */
async function named(path: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (messageOf(error).includes(path)) throw error;
    throw new Error(`${messageOf(error)} '${path}'`, { cause: error });
  }
}

async function makeDirectory(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, mode);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST' && (await lstat(path)).isDirectory()) return;
    throw error;
  }
  await chmod(path, mode); // whatever the umask took
}

function absentAs<T>(absent: T, get: () => T): T {
  try {
    return get();
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return absent;
    throw error;
  }
}
