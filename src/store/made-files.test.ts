import assert from 'node:assert/strict';
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Crc64 } from '../archive/crc64.ts';
import { TarReader } from '../archive/tar-read.ts';
import { tarBytes, type TarItem } from '../archive/tar-write.ts';
import { openFiles } from '../kernel/index.ts';
import { kindOf } from '../lib/errors.ts';
import { openTempRoot } from '../../test/kit/temp.ts';
import { Enclosure } from './enclosure.ts';
import { Extraction } from './extract.ts';
import { WriteWindow } from './extract-window.ts';
import { openViewShare } from './layer-view.ts';
import { MadeFiles } from './made-files.ts';
import { TarSplitWriter } from './tarsplit.ts';

const temp = openTempRoot();
after(() => temp[Symbol.asyncDispose]());
const files = openFiles();
const corrupted = (pattern: RegExp) => (error: unknown) => { assert.equal(kindOf(error), 'corrupt', String(error)); assert.match(String(error), pattern); return true; };
const file = (name: string, content: string): TarItem & { content: string } => ({ name, type: 'file', mode: 0o600, content });

test('inside, a path is one of the enclosure; outside for a moment it is not; and one comes back whatever happens', () => {
  const root = join(temp.path, 'inside');
  mkdirSync(root);
  writeFileSync(join(root, 'file'), 'inside');
  writeFileSync(join(temp.path, 'file'), 'outside');
  const enclosure = new Enclosure(files, root);
  try {
    assert.equal(readFileSync('/file', 'utf8'), 'inside');
    assert.equal(enclosure.outside(() => { assert.equal(enclosure.isInside, false); return readFileSync(join(temp.path, 'file'), 'utf8'); }), 'outside');
    assert.throws(() => enclosure.outside(() => { throw new Error('in between'); }), /in between/);
    assert.throws(() => enclosure.outside(() => enclosure.outside(() => 0)), /from inside/);
    assert.deepEqual([enclosure.isInside, readFileSync('file', 'utf8'), readFileSync('/../../file', 'utf8')], [true, 'inside', 'inside']);
  } finally { enclosure.leave(); }
  enclosure.leave();
  assert.deepEqual([enclosure.isInside, readFileSync(join(temp.path, 'file'), 'utf8')], [false, 'outside']);
  assert.throws(() => enclosure.outside(() => 0), /from inside/);
  assert.throws(() => new Enclosure(files, join(temp.path, 'file')), /ENOTDIR/);
  // Where the way back fails, nothing is inside any more: who handles archives asks.
  let steps = 0;
  const brittle = new Enclosure({ fchdir: (fd) => files.fchdir(fd), chroot: (path) => { if (++steps === 3) throw new Error('no way back'); files.chroot(path); } }, root);
  assert.throws(() => brittle.outside(() => 0), /no way back/);
  assert.equal(brittle.isInside, false);
  brittle.leave();
  assert.equal(readFileSync(join(temp.path, 'file'), 'utf8'), 'outside');
});

/** Extracts below a directory that the process works in, and gives what can be read of it. */
function making(name: string) {
  const root = join(temp.path, name);
  mkdirSync(root);
  const enclosure = new Enclosure(files, root);
  const stack = new DisposableStack();
  stack.defer(() => enclosure.leave());
  const fd = openSync('/tar-split', 'w');
  stack.defer(() => closeSync(fd));
  const tarSplit = new TarSplitWriter(fd);
  stack.defer(() => tarSplit.close());
  const window = new WriteWindow(files);
  stack.defer(() => window.abandon());
  const extraction = new Extraction({ files, crc: new Crc64(), tarSplit, window, devices: true, inherits: false });
  stack.defer(() => extraction.abandon());
  const made = new MadeFiles(stack.use(openViewShare({ files })));
  return { made, reader: new TarReader(made.noting(extraction)), [Symbol.dispose]: () => stack.dispose() };
}

test('contents can be read again as soon as they are made, and nothing else', () => {
  const many = Array.from({ length: 300 }, (_, n) => file(`many/${n}`, `content ${n} `.repeat(n % 50)));
  const tar = tarBytes([file('first', 'first '.repeat(500)), { name: 'd', type: 'dir', mode: 0o755 }, { name: 'l', type: 'symlink', mode: 0o777, linkName: '/d/../d' }, file('l/\xff', 'no utf-8'), file('.wh.x', 'whiteout'), ...many]);
  using one = making('contents');
  const { made, reader } = one;
  for (let at = 0; at < tar.length; at += 700) {
    reader.write(tar, at, Math.min(tar.length, at + 700));
    assert.ok(Math.min(tar.length, at + 700) - made.sizeBytes < 512, 'half a header may wait for its other half');
    const end = Math.min(3000, made.sizeBytes - 512); // of what has come of the first file, whose rest has not
    const into = Buffer.alloc(end + 2);
    made.read(512, into, { start: 1, end: 1 + end });
    assert.ok(into.subarray(1, 1 + end).equals(tar.subarray(512, 512 + end)));
  }
  const read = (position: number, length: number) => { const into = Buffer.alloc(length); made.read(position, into, { start: 0, end: length }); return into; };
  for (const { name, content } of many) {
    if (content === '') continue;
    const at = tar.indexOf(`${name}\0`) + 512;
    assert.ok(read(at, content.length).equals(tar.subarray(at, at + content.length)), name);
    assert.equal(read(at + 3, 2).toString(), content.slice(3, 5));
  }
  assert.equal(read(tar.indexOf('no utf-8'), 8).toString(), 'no utf-8');
  assert.equal(read(0, 0).length, 0);
  for (const [position, length, words] of [[0, 10, /no content/], [511, 2, /no content/], [512 + 2999, 2, /no content/], [tar.indexOf('whiteout'), 8, /no content/], [tar.length - 1, 2, /are asked for after/], [-1, 1, /are asked for/]] as const) {
    assert.throws(() => read(position, length), corrupted(words), `${length} at ${position}`);
  }
});

test('a path that leads to something else by now is noticed', () => {
  const replaced: Array<[string, () => void, RegExp]> = [
    ['removed', () => rmSync('/a/file'), /a\/file cannot be read again: .*ENOENT/],
    ['another file', () => { writeFileSync('/a/other', 'CONTENT'); renameSync('/a/other', '/a/file'); }, /something else has taken its place/],
    ['a directory', () => { rmSync('/a/file'); mkdirSync('/a/file'); }, /something else/],
    ['a link', () => { rmSync('/a/file'); symlinkSync('/tar-split', '/a/file'); }, /something else/],
    ['a device, which must not be opened', () => { rmSync('/a/file'); files.mknod('/a/file', 0o020600, { major: 240, minor: 7 }); }, /something else/], // ENXIO if it were
    ['shorter', () => writeFileSync('/a/file', 'con'), /became shorter/],
  ];
  const tar = tarBytes([file('a/file', 'content'), file('b', 'b')]);
  for (const [what, change, words] of replaced) {
    using one = making(what.replaceAll(' ', '-'));
    one.reader.write(tar);
    change();
    assert.throws(() => one.made.read(512, Buffer.alloc(7), { start: 0, end: 7 }), corrupted(words), what);
  }
});
