// What crun says becomes what Docker says, since clients and scripts match on those words (and the engine on exit codes 126 and 127). Pure.
import { EngineError } from '../lib/errors.ts';

const CREATE = 'failed to create task for container: failed to create shim task: OCI runtime create failed: crun create failed: unable to start container process: ';
const START = 'failed to start task for container: OCI runtime start failed: crun start failed: unable to start container process: ';
const EXEC = 'OCI runtime exec failed: exec failed: unable to start container process: ';

/** The error for a failed create, start or exec; crun's raw words are its cause. */
export function crunError(stage: 'create' | 'start' | 'exec', raw: string, program: string): EngineError {
  const said = cleaned(raw);
  const known = programTrouble(said, program);
  const prefix = stage === 'create' ? CREATE : stage === 'start' ? START : EXEC;
  return new EngineError(known === undefined ? 'system' : 'invalid', `${prefix}${known ?? said}: unknown`, { cause: new Error(said) });
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

/** The last thing said, without a time or a level before it; conmon hands over all that was written, at times cut off. */
function cleaned(raw: string): string {
  const lines = raw.split('\n').map((line) => line.trim()).filter((line) => line !== '');
  const last = lines.at(-1) ?? 'no reason was given';
  return last.replace(/^\S+T\S+Z?: /, '').replace(/^error: /, '');
}
