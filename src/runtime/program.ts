// The OCI programs that make containers: crun under every name it has here, and those that were registered; each with a state folder of its own.
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { EngineError, invalid } from '../lib/errors.ts';
import type { RuntimeProgram } from './index.ts';

export interface Program {
  /** What clients call it. */
  readonly name: string;
  /** crun as we know it: what is true of its state folder and its words need not be true of another. */
  readonly stock: boolean;
  readonly path: string;
  readonly args: readonly string[];
  /** Where it keeps its state. */
  readonly root: string;
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

/** What conmon and OCI programs are given of an environment: nothing of the daemon's own, which may hold credentials. */
export const CHILD_ENV = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };

/** All names under which clients ask for the engine's own runtime. */
export const STOCK_NAMES: readonly string[] = ['runc', 'crun', 'io.containerd.runc.v2', 'io.containerd.runtime.v1.linux'];

export interface ProgramsOptions {
  crunPath: string;
  /** crun's state folder. */
  crunRoot: string;
  /** Those of all others stand in it, by name. */
  othersRoot: string;
  /** Put before crun where a hybrid host has something to be hidden from it. */
  prefix: readonly string[];
  /** Who makes them; 'disabled' on a machine without any. */
  cgroups: 'cgroupfs' | 'systemd' | 'disabled';
  registered: Readonly<Record<string, RuntimeProgram>>;
}

export class Programs {
  readonly stock: Program;
  readonly #options: ProgramsOptions;

  constructor(options: ProgramsOptions) {
    this.#options = options;
    this.stock = openCrun(options);
  }

  /** Error: invalid, when no runtime has that name. */
  named(name: string): Program {
    if (name === '' || STOCK_NAMES.includes(name)) return this.stock;
    const registered = this.#options.registered[name];
    if (registered === undefined) throw invalid(`Unknown runtime specified ${name}`);
    return this.other({ name, ...registered });
  }

  /** As a task was made by it, perhaps under an earlier daemon that had it registered otherwise. */
  other(what: RuntimeProgram & { name: string }): Program {
    const root = `${this.#options.othersRoot}/${what.name.replaceAll('/', '_')}`;
    mkdirSync(root, { recursive: true, mode: 0o700 });
    const command = (...args: string[]): [string, ...string[]] => [what.path, ...what.args, '--root', root, ...(this.#options.cgroups === 'systemd' ? ['--systemd-cgroup'] : []), ...args];
    const run = (...args: string[]) => runProgram(command(...args), `${what.path} ${args.join(' ')}`);
    return { name: what.name, stock: false, path: what.path, args: what.args, root, command, run, runPlain: run };
  }

  /** Containers of which crun has state. Of others only the bundle tells. */
  withState(): string[] { return readdirSync(this.stock.root); }
}

function openCrun(options: ProgramsOptions): Program {
  const { crunPath, crunRoot: root, prefix, cgroups } = options;
  const plain = [crunPath, '--root', root, ...(cgroups === 'cgroupfs' ? [] : [`--cgroup-manager=${cgroups}`])] as const;
  const command = (...args: string[]): [string, ...string[]] => {
    const [program, ...rest] = [...prefix, ...plain, ...args];
    return [program ?? crunPath, ...rest];
  };
  return {
    name: 'runc', stock: true, path: crunPath, args: [], root, command,
    run: (...args) => runProgram(command(...args), `crun ${args.join(' ')}`),
    runPlain: (...args) => runProgram([crunPath, ...plain.slice(1), ...args], `crun ${args.join(' ')}`),
  };
}

/** The same program with conmon's pipe for errors as its stdin and stdout, where conmon would give it /dev/null: with a terminal it needs neither. */
export function withoutNull(program: Program): Program {
  return { ...program, command: (...args) => ['/bin/sh', '-c', 'exec "$@" <&2 >&2', 'sh', ...program.command(...args)] };
}

/** Runs a program to its end and gives its stdout; what it said stands in the error, and alone in the error's cause. */
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
