import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { tarBytes, type TarItem } from '../archive/tar-write.ts';
import { kernel, openExtractKit } from '../../test/kit/extract.ts';
import { openTempRoot } from '../../test/kit/temp.ts';
import { kindOf } from '../lib/errors.ts';
import { layerTar } from './tarsplit.ts';

type Item = TarItem & { content?: string | Uint8Array };

const temp = openTempRoot();
const root = temp.path;
const kit = openExtractKit(root);
after(async () => { await kit[Symbol.asyncDispose](); await temp[Symbol.asyncDispose](); });

// What a hostile archive would love to touch: it stands outside, where its names and links point.
const canary = join(root, 'canary');
before(() => { mkdirSync(canary); writeFileSync(join(canary, 'secret'), 'untouched', { mode: 0o600 }); });
const canaryState = () => {
  const { mode, uid, gid, nlink, mtimeMs, ctimeMs } = lstatSync(join(canary, 'secret'));
  return JSON.stringify([readFileSync(join(canary, 'secret'), 'utf8'), readdirSync(canary), readdirSync('/'), mode, uid, gid, nlink, mtimeMs, ctimeMs]);
};

const file = (name: string, content: string | Uint8Array, more?: Partial<Item>): Item => ({ name, type: 'file', mode: 0o644, content, ...more });
const dir = (name: string, more?: Partial<Item>): Item => ({ name, type: 'dir', mode: 0o755, ...more });
const symlink = (name: string, linkName: string): Item => ({ name, type: 'symlink', mode: 0o777, linkName });
const hardlink = (name: string, linkName: string): Item => ({ name, type: 'hardlink', mode: 0o644, linkName });
const sha256 = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const corrupted = (pattern: RegExp) => (error: unknown) => { assert.equal(kindOf(error), 'corrupt', String(error)); assert.match(String(error), pattern); return true; };

function rebuilt(at: { tarSplitPath: string; into: string }): Buffer {
  const pieces: Buffer[] = [];
  for (const piece of layerTar(at.tarSplitPath, at.into)) pieces.push(Buffer.from(piece)); // its memory is used again
  return Buffer.concat(pieces);
}

test('archives that lead out are refused, and nothing outside is touched', async () => {
  const before = canaryState();
  const cases: Array<[string, Item[], RegExp]> = [
    ['dots', [file('../../canary/secret', 'x')], /leads out of the layer/],
    ['dots behind a name', [dir('a'), file('a/../../canary/secret', 'x')], /leads out/],
    ['absolute dots', [file('/../canary/secret', 'x')], /leads out/],
    ['whiteout with dots', [file('../.wh.canary', '')], /leads out/],
    ['whiteout of the parent', [dir('a'), file('a/.wh...', '')], /whiteout of nothing/],
    ['whiteout of nothing', [file('.wh.', '')], /whiteout of nothing/],
    ['hard link with dots', [hardlink('a', '../../canary/secret')], /leads out/],
    ['hard link to an absolute path', [hardlink('a', join(canary, 'secret'))], /which this layer does not have/],
    ['hard link out via a symlink', [symlink('l', canary), hardlink('a', 'l/secret')], /does not have|cannot be made/],
    ['hard link to the root', [hardlink('a', '/')], /root of the layer/],
    ['hard link to a directory', [dir('d'), hardlink('a', 'd')], /which is a directory/],
    ['hard link to itself', [hardlink('a', './a')], /itself/],
    ['file as the root', [file('./', 'x')], /directory with content/],
    ['symlink as the root', [symlink('./', canary)], /root of a layer/],
    ['parent is a file', [file('a', ''), file('a/b', 'x')], /a\/b: cannot be made.*ENOTDIR/],
    ['parent is a symlink to nowhere', [symlink('l', `${canary}/x`), file('l/secret', 'x')], /cannot be made/],
    ['parents in a circle', [symlink('l', 'm'), symlink('m', 'l'), file('l/x', 'x')], /cannot be made.*ELOOP/],
    ['a file twice', [file('a', 'x'), file('./a', 'y')], /duplicates of file paths not supported/],
    ['a directory twice', [dir('a/'), dir('a')], /duplicates of file paths not supported/],
    ['a component too long', [file('n'.repeat(256), 'x')], /ENAMETOOLONG/],
    ['unknown type', [file('fine', 'x'), file('odd', 'x')], /unknown type/],
  ];
  for (const [name, items, pattern] of cases) {
    const bytes = tarBytes(items);
    if (name === 'unknown type') {
      const at = bytes.indexOf('odd');
      bytes.write('Z', at + 156, 'latin1');
      bytes.fill(0x20, at + 148, at + 156);
      bytes.write(`${bytes.subarray(at, at + 512).reduce((a, b) => a + b, 0).toString(8).padStart(6, '0')}\0`, at + 148, 'latin1');
    }
    await assert.rejects(kit.extract(bytes), corrupted(pattern), name);
    assert.equal(canaryState(), before, name);
  }
  const { into } = await kit.extract(tarBytes([file('still', 'works')]));
  assert.equal(readFileSync(join(into, 'still'), 'utf8'), 'works', 'the worker outlives what it refuses');
});

