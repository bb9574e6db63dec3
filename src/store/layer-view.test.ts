import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { tarBytes, type TarItem } from '../archive/tar-write.ts';
import { openExtractKit } from '../../test/kit/extract.ts';
import { seeded, temporary } from '../../test/kit/store.ts';
import { kindOf } from '../lib/errors.ts';
import { digestOf, parseDiffId } from '../oci/digest.ts';
import type { LayerFiles } from './index.ts';
import { openLayerView, openViewShare } from './layer-view.ts';
import { readTarSplit } from './tarsplit.ts';

const temp = temporary();
const kit = openExtractKit(temp.path);
after(async () => { await kit[Symbol.asyncDispose](); temp[Symbol.dispose](); });

type Item = TarItem & { content?: string | Uint8Array };
const random = seeded(11);
const noise = (bytes: number) => Buffer.from(Array.from({ length: bytes }, () => Math.floor(random() * 256)));
const corrupted = (pattern: RegExp) => (error: unknown) => { assert.equal(kindOf(error), 'corrupt', String(error)); assert.match(String(error), pattern); return true; };

async function layer(tar: Buffer): Promise<LayerFiles & { tar: Buffer }> {
  const { into, tarSplitPath, diffId } = await kit.extract(tar);
  return { diffId, tarSplitPath, diffPath: into, tar };
}

/** Everything a layer can hold that is not simply a file under its name. */
const ODD: Item[] = [
  { name: './', type: 'dir', mode: 0o755 },
  { name: 'real/', type: 'dir', mode: 0o755 },
  { name: 'link', type: 'symlink', mode: 0o777, linkName: '/real/./../real' },
  { name: 'link/through', type: 'file', mode: 0o600, content: noise(3000) },
  { name: 'no utf-8 \xff\xfe/', type: 'dir', mode: 0o755 },
  { name: 'no utf-8 \xff\xfe/\xe9', type: 'file', mode: 0o644, content: noise(513) },
  { name: 'caf\xc3\xa9', type: 'file', mode: 0o644, content: noise(512) },
  { name: 'empty', type: 'file', mode: 0o644, content: '' },
  { name: 'hard', type: 'hardlink', mode: 0o644, linkName: 'caf\xc3\xa9' },
  { name: 'gone/.wh.file', type: 'file', mode: 0o644, content: '' },
  { name: 'gone/.wh..wh..opq', type: 'file', mode: 0o644, content: '' },
  { name: 'whited/.wh.out', type: 'file', mode: 0o644, content: 'a whiteout with content' },
  { name: `long/${'n'.repeat(180)}/${'m'.repeat(180)}`, type: 'file', mode: 0o644, content: noise(100) },
  { name: 'attributes', type: 'file', mode: 0o755, content: noise(2000), xattrs: new Map([['user.note', noise(40)]]) },
  { name: 'large', type: 'file', mode: 0o644, content: noise(300_000) },
  ...Array.from({ length: 400 }, (_, n): Item => ({ name: `many/${n}`, type: 'file', mode: 0o644, content: noise(n % 7 === 0 ? 0 : n) })),
  { name: 'fifo', type: 'fifo', mode: 0o644 },
];

test('any piece of a layer is what it was in its tar', async () => {
  const sparse = gnuSparse();
  const layers = [await layer(tarBytes(ODD)), await layer(Buffer.alloc(1024)), await layer(sparse), await layer(Buffer.concat([tarBytes([]), noise(70_000)]))];
  using share = openViewShare();
  const views = layers.map((files) => openLayerView(files, { share }));
  for (const [index, view] of views.entries()) assert.equal(view.sizeBytes, layers[index]?.tar.length);
  for (let round = 0; round < 1500; round++) {
    const index = round % views.length;
    const [view, tar] = [views[index], layers[index]?.tar];
    assert.ok(view && tar);
    const length = Math.min(tar.length, Math.floor(random() ** 4 * 200_000) + (round % 3));
    const position = Math.floor(random() * (tar.length - length + 1));
    const into = Buffer.alloc(length + 2, 0xaa);
    view.read(position, into, { start: 1, end: 1 + length });
    assert.ok(into.subarray(1, 1 + length).equals(tar.subarray(position, position + length)), `layer ${index}: ${length} bytes at ${position}`);
    assert.deepEqual([into[0], into[length + 1]], [0xaa, 0xaa]);
  }
  assert.ok(readdirSync('/proc/self/fd').filter((fd) => linkOf(fd).startsWith(temp.path)).length <= 24);
  for (const [position, length] of [[-1, 1], [1024, 1], [0, 1025]] as const) {
    assert.throws(() => views[1]?.read(position, Buffer.alloc(2000), { start: 0, end: length }), corrupted(/are asked of 1024/));
  }
});

