// Finds long runs of a large file that stand in the base as they are: these are copied instead of being packed, which is quicker on both sides.
import type { ByteView } from '../bytes.ts';
import { readThrough } from './base.ts';
import type { Sketch } from './sketch.ts';

/** Bytes at `at` of the new file that are those from `from` on of a file of the base. */
export interface Run { at: number; file: number; from: number; bytes: number }

export interface RunNeeds {
  sketch: Sketch;
  mayUse: (file: number) => boolean;
  open: (file: number) => ByteView;
  /** At least so long. */
  leastBytes: number;
}

const STEP_BYTES = 4096;
/** After a place that led to nothing, the next so many bytes are not tried. */
const PAUSE_BYTES = 1024;

export function findRuns(made: ByteView, { sketch, mayUse, open, leastBytes }: RunNeeds): Run[] {
  const runs: Run[] = [];
  let end = 0, tryFrom = 0;
  const scan = sketch.scan((at, files, offsets) => {
    if (at < tryFrom) return;
    let best: Run | undefined;
    files.forEach((file, index) => {
      if (!mayUse(file)) return;
      const from = offsets[index] ?? 0, old = open(file), forward = alike({ made, old }, at, from);
      if (forward < Math.min(STEP_BYTES, leastBytes / 2)) return;
      const back = alikeBefore({ made, old }, { at, from, most: at - end });
      if (back + forward > (best?.bytes ?? 0)) best = { at: at - back, file, from: from - back, bytes: back + forward };
    });
    if (best !== undefined && best.bytes >= leastBytes) {
      runs.push(best);
      end = best.at + best.bytes;
      tryFrom = end;
    } else tryFrom = at + PAUSE_BYTES;
  });
  readThrough(made.sizeBytes, (position, { into, start, end: to }) => { made.read(position, into, { start, end: to }); }, scan);
  return runs;
}

interface Files { made: ByteView; old: ByteView }

const [left, right] = [Buffer.alloc(STEP_BYTES), Buffer.alloc(STEP_BYTES)];

/** How many bytes are alike from two places on. */
function alike({ made, old }: Files, at: number, from: number): number {
  const most = Math.min(made.sizeBytes - at, old.sizeBytes - from);
  for (let done = 0; done < most; done += STEP_BYTES) {
    const n = Math.min(STEP_BYTES, most - done);
    made.read(at + done, left, { start: 0, end: n });
    old.read(from + done, right, { start: 0, end: n });
    if (left.compare(right, 0, n, 0, n) === 0) continue;
    for (let i = 0; i < n; i++) if (left[i] !== right[i]) return done + i;
  }
  return Math.max(0, most);
}

/** How many bytes are alike before two places. */
function alikeBefore({ made, old }: Files, { at, from, most }: { at: number; from: number; most: number }): number {
  const limit = Math.min(most, at, from);
  for (let done = 0; done < limit; done += STEP_BYTES) {
    const n = Math.min(STEP_BYTES, limit - done);
    made.read(at - done - n, left, { start: 0, end: n });
    old.read(from - done - n, right, { start: 0, end: n });
    if (left.compare(right, 0, n, 0, n) === 0) continue;
    for (let i = n - 1; i >= 0; i--) if (left[i] !== right[i]) return done + n - 1 - i;
  }
  return limit;
}
