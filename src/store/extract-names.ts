// What the name of a layer's entry means: a place below the root, a whiteout, or nothing of ours. Pure; names are byte strings.
import { textOf } from '../archive/byte-string.ts';
import { corrupt } from '../lib/errors.ts';

/** `path` is relative to the layer's root, '' being the root itself. */
export type Place =
  | { kind: 'path'; path: string }
  /** The layers below lose what stands at `path`. */
  | { kind: 'whiteout'; path: string }
  /** The layers below lose everything in the directory `path`. */
  | { kind: 'opaque'; path: string }
  /** Bookkeeping of aufs that old layers carry along. */
  | { kind: 'ignored' };

const WHITEOUT = '.wh.';
const BOOKKEEPING = '.wh..wh.';
const OPAQUE = '.wh..wh..opq';

export function placeOf(name: string): Place {
  const path = cleanPath(name);
  if (!path.includes(WHITEOUT)) return { kind: 'path', path };
  const slash = path.lastIndexOf('/');
  const parent = slash < 0 ? '' : path.slice(0, slash);
  const leaf = path.slice(slash + 1);
  const isBookkeeping = (part: string) => part.startsWith(BOOKKEEPING);
  if (leaf === OPAQUE && !parent.split('/').some(isBookkeeping)) return { kind: 'opaque', path: parent };
  if (path.split('/').some(isBookkeeping)) return { kind: 'ignored' };
  if (!leaf.startsWith(WHITEOUT)) return { kind: 'path', path };
  const hidden = leaf.slice(WHITEOUT.length);
  if (hidden === '' || hidden === '.' || hidden === '..') throw corrupt(`${textOf(name)}: a whiteout of nothing`);
  return { kind: 'whiteout', path: parent === '' ? hidden : `${parent}/${hidden}` };
}

/** 'a/b' of '/a/./c/../b/'; '' of the root. A name that leads out of the root is refused rather than mended. */
export function cleanPath(name: string): string {
  const start = name.startsWith('./') ? 2 : name.startsWith('/') ? 1 : 0;
  const plain = name.slice(start, name.endsWith('/') ? -1 : undefined);
  if (!/(?:^|\/)\.{0,2}(?:\/|$)/.test(plain)) return plain; // nearly always
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) throw corrupt(`${textOf(name)}: leads out of the layer`);
  }
  return parts.join('/');
}

/** 53 bits of a name, to remember many names in little memory. */
export function fingerprint(path: string): number {
  let a = 0x811c9dc5, b = 0x9747b28c;
  for (let i = 0; i < path.length; i++) {
    const c = path.charCodeAt(i);
    a = Math.imul(a ^ c, 0x01000193);
    b = Math.imul(b + c, 0x85ebca6b) ^ (b >>> 13);
  }
  return (a >>> 0) * 0x20_0000 + ((b ^ (b >>> 15)) & 0x1f_ffff);
}
