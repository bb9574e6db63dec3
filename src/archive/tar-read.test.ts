import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync, openSync, writeSync, closeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { kindOf } from '../lib/errors.ts';
import { byteStringOf } from './byte-string.ts';
import { TarReader, type TarEntry } from './tar-read.ts';
import { TAR_END, tarBytes, tarHeader, tarPadding, type TarItem } from './tar-write.ts';

interface Read { entry: TarEntry; content: Buffer }

/** Reads an archive in chunks of `step` bytes; checks that raw and data together are the archive. */
function read(archive: Buffer, step = archive.length): Read[] {
  const found: Read[] = [];
  const parts: Buffer[] = [];
  const last = () => { const one = found.at(-1); assert.ok(one); return one; };
  const reader = new TarReader({
    raw: (bytes, start, end) => { parts.push(Buffer.from(bytes.subarray(start, end))); },
    entry: (entry) => { found.push({ entry, content: Buffer.alloc(0) }); },
    data: (bytes, start, end) => {
      parts.push(Buffer.from(bytes.subarray(start, end)));
      last().content = Buffer.concat([last().content, bytes.subarray(start, end)]);
    },
    hole: (bytes) => { last().content = Buffer.concat([last().content, Buffer.alloc(bytes)]); },
    entryEnd: () => assert.equal(last().content.length, last().entry.sizeBytes),
  });
  for (let at = 0; at < archive.length; at += Math.max(1, step)) reader.write(archive, at, Math.min(archive.length, at + step));
  reader.finish();
  assert.ok(Buffer.concat(parts).equals(archive), 'raw and data are the whole archive');
  return found;
}

