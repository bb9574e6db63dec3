// Suffix arrays and alignments against the simplest way to say what they are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rng } from '../../../../test/kit/random.ts';
import { FileAligner } from './align-files.ts';
import { align, TextIndex } from './align.ts';
import { suffixArray } from './suffix-array.ts';

/** Bytes of few different letters repeat themselves, which is what makes sorting hard. */
function randomBytes(seed: number, most: number): Buffer {
  const random = rng(seed), letters = [1, 2, 3, 8, 256][seed % 5] ?? 2;
  return Buffer.from(Array.from({ length: Math.floor(random() * most) }, () => Math.floor(random() * letters)));
}

test('a suffix array holds the suffixes in their order', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const text = randomBytes(seed, 200), expected = Array.from(text, (_, k) => k).sort((a, b) => Buffer.compare(text.subarray(a), text.subarray(b)));
    assert.deepEqual([...suffixArray(text, new Int32Array(250))], expected, `seed ${seed}`);
  }
});

test('the longest match is found', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const text = randomBytes(seed, 120), bytes = randomBytes(seed + 5000, 40), index = new TextIndex(text);
    for (let from = 0; from + 1 < bytes.length; from++) {
      let best = 0;
      for (let at = 0; at < text.length; at++) {
        let length = 0;
        while (at + length < text.length && from + length < bytes.length && text[at + length] === bytes[from + length]) length++;
        best = Math.max(best, length);
      }
      // A single byte is no match: the search begins with two.
      const found = index.search(bytes, from);
      if (best > 1) assert.equal(found, best, `seed ${seed} at ${from}`);
      assert.ok(text.subarray(index.at, index.at + found).equals(bytes.subarray(from, from + found)));
    }
  }
});

test('regions are inside of both, in order, and at least half of each agrees', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = rng(seed), text = randomBytes(5 * seed + 4, 3000), cut = Math.floor(random() * text.length), bytes = Buffer.concat([text.subarray(cut), randomBytes(seed, 50), text.subarray(0, cut)]);
    for (let k = 0; k < bytes.length; k += 97) bytes[k] = 0;
    let end = 0, covered = 0;
    align(new TextIndex(text), bytes, (newAt, oldAt, length) => {
      assert.ok(newAt >= end && oldAt >= 0 && oldAt + length <= text.length && newAt + length <= bytes.length);
      let same = 0;
      for (let k = 0; k < length; k++) if (text[oldAt + k] === bytes[newAt + k]) same++;
      assert.ok(same * 2 >= length);
      end = newAt + length;
      covered += length;
    });
    assert.ok(covered >= bytes.length - 200, `${covered} of ${bytes.length}`);
  }
});

test('pieces find their part of a file that is larger than the memory', () => {
  const random = rng(3), block = (): Buffer => Buffer.from(Array.from({ length: 1 << 16 }, () => Math.floor(random() * 256)));
  const blocks = Array.from({ length: 16 }, block), old = Buffer.concat(blocks), made = Buffer.concat([9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8].map((k) => blocks[k] ?? block()));
  const readers = { readOld: (from: number, into: Buffer) => { old.copy(into, 0, from); }, readNew: (from: number, into: Buffer) => { made.copy(into, 0, from); } };
  using aligner = new FileAligner({ oldBytes: old.length, newBytes: made.length, memoryBytes: 8 << 20 });
  for (let pass = 0; pass < 2; pass++) {
    const { count, bytes } = aligner.align(readers);
    assert.ok(count < 8, `${count} regions`);
    // One piece lies where the end of the file met its beginning, and has but one part.
    assert.ok(bytes.reduce((sum, n) => sum + n, 0) >= made.length - (1 << 16));
  }
});
