// One health check: an exec whose output is kept, and which is ended with all that it started when its time is over.
import { formatNanos } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Limiter } from '../../lib/lock.ts';
import type { ExecTask } from '../../runtime/index.ts';
import type { HealthResult } from '../../wire/types.ts';
import type { Container } from './container.ts';
import { beginExec, makeExec, type ExecNeeds } from './exec-run.ts';
import { CutOutput, timeoutWords, type Plan } from './health.ts';

/** conmon ends a check whose daemon died, so much later than this daemon would have. */
const ORPHAN_SECONDS = 10;
/** Its last words may be on their way when its exit code is told; what it left behind may hold its output open for ever. */
const LAST_WORDS_MS = 1000;
/** Docker's exit code for a check that did not end by itself. */
const NOT_ENDED = -1;

/** Never throws: a check that cannot be run has failed. Aborted, it is ended at once. */
export async function runProbe(needs: ExecNeeds, container: Container, { plan, begins, signal }: { plan: Plan; begins: Limiter; signal: AbortSignal }): Promise<HealthResult> {
  const Start = formatNanos(needs.clock.nowNanos());
  const result = (ExitCode: number, Output: string): HealthResult => ({ Start, End: formatNanos(needs.clock.nowNanos()), ExitCode, Output });
  try {
    const task = await begin(needs, container, { plan, begins, signal });
    await using console = task.console;
    const output = new CutOutput();
    const read = (async () => { for await (const { bytes } of console.output) output.add(bytes); })().catch(() => {}); // a broken connection is an ended one
    const code = await endOf(needs, task, { timeoutMs: plan.timeoutMs, signal });
    if (code === undefined) return result(NOT_ENDED, timeoutWords(plan.timeoutMs, output.text()));
    await Promise.race([read, needs.clock.sleep(LAST_WORDS_MS)]);
    return result(code, output.text());
  } catch (error) {
    return result(NOT_ENDED, messageOf(error));
  }
}

/** A few begin at a time: each costs the device several processes for a moment. */
async function begin(needs: ExecNeeds, container: Container, { plan, begins, signal }: { plan: Plan; begins: Limiter; signal: AbortSignal }): Promise<ExecTask> {
  using _place = await begins.hold({ signal });
  const exec = makeExec(needs, container, { argv: plan.argv, body: { Cmd: [...plan.argv], AttachStdout: true, AttachStderr: true }, probe: true });
  return await beginExec(needs, exec, { consoleSize: undefined, limitSeconds: Math.ceil(plan.timeoutMs / 1000) + ORPHAN_SECONDS });
}

/** Its exit code; undefined when it had to be ended. What Docker counts is the time from when the program runs. */
async function endOf(needs: ExecNeeds, task: ExecTask, { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal }): Promise<number | undefined> {
  const late = Promise.withResolvers<undefined>();
  const stop = () => late.resolve(undefined);
  using _limit = needs.clock.after(timeoutMs, stop);
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    const code = await Promise.race([task.exited, late.promise]);
    if (code === undefined) await task.kill();
    return code;
  } finally { signal.removeEventListener('abort', stop); }
}
