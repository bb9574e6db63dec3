// Compresses rotated files one at a time and little by little: neither a core nor memory is taken from what the device is there for.
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Clock } from '../lib/clock.ts';

const BLOCK_BYTES = 64 * 1024;
/** Rest after each block: 64 KiB take a fast core 2 ms and a slow one 15, so that some 3 MB/s are compressed at most. */
const REST_MS = 20;
/** Memory of gzip: 2^(windowBits+2) + 2^(memLevel+9) bytes. */
const GZIP = { level: 6, windowBits: 14, memLevel: 7, chunkSize: BLOCK_BYTES };

/** PATH becomes PATH.gz. A reader finds one or the other, whole; after an abort or a failure PATH is as it was. */
export async function compress(path: string, { clock, signal }: { clock: Clock; signal: AbortSignal }): Promise<void> {
  const staged = `${path}.gz.part`;
  try {
    await pipeline(
      createReadStream(path, { highWaterMark: BLOCK_BYTES }),
      async function * (blocks: AsyncIterable<Uint8Array>) {
        for await (const block of blocks) {
          yield block;
          await clock.sleep(REST_MS, { signal });
        }
      },
      createGzip(GZIP),
      createWriteStream(staged, { mode: 0o640 }),
      { signal },
    );
    signal.throwIfAborted();
    await rename(staged, `${path}.gz`);
    await rm(path);
  } catch (error) {
    await rm(staged, { force: true });
    throw error;
  }
}
