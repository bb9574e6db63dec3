import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, linkSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openLinux } from '../kernel/index.ts';
import { until } from '../../test/kit/poll.ts';
import { openTreeCopy } from './copier.ts';

const kernel = openLinux({ selfCommand: [process.execPath, join(import.meta.dirname, '../main.ts')] });
const copier = openTreeCopy(kernel);

/** On a real file system: attributes and devices are asked of it. */
function folders(): Disposable & { rootfs: string; into: string; path: string } {
  const path = mkdtempSync(join(tmpdir(), 'copy-test-'));
  const [rootfs, into] = [`${path}/rootfs`, `${path}/into`];
  mkdirSync(rootfs);
  mkdirSync(into);
  return { path, rootfs, into, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Everything that a file system knows of a tree, one line per name. */
function listing(path: string): string[] {
  return execFileSync('find', ['.', '-printf', '%P %y %m %U:%G %n %s %T@ %l\\n'], { cwd: path, encoding: 'latin1' }).split('\n').filter((line) => line !== '').toSorted()
    .map((line) => line.replace(/^(\S*) d (\S+ \S+) \d+ \d+/, '$1 d $2')); // links and size of a directory are the file system's own
}

test('a tree is copied with owners, modes, times, attributes, links, devices and odd names', async () => {
  using at = folders();
  const from = `${at.rootfs}/data`;
  mkdirSync(`${from}/sub/deep`, { recursive: true });
  writeFileSync(`${from}/sub/file`, 'x'.repeat(100_000));
  linkSync(`${from}/sub/file`, `${from}/hard`);
  symlinkSync('/etc/passwd', `${from}/sub/link`);
  symlinkSync('nowhere', `${from}/dangling`);
  writeFileSync(`${from}/setuid`, '#!');
  chownSync(`${from}/setuid`, 3, 4);
  chmodSync(`${from}/setuid`, 0o6755);
  writeFileSync(Buffer.concat([Buffer.from(`${from}/odd-`), Buffer.from([0xff, 0xfe])]), 'odd');
  writeFileSync(`${from}/ünï`, 'text');
  execFileSync('mkfifo', [`${from}/fifo`]);
  execFileSync('mknod', [`${from}/null`, 'c', '1', '3']);
  kernel.files.setXattr(`${from}/sub/file`, 'user.note', Buffer.from('kept'));
  kernel.files.setXattr(`${from}/sub`, 'trusted.note', Buffer.from('kept too'));
  kernel.files.setXattr(`${from}/sub`, 'trusted.overlay.opaque', Buffer.from('y'));
  chownSync(`${from}/sub/deep`, 1000, 1001);
  chmodSync(`${from}/sub/deep`, 0o2770);
  for (const name of ['sub/file', 'sub/deep', 'sub', '']) utimesSync(`${from}/${name}`, 1_500_000_000.5, 1_400_000_000.25);
  chownSync(from, 5, 6);
  chmodSync(from, 0o1755);
  utimesSync(from, 1_500_000_000, 1_400_000_000);

  await copier.copy({ rootfs: at.rootfs, path: '/data', into: at.into });
  assert.deepEqual(listing(at.into).filter((line) => !line.startsWith('odd')), listing(from).filter((line) => !line.startsWith('odd')));
  assert.ok(readdirSync(at.into, { encoding: 'latin1' }).includes('odd-\xff\xfe'));
  assert.equal(lstatSync(`${at.into}/hard`).ino, lstatSync(`${at.into}/sub/file`).ino);
  assert.equal(lstatSync(`${at.into}/null`).rdev, lstatSync('/dev/null').rdev);
  assert.equal(Buffer.from(kernel.files.getXattr(`${at.into}/sub/file`, 'user.note') ?? []).toString(), 'kept');
  assert.deepEqual(kernel.files.listXattr(`${at.into}/sub`), ['trusted.note'], 'what speaks to our own overlay stays behind');
});

test('no symlink of the image leads out of it', async () => {
  using at = folders();
  writeFileSync(`${at.path}/secret`, 'of the host');
  mkdirSync(`${at.rootfs}/etc`);
  writeFileSync(`${at.rootfs}/etc/own`, 'of the image');
  symlinkSync('../../../../../../../../etc', `${at.rootfs}/up`);
  symlinkSync('/up', `${at.rootfs}/data`);
  mkdirSync(`${at.rootfs}/inner`);
  symlinkSync(at.path, `${at.rootfs}/inner/host`);
  assert.equal(copier.look(at.rootfs, '/data'), 'files');
  await copier.copy({ rootfs: at.rootfs, path: '/data', into: at.into });
  assert.deepEqual(readdirSync(at.into), ['own']);
  mkdirSync(`${at.path}/second`);
  await copier.copy({ rootfs: at.rootfs, path: '/inner', into: `${at.path}/second` });
  assert.equal(readlinkSync(`${at.path}/second/host`), at.path, 'copied, not followed');
  for (const [path, content] of [['/etc/own', 'file'], ['/nosuch', 'nothing'], ['/inner/host', 'nothing'], ['/', 'files']] as const) assert.equal(copier.look(at.rootfs, path), content, path);
});

test('a copy for nobody but the daemon is not begun when that has died, nor goes on', async () => {
  using at = folders();
  const worker = [join(import.meta.dirname, '../main.ts'), 'worker', 'copy'];
  const job = JSON.stringify({ rootfs: at.rootfs, path: '/data', into: at.into, unlessOrphaned: true });
  mkdirSync(`${at.rootfs}/data`);
  writeFileSync(`${at.rootfs}/data/file`, '');
  const late = spawn(process.execPath, worker, { stdio: ['pipe', 'pipe', 'ignore'] });
  late.stdout.destroy();
  late.stdin.end(job);
  assert.deepEqual([await once(late, 'exit'), readdirSync(at.into)], [[1, null], []]);

  // Its line says that it has begun. One that is stopped ends by nothing but that signal.
  for (let n = 0; n < 2000; n++) writeFileSync(`${at.rootfs}/data/${n}`, '');
  const parent = spawn(process.execPath, ['-e', `
    const worker = require('node:child_process').spawn(process.execPath, ${JSON.stringify(worker)}, { stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    worker.stdin.end(${JSON.stringify(job)});
    worker.stdout.once('data', () => { worker.kill('SIGSTOP'); console.log(worker.pid); process.kill(process.pid, 'SIGKILL'); });`], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = Number(String((await once(parent.stdout, 'data'))[0]));
  await until('the worker to end', () => kernel.processes.startTicks(pid) === undefined).catch((error: unknown) => { kernel.processes.signal(pid, 9); throw error; });
});

test('what stands in the way in the volume cannot lead the copy elsewhere', async () => {
  using at = folders();
  mkdirSync(`${at.path}/outside`);
  mkdirSync(`${at.rootfs}/data/sub`, { recursive: true });
  writeFileSync(`${at.rootfs}/data/sub/file`, 'x');
  // As a program that shares the volume would put it there after it was seen to be empty.
  symlinkSync(`${at.path}/outside`, `${at.into}/sub`);
  await copier.copy({ rootfs: at.rootfs, path: '/data', into: at.into });
  assert.deepEqual(readdirSync(`${at.path}/outside`), []);
  assert.equal(readlinkSync(`${at.into}/sub`), `${at.path}/outside`);
});

test('what somebody puts into the volume meanwhile stays, and the rest comes', async () => {
  using at = folders();
  for (const base of [`${at.rootfs}/data`, at.into]) {
    mkdirSync(`${base}/sub`, { recursive: true });
    // As a runtime that makes the places of its mounts, in the one that is to be filled.
    for (const name of ['hosts', 'sub/one']) writeFileSync(`${base}/${name}`, base);
  }
  linkSync(`${at.rootfs}/data/sub/one`, `${at.rootfs}/data/sub/two`);
  symlinkSync('hosts', `${at.rootfs}/data/link`);
  await copier.copy({ rootfs: at.rootfs, path: '/data', into: at.into });
  const text = (name: string) => readFileSync(`${at.into}/${name}`, 'utf8');
  assert.deepEqual(['hosts', 'sub/one', 'sub/two', 'link'].map(text), [at.into, at.into, `${at.rootfs}/data`, at.into]);
});

test('a directory alone is dressed without a worker', () => {
  using at = folders();
  mkdirSync(`${at.rootfs}/data`);
  chownSync(`${at.rootfs}/data`, 7, 8);
  chmodSync(`${at.rootfs}/data`, 0o1700);
  assert.equal(copier.look(at.rootfs, '/data'), 'empty');
  copier.dress({ rootfs: at.rootfs, path: '/data', into: at.into });
  const { uid, gid, mode } = lstatSync(at.into);
  assert.deepEqual([uid, gid, (mode & 0o7777).toString(8)], [7, 8, '1700']);
});

test('a failure of the worker is told with its words', async () => {
  using at = folders();
  mkdirSync(`${at.rootfs}/data`);
  await assert.rejects(copier.copy({ rootfs: at.rootfs, path: '/data', into: `${at.path}/nosuch` }), /ENOENT.*nosuch/);
  const broken = openTreeCopy({ files: kernel.files, workers: openLinux({ selfCommand: ['/bin/sh', '-c', 'echo "I am broken" >&2; exit 7'] }).workers });
  await assert.rejects(broken.copy({ rootfs: at.rootfs, path: '/data', into: at.into }), /copy worker \(process \d+\) ended with code 7: I am broken/);
});
