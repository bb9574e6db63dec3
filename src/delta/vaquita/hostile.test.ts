// Promises of the decoder to whoever sends it anything: `corrupt`, nothing read outside the base, no more put out than was declared, no more memory, no endless work.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants, brotliCompressSync, zstdCompressSync } from 'node:zlib';
import { corrupt, kindOf, messageOf } from '../../lib/errors.ts';
import { linkedTwice } from '../../../test/kit/executables.ts';
import { rng } from '../../../test/kit/random.ts';
import { applyDelta, edited, layer, layerOf, makeDelta, putTogether, takeApart, text, type Layer } from '../../../test/kit/vaquita.ts';
import { viewOf, type ByteView } from '../bytes.ts';
import { FRAME, neededMemory, readVaquitaHeader, varint, writeFrame, writeHeader, type Limits, type VaquitaHeader } from './format.ts';
import { encodePicks } from './picks.ts';

const program = linkedTwice('x86-64', { seed: 3, functions: 120 });
const BASE = [
  layer([{ name: 'bin', content: program.old }, { name: 'same', content: text(1, 3000) }, { name: 'moved', content: text(2, 2000) }, { name: 'changed', content: text(3, 4000) }]),
  layer([{ name: 'other/dir/file', content: text(4, 900) }]),
];
const TARGET = layer([
  { name: 'bin', content: program.made }, { name: 'same', content: text(1, 3000) }, { name: 'elsewhere', content: text(2, 2000) }, { name: 'changed', content: edited(text(3, 4000), 1, 2) },
  { name: 'twice', content: edited(text(3, 4000), 1, 2) }, { name: 'other/dir/file', content: `${text(4, 900).toString('latin1')}!` },
]);
const { delta: DELTA } = makeDelta(BASE, TARGET);
const HEADER = readVaquitaHeader(DELTA);

/** A base that notices when it is read outside. */
function guarded(tar: Buffer): ByteView {
  const view = viewOf(tar);
  return {
    sizeBytes: tar.length,
    read(position, into, range) {
      assert.ok(position >= 0 && position + range.end - range.start <= tar.length, `read at ${position}`);
      assert.ok(range.start >= 0 && range.end <= into.length && range.start <= range.end);
      view.read(position, into, range);
    },
  };
}

/** Applies what may be nonsense. What does not end in `corrupt` must be the target. */
function applyNonsense(delta: Buffer, what: string): void {
  const { tar, error } = applyDelta(BASE, delta, { view: guarded, pieceBytes: 8192 });
  if (error === undefined) assert.ok(tar.equals(TARGET.tar) || readVaquitaHeader(delta).target.tarBytes === tar.length, what);
  else if (kindOf(error) !== 'corrupt') throw new Error(what, { cause: error });
  if (tar.length > 0) assert.ok(tar.length <= readVaquitaHeader(delta).target.tarBytes, `${what}: ${tar.length} bytes`);
}

test('the delta that the others are made from has frames of every kind but one', () => {
  assert.ok(applyDelta(BASE, DELTA, { view: guarded }).tar.equals(TARGET.tar));
  assert.deepEqual(new Set(takeApart(DELTA).frames.map(({ type }) => type)), new Set([FRAME.entries, FRAME.content, FRAME.patch, FRAME.end]));
  assert.ok(putTogether(takeApart(DELTA)).equals(DELTA));
});

test('every byte that is wrong is noticed at its frame', () => {
  for (let at = 0; at < DELTA.length; at++) {
    const damaged = Buffer.from(DELTA);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << at % 8);
    const { error, tar } = applyDelta(BASE, damaged);
    assert.equal(kindOf(error), 'corrupt', `byte ${at}`);
    assert.ok(TARGET.tar.subarray(0, tar.length).equals(tar), `byte ${at}: nothing of a damaged frame is put out`);
  }
});

