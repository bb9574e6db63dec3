import assert from 'node:assert/strict';
import { chmodSync, closeSync, mkdirSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { openTempRoot } from '../../test/kit/temp.ts';
import { Crc64 } from '../archive/crc64.ts';
import { kindOf } from '../lib/errors.ts';
import { layerTar, readTarSplit, TarSplitWriter } from './tarsplit.ts';

const temp = openTempRoot();
after(() => temp[Symbol.asyncDispose]());
let count = 0;
const fresh = () => { const at = join(temp.path, `t${count++}`); mkdirSync(at); return at; };
const corrupted = (pattern: RegExp) => (error: unknown) => { assert.equal(kindOf(error), 'corrupt', String(error)); assert.match(String(error), pattern); return true; };
const crcOf = (content: string) => { const crc = new Crc64(); crc.update(Buffer.from(content)); return crc.take(); };

function split(write: (writer: TarSplitWriter) => void): string {
  const path = join(fresh(), 'tar-split.json.gz');
  const fd = openSync(path, 'w');
  const writer = new TarSplitWriter(fd);
  try { write(writer); writer.finish(); } finally { writer.close(); closeSync(fd); }
  return path;
}

function tarOf(path: string, diff: string): string {
  let text = '';
  for (const piece of layerTar(path, diff)) text += piece.toString('latin1');
  return text;
}

test('what is written is read again, whatever the names and however long the segments', () => {
  const names = ['plain', 'caf\xc3\xa9', 'raw\xff', 'quote"\\\n\t', '\u0001', 'a/'.repeat(500)];
  const long = Buffer.alloc(200_001, 'segment');
  for (let cut = 0; cut < 4; cut++) {
    const path = split((writer) => {
      for (const name of names) { writer.raw(long, cut, long.length); writer.file(name, { sizeBytes: 3, crc: crcOf('abc') }); writer.file(`${name}/`, undefined); }
      writer.raw(long, 0, cut);
    });
    const entries = [...readTarSplit(path)];
    assert.deepEqual(entries.filter((e) => e.type === 'file').map((e) => [e.name, e.sizeBytes]), names.flatMap((name) => [[name, 3], [`${name}/`, 0]]));
    const segments = Buffer.concat(entries.filter((e) => e.type === 'segment').map((e) => e.bytes));
    assert.ok(segments.equals(Buffer.concat([...names.map(() => long.subarray(cut)), long.subarray(0, cut)])));
  }
});

test('Docker\'s own spelling is read', () => {
  const diff = fresh(), path = join(fresh(), 'x');
  writeFileSync(join(diff, 'a&b'), 'xyz');
  const lines = [
    { type: 2, payload: Buffer.from('HEAD').toString('base64'), position: 0 },
    { type: 1, name: './a&b', size: 3, payload: crcOf('xyz'), position: 1 },
    { type: 1, name: 'dir/', payload: null, position: 2 },
    { type: 2, payload: '', position: 3 }, { type: 2, payload: Buffer.from('TAIL').toString('base64'), position: 4 },
  ];
  writeFileSync(path, gzipSync(`${lines.map((line) => JSON.stringify(line).replace('&', '\\u0026')).join('\n')}\n`));
  assert.equal(tarOf(path, diff), 'HEADxyzTAIL');
});

test('a file that is not what it was is told by name', () => {
  const path = split((writer) => { writer.raw(Buffer.from('H'), 0, 1); writer.file('d/f', { sizeBytes: 3, crc: crcOf('abc') }); });
  const spoil: Array<[RegExp, (diff: string) => void]> = [
    [/d\/f has changed/, (diff) => writeFileSync(join(diff, 'd/f'), 'abd')],
    [/d\/f has 4 bytes and had 3/, (diff) => writeFileSync(join(diff, 'd/f'), 'abcd')],
    [/d\/f is missing/, (diff) => rmSync(join(diff, 'd/f'))],
    [/d\/f is missing/, (diff) => rmSync(join(diff, 'd'), { recursive: true })],
    [/d\/f is no regular file/, (diff) => { rmSync(join(diff, 'd/f')); symlinkSync('/etc/hostname', join(diff, 'd/f')); }],
    [/d\/f is no regular file/, (diff) => { rmSync(join(diff, 'd/f')); mkdirSync(join(diff, 'd/f')); }],
  ];
  for (const [pattern, run] of spoil) {
    const diff = fresh();
    mkdirSync(join(diff, 'd'));
    writeFileSync(join(diff, 'd/f'), 'abc');
    assert.equal(tarOf(path, diff), 'Habc');
    chmodSync(join(diff, 'd/f'), 0);
    run(diff);
    assert.throws(() => tarOf(path, diff), corrupted(pattern));
  }
});

test('a symlink in the layer leads nowhere outside of it', () => {
  const outside = fresh();
  writeFileSync(join(outside, 'f'), 'abc');
  const path = split((writer) => writer.file('l/f', { sizeBytes: 3, crc: crcOf('abc') }));
  for (const target of [outside, `../${outside.slice(outside.lastIndexOf('/') + 1)}`, '../../../../../../..' + outside]) {
    const diff = fresh();
    symlinkSync(target, join(diff, 'l'));
    assert.throws(() => tarOf(path, diff), corrupted(/l\/f is missing/));
  }
  const diff = fresh();
  mkdirSync(join(diff, 'real'));
  symlinkSync('/../real/.', join(diff, 'l'));
  writeFileSync(join(diff, 'real/f'), 'abc');
  assert.equal(tarOf(path, diff), 'abc', 'inside it is followed');
  rmSync(join(diff, 'l'));
  symlinkSync('l', join(diff, 'l'));
  assert.throws(() => tarOf(path, diff), corrupted(/ELOOP/));
});

test('a damaged tar-split file is corrupt', () => {
  const good = gzipSync('{"type":2,"payload":"QQ==","position":0}\n{"type":2,"payload":"QQ==","position":1}\n');
  const cases = [good.subarray(0, 30), Buffer.from('not gzip'), Buffer.alloc(0), gzipSync('{"type":2,'), gzipSync('{"type":3}\n'), gzipSync('null\n'), gzipSync('{"type":1,"name":"a","size":-1}\n'), gzipSync('{"type":1,"name":"a","size":1.5}\n')];
  for (const bytes of cases) {
    const path = join(fresh(), 'tar-split.json.gz');
    writeFileSync(path, bytes);
    assert.throws(() => [...readTarSplit(path)], corrupted(/tar-split\.json\.gz: /), bytes.toString('hex'));
  }
});
