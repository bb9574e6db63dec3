// One story told to both engines at once, and what is to be thought of a yardstick that does not always say the same.
import { isDeepStrictEqual } from 'node:util';

/**
 * Compares what this engine answers with what dockerd answers, line by line. dockerd on a busy machine now and then fails at its own doing (a pipe of its shim
 * that is not opened in time, an event that gets lost): where the two differ it is asked the whole story once more, and an answer that it gave in
 * either telling is Docker's. This engine is never asked twice.
 */
export async function compare<Engine, Line>(
  engines: { ours: Engine; theirs: Engine }, tell: (engine: Engine) => Promise<readonly Line[]>, assertSame: (ours: readonly Line[], theirs: readonly Line[]) => void,
): Promise<void> {
  // Both to their end, whatever happens to one: what is not ended would be left behind.
  const [ours, first] = await Promise.allSettled([tell(engines.ours), tell(engines.theirs)]);
  if (ours.status === 'rejected') throw ours.reason;
  if (first.status === 'fulfilled' && fits(() => assertSame(ours.value, first.value))) return;
  const again = await tell(engines.theirs);
  const before = first.status === 'fulfilled' ? first.value : [];
  assertSame(ours.value, again.map((line, at) => (at < before.length && isDeepStrictEqual(before[at], ours.value[at]) ? before[at] as Line : line)));
}

function fits(check: () => void): boolean {
  try { check(); return true; }
  catch { return false; }
}