test('every place of an executable of the base that is wrong is told with its name', () => {
  const [first, ...others] = BASE;
  assert.ok(first !== undefined);
  for (let at = 512; at < 512 + program.old.length; at += 997) {
    const tar = Buffer.from(first.tar);
    tar[at] = (tar[at] ?? 0) ^ 0x10;
    const { error, tar: made } = applyDelta([{ ...first, tar }, ...others], DELTA, { view: guarded });
    if (error === undefined) assert.ok(made.equals(TARGET.tar), `byte ${at} is in no way used`);
    else assert.match(messageOf(error), /"bin" of base layer/, `byte ${at}: ${messageOf(error)}`);
  }
});

test('cut short anywhere, or followed by anything', () => {
  for (let at = 0; at < DELTA.length; at++) assert.equal(kindOf(applyDelta(BASE, DELTA.subarray(0, at)).error), 'corrupt', `at ${at}`);
  for (const more of [Buffer.alloc(1), Buffer.alloc(64), DELTA]) assert.equal(kindOf(applyDelta(BASE, Buffer.concat([DELTA, more])).error), 'corrupt');
});

test('bytes that are wrong under right checksums: corrupt, or what was declared', () => {
  const { head, frames } = takeApart(DELTA);
  for (let at = 5; at < head.length; at++) for (const bits of [1, 0x80, 0xff]) {
    const wrong = Buffer.from(head);
    wrong[at] = (wrong[at] ?? 0) ^ bits;
    applyNonsense(putTogether({ head: wrong, frames }), `header byte ${at} ^ ${bits}`);
  }
  frames.forEach(({ payload }, index) => {
    for (let at = 0; at < payload.length; at += Math.ceil(payload.length / 150)) {
      const wrong = Buffer.from(payload);
      wrong[at] = (wrong[at] ?? 0) ^ (1 << at % 8);
      applyNonsense(putTogether({ head, frames: frames.map((frame, other) => other === index ? { ...frame, payload: wrong } : frame) }), `frame ${index}, byte ${at}`);
    }
  });
});

test('frames in any order, of any type, of any bytes', () => {
  const { head, frames } = takeApart(DELTA);
  for (let seed = 1; seed <= 400; seed++) {
    const random = rng(seed), pick = (count: number) => Math.floor(random() * count);
    const some = Array.from({ length: 1 + pick(6) }, () => {
      const frame = frames[pick(frames.length)] ?? { type: 0, payload: Buffer.alloc(0) };
      if (random() < 0.4) return { type: pick(8), payload: Buffer.from(Array.from({ length: pick(300) }, () => pick(256))) };
      return random() < 0.2 ? { ...frame, type: pick(8) } : frame;
    });
    try { applyNonsense(putTogether({ head, frames: some }), `order ${seed}`); } catch (error) { throw new Error(`seed ${seed}`, { cause: error }); }
  }
});

const NO_LIMITS: Limits = { waiting: 4096, content: 4096, dictionary: 4096, headers: 4096, patches: 0 };
const bare = (changes: Partial<VaquitaHeader> & { limits?: Limits }): Buffer => writeHeader({ features: 0, target: { ...HEADER.target, entries: 0 }, sources: [], limits: NO_LIMITS, ...changes });
const fails = (delta: Buffer, words: RegExp, base: readonly Layer[] = []): void => {
  const { error } = applyDelta(base, delta);
  assert.equal(kindOf(error), 'corrupt', messageOf(error));
  assert.match(messageOf(error), words);
};

test('what needs more memory than is allowed is refused before anything is allocated or read', () => {
  const asked: string[] = [], view = (): ByteView => { asked.push('base'); throw corrupt('asked'); };
  const largest = { waiting: 2 ** 47, content: 2 ** 47, dictionary: 2 ** 47, headers: 2 ** 47, patches: 2 ** 47 };
  for (const limits of [largest, ...Object.keys(largest).map((name) => ({ ...NO_LIMITS, [name]: 2 ** 40 }))]) {
    const { error } = applyDelta(BASE, bare({ limits, sources: HEADER.sources }), { view });
    assert.match(messageOf(error), /^the delta needs \d+ bytes of memory to apply, 67108864 are allowed$/);
  }
  fails(bare({ target: { ...HEADER.target, tarBytes: 2 ** 46, entries: 2 ** 36 } }), /needs \d+ bytes of memory/);
  fails(bare({ target: { ...HEADER.target, entries: 2 ** 30 } }), /\d+ entries in a tar of/);
  assert.deepEqual(asked, []);
  assert.equal(neededMemory(HEADER), HEADER.memoryBytes);
});

