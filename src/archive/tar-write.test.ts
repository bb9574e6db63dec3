// What we write, GNU tar and our own reader read: every kind of entry, every field at its limits, and any names at all.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { TarReader, type TarEntry } from './tar-read.ts';
import { tarBytes, tarHeader, TAR_END, tarPadding, type TarItem } from './tar-write.ts';

type Item = TarItem & { content?: string | Uint8Array };
type Read = Pick<TarEntry, 'name' | 'type' | 'mode' | 'uid' | 'gid' | 'sizeBytes' | 'mtimeNs' | 'linkName'> & { content: string; xattrs: Record<string, string> };

function read(tar: Buffer): Read[] {
  const found: Read[] = [];
  let content: Buffer[] = [];
  const reader = new TarReader({
    raw() {}, hole() {},
    entry({ name, type, mode, uid, gid, sizeBytes, mtimeNs, linkName, xattrs }) {
      content = [];
      found.push({ name, type, mode, uid, gid, sizeBytes, mtimeNs, linkName, content: '', xattrs: Object.fromEntries([...xattrs ?? []].map(([key, value]) => [key, Buffer.from(value).toString('hex')])) });
    },
    data(bytes, start, end) { content.push(Buffer.from(bytes.subarray(start, end))); },
    entryEnd() { const last = found.at(-1); if (last) last.content = Buffer.concat(content).toString('latin1'); },
  });
  reader.write(tar);
  reader.finish();
  return found;
}

const listedByGnu = (tar: Buffer) => execFileSync('tar', ['--numeric-owner', '--full-time', '--quoting-style=literal', '-tvf', '-'], { input: tar, encoding: 'latin1', env: { LC_ALL: 'C', TZ: 'UTC', PATH: process.env['PATH'] } });

test('every kind of entry is read by GNU tar and by us as it was written', () => {
  const items: Item[] = [
    { name: 'd/', type: 'dir', mode: 0o41755, uid: 1000, gid: 1001, mtimeNs: 1_600_000_000_000_000_000n },
    { name: 'd/file', type: 'file', mode: 0o104755, content: 'content' },
    { name: 'd/hard', type: 'hardlink', linkName: 'd/file', mode: 0o644 },
    { name: 'd/link', type: 'symlink', linkName: 'file', mode: 0o777 },
    { name: 'd/null', type: 'char', mode: 0o666, devMajor: 1, devMinor: 3 },
    { name: 'd/disk', type: 'block', mode: 0o660, devMajor: 8, devMinor: 1 },
    { name: 'd/pipe', type: 'fifo', mode: 0o600 },
  ];
  const tar = tarBytes(items);
  assert.deepEqual(listedByGnu(tar).trimEnd().split('\n').map((line) => line.replace(/ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d/, '').replace(/ +/g, ' ')), [
    'drwxr-xr-t 1000/1001 0 d/', '-rwsr-xr-x 0/0 7 d/file', 'hrw-r--r-- 0/0 0 d/hard link to d/file', 'lrwxrwxrwx 0/0 0 d/link -> file',
    'crw-rw-rw- 0/0 1,3 d/null', 'brw-rw---- 0/0 8,1 d/disk', 'prw------- 0/0 0 d/pipe',
  ]);
  assert.deepEqual(read(tar).map(({ name, type, mode }) => [name, type, mode]), items.map(({ name, type, mode }) => [name, type, mode & 0o7777]));
});

test('what a header block cannot say stands in front of it: long names, large numbers, fractions, attributes', () => {
  const long = `${'directory/'.repeat(30)}${'x'.repeat(120)}`;
  const items: Item[] = [
    { name: long, type: 'symlink', linkName: `${long}/target`, mode: 0o777 },
    { name: 'größe ☃', type: 'file', mode: 0o644, uid: 3_000_000_000, gid: 2_097_152, mtimeNs: -1_500_000_000n, xattrs: new Map([['security.capability', Buffer.from('0100000200', 'hex')]]), content: '' },
    { name: `${'p'.repeat(150)}/${'n'.repeat(99)}`, type: 'file', mode: 0o644, mtimeNs: 1_234_567_891n, content: 'x' },
  ].map((item) => ({ ...item, name: Buffer.from(item.name, 'utf8').toString('latin1') }) as Item);
  const tar = tarBytes(items);
  const [link, file, prefixed] = read(tar);
  assert.deepEqual([link?.name, link?.linkName], [long, `${long}/target`]);
  assert.deepEqual([file?.name, file?.uid, file?.gid, file?.mtimeNs, file?.xattrs], [items[1]?.name, 3_000_000_000, 2_097_152, -1_500_000_000n, { 'security.capability': '0100000200' }]);
  assert.deepEqual([prefixed?.name, prefixed?.mtimeNs], [items[2]?.name, 1_234_567_891n]);
  assert.ok(listedByGnu(tar).includes(items[1]?.name ?? '?'));
});

test('files beyond 8 GiB keep their size', () => {
  const sizeBytes = 9 * 2 ** 30;
  const header = tarHeader({ name: 'big', type: 'file', mode: 0o644, sizeBytes });
  let seen = 0;
  const reader = new TarReader({ raw() {}, data() {}, hole() {}, entryEnd() {}, entry(entry) { seen = entry.sizeBytes; } });
  reader.write(header);
  assert.equal(seen, sizeBytes);
  assert.equal(tarPadding(sizeBytes).length, 0);
});

test('any names and contents survive the round trip, ours and that of GNU tar', () => {
  const first = Number(process.env['FUZZ_SEED'] ?? 1), runs = process.env['FUZZ_SEED'] === undefined ? 150 : 1;
  for (let seed = first; seed < first + runs; seed++) {
    let state = seed;
    const random = (below: number) => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return Math.floor((state / 2 ** 32) * below); };
    const name = () => Array.from({ length: 1 + random(300) }, () => String.fromCharCode(random(8) === 0 ? 1 + random(255) : 97 + random(26))).join('').replace(/\/+/g, 'a');
    const items: Item[] = Array.from({ length: 1 + random(6) }, (_none, n) => {
      const common = { name: `${n}${random(2) ? `${name()}/` : ''}${name()}`, mode: random(0o10000), uid: random(2) ? random(0xffff_fffe) : random(1000), gid: random(3000), mtimeNs: BigInt(random(2 ** 31)) * BigInt(random(2) ? 1_000_000_000 : 1_234_567) };
      return random(3) === 0 ? { ...common, type: 'symlink' as const, linkName: name() } : { ...common, type: 'file' as const, content: Buffer.from(name().repeat(random(20)), 'latin1') };
    });
    const tar = tarBytes(items);
    try {
      assert.equal(tar.length % 512, 0);
      assert.deepEqual(read(tar).map((entry) => [entry.name, entry.type, entry.mode, entry.uid, entry.gid, entry.mtimeNs, entry.linkName, entry.content]),
        items.map((item) => [item.name, item.type, item.mode, item.uid, item.gid, item.mtimeNs, item.linkName ?? '', Buffer.from(item.content ?? '').toString('latin1')]));
      if (seed % 10 === 0) assert.equal(execFileSync('tar', ['-tf', '-', '--quoting-style=literal', '--null'], { input: tar, encoding: 'latin1' }).split('\n').length >= items.length, true);
    } catch (cause) { throw new Error(`FUZZ_SEED=${seed}`, { cause }); }
  }
});

test('an archive without entries is two blocks of zeros', () => {
  assert.deepEqual(tarBytes([]), Buffer.alloc(1024));
  assert.equal(TAR_END.length, 1024);
});
