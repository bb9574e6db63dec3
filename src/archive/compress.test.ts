import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { kindOf } from '../lib/errors.ts';
import { detectPacking, openBlockCodec, openGzip, openUnpacker } from './compress.ts';

function unpack(packed: Buffer, step = packed.length): Buffer {
  const parts: Buffer[] = [];
  const codec = openUnpacker(Buffer.alloc(4096), (bytes, start, end) => { parts.push(Buffer.from(bytes.subarray(start, end))); });
  try {
    for (let at = 0; at < packed.length; at += Math.max(1, step)) codec.write(packed, at, Math.min(packed.length, at + step));
    codec.finish();
  } finally { codec.close(); }
  return Buffer.concat(parts);
}

const text = Buffer.from('all the king\'s horses and all the king\'s men '.repeat(900));
const corrupted = (pattern: RegExp) => (error: unknown) => { assert.equal(kindOf(error), 'corrupt'); assert.match(String(error), pattern); return true; };

test('plain, gzip and zstd bytes come out the same, however they are divided', () => {
  const tar = Buffer.concat([Buffer.from('a name, not a magic number'), text]);
  for (const packed of [tar, gzipSync(tar), zstdCompressSync(tar), Buffer.concat([gzipSync(tar.subarray(0, 5000)), gzipSync(tar.subarray(5000))]), Buffer.concat([zstdCompressSync(tar.subarray(0, 5000)), zstdCompressSync(tar.subarray(5000))])]) {
    for (const step of [packed.length, 1, 5, 4096]) assert.ok(unpack(packed, step).equals(tar), `${packed.subarray(0, 4).toString('hex')} by ${step}`);
  }
  assert.equal(unpack(Buffer.alloc(0)).length, 0);
  assert.equal(unpack(Buffer.from('abc')).toString(), 'abc');
});

test('streams that are cut short are corrupt, wherever the cut is', () => {
  for (const packed of [gzipSync(text), zstdCompressSync(text)]) {
    for (const keep of [7, 20, packed.length - 9, packed.length - 1]) {
      for (const step of [packed.length, 3]) assert.throws(() => unpack(packed.subarray(0, keep), step), corrupted(/(gzip|zstd) stream: unexpected end of file/), `${keep} of ${packed.length}`);
    }
  }
});

test('what comes out of a stream before its cut is its beginning, once', () => {
  const random = Buffer.from(Array.from({ length: 30_000 }, (_, n) => (n * n * 31 + (n >> 3)) & 255));
  for (const packed of [gzipSync(random), zstdCompressSync(random)]) {
    for (const keep of [40, packed.length >> 1, packed.length - 1]) {
      const parts: Buffer[] = [];
      const codec = openUnpacker(Buffer.alloc(4096), (bytes, start, end) => { parts.push(Buffer.from(bytes.subarray(start, end))); });
      try { assert.throws(() => { codec.write(packed, 0, keep); codec.finish(); }, corrupted(/end of file/)); } finally { codec.close(); }
      const got = Buffer.concat(parts);
      assert.ok(got.equals(random.subarray(0, got.length)), `${got.length} bytes of ${keep}`);
    }
  }
});

test('blocks are packed one by one and unpacked in any order; a damaged one is corrupt', () => {
  const codec = openBlockCodec({ blockBytes: 4096, level: 1 });
  try {
    const blocks = [text.subarray(0, 4096), Buffer.alloc(0), Buffer.from(Array.from({ length: 4096 }, (_, n) => (n * n * 31 + (n >> 3)) & 255)), Buffer.from('x')];
    const packed = blocks.map((block) => codec.pack(block, block.length));
    const into = Buffer.alloc(4096);
    for (const index of [2, 0, 3, 1, 0]) {
      const [block, bytes] = [blocks[index], packed[index]];
      assert.ok(block && bytes);
      assert.equal(codec.unpack(bytes, into), block.length);
      assert.ok(into.subarray(0, block.length).equals(block));
    }
    assert.throws(() => codec.unpack(Buffer.from('no deflate'), into), corrupted(/deflate/));
    assert.throws(() => codec.unpack(packed[0] ?? into, Buffer.alloc(10)), corrupted(/deflate/));
  } finally { codec.close(); }
});

test('bytes behind the end are refused, zeros too', () => {
  for (const packed of [gzipSync(text), zstdCompressSync(text)]) {
    for (const tail of [Buffer.from('garbage, more than ten'), Buffer.alloc(512)]) {
      for (const step of [packed.length + tail.length, 64]) assert.throws(() => unpack(Buffer.concat([packed, tail]), step), corrupted(/stream/));
    }
  }
});

test('damage is corrupt', () => {
  const damaged = gzipSync(text);
  damaged.fill(0xff, damaged.length >> 1, (damaged.length >> 1) + 6);
  assert.throws(() => unpack(damaged), corrupted(/gzip stream/));
  const frame = zstdCompressSync(text);
  frame[4] = (frame[4] ?? 0) | 0x08; // a bit that must not be set
  assert.throws(() => unpack(frame), corrupted(/zstd stream/));
});

test('packings that nobody unpacks are refused by name', () => {
  assert.throws(() => detectPacking(Buffer.from('BZh91AY')), corrupted(/bzip2/));
  assert.throws(() => detectPacking(Buffer.from('fd377a585a0000', 'hex')), corrupted(/xz/));
});

test('what is packed here is one deterministic gzip member', () => {
  const pack = () => {
    const parts: Buffer[] = [];
    const codec = openGzip({ level: 2, buffer: Buffer.alloc(300), output: (bytes, start, end) => { parts.push(Buffer.from(bytes.subarray(start, end))); } });
    try { for (let at = 0; at < text.length; at += 1000) codec.write(text, at, Math.min(text.length, at + 1000)); codec.finish(); } finally { codec.close(); }
    return Buffer.concat(parts);
  };
  assert.ok(gunzipSync(pack()).equals(text));
  assert.ok(pack().equals(pack()));
});
