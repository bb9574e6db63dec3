// What crun says becomes what Docker says, since clients and scripts match on those words (and the engine on exit codes 126 and 127). Pure.
import { EngineError } from '../lib/errors.ts';

const CREATE = 'failed to create task for container: failed to create shim task: OCI runtime create failed: crun create failed: unable to start container process: ';
const START = 'failed to start task for container: OCI runtime start failed: crun start failed: unable to start container process: ';
const EXEC = 'OCI runtime exec failed: exec failed: unable to start container process: ';

export interface Failed { stage: 'create' | 'start' | 'exec'; /** What was to be run in the container. */ program: string; runtime: { stock: boolean; path: string } }

/** The error for a failed create, start or exec; the runtime's raw words are its cause. */
export function runtimeError(raw: string, { stage, program, runtime }: Failed): EngineError {
  const said = cleaned(raw);
  if (!runtime.stock) return otherError(said, { stage, path: runtime.path });
  const known = programTrouble(said, program);
  const prefix = stage === 'create' ? CREATE : stage === 'start' ? START : EXEC;
  return new EngineError(known === undefined ? 'system' : 'invalid', `${prefix}${known ?? said}: unknown`, { cause: new Error(said) });
}

/** A registered runtime that is not there. */
export const runtimeMissing = (path: string): EngineError =>
  new EngineError('system', `failed to create task for container: failed to create shim task: OCI runtime create failed: fork/exec ${path}: no such file or directory: unknown`);

/** runc writes what it has to say as a log line; of others nothing is known but what they wrote. */
function otherError(said: string, { stage, path }: { stage: Failed['stage']; path: string }): EngineError {
  const message = /\bmsg=("(?:[^"\\]|\\.)*")/.exec(said)?.[1];
  const words = message === undefined ? [`${path} did not terminate successfully`, ...(said === NO_REASON ? [] : [said])].join(': ') : JSON.parse(message) as string;
  const task = stage === 'create' ? 'failed to create task for container: failed to create shim task: ' : stage === 'start' ? 'failed to start task for container: ' : '';
  const unfit = /executable file not found|exec: .*(no such file or directory|permission denied|exec format error)/.test(words);
  return new EngineError(unfit ? 'invalid' : 'system', `${task}OCI runtime ${stage} failed: ${words}: unknown`, { cause: new Error(said) });
}

/** The program cannot be run, in the words of Go's os/exec; undefined when it is about something else. */
function programTrouble(said: string, program: string): string | undefined {
  const name = `exec: ${JSON.stringify(program)}`;
  if (/^executable file .* not found in \$PATH/.test(said)) {
    return program.includes('/') ? `${name}: stat ${program}: no such file or directory` : `${name}: executable file not found in $PATH`;
  }
  const match = /^(?:open executable|exec container process(?: `.*`)?|stat `.*`): (.+)$/.exec(said);
  if (match?.[1] === undefined) return undefined;
  // crun opens the program before it runs it; a directory is refused there with EPERM.
  const reason = match[1].toLowerCase();
  return reason === 'operation not permitted' ? `${name}: is a directory: permission denied` : `${name}: ${reason}`;
}

const NO_REASON = 'no reason was given';

/** The last thing said, without a time or a level before it; conmon hands over all that was written, at times cut off. */
function cleaned(raw: string): string {
  const lines = raw.split('\n').map((line) => line.trim()).filter((line) => line !== '');
  const last = lines.at(-1) ?? NO_REASON;
  return last.replace(/^\S+T\S+Z?: /, '').replace(/^error: /, '');
}