const linkOf = (fd: string) => { try { return readlinkSync(`/proc/self/fd/${fd}`); } catch { return ''; } };

test('a damaged layer is told with layer and file', async () => {
  const good = await layer(tarBytes([{ name: 'a/', type: 'dir', mode: 0o755 }, { name: 'a/file', type: 'file', mode: 0o644, content: noise(5000) }]));
  const path = join(good.diffPath, 'a/file');
  const read = () => { using view = openLayerView(good); view.read(0, Buffer.alloc(view.sizeBytes), { start: 0, end: view.sizeBytes }); };
  read();
  const damages: Array<[() => void, RegExp]> = [
    [() => truncateSync(path, 4999), /a\/file has 4999 bytes and had 5000/],
    [() => rmSync(path), /a\/file is missing from its layer \(ENOENT\)/],
    [() => mkdirSync(path), /a\/file is no regular file/],
    [() => { rmSync(path, { recursive: true }); symlinkSync('/etc/passwd', path); }, /a\/file is no regular file/],
    [() => { rmSync(path); execFileSync('mknod', [path, 'c', '240', '7']); }, /a\/file is no regular file/], // ENXIO if it were opened
    [() => { rmSync(dirname(path), { recursive: true }); writeFileSync(dirname(path), ''); }, /a\/file is missing from its layer \(ENOTDIR\)/],
    [() => writeFileSync(good.tarSplitPath, gzipSync('{"type":1,"name":"x","size":-1}\n')), /tar-split.json.gz: a line is no entry/],
    [() => writeFileSync(good.tarSplitPath, 'x'), /tar-split.json.gz: gzip stream/],
    [() => renameSync(good.tarSplitPath, `${good.tarSplitPath}-away`), /ENOENT/],
  ];
  for (const [damage, words] of damages) {
    damage();
    assert.throws(read, corrupted(new RegExp(`layer ${good.diffId} is damaged: .*${words.source}`)));
  }
});

test('a file that shrinks while it is open is noticed, and no name leads out of the layer', async () => {
  const good = await layer(tarBytes([{ name: 'file', type: 'file', mode: 0o644, content: noise(5000) }]));
  using view = openLayerView(good);
  const into = Buffer.alloc(view.sizeBytes);
  view.read(512, into, { start: 0, end: 10 });
  truncateSync(join(good.diffPath, 'file'), 100);
  assert.throws(() => view.read(512, into, { start: 0, end: 1000 }), corrupted(/file became shorter/));

  const at = join(temp.path, 'hostile');
  mkdirSync(join(at, 'diff'), { recursive: true });
  writeFileSync(join(temp.path, 'secret'), 'secret');
  symlinkSync('../..', join(at, 'diff/up'));
  for (const name of ['../../secret', 'up/secret', '/up/../../secret', '..', '']) {
    writeFileSync(join(at, 'split'), gzipSync(`${JSON.stringify({ type: 1, name, size: 6, payload: '' })}\n`));
    using hostile = openLayerView({ diffId: parseDiffId(digestOf('x')), tarSplitPath: join(at, 'split'), diffPath: join(at, 'diff') });
    assert.throws(() => hostile.read(0, into, { start: 0, end: 6 }), corrupted(/missing from its layer|names no file/));
  }
});

/** A file of 1 MiB with three bytes in it, as tar -S writes it. */
function gnuSparse(): Buffer {
  const at = join(temp.path, 'sparse');
  mkdirSync(at);
  writeFileSync(join(at, 'holes'), 'end');
  truncateSync(join(at, 'holes'), 1 << 20);
  return execFileSync('tar', ['-C', at, '-cS', 'holes']);
}

test('headers of many files take little memory', async () => {
  const many = await layer(tarBytes(Array.from({ length: 3000 }, (_, n): Item => ({ name: `usr/lib/node_modules/package-${n % 90}/lib/module-${n}.js`, type: 'file', mode: 0o644, content: 'x', mtimeNs: BigInt(1e18 + n * 1e9) }))));
  const entries = [...readTarSplit(many.tarSplitPath)].length;
  assert.ok(entries >= 6000);
  const before = process.memoryUsage();
  using share = openViewShare();
  const views = Array.from({ length: 8 }, () => openLayerView(many, { share })); // 24,000 files
  globalThis.gc?.();
  const { arrayBuffers } = process.memoryUsage();
  assert.ok(arrayBuffers - before.arrayBuffers < 24_000 * 200 + (1 << 20), `${arrayBuffers - before.arrayBuffers} bytes`);
  assert.equal(views[7]?.sizeBytes, many.tar.length);
});