function withSum(block: Buffer): Buffer {
  block.fill(0x20, 148, 156);
  block.write(`${block.subarray(0, 512).reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** A header that the writer would not make. */
function header(item: Partial<TarItem>, change: (block: Buffer) => void): Buffer {
  const block = tarHeader({ name: 'x', type: 'file', mode: 0o644, ...item });
  change(block);
  return withSum(block);
}

const file = (name: string, content: string): TarItem & { content: string } => ({ name, type: 'file', mode: 0o644, content });
const corrupted = (pattern: RegExp) => (error: unknown) => { assert.equal(kindOf(error), 'corrupt'); assert.match(String(error), pattern); return true; };

test('what is written is read back, however the bytes are divided', () => {
  const long = `${'directory/'.repeat(40)}ünïcode`;
  const items: Array<TarItem & { content?: string }> = [
    { name: './', type: 'dir', mode: 0o755, mtimeNs: 1_700_000_000_123_456_789n },
    file(byteStringOf(long), 'content'),
    { ...file(`${'d'.repeat(90)}/${'f'.repeat(90)}`, 'x'.repeat(1025)), mode: 0o4755, uid: 1000, gid: 3_000_000 },
    { name: 'raw\xff\xfe', type: 'file', mode: 0o600, mtimeNs: -1_500_000_000n, content: '' },
    { name: 'link', type: 'symlink', mode: 0o777, linkName: byteStringOf(long) },
    { name: 'hard', type: 'hardlink', mode: 0o644, linkName: 'link' },
    { name: 'null', type: 'char', mode: 0o666, devMajor: 1, devMinor: 3 },
    { name: 'loop', type: 'block', mode: 0o660, devMajor: 7, devMinor: 300 },
    { name: 'pipe', type: 'fifo', mode: 0o600 },
    { ...file('attributes', ''), xattrs: new Map([['security.capability', Buffer.from([1, 0, 0, 2, 10, 61])], ['user.a', Buffer.from('b')]]) },
  ];
  const archive = tarBytes(items);
  assert.ok(tarBytes(items).equals(archive), 'deterministic');
  for (const step of [archive.length, 1, 7, 511, 512, 513]) {
    const found = read(archive, step);
    assert.deepEqual(found.map(({ entry }) => entry.name), items.map((item) => item.name));
    for (const [index, item] of items.entries()) {
      const { entry, content } = found[index] ?? assert.fail();
      assert.equal(content.toString(), item.content ?? '');
      assert.deepEqual(
        { type: entry.type, mode: entry.mode, uid: entry.uid, gid: entry.gid, mtimeNs: entry.mtimeNs, linkName: entry.linkName, devMajor: entry.devMajor, devMinor: entry.devMinor },
        { type: item.type, mode: item.mode, uid: item.uid ?? 0, gid: item.gid ?? 0, mtimeNs: item.mtimeNs ?? 0n, linkName: item.linkName ?? '', devMajor: item.devMajor ?? 0, devMinor: item.devMinor ?? 0 });
      assert.deepEqual([...entry.xattrs ?? []].map(([k, v]) => [k, Buffer.from(v).toString('hex')]), [...item.xattrs ?? []].map(([k, v]) => [k, Buffer.from(v).toString('hex')]));
    }
  }
});

test('headers of other writers', () => {
  const one = (block: Buffer, content = '') => read(Buffer.concat([block, Buffer.from(content), tarPadding(content.length), TAR_END]))[0] ?? assert.fail();
  const size = (block: Buffer, content: string) => block.write(content.length.toString(8).padStart(11, '0'), 124, 'latin1');
  const cases: Array<[string, () => void]> = [
    ['v7 file', () => assert.equal(one(header({}, (b) => { b.fill(0, 156, 157); b.fill(0, 257, 512); })).entry.type, 'file')],
    ['v7 directory by its slash', () => assert.equal(one(header({ name: 'd/' }, (b) => { b.fill(0, 156, 157); b.fill(0, 257, 512); })).entry.type, 'dir')],
    ['binary owner', () => assert.equal(one(header({}, (b) => { b.fill(0, 108, 116); b[108] = 0x80; b.writeUInt32BE(4_000_000_000, 112); })).entry.uid, 4_000_000_000)],
    ['binary time before 1970', () => assert.equal(one(header({}, (b) => { b.fill(0xff, 136, 148); })).entry.mtimeNs, -1_000_000_000n)],
    ['GNU keeps other things where ustar has a prefix', () => assert.equal(one(header({}, (b) => { b.write('ustar  \0', 257, 'latin1'); b.write('15000000000', 345, 'latin1'); })).entry.name, 'x')],
    ['numbers padded with blanks', () => assert.equal(one(header({}, (b) => { b.write('   644 \0', 100, 'latin1'); })).entry.mode, 0o644)],
    ['a link with a size has no content', () => assert.equal(one(header({ type: 'hardlink', linkName: 'y' }, (b) => size(b, 'xxx'))).entry.sizeBytes, 0)],
    ['checksum of signed bytes', () => assert.equal(one((() => {
      const block = header({}, (b) => { b[0] = 0xe9; });
      const sum = Number.parseInt(block.toString('latin1', 148, 154), 8) - 256;
      block.write(sum.toString(8).padStart(6, '0'), 148, 'latin1');
      return block;
    })()).entry.name, '\xe9')],
    ['contiguous files are files', () => assert.equal(one(header({}, (b) => { b.write('7', 156, 'latin1'); size(b, 'abc'); }), 'abc').content.toString(), 'abc')],
  ];
  for (const [name, check] of cases) { try { check(); } catch (cause) { throw new Error(name, { cause }); } }
});

test('the end may be missing, and what follows it is passed on', () => {
  const body = Buffer.concat([tarHeader({ name: 'a', type: 'file', mode: 0o644, sizeBytes: 1 }), Buffer.from('x')]);
  assert.equal(read(Buffer.alloc(0)).length, 0);
  assert.equal(read(body).length, 1, 'no padding');
  assert.equal(read(Buffer.concat([body, tarPadding(1)])).length, 1, 'no zeros');
  assert.equal(read(Buffer.concat([body, tarPadding(1), TAR_END.subarray(512)])).length, 1, 'one block of zeros');
  assert.equal(read(Buffer.concat([body, tarPadding(1), TAR_END, Buffer.from('garbage')])).length, 1);
});

test('global headers are passed over', () => {
  const pax = Buffer.from('20 path=/etc/passwd\n');
  const global = Buffer.concat([header({ name: 'pax_global_header' }, (b) => { b.write('g', 156, 'latin1'); b.write('00000000024', 124, 'latin1'); }), pax, tarPadding(pax.length)]);
  assert.deepEqual(read(Buffer.concat([global, tarBytes([file('a', 'b')])])).map(({ entry }) => entry.name), ['a']);
});

test('what no archive may say is refused by name', () => {
  const paxed = (records: string) => {
    const body = Buffer.from(records, 'latin1');
    return Buffer.concat([header({}, (b) => { b.write('x', 156, 'latin1'); b.write(body.length.toString(8).padStart(11, '0'), 124, 'latin1'); }), body, tarPadding(body.length), tarBytes([file('victim', 'abc')])]);
  };
  const cases: Array<[RegExp, Buffer]> = [
    [/checksum/, Buffer.alloc(512, 'a')],
    [/cut short/, tarBytes([file('a', 'b')]).subarray(0, 300)],
    [/^EngineError: tar: a is cut short/, Buffer.concat([tarHeader({ name: 'a', type: 'file', mode: 0, sizeBytes: 9 }), Buffer.from('b')])],
    [/at most 1048576/, header({}, (b) => { b.write('x', 156, 'latin1'); b.write('00010000000', 124, 'latin1'); })],
    [/more than 4096 bytes/, tarBytes([file('n'.repeat(4097), '')])],
    [/unknown type of entry "Q"/, header({}, (b) => { b.write('Q', 156, 'latin1'); })],
    [/size .*no number/, header({}, (b) => { b.write('8', 124, 'latin1'); })],
    [/size .*out of range/, header({}, (b) => { b.fill(0x7f, 124, 136); b[124] = 0x80; })],
    [/a size of -1 bytes/, header({}, (b) => { b.fill(0xff, 124, 136); })],
    [/out of range/, header({}, (b) => { b.fill(0, 108, 116); b[108] = 0x80; b.fill(0xff, 112, 116); })],
    [/two|second/, Buffer.concat([Buffer.alloc(512), tarHeader({ name: 'a', type: 'file', mode: 0 })])],
    [/broken record/, paxed('999 path=x\n')],
    [/broken record/, paxed('9 path=x\n'.replace('\n', 'x'))],
    [/extended header is no sane number/, paxed('nonsense')],
    [/NUL/, paxed('10 path=\0\n'.replace('10', '9'))],
    [/no sane number/, paxed('11 size=-5\n')],
    [/no time/, paxed('14 mtime=soon\n')],
    [/victim is cut short/, paxed('17 size=99999999\n')],
    [/unknown format 3\.1/, paxed('22 GNU.sparse.major=3\n22 GNU.sparse.minor=1\n')],
    [/a directory with content/, Buffer.concat([header({ name: 'd/' }, (b) => { b.write('00000000003', 124, 'latin1'); }), Buffer.alloc(512)])],
  ];
  for (const [pattern, archive] of cases) assert.throws(() => read(archive), corrupted(pattern), String(pattern));
});

test('sparse files of every format come with their holes', () => {
  const dir = mkdtempSync(join(tmpdir(), 'vaquita-sparse-'));
  try {
    const path = join(dir, 'sparse');
    writeFileSync(path, '');
    const fd = openSync(path, 'r+');
    for (let part = 0; part < 40; part++) writeSync(fd, Buffer.alloc(4096, 65 + (part % 26)), 0, 4096, part * 65536 + 65536); // more parts than one header holds
    closeSync(fd);
    truncateSync(path, 4 << 20);
    const want = execFileSync('cat', [path], { maxBuffer: 16 << 20 });
    for (const format of [['--format=gnu'], ['--format=posix', '--sparse-version=0.0'], ['--format=posix', '--sparse-version=0.1'], ['--format=posix', '--sparse-version=1.0']]) {
      const archive = execFileSync('tar', ['-C', dir, '--sparse', ...format, '-cf', '-', 'sparse'], { maxBuffer: 16 << 20 });
      for (const step of [archive.length, 509]) {
        const [found] = read(archive, step);
        assert.equal(found?.entry.name, 'sparse', format.join(' '));
        assert.equal(found.entry.sparse, true);
        assert.ok(found.content.equals(want), format.join(' '));
      }
    }
  } finally { rmSync(dir, { recursive: true }); }
});

test('sparse maps that lie are refused', () => {
  const sparse = (map: string, real: number, content: number) => {
    const record = (key: string, value: string) => { const rest = ` GNU.sparse.${key}=${value}\n`; let n = rest.length + 2; if (String(n).length > 2) n++; return `${n}${rest}`; };
    const body = Buffer.from(record('name', 'liar') + record('size', String(real)) + record('map', map));
    return Buffer.concat([header({}, (b) => { b.write('x', 156, 'latin1'); b.write(body.length.toString(8).padStart(11, '0'), 124, 'latin1'); }), body, tarPadding(body.length), tarBytes([file('x', 'y'.repeat(content))])]);
  };
  assert.equal(read(sparse('1,2,5,1', 8, 3))[0]?.content.toString(), '\0yy\0\0y\0\0');
  for (const [map, real, content] of [['1,2', 8, 3], ['5,2,1,1', 8, 3], ['7,3', 8, 3], ['0,2,1,1', 8, 3], ['0', 8, 3]] as const) {
    assert.throws(() => read(sparse(map, real, content)), corrupted(/liar: its sparse map/), map);
  }
});

test('any bytes are read or refused as corrupt', () => {
  const first = Number(process.env['FUZZ_SEED'] ?? 1), runs = process.env['FUZZ_SEED'] ? 1 : 1500;
  const good = tarBytes([file('a/b', 'content'), { ...file('n'.repeat(200), 'x'.repeat(700)), mtimeNs: 5n }, { name: 'l', type: 'symlink', mode: 0o777, linkName: 'a' }]);
  for (let seed = first; seed < first + runs; seed++) {
    const next = randomOf(seed);
    const archive = Buffer.from(good);
    for (let changes = next() % 6; changes >= 0; changes--) archive[next() % archive.length] = next() & 0xff;
    if (next() % 4 !== 0) for (let at = 0; at + 512 <= archive.length; at += 512) if (archive[at + 257] === 0x75) withSum(archive.subarray(at, at + 512));
    const cut = next() % 3 === 0 ? next() % archive.length : archive.length;
    try { read(archive.subarray(0, cut), 1 + next() % 2000); }
    catch (cause) { if (kindOf(cause) !== 'corrupt') throw new Error(`FUZZ_SEED=${seed}`, { cause }); }
  }
});

function randomOf(seed: number): () => number {
  let state = seed * 2654435761 >>> 0 || 1;
  return () => { state ^= state << 13; state ^= state >>> 17; state ^= state << 5; return state >>>= 0; };
}
