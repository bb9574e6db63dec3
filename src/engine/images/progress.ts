// The lines of a pull as Docker words them; clients parse the texts.
import type { ProgressLine } from '../../wire/types.ts';
import { humanSize } from '../../wire/units.ts';

/** Between two lines of one layer there lie at least so many ms: a slow terminal or link must not be flooded. */
const LINE_INTERVAL_MS = 100;

/** The ID of the line about all layers of a pull together. Its status is empty, but there: programs take it from every line without a look. */
const TOTAL_ID = 'Total';

export interface Telling { now: () => number; onLine: (line: ProgressLine) => void }

/** Tells how far a layer is, at most every LINE_INTERVAL_MS; `allBytes` unless a step says otherwise. `onShare` hears of every step, as a part of 1. */
export function layerProgress(id: string, allBytes: number, tell: Telling & { onShare?: (share: number) => void }) {
  let last = -Infinity;
  return {
    status(status: string) { tell.onLine({ status, progressDetail: {}, id }); },
    moved(status: string, currentBytes: number, totalBytes = allBytes) {
      if (totalBytes > 0) tell.onShare?.(currentBytes / totalBytes);
      const now = tell.now();
      if (now - last < LINE_INTERVAL_MS && currentBytes < totalBytes) return;
      last = now;
      tell.onLine(bar(status, id, { currentBytes, totalBytes }));
    },
  };
}

export type LayerProgress = ReturnType<typeof layerProgress>;

/**
 * Tells how far all layers of a pull are together, as balenaEngine does: clients that take this engine for one (docker-progress,
 * and balena-supervisor through it) look at no other line of a pull. It never goes back, also when a layer begins anew.
 */
export function totalProgress(tell: Telling): { part(sizeBytes: number): (share: number) => void } {
  const all = { doneBytes: 0, totalBytes: 0 };
  const line = layerProgress(TOTAL_ID, 0, tell);
  return {
    part(sizeBytes) {
      let doneBytes = 0;
      all.totalBytes += sizeBytes;
      return (share) => {
        const now = Math.min(sizeBytes, Math.floor(sizeBytes * share));
        if (now < doneBytes || (now === doneBytes && now > 0)) return;
        all.doneBytes += now - doneBytes;
        doneBytes = now;
        line.moved('', all.doneBytes, all.totalBytes);
      };
    },
  };
}

export function bar(status: string, id: string, { currentBytes, totalBytes }: { currentBytes: number; totalBytes: number }): ProgressLine {
  const percent = totalBytes > 0 ? Math.min(50, Math.floor((currentBytes / totalBytes) * 50)) : 0;
  return {
    status,
    progressDetail: { current: currentBytes, total: totalBytes },
    progress: `[${'='.repeat(percent)}>${' '.repeat(50 - percent)}] ${humanSize(currentBytes).padStart(8)}${currentBytes > totalBytes ? '' : `/${humanSize(totalBytes)}`}`,
    id,
  };
}
