// Streaming compression without streams: bytes go in and come out within one call, through one buffer that is used again and again.
//
// node:zlib's own classes hand every piece of output over in a fresh Buffer and on a thread of a pool; for 400 MB that is 60 MB of
// garbage at the worst moment. Their binding can also be called directly (`_handle.writeSync`), which this file does and nothing else.
import { constants, createBrotliDecompress, createDeflateRaw, createGunzip, createGzip, createInflateRaw, createZstdDecompress } from 'node:zlib';
import { corrupt } from '../lib/errors.ts';

/** How bytes are packed. */
export type Packing = 'none' | 'gzip' | 'zstd';

/** What comes out: the memory is used again when the call returns. */
export type Output = (bytes: Buffer, start: number, end: number) => void;

export interface Codec {
  write(bytes: Buffer, start?: number, end?: number): void;
  /** No more input; throws `corrupt` when the packed stream is cut short. */
  finish(): void;
  /** Frees the memory of the C library. Always to be called. */
  close(): void;
}

/** Frames of zstd tell how much memory reading them takes: what `zstd -19` writes needs 8 MiB, the utmost level 128 MiB. */
const MAX_ZSTD_WINDOW_LOG = 26;
/** Longest magic number looked for. */
const MAGIC_BYTES = 6;

/** What the first bytes say. Fewer than 6 bytes only at the end of the stream. Packings that nobody unpacks here are refused by name. */
export function detectPacking(head: Uint8Array): Packing {
  const starts = (...magic: number[]) => magic.every((byte, index) => head[index] === byte);
  if (starts(0x1f, 0x8b)) return 'gzip';
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd';
  if (head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18 && ((head[0] ?? 0) & 0xf0) === 0x50) return 'zstd'; // begins with a skippable frame
  if (starts(0x42, 0x5a, 0x68)) throw corrupt('bytes packed with bzip2 are not supported; gzip, zstd and none are');
  if (starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) throw corrupt('bytes packed with xz are not supported; gzip, zstd and none are');
  return 'none';
}

/** Unpacks whatever comes, by its first bytes: what a manifest says of it is not always so. `buffer` is what output goes through. */
export function openUnpacker(buffer: Buffer, output: Output): Codec {
  const head = Buffer.alloc(MAGIC_BYTES);
  let held = 0;
  let codec: Codec | undefined;
  const begin = () => {
    codec = openInflater(detectPacking(head.subarray(0, held)), { buffer, output });
    codec.write(head, 0, held);
    return codec;
  };
  return {
    write(bytes, start = 0, end = bytes.length) {
      if (codec === undefined) {
        const n = bytes.copy(head, held, start, end);
        held += n;
        start += n;
        if (held < MAGIC_BYTES) return;
        begin();
      }
      if (start < end) codec?.write(bytes, start, end);
    },
    finish() { (codec ?? begin()).finish(); },
    close() { codec?.close(); },
  };
}

export function openInflater(packing: Packing, { buffer, output }: { buffer: Buffer; output: Output }): Codec {
  switch (packing) {
    case 'none': return { write: (bytes, start = 0, end = bytes.length) => output(bytes, start, end), finish() {}, close() {} };
    case 'gzip': return codecOf(createGunzip(), { packing, buffer, output, endFlush: constants.Z_FINISH });
    case 'zstd': {
      const params = { [constants.ZSTD_d_windowLogMax]: MAX_ZSTD_WINDOW_LOG };
      return codecOf(createZstdDecompress({ params }), { packing, buffer, output, endFlush: constants.ZSTD_e_end });
    }
    default: return packing satisfies never;
  }
}

/** Packs into one gzip member without name or time, so that equal input gives equal output. */
export function openGzip({ level, buffer, output }: { level: number; buffer: Buffer; output: Output }): Codec {
  return codecOf(createGzip({ level }), { packing: 'gzip', buffer, output, endFlush: constants.Z_FINISH });
}

/** Packs small blocks one by one and unpacks them again, in memory, with the state of the C library made once. */
export interface BlockCodec {
  /** A fresh buffer of exactly the packed size. */
  pack(bytes: Buffer, length: number): Buffer;
  /** Fills `into` from its beginning; gives how many bytes there were. */
  unpack(packed: Buffer, into: Buffer): number;
  close(): void;
}

/** For blocks of at most `blockBytes`. */
export function openBlockCodec({ blockBytes, level }: { blockBytes: number; level: number }): BlockCodec {
  const deflate = createDeflateRaw({ level }) as unknown as Binding;
  const inflate = createInflateRaw() as unknown as Binding;
  const room = Buffer.allocUnsafeSlow(blockBytes + (blockBytes >> 8) + 64); // what cannot be packed grows by a few bytes per 16 KiB
  const run = (binding: Binding, from: { bytes: Buffer; length: number }, into: Buffer): number => {
    binding.reset();
    let failure: string | undefined;
    binding._handle.onerror = (message) => { failure = message; };
    binding._handle.writeSync(constants.Z_FINISH, from.bytes, 0, from.length, into, 0, into.length);
    if (failure !== undefined || binding._writeState[1] !== 0) throw corrupt(`deflate: ${failure ?? 'a block has no room'}`);
    return into.length - (binding._writeState[0] ?? 0);
  };
  return {
    pack(bytes, length) {
      const packedBytes = run(deflate, { bytes, length }, room);
      const packed = Buffer.allocUnsafeSlow(packedBytes);
      room.copy(packed, 0, 0, packedBytes);
      return packed;
    },
    unpack: (packed, into) => run(inflate, { bytes: packed, length: packed.length }, into),
    close() { deflate.close(); inflate.close(); },
  };
}

