// The lines of a pull as Docker words them; clients parse the texts.
import type { ProgressLine } from '../../wire/types.ts';
import { humanSize } from '../../wire/units.ts';

/** Between two lines of one layer there lie at least so many ms: a slow terminal or link must not be flooded. */
const LINE_INTERVAL_MS = 100;

/** Tells how far a layer is, at most every LINE_INTERVAL_MS; `allBytes` unless a step says otherwise. */
export function layerProgress(id: string, allBytes: number, tell: { now: () => number; onLine: (line: ProgressLine) => void }) {
  let last = -Infinity;
  return {
    status(status: string) { tell.onLine({ status, progressDetail: {}, id }); },
    moved(status: string, currentBytes: number, totalBytes = allBytes) {
      const now = tell.now();
      if (now - last < LINE_INTERVAL_MS && currentBytes < totalBytes) return;
      last = now;
      tell.onLine(bar(status, id, { currentBytes, totalBytes }));
    },
  };
}

export type LayerProgress = ReturnType<typeof layerProgress>;

export function bar(status: string, id: string, { currentBytes, totalBytes }: { currentBytes: number; totalBytes: number }): ProgressLine {
  const percent = totalBytes > 0 ? Math.min(50, Math.floor((currentBytes / totalBytes) * 50)) : 0;
  return {
    status,
    progressDetail: { current: currentBytes, total: totalBytes },
    progress: `[${'='.repeat(percent)}>${' '.repeat(50 - percent)}] ${humanSize(currentBytes).padStart(8)}${currentBytes > totalBytes ? '' : `/${humanSize(totalBytes)}`}`,
    id,
  };
}
