// Copies a tree with everything a file system knows of it: owners, modes, times, attributes, hard links, devices. Synchronous, for a worker.
//
// Symlinks are copied, never followed. The source must not change meanwhile; what others put into the target stays, and the worker's chroot keeps them in.
import { chmodSync, constants, copyFileSync, lchownSync, linkSync, lstatSync, lutimesSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, type BigIntStats } from 'node:fs';
import { byteStringOf, pathOf } from '../archive/byte-string.ts';
import type { Files } from '../kernel/index.ts';
import { errnoOf } from '../lib/errors.ts';

const PERMISSIONS = 0o7777n;
/** These would speak to our own overlay mount. */
const OVERLAY_XATTRS = 'trusted.overlay.';

/** Copies what is in `from` into the directory `to`, and dresses `to` like it. Both without a slash at their end. */
export function copyTree(files: Files, { from, to }: { from: string; to: string }): void {
  new TreeCopier(files).directory(byteStringOf(from), byteStringOf(to));
}

/** Gives one directory the owner, mode, attributes and times of another. */
export function dressLike(files: Files, { from, to }: { from: string; to: string }): void {
  new TreeCopier(files).dress(byteStringOf(from), byteStringOf(to), lstatSync(`${from}/.`, { bigint: true }));
}

class TreeCopier {
  readonly #files: Files;
  /** Where the first name of a file with several has been copied to. */
  readonly #links = new Map<string, string | Buffer>();

  constructor(files: Files) { this.#files = files; }

  directory(from: string, to: string): void {
    for (const name of readdirSync(pathOf(from), { encoding: 'latin1' })) this.#entry(`${from}/${name}`, `${to}/${name}`);
    this.dress(from, to, lstatSync(pathOf(`${from}/.`), { bigint: true })); // last: what is made in it changes its time
  }

  /** Owner, attributes, mode, times, in this order: chown takes setuid and capabilities away. */
  dress(from: string, to: string, stat: BigIntStats): void {
    const target = pathOf(to);
    lchownSync(target, Number(stat.uid), Number(stat.gid));
    this.#attributes(from, to, stat);
    if (!stat.isSymbolicLink()) chmodSync(target, Number(stat.mode & PERMISSIONS));
    if (typeof target === 'string') this.#files.setTimes(target, { atimeNs: stat.atimeNs, mtimeNs: stat.mtimeNs });
    else lutimesSync(target, Number(stat.atimeMs) / 1000, Number(stat.mtimeMs) / 1000);
  }

  /** What stands in the target by now stays: whoever has it mounted (a runtime that makes places for its mounts) was quicker. */
  #entry(from: string, to: string): void {
    const [source, target] = [pathOf(from), pathOf(to)];
    const stat = lstatSync(source, { bigint: true });
    if (stat.isDirectory()) {
      unlessThere(() => mkdirSync(target, 0o700));
      if (lstatSync(target).isDirectory()) this.directory(from, to);
      return;
    }
    const inode = stat.nlink > 1n ? `${stat.dev}:${stat.ino}` : undefined;
    const first = inode && this.#links.get(inode);
    if (first !== undefined) { unlessThere(() => linkSync(first, target)); return; }
    const made = unlessThere(() => {
      if (stat.isSymbolicLink()) symlinkSync(readlinkSync(source, { encoding: 'buffer' }), target);
      else if (stat.isFile()) copyFileSync(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      else return this.#special(target, stat);
      return true;
    });
    if (made !== true) return;
    if (inode !== undefined) this.#links.set(inode, target);
    this.dress(from, to, stat);
  }

  /** False where the kernel makes no devices (a user namespace), or the name is no text: such a thing is left out. */
  #special(target: string | Buffer, { mode, rdev }: BigIntStats): boolean {
    if (typeof target !== 'string') return false;
    // Source: makedev(3).
    const major = Number((rdev >> 8n & 0xfffn) | (rdev >> 32n & 0xfffff000n)), minor = Number((rdev & 0xffn) | (rdev >> 12n & 0xffffff00n));
    try { this.#files.mknod(target, Number(mode), { major, minor }); } catch (error) {
      if (errnoOf(error) !== 'EPERM') throw error;
      return false;
    }
    return true;
  }

  /** A name that is no text cannot be asked for its attributes; the file loses them. */
  #attributes(from: string, to: string, stat: BigIntStats): void {
    const [source, target] = [pathOf(stat.isDirectory() ? `${from}/.` : from), pathOf(to)];
    if (typeof source !== 'string' || typeof target !== 'string') return;
    for (const name of this.#files.listXattr(source)) {
      if (name.startsWith(OVERLAY_XATTRS)) continue;
      const value = this.#files.getXattr(source, name);
      try { if (value) this.#files.setXattr(target, name, value); } catch (error) {
        if (errnoOf(error) !== 'EOPNOTSUPP' && !(errnoOf(error) === 'EPERM' && !stat.isFile() && !stat.isDirectory())) throw error;
      }
    }
  }
}

/** undefined when something of that name is there. */
function unlessThere<T>(make: () => T): T | undefined {
  try { return make(); } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    return undefined;
  }
}
