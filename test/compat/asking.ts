// One story told to both engines at once, and what is to be thought of a yardstick that does not always say the same.
import { isDeepStrictEqual } from 'node:util';

/** A busy dockerd may fail at its own doing more than once in a row; a difference that stays costs these tellings, and nothing else does. */
const MORE_TELLINGS = 2;

/**
 * Compares what this engine answers with what dockerd answers, line by line. dockerd on a busy machine now and then fails at its own doing (a pipe of its shim
 * that is not opened in time, an event that gets lost): where the two differ it is asked the whole story again, and an answer that it gave in
 * any telling is Docker's. This engine is never asked twice.
 */
export async function compare<Engine, Line>(
  engines: { ours: Engine; theirs: Engine }, tell: (engine: Engine) => Promise<readonly Line[]>, assertSame: (ours: readonly Line[], theirs: readonly Line[]) => void,
): Promise<void> {
  // Both to their end, whatever happens to one: what is not ended would be left behind.
  const [ours, first] = await Promise.allSettled([tell(engines.ours), tell(engines.theirs)]);
  if (ours.status === 'rejected') throw ours.reason;
  const tellings: Array<readonly Line[]> = first.status === 'fulfilled' ? [first.value] : [];
  for (let left = MORE_TELLINGS; ; left--) {
    try {
      const last = tellings.at(-1);
      if (last === undefined) throw (first as PromiseRejectedResult).reason;
      return assertSame(ours.value, last.map((line, at) => tellings.find((told) => at < told.length && isDeepStrictEqual(told[at], ours.value[at]))?.[at] ?? line));
    } catch (error) { if (left === 0) throw error; }
    await tell(engines.theirs).then((told) => tellings.push(told), () => { /* it broke off once more */ });
  }
}
