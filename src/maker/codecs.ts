// The two formats behind one face: an index of the base is made once, then deltas of one target after another.
import { joinViews, type ByteView, type Output } from '../delta/bytes.ts';
import { indexBase } from '../delta/rsync/index.ts';
import { openVaquitaBase } from '../delta/vaquita/encode.ts';
import { unreachable } from '../lib/errors.ts';
import { parseDiffId, type DiffId } from '../oci/digest.ts';
import type { DeltaFormat } from './index.ts';

export interface Source { diffId: DiffId; tar: ByteView }

/** What a base has become. Gives the layers that applying the delta reads. */
export type MakeDelta = (target: Source, output: Output, onProgress: (currentBytes: number) => void) => readonly DiffId[];

/** `memoryBytes`: what index and windows together may take. */
export interface CodecOptions { memoryBytes: number; onProgress: (currentBytes: number) => void }

export function openCodec(format: DeltaFormat, base: readonly Source[], options: CodecOptions): MakeDelta {
  switch (format) {
    case 'balena': {
      const index = indexBase(joinViews(base.map(({ tar }) => tar)), options);
      const all = base.map(({ diffId }) => diffId);
      return (target, output, onProgress) => {
        index.diff(target.tar, output, onProgress);
        return all;
      };
    }
    case 'vaquita': {
      // A layer that stands twice in a chain is one source.
      const index = openVaquitaBase([...new Map(base.map((layer) => [layer.diffId, layer])).values()], options);
      return (target, output, onProgress) => index.make(target, output, onProgress).sources.map(parseDiffId);
    }
    default: return unreachable(format);
  }
}
