// crun's command lines: run, and turn a failure into an error that carries its words.
import { execFile } from 'node:child_process';
import { EngineError } from '../lib/errors.ts';

export interface Crun {
  /** The whole command line: program first. */
  command(...args: string[]): [string, ...string[]];
  /** Runs it to its end; stdout. */
  run(...args: string[]): Promise<string>;
  /** The same for calls that touch no cgroup: nothing has to be hidden from them, which saves four processes on a hybrid host. */
  runPlain(...args: string[]): Promise<string>;
}

/** No call of ours takes seconds; a hanging one must not hang the engine. */
const TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;

/** What conmon and crun are given of an environment: nothing of the daemon's own, which may hold credentials. */
export const CHILD_ENV = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };

export function openCrun(what: { crunPath: string; root: string; prefix: readonly string[]; cgroups: boolean }): Crun {
  const plain = [what.crunPath, '--root', what.root, ...(what.cgroups ? [] : ['--cgroup-manager=disabled'])] as const;
  const command = (...args: string[]): [string, ...string[]] => {
    const [program, ...rest] = [...what.prefix, ...plain, ...args];
    return [program ?? what.crunPath, ...rest];
  };
  return {
    command,
    run: (...args) => runProgram(command(...args), `crun ${args.join(' ')}`),
    runPlain: (...args) => runProgram([what.crunPath, ...plain.slice(1), ...args], `crun ${args.join(' ')}`),
  };
}

export function runProgram([program, ...args]: readonly [string, ...string[]], shown: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { env: CHILD_ENV, timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES, killSignal: 'SIGKILL' as const };
    execFile(program, args, options, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      const words = stderr.trim() === '' ? error.message : stderr.trim();
      reject(new EngineError('system', `${shown}: ${words}`, { cause: new Error(words) }));
    });
  });
}
