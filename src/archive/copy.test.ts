// Trees in memory, packed and unpacked: what is in an archive of them, what becomes of it, and what is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { absolutePath, assertsDirectory, baseName, evaluatedPath, splitPath } from './copy-paths.ts';
import { packTree, type Node, type PackOptions, type SourceTree } from './pack.ts';
import { TarReader } from './tar-read.ts';
import { tarBytes, type TarItem } from './tar-write.ts';
import { fileErrorWords, Unpacker, type Dress, type TargetTree, type UnpackOptions } from './unpack.ts';

interface Fake extends Partial<Node> { content?: string; target?: string; xattrs?: Record<string, string>; fails?: string }
const BITS = { file: 0o100000, dir: 0o040000, symlink: 0o120000, hardlink: 0, char: 0o020000, block: 0o060000, fifo: 0o010000, socket: 0o140000 };
const errno = (code: string, path: string) => Object.assign(new Error(code), { code, syscall: 'open', path });

function sourceOf(files: Readonly<Record<string, Fake>>): SourceTree {
  const all: Record<string, Fake> = { '/': { type: 'dir' }, ...files };
  const find = (path: string): Fake => { const found = all[path.replace(/(?!^)\/\.?$/, '')]; if (!found) throw errno('ENOENT', path); return found; };
  return {
    stat(path) {
      const { type = 'file', content = '', mode = 0o644, ...rest } = find(path);
      return { type, mode: mode | BITS[type], uid: 0, gid: 0, sizeBytes: content.length, mtimeNs: 1_500_000_000n, key: path, links: 1, devMajor: 0, devMinor: 0, ...rest };
    },
    list: (path) => Object.keys(all).filter((name) => name !== '/' && name.slice(0, name.lastIndexOf('/')) === path.replace(/\/$/, '')).map((name) => name.slice(name.lastIndexOf('/') + 1)),
    readLink: (path) => find(path).target ?? '',
    xattr: (path, name) => { const value = find(path).xattrs?.[name]; return value === undefined ? undefined : Buffer.from(value); },
    *read(path) {
      const { content = '', fails } = find(path);
      if (fails === 'at once') throw errno('EACCES', path);
      for (const c of content) yield Buffer.from(c);
      if (fails === 'later') throw errno('EIO', path);
    },
  };
}

interface Listed { name: string; type: string; mode: string; content: string; to: string; xattrs: readonly string[] }

function entriesOf(tar: Buffer): Listed[] {
  const found: Listed[] = [];
  const reader = new TarReader({
    raw() {}, hole() {}, entryEnd() {},
    entry: ({ name, type, mode, linkName, xattrs }) => { found.push({ name, type, mode: mode.toString(8), content: '', to: linkName, xattrs: [...xattrs?.keys() ?? []] }); },
    data: (bytes, start, end) => { const last = found.at(-1); if (last) last.content += bytes.toString('latin1', start, end); },
  });
  reader.write(tar);
  reader.finish();
  return found;
}

const packed = (files: Readonly<Record<string, Fake>>, root: string, options: PackOptions) => entriesOf(Buffer.concat([...packTree(sourceOf(files), root, options)].map((piece) => Buffer.from(piece))));

const TREE: Readonly<Record<string, Fake>> = {
  '/d': { type: 'dir', mode: 0o755 }, '/d/b': { content: 'two', links: 2, key: 'x' }, '/d/a': { content: 'two', links: 2, key: 'x' }, '/d/Z': { type: 'symlink', target: 'a', mode: 0o777 },
  '/d/sub': { type: 'dir', mode: 0o700 }, '/d/sub/s': { type: 'socket' }, '/d/sub/p': { type: 'fifo' }, '/d/cap': { content: 'x', xattrs: { 'security.capability': 'c', 'user.mine': 'u' } },
};

test('entries are sorted by bytes, directories first, hard links after the first name, sockets left out', () => {
  const names = (root: string, as: string | undefined) => packed(TREE, root, { as }).map(({ name, type, to }) => `${type} ${name}${to && ` ${to}`}`);
  assert.deepEqual(names('/d', 'd'), ['dir d/', 'symlink d/Z a', 'file d/a', 'hardlink d/b d/a', 'file d/cap', 'dir d/sub/', 'fifo d/sub/p']);
  assert.deepEqual(names('/d/', '.').slice(0, 2), ['dir ./', 'symlink ./Z a']);
  assert.deepEqual(names('/', '').slice(0, 2), ['dir /', 'dir /d/']);
  assert.deepEqual(names('/d', undefined)[0], 'symlink Z a');
  assert.deepEqual(names('/d/a', 'other'), ['file other']);
  assert.deepEqual(packed(TREE, '/d/cap', { as: 'cap' })[0]?.xattrs, ['security.capability']);
});