test('symlinks and absolute names stay inside', async () => {
  const before = canaryState();
  const { into } = await kit.extract(tarBytes([
    symlink('out', `${canary}`), dir(canary.slice(1)), file('out/secret', 'inside'),
    symlink('up', '../../../../../../../..'), file('up/top', 'at the root'),
    file('/etc/passwd', 'absolute'), hardlink('link', '/etc/passwd'),
  ]));
  assert.equal(canaryState(), before);
  assert.equal(readFileSync(join(into, canary, 'secret'), 'utf8'), 'inside');
  assert.equal(readFileSync(join(into, 'top'), 'utf8'), 'at the root');
  assert.equal(readFileSync(join(into, 'link'), 'utf8'), 'absolute');
  assert.equal(readlinkSync(join(into, 'up')), '../../../../../../../..');
});

test('a symlink in place of the staging directory is not followed', async () => {
  const at = join(root, 'planted');
  symlinkSync(canary, at);
  const before = canaryState();
  await assert.rejects(kit.extract(tarBytes([file('x', 'y')]), { into: at }));
  assert.equal(canaryState(), before);
});

test('whiteouts become what overlay reads', async () => {
  const bytes = tarBytes([
    dir('d'), file('d/.wh..wh..opq', ''), file('d/kept', 'x'), file('.wh.gone', ''), file('deep/er/.wh.gone', '', { uid: 7, gid: 8 }), file('new/.wh..wh..opq', ''),
    file('.wh..wh.plnk/1.2', 'aufs'), file('here', 'x'), file('.wh.here', ''), dir('dir'), file('.wh.dir', ''), file('.wh.again', 'with content'), dir('again'),
  ]);
  const done = await kit.extract(bytes);
  const opaque = (name: string) => Buffer.from(kernel.files.getXattr(join(done.into, name), 'trusted.overlay.opaque') ?? []).toString();
  const gone = lstatSync(join(done.into, 'gone'));
  assert.ok(gone.isCharacterDevice() && gone.rdev === 0);
  assert.deepEqual([lstatSync(join(done.into, 'deep/er/gone')).uid, lstatSync(join(done.into, 'deep/er')).mode & 0o777], [7, 0o755]);
  assert.deepEqual(['d', 'new', 'dir', 'again', 'deep'].map(opaque), ['y', 'y', 'y', 'y', '']);
  assert.deepEqual(readdirSync(done.into).toSorted(), ['again', 'd', 'deep', 'dir', 'gone', 'here', 'new']);
  assert.equal(readFileSync(join(done.into, 'here'), 'utf8'), 'x', 'a whiteout speaks of the layers below');
  assert.equal(done.sizeBytes, 2);
  assert.ok(rebuilt(done).equals(bytes));
});

test('what another name leads to is replaced', async () => {
  const done = await kit.extract(tarBytes([
    dir('usr'), symlink('lib', 'usr'), file('lib/a', 'first'), file('usr/a', 'second!'), dir('usr/d'), file('usr/d/x', 'xyz'), symlink('lib/d', 'a'), dir('lib/s'), file('implied/x', 'x'), file('implied', 'now a file'),
  ]));
  assert.equal(readFileSync(join(done.into, 'usr/a'), 'utf8'), 'second!');
  assert.equal(readlinkSync(join(done.into, 'usr/d')), 'a');
  assert.equal(readFileSync(join(done.into, 'implied'), 'utf8'), 'now a file');
  assert.equal(done.sizeBytes, 'usr'.length + 'second!'.length + 'a'.length + 'now a file'.length);
});

