// Finds names of a layer inside of its directory as a process chrooted there would, without ever following a symlink out of it.
import { lstatSync, readlinkSync } from 'node:fs';
import { pathOf } from '../archive/byte-string.ts';
import { corrupt, errnoOf } from '../lib/errors.ts';

/** As many as the kernel follows in one path. */
const MAX_LINKS = 40;

/**
 * Gives the host path of a name (a byte string) below `root`: directories on the way are resolved, the last part is not.
 * The layer must not change meanwhile: what was found of the last directory is remembered.
 */
export function openResolver(root: string): (name: string) => string | Buffer {
  const base = Buffer.from(root, 'utf8').toString('latin1');
  let lastParent = '';
  let lastFound = '';
  return (name) => {
    const parts = name.split('/').filter((part) => part !== '' && part !== '.');
    const leaf = parts.pop() ?? '';
    if (leaf === '' || leaf === '..') throw corrupt(`${JSON.stringify(name)} names no file`);
    const parent = parts.join('/');
    if (parent !== lastParent) {
      lastFound = resolveDirectory(base, parts);
      lastParent = parent;
    }
    return pathOf(`${base}${lastFound}/${leaf}`);
  };
}

/** '' or '/a/b', with no symlink in it. */
function resolveDirectory(base: string, parts: readonly string[]): string {
  const ahead = parts.toReversed();
  const found: string[] = [];
  for (let links = 0; ahead.length > 0;) {
    const part = ahead.pop() ?? '';
    if (part === '' || part === '.') continue;
    if (part === '..') { found.pop(); continue; }
    found.push(part);
    const target = linkTarget(pathOf(`${base}/${found.join('/')}`));
    if (target === undefined) continue;
    if (++links > MAX_LINKS) throw Object.assign(new Error(`too many symlinks in ${parts.join('/')}`), { code: 'ELOOP' });
    if (target.startsWith('/')) found.length = 0;
    else found.pop();
    ahead.push(...target.split('/').toReversed());
  }
  return found.length === 0 ? '' : `/${found.join('/')}`;
}

function linkTarget(path: string | Buffer): string | undefined {
  if (!lstatSync(path).isSymbolicLink()) return undefined;
  try { return readlinkSync(path, { encoding: 'latin1' }); } catch (error) {
    if (errnoOf(error) === 'EINVAL') return undefined;
    throw error;
  }
}