test('what changes while it is read: gone is left out, shorter is filled, longer is cut, unreadable is told', () => {
  const skipped: string[] = [];
  const files: Record<string, Fake> = { '/short': { content: 'abc', sizeBytes: 6 }, '/long': { content: 'abcdef', sizeBytes: 3 }, '/broken': { content: 'ab', sizeBytes: 4, fails: 'later' }, '/secret': { content: 'x', fails: 'at once' } };
  const source = sourceOf(files);
  const tree = { ...source, list: () => [...source.list('/'), 'gone'] };
  const entries = entriesOf(Buffer.concat([...packTree(tree, '/', { as: undefined, onSkipped: (path) => skipped.push(path) })].map((piece) => Buffer.from(piece))));
  assert.deepEqual(entries.map(({ name, content }) => [name, content]), [['broken', 'ab\0\0'], ['long', 'abc'], ['short', 'abc\0\0\0']]);
  assert.deepEqual(skipped, ['/secret']);
  assert.deepEqual(packed({}, '/nosuch', { as: 'x' }), []);
});

test('an upper directory becomes a layer: whiteouts and opaque directories by their names', () => {
  const files: Record<string, Fake> = {
    '/gone': { type: 'char' }, '/d': { type: 'dir', mode: 0o755, xattrs: { 'trusted.overlay.opaque': 'y' } }, '/d/sub': { type: 'dir' }, '/d/sub/gone too': { type: 'char' }, '/null': { type: 'char', devMajor: 1, devMinor: 3 },
  };
  assert.deepEqual(packed(files, '/', { as: undefined, overlay: true }).map(({ name, type, mode }) => `${type} ${mode} ${name}`),
    ['dir 755 d/', 'file 755 d/.wh..wh..opq', 'dir 644 d/sub/', 'file 600 d/sub/.wh.gone too', 'file 600 .wh.gone', 'char 644 null']);
});

/** A target that keeps everything in a map and a list of what was done. */
function openTarget(existing: Readonly<Record<string, 'dir' | 'symlink' | 'other'>> = {}) {
  const kinds = new Map(Object.entries(existing));
  const done: string[] = [];
  const note = (line: string) => { done.push(line); };
  const tree: TargetTree = {
    kind: (path) => (path === '' ? 'dir' : kinds.get(path)),
    makeParents(path) { const parent = path.slice(0, path.lastIndexOf('/')); if (path.includes('/') && !kinds.has(parent)) { kinds.set(parent, 'dir'); note(`parents ${parent}`); } },
    removeAll(path) { note(`remove ${path}`); for (const name of kinds.keys()) if (name === path || name.startsWith(`${path}/`)) kinds.delete(name); },
    makeDirectory(path) { kinds.set(path, 'dir'); note(`mkdir ${path}`); },
    createFile(path) {
      kinds.set(path, 'other');
      let content = '';
      return { write: (bytes, start, end) => { content += bytes.toString('latin1', start, end); }, hole: (bytes) => { content += '.'.repeat(bytes); }, finish: (size, dress: Dress) => note(`file ${path} ${size} ${dress.uid}:${dress.gid} ${dress.mode.toString(8)} ${content}`), abandon: () => note(`abandon ${path}`) };
    },
    symlink(target, path) { kinds.set(path, 'symlink'); note(`symlink ${path} ${target}`); },
    link(from, path) { kinds.set(path, 'other'); note(`link ${path} ${from}`); },
    node(path, type) { kinds.set(path, 'other'); note(`node ${path} ${type}`); },
    dress(path, { uid, gid, mode }) { note(`dress ${path} ${uid}:${gid} ${mode.toString(8)}`); },
    setTimes(path) { note(`times ${path}`); },
  };
  return { tree, done };
}

function unpack(items: ReadonlyArray<TarItem & { content?: string }>, options: Partial<UnpackOptions> = {}, existing?: Parameters<typeof openTarget>[0]): string[] {
  const { tree, done } = openTarget(existing);
  const unpacker = new Unpacker(tree, { destination: '/dst', keepKinds: false, ...options });
  const reader = new TarReader(unpacker);
  reader.write(tarBytes(items));
  reader.finish();
  unpacker.finish();
  return done;
}

const file = (name: string, content = ''): TarItem & { content: string } => ({ name, type: 'file', mode: 0o640, uid: 1, gid: 2, content });
const dir = (name: string): TarItem => ({ name, type: 'dir', mode: 0o755 });

