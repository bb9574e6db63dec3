// One contract, held by the real kernel and the one in memory; then what only the real one can show. The real one needs root.
import assert from 'node:assert/strict';
import { closeSync, constants, lstatSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { receiveDatagrams } from '../../test/kit/datagrams.ts';
import { until } from '../../test/kit/poll.ts';
import { openFake } from './fake.ts';
import { MOUNT_FLAGS, openLinux, type Kernel } from './index.ts';

const ECHO_WORKER = [process.execPath, '--no-warnings', join(import.meta.dirname, 'echo-worker.fixture.ts')];
const real = () => openLinux({ selfCommand: ECHO_WORKER });

interface Bench extends Disposable { kernel: Kernel; folder: string }

/** A kernel and a folder of its own; whatever is left mounted in it fails the test and is taken away. */
function bench(open: () => Kernel): Bench {
  const folder = mkdtempSync(join(tmpdir(), 'kernel-test-'));
  const kernel = open();
  return {
    kernel, folder,
    [Symbol.dispose]() {
      const left = kernel.mounts.list().filter((mount) => mount.target.startsWith(folder));
      for (const mount of left.reverse()) kernel.mounts.unmount(mount.target, { lazy: true });
      rmSync(folder, { recursive: true });
      assert.deepEqual(left, []);
    },
  };
}

const coded = (code: string, ...words: string[]) => (error: unknown) => {
  assert.ok(error instanceof Error && 'code' in error && 'syscall' in error, String(error));
  assert.equal(error.code, code);
  for (const word of words) assert.ok(error.message.includes(word), `${error.message} names ${word}`);
  return true;
};

const skip = process.getuid?.() === 0 ? false : 'needs root';

/** Holds for the real kernel only. */
function linux(name: string, check: (b: Bench) => void | Promise<void>): void {
  test(`linux: ${name}`, { skip }, async () => {
    using b = bench(real);
    await check(b);
  });
}

/** Holds for both. */
function contract(name: string, check: (b: Bench) => void): void {
  linux(name, check);
  test(`fake: ${name}`, () => {
    using b = bench(() => openFake());
    check(b);
  });
}

contract('a mount is listed until it is unmounted, and only then is unmounting an error', (b) => {
  const target = join(b.folder, 'with space');
  mkdirSync(target);
  const mounted = () => b.kernel.mounts.list().filter((mount) => mount.target === target);
  b.kernel.mounts.mount({ source: 'some source', target, fsType: 'tmpfs', data: 'size=64k', flags: MOUNT_FLAGS.noSuid });
  assert.deepEqual(mounted().map(({ fsType, source, superOptions }) => [fsType, source, superOptions.includes('size=64k')]), [['tmpfs', 'some source', true]]);
  b.kernel.mounts.unmount(target);
  assert.deepEqual(mounted(), []);
  assert.throws(() => b.kernel.mounts.unmount(target), coded('EINVAL', 'unmount', target));
});

contract('a mount with another one in it is busy, but can be taken away lazily', (b) => {
  const target = join(b.folder, 'outer');
  mkdirSync(target);
  b.kernel.mounts.mount({ source: 'none', target, fsType: 'tmpfs' });
  b.kernel.files.ensureDirectory(join(target, 'inner'));
  b.kernel.mounts.mount({ source: 'none', target: join(target, 'inner'), fsType: 'tmpfs' });
  assert.throws(() => b.kernel.mounts.unmount(target), coded('EBUSY', target));
  b.kernel.mounts.unmount(target, { lazy: true });
  assert.deepEqual(b.kernel.mounts.list().filter((mount) => mount.target.startsWith(target)), []);
});

contract('extended attributes are read back, an absent one is undefined', (b) => {
  const path = join(b.folder, 'file');
  writeFileSync(path, '');
  assert.equal(b.kernel.files.getXattr(path, 'user.one'), undefined);
  b.kernel.files.setXattr(path, 'user.one', new Uint8Array([0, 1, 255]));
  b.kernel.files.setXattr(path, 'user.two', new Uint8Array(0));
  assert.deepEqual([...b.kernel.files.getXattr(path, 'user.one') ?? []], [0, 1, 255]);
  assert.deepEqual(b.kernel.files.getXattr(path, 'user.two'), new Uint8Array(0));
  assert.deepEqual(b.kernel.files.listXattr(path).toSorted(), ['user.one', 'user.two']);
});

contract('an existing node is not made again', (b) => {
  const path = join(b.folder, 'whiteout');
  b.kernel.files.mknod(path, constants.S_IFCHR, { major: 0, minor: 0 });
  assert.throws(() => b.kernel.files.mknod(path, constants.S_IFCHR, { major: 0, minor: 0 }), coded('EEXIST', 'mknod', path));
});

contract('a lock is held by one fd until that is closed', (b) => {
  const path = join(b.folder, 'lock');
  writeFileSync(path, '');
  const first = openSync(path, 'r'), second = openSync(path, 'r');
  assert.equal(b.kernel.files.tryLock(first), true);
  assert.equal(b.kernel.files.tryLock(second), false);
  closeSync(first);
  assert.equal(b.kernel.files.tryLock(second), true);
  closeSync(second);
});

contract('a process that is not there has no start time and takes no signal; whole groups are never meant', (b) => {
  const nobody = 2 ** 22 + 1; // above the highest pid that Linux gives
  assert.equal(b.kernel.processes.startTicks(nobody), undefined);
  assert.equal(b.kernel.processes.signal(nobody, 0), false);
  for (const pid of [0, -1, 1.5]) assert.throws(() => b.kernel.processes.signal(pid, 0), coded('EINVAL', 'kill'));
});

contract('nobody listening is an error that names the socket', (b) => {
  const path = join(b.folder, 'socket');
  writeFileSync(path, '');
  assert.throws(() => b.kernel.processes.connectSeqpacket(path), coded('ECONNREFUSED', 'connect', path));
});

contract('reading below a root finds nothing where there is nothing', (b) => {
  assert.equal(b.kernel.files.readInRoot(b.folder, 'etc/passwd', 100), undefined);
  assert.equal(b.kernel.files.readInRoot(b.folder, '/etc/passwd', 100), undefined);
});

linux('no symlink leads out of a root', (b) => {
  const root = join(b.folder, 'root');
  mkdirSync(join(root, 'etc'), { recursive: true });
  writeFileSync(join(b.folder, 'secret'), 'outside');
  writeFileSync(join(root, 'secret'), 'inside');
  symlinkSync(join(b.folder, 'secret'), join(root, 'etc/absolute'));
  symlinkSync('../../../../secret', join(root, 'etc/relative'));
  symlinkSync('/etc', join(root, 'linked'));
  const read = (path: string, limit = 100) => {
    const bytes = b.kernel.files.readInRoot(root, path, limit);
    return bytes && Buffer.from(bytes).toString();
  };
  assert.equal(read('etc/absolute'), undefined);
  assert.equal(read('/etc/relative'), 'inside');
  assert.equal(read('../secret'), 'inside');
  assert.equal(read('linked/relative'), 'inside');
  assert.throws(() => read('secret', 5), coded('EFBIG', 'secret'));
  assert.equal(read('secret', 6), 'inside');
  assert.throws(() => read('etc'), coded('EINVAL', 'etc'));
  b.kernel.files.mknod(join(root, 'pipe'), constants.S_IFIFO | 0o600, { major: 0, minor: 0 });
  assert.throws(() => read('pipe'), coded('EINVAL', 'pipe'));
});

linux('a directory is ensured with its parents; what is there already stays as it is', (b) => {
  b.kernel.files.ensureDirectory(join(b.folder, 'a/b'));
  b.kernel.files.ensureDirectory(join(b.folder, 'a/b'));
  assert.equal(statSync(join(b.folder, 'a/b')).isDirectory(), true);
  writeFileSync(join(b.folder, 'file'), '');
  b.kernel.files.ensureDirectory(join(b.folder, 'file'));
  assert.equal(statSync(join(b.folder, 'file')).isFile(), true);
  assert.throws(() => b.kernel.files.ensureDirectory(join(b.folder, 'file/below')), coded('ENOTDIR', 'file/below'));
});

linux('times are exact to the nanosecond, also before 1970, and of the link itself', (b) => {
  const link = join(b.folder, 'link');
  writeFileSync(join(b.folder, 'file'), '');
  symlinkSync('file', link);
  const before = statSync(link, { bigint: true }).mtimeNs;
  for (const mtimeNs of [1_700_000_000_123_456_789n, -1n, 0n]) {
    b.kernel.files.setTimes(link, { atimeNs: 5n, mtimeNs });
    assert.equal(lstatSync(link, { bigint: true }).mtimeNs, mtimeNs);
  }
  assert.equal(statSync(link, { bigint: true }).mtimeNs, before);
  assert.throws(() => b.kernel.files.setTimes(join(b.folder, 'none'), { atimeNs: 0n, mtimeNs: 0n }), coded('ENOENT', 'utimensat', 'none'));
});

linux('device numbers beyond the old 16 bits arrive whole', (b) => {
  for (const [major, minor] of [[0, 0], [8, 17], [259, 300], [4095, 1048575]] as const) {
    const path = join(b.folder, `${major}-${minor}`);
    b.kernel.files.mknod(path, constants.S_IFBLK | 0o600, { major, minor });
    const rdev = lstatSync(path).rdev;
    assert.deepEqual([rdev >> 8 & 0xfff, (rdev & 0xff) | (rdev >> 12 & 0xfff00)], [major, minor]);
  }
});

linux('relative mount options start from cwd, and ours is the old one afterwards', (b) => {
  for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(b.folder, name));
  writeFileSync(join(b.folder, 'lower/file'), 'below');
  const mount = (cwd: string) => b.kernel.mounts.mount({ source: 'overlay', target: join(b.folder, 'merged'), fsType: 'overlay', data: 'lowerdir=lower,upperdir=upper,workdir=work', cwd });
  const here = statSync('.');
  assert.throws(() => mount(join(b.folder, 'none')), coded('ENOENT', 'chdir'));
  mount(b.folder);
  assert.equal(statSync('.').ino, here.ino);
  assert.equal(statSync(join(b.folder, 'merged/file')).size, 5);
  b.kernel.mounts.unmount(join(b.folder, 'merged'));
  assert.throws(() => b.kernel.mounts.mount({ source: 'none', target: b.folder, fsType: 'tmpfs', data: 'x'.repeat(4096) }), coded('E2BIG', b.folder));
});