test('owners, modes, times, attributes and types', async () => {
  const ns = 1_234_567_890_123_456_789n;
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
  const done = await kit.extract(tarBytes([
    dir('./', { mode: 0o711, uid: 5, gid: 6, mtimeNs: ns }),
    file('suid', 'x', { mode: 0o6755, uid: 1000, gid: 4_000_000_000, mtimeNs: ns, xattrs: new Map<string, Uint8Array>([['security.capability', capability], ['user.empty', Buffer.alloc(0)], ['trusted.overlay.redirect', Buffer.from('/etc')]]) }),
    dir('sgid', { mode: 0o2770, gid: 50, mtimeNs: ns }), file('sgid/plain', 'x', { mtimeNs: ns }), file('sgid/none', '', { mode: 0 }),
    { name: 'null', type: 'char', mode: 0o666, devMajor: 1, devMinor: 3 }, { name: 'disk', type: 'block', mode: 0o660, devMajor: 259, devMinor: 300 },
    { name: 'pipe', type: 'fifo', mode: 0o622, mtimeNs: ns }, { ...symlink('link', 'suid'), uid: 9, gid: 9, mtimeNs: ns },
    { ...hardlink('hard', 'suid'), mode: 0o6755, uid: 1000, gid: 4_000_000_000, mtimeNs: ns },
    file('tmp/implied', 'x'), dir('ro', { mode: 0o555 }), file('ro/in', 'x'),
  ]));
  const stat = (name: string) => { const s = lstatSync(join(done.into, name), { bigint: true }); return [Number(s.mode & 0o7777n), Number(s.uid), Number(s.gid), s.mtimeNs]; };
  assert.deepEqual(stat('.'), [0o711, 5, 6, ns]);
  assert.deepEqual(stat('suid'), [0o6755, 1000, 4_000_000_000, ns]);
  assert.deepEqual(stat('sgid'), [0o2770, 0, 50, ns]);
  assert.deepEqual(stat('sgid/plain'), [0o644, 0, 0, ns], 'the group of the directory is not inherited');
  assert.deepEqual(stat('link').slice(1), [9, 9, ns]);
  assert.deepEqual(stat('pipe'), [0o622, 0, 0, ns]);
  assert.deepEqual([stat('tmp')[0], stat('ro')[0], stat('sgid/none')[0]], [0o755, 0o555, 0]);
  assert.equal(lstatSync(join(done.into, 'hard')).ino, lstatSync(join(done.into, 'suid')).ino);
  assert.deepEqual([lstatSync(join(done.into, 'null')).rdev, lstatSync(join(done.into, 'null')).isCharacterDevice()], [0x103, true]);
  assert.ok(lstatSync(join(done.into, 'disk')).isBlockDevice() && lstatSync(join(done.into, 'pipe')).isFIFO());
  assert.equal(Buffer.from(kernel.files.getXattr(join(done.into, 'suid'), 'security.capability') ?? []).toString('hex'), capability.toString('hex'));
  assert.deepEqual(kernel.files.listXattr(join(done.into, 'suid')).toSorted(), ['security.capability', 'user.empty']);
});

test('a generated tree comes out as GNU tar makes it', async () => {
  const tree = join(root, 'tree'), theirs = join(root, 'theirs');
  mkdirSync(theirs);
  makeTree(tree);
  for (const format of ['gnu', 'posix', 'ustar']) {
    const excluded = format === 'ustar' ? ['--exclude=long*', '--exclude=caf*'] : [];
    const xattrs = format === 'posix' ? ['--xattrs', '--xattrs-include=*'] : [];
    const archive = execFileSync('tar', ['-C', tree, `--format=${format}`, '--numeric-owner', ...xattrs, ...excluded, '-cf', '-', '.'], { maxBuffer: 64 << 20 });
    const expected = join(theirs, format);
    mkdirSync(expected);
    execFileSync('tar', ['-C', expected, '-xpf', '-', '--numeric-owner', '--delay-directory-restore', ...xattrs], { input: archive });
    const done = await kit.extract(gzipSync(archive), { compression: 'gzip' });
    assert.equal(listing(done.into), listing(expected), format);
    assert.equal(done.diffId, sha256(archive));
    assert.equal(done.tarBytes, archive.length);
    assert.ok(rebuilt(done).equals(archive), format);
  }
});