/** Unpacks what was packed as a whole into the beginning of `into`, and says how much it is. Errors: corrupt, also when it is more than `into` can hold or needs a larger window. */
export function unpackInto(into: Buffer, packed: Buffer, { packing, dictionary, windowLog }: { packing: 'brotli' | 'zstd'; dictionary: Buffer; windowLog: number }): number {
  const options: object = dictionary.length > 0 ? { dictionary } : {}; // the types do not know that brotli has them, too
  if (packing === 'brotli' && brotliWindowLog(packed) > windowLog) throw corrupt(`brotli stream: it needs a window of 2^${brotliWindowLog(packed)} bytes`);
  const binding = (packing === 'brotli' ? createBrotliDecompress(options) : createZstdDecompress({ ...options, params: { [constants.ZSTD_d_windowLogMax]: windowLog } })) as object as Binding;
  const { _handle: handle, _writeState: state } = binding;
  let failure: string | undefined;
  handle.onerror = (message) => { failure = message; };
  try {
    const flush = packing === 'brotli' ? constants.BROTLI_OPERATION_FINISH : constants.ZSTD_e_end;
    handle.writeSync(flush, packed, 0, packed.length, into, 0, into.length);
    let made = into.length - (state[0] ?? 0), left = state[1] ?? 0;
    if (failure === undefined && made === into.length) { // full: whether that was all shows when there is room for more
      const spare = Buffer.alloc(16);
      handle.writeSync(flush, packed, packed.length - left, left, spare, 0, spare.length);
      left = state[1] ?? 0;
      made += spare.length - (state[0] ?? 0);
    }
    if (failure !== undefined) throw corrupt(`${packing} stream: ${failure}`);
    if (made > into.length) throw corrupt(`${packing} stream: it holds more than the ${into.length} bytes it should`);
    if (left > 0) throw corrupt(`${packing} stream: ${left} bytes behind its end`);
    return made;
  } finally { binding.close(); }
}

/** The window that a brotli stream asks for in its first bits (RFC 7932, 9.1). */
function brotliWindowLog(packed: Buffer): number {
  const bits = packed[0] ?? 0;
  if ((bits & 1) === 0) return 16;
  const high = bits >> 1 & 7, low = bits >> 4 & 7;
  if (high !== 0) return 17 + high;
  if (low === 1) return 64; // a window of more than 24 bits, which is no part of the RFC
  return low === 0 ? 17 : 8 + low;
}

/** The binding behind the classes of node:zlib, as Node 20 to 26 have it. */
interface Binding {
  _handle: {
    writeSync(flush: number, input: Buffer, inputAt: number, inputBytes: number, out: Buffer, outAt: number, outBytes: number): void;
    onerror: (message: string, errno: number, code: string) => void;
  };
  /** Room left in the output, bytes left of the input: set by each call. */
  _writeState: Uint32Array;
  reset(): void;
  close(): void;
}

const NOTHING = Buffer.alloc(0);

function codecOf(stream: object, { packing, buffer, output, endFlush }: { packing: Packing; buffer: Buffer; output: Output; endFlush: number }): Codec {
  const binding = stream as Binding;
  const { _handle: handle, _writeState: state } = binding;
  let failure: string | undefined;
  handle.onerror = (message) => { failure = message; };
  const run = (flush: number, bytes: Buffer, start: number, end: number) => {
    let at = start;
    for (;;) {
      handle.writeSync(flush, bytes, at, end - at, buffer, 0, buffer.length);
      // First: a call that fails leaves the numbers of the one before.
      if (failure !== undefined) throw corrupt(`${packing} stream: ${failure}`);
      const room = state[0] ?? 0, left = state[1] ?? 0;
      if (room < buffer.length) output(buffer, 0, buffer.length - room);
      const moved = end - left > at || room < buffer.length;
      at = end - left;
      if (room > 0 && left === 0) return;
      // gzip stops without an error at bytes behind its end that could be padding: Docker takes none, so neither do we.
      if (!moved) throw corrupt(`${packing} stream: ${left} bytes or more behind its end are not part of it`);
    }
  };
  return {
    write: (bytes, start = 0, end = bytes.length) => run(0, bytes, start, end),
    finish: () => run(endFlush, NOTHING, 0, 0),
    close: () => binding.close(),
  };
}
