// Describes every file below a directory, in the words of tar.ts, and compares it with what was promised.
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { describe, detailOfData } from './tar.ts';
import { xattrsOf } from './native.ts';

/** Path to description of everything below `root`. An unreadable file is described by its error. */
export function describeTree(root: string): Map<string, string> {
  const tree = new Map<string, string>();
  const walk = (folder: string): void => {
    for (const name of readdirSync(`${root}/${folder}`)) {
      const path = folder === '' ? name : `${folder}/${name}`;
      try {
        tree.set(path, describeFile(`${root}/${path}`));
        if (lstatSync(`${root}/${path}`).isDirectory()) walk(path);
      } catch (error) { tree.set(path, String(error)); }
    }
  };
  walk('');
  return tree;
}

/** At most `limit` sentences on what differs. */
export function differences(got: ReadonlyMap<string, string>, want: ReadonlyMap<string, string>, limit = 5): string[] {
  const found: string[] = [];
  for (const [path, line] of want) if (got.get(path) !== line) found.push(`${path}: ${got.get(path) ?? 'missing'}, want ${line}`);
  for (const path of got.keys()) if (!want.has(path)) found.push(`${path}: not in the image`);
  return found.length > limit ? [...found.slice(0, limit), `and ${found.length - limit} more`] : found;
}

function describeFile(path: string): string {
  const stat = lstatSync(path, { bigint: true });
  const common = { mode: Number(stat.mode & 0o7777n), uid: Number(stat.uid), gid: Number(stat.gid), mtimeNs: stat.mtimeNs, xattrs: xattrsOf(path) };
  if (stat.isFile()) return describe({ ...common, type: 'file', detail: detailOfData(readFileSync(path)) });
  if (stat.isDirectory()) return describe({ ...common, type: 'directory', detail: '' });
  if (stat.isSymbolicLink()) return describe({ ...common, type: 'symlink', detail: readlinkSync(path) });
  if (stat.isFIFO()) return describe({ ...common, type: 'fifo', detail: '' });
  if (stat.isCharacterDevice()) return describe({ ...common, type: 'char', detail: `${stat.rdev >> 8n}:${stat.rdev & 0xffn}` });
  return describe({ ...common, type: 'unknown', detail: '' });
}
