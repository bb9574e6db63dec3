// Content of one frame, packed with a dictionary: by brotli or by zstd, whichever comes out smaller (neither always does).
import { constants, brotliCompressSync, zstdCompressSync } from 'node:zlib';
import { unpackInto } from '../../archive/compress.ts';
import { corrupt } from '../../lib/errors.ts';
import { windowLog } from './format.ts';

const BROTLI = 0, ZSTD = 1;

export function pack(content: Buffer, dictionary: Buffer): Buffer {
  const options: object = dictionary.length > 0 ? { dictionary } : {}; // the types do not know that brotli has them, too
  const log = Math.min(24, windowLog(content.length));
  const brotli = brotliCompressSync(content, {
    ...options,
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: log, [constants.BROTLI_PARAM_SIZE_HINT]: content.length },
  });
  const zstd = zstdCompressSync(content, {
    ...options, // as long as less than a window is made, zstd reaches the whole dictionary, however small the window
    params: { [constants.ZSTD_c_compressionLevel]: 22, [constants.ZSTD_c_windowLog]: Math.min(27, windowLog(content.length + dictionary.length)), [constants.ZSTD_c_contentSizeFlag]: 1 },
  });
  return zstd.length < brotli.length ? Buffer.concat([Buffer.from([ZSTD]), zstd]) : Buffer.concat([Buffer.from([BROTLI]), brotli]);
}

/** Fills `content`, as long as it is. Error: corrupt. */
export function unpack(packed: Buffer, content: Buffer, { dictionary, window }: { dictionary: Buffer; window: number }): void {
  const kind = packed[0];
  if (kind !== BROTLI && kind !== ZSTD) throw corrupt(`the delta has content packed in way ${kind}, which is none`);
  const made = unpackInto(content, packed.subarray(1), { packing: kind === ZSTD ? 'zstd' : 'brotli', dictionary, windowLog: window });
  if (made !== content.length) throw corrupt(`the delta has ${made} bytes of content in a frame that should have ${content.length}`);
}
