// Promises of our deltas: what is applied is the target, bit for bit, whatever the layers are; content is found wherever it was; damage is noticed where it is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf, messageOf } from '../../lib/errors.ts';
import { linkedTwice } from '../../../test/kit/executables.ts';
import { applyDelta, edited, layer, layerOf, makeDelta, text, type Item, type Layer } from '../../../test/kit/vaquita.ts';
import { pathOf, styleOf } from './names.ts';
import { readVaquitaHeader } from './format.ts';
import { indexTar } from './tar-entries.ts';
import { viewOf } from '../bytes.ts';

const noise = (seed: number, bytes: number) => Buffer.from(text(seed, bytes).map((byte, index) => byte * 131 + index * index >> 3));
const folder = (path: string, count: number, make: (n: number) => Partial<Item> = () => ({})): Item[] => [
  { name: `${path}/`, type: 'dir', mode: 0o755 },
  ...Array.from({ length: count }, (_none, n): Item => ({ name: `${path}/file-${n}.js`, content: text(n, 300 + n * 40), ...make(n) })),
];

/** Makes and applies, in pieces of several sizes; says how long the delta is. */
function roundTrip(base: readonly Layer[], target: Layer, name: string): number {
  const { delta, sources } = makeDelta(base, target);
  assert.deepEqual(readVaquitaHeader(delta).sources.map(({ diffId }) => diffId), sources, name);
  for (const pieceBytes of delta.length < 4096 ? [1, 13, 1 << 20] : [1000]) {
    const { tar, error } = applyDelta(base, delta, { pieceBytes });
    assert.equal(error, undefined, `${name}: ${messageOf(error)}`);
    assert.ok(tar.equals(target.tar), `${name}, in pieces of ${pieceBytes}`);
  }
  return delta.length;
}

const LONG = `${'a-long-name-of-a-folder/'.repeat(5)}${'x'.repeat(60)}`;
const APP = folder('app', 60);

/** Base layers, the target, and the most bytes the delta may have beyond its header of about 80 bytes a layer. */
const PAIRS: ReadonlyArray<{ name: string; base: readonly Layer[]; target: Layer; atMost: number }> = [
  { name: 'one time is another', base: [layer(APP)], target: layer(APP.map((item, n) => n === 7 ? { ...item, mtimeNs: 1_700_000_000n * 1_000_000_000n } : item)), atMost: 60 },
  { name: 'all times are others', base: [layer(APP)], target: layer(APP.map((item) => ({ ...item, mtimeNs: 1_700_000_000n * 1_000_000_000n }))), atMost: 80 },
  { name: 'one file changed', base: [layer(APP)], target: layer(APP.map((item, n) => n === 9 ? { ...item, content: edited(text(8, 620), 1, 1) } : item)), atMost: 120 },
  { name: 'a folder was renamed', base: [layer(APP)], target: layer(folder('srv/application', 60)), atMost: 160 },
  { name: 'files were renamed', base: [layer(APP)], target: layer(APP.map((item) => ({ ...item, name: item.name.replace('.js', '.mjs') }))), atMost: 180 },
  { name: 'content stands in other layers, in another order', base: [layer([{ name: 'x', content: text(100, 9000) }]), layer(APP)], target: layer([...[...APP].reverse(), { name: 'y', content: text(100, 9000) }]), atMost: 120 },
  { name: 'the same new content twice', base: [layer(APP)], target: layer([{ name: 'a', content: noise(5, 5000) }, { name: 'b', content: noise(5, 5000) }, { name: 'c' }]), atMost: 5300 },
  { name: 'names that are too long', base: [layer(APP)], target: layer([{ name: LONG, content: 'a' }, { name: `${LONG}y`.repeat(2), content: 'b' }, { name: `short/${'n'.repeat(120)}` }, { name: 'ä'.repeat(70) }]), atMost: 680 },
  { name: 'long names that stay', base: [layer([{ name: LONG.repeat(2), content: 'a' }])], target: layer([{ name: LONG.repeat(2), content: 'b' }]), atMost: 70 },
  { name: 'links, folders, devices, removals', base: [layer([{ name: 'l', type: 'symlink', linkName: 'a' }, { name: 'f', content: 'x' }])],
    target: layer([{ name: 'l', type: 'symlink', linkName: 'b' }, { name: 'h', type: 'hardlink', linkName: 'l' }, { name: 'd/', type: 'dir' }, { name: 'n', type: 'char', devMajor: 5, devMinor: 1 }, { name: '.wh.f' }, { name: 'p', type: 'fifo' }]), atMost: 150 },
  { name: 'attributes, large numbers, fractions of seconds', base: [layer([{ name: 'f', content: 'x', uid: 5 }])],
    target: layer([{ name: 'f', content: 'x', uid: 5_000_000, mtimeNs: 1_700_000_000_123_456_789n, xattrs: new Map([['security.capability', Buffer.from([1, 0, 0, 2, 0, 32])]]) }, { name: 'g', uid: 3_000_000, gid: 9 }]), atMost: 420 },
  { name: 'no layer of the base', base: [], target: layer(APP), atMost: 42500 },
  { name: 'an empty layer', base: [layer(APP)], target: layer([]), atMost: 20 },
  { name: 'nothing at all', base: [layer(APP)], target: layerOf(Buffer.alloc(0)), atMost: 20 },
  { name: 'no end', base: [layer(APP)], target: layerOf(layer(APP).tar.subarray(0, -1024)), atMost: 60 },
  { name: 'cut short in a file', base: [layer(APP)], target: layerOf(layer(APP).tar.subarray(0, 9999)), atMost: 140 },
  { name: 'a longer end', base: [layer(APP)], target: layerOf(Buffer.concat([layer(APP).tar, Buffer.alloc(10240)])), atMost: 60 },
  { name: 'padding that is not zero', base: [layer(APP)], target: layerOf(spoiled(layer(APP).tar, 512 + 512 + 400, 7)), atMost: 260 },
  { name: 'something behind the end', base: [layer(APP)], target: layerOf(Buffer.concat([layer(APP).tar, Buffer.from('signed by us'), Buffer.alloc(700)])), atMost: 110 },
  { name: 'no tar', base: [layer(APP)], target: layerOf(noise(9, 30000)), atMost: 30100 },
  { name: 'a base that is no tar', base: [layerOf(noise(9, 30000))], target: layerOf(Buffer.concat([noise(9, 14000), Buffer.from('here'), noise(9, 30000)])), atMost: 250 },
];

