// The tar around a librsync delta: how balenaEngine's delta images carry one as a layer, both ways.
import { BLOCK_BYTES } from '../../archive/tar-header.ts';
import { TarReader } from '../../archive/tar-read.ts';
import { TAR_END, tarHeader, tarPadding } from '../../archive/tar-write.ts';
import { digestOf, type DiffId } from '../../oci/digest.ts';
import { corrupt } from '../../lib/errors.ts';
import type { ByteView, Decoder, Output } from '../bytes.ts';
import { openRsyncPatch } from './patch.ts';

/** Stands in a delta image for a layer that base and target share: a tar without entries. */
export const EMPTY_LAYER: Uint8Array = TAR_END;
export const EMPTY_LAYER_DIFF_ID: DiffId = digestOf(EMPTY_LAYER) as string as DiffId;

/** What stands in front of a delta of this size and behind it: the same bytes as balenaEngine's. */
export function deltaLayerTar(sizeBytes: number): { header: Buffer; trailer: Buffer } {
  return { header: tarHeader({ name: 'delta', type: 'file', mode: 0o600, sizeBytes }), trailer: Buffer.concat([tarPadding(sizeBytes), TAR_END]) };
}

/**
 * Takes a delta layer, unpacked, and gives out the tar that the delta in it makes of `base`. The delta is the first entry, whatever its
 * name; all that follows it is passed over, as in balenaEngine. A shared layer's empty tar is not for this: it has no delta, and is refused.
 */
export function openDeltaLayer(base: ByteView, output: Output): Decoder {
  const patch = openRsyncPatch(base, output);
  let deltaLeft: number | undefined;
  const reader = new TarReader({
    raw() {}, data() {}, hole() {}, entryEnd() {},
    entry({ type, sparse, sizeBytes }) {
      if (type !== 'file' || sparse) throw corrupt('invalid delta tar archive: its first entry is no plain file');
      deltaLeft ??= sizeBytes;
    },
  });
  /** Blocks of the tar that came in pieces are still whole ones to the reader: it must not be given a byte of the delta. */
  let tarBytes = 0;
  return {
    write(bytes, start, end) {
      let at = start;
      while (deltaLeft === undefined && at < end) {
        const n = Math.min(end - at, BLOCK_BYTES - (tarBytes % BLOCK_BYTES));
        reader.write(bytes, at, at + n);
        at += n;
        tarBytes += n;
      }
      const n = Math.min(deltaLeft ?? 0, end - at);
      if (n === 0) return;
      patch.write(bytes, at, at + n);
      deltaLeft = (deltaLeft ?? 0) - n;
    },
    finish() {
      if (deltaLeft === undefined) throw corrupt('unexpected EOF, invalid delta tar archive');
      if (deltaLeft > 0) throw corrupt('applying delta: unexpected EOF');
      patch.finish();
    },
  };
}
