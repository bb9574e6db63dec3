import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildBolt, signMeta, type BoltTree } from '../../test/kit/bolt.ts';
import { rng } from '../../test/kit/random.ts';
import { kindOf } from '../lib/errors.ts';
import { readBolt, type BoltBucket } from './bolt.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
const contentOf = (bucket: BoltBucket | undefined) => bucket && Object.fromEntries([...bucket.entries()].map(({ key, value }) => [text(key), text(value)]));
const many = (count: number, length: number): BoltTree => Object.fromEntries(Array.from({ length: count }, (_, i) => [`key-${i}`, `${i} `.repeat(length)]));

test('leaves, branches, long values, nested and inline buckets are read', () => {
  const deep = many(2000, 3);
  const tree: BoltTree = { few: { a: '1', b: '' }, deep, long: { before: 'x', huge: 'y'.repeat(10_000), small: 'z' }, outer: { inner: { innermost: { k: 'v' } }, plain: 'w' }, empty: {}, 'ümlaut': { k: 'ä' } };
  for (const [pageBytes, inline] of [[512, false], [512, true], [4096, true], [65536, false]] as const) {
    const root = readBolt(buildBolt(tree, { pageBytes, inline }));
    assert.deepEqual(contentOf(root), {});
    for (const name of ['few', 'deep', 'long', 'empty', 'ümlaut']) assert.deepEqual(contentOf(root.bucket(name)), tree[name], `${name} in pages of ${pageBytes}`);
    assert.deepEqual(contentOf(root.bucket('outer')), { plain: 'w' });
    assert.deepEqual(contentOf(root.bucket('outer')?.bucket('inner')?.bucket('innermost')), { k: 'v' });
    assert.deepEqual([root.bucket('nosuch'), root.bucket('outer')?.bucket('plain')], [undefined, undefined]);
    assert.deepEqual(contentOf(root.bucket('deep')), deep, 'a second time');
  }
});

test('the newer of two heads counts, and the other one when that is not whole', () => {
  const bytes = buildBolt({ few: { a: '1' } });
  const emptyRoot = buildBolt({});
  const both = Buffer.concat([bytes, emptyRoot.subarray(3 * 512)]);
  both.writeBigUInt64LE(BigInt(bytes.length / 512), bytes.length); // the empty leaf at the end of the file
  both.writeBigUInt64LE(BigInt(bytes.length / 512), 16 + 16); // the first head leads there
  both.writeBigUInt64LE(99n, 16 + 48); // and is newer
  signMeta(both, 0);
  assert.equal(readBolt(both).bucket('few'), undefined);
  both.writeUInt8(1, 16 + 60); // its sum is wrong
  assert.deepEqual(contentOf(readBolt(both).bucket('few')), { a: '1' });
  both.fill(0, 512, 1024);
  assert.throws(() => readBolt(both), /neither of its two heads is whole/);
});

test('what leads astray is told, and never followed for ever', () => {
  const pageBytes = 512;
  const tree = { b: many(200, 3) };
  const broken = (change: (bytes: Buffer) => void) => {
    const bytes = buildBolt(tree, { pageBytes });
    change(bytes);
    return () => contentOf(readBolt(bytes).bucket('b'));
  };
  const isBranch = (bytes: Buffer, page: number) => bytes.readUInt16LE(page * pageBytes + 8) === 1;
  const branchOf = (bytes: Buffer) => Array.from({ length: bytes.length / pageBytes }, (_, page) => page).findLast((page) => isBranch(bytes, page)) ?? 0;
  const cases: Array<[RegExp, (bytes: Buffer) => void]> = [
    [/page \d+ is there twice/, (bytes) => { bytes.writeBigUInt64LE(BigInt(branchOf(bytes)), branchOf(bytes) * pageBytes + 16 + 8); }], // a branch below itself
    [/is not in the file/, (bytes) => { bytes.writeBigUInt64LE(2n ** 63n, branchOf(bytes) * pageBytes + 16 + 8); }],
    [/is not in the file/, (bytes) => { bytes.writeBigUInt64LE(1n, branchOf(bytes) * pageBytes + 16 + 8); }], // a head
    [/neither a branch nor a leaf/, (bytes) => { bytes.writeUInt16LE(16, branchOf(bytes) * pageBytes + 8); }],
    [/more elements than it has room for/, (bytes) => { bytes.writeUInt16LE(0xffff, branchOf(bytes) * pageBytes + 10); }],
    [/is longer than the file/, (bytes) => { bytes.writeUInt32LE(0xffff_ffff, branchOf(bytes) * pageBytes + 12); }],
    [/says that it is another/, (bytes) => { bytes.writeBigUInt64LE(7n, branchOf(bytes) * pageBytes); }],
    [/reaches beyond its end/, (bytes) => { bytes.writeUInt32LE(0xffff_ffff, 3 * pageBytes + 16 + 12); }],
    [/reaches beyond its end/, (bytes) => { bytes.writeUInt32LE(0xffff_fff0, 3 * pageBytes + 16 + 4); }],
    [/keys out of order/, (bytes) => { bytes.copyWithin(3 * pageBytes + 32, 3 * pageBytes + 16, 3 * pageBytes + 32); bytes.writeUInt32LE(bytes.readUInt32LE(3 * pageBytes + 20) - 16, 3 * pageBytes + 36); }],
  ];
  assert.deepEqual(broken(() => {})(), tree.b);
  for (const [reason, change] of cases) assert.throws(broken(change), (error: Error) => kindOf(error) === 'corrupt' && reason.test(error.message), String(reason));
});

test('any bytes have an answer', () => {
  const first = Number(process.env['FUZZ_SEED'] ?? 1);
  const runs = process.env['FUZZ_SEED'] === undefined ? 1500 : 1;
  const bases = [false, true].map((inline) => buildBolt({ a: many(60, 4), b: { x: 'y' }, c: { d: { e: 'f' } } }, { inline }));
  for (let seed = first; seed < first + runs; seed++) {
    const chance = rng(seed);
    const random = (below: number) => Math.floor(chance() * below);
    const bytes = Buffer.from(bases[random(2)] ?? []);
    for (let change = 0; change <= random(6); change++) {
      const at = random(bytes.length);
      // Half of them in small numbers, which stand for pages, lengths and counts that may exist.
      bytes[at] = random(2) === 0 ? random(256) : random(12);
    }
    if (random(4) > 0) for (const at of [0, 512]) signMeta(bytes, at);
    try {
      const walk = (bucket: BoltBucket | undefined, depth: number): void => {
        for (const { key } of bucket?.entries() ?? []) assert.ok(key.length >= 0);
        if (depth < 4) for (const name of ['a', 'b', 'c', 'd']) { const inner = bucket?.bucket(name); if (inner) walk(inner, depth + 1); }
      };
      walk(readBolt(bytes.subarray(0, random(20) === 0 ? random(bytes.length) : bytes.length)), 0);
    } catch (error) {
      if (kindOf(error) !== 'corrupt') throw new Error(`FUZZ_SEED=${seed}`, { cause: error });
    }
  }
});
