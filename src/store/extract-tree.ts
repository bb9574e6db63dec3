// Small operations on the tree being extracted; all paths are relative to the root the worker is in.
import { lchownSync, lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { pathOf } from '../archive/byte-string.ts';
import { errnoOf } from '../lib/errors.ts';

/** A name that no entry can have, since names of this form are passed over. */
export const STAGED_NAME = '.wh..wh.staged';

/** Missing directories on the way get what Docker gives them: root's, 0755. Fails where a parent is no directory. */
export function makeParents(path: string | Buffer, root: { uid: number; gid: number }): void {
  const parts = byteStringOfPath(path).split('/');
  for (let n = 1; n < parts.length; n++) {
    try { makeDirectory(pathOf(parts.slice(0, n).join('/')), root); } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
    }
  }
}

export function makeDirectory(path: string | Buffer, root: { uid: number; gid: number }): void {
  mkdirSync(path, 0o755);
  if (root.uid !== 0 || root.gid !== 0) lchownSync(path, root.uid, root.gid);
}

/** Removes a file or a whole tree, following nothing. Gives what it counted for in the layer's size. */
export function removeTree(path: string | Buffer): number {
  const found = lstatSync(path);
  if (!found.isDirectory()) {
    unlinkSync(path);
    return (found.isFile() || found.isSymbolicLink()) && found.nlink === 1 ? found.size : 0;
  }
  const base = byteStringOfPath(path);
  let freed = 0;
  for (const name of readdirSync(path, { encoding: 'latin1' })) freed += removeTree(pathOf(`${base}/${name}`));
  rmdirSync(path);
  return freed;
}

/** Native calls take text only: what has a name that is none gets another one meanwhile. */
export function withText(path: string | Buffer, run: (text: string) => void): void {
  if (typeof path === 'string') { run(path); return; }
  renameSync(path, STAGED_NAME);
  try { run(STAGED_NAME); } finally { renameSync(STAGED_NAME, path); }
}

function byteStringOfPath(path: string | Buffer): string {
  return (typeof path === 'string' ? Buffer.from(path, 'utf8') : path).toString('latin1');
}
