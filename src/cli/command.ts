// What a word of the command line is: its flags, how many arguments it takes, and what it does.
import type { DaemonClient } from './client.ts';
import { Failure } from './failure.ts';
import type { Flags, FlagSpec } from './flags.ts';
import type { Io } from './io.ts';

export const PROGRAM = 'vaquita';

export interface Call {
  args: readonly string[];
  flags: Flags;
  client: DaemonClient;
  io: Io;
  /** The words that led here: `vaquita container ls`. */
  path: string;
  /** Directory of config.json. */
  configDirectory: string;
}

export interface Command {
  name: string;
  /** What stands behind the words in the usage line. */
  usage: string;
  short: string;
  aliases?: readonly string[];
  args: { min: number; max?: number };
  flags: readonly FlagSpec[];
  /** Set when flags end at the first argument, because what follows belongs to someone else. */
  flagsFirst?: boolean;
  /** The exit code, or nothing for 0. */
  run(call: Call): Promise<number | void>;
}

export interface Group { name: string; short: string; commands: readonly Command[] }

/** Throws when there are too few or too many. */
export function checkArguments(command: Command, path: string, count: number): void {
  const { min, max } = command.args;
  if (count >= min && (max === undefined || count <= max)) return;
  const plural = (n: number) => `${n} argument${n === 1 ? '' : 's'}`;
  const wanted = max === 0 ? 'accepts no arguments'
    : max === min ? `requires exactly ${plural(min)}`
    : max === undefined ? `requires at least ${plural(min)}`
    : min === 0 ? `requires at most ${plural(max)}`
    : `requires at least ${min} and at most ${plural(max)}`;
  throw new Failure(`"${path}" ${wanted}.\nSee '${path} --help'.\n\nUsage:  ${usageLine(command, path)}\n\n${command.short}`);
}

export const usageLine = (command: Command, path: string): string => `${path} ${command.usage}`.trimEnd();

/** The same thing once per argument, the next also when one fails; failures come last, one line each. */
export async function forEachArgument(call: Call, work: (name: string) => Promise<void>): Promise<void> {
  const failed: string[] = [];
  for (const name of call.args) {
    try {
      await work(name);
    } catch (error) {
      failed.push((error as Error).message);
    }
  }
  if (failed.length > 0) throw new Failure(failed.join('\n'));
}

export const print = (call: Call, line: string): void => call.io.stdout.write(`${line}\n`);
export const warn = (call: Call, line: string): void => call.io.stderr.write(`${line}\n`);

/** `/containers/{name}/…` with the name made safe for a path. */
export const containerPath = (name: string, rest = ''): string => `/containers/${encodeURIComponent(name)}${rest}`;
/** Names of images keep their slashes and colons: the API's routes expect them so. */
export const imagePath = (name: string, rest = ''): string => `/images/${encodeURIComponent(name).replaceAll('%2F', '/').replaceAll('%3A', ':').replaceAll('%40', '@')}${rest}`;

/** `Are you sure …? [y/N]` and the answer. */
export async function confirmed(call: Call, question: string): Promise<boolean> {
  call.io.stdout.write(`${question} [y/N] `);
  return (await readLine(call.io)).trim().toLowerCase() === 'y';
}

/** One line of stdin, without its end. */
export async function readLine(io: Io): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of io.stdin.chunks()) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.indexOf('\n');
    if (end >= 0) return text.slice(0, end).replace(/\r$/, '');
  }
  return text;
}
