// Packs a stream on the threads of the pool, at the pace of its reader: for bytes that pass through the daemon itself.
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

/** What is read of the result at once. */
const CHUNK_BYTES = 64 * 1024;

/** One gzip member without name or time: equal input gives equal output. An error of the source is thrown on. */
export async function* gzipped(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const gzip = createGzip({ chunkSize: CHUNK_BYTES });
  const feeding = pipeline(source, gzip);
  feeding.catch(() => {}); // thrown below, by reading
  try {
    for await (const chunk of gzip) yield chunk as Buffer;
    await feeding;
  } finally {
    gzip.destroy();
    await feeding.catch(() => {}); // the source is closed when this is over
  }
}
