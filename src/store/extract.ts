// Makes the entries of a layer's tar files below the current root, just as Docker does, and keeps what tar-split needs of each.
//
// It runs chrooted into the layer's directory: a symlink leads nowhere else by construction, whatever the archive says. All paths are
// relative to that root. Nearly every entry is new and has its parents already, so each is tried first and asked about only on failure.
import { chmodSync, closeSync, constants, fchmodSync, fchownSync, ftruncateSync, lchownSync, linkSync, lstatSync, mkdirSync, openSync, symlinkSync, unlinkSync, writeSync } from 'node:fs';
import { pathOf, textOf } from '../archive/byte-string.ts';
import type { Crc64 } from '../archive/crc64.ts';
import type { TarEntry } from '../archive/tar-read.ts';
import type { Files } from '../kernel/index.ts';
import { corrupt, errnoOf, messageOf } from '../lib/errors.ts';
import { hostId, hostRoot, type IdMap } from '../lib/ids.ts';
import { cleanPath, fingerprint, placeOf } from './extract-names.ts';
import { makeDirectory, makeParents, removeTree, STAGED_NAME, withText } from './extract-tree.ts';
import type { WriteWindow } from './extract-window.ts';
import type { Storing } from './made-files.ts';
import type { TarSplitWriter } from './tarsplit.ts';

type Path = string | Buffer;

export interface ExtractionParts {
  files: Files;
  crc: Crc64;
  tarSplit: TarSplitWriter;
  window: WriteWindow;
  /** False in a user namespace, where the kernel makes no devices: they are left out, as Docker leaves them out. */
  devices: boolean;
  /** The root has the setgid bit or a default ACL. */
  inherits: boolean;
  /** The archive's owners are those of containers; on the disk they get these numbers. */
  idMap?: IdMap | undefined;
}

const CREATE = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;
const PERMISSIONS = 0o777;
export const SETGID = 0o2000;
const OVERLAY_XATTRS = 'trusted.overlay.';
const OPAQUE_XATTR = 'trusted.overlay.opaque';
/** A directory with it gives its new files more than what open(2) was told. */
export const DEFAULT_ACL = 'system.posix_acl_default';
const WHITEOUT_DEVICE = { major: 0, minor: 0 };

/** What an entry can get wrong by itself; everything else is the disk's or the kernel's doing. */
const BLAMED_ON_THE_ARCHIVE = new Set([
  'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'EISDIR', 'ENOENT', 'EEXIST', 'ENOTEMPTY', 'EMLINK', 'EINVAL', 'EFBIG', 'ERANGE', 'E2BIG',
]);

export class Extraction implements Storing {
  /** Lengths of files and symlinks, each inode once: what Docker calls the size of a layer. */
  sizeBytes = 0;
  entries = 0;
  /** The entry at work, for messages. */
  current = '';
  readonly #parts: ExtractionParts;
  readonly #seen = new Set<number>();
  readonly #dirTimes = new Map<string, { atimeNs: bigint; mtimeNs: bigint }>();
  /** Such a directory was seen: from now on every mode and owner is set outright. */
  #inherits: boolean;
  /** Who owns what the archive leaves out. */
  readonly #root: { uid: number; gid: number };
  #entry: TarEntry | undefined;
  #path: Path = '';
  #fd = -1;
  #written = 0;
  /** The content can be read back from disk; otherwise tar-split keeps it. */
  #readable = false;

  constructor(parts: ExtractionParts) {
    this.#parts = parts;
    this.#inherits = parts.inherits;
    this.#root = hostRoot(parts.idMap);
  }