function spoiled(tar: Buffer, at: number, bits: number): Buffer {
  const copy = Buffer.from(tar);
  copy[at] = (copy[at] ?? 0) ^ bits;
  return copy;
}

for (const { name, base, target, atMost } of PAIRS) {
  test(`what is applied is the target: ${name}`, () => {
    const bytes = roundTrip(base, target, name), { delta, sources } = makeDelta(base, target);
    assert.equal(delta.length, bytes, 'the same input gives the same bytes');
    assert.ok(bytes <= atMost + 70 + 40 * sources.length, `${bytes} bytes`);
  });
}

test('GNU tars: long names in blocks of their own, numbers in bytes', () => {
  const gnu = (names: readonly string[]) => layerOf(Buffer.concat([...names.flatMap((name) => {
    const head = (fields: { name: string; type: string; bytes: number }) => {
      const block = Buffer.from(layer([{ name: fields.name, content: Buffer.alloc(fields.bytes) }]).tar.subarray(0, 512));
      block.write('ustar  \0', 257, 'latin1');
      block.write(fields.type, 156, 'latin1');
      block.fill(0x20, 148, 156);
      block.write(`${block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
      return block;
    };
    const body = Buffer.alloc(Math.ceil((name.length + 1) / 512) * 512);
    body.write(name, 'latin1');
    return [head({ name: '././@LongLink', type: 'L', bytes: name.length + 1 }), body, head({ name: name.slice(0, 100), type: '0', bytes: 0 })];
  }), Buffer.alloc(1024)]));
  const names = Array.from({ length: 40 }, (_none, n) => `${LONG}/${n}`), target = gnu(names);
  const index = indexTar(viewOf(target.tar), 100), header = target.tar.subarray(index.entry(3).startBytes, index.entry(3).contentBytes);
  assert.equal(index.count, 40);
  assert.equal(pathOf(header), names[3]);
  assert.equal(styleOf(header), 2);
  assert.ok(roundTrip([], target, 'new') < 500);
  assert.ok(roundTrip([gnu(names.map((name) => `old/${name}`))], target, 'renamed') < 500);
});

test('layers that lend nothing are not asked for', () => {
  const base = [layer(folder('other', 40, (n) => ({ content: text(n + 500, 700) }))), layer(APP), layer([{ name: 'z', content: noise(3, 3000) }])];
  const { delta, sources } = makeDelta(base, layer(APP.map((item) => ({ ...item, mode: 0o600 }))));
  assert.deepEqual(sources, [base[1]?.diffId]);
  assert.equal(applyDelta(base.slice(1, 2), delta).error, undefined);
});

test('new content of many frames refers to what is made before', () => {
  const a = text(1, 150_000), b = text(2, 200_000), base = [layer([{ name: 'a', content: a }])];
  const target = layer([{ name: 'a', content: edited(a, 3, 10) }, { name: 'b', content: b }, { name: 'c', content: edited(b, 4, 10) }, { name: 'd', content: edited(b, 5, 10) }]);
  const { delta } = makeDelta(base, target, 16 << 20), small = makeDelta(base, layer([{ name: 'b', content: b }])).delta.length;
  assert.ok(readVaquitaHeader(delta).limits.content < 400_000, 'little memory, small frames');
  assert.ok(delta.length < small * 1.3, `${delta.length} bytes, ${small} for the new file alone`);
  assert.ok(applyDelta(base, delta, { memoryBytes: 32 << 20 }).tar.equals(target.tar));
});

test('thousands of small files that all changed', () => {
  const files = (word: string) => layer(Array.from({ length: 9000 }, (_none, n) => ({ name: `lib/${n % 50}/${n}.js`, content: `${word}(${n * 7919})` })));
  const base = [files('require')], target = files('import'), { delta } = makeDelta(base, target);
  assert.ok(applyDelta(base, delta).tar.equals(target.tar));
  assert.ok(delta.length < 40_000, `${delta.length} bytes`);
});

test('a large file that changed in places is made of pieces', () => {
  const old = Buffer.concat(Array.from({ length: 80 }, (_none, n) => noise(n, 110_000))), moved = Buffer.concat([old.subarray(3_000_000, 6_000_000), Buffer.from('here'), old.subarray(0, 3_000_000), old.subarray(6_100_000)]);
  const base = [layer([{ name: 'small', content: 'x' }, { name: 'large', content: old }])], target = layer([{ name: 'large', content: moved }, { name: 'after', content: 'y' }]);
  const { delta } = makeDelta(base, target), { tar, error } = applyDelta(base, delta, { pieceBytes: 99 });
  assert.equal(error, undefined);
  assert.ok(tar.equals(target.tar));
  assert.ok(delta.length < 300, `${delta.length} bytes`);
  const at = indexTar(viewOf(base[0]?.tar ?? old), 10).entry(1).contentBytes + 7_000_000;
  assert.match(messageOf(applyDelta([{ diffId: base[0]?.diffId ?? '', tar: spoiled(base[0]?.tar ?? old, at, 4) }], delta).error), /was made: "large" of base layer/);
});

test('a file of megabytes that changed in one place is no more than that place', () => {
  const old = noise(60, 1_500_000), base = [layer([{ name: 'bundle', content: old }])], target = layer([{ name: 'bundle', content: edited(old, 2, 1) }]), { delta } = makeDelta(base, target);
  assert.ok(applyDelta(base, delta).tar.equals(target.tar));
  assert.ok(delta.length < 220, `${delta.length} bytes`);
});

test('frames leave room for the patch of a program of two megabytes', () => {
  const { old, made } = linkedTwice('x86-64', { seed: 5, functions: 12_000 });
  assert.ok(old.length > 2 << 20 && old.length < 4 << 20);
  const base = [layer([{ name: 'program', content: old }])], target = layer([{ name: 'program', content: made }]), { delta } = makeDelta(base, target, 384 << 20);
  assert.ok(applyDelta(base, delta).tar.equals(target.tar));
  assert.ok(delta.length < 700, `${delta.length} bytes`);
});

test('a damaged base is told as such, with layer and file, before anything is made of it', () => {
  const old = text(50, 40_000), lib = noise(51, 6000);
  const base = [layer([...APP, { name: 'changed', content: old }, { name: 'kept', content: lib }, { name: 'moved', content: noise(52, 3000) }])];
  const { tar, diffId } = base[0] ?? layer([]);
  const target = layer([{ name: 'kept', content: lib }, { name: 'elsewhere', content: noise(52, 3000) }, { name: 'changed', content: edited(old, 1) }]);
  const { delta } = makeDelta(base, target), index = indexTar(viewOf(tar), 1000);
  const contentOf = (file: string): number => {
    for (let n = 0; n < index.count; n++) {
      const { startBytes, contentBytes } = index.entry(n);
      if (pathOf(tar.subarray(startBytes, contentBytes)) === file) return contentBytes;
    }
    throw new Error(file);
  };
  for (const [file, made] of [['kept', 0], ['moved', 0], ['changed', 3 * 512 + 6144 + 3072]] as const) {
    const damaged = [{ diffId, tar: spoiled(tar, contentOf(file) + 2500, 1) }], { error, tar: output } = applyDelta(damaged, delta);
    assert.equal(kindOf(error), 'corrupt');
    assert.match(messageOf(error), new RegExp(`the base is not what it was when the delta was made: "${file}" of base layer ${diffId}$`));
    if (made > 0) assert.equal(output.length, made, 'nothing of the frame');
  }
  const header = applyDelta([{ diffId, tar: spoiled(tar, contentOf('kept') - 512 + 106, 1) }], delta);
  assert.equal(kindOf(header.error), 'corrupt');
  assert.equal(header.tar.length, 0);
  const shorter = applyDelta([{ diffId, tar: tar.subarray(0, -512) }], delta);
  assert.match(messageOf(shorter.error), /has \d+ bytes, not the \d+ it had/);
  assert.match(messageOf(applyDelta([], delta).error), /needs layer sha256:[0-9a-f]{64}, which is not here/);
});
