import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { treeTar, type Tree } from '../../../test/kit/image.ts';
import { openLibrsyncReference } from '../../../test/kit/librsync-reference.ts';
import { rng } from '../../../test/kit/random.ts';
import { joinViews, viewOf, type ByteView } from '../bytes.ts';
import { indexBase } from './index.ts';
import { openRsyncPatch } from './patch.ts';

const MEMORY_BYTES = 64 << 20;

function makerOf(base: Buffer, memoryBytes = MEMORY_BYTES): (target: Buffer) => Buffer {
  const index = indexBase(viewOf(base), { memoryBytes });
  return (target) => {
    const out: Buffer[] = [];
    index.diff(viewOf(target), (bytes, start, end) => { out.push(Buffer.from(bytes.subarray(start, end))); });
    return Buffer.concat(out);
  };
}

const deltaOf = (base: Buffer, target: Buffer): Buffer => makerOf(base)(target);

function patched(base: ByteView, delta: Buffer): Buffer {
  const out: Buffer[] = [];
  const patch = openRsyncPatch(base, (bytes, start, end) => { out.push(Buffer.from(bytes.subarray(start, end))); });
  patch.write(delta, 0, delta.length);
  patch.finish();
  return Buffer.concat(out);
}

const zipped = (bytes: Buffer): number => gzipSync(bytes, { level: 6 }).length;

/** Ours makes the target, and is no larger than what balenaEngine makes, bare and compressed. */
function judge(base: Buffer): (target: Buffer, what: string) => Buffer {
  const [make, reference] = [makerOf(base), openLibrsyncReference(base)];
  return (target, what) => {
    const [ours, theirs] = [make(target), reference(target)];
    assert.ok(patched(viewOf(base), ours).equals(target), `${what}: it does not make the target`);
    assert.ok(ours.length <= theirs.length, `${what}: ${ours.length} bytes, balenaEngine's has ${theirs.length}`);
    // gzip has its moods: of deltas of a few words, the one that says more may end up with a byte or two less.
    assert.ok(zipped(ours) <= zipped(theirs) * 1.01 + 24, `${what}: ${zipped(ours)} bytes compressed, balenaEngine's has ${zipped(theirs)}`);
    return ours;
  };
}

const hold = (base: Buffer, target: Buffer, what: string): Buffer => judge(base)(target, what);

function noise(bytes: number, seed: number): Buffer {
  const random = rng(seed);
  return Buffer.from(Uint8Array.from({ length: bytes }, () => Math.floor(random() * 256)));
}

/** Words, numbers and lines, as sources and lists are made of. */
function text(bytes: number, seed: number): Buffer {
  const random = rng(seed);
  const words = Array.from({ length: 400 }, () => Array.from({ length: 2 + Math.floor(random() * 9) }, () => String.fromCharCode(97 + Math.floor(random() * random() * 26))).join(''));
  let out = '';
  while (out.length < bytes) out += random() < 0.1 ? `${Math.floor(random() * 1e5)}\n` : `${words[Math.floor(random() * random() * words.length)]} `;
  return Buffer.from(out.slice(0, bytes), 'latin1');
}

test('the least deltas are the recorded ones or smaller', () => {
  const AB = Buffer.concat([Buffer.alloc(512, 'A'), Buffer.alloc(512, 'B')]);
  assert.equal(deltaOf(AB, Buffer.alloc(0)).toString('hex'), '7273023600');
  assert.equal(deltaOf(Buffer.alloc(0), Buffer.from('hello')).toString('hex'), '72730236' + '0568656c6c6f' + '00');
  assert.equal(deltaOf(AB, Buffer.concat([AB.subarray(512), Buffer.from('hi')])).toString('hex'), '72730236' + '4a02000200' + '026869' + '00');
  assert.equal(deltaOf(AB, Buffer.concat([Buffer.from('xx'), AB])).toString('hex'), '72730236' + '027878' + '46000400' + '00');
  assert.equal(openLibrsyncReference(AB)(Buffer.concat([AB.subarray(512), Buffer.from('hi')])).toString('hex'), '72730236' + '4a02000200' + '41026869' + '00');
  assert.equal(openLibrsyncReference(Buffer.alloc(1536))(Buffer.alloc(1024)).toString('hex'), '72730236' + '4a04000200' + '4a04000200' + '00');
});