linux('a written file leaves the page cache once it is on the disk, and comes back when it is read ahead', async (b) => {
  const path = join(b.folder, 'big');
  writeFileSync(path, Buffer.alloc(1 << 20, 1));
  assert.ok(b.kernel.files.cachedBytes(path) > 0);
  const fd = openSync(path, 'r+');
  b.kernel.files.writeOut(fd, 'start');
  b.kernel.files.writeOut(fd, 'wait');
  b.kernel.files.syncFs(path);
  b.kernel.files.dropCache(fd);
  closeSync(fd);
  assert.ok(b.kernel.files.cachedBytes(path) < 1 << 20);
  const again = openSync(path, 'r');
  b.kernel.files.readAhead(again);
  await until('the file to be read ahead', () => b.kernel.files.cachedBytes(again) === 1 << 20);
  closeSync(again);
  assert.throws(() => b.kernel.files.readAhead(again), coded('EBADF'));
  assert.throws(() => b.kernel.files.writeOut(fd, 'start'), coded('EBADF'));
  assert.throws(() => b.kernel.files.dropCache(fd), coded('EBADF'));
});

linux('we are alive, have the capabilities to mount, and know our control groups', ({ kernel }) => {
  const own = kernel.processes.startTicks(process.pid);
  assert.ok(own !== undefined && own > 0n);
  assert.equal(kernel.processes.signal(process.pid, 0), true);
  assert.ok(kernel.processes.boundingCapabilities().includes('CAP_SYS_ADMIN'));
  assert.match(kernel.cgroups.layout().mode, /^(v1|v2|hybrid|none)$/);
  kernel.processes.trimMemory();
  assert.throws(() => kernel.processes.closeOnExec(1_000_000), coded('EBADF', 'fcntl'));
  assert.throws(() => kernel.processes.duplicate(1_000_000), coded('EBADF', 'fcntl'));
});

