// A tar onto a tree that is there already, by Docker's rules for copying: files replace, directories merge, nothing leaves the destination.
//
// Layers are extracted elsewhere and otherwise (whiteouts, tar-split): see store/extract.ts.
import { EngineError, errnoOf, messageOf } from '../lib/errors.ts';
import { textOf } from './byte-string.ts';
import type { TarEntry, TarHandler } from './tar-read.ts';

/** What an entry wants of the file it becomes. */
export interface Dress { uid: number; gid: number; mode: number; atimeNs: bigint; mtimeNs: bigint; xattrs: ReadonlyMap<string, Uint8Array> | undefined }

/** A new file that is being written. */
export interface FileSink {
  write(bytes: Buffer, start: number, end: number): void;
  hole(bytes: number): void;
  /** Sets length, owner, attributes, mode and times of this very file, whatever its name leads to by now, and closes it. */
  finish(sizeBytes: number, dress: Dress): void;
  /** Closes it as it is. */
  abandon(): void;
}

/** Where files are made. Paths are byte strings relative to the destination, '' being that itself; no last part is ever followed. Errors have `code`. */
export interface TargetTree {
  /** undefined when there is nothing. */
  kind(path: string): 'dir' | 'symlink' | 'other' | undefined;
  /** Makes it with its missing parents: root's, 0755. */
  makeParents(path: string): void;
  removeAll(path: string): void;
  makeDirectory(path: string, mode: number): void;
  createFile(path: string): FileSink;
  symlink(target: string, path: string): void;
  link(from: string, path: string): void;
  /** `mode` has the type's bits. */
  node(path: string, type: 'char' | 'block' | 'fifo', options: { mode: number; devMajor: number; devMinor: number }): void;
  /** Owner, attributes, mode (not of symlinks) and times of what stands there. */
  dress(path: string, dress: Dress): void;
  setTimes(path: string, times: { atimeNs: bigint; mtimeNs: bigint }): void;
}

export interface UnpackOptions {
  /** Absolute path of the destination, as errors name it. */
  destination: string;
  /** A directory is not replaced by something else, nor something else by a directory. */
  keepKinds: boolean;
  /** Nothing is made through a link that this archive has made: where links are not confined, one could lead out. */
  keepInside?: boolean;
  /** Called for every name and target of a hard link, to rename. */
  rename?: (name: string) => string;
  /** What owners become. */
  owner?: (entry: { uid: number; gid: number }) => { uid: number; gid: number };
}

/** To be driven by a TarReader; `finish` after its finish. */
export class Unpacker implements TarHandler {
  readonly #tree: TargetTree;
  readonly #options: UnpackOptions;
  /** Directories change their times with everything made in them: set at the end, in this order. */
  readonly #directories = new Map<string, { atimeNs: bigint; mtimeNs: bigint }>();
  readonly #links = new Set<string>();
  #file: { sink: FileSink; entry: TarEntry } | undefined;

  constructor(tree: TargetTree, options: UnpackOptions) {
    this.#tree = tree;
    this.#options = options;
  }

  raw(): void {}

