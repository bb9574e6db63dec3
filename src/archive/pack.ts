// A tree of files as a tar, piece by piece: the entries, their order and their headers are those of Docker's own archives.
//
// Names are sorted byte by byte, a directory stands before what is in it, times are whole seconds, of attributes only capabilities go
// along. The files may change while they are read: what vanishes is left out, what shrinks is filled with zeros, so that the archive holds.
import { errnoOf } from '../lib/errors.ts';
import type { EntryType } from './tar-read.ts';
import { TAR_END, tarHeader, tarPadding, type TarItem } from './tar-write.ts';

/** What lstat(2) tells of one file. */
export interface Node {
  type: EntryType | 'socket';
  /** With the bits of its type. */
  mode: number;
  uid: number;
  gid: number;
  sizeBytes: number;
  mtimeNs: bigint;
  /** Which file this is, on one machine at one time. */
  key: string;
  links: number;
  devMajor: number;
  devMinor: number;
}

/** Where files are read. Paths are byte strings; errors have `code`. */
export interface SourceTree {
  /** Never follows the last part of a path. */
  stat(path: string): Node;
  list(path: string): string[];
  readLink(path: string): string;
  /** undefined where there is none. */
  xattr(path: string, name: string): Uint8Array | undefined;
  /** The content of a regular file, at most `sizeBytes`; a piece is valid until the next one. Fails when it is no regular file (any more). */
  read(path: string, sizeBytes: number): Iterable<Buffer>;
}

export interface PackOptions {
  /** In the archive's place of `root`; '' is the root itself ("/"), undefined leaves the root out and names what is in it from there on. */
  as: string | undefined;
  /** The tree is the upper directory of an overlay: its whiteouts and opaque directories are told as layers tell them. */
  overlay?: boolean;
  /** The numbers that stand in the archive, where they differ from the file system's. */
  owner?: (node: Node) => { uid: number; gid: number };
  /** A file that is left out since it cannot be read. */
  onSkipped?: (path: string, error: unknown) => void;
}

const CAPABILITIES = 'security.capability';
const OPAQUE = 'trusted.overlay.opaque';
const NS = 1_000_000_000n;
/** A file that is not there any more is no news; the depth of a tree is the file system's limit. */
const VANISHED = new Set(['ENOENT', 'ENOTDIR']);
const ZEROS = Buffer.alloc(64 * 1024);

/** A piece is valid until the next one is asked for. A root that is gone by now makes an empty archive. */
export function* packTree(tree: SourceTree, root: string, options: PackOptions): Generator<Uint8Array> {
  const packing: Packing = { tree, options, seen: new Map() };
  const top = attempt(packing, root, () => tree.stat(root));
  if (top && options.as !== undefined) yield* entryOf(packing, { path: root, name: options.as, node: top });
  if (top?.type === 'dir') yield* contentsOf(packing, root, options.as);
  yield TAR_END;
}

interface Packing {
  tree: SourceTree;
  options: PackOptions;
  /** Files of several names: which of them the archive has already. */
  seen: Map<string, string>;
}

interface Placed { path: string; name: string; node: Node }

function* contentsOf(packing: Packing, path: string, name: string | undefined): Generator<Uint8Array> {
  const names = attempt(packing, path, () => packing.tree.list(path)) ?? [];
  for (const leaf of names.toSorted()) {
    const child = `${path.endsWith('/') ? path.slice(0, -1) : path}/${leaf}`;
    const node = attempt(packing, child, () => packing.tree.stat(child));
    if (node === undefined || node.type === 'socket') continue; // a socket cannot be archived, and is nothing without its program
    const placed = { path: child, name: name === undefined ? leaf : `${name}/${leaf}`, node };
    yield* entryOf(packing, placed);
    if (node.type === 'dir') yield* contentsOf(packing, child, placed.name);
  }
}

