// Whoever receives a container's lines: the journal, or a syslog.
import type { Piece } from './pieces.ts';

export interface Sink extends AsyncDisposable {
  /** Takes as many of the pieces from `from` on as it can at once, in order, and says how many. Never waits and never throws. */
  offer(pieces: readonly Piece[], from: number): number;
  /** Until it may take more; a receiver that is gone is looked for again, ever more seldom. Rejects when the signal is aborted. */
  ready(signal: AbortSignal): Promise<void>;
}

/** How long to wait before a receiver that is gone is looked for again. */
export const RETRY_MS = { first: 100, last: 10_000 } as const;