linux('a stream socket is refused however long its path is', async (b) => {
  const folder = join(b.folder, 'd'.repeat(120));
  mkdirSync(folder);
  const server = createServer();
  const fd = openSync(folder, 'r');
  await new Promise<void>((resolve) => server.listen(`/proc/self/fd/${fd}/s`, resolve));
  // EPROTOTYPE and not ENOENT: it was found, and is of the other type.
  assert.throws(() => b.kernel.processes.connectSeqpacket(join(folder, 's')), coded('EPROTOTYPE', folder));
  await new Promise<void>((resolve) => server.close(() => resolve()));
  closeSync(fd);
});

linux('a datagram arrives whole on any kind of address, and as a file where it is too long', async (b) => {
  const folder = join(b.folder, 'd'.repeat(120));
  mkdirSync(folder);
  for (const path of [join(b.folder, 's'), join(folder, 's'), `@vaquita-test-${process.pid}`]) {
    await using receiver = await receiveDatagrams(path);
    const long = Buffer.alloc(1 << 20, 7);
    b.kernel.sockets.sendDatagram(path, Buffer.from('READY=1'));
    b.kernel.sockets.sendDatagram(path, Buffer.alloc(0));
    assert.throws(() => b.kernel.sockets.sendDatagram(path, long), coded('EMSGSIZE', path));
    b.kernel.sockets.sendFile(path, long);
    await until('three messages', () => receiver.messages.length === 3);
    assert.deepEqual(receiver.messages.map(({ bytes, asFile, senderPid }) => [bytes.length, asFile, senderPid]), [[7, false, process.pid], [0, false, process.pid], [1 << 20, true, process.pid]]);
    assert.deepEqual(receiver.messages[2]?.bytes, long);
  }
  assert.throws(() => b.kernel.sockets.sendDatagram(join(b.folder, 'none'), Buffer.from('x')), coded('ENOENT', 'none'));
  assert.throws(() => b.kernel.sockets.sendFile(join(b.folder, 'none'), Buffer.from('x')), coded('ENOENT', 'none'));
});

