// Deltas that a real balenaEngine made: they apply here, and what is made here of the same images is no larger.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { TarReader } from '../../archive/tar-read.ts';
import { openLibrsyncReference } from '../../../test/kit/librsync-reference.ts';
import { joinViews, viewOf } from '../bytes.ts';
import { indexBase } from './index.ts';
import { EMPTY_LAYER_DIFF_ID, deltaLayerTar, openDeltaLayer } from './layer.ts';

const CORPUS = new URL('../../../test/corpus/balena-deltas/', import.meta.url);

test('deltas of a real balenaEngine apply, and ours are no larger, bare and compressed', () => {
  let deltas = 0, smaller = 0;
  for (const name of readdirSync(CORPUS)) {
    const vector = JSON.parse(readFileSync(new URL(`${name}/vector.json`, CORPUS), 'utf8')) as { base_layers: string[]; target_layers: string[]; delta_layers: Array<{ sha256: string }> };
    const [baseLayers, deltaLayers, targetLayers] = ['base', 'delta', 'target'].map((which) => layersOf(name, which));
    assert.deepEqual(baseLayers?.map(sha256), vector.base_layers);
    assert.deepEqual(deltaLayers?.map(sha256), vector.delta_layers.map((layer) => layer.sha256));
    const base = joinViews((baseLayers ?? []).map(viewOf));
    const index = indexBase(base, { memoryBytes: 64 << 20 });
    const reference = openLibrsyncReference(Buffer.concat(baseLayers ?? []));
    deltaLayers?.forEach((layer, n) => {
      const target = targetLayers?.[n] ?? Buffer.alloc(0);
      if (sha256(layer) === EMPTY_LAYER_DIFF_ID) {
        assert.equal(vector.target_layers[n], vector.base_layers[n], name);
        return;
      }
      assert.equal(sha256(applied(layer)), vector.target_layers[n], `${name} layer ${n}`);
      const made: Buffer[] = [];
      index.diff(viewOf(target), (bytes, start, end) => { made.push(Buffer.from(bytes.subarray(start, end))); });
      const ours = Buffer.concat(made), theirs = contentOf(layer);
      assert.ok(theirs.equals(reference(target)), 'the yardstick of the other tests is balenaEngine, byte for byte');
      assert.ok(wrapped(theirs).equals(layer), 'and so is the tar around it');
      assert.equal(sha256(applied(wrapped(ours))), vector.target_layers[n], name);
      // Of a delta of a few hundred bytes, a few may be more once they are compressed.
      assert.ok(ours.length <= theirs.length && zipped(ours) <= zipped(theirs) + 32, `${name} layer ${n}: ${ours.length} and ${zipped(ours)} bytes, theirs ${theirs.length} and ${zipped(theirs)}`);
      deltas++;
      if (zipped(ours) < 0.9 * zipped(theirs)) smaller++;
    });

    function applied(layer: Buffer): Buffer {
      const out: Buffer[] = [];
      const decoder = openDeltaLayer(base, (bytes, start, end) => { out.push(Buffer.from(bytes.subarray(start, end))); });
      decoder.write(layer, 0, layer.length);
      decoder.finish();
      return Buffer.concat(out);
    }
  }
  assert.ok(deltas >= 4 && smaller >= 2, `${deltas} deltas, ${smaller} of them are made smaller`);
});

const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const zipped = (bytes: Buffer): number => gzipSync(bytes).length;

function wrapped(delta: Buffer): Buffer {
  const { header, trailer } = deltaLayerTar(delta.length);
  return Buffer.concat([header, delta, trailer]);
}

const contentOf = (layer: Buffer): Buffer => filesOf(layer).values().next().value ?? Buffer.alloc(0);

/** Of an image as `docker save` writes it. */
function layersOf(name: string, which: string): Buffer[] {
  const files = filesOf(gunzipSync(readFileSync(new URL(`${name}/${which}.tar.gz`, CORPUS))));
  const [image] = JSON.parse(files.get('manifest.json')?.toString() ?? '[]') as Array<{ Layers: string[] }>;
  return (image?.Layers ?? []).map((path) => files.get(path) ?? Buffer.alloc(0));
}

function filesOf(tar: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  let name = '';
  const reader = new TarReader({
    raw() {}, hole() {}, entryEnd() {},
    // A layer that is in the image twice is a link the second time, such as ../ID/layer.tar.
    entry: (entry) => { name = entry.name; files.set(name, (entry.type === 'symlink' ? files.get(entry.linkName.slice('../'.length)) : undefined) ?? Buffer.alloc(0)); },
    data: (bytes, start, end) => { files.set(name, Buffer.concat([files.get(name) ?? Buffer.alloc(0), bytes.subarray(start, end)])); },
  });
  reader.write(tar);
  reader.finish();
  return files;
}
