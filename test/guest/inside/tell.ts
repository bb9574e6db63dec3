// Inside a guest: what was found is told to the test outside, one line of the console each.
import { writeSync } from 'node:fs';

/** The same as outside, where nothing of this file is known. */
const MARK = '@@';

export function tell(name: string, value: unknown): void {
  writeSync(1, `${MARK}${JSON.stringify({ name, value: value ?? null })}\n`);
}

/** Runs the program and says that it came to its end, or why not. */
export async function program(run: () => Promise<void>): Promise<void> {
  try { await run(); tell('end', 'well'); }
  catch (error) { tell('failure', error instanceof Error ? error.stack : String(error)); }
  process.exit(); // an engine that still runs would keep the machine on
}
