// Changes of a container: every kind of change, in trees in memory; and modes, places and owners as Docker has them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packTree, type Node, type SourceTree } from '../archive/pack.ts';
import { changesJson, changesOf } from './changes.ts';
import { goMode, isWithin } from './paths.ts';
import { ownerOf } from './users.ts';

interface Fake { type?: Node['type']; mode?: number; size?: number; time?: bigint; uid?: number; opaque?: true; capability?: string }
const WHITEOUT: Fake = { type: 'char', mode: 0 };
const DIR: Fake = { type: 'dir', mode: 0o755 };

function treeOf(files: Readonly<Record<string, Fake>>): SourceTree {
  const find = (path: string): Fake => { const found = files[path] ?? (path === '/upper' || path === '/lower' ? DIR : undefined); if (!found) throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' }); return found; };
  return {
    stat(path) {
      const { type = 'file', mode = 0o644, size = 1, time = 1_500_000_000n, uid = 0 } = find(path);
      return { type, mode, uid, gid: 0, sizeBytes: size, mtimeNs: time, key: path, links: 1, devMajor: 0, devMinor: 0 };
    },
    list: (path) => { find(path); return Object.keys(files).filter((name) => name.slice(0, name.lastIndexOf('/')) === path).map((name) => name.slice(name.lastIndexOf('/') + 1)); },
    readLink: () => '',
    xattr(path, name) {
      const { opaque, capability } = find(path);
      const value = name === 'trusted.overlay.opaque' && opaque ? 'y' : name === 'security.capability' ? capability : undefined;
      return value === undefined ? undefined : Buffer.from(value);
    },
    *read() {},
  };
}

function changes(upper: Readonly<Record<string, Fake>>, lower: Readonly<Record<string, Fake>>): string[] {
  const files = { ...Object.fromEntries(Object.entries(upper).map(([path, file]) => [`/upper${path}`, file])), ...Object.fromEntries(Object.entries(lower).map(([path, file]) => [`/lower${path}`, file])) };
  return [...changesOf(treeOf(files), { upper: '/upper', lower: '/lower' })].map(({ path, kind }) => `${'CAD'.charAt(kind)} ${path}`);
}

for (const [what, upper, lower, want] of [
  ['nothing', {}, { '/a': {} }, []],
  ['an added file and folder', { '/n': DIR, '/n/f': {}, '/a': {} }, {}, ['A /a', 'A /n', 'A /n/f']],
  ['a changed file tells its folders, which may be the same', { '/d': DIR, '/d/e': DIR, '/d/e/f': { size: 2 } }, { '/d': DIR, '/d/e': DIR, '/d/e/f': {} }, ['C /d', 'C /d/e', 'C /d/e/f']],
  ['folders that were only copied up', { '/d': { ...DIR, time: 9n }, '/d/e': DIR }, { '/d': DIR, '/d/e': DIR }, []],
  ['a folder of another mode', { '/d': { ...DIR, mode: 0o700 } }, { '/d': DIR }, ['C /d']],
  ['a deletion', { '/d': DIR, '/d/f': WHITEOUT, '/d/x': WHITEOUT }, { '/d': DIR, '/d/f': {} }, ['C /d', 'D /d/f']],
  ['an opaque folder hides all that it does not have', { '/d': { ...DIR, opaque: true }, '/d/f': {}, '/d/n': {} }, { '/d': DIR, '/d/f': {}, '/d/g': DIR, '/d/g/h': {} }, ['C /d', 'D /d/g', 'A /d/n']],
  ['a folder for a file, a file for a folder', { '/a': DIR, '/a/n': {}, '/d': {} }, { '/a': {}, '/d': DIR, '/d/f': {} }, ['C /a', 'A /a/n', 'C /d']],
  ['times count to the second where one has no fraction', { '/a': { time: 1_000_000_000n }, '/b': { time: 1_600_000_000n } }, { '/a': { time: 1_999_999_999n }, '/b': { time: 1_500_000_000n } }, ['C /b']],
  ['an owner, a capability', { '/a': { uid: 5 }, '/b': { capability: 'x' } }, { '/a': {}, '/b': {} }, ['C /a', 'C /b']],
  ['siblings of a changed folder stay untold', { '/a': DIR, '/a/b': DIR, '/a/c': DIR, '/a/c/f': {} }, { '/a': DIR, '/a/b': DIR, '/a/c': DIR }, ['C /a', 'C /a/c', 'A /a/c/f']],
] as const) test(`changes: ${what}`, () => assert.deepEqual(changes(upper, lower), want));

test('what a running container removes while it is looked at is left out, at whatever moment it goes', () => {
  const files: Record<string, Fake> = { '/upper/d': { ...DIR, opaque: true }, '/upper/d/f': { capability: 'x', size: 0 }, '/lower/d': DIR, '/lower/d/f': { size: 0 }, '/upper/s': { size: 0 } };
  const { '/upper/s': stays = {}, '/lower/d': below = {}, '/lower/d/f': file = {} } = files;
  let asked = 0;
  for (let after = 0, last = false; !last; after++) {
    /** From the call with that number on the directory is not there. */
    const going = (): SourceTree => {
      asked = 0;
      const now = (): SourceTree => treeOf(asked++ < after ? files : { '/upper/s': stays, '/lower/d': below, '/lower/d/f': file });
      return { stat: (path) => now().stat(path), list: (path) => now().list(path), readLink: (path) => now().readLink(path), xattr: (path, name) => now().xattr(path, name), read: (path, size) => now().read(path, size) };
    };
    assert.equal([...changesOf(going(), { upper: '/upper', lower: '/lower' })].at(-1)?.path, '/s');
    last = asked < after;
    assert.ok([...packTree(going(), '/upper', { as: undefined, overlay: true, onSkipped: (path) => assert.fail(path) })].some((piece) => Buffer.from(piece).toString('latin1').startsWith('s\0')));
    last &&= asked < after;
  }
});

test('changes are a JSON list in pieces, or null', () => {
  assert.equal([...changesJson([])].join(''), 'null\n');
  const many = Array.from({ length: 5000 }, (_none, n) => ({ path: `/f"${n}`, kind: 1 as const }));
  const pieces = [...changesJson(many)];
  assert.ok(pieces.length > 3);
  assert.deepEqual(JSON.parse(pieces.join('')), many.map(({ path, kind }) => ({ Path: path, Kind: kind })));
});

test('modes are those of Go', () => {
  assert.deepEqual([0o100644, 0o104755, 0o041777, 0o120777, 0o020644, 0o060660, 0o010600, 0o140755, 0o102755].map(goMode),
    [420, 8389101, 2148532735, 134218239, 69206436, 67109296, 33554816, 16777709, 4194797]);
});

test('places below others', () => {
  assert.deepEqual([['/a/b', '/a'], ['/a', '/a'], ['/ab', '/a'], ['/x', '/'], ['/a', '/a/b']].map(([path = '', folder = '']) => isWithin(path, folder)), [true, true, false, true, false]);
});

test('owners by name and number, by the files of the container', () => {
  const read = (path: string) => (path === '/etc/passwd' ? 'root:x:0:0::/:\nweb:x:33:34::/:\n1005:x:7:8::/:\n' : 'root:x:0:\nstaff:x:50:web\n');
  const of = (user: string) => { const { uid, gid } = ownerOf(user, read); return `${uid}:${gid}`; };
  assert.deepEqual(['web', 'web:staff', '33', '1000', '1000:1001', 'web:77', '1005'].map(of), ['33:34', '33:50', '33:34', '1000:0', '1000:1001', '33:77', '7:8']);
  assert.throws(() => of('nobody'), { message: 'unable to find user nobody: no matching entries in passwd file' });
  assert.throws(() => of('web:nogroup'), { message: 'unable to find group nogroup: no matching entries in group file' });
});