test('files replace, directories merge, directories get their times last', () => {
  assert.deepEqual(unpack([dir('./'), dir('a/'), file('a/f', 'text'), file('/b/../c', ''), { name: 'n', type: 'char', mode: 0o600, devMajor: 1, devMinor: 3 }, { name: 'h', type: 'hardlink', mode: 0o600, linkName: 'a/f' }], {}, { a: 'dir', c: 'dir' }), [
    'dress a 0:0 755', 'file a/f 4 1:2 640 text', 'remove c', 'file c 0 1:2 640 ', 'node n char', 'dress n 0:0 600', 'link h a/f', 'times a',
  ]);
  assert.deepEqual(unpack([file('x/y/z')]), ['parents x/y', 'file x/y/z 0 1:2 640 ']);
  assert.deepEqual(unpack([file('dir/f')], { rename: (name) => name.replace('dir', 'new'), owner: () => ({ uid: 5, gid: 6 }) }), ['parents new', 'file new/f 0 5:6 640 ']);
});

test('what would leave the destination, or change kinds where they are kept, is refused in Docker\'s words', () => {
  const link = (name: string, linkName: string): TarItem => ({ name, type: 'symlink', mode: 0o777, linkName });
  for (const [items, options, existing, message] of [
    [[file('../x')], {}, {}, '"../x" is outside of "/dst"'],
    [[file('a/../../x')], {}, {}, '"../x" is outside of "/dst"'],
    [[link('l', '../../etc')], {}, {}, 'invalid symlink "/dst/l" -> "../../etc"'],
    [[{ name: 'h', type: 'hardlink', mode: 0, linkName: '../etc/passwd' } as const], {}, {}, 'invalid hardlink "/etc/passwd" -> "../etc/passwd"'],
    [[file('d')], { keepKinds: true }, { d: 'dir' as const }, 'cannot overwrite directory "/dst/d" with non-directory "/dst"'],
    [[dir('f/')], { keepKinds: true }, { f: 'other' as const }, 'cannot overwrite non-directory "/dst/f" with directory "/dst"'],
    [[link('l', '/etc'), file('l/passwd')], { keepInside: true }, {}, '"l/passwd" is outside of "/dst": it stands behind a link of the same archive'],
    [[file('.')], {}, {}, 'cannot overwrite directory "/dst" with non-directory "/dst"'],
  ] as const) assert.throws(() => unpack(items, options, existing), { message });
  assert.deepEqual(unpack([link('l', '/etc/x'), link('m', 'l')]), ['symlink l /etc/x', 'dress l 0:0 777', 'symlink m l', 'dress m 0:0 777']);
});

test('paths: ends stay, dots count by the text, links are followed within', () => {
  assert.deepEqual(['/a/../b', 'a//b/', '/a/.', '.', '/', '', '../..', 'a/./b/..'].map(absolutePath), ['/b', '/a/b/', '/a/.', '/.', '/', '/', '/', '/a']);
  assert.deepEqual(['/a/b', '/a/b/', '/', '/.', '/a/.'].map(baseName), ['b', 'b', '/', '.', '.']);
  assert.deepEqual(['/a/b', '/a/b/', '/a/.', '/', 'a', 'a/b', '/a'].map((path) => Object.values(splitPath(path))), [['/a', 'b'], ['/a', 'b'], ['/a', '.'], ['/', '/'], ['.', 'a'], ['a', 'b'], ['/', 'a']]);
  assert.deepEqual(['/a/', '/a/.', '', 'a', '..'].map(assertsDirectory), [true, true, true, false, false]);
  const links = new Map([['/l', '/d/e'], ['/d/up', '../../../x'], ['/loop', 'loop']]);
  const follow = (path: string) => evaluatedPath(path, (at) => links.get(at));
  assert.deepEqual(['/l/f', '/d/up/y', '/none/../l'].map(follow), ['/d/e/f', '/x/y', '/d/e']);
  assert.throws(() => follow('/loop'), { code: 'ELOOP' });
});

test('failed calls are told as Docker tells them', () => {
  assert.equal(fileErrorWords(Object.assign(new Error('x'), { code: 'EBUSY', syscall: 'unlink', path: 'etc/hosts' }), '/etc/hosts'), 'unlinkat /etc/hosts: device or resource busy');
  assert.equal(fileErrorWords(Object.assign(new Error('x'), { code: 'ENOTDIR', syscall: 'lstat', path: '/a/' })), 'lstat /a/: not a directory');
  assert.equal(fileErrorWords(new Error('plain')), 'plain');
});
