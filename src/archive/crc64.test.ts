import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Crc64 } from './crc64.ts';

/** Bit by bit, as the polynomial says. */
function slow(bytes: Uint8Array): string {
  let state = (1n << 64n) - 1n;
  for (const byte of bytes) {
    state ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) state = state & 1n ? (state >> 1n) ^ 0xd800000000000000n : state >> 1n;
  }
  const result = Buffer.alloc(8);
  result.writeBigUInt64BE(state ^ ((1n << 64n) - 1n));
  return result.toString('base64');
}

test('the check value of CRC-64 ISO', () => {
  const crc = new Crc64();
  crc.update(Buffer.from('123456789'));
  assert.equal(Buffer.from(crc.take(), 'base64').toString('hex'), 'b90956c775a41001');
  assert.equal(crc.take(), 'AAAAAAAAAAA=', 'of nothing');
});

test('every length, alignment and division gives the sum of the definition', () => {
  const crc = new Crc64({ bufferBytes: 65536 });
  for (let i = 0; i < crc.buffer.length; i++) crc.buffer[i] = (i * 167 + (i >> 7)) & 0xff;
  const outside = Uint8Array.from(crc.buffer);
  for (let length = 0; length < 140; length++) {
    const want = slow(outside.subarray(length % 9, length % 9 + length));
    crc.update(crc.buffer, length % 9, length % 9 + length);
    assert.equal(crc.take(), want, `${length} bytes in place`);
    const half = length >> 1;
    crc.update(outside, length % 9, length % 9 + half);
    crc.update(crc.buffer, length % 9 + half, length % 9 + length);
    assert.equal(crc.take(), want, `${length} bytes in two parts`);
  }
});

test('bytes outside of the buffer are summed in pieces', () => {
  const crc = new Crc64();
  const bytes = new Uint8Array(150_001).map((_, i) => i * 31 + (i >> 9));
  crc.update(bytes);
  assert.equal(crc.take(), slow(bytes));
});