test('every packing gives the same layer, and its exact tar again', async () => {
  const big = Buffer.alloc(11 << 20, 'content that goes on over more than one write-out step ');
  const archive = Buffer.concat([tarBytes([file('big', big), file('raw\xff\xfename', 'not UTF-8'), dir('dir\xff'), { name: 'dir\xff/fifo\xfe', type: 'fifo', mode: 0o600 }, file('caf\xc3\xa9', 'UTF-8'), file('quote"back\\slash\n', 'x'), file('empty', '')]), Buffer.alloc(9000), Buffer.from('trailing garbage')]);
  const half = archive.length >> 1;
  for (const [compression, packed] of [['none', archive], ['gzip', gzipSync(archive)], ['zstd', zstdCompressSync(archive)], ['gzip', Buffer.concat([gzipSync(archive.subarray(0, half)), gzipSync(archive.subarray(half))])], ['none', gzipSync(archive)]] as const) {
    const seen: number[] = [];
    const done = await kit.extract(packed, { compression, onProgress: (consumed) => { seen.push(consumed); } });
    assert.equal(done.diffId, sha256(archive), compression);
    assert.deepEqual([done.tarBytes, done.entries, done.sizeBytes], [archive.length, 7, big.length + 9 + 5 + 1]);
    assert.ok(seen.every((n, i) => n > (seen[i - 1] ?? 0) && n <= packed.length), `progress ${String(seen)}`);
    for (const name of ['big', 'empty']) assert.equal(kernel.files.cachedBytes(join(done.into, name)), 0, `${name} is out of the page cache`);
    assert.equal(kernel.files.cachedBytes(done.tarSplitPath), 0);
    assert.ok(rebuilt(done).equals(archive), compression);
  }
});

test('bytes that end early are corrupt and leave the worker ready', async () => {
  const archive = tarBytes([file('first', 'x'.repeat(5000)), file('second', 'y'.repeat(300_000))]);
  const gz = gzipSync(archive, { level: 0 });
  await assert.rejects(kit.extract(archive.subarray(0, 100_000)), corrupted(/second is cut short/));
  await assert.rejects(kit.extract(gz.subarray(0, 100_000)), corrupted(/unexpected end of file/));
  await assert.rejects(kit.extract(Buffer.concat([gz, Buffer.from('garbage garbage')])), corrupted(/gzip stream/));
  assert.equal((await kit.extract(gz)).diffId, sha256(archive));
  assert.deepEqual((await kit.extract(Buffer.alloc(0))).entries, 0);
});

test('three hundred directories deep', async () => {
  const deep = 'd/'.repeat(300);
  const archive = tarBytes([file(`${deep}file`, 'down here')]);
  const done = await kit.extract(archive);
  assert.equal(readFileSync(join(done.into, deep, 'file'), 'utf8'), 'down here');
  assert.ok(rebuilt(done).equals(archive));
  await assert.rejects(kit.extract(tarBytes([file(`${'d/'.repeat(2046)}file`, 'x')])), corrupted(/cannot be made.*ENAMETOOLONG/));
});

test('sparse files keep their holes and their exact tar', async () => {
  const from = join(root, 'sparse');
  mkdirSync(from);
  execFileSync('sh', ['-c', 'truncate -s 3M holes && printf middle | dd of=holes bs=1 seek=1000000 conv=notrunc && printf end | dd of=holes bs=1 seek=3145000 conv=notrunc'], { cwd: from, stdio: 'ignore' });
  for (const options of [['--format=gnu'], ['--format=posix', '--sparse-version=0.1'], ['--format=posix']]) {
    const archive = execFileSync('tar', ['-C', from, '--sparse', ...options, '-cf', '-', 'holes'], { maxBuffer: 16 << 20 });
    const done = await kit.extract(archive);
    assert.ok(readFileSync(join(done.into, 'holes')).equals(readFileSync(join(from, 'holes'))), options.join(' '));
    assert.ok(lstatSync(join(done.into, 'holes')).blocks < 1000);
    assert.equal(done.sizeBytes, 3 << 20);
    assert.ok(rebuilt(done).equals(archive), options.join(' '));
  }
});

test('a full disk is the system\'s fault and names the entry', async () => {
  const small = join(root, 'small');
  mkdirSync(small);
  kernel.mounts.mount({ source: 'tmpfs', target: small, fsType: 'tmpfs', data: 'size=1m' });
  try {
    mkdirSync(join(small, 'diff'));
    const source = tarBytes([file('fits', 'x'), file('too/large', Buffer.alloc(2 << 20))]);
    await assert.rejects(kit.extract(source, { into: join(small, 'diff'), tarSplitPath: join(small, 'tar-split.json.gz') }), (error: unknown) => {
      assert.equal(kindOf(error), 'system');
      assert.match(String(error), /too\/large.*ENOSPC/);
      return true;
    });
    assert.ok(existsSync(join(small, 'diff/fits')));
  } finally { kernel.mounts.unmount(small); }
});