function* entryOf(packing: Packing, placed: Placed): Generator<Uint8Array> {
  const { tree, options, seen } = packing;
  const { path, name, node } = placed;
  if (options.overlay && isWhiteout(node)) { yield whiteoutOf(packing, placed); return; }
  const item = attempt(packing, path, () => itemOf(packing, placed));
  if (item === undefined) return;
  if (node.links > 1 && node.type !== 'dir') {
    const first = seen.get(node.key);
    if (first !== undefined) { yield tarHeader({ ...item, type: 'hardlink', linkName: first, sizeBytes: 0 }); return; }
  }
  if (node.type === 'file' && node.sizeBytes > 0) {
    // Opened before its header is written: what cannot be read is not in the archive.
    const content = attempt(packing, path, () => begun(tree.read(path, node.sizeBytes)));
    if (content === undefined) return;
    yield tarHeader(item);
    yield* exactly(content, node.sizeBytes);
    yield tarPadding(node.sizeBytes);
  } else yield tarHeader(item);
  if (node.links > 1 && node.type !== 'dir') seen.set(node.key, name);
  if (options.overlay && node.type === 'dir' && attempt(packing, path, () => isOpaque(tree, path))) yield opaqueOf(packing, placed);
}

function itemOf({ tree, options }: Packing, { path, name, node }: Placed): TarItem {
  const { type, mode, uid, gid, mtimeNs, devMajor, devMinor } = node;
  const isDevice = type === 'char' || type === 'block';
  const capability = type === 'file' ? tree.xattr(path, CAPABILITIES) : undefined;
  return {
    name: type === 'dir' && !name.endsWith('/') ? `${name}/` : name,
    type: type === 'socket' ? 'file' : type, mode, ...(options.owner?.(node) ?? { uid, gid }), mtimeNs: wholeSeconds(mtimeNs),
    ...(type === 'file' ? { sizeBytes: node.sizeBytes } : {}),
    ...(type === 'symlink' ? { linkName: tree.readLink(path) } : {}),
    ...(isDevice ? { devMajor, devMinor } : {}),
    ...(capability ? { xattrs: new Map([[CAPABILITIES, capability]]) } : {}),
  };
}

const wholeSeconds = (ns: bigint): bigint => ns - ((ns % NS) + NS) % NS;

const isWhiteout = (node: Node): boolean => node.type === 'char' && node.devMajor === 0 && node.devMinor === 0;

function isOpaque(tree: SourceTree, path: string): boolean {
  return Buffer.from(tree.xattr(path, OPAQUE) ?? '').toString('latin1') === 'y';
}

/** Layers say a deletion by an empty file: see extract-names.ts for the other direction. */
function whiteoutOf({ options }: Packing, { name, node }: Placed): Buffer {
  const slash = name.lastIndexOf('/');
  const { uid, gid } = options.owner?.(node) ?? node;
  return tarHeader({ name: `${name.slice(0, slash + 1)}.wh.${name.slice(slash + 1)}`, type: 'file', mode: 0o600, uid, gid, mtimeNs: wholeSeconds(node.mtimeNs) });
}

function opaqueOf({ options }: Packing, { name, node }: Placed): Buffer {
  const { uid, gid } = options.owner?.(node) ?? node;
  return tarHeader({ name: `${name}/.wh..wh..opq`, type: 'file', mode: node.mode & 0o777, uid, gid, mtimeNs: 0n });
}

/** Runs up to the first piece. */
function begun(pieces: Iterable<Buffer>): Generator<Buffer> {
  const iterator = pieces[Symbol.iterator]();
  const first = iterator.next();
  return (function* () {
    try {
      for (let next = first; next.done !== true; next = iterator.next()) yield next.value;
    } finally { iterator.return?.(); }
  })();
}

function* exactly(pieces: Iterable<Buffer>, sizeBytes: number): Generator<Uint8Array> {
  let left = sizeBytes;
  try {
    for (const piece of pieces) {
      if (left === 0) break;
      const part = piece.length <= left ? piece : piece.subarray(0, left);
      left -= part.length;
      yield part;
    }
  } catch (error) {
    if (errnoOf(error) === undefined) throw error; // its header is out already: the rest of it becomes zeros
  }
  for (; left > 0; left -= Math.min(left, ZEROS.length)) yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
}

function attempt<T>({ options }: Packing, path: string, run: () => T): T | undefined {
  try { return run(); } catch (error) {
    const code = errnoOf(error);
    if (code === undefined) throw error;
    if (!VANISHED.has(code)) options.onSkipped?.(path, error);
    return undefined;
  }
}
