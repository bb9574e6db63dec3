// The file system as archive/pack.ts reads it and archive/unpack.ts makes it: no last part of a path is followed, and what is open stays what it was.
import {
  closeSync, constants, fchmodSync, fchownSync, fstatSync, ftruncateSync, lchownSync, linkSync, lstatSync, lutimesSync, mkdirSync, openSync, readdirSync, readlinkSync,
  readSync, renameSync, rmdirSync, symlinkSync, unlinkSync, writeSync,
} from 'node:fs';
import { pathOf } from '../archive/byte-string.ts';
import type { Node, SourceTree } from '../archive/pack.ts';
import type { Dress, FileSink, TargetTree } from '../archive/unpack.ts';
import { errnoOf } from '../lib/errors.ts';
import { openRegular } from './confined.ts';
import { openFiles, putTimespec } from './files.ts';
import type { Confined, Files } from './index.ts';
import { lastErrno, libc, systemError } from './sys.ts';

const READ_BYTES = 128 * 1024;
/** Files of this size leave the page cache after they were read: nobody needs so much of them twice. */
const DROP_BYTES = 1 << 20;
const CREATE = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;
const TYPE_BITS = { char: constants.S_IFCHR, block: constants.S_IFBLK, fifo: constants.S_IFIFO } as const;
const STAGED_NAME = '.vaquita-node';

/** Reads files below this process's root. With `confined`, only regular files are ever opened, whatever takes their place. */
export function openSourceTree({ confined }: { confined?: Pick<Confined, 'reopen'> } = {}): SourceTree {
  const files = openFiles();
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  const open = (path: string | Buffer) => (confined ? openRegular(path, (fd, flags) => confined.reopen(fd, flags)) : openPlain(path));
  return {
    stat: (path) => nodeOf(pathOf(path)),
    list: (path) => readdirSync(pathOf(path), { encoding: 'latin1' }),
    readLink: (path) => readlinkSync(pathOf(path), { encoding: 'latin1' }),
    xattr(path, name) {
      const text = pathOf(path);
      return typeof text === 'string' ? files.getXattr(text, name) : undefined; // native calls take text
    },
    *read(path, sizeBytes) {
      const fd = open(pathOf(path));
      try {
        for (let left = sizeBytes; left > 0;) {
          const n = readSync(fd, buffer, 0, Math.min(left, READ_BYTES), null);
          if (n === 0) break;
          left -= n;
          yield buffer.subarray(0, n);
        }
        if (sizeBytes >= DROP_BYTES) dropQuietly(files, fd);
      } finally { closeSync(fd); }
    },
  };
}

function dropQuietly(files: Files, fd: number): void {
  try { files.dropCache(fd); } catch { /* a file system that keeps none */ }
}

function openPlain(path: string | Buffer): number {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw systemError('EINVAL', { syscall: 'open', path: String(path) });
}

function nodeOf(path: string | Buffer): Node {
  const stat = lstatSync(path, { bigint: true });
  const type = stat.isFile() ? 'file' : stat.isDirectory() ? 'dir' : stat.isSymbolicLink() ? 'symlink' : stat.isFIFO() ? 'fifo'
    : stat.isCharacterDevice() ? 'char' : stat.isBlockDevice() ? 'block' : 'socket';
  const { rdev } = stat;
  return {
    type, mode: Number(stat.mode), uid: Number(stat.uid), gid: Number(stat.gid), sizeBytes: Number(stat.size), mtimeNs: stat.mtimeNs,
    key: `${stat.dev}:${stat.ino}`, links: Number(stat.nlink),
    // Source: makedev(3), of which Linux gives 12 and 20 bits to lstat.
    devMajor: Number(rdev >> 8n & 0xfffn | rdev >> 32n & 0xfffff000n), devMinor: Number(rdev & 0xffn | rdev >> 12n & 0xffffff00n),
  };
}

export interface TargetOptions {
  /** The destination: an absolute path, or '.' for the working directory. */
  base: string;
  /** Owners are set; otherwise files belong to who makes them. */
  chown: boolean;
  /** Whose missing parents are. */
  root: { uid: number; gid: number };
}

