// The format is what it was: deltas that were written once still make their targets (docs/delta-format.md).
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32, gunzipSync } from 'node:zlib';
import { applyDelta, layerOf, makeDelta, takeApart } from '../../../test/kit/vaquita.ts';
import { readVaquitaHeader, type VaquitaHeader } from './format.ts';

const CORPUS = join(import.meta.dirname, '../../../test/corpus/vaquita-deltas');

interface Vector {
  what: string;
  header: Omit<VaquitaHeader, 'memoryBytes'>;
  frames: Array<{ type: number; length: number; payloadCrc: number }>;
}

for (const name of readdirSync(CORPUS)) {
  const read = (file: string): Buffer => readFileSync(join(CORPUS, name, file));
  const vector = JSON.parse(read('vector.json').toString('utf8')) as Vector, delta = read('delta');
  test(`vector ${name}: ${vector.what}`, () => {
    const base = vector.header.sources.map((source, index) => {
      const layer = layerOf(gunzipSync(read(`base-${index}.tar.gz`)));
      assert.equal(layer.diffId, source.diffId);
      return layer;
    });
    const { memoryBytes, ...header } = readVaquitaHeader(delta);
    assert.deepEqual(header, vector.header);
    assert.deepEqual(takeApart(delta).frames.map(({ type, payload }) => ({ type, length: payload.length, payloadCrc: crc32(payload) })), vector.frames);
    const { tar, error } = applyDelta(base, delta, { pieceBytes: 1021, memoryBytes });
    assert.equal(error, undefined);
    assert.equal(layerOf(tar).diffId, header.target.diffId);
    assert.ok(tar.equals(gunzipSync(read('target.tar.gz'))));
    // What is made today of the same is no larger.
    assert.ok(makeDelta(base, layerOf(tar)).delta.length <= delta.length * 1.02 + 8 || name === 'pieces');
  });
}