  get storing(): number | undefined { return this.#readable ? this.#fd : undefined; }

  raw(bytes: Buffer, start: number, end: number): void { this.#parts.tarSplit.raw(bytes, start, end); }

  entry(given: TarEntry): void {
    this.current = textOf(given.name);
    this.entries++;
    const { idMap } = this.#parts;
    const entry = idMap === undefined ? given : { ...given, uid: hostId(idMap.uids, given.uid), gid: hostId(idMap.gids, given.gid) };
    this.#entry = entry;
    this.#written = 0;
    this.#readable = false;
    try { this.#place(entry); } catch (error) {
      const code = errnoOf(error);
      if (code === undefined || !BLAMED_ON_THE_ARCHIVE.has(code)) throw error;
      throw corrupt(`${this.current}: cannot be made: ${messageOf(error)}`, { cause: error });
    }
  }

  data(bytes: Buffer, start: number, end: number): void {
    if (this.#readable) this.#parts.crc.update(bytes, start, end);
    else this.#parts.tarSplit.raw(bytes, start, end);
    if (this.#fd < 0) return;
    for (let at = start; at < end;) { // a nearly full disk may take less than it is given
      const n = writeSync(this.#fd, bytes, at, end - at, this.#entry?.sparse ? this.#written : null);
      at += n;
      this.#written += n;
    }
    this.#parts.window.grown(this.#fd, this.#written);
  }

  hole(bytes: number): void { this.#written += bytes; }

  entryEnd(): void {
    const entry = this.#entry;
    if (entry === undefined) return;
    if (this.#readable) this.#parts.tarSplit.file(entry.name, { sizeBytes: entry.sizeBytes, crc: this.#parts.crc.take() });
    if (this.#fd < 0) return;
    const fd = this.#fd;
    if (entry.sparse) this.#truncate(fd, entry);
    this.#dressFile(fd, entry);
    this.#fd = -1;
    this.sizeBytes += entry.sizeBytes;
    this.#parts.window.finished(fd, entry.sizeBytes);
  }

  /** After the last entry: a directory's time changes with everything made in it. Backwards, since naming one may touch its parent. */
  finish(): void {
    for (const [path, times] of [...this.#dirTimes].reverse()) {
      try { withText(fsPath(path), (text) => this.#parts.files.setTimes(text, times)); } catch (error) {
        if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOTDIR') throw error; // a later entry took its place
      }
    }
  }

  abandon(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #place(entry: TarEntry): void {
    const place = placeOf(entry.name);
    if (place.kind === 'ignored') return;
    this.#assertNew(place.kind === 'path' ? place.path : `${place.kind}\0${place.path}`);
    const stored = place.kind === 'path' && entry.type === 'file' && !entry.sparse && entry.sizeBytes > 0;
    if (!stored) this.#parts.tarSplit.file(entry.name, undefined);
    this.#readable = stored;
    const path = fsPath(place.path);
    if (place.kind === 'opaque') this.#makeOpaque(path);
    else if (place.kind === 'whiteout') this.#whiteOut(path, entry);
    else this.#make(path, place.path, entry);
  }

  /** Docker refuses a name that comes twice, since tar-split could not tell the two contents apart. */
  #assertNew(path: string): void {
    const before = this.#seen.size;
    this.#seen.add(fingerprint(path));
    if (this.#seen.size === before) throw corrupt(`${this.current}: duplicates of file paths not supported`);
  }

  #make(path: Path, clean: string, entry: TarEntry): void {
    if (clean === '' && entry.type !== 'dir') throw corrupt(`${this.current}: the root of a layer is a directory`);
    switch (entry.type) {
      case 'file':
        this.#create(path, () => { this.#fd = openSync(path, CREATE, entry.mode & PERMISSIONS); });
        this.#path = path;
        return;
      case 'dir': this.#makeDirectory(path, entry); this.#dirTimes.set(clean, timesOf(entry)); return;
      case 'symlink':
        if (entry.linkName === '') throw corrupt(`${this.current}: a symlink to nothing`);
        this.#create(path, () => symlinkSync(pathOf(entry.linkName), path));
        this.sizeBytes += entry.linkName.length;
        break;
      case 'hardlink': this.#link(path, clean, entry); return;
      default:
        if (!this.#parts.devices && entry.type !== 'fifo') return;
        this.#node(path, TYPE_BITS[entry.type] | entry.mode & PERMISSIONS, { major: entry.devMajor, minor: entry.devMinor });
    }
    this.#dress(path, entry);
  }

  #link(path: Path, clean: string, entry: TarEntry): void {
    const target = cleanPath(entry.linkName);
    if (target === '') throw corrupt(`${this.current}: a hard link to the root of the layer`);
    if (target === clean) throw corrupt(`${this.current}: a hard link to itself`);
    const from = fsPath(target);
    const found = lstatSync(from, { throwIfNoEntry: false });
    if (found === undefined) throw corrupt(`${this.current}: a hard link to ${textOf(target)}, which this layer does not have`);
    if (found.isDirectory()) throw corrupt(`${this.current}: a hard link to ${textOf(target)}, which is a directory`);
    this.#create(path, () => linkSync(from, path));
    // The same inode: told again what it was told before, and chown would take its capabilities away.
    if (found.uid !== entry.uid || found.gid !== entry.gid) lchownSync(path, entry.uid, entry.gid);
    this.#setXattrs(path, entry);
    if (found.isSymbolicLink()) return;
    if ((found.mode & 0o7777) !== entry.mode) chmodSync(path, entry.mode);
    withText(path, (text) => this.#parts.files.setTimes(text, timesOf(entry)));
  }

  #makeDirectory(path: Path, entry: TarEntry): void {
    let hidesLower = false;
    for (let tries = 0; ; tries++) {
      try { mkdirSync(path, entry.mode & PERMISSIONS); break; } catch (error) {
        if (tries < 2 && errnoOf(error) === 'ENOENT') { makeParents(path, this.#root); continue; }
        if (tries === 2 || errnoOf(error) !== 'EEXIST') throw error;
      }
      const found = lstatSync(path);
      if (found.isDirectory()) break; // merged with what is there
      // Behind a whiteout a new directory starts empty; the whiteout cannot stay to say so.
      hidesLower ||= found.isCharacterDevice() && found.rdev === 0;
      this.sizeBytes -= removeTree(path);
    }
    lchownSync(path, entry.uid, entry.gid);
    this.#setXattrs(path, entry);
    if (hidesLower) this.#setOpaque(path);
    chmodSync(path, entry.mode);
    this.#inherits ||= (entry.mode & SETGID) !== 0 || entry.xattrs?.has(DEFAULT_ACL) === true;
  }

  #makeOpaque(path: Path): void {
    try { this.#setOpaque(path); } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      makeParents(path, this.#root);
      makeDirectory(path, this.#root);
      this.#setOpaque(path);
    }
  }

  /** What this layer has itself at that place stays: a whiteout speaks of the layers below. */
  #whiteOut(path: Path, entry: TarEntry): void {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory()) return this.#setOpaque(path);
    if (found !== undefined) return;
    this.#node(path, constants.S_IFCHR, WHITEOUT_DEVICE);
    if (entry.uid !== 0 || entry.gid !== 0) lchownSync(path, entry.uid, entry.gid);
  }

  #setOpaque(path: Path): void {
    withText(path, (text) => this.#parts.files.setXattr(text, OPAQUE_XATTR, Buffer.from('y')));
  }

  #node(path: Path, mode: number, device: { major: number; minor: number }): void {
    this.#create(path, () => {
      if (typeof path === 'string') { this.#parts.files.mknod(path, mode, device); return; }
      this.#parts.files.mknod(STAGED_NAME, mode, device);
      try { linkSync(STAGED_NAME, path); } finally { unlinkSync(STAGED_NAME); }
    });
  }

  /** What another name led to makes room (Docker replaces it too); missing parents are made. */
  #create(path: Path, make: () => void): void {
    for (let tries = 0; ; tries++) {
      try { make(); return; } catch (error) {
        const code = errnoOf(error);
        if (tries === 2) throw error;
        if (code === 'ENOENT') makeParents(path, this.#root);
        else if (code === 'EEXIST') this.sizeBytes -= removeTree(path);
        else throw error;
      }
    }
  }

  /** Owner, attributes, mode, times, in this order: chown takes setuid and capabilities away. */
  #dressFile(fd: number, entry: TarEntry): void {
    if (this.#inherits || entry.uid !== 0 || entry.gid !== 0) fchownSync(fd, entry.uid, entry.gid);
    this.#setXattrs(this.#path, entry);
    if (this.#inherits || entry.mode > PERMISSIONS) fchmodSync(fd, entry.mode);
    withText(this.#path, (text) => this.#parts.files.setTimes(text, timesOf(entry)));
  }

  #dress(path: Path, entry: TarEntry): void {
    if (this.#inherits || entry.uid !== 0 || entry.gid !== 0) lchownSync(path, entry.uid, entry.gid);
    this.#setXattrs(path, entry);
    if (entry.type !== 'symlink' && (this.#inherits || entry.mode > PERMISSIONS)) chmodSync(path, entry.mode);
    withText(path, (text) => this.#parts.files.setTimes(text, timesOf(entry)));
  }

  #setXattrs(path: Path, entry: TarEntry): void {
    if (entry.xattrs === undefined) return;
    for (const [name, value] of entry.xattrs) {
      if (name.startsWith(OVERLAY_XATTRS)) continue; // these would speak to our own overlay mount
      try { withText(path, (text) => this.#parts.files.setXattr(text, textOf(name), value)); } catch (error) {
        const code = errnoOf(error);
        const impossible = code === 'EPERM' && entry.type !== 'file' && entry.type !== 'dir'; // user.* of a symlink or a device
        if (code !== 'EOPNOTSUPP' && !impossible) throw error;
      }
    }
  }

  #truncate(fd: number, entry: TarEntry): void {
    try { ftruncateSync(fd, entry.sizeBytes); } catch (error) {
      if (errnoOf(error) !== 'EFBIG' && errnoOf(error) !== 'EINVAL') throw error;
      throw corrupt(`${this.current}: a sparse file of ${entry.sizeBytes} bytes is more than this file system can hold`, { cause: error });
    }
  }
}

const TYPE_BITS = { char: constants.S_IFCHR, block: constants.S_IFBLK, fifo: constants.S_IFIFO } as const;

const fsPath = (clean: string): Path => (clean === '' ? '.' : pathOf(clean));

/** Where the archive gives no time of access it is that of modification, and never before it, as in Docker. */
function timesOf(entry: TarEntry): { atimeNs: bigint; mtimeNs: bigint } {
  const { atimeNs, mtimeNs } = entry;
  return { atimeNs: atimeNs !== undefined && atimeNs > mtimeNs ? atimeNs : mtimeNs, mtimeNs };
}