/** Makes files below `base`; the process's umask counts for nothing but parents. */
export function openTargetTree({ base, chown, root }: TargetOptions): TargetTree {
  const files = openFiles();
  const at = (path: string) => pathOf(path === '' ? base : base === '.' ? path : `${base === '/' ? '' : base}/${path}`);
  const dresser = new Dresser(files, chown);
  return {
    kind(path) {
      try {
        const stat = lstatSync(at(path));
        return stat.isDirectory() ? 'dir' : stat.isSymbolicLink() ? 'symlink' : 'other';
      } catch (error) {
        if (errnoOf(error) === undefined) throw error;
        return undefined; // what cannot be asked about says so when it is to be made
      }
    },
    makeParents(path) {
      const parts = path.split('/').slice(0, -1);
      if (exists(at(parts.join('/')))) return;
      for (let n = 1; n <= parts.length; n++) {
        const parent = at(parts.slice(0, n).join('/'));
        try { mkdirSync(parent, 0o755); } catch (error) {
          if (errnoOf(error) === 'EEXIST') continue;
          throw error;
        }
        if (chown) lchownSync(parent, root.uid, root.gid);
      }
    },
    removeAll: (path) => removeTree(at(path)),
    makeDirectory: (path, mode) => mkdirSync(at(path), mode),
    createFile: (path) => new Sink(openSync(at(path), CREATE, 0o600), dresser),
    symlink: (target, path) => symlinkSync(pathOf(target), at(path)),
    link: (from, path) => linkSync(at(from), at(path)),
    node(path, type, { mode, devMajor, devMinor }) {
      const where = at(path);
      const make = (text: string) => files.mknod(text, TYPE_BITS[type] | mode & 0o7777, { major: devMajor, minor: devMinor });
      if (typeof where === 'string') return make(where);
      const staged = at(STAGED_NAME);
      make(String(staged));
      renameSync(staged, where);
    },
    dress: (path, dress) => dresser.dress(at(path), dress),
    setTimes: (path, times) => dresser.setTimes(at(path), times),
  };
}

class Sink implements FileSink {
  readonly #fd: number;
  readonly #dresser: Dresser;
  #at = 0;
  #sparse = false;

  constructor(fd: number, dresser: Dresser) {
    this.#fd = fd;
    this.#dresser = dresser;
  }

  write(bytes: Buffer, start: number, end: number): void {
    for (let from = start; from < end;) { // a nearly full disk may take less than it is given
      const n = writeSync(this.#fd, bytes, from, end - from, this.#sparse ? this.#at : null);
      from += n;
      this.#at += n;
    }
  }

  hole(bytes: number): void {
    this.#sparse = true;
    this.#at += bytes;
  }

  finish(sizeBytes: number, dress: Dress): void {
    try {
      if (this.#sparse) ftruncateSync(this.#fd, sizeBytes);
      this.#dresser.dressFd(this.#fd, dress);
    } finally { closeSync(this.#fd); }
  }

  abandon(): void { closeSync(this.#fd); }
}

/** Owner, attributes, mode, times, in this order: chown takes setuid and capabilities away. */
class Dresser {
  readonly #files: Files;
  readonly #chown: boolean;
  readonly #specs = new BigInt64Array(4);

  constructor(files: Files, chown: boolean) {
    this.#files = files;
    this.#chown = chown;
  }

  dressFd(fd: number, dress: Dress): void {
    if (this.#chown) fchownSync(fd, dress.uid, dress.gid);
    for (const [name, value] of dress.xattrs ?? []) {
      if (libc.fsetxattr(fd, name, value.length === 0 ? null : value, BigInt(value.length), 0) !== 0) forgive(systemError(lastErrno(), { syscall: 'fsetxattr', detail: name }));
    }
    fchmodSync(fd, dress.mode & 0o7777);
    putTimespec(this.#specs, 0, dress.atimeNs);
    putTimespec(this.#specs, 2, dress.mtimeNs);
    if (libc.futimens(fd, this.#specs) !== 0) throw systemError(lastErrno(), { syscall: 'futimens', detail: `fd ${fd}` });
  }

  /** A directory by its handle; of the rest nothing could be followed. */
  dress(path: string | Buffer, dress: Dress): void {
    const stat = lstatSync(path);
    if (stat.isDirectory()) {
      const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      try { this.dressFd(fd, dress); } finally { closeSync(fd); }
      return;
    }
    if (this.#chown) lchownSync(path, dress.uid, dress.gid);
    for (const [name, value] of dress.xattrs ?? []) {
      try { if (typeof path === 'string') this.#files.setXattr(path, name, value); } catch (error) { forgive(error); }
    }
    this.setTimes(path, dress);
  }

  setTimes(path: string | Buffer, { atimeNs, mtimeNs }: { atimeNs: bigint; mtimeNs: bigint }): void {
    if (typeof path === 'string') return this.#files.setTimes(path, { atimeNs, mtimeNs });
    lutimesSync(path, Number(atimeNs) / 1e9, Number(mtimeNs) / 1e9);
  }
}

/** As Docker: a file system that has no such attributes, or a user who may not set them. */
function forgive(error: unknown): void {
  if (!['EOPNOTSUPP', 'EPERM'].includes(errnoOf(error) ?? '')) throw error;
}

function exists(path: string | Buffer): boolean {
  try { lstatSync(path); return true; } catch (error) { return errnoOf(error) !== 'ENOENT'; }
}

/** A file or a whole tree, following nothing; something that goes meanwhile is gone. */
function removeTree(path: string | Buffer): void {
  try {
    if (!lstatSync(path).isDirectory()) return unlinkSync(path);
    const base = (typeof path === 'string' ? Buffer.from(path, 'utf8') : path).toString('latin1');
    for (const name of readdirSync(path, { encoding: 'latin1' })) removeTree(pathOf(`${base}/${name}`));
    rmdirSync(path);
  } catch (error) { if (errnoOf(error) !== 'ENOENT') throw error; }
}
