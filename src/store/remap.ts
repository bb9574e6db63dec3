// The data root of a daemon with user namespaces: a folder of its own below the one that was named, which the remapped root can get to.
import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { invalid } from '../lib/errors.ts';
import { hostRoot, type IdMap } from '../lib/ids.ts';

/**
 * `DATAROOT/UID.GID` of the remapped root, where Docker has it too: a root with remapping and one without never see each other's layers.
 * `dataRoot` is made or opened for passing through (0711). Error: invalid, when a directory above keeps the remapped root out.
 */
export function remappedRoot(dataRoot: string, idMap: IdMap): string {
  const owner = hostRoot(idMap);
  const root = `${dataRoot}/${owner.uid}.${owner.gid}`;
  mkdirSync(dataRoot, { recursive: true, mode: 0o711 });
  chmodSync(dataRoot, 0o711);
  for (let path = dirname(dataRoot); path !== '/'; path = dirname(path)) {
    if (!canPass(path, owner)) {
      throw invalid(`a subdirectory in your graphroot path (${root}) restricts access to the remapped root uid/gid; please fix by allowing 'o+x' permissions on existing directories: ${path} does not`);
    }
  }
  return root;
}

/** Whether a process of that user and group may go through the directory. */
function canPass(path: string, owner: { uid: number; gid: number }): boolean {
  const { mode, uid, gid } = statSync(path);
  return (mode & 0o001) !== 0 || (uid === owner.uid && (mode & 0o100) !== 0) || (gid === owner.gid && (mode & 0o010) !== 0);
}
