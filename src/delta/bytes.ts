// What deltas are made of and applied to: bytes at any place, bytes as they come. All of it is synchronous, since it runs in workers.
import { corrupt } from '../lib/errors.ts';

/** Bytes that can be read at any place. */
export interface ByteView {
  readonly sizeBytes: number;
  /** Fills `into` from `start` to `end` with what stands from `position` on. Error: corrupt, when that reaches beyond the end or is not there any more as it was. */
  read(position: number, into: Buffer, range: { start: number; end: number }): void;
}

/** Takes bytes as they come; their memory is used again when the call returns. */
export type Output = (bytes: Buffer, start: number, end: number) => void;

/** Is fed a delta in pieces of any size and gives out what it makes. Once something was wrong it is not to be used any more. */
export interface Decoder {
  /** Error: corrupt, naming what is wrong with the delta or its base. */
  write(bytes: Buffer, start: number, end: number): void;
  /** No more input. Error: corrupt, when the delta is cut short. */
  finish(): void;
}

/** Several views, one behind the other. */
export function joinViews(views: readonly ByteView[]): ByteView {
  const starts: number[] = [];
  let sizeBytes = 0;
  for (const view of views) {
    starts.push(sizeBytes);
    sizeBytes += view.sizeBytes;
  }
  /** The last view that begins at or before `position`. */
  const indexAt = (position: number): number => {
    let [low, high] = [0, starts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  };
  return {
    sizeBytes,
    read(position, into, { start, end }) {
      if (position < 0 || position + (end - start) > sizeBytes) throw corrupt(`bytes ${position} to ${position + end - start} are asked of a base of ${sizeBytes}`);
      for (let at = start, index = indexAt(position); at < end; index++) {
        const [view, from] = [views[index], position + (at - start) - (starts[index] ?? 0)];
        if (view === undefined) throw corrupt('the base ended early');
        const n = Math.min(end - at, view.sizeBytes - from);
        if (n > 0) view.read(from, into, { start: at, end: at + n });
        at += Math.max(0, n);
      }
    },
  };
}

/** Bytes in memory. */
export function viewOf(bytes: Buffer): ByteView {
  return {
    sizeBytes: bytes.length,
    read(position, into, { start, end }) {
      if (position < 0 || position + (end - start) > bytes.length) throw corrupt(`bytes ${position} to ${position + end - start} are asked of ${bytes.length}`);
      bytes.copy(into, start, position, position + (end - start));
    },
  };
}
