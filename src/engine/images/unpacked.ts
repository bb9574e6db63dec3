// What clients pack archives with is taken off by its first bytes: gzip and zstd here, as it comes; bzip2 and xz by a worker.
import { isBzip2 } from '../../archive/bunzip2.ts';
import { openUnpacker } from '../../archive/compress.ts';
import { isXz } from '../../archive/unxz.ts';
import type { RootFs } from '../../rootfs/index.ts';

/** Longest magic number looked for. */
const MAGIC_BYTES = 6;
const BUFFER_BYTES = 128 * 1024;
/** So much is unpacked in one go; less where the last bit of input became very much. */
const MAX_STEP_BYTES = 16 * 1024, MIN_STEP_BYTES = 64;
const MUCH_BYTES = 1 << 20;

/** Error: corrupt, when it is packed and broken. Bytes that are not packed pass as they are. */
export async function* unpacked(source: AsyncIterable<Uint8Array>, { rootfs, signal }: { rootfs: Pick<RootFs, 'unpack'>; signal: AbortSignal }): AsyncGenerator<Uint8Array> {
  const { head, all } = await headed(source);
  if (isBzip2(head) || isXz(head)) yield* rootfs.unpack(all, { signal });
  else yield* inflated(all);
}

/** A bomb fills memory with what one step makes of its input, and steps become small. */
async function* inflated(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let made: Buffer[] = [];
  let step = MAX_STEP_BYTES;
  const codec = openUnpacker(Buffer.allocUnsafeSlow(BUFFER_BYTES), (bytes, start, end) => { made.push(Buffer.from(bytes.subarray(start, end))); });
  const taken = () => { const pieces = made; made = []; return pieces; };
  try {
    for await (const chunk of source) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
      for (let at = 0; at < bytes.length;) {
        const end = Math.min(bytes.length, at + step);
        codec.write(bytes, at, end);
        at = end;
        const madeBytes = made.reduce((sum, piece) => sum + piece.length, 0);
        step = madeBytes > MUCH_BYTES ? Math.max(MIN_STEP_BYTES, step >> 3) : Math.min(MAX_STEP_BYTES, step * 2);
        yield* taken();
      }
    }
    codec.finish();
    yield* taken();
  } finally { codec.close(); }
}

async function headed(source: AsyncIterable<Uint8Array>): Promise<{ head: Buffer; all: AsyncIterable<Uint8Array> }> {
  const chunks = source[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let held = 0;
  while (held < MAGIC_BYTES) {
    const next = await chunks.next();
    if (next.done === true) break;
    first.push(next.value);
    held += next.value.length;
  }
  return {
    head: Buffer.concat(first),
    all: (async function* () {
      try {
        yield* first;
        for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
      } finally { await chunks.return?.(); }
    })(),
  };
}
