// Verbs that tell how far they are: lines of JSON as they come, and the error wherever it happens.
import { messageOf } from '../lib/errors.ts';
import type { ProgressLine } from '../wire/types.ts';
import type { Answer } from './routes.ts';
import { LineQueue } from './streams.ts';

/** Progress lines held for a slow client; beyond it, steps of one bar replace each other. */
const MAX_PROGRESS_LINES = 256;

/**
 * The answer is given with the verb's first line. An error before it is an ordinary answer; after it, it is a line, because the status has been
 * sent. With `atOnce` the answer does not wait, and every error is a line. `last` is run behind the last line.
 */
export async function progressAnswer(run: (onLine: (line: ProgressLine) => void) => Promise<void>, { atOnce = false, last }: { atOnce?: boolean; last?: () => Promise<void> } = {}): Promise<Answer> {
  const lines = new LineQueue<ProgressLine>({ maxLines: MAX_PROGRESS_LINES, sameSpot: (line) => (line.progress === undefined ? undefined : `${line.id} ${line.status}`) });
  let failure: { error: unknown } | undefined;
  const done = run((line) => lines.push(line))
    .catch((error: unknown) => { failure = { error }; })
    .finally(() => lines.end());
  if (!atOnce) await lines.ready();
  if (!atOnce && lines.empty) {
    await done;
    if (failure) throw failure.error;
  }
  async function* body(): AsyncGenerator<string> {
    for await (const line of lines) yield `${JSON.stringify(line)}\r\n`;
    if (failure) yield `${JSON.stringify(errorLine(failure.error))}\r\n`;
    await last?.();
  }
  return { status: 200, contentType: 'application/json', stream: body() };
}

function errorLine(error: unknown): ProgressLine {
  return { errorDetail: { message: messageOf(error) }, error: messageOf(error) };
}