test('a target edited in any way comes out again, of a delta no larger than balenaEngine\'s', () => {
  const first = Number(process.env['FUZZ_SEED'] ?? 1);
  for (let seed = first; seed < first + 60; seed++) {
    const random = rng(seed);
    const pick = (n: number) => Math.floor(random() * n);
    const piece = (): Buffer => {
      const bytes = pick(2) === 0 ? pick(9000) : pick(40_000);
      switch (pick(6)) {
        case 0: return Buffer.alloc(bytes);
        case 1: return Buffer.alloc(bytes, noise(1 + pick(700), pick(20))); // repeats itself
        case 2: case 3: return text(bytes, pick(1000));
        default: return noise(bytes, pick(1000));
      }
    };
    const base = Buffer.concat(Array.from({ length: 1 + pick(8) }, piece));
    const parts: Buffer[] = [];
    for (let n = 1 + pick(12); n > 0; n--) {
      const from = pick(base.length), to = Math.min(base.length, from + (pick(2) === 0 ? pick(60_000) : pick(1500)));
      const part = Buffer.from(base.subarray(from, to));
      for (let changes = pick(3) * pick(8); changes > 0 && part.length > 0; changes--) part[pick(part.length)] = pick(256);
      parts.push(pick(4) === 0 ? piece() : part);
    }
    const target = Buffer.concat(parts);
    try { hold(base, target, 'edited'); } catch (error) { throw new Error(`FUZZ_SEED=${seed}`, { cause: error }); }
  }
});

test('what repeats itself, what has nothing in common and what is all the same takes few words and linear time', () => {
  const zeros = Buffer.alloc(8 << 20);
  assert.ok(hold(zeros, zeros, 'zeros').length < 200);
  const block = noise(700, 1);
  assert.ok(hold(Buffer.alloc(3 << 20, block), Buffer.alloc(4 << 20, block), 'one block again and again').length < 1000);
  const letters = Buffer.alloc(1 << 20, 'abcdefg');
  assert.ok(hold(letters, Buffer.concat([Buffer.from('x'), letters, Buffer.from('yz'), letters]), 'a short period').length < 300);
  assert.equal(hold(noise(1 << 20, 1), noise(1 << 20, 2), 'noise').length, (1 << 20) + 10);
  hold(noise(1 << 20, 1), zeros, 'zeros that the base has not');
  // Zeros are taken from where the base has most of them, however often it has a few.
  const few = Array.from({ length: 100 }, (_none, n) => Buffer.concat([noise(2000, n), Buffer.alloc(300)]));
  assert.ok(hold(Buffer.concat([...few, Buffer.alloc(100_000), ...few]), zeros, 'few zeros and many').length < 84 * 9 + 40);
  // Blocks in another order: every one is found, wherever it went.
  const many = noise(1 << 20, 3);
  const order = Array.from({ length: 1024 }, (_none, i) => (i * 389) % 1024);
  const shuffled = Buffer.concat(order.map((n) => many.subarray(n * 1024, (n + 1) * 1024)));
  assert.ok(hold(many, shuffled, 'shuffled').length < 1024 * 9);
});

/** The files of balenaEngine's own test of deltas, and its images as lists of layers. */
const SIZES = [0, 0, 256, 333, 1024, 1024, 3307, 8192, 9876, 10_240, 131_072, 150_000, 500_003, 1_000_000, 1_000_000, 1 << 20, 1 << 20];
const file = new Map<string, Buffer>(SIZES.map((bytes, n) => [String(n).padStart(3, '0'), noise(bytes, 100 + n)]));
for (const [name, parts] of [['100', '015 013 012 014 010'], ['101', '016 013 012 014 010']] as const) file.set(name, Buffer.concat(parts.split(' ').map((part) => file.get(part) ?? Buffer.alloc(0))));
const layer = (names: string): Tree => Object.fromEntries(names.split(' ').map((name) => [name, file.get(name) ?? null]));
const each = (names: string): Tree[] => names.split(' ').map((name) => layer(name));
const empty = new Uint8Array(0);
const LAYERS: Readonly<Record<string, readonly Tree[]>> = (() => {
  const first = [layer('000')], second = [...first, { '001/': null, '001/000.data': empty }];
  const third = [...second, { '003/': null, '003/000-a.data': empty }, { '003/': null, '003/000-b.data': empty }, { '001/': null, '001/000.data': file.get('002') ?? empty }, { '003/': null, '003/000-c.data': empty }];
  const mixed = ['001', '002 003 004', '005 006', '007', '008', '009 010', '011', '012 013 014 015'].map(layer);
  const ninth = [layer('000 006 009 100')], twelfth = [layer('000 006 009 101')];
  return {
    '000': first, '001': second, '002': [...first, layer('002')], '003': third, '004': mixed, '005': mixed,
    '006': each('001 002 003 004 005 006 007 008 009 010 011 012 013 014 015'),
    '007': each('002 008 003 005 015 001 011 006 009 007 014 010 012 013 004'),
    '008': [layer('001 002 003 004 005 006 007 008 009 010 011 012 013 014 015')],
    '010': [...ninth, layer('004 009 011')], '011': [...ninth, layer('005 009 011')], '012': twelfth,
  };
})();

