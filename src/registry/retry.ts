// How long to wait before trying again, and how often.
import { RegistryFailure, isTransient } from './errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { RegistryLimits } from './index.ts';

/** A server may ask for patience, but not for so much that a person believes the pull dead. */
const MAX_RETRY_AFTER_MS = 120_000;
/** A person waits for the manifest before anything is shown, so little is tried there. */
const QUICK_ATTEMPTS = 3;
const QUICK_WAIT_MS = 2_000;

/** The wait before attempt number `attempt` + 1, doubling from the first one; what the server asked for if that is longer. */
export function waitMs(attempt: number, limits: RegistryLimits, error: unknown): number {
  const backoff = Math.min(limits.retryMaxMs, limits.retryBaseMs * 2 ** Math.min(attempt - 1, 30));
  const asked = error instanceof RegistryFailure ? error.retryAfterMs ?? 0 : 0;
  return Math.max(backoff, Math.min(asked, MAX_RETRY_AFTER_MS));
}

/** Tries a short request a few times in a few seconds; who cannot be connected to is not called twice. */
export async function retrying<T>(work: () => Promise<T>, options: { limits: RegistryLimits; clock: Clock; signal: AbortSignal | undefined }): Promise<T> {
  const { limits, clock, signal } = options;
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const isHopeless = !isTransient(error) || (error instanceof RegistryFailure && !error.reached);
      if (isHopeless || attempt >= Math.min(limits.attempts, QUICK_ATTEMPTS)) throw error;
      await clock.sleep(Math.min(QUICK_WAIT_MS, waitMs(attempt, limits, error)), { signal });
    }
  }
}
