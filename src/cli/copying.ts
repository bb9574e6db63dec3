// Where copies go and what they are called there: Docker's rules about links, slashes at the end, and what is there already.
import { absolutePath, assertsDirectory, baseName, evaluatedPath, splitPath } from '../archive/copy-paths.ts';
import { byteStringOf, textOf } from '../archive/byte-string.ts';
import type { Node, SourceTree } from '../archive/pack.ts';
import { fileErrorWords } from '../archive/unpack.ts';
import { errnoOf } from '../lib/errors.ts';
import { Failure } from './failure.ts';

/** What is copied; `rebase` is the name it was asked for by, when a link has led to another one. */
export interface Source { path: string; isDir: boolean; rebase: string | undefined }
export interface Place { path: string; exists: boolean; isDir: boolean }

export const base = baseName;
export const split = splitPath;

/** Absolute, as a byte string; what its end says stays. */
export const hostPath = (cwd: string, path: string): string => byteStringOf(absolutePath(path.startsWith('/') ? path : `${cwd}/${path}`));

/** Where the archive is extracted, and what its entries are called then. */
export function decidePlace(source: Source, destination: Place): { folder: string; rename: ((name: string) => string) | undefined } {
  if (destination.exists && destination.isDir) return { folder: destination.path, rename: undefined };
  if (destination.exists && source.isDir) throw new Failure('cannot copy directory');
  if (!destination.exists && !source.isDir && assertsDirectory(destination.path)) throw new Failure('no such directory');
  const { folder, base: name } = splitPath(destination.path);
  return { folder, rename: rebaser(source.rebase ?? splitPath(source.path).base, name) };
}

/** The first `from` in a name becomes `to`. */
export const rebaser = (from: string, to: string) => (name: string): string => {
  const old = from === '/' ? '' : from;
  const at = name.indexOf(old);
  return at < 0 ? name : name.slice(0, at) + to + name.slice(at + old.length);
};

/** A link's target, from where the link stands. */
export const linkedTo = (path: string, target: string): string => (target.startsWith('/') ? target : absolutePath(`${splitPath(path).folder}/${target}`));

/** The path that a link led to, with what was said at the end of the one that was asked for, and that one's name if it is another. */
export function renamedTo(asked: string, resolved: string): { path: string; rebase: string | undefined } {
  let path = resolved;
  if (/(?:^|\/)\.$/.test(asked) && !/(?:^|\/)\.$/.test(path)) path += '/.';
  if (asked.endsWith('/') && !path.endsWith('/')) path += '/';
  return { path, rebase: baseName(asked) === baseName(path) ? undefined : baseName(asked) };
}

/** The links in the folder of a path are followed, the last one only if that is asked for. Error: in the words of the failed call. */
export function hostSource(tree: SourceTree, asked: string, followLink: boolean): Source {
  let found: { path: string; rebase: string | undefined };
  if (followLink) found = renamedTo(asked, evaluated(tree, asked));
  else {
    const slash = asked.lastIndexOf('/');
    const name = asked.slice(slash + 1);
    const path = `${evaluated(tree, asked.slice(0, slash + 1)).replace(/^\/$/, '')}/${name}`;
    found = { path, rebase: asked.endsWith('/') && baseName(asked) !== baseName(path) ? baseName(asked) : undefined };
  }
  return { ...found, isDir: stated(tree, found.path).type === 'dir' };
}

/** What the archive is made of: what a slash at the end leads to. */
export const packRoot = ({ path }: Source): string => (path === '/' ? path : path.replace(/\/$/, '/.'));

/** A link at the destination is followed, also to where nothing is yet. */
export function hostDestination(tree: SourceTree, asked: string): Place {
  const MAX_LINKS = 10;
  let path = asked;
  for (let links = 0; ; links++) {
    const node = statedOrNone(tree, path);
    if (node === undefined) break;
    if (node.type !== 'symlink') return { path, exists: true, isDir: node.type === 'dir' };
    if (links > MAX_LINKS) throw new Failure(`too many symlinks in ${textOf(asked)}`);
    path = linkedTo(path, tree.readLink(path));
  }
  const { folder } = splitPath(path);
  if (stated(tree, evaluated(tree, folder), 'stat').type !== 'dir') throw new Failure('not a directory');
  return { path, exists: false, isDir: false };
}

/** Refuses what could never be written to. */
export function validateOutputPath(tree: SourceTree, path: string): void {
  const { folder } = splitPath(path.replace(/\/\.?$/, '') || '/');
  if (followed(tree, folder) === undefined) throw new Failure(`invalid output path: directory ${JSON.stringify(textOf(folder))} does not exist`);
  const type = followed(tree, path)?.type;
  if (type === 'char' || type === 'block') throw new Failure(`invalid output path: ${JSON.stringify(textOf(path))} must be a directory or a regular file: got a device`);
}

function followed(tree: SourceTree, path: string): Node | undefined {
  try { return tree.stat(evaluated(tree, path)); } catch (error) {
    if (error instanceof Failure || ['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** Every part must be there, and what something follows must be a directory. */
function evaluated(tree: SourceTree, path: string): string {
  const found = evaluatedPath(path, (at) => (stated(tree, at).type === 'symlink' ? tree.readLink(at) : undefined));
  if (path.endsWith('/') && stated(tree, found).type !== 'dir') throw new Failure('not a directory');
  return found;
}

function stated(tree: SourceTree, path: string, call = 'lstat'): Node {
  try { return tree.stat(path); } catch (error) { throw new Failure(fileErrorWords(error, textOf(path)).replace(/^lstat/, call)); }
}

function statedOrNone(tree: SourceTree, path: string): Node | undefined {
  try { return tree.stat(path); } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw new Failure(fileErrorWords(error, textOf(path)));
  }
}