test('balenaEngine\'s own table of deltas: every pair is within its bounds', () => {
  for (const [pair, most, known] of TABLE) {
    const [from = '', to = ''] = pair.split(' ');
    const [base, target] = [LAYERS[from] ?? [], LAYERS[to] ?? []].map((layers) => layers.map((tree) => treeTar(tree)));
    const against = judge(Buffer.concat(base ?? []));
    let bytes = 0, shared = true;
    target?.forEach((tar, n) => {
      shared &&= base?.[n]?.equals(tar) === true;
      if (!shared) bytes += against(tar, `${pair} layer ${n}`).length;
    });
    assert.ok(bytes <= most && bytes <= known, `${pair}: ${bytes} bytes, at most ${most}`);
  }
});

/** Pair, the most that balenaEngine's test takes, and what an encoder of its kind makes. */
const TABLE: ReadonlyArray<readonly [pair: string, most: number, known: number]> = [
  ['000 001', 1556, 1044], ['000 002', 1045, 1045], ['001 003', 5201, 4689], ['000 003', 6757, 5733], ['004 005', 0, 0], ['006 007', 381, 381],
  ['006 008', 115, 115], ['008 006', 381, 381], ['010 011', 1567, 1567], ['010 012', 1_049_132, 1_049_132],
];

test('rdiff applies what is made here', () => {
  const directory = mkdtempSync(`${tmpdir()}/vq-`);
  try {
    const base = Buffer.concat([text(300_000, 1), noise(200_000, 2)]);
    const target = Buffer.concat([noise(70_000, 3), base.subarray(123, 200_000), text(5000, 4), Buffer.alloc(3000), base.subarray(250_000), base.subarray(0, 40)]);
    writeFileSync(`${directory}/base`, base);
    writeFileSync(`${directory}/delta`, deltaOf(base, target));
    execFileSync('rdiff', ['patch', `${directory}/base`, `${directory}/delta`, `${directory}/target`]);
    assert.ok(readFileSync(`${directory}/target`).equals(target));
  } finally { rmSync(directory, { recursive: true }); }
});

test('with little memory the window slides, pages come and go, and the base is read a bounded number of times', () => {
  const parts = Array.from({ length: 24 }, (_none, n) => (n % 3 === 0 ? text(1 << 20, n) : noise(1 << 20, n)));
  const base = Buffer.concat(parts);
  const target = Buffer.concat([noise(3 << 20, 50), ...[5, 2, 1, 20, 21, 22, 9, 3].flatMap((n) => [parts[n]?.subarray(n) ?? base, text(10_000, 60 + n)]), base.subarray(4 << 20)]);
  let read = 0;
  const counted: ByteView = { sizeBytes: base.length, read(position, into, range) { read += range.end - range.start; viewOf(base).read(position, into, range); } };
  const index = indexBase(counted, { memoryBytes: 16 << 20 });
  assert.equal(read, base.length);
  const out: Buffer[] = [];
  const progress: number[] = [];
  index.diff(viewOf(target), (bytes, start, end) => { out.push(Buffer.from(bytes.subarray(start, end))); }, (current) => { progress.push(current); });
  const delta = Buffer.concat(out);
  assert.ok(patched(viewOf(base), delta).equals(target));
  assert.ok(delta.length < (3 << 20) + 8 * 11_000, `${delta.length} bytes`);
  assert.ok(read <= base.length + 8 * target.length, `${read} bytes of the base were read`);
  assert.deepEqual(progress, progress.toSorted((a, b) => a - b));
  assert.equal(progress.at(-1), target.length);
  // The same index serves the next target, and several views are one base.
  const again: Buffer[] = [];
  indexBase(joinViews([viewOf(base.subarray(0, 9_000_001)), viewOf(base.subarray(9_000_001))]), { memoryBytes: 16 << 20 }).diff(viewOf(target), (bytes, start, end) => { again.push(Buffer.from(bytes.subarray(start, end))); });
  assert.ok(Buffer.concat(again).equals(delta));
});
