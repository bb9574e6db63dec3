// What a container has changed: its upper directory against what is below it, in Docker's three kinds.
import { textOf } from '../archive/byte-string.ts';
import type { Node, SourceTree } from '../archive/pack.ts';
import { errnoOf } from '../lib/errors.ts';

const KIND = { modified: 0, added: 1, deleted: 2 } as const;
const OPAQUE = 'trusted.overlay.opaque';
const CAPABILITIES = 'security.capability';
const PIECE_CHARS = 32 * 1024;

export interface Change { path: string; kind: 0 | 1 | 2 }

/**
 * In the order of their names, a directory before what is in it. A directory counts as modified when something in it is, or its mode or
 * owner: its size and time say nothing. `upper` and `lower` are paths in the tree.
 */
export function* changesOf(tree: SourceTree, { upper, lower }: { upper: string; lower: string }): Generator<Change> {
  /** Directories on the way down that have not been told yet. */
  const untold: string[] = [];
  function* told(change: Change): Generator<Change> {
    for (const path of untold.splice(0)) yield { path, kind: KIND.modified };
    yield change;
  }
  function* walk(path: string, inLower: boolean): Generator<Change> {
    const names = new Set(listed(tree, `${upper}${path}`));
    const hides = inLower && isOpaque(tree, `${upper}${path}`);
    const all = hides ? new Set([...names, ...listed(tree, `${lower}${path}`)]) : names;
    for (const name of [...all].toSorted()) {
      const at = `${path}/${name}`;
      const below = inLower ? stat(tree, `${lower}${at}`) : undefined;
      const node = names.has(name) ? stat(tree, `${upper}${at}`) : undefined;
      if (node === undefined || isWhiteout(node)) { if (below) yield* told({ path: at, kind: KIND.deleted }); continue; }
      const merges = node.type === 'dir' && below?.type === 'dir';
      if (below === undefined) yield* told({ path: at, kind: KIND.added });
      else if (differs(tree, { node, at: `${upper}${at}` }, { node: below, at: `${lower}${at}` })) yield* told({ path: at, kind: KIND.modified });
      else if (merges) untold.push(at);
      if (node.type === 'dir') yield* walk(at, merges);
      if (untold.at(-1) === at) untold.pop();
    }
  }
  yield* walk('', true);
}

/** The text of a JSON list of them, in pieces; null when there are none. */
export function* changesJson(changes: Iterable<Change>): Generator<string> {
  let text = '', any = false;
  for (const { path, kind } of changes) {
    text += `${any ? ',' : '['}{"Path":${JSON.stringify(textOf(path))},"Kind":${kind}}`;
    any = true;
    if (text.length < PIECE_CHARS) continue;
    yield text;
    text = '';
  }
  yield `${text}${any ? ']' : 'null'}\n`;
}

interface Found { node: Node; at: string }

/** Times are compared by the second, which is what a layer's archive keeps of them. */
function differs(tree: SourceTree, a: Found, b: Found): boolean {
  if (a.node.mode !== b.node.mode || a.node.uid !== b.node.uid || a.node.gid !== b.node.gid) return true;
  if (a.node.devMajor !== b.node.devMajor || a.node.devMinor !== b.node.devMinor) return true;
  if (a.node.type === 'dir') return false;
  if (a.node.sizeBytes !== b.node.sizeBytes || !sameTime(a.node.mtimeNs, b.node.mtimeNs)) return true;
  return a.node.type === 'file' && capability(tree, a.at) !== capability(tree, b.at);
}

/** One of them may come from an archive that has no fractions. */
function sameTime(a: bigint, b: bigint): boolean {
  const NS = 1_000_000_000n;
  return a === b || (a / NS === b / NS && (a % NS === 0n || b % NS === 0n));
}

const capability = (tree: SourceTree, path: string): string => xattr(tree, path, CAPABILITIES);
const isWhiteout = (node: Node): boolean => node.type === 'char' && node.devMajor === 0 && node.devMinor === 0;
const isOpaque = (tree: SourceTree, path: string): boolean => xattr(tree, path, OPAQUE) === 'y';

function stat(tree: SourceTree, path: string): Node | undefined {
  try { return tree.stat(path); } catch (error) { return absent(error, undefined); }
}

function listed(tree: SourceTree, path: string): string[] {
  try { return tree.list(path); } catch (error) { return absent(error, []); }
}

function xattr(tree: SourceTree, path: string, name: string): string {
  try { return Buffer.from(tree.xattr(path, name) ?? '').toString('latin1'); } catch (error) { return absent(error, ''); }
}

/** A running container goes on meanwhile. */
function absent<T>(error: unknown, value: T): T {
  if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoOf(error) ?? '')) return value;
  throw error;
}
