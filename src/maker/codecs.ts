// The two formats behind one face: an index of the base is made once, then deltas of one target after another.
import { joinViews, type ByteView, type Output } from '../delta/bytes.ts';
import { indexBase } from '../delta/rsync/index.ts';
import type { DiffId } from '../oci/digest.ts';
import type { DeltaFormat } from './index.ts';

export interface Source { diffId: DiffId; tar: ByteView }

/** What a base has become. Gives the layers that applying the delta reads. */
export type MakeDelta = (target: Source, output: Output, onProgress: (currentBytes: number) => void) => readonly DiffId[];

export function openCodec(format: DeltaFormat, base: readonly Source[], options: { memoryBytes: number; onProgress: (currentBytes: number) => void }): MakeDelta {
  switch (format) {
    case 'balena': {
      const index = indexBase(joinViews(base.map(({ tar }) => tar)), options);
      const all = base.map(({ diffId }) => diffId);
      return (target, output, onProgress) => {
        index.diff(target.tar, output, onProgress);
        return all;
      };
    }
    default: return standIn(base, options);
  }
}

function standIn(base: readonly Source[], options: { memoryBytes: number; onProgress: (currentBytes: number) => void }): MakeDelta {
  options.onProgress(0);
  return (target, output, onProgress) => {
    const chunk = Buffer.alloc(65536);
    for (let at = 0; at < target.tar.sizeBytes; at += chunk.length) {
      const n = Math.min(chunk.length, target.tar.sizeBytes - at);
      target.tar.read(at, chunk, { start: 0, end: n });
      output(chunk, 0, n);
      onProgress(at + n);
    }
    return base.map(({ diffId }) => diffId).slice(0, 1);
  };
}