  entry(entry: TarEntry): void {
    const path = cleanedName(this.#options.rename?.(entry.name) ?? entry.name);
    if (path === '..' || path.startsWith('../')) throw refused(`${quoted(path)} is outside of ${quoted(this.#options.destination)}`);
    if (path === '') {
      if (entry.type === 'dir') return; // the destination stays as it is
      throw refused(`cannot overwrite directory ${quoted(this.#options.destination)} with non-directory ${quoted(this.#options.destination)}`);
    }
    if (this.#options.keepInside && this.#links.size > 0) this.#assertInside(path);
    this.#tree.makeParents(path);
    this.#makeRoom(path, entry);
    this.#make(path, entry);
    if (entry.type === 'dir') this.#directories.set(path, timesOf(entry));
  }

  data(bytes: Buffer, start: number, end: number): void { this.#file?.sink.write(bytes, start, end); }

  hole(bytes: number): void { this.#file?.sink.hole(bytes); }

  entryEnd(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    file.sink.finish(file.entry.sizeBytes, this.#dressOf(file.entry));
  }

  finish(): void {
    for (const [path, times] of this.#directories) {
      try { this.#tree.setTimes(path, times); } catch (error) { if (errnoOf(error) !== 'ENOENT') throw error; } // a later entry took its place
    }
  }

  /** Lets go of a file in the middle. */
  abandon(): void {
    this.#file?.sink.abandon();
    this.#file = undefined;
  }

  #makeRoom(path: string, { type }: TarEntry): void {
    const kind = this.#tree.kind(path);
    if (kind === undefined) return;
    const { keepKinds, destination } = this.#options;
    const shown = () => quoted(joined(destination, path));
    if (keepKinds && kind === 'dir' && type !== 'dir') throw refused(`cannot overwrite directory ${shown()} with non-directory ${quoted(destination)}`);
    if (keepKinds && kind !== 'dir' && type === 'dir') throw refused(`cannot overwrite non-directory ${shown()} with directory ${quoted(destination)}`);
    if (kind !== 'dir' || type !== 'dir') this.#tree.removeAll(path);
  }

  #make(path: string, entry: TarEntry): void {
    switch (entry.type) {
      case 'file': this.#file = { sink: this.#tree.createFile(path), entry }; return; // dressed when it is whole
      case 'dir': if (this.#tree.kind(path) !== 'dir') this.#tree.makeDirectory(path, entry.mode & 0o777); break;
      case 'symlink': this.#symlink(path, entry); break;
      case 'hardlink': this.#link(path, entry); return;
      default: this.#tree.node(path, entry.type, { mode: entry.mode, devMajor: entry.devMajor, devMinor: entry.devMinor });
    }
    this.#tree.dress(path, this.#dressOf(entry));
  }

  /** A symlink that points out of the destination would let what follows it leave. */
  #symlink(path: string, { linkName }: TarEntry): void {
    const { destination } = this.#options;
    const at = joined(destination, path);
    const target = joined(at.slice(0, at.lastIndexOf('/')) || '/', linkName);
    if (!target.startsWith(destination)) throw refused(`invalid symlink ${quoted(at)} -> ${quoted(linkName)}`);
    this.#tree.symlink(linkName, path);
    if (this.#options.keepInside) this.#links.add(path);
  }

  #assertInside(path: string): void {
    for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
      if (this.#links.has(path.slice(0, slash))) throw refused(`${quoted(path)} is outside of ${quoted(this.#options.destination)}: it stands behind a link of the same archive`);
    }
  }

  #link(path: string, entry: TarEntry): void {
    const { destination, rename } = this.#options;
    const linkName = rename?.(entry.linkName) ?? entry.linkName;
    const target = joined(destination, linkName);
    if (!target.startsWith(destination)) throw refused(`invalid hardlink ${quoted(target)} -> ${quoted(linkName)}`);
    const from = cleanedName(linkName);
    if (this.#options.keepInside) this.#assertInside(from);
    this.#tree.link(from, path); // the same file, dressed already
  }

  #dressOf(entry: TarEntry): Dress {
    const { mode, xattrs, uid, gid } = entry;
    return { ...(this.#options.owner?.(entry) ?? { uid, gid }), mode, xattrs, ...timesOf(entry) };
  }
}

/** Where the archive gives no time of access it is that of modification, and never before it, as in Docker. */
function timesOf({ atimeNs, mtimeNs }: TarEntry): { atimeNs: bigint; mtimeNs: bigint } {
  return { atimeNs: atimeNs !== undefined && atimeNs > mtimeNs ? atimeNs : mtimeNs, mtimeNs };
}

/** 'a/b' of '/a/./c/../b/'; '' of the destination itself; starts with '..' when it leads out. */
function cleanedName(name: string): string {
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.length === 0 || parts.at(-1) === '..') { if (!name.startsWith('/')) parts.push('..'); }
    else parts.pop();
  }
  return parts.join('/');
}

const joined = (base: string, path: string): string => `/${cleanedName(`/${base}/${path}`)}`;
const quoted = (byteString: string): string => JSON.stringify(textOf(byteString));
const refused = (message: string) => new EngineError('invalid', message);

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory', EEXIST: 'file exists', ENOTDIR: 'not a directory', EISDIR: 'is a directory', EBUSY: 'device or resource busy',
  EROFS: 'read-only file system', ENOSPC: 'no space left on device', EACCES: 'permission denied', EPERM: 'operation not permitted', ELOOP: 'too many levels of symbolic links',
  ENAMETOOLONG: 'file name too long', ENOTEMPTY: 'directory not empty', EINVAL: 'invalid argument', EFBIG: 'file too large', EDQUOT: 'disk quota exceeded',
  EIO: 'input/output error', EMLINK: 'too many links', EXDEV: 'invalid cross-device link', ETXTBSY: 'text file busy',
};
const CALLS: Readonly<Record<string, string>> = { unlink: 'unlinkat', rmdir: 'unlinkat', scandir: 'open', rm: 'unlinkat' };

/** A failed call in the words that Docker's clients see: "lstat /etc/passwd/: not a directory". `path` where the call knows only part of it. */
export function fileErrorWords(error: unknown, path?: string): string {
  const { code, syscall, path: own } = (error instanceof Error ? error : {}) as { code?: unknown; syscall?: unknown; path?: unknown };
  const words = typeof code === 'string' ? WORDS[code] : undefined;
  if (words === undefined || typeof syscall !== 'string') return messageOf(error);
  return `${CALLS[syscall] ?? syscall} ${path ?? (typeof own === 'string' ? own : '')}: ${words}`;
}
