// Content of one frame, packed with a dictionary: by brotli or by zstd, whichever comes out smaller (neither always does).
import { constants, brotliCompressSync, zstdCompressSync } from 'node:zlib';
import { unpackInto } from '../../archive/compress.ts';
import { corrupt } from '../../lib/errors.ts';
import { windowLog } from './format.ts';

const BROTLI = 0, ZSTD = 1;

/** zstd's own tables for level 22 take 500 MB; these take a fifth of that for the largest frames, and find the same. */
const MAX_TABLE_LOG = 23;

export function pack(content: Buffer, dictionary: Buffer): Buffer {
  const options: object = dictionary.length > 0 ? { dictionary } : {}; // the types do not know that brotli has them, too
  const brotli = brotliCompressSync(content, {
    ...options,
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: Math.min(24, windowLog(content.length)), [constants.BROTLI_PARAM_SIZE_HINT]: content.length },
  });
  const zstd = zstdCompressSync(content, { ...options, params: zstdParameters(content.length + dictionary.length) });
  return zstd.length < brotli.length ? Buffer.concat([Buffer.from([ZSTD]), zstd]) : Buffer.concat([Buffer.from([BROTLI]), brotli]);
}

function zstdParameters(bytes: number): Record<number, number> {
  const tableLog = Math.max(12, Math.min(MAX_TABLE_LOG, Math.floor(Math.log2(bytes))));
  return {
    [constants.ZSTD_c_compressionLevel]: 22, [constants.ZSTD_c_windowLog]: Math.min(27, windowLog(bytes)), [constants.ZSTD_c_chainLog]: tableLog, [constants.ZSTD_c_hashLog]: tableLog - 1,
    // Told how much there is, a decoder unpacks into its place and takes no window.
    [constants.ZSTD_c_contentSizeFlag]: 1,
  };
}

/** Fills `content`, as long as it is. Error: corrupt. */
export function unpack(packed: Buffer, content: Buffer, { dictionary, window }: { dictionary: Buffer; window: number }): void {
  const kind = packed[0];
  if (kind !== BROTLI && kind !== ZSTD) throw corrupt(`the delta has content packed in way ${kind}, which is none`);
  const made = unpackInto(content, packed.subarray(1), { packing: kind === ZSTD ? 'zstd' : 'brotli', dictionary, windowLog: window });
  if (made !== content.length) throw corrupt(`the delta has ${made} bytes of content in a frame that should have ${content.length}`);
}
