// Holds every file of a layer to what its tar-split remembers: which are damaged, and whether the layer could still be put together.
import { createHash, type Hash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { textOf } from '../archive/byte-string.ts';
import { Crc64 } from '../archive/crc64.ts';
import type { Clock } from '../lib/clock.ts';
import { errnoOf, kindOf, messageOf } from '../lib/errors.ts';
import type { LayerDamage, LayerInfo } from './index.ts';
import { openResolver } from './resolve.ts';
import { readTarSplit } from './tarsplit.ts';

const BUFFER_BYTES = 256 * 1024;
/** After so many bytes others get their turn: some 20 ms on a small device. */
const BYTES_PER_TURN = 4 * 2 ** 20;
/** Whoever has more damaged files than this needs no list of them. */
const MAX_DAMAGES = 1000;

export interface VerifyOptions { tarSplitPath: string; clock: Clock; signal?: AbortSignal | undefined; /** Enough are known then. */ maxDamages?: number; /** Told of each file that has been read, before it is closed. */ onRead?: (fd: number) => void }

/** Everything that is wrong with a layer; nothing when it is as it was extracted. Reads all of it, and gives others their turn meanwhile. */
export async function verifyLayer(layer: Pick<LayerInfo, 'diffId' | 'diffPath'>, { tarSplitPath, clock, signal, maxDamages = MAX_DAMAGES, onRead = () => {} }: VerifyOptions): Promise<LayerDamage[]> {
  const damages: LayerDamage[] = [];
  const check = { resolve: openResolver(layer.diffPath), crc: new Crc64({ bufferBytes: BUFFER_BYTES }), hash: createHash('sha256'), onRead };
  let bytes = 0;
  try {
    for (const entry of readTarSplit(tarSplitPath, onRead)) {
      if (entry.type === 'segment') {
        check.hash.update(entry.bytes);
        bytes += entry.bytes.length;
      } else if (entry.sizeBytes > 0) {
        for (const turn of fileTurns(check, entry)) {
          bytes += turn.bytes;
          if (turn.reason !== undefined) damages.push({ file: textOf(entry.name), reason: turn.reason });
          if (bytes >= BYTES_PER_TURN) { bytes = 0; await clock.sleep(0, { signal }); }
        }
      }
      if (damages.length >= maxDamages) return damages;
      if (bytes >= BYTES_PER_TURN) { bytes = 0; await clock.sleep(0, { signal }); }
      signal?.throwIfAborted();
    }
  } catch (error) {
    if (kindOf(error) !== 'corrupt' && errnoOf(error) === undefined) throw error;
    return [...damages, { file: undefined, reason: `tar-split: ${messageOf(error)}` }];
  }
  // With every file right, only the record of what is between them can be wrong.
  if (damages.length === 0 && `sha256:${check.hash.digest('hex')}` !== layer.diffId) damages.push({ file: undefined, reason: 'tar-split: does not make up the layer' });
  return damages;
}

interface Check { resolve: (name: string) => string | Buffer; crc: Crc64; hash: Hash; onRead: (fd: number) => void }

/** One file, piece by piece; the last piece carries what is wrong with it. */
function* fileTurns({ resolve, crc, hash, onRead }: Check, { name, sizeBytes, crc: want }: { name: string; sizeBytes: number; crc: string }): Generator<{ bytes: number; reason?: string }> {
  let fd = -1;
  try {
    fd = openSync(resolve(name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stat = fstatSync(fd);
    if (!stat.isFile()) { yield { bytes: 0, reason: 'is no regular file any more' }; return; }
    if (stat.size !== sizeBytes) { yield { bytes: 0, reason: `has ${stat.size} bytes instead of ${sizeBytes}` }; return; }
    for (let left = sizeBytes; left > 0;) {
      const n = readSync(fd, crc.buffer, 0, Math.min(left, crc.buffer.length), null);
      if (n === 0) break;
      crc.update(crc.buffer, 0, n);
      hash.update(crc.buffer.subarray(0, n));
      left -= n;
      yield { bytes: n };
    }
    if (crc.take() !== want) yield { bytes: 0, reason: 'has changed (its checksum differs)' };
  } catch (error) {
    crc.take(); // what was summed of a file that could not be read to its end
    if (errnoOf(error) === undefined && kindOf(error) !== 'corrupt') throw error;
    yield { bytes: 0, reason: messageOf(error) }; // ENOENT, or EIO: the flash itself says so
  } finally {
    if (fd >= 0) {
      onRead(fd);
      closeSync(fd);
    }
  }
}