test('any changed archive is extracted or refused, and the canary lives', async () => {
  const before = canaryState();
  const good = tarBytes([dir('a'), symlink('a/l', '..'), file('a/l/b', 'x'), hardlink('h', 'a/l/b'), file('.wh.w', ''), file('n'.repeat(150), 'long', { mtimeNs: 5n })]);
  const first = Number(process.env['FUZZ_SEED'] ?? 1), runs = process.env['FUZZ_SEED'] ? 1 : 60;
  for (let seed = first; seed < first + runs; seed++) {
    let state = seed * 2654435761 >>> 0 || 1;
    const next = () => { state ^= state << 13; state ^= state >>> 17; state ^= state << 5; return state >>>= 0; };
    const archive = Buffer.from(good);
    for (let changes = 1 + next() % 5; changes > 0; changes--) archive[next() % archive.length] = '/.l\0x13'.charCodeAt(next() % 7);
    for (let at = 0; at + 512 <= archive.length; at += 512) if (archive[at + 257] === 0x75) resum(archive, at);
    await kit.extract(archive).catch((cause: unknown) => { if (kindOf(cause) !== 'corrupt') throw new Error(`FUZZ_SEED=${seed}`, { cause }); });
    assert.equal(canaryState(), before, `FUZZ_SEED=${seed}`);
  }
});

function resum(block: Buffer, at: number): void {
  block.fill(0x20, at + 148, at + 156);
  block.write(`${block.subarray(at, at + 512).reduce((a, b) => a + b, 0).toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
}

function makeTree(tree: string): void {
  const script = `
    mkdir -p sub/empty sub/.hidden && echo text > sub/text && ln sub/text sub/hard && ln -s ../sub sub/loop && ln -s /absolute/nowhere dangling
    printf '%0300000d' 7 > big && : > empty && chmod 4711 big && chmod 1777 sub/empty && chmod 2755 sub/.hidden && echo in > sub/.hidden/in
    mkfifo pipe && chown 1234:5678 big pipe && chown -h 42:43 dangling
    mknod null c 1 3 && mknod loop b 7 1
    printf x > "$(printf 'caf\\303\\251')" && printf y > "$(printf 'caf\\377latin1')" && mkdir "$(printf 'cafdir\\377')" && printf z > "$(printf 'cafdir\\377/caf\\376')"
    mkdir -p long/$(printf '%0120d' 1)/$(printf '%0120d' 2) && echo deep > long/$(printf '%0120d' 1)/$(printf '%0120d' 2)/$(printf '%0120d' 3)
    touch -d '2001-02-03 04:05:06.123456789' big sub/text sub && touch -h -d '1999-01-01 00:00:00.5' dangling
    for i in $(seq 1 60); do echo $i > sub/file$i; done`;
  mkdirSync(tree);
  execFileSync('sh', ['-ec', script], { cwd: tree });
  kernel.files.setXattr(join(tree, 'big'), 'user.note', Buffer.from('caf\u00e9'));
  kernel.files.setXattr(join(tree, 'sub'), 'user.dir', Buffer.from([0, 1, 255]));
  kernel.files.setXattr(join(tree, 'sub/text'), 'security.capability', Buffer.from('0100000200200000000000000000000000000000', 'hex'));
}

/** Everything that can be told of a tree, one sorted line each. */
function listing(of: string): string {
  const run = (program: string, ...words: string[]) => execFileSync(program, words, { cwd: of, encoding: 'latin1', maxBuffer: 16 << 20 }).split('\n');
  const lines = [
    ...run('find', '.', '-printf', '%P|%y|%m|%U:%G|%n|%T@|%l\\n'),
    ...run('find', '.', '-type', 'f', '-exec', 'sha256sum', '{}', '+'),
    ...run('stat', '-c', '%n %t:%T', 'null', 'loop'),
    ...['.', 'big', 'sub', 'sub/text', 'pipe'].flatMap((name) => kernel.files.listXattr(join(of, name)).map((key) => `${name} ${key} ${Buffer.from(kernel.files.getXattr(join(of, name), key) ?? []).toString('hex')}`)),
  ];
  return lines.toSorted().join('\n');
}
