import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { errnoOf } from '../lib/errors.ts';
import { openLinux } from './index.ts';

const { files, mounts, names } = openLinux({ selfCommand: [process.execPath] });
let folder: string;
let root: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'bind-from-'));
  root = join(folder, 'root');
  mkdirSync(join(root, 'etc/below'), { recursive: true });
  writeFileSync(join(root, 'etc/own'), 'own');
  symlinkSync('../../../../../etc', join(root, 'out'));
  symlinkSync('/nowhere', join(root, 'dangling'));
});
after(() => {
  for (const { target } of mounts.list().filter((mount) => mount.target.startsWith(`${folder}/`)).toReversed()) mounts.unmount(target, { lazy: true });
  rmSync(folder, { recursive: true });
});

test('what is asked for in a root is found there, whatever its symlinks say', () => {
  assert.deepEqual(files.findInRoot(root, '/out/own'), { kind: 'other', path: join(root, 'etc/own') });
  assert.deepEqual(files.findInRoot(root, 'out'), { kind: 'directory', path: join(root, 'etc') });
  assert.deepEqual(files.findInRoot(root, '/dangling'), { kind: undefined, path: join(root, 'dangling') });
  assert.deepEqual(files.findInRoot('/', '/'), { kind: 'directory', path: '/' });
});

test('a bind shows what was found, as deep as asked, on a target that is made for it', () => {
  mounts.mount({ source: 'tmpfs', target: join(root, 'etc/below'), fsType: 'tmpfs' });
  writeFileSync(join(root, 'etc/below/file'), 'below');
  const [deep, flat, file] = ['deep', 'flat', 'a/b/file'].map((name) => join(folder, 'at', name)) as [string, string, string];
  mounts.bindFrom(root, '/out', { target: deep, recursive: true });
  mounts.bindFrom(root, '/out', { target: flat, recursive: false });
  mounts.bindFrom(root, '/out/own', { target: file, recursive: true });
  assert.equal(readFileSync(join(deep, 'below/file'), 'utf8'), 'below');
  assert.equal(statSync(join(flat, 'below/file'), { throwIfNoEntry: false }), undefined);
  assert.deepEqual([readFileSync(join(flat, 'own'), 'utf8'), readFileSync(file, 'utf8')], ['own', 'own']);
  assert.throws(() => mounts.bindFrom(root, '/dangling', { target: join(folder, 'at/none'), recursive: true }), (error) => errnoOf(error) === 'ENOENT');
});

test('directories that are made get the owner that is named, others keep theirs', () => {
  files.ensureDirectory(join(root, 'made/by/us'), { uid: 5, gid: 6 });
  assert.deepEqual(['', 'made', 'made/by', 'made/by/us'].map((name) => statSync(join(root, name)).uid), [0, 5, 5, 5]);
  files.ensureDirectory(join(root, 'made'), { uid: 7, gid: 7 });
  assert.equal(statSync(join(root, 'made')).gid, 6);
});

test('names of hosts are those of this machine', async () => {
  assert.match(await names.addressOf('localhost'), /^(127\.|::1)/);
});