linux('a program is run for what it says, and ends when nobody listens', async ({ kernel }) => {
  const sh = kernel.programs.find('sh');
  assert.ok(sh);
  assert.equal(kernel.programs.find('no-such-program'), undefined);
  const said = async (script: string) => { let text = ''; for await (const part of kernel.programs.output([sh, '-c', script])) text += Buffer.from(part).toString(); return text; };
  assert.equal(await said('cat; echo a; echo b'), 'a\nb\n');
  await assert.rejects(said('echo oh dear >&2; exit 3'), /sh: oh dear/);
  await assert.rejects(said('exit 3'), /exit code 3/);
  for await (const part of kernel.programs.output([sh, '-c', 'echo $$; exec sleep 1000'])) {
    assert.match(Buffer.from(part).toString(), /^\d+\n$/);
    break;
  }
  const abort = new AbortController();
  for await (const part of kernel.programs.output([sh, '-c', 'echo up; exec sleep 1000'], { signal: abort.signal })) {
    assert.equal(Buffer.from(part).toString(), 'up\n');
    abort.abort();
  }
});

test('the call that is told to fails, and is recorded', () => {
  const kernel = openFake({ failAt: 2, failCode: 'ENOSPC' });
  kernel.mounts.mount({ source: 'overlay', target: '/a', fsType: 'overlay' });
  assert.throws(() => kernel.files.syncFs('/a'), coded('ENOSPC', 'syncfs', '/a'));
  kernel.files.syncFs('/a');
  assert.deepEqual(kernel.calls, ['mount overlay on /a', 'syncfs /a', 'syncfs /a']);
});
