// Waiting for something to become true, to a deadline and with a reason.

/** Asks every few milliseconds until the answer is there; what the last asking threw is the cause of giving up. */
export async function until<T>(what: string, ask: () => T | undefined | false | Promise<T | undefined | false>, timeoutMs = 20_000): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (let waitMs = 2; ; waitMs = Math.min(waitMs * 2, 50)) {
    let cause: unknown;
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) { cause = error; }
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for: ${what}`, { cause });
    await new Promise((resolve) => { setTimeout(resolve, waitMs); });
  }
}