test('frames are held to what was declared', () => {
  const content = (packed: Buffer, bytes: number, picks: Uint8Array = Buffer.alloc(0), check = Buffer.alloc(0)) => writeFrame(FRAME.content, varint(bytes), varint(picks.length), picks, check, packed);
  const wants = writeFrame(FRAME.opaque, varint(4000)), bomb = Buffer.alloc(1 << 20), packings: ReadonlyArray<[number, Buffer]> = [
    [0, brotliCompressSync(bomb, { params: { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_LGWIN]: 16 } })], [1, zstdCompressSync(bomb)], [0, brotliCompressSync(bomb, { params: { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_LGWIN]: 24 } })],
  ];
  for (const [kind, packed] of packings) fails(Buffer.concat([bare({}), wants, content(Buffer.concat([Buffer.from([kind]), packed]), 4000)]), /more than the 4000 bytes|needs a window|too much memory/);
  fails(Buffer.concat([bare({}), wants, content(Buffer.from([0]), 5000)]), /5000 bytes of content, 4096 are declared/);
  fails(Buffer.concat([bare({}), wants, content(Buffer.from([7]), 4000)]), /packed in way 7/);
  fails(Buffer.concat([bare({}), writeFrame(FRAME.content, Buffer.alloc(8000))]), /takes more than the 4096 bytes/);
  fails(Buffer.concat([bare({}), ...Array.from({ length: 5 }, () => content(Buffer.alloc(1000), 10))]), /takes more than the 4096 bytes/);
  fails(Buffer.concat([bare({}), Buffer.from([FRAME.entries, 255, 255, 255, 255, 255, 255, 255, 255, 1])]), /more than (48 bits|the 4096 bytes)|shorter/);
  const large = encodePicks([{ entry: 0, from: 0, to: 2 ** 40 }]);
  fails(Buffer.concat([bare({}), wants, content(Buffer.from([0]), 4000, large, Buffer.alloc(8))]), /dictionary of more than the 4096 bytes/);
  const outside = encodePicks([{ entry: 1, from: 5000, to: 6000 }]), sources = HEADER.sources.slice(0, 1);
  fails(Buffer.concat([bare({ sources }), wants, content(Buffer.from([0]), 4000, outside, Buffer.alloc(8))]), /bytes 5000 to 6000 of "same"/, BASE);
  const own = encodePicks([{ entry: 0, from: 0, to: 10 }]);
  fails(Buffer.concat([bare({}), wants, content(Buffer.from([0]), 4000, own, Buffer.alloc(8))]), /has not made yet/);
});

test('an end that is none', () => {
  const zeros = (count: number) => writeFrame(FRAME.end, varint(count)), { tarBytes } = HEADER.target;
  fails(Buffer.concat([bare({}), zeros(tarBytes + 1)]), /makes more than/);
  fails(Buffer.concat([bare({}), zeros(2 ** 45)]), /makes more than/);
  fails(Buffer.concat([bare({}), zeros(tarBytes - 1)]), /makes \d+ of the \d+ bytes/);
  fails(Buffer.concat([bare({ target: { ...HEADER.target, entries: 1 } }), zeros(tarBytes)]), /makes 0 of the 1 entries/);
  fails(Buffer.concat([bare({}), zeros(tarBytes), zeros(0)]), /where nothing is due/);
  fails(Buffer.concat([bare({}), writeFrame(FRAME.opaque, varint(2 ** 45))]), /cut short/);
});

test('later versions, unknown features, other formats', () => {
  fails(Buffer.concat([Buffer.from('VQDL'), Buffer.from([2]), Buffer.alloc(20)]), /of version 2 of the format vaquita, this engine knows 1/);
  fails(bare({ features: 2 }), /needs features of a later version \(2\)/);
  fails(Buffer.from('rs\x026, and more'), /no delta of the format vaquita/);
  fails(layerOf(Buffer.alloc(1024)).tar, /no delta/);
});
