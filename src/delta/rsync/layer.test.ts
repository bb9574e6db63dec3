import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tarBytes } from '../../archive/tar-write.ts';
import { viewOf } from '../bytes.ts';
import { EMPTY_LAYER, EMPTY_LAYER_DIFF_ID, deltaLayerTar, openDeltaLayer } from './layer.ts';

const BASE = viewOf(Buffer.from('0123456789'));
/** Makes "ab234". */
const DELTA = Buffer.from('727302360261624502' + '0300', 'hex');

function unwrapped(layer: Uint8Array, step = layer.length): string {
  let out = '';
  const decoder = openDeltaLayer(BASE, (bytes, start, end) => { out += bytes.toString('latin1', start, end); });
  for (let at = 0; at < layer.length; at += step) decoder.write(Buffer.from(layer), at, Math.min(layer.length, at + step));
  decoder.finish();
  return out;
}

test('a delta layer is unwrapped in pieces of any size, whatever its entry is called and whatever follows it', () => {
  const { header, trailer } = deltaLayerTar(DELTA.length);
  const layer = Buffer.concat([header, DELTA, trailer]);
  assert.deepEqual(layer, tarBytes([{ name: 'delta', type: 'file', mode: 0o600, content: DELTA }]));
  for (const step of [1, 7, 511, 512, 513, 4096]) assert.equal(unwrapped(layer, step), 'ab234');
  const long = tarBytes([{ name: `${'x'.repeat(300)}/y`, type: 'file', mode: 0o644, content: DELTA }, { name: 'delta', type: 'file', mode: 0o600, content: 'not this one' }]);
  for (const step of [100, 5000]) assert.equal(unwrapped(long, step), 'ab234');
  assert.equal(unwrapped(Buffer.concat([header, DELTA])), 'ab234', 'no padding, no end');
  assert.equal(unwrapped(Buffer.concat([layer, Buffer.from('rubbish')])), 'ab234');
});

test('layers without a delta, and with half of one, are refused', () => {
  const { header, trailer } = deltaLayerTar(DELTA.length);
  const tar = (content: Buffer) => tarBytes([{ name: 'delta', type: 'file', mode: 0o600, content }]);
  for (const [layer, message] of [
    [EMPTY_LAYER, 'unexpected EOF, invalid delta tar archive'],
    [new Uint8Array(0), 'unexpected EOF, invalid delta tar archive'],
    [header.subarray(0, 400), 'unexpected EOF, invalid delta tar archive'],
    [Buffer.concat([header, DELTA.subarray(0, 6)]), 'applying delta: unexpected EOF'],
    [tar(DELTA.subarray(0, 8)), 'applying delta: unexpected EOF'],
    [tar(Buffer.alloc(0)), 'applying delta: unexpected EOF'],
    [tar(Buffer.from('baaaaaad', 'hex')), 'applying delta: Got magic number baaaaaad rather than expected value 72730236'],
    [tarBytes([{ name: 'delta', type: 'dir', mode: 0o755 }]), 'invalid delta tar archive: its first entry is no plain file'],
    [Buffer.concat([Buffer.alloc(512, 'x'), DELTA, trailer]), 'tar: a header block has a wrong checksum'],
  ] as const) assert.throws(() => unwrapped(layer, 300), { kind: 'corrupt', message });
  assert.equal(EMPTY_LAYER_DIFF_ID, 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef');
});
