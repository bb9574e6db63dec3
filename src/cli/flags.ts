// Flags as Docker's command line takes them: -abc, -e=val, --flag=val, --flag val, bools with =false, lists by repeating.
import { Failure, EXIT_USAGE } from './failure.ts';
import { parseTruth } from '../wire/truth.ts';
import { parseDuration } from '../wire/duration.ts';
import { parseBytes } from '../wire/units.ts';

/** The word shown for the value in help, which also decides how it is checked. */
export type FlagType =
  | 'bool' | 'string' | 'strings' | 'list' | 'int' | 'uint16' | 'decimal' | 'bytes' | 'duration' | 'filter'
  | 'map' | 'mount' | 'network' | 'ulimit' | 'gpu-request' | 'list-default';

export interface FlagSpec {
  name: string;
  short?: string;
  type: FlagType;
  help: string;
  /** The value when it is not given, as typed. */
  value?: string;
  hidden?: boolean;
  /** Throws an Error with the reason when the value is refused; returns what is kept of it. */
  check?: (value: string) => string | undefined;
}

/** One line per flag: `flag('a, all', 'bool', 'Show …')`. */
export function flag(names: string, type: FlagType, help: string, more: Partial<FlagSpec> = {}): FlagSpec {
  const [first = '', second] = names.split(', ');
  return { name: second ?? first, ...(second === undefined ? {} : { short: first }), type, help, ...more };
}

/** The values given, by the name of their flag. */
export class Flags {
  readonly #values: ReadonlyMap<string, readonly string[]>;
  readonly #specs: ReadonlyMap<string, FlagSpec>;
  constructor(values: ReadonlyMap<string, readonly string[]>, specs: readonly FlagSpec[]) {
    this.#values = values;
    this.#specs = new Map(specs.map((spec) => [spec.name, spec]));
  }
  /** Whether it was typed at all. */
  given(name: string): boolean { return this.#values.has(name); }
  list(name: string): readonly string[] { return this.#values.get(name) ?? []; }
  /** The last value typed, or the default, or an empty text. */
  text(name: string): string { return this.#values.get(name)?.at(-1) ?? this.#specs.get(name)?.value ?? ''; }
  bool(name: string): boolean { return this.text(name) === 'true'; }
  number(name: string): number { return Number(this.text(name) || '0'); }
  bytes(name: string): number { return this.text(name) === '-1' ? -1 : parseBytes(this.text(name)) ?? 0; }
  /** `key=value` pairs of a filter flag. */
  filters(name = 'filter'): Map<string, string[]> {
    const filters = new Map<string, string[]>();
    for (const pair of this.list(name)) {
      const equals = pair.indexOf('=');
      const key = pair.slice(0, equals).trim().toLowerCase();
      filters.set(key, [...filters.get(key) ?? [], pair.slice(equals + 1).trim()]);
    }
    return filters;
  }
}

export interface ParseOptions {
  specs: readonly FlagSpec[];
  /** Whether flags may follow the first argument; run and exec pass them on instead. */
  interspersed: boolean;
  /** For `See 'vaquita ps --help'.` */
  path: string;
}

/** Takes the flags out of `words`; what is left are the arguments. */
export function parseFlags(words: readonly string[], options: ParseOptions): { flags: Flags; args: string[]; help: boolean } {
  const parse: Parse = { values: new Map(), words, at: 0, options, help: false };
  const args: string[] = [];
  while (parse.at < words.length) {
    const word = words[parse.at++] ?? '';
    if (word === '--') {
      args.push(...words.slice(parse.at));
      break;
    }
    if (word.startsWith('--')) takeLong(parse, word);
    else if (word.startsWith('-') && word !== '-') takeShorts(parse, word.slice(1));
    else {
      args.push(word);
      if (options.interspersed) continue;
      args.push(...words.slice(parse.at));
      break;
    }
    if (parse.help) break;
  }
  return { flags: new Flags(parse.values, options.specs), args, help: parse.help };
}

/** The end of every complaint about flags. */
export const usageFailure = (message: string, path: string): Failure => new Failure(`${message}\nSee '${path} --help'.`, EXIT_USAGE);

interface Parse { values: Map<string, string[]>; words: readonly string[]; at: number; options: ParseOptions; help: boolean }

function takeLong(parse: Parse, word: string): void {
  const equals = word.indexOf('=');
  const name = word.slice(2, equals < 0 ? undefined : equals);
  const spec = parse.options.specs.find((one) => one.name === name);
  if (name === 'help') {
    parse.help = true;
    return;
  }
  if (!spec) {
    if (name === '' || name.startsWith('-')) throw usageFailure(`bad flag syntax: ${word}`, parse.options.path);
    throw usageFailure(`unknown flag: --${name}`, parse.options.path);
  }
  if (equals >= 0) return keep(parse, spec, word.slice(equals + 1));
  if (spec.type === 'bool') return keep(parse, spec, 'true');
  const value = parse.words[parse.at++];
  if (value === undefined) throw usageFailure(`flag needs an argument: --${name}`, parse.options.path);
  keep(parse, spec, value);
}

function takeShorts(parse: Parse, letters: string): void {
  for (let at = 0; at < letters.length; at++) {
    const letter = letters[at] ?? '';
    const rest = letters.slice(at + 1);
    const spec = parse.options.specs.find((one) => one.short === letter);
    if (!spec) {
      if (letter !== 'h') throw usageFailure(`unknown shorthand flag: '${letter}' in -${letters.slice(at)}`, parse.options.path);
      parse.help = true;
      return;
    }
    if (rest.startsWith('=')) return keep(parse, spec, rest.slice(1));
    if (spec.type === 'bool') {
      keep(parse, spec, 'true');
      continue;
    }
    if (rest !== '') return keep(parse, spec, rest);
    const value = parse.words[parse.at++];
    if (value === undefined) throw usageFailure(`flag needs an argument: '${letter}' in -${letters.slice(at)}`, parse.options.path);
    return keep(parse, spec, value);
  }
}

function keep(parse: Parse, spec: FlagSpec, value: string): void {
  let kept: string;
  try {
    kept = checkType(spec.type, value);
    kept = spec.check?.(kept) ?? kept;
  } catch (error) {
    const names = spec.short === undefined ? `--${spec.name}` : `-${spec.short}, --${spec.name}`;
    throw usageFailure(`invalid argument ${JSON.stringify(value)} for "${names}" flag: ${(error as Error).message}`, parse.options.path);
  }
  parse.values.set(spec.name, [...parse.values.get(spec.name) ?? [], kept]);
}

/** The value in one spelling, or an Error in the words of Go's parsers. */
function checkType(type: FlagType, value: string): string {
  switch (type) {
    case 'bool': {
      const truth = parseTruth(value);
      if (truth === undefined) throw new Error(`strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`);
      return String(truth);
    }
    case 'int':
      if (!/^[-+]?(?:\d+|0x[0-9a-fA-F]+)$/.test(value)) throw new Error(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
      return String(Number(value));
    case 'uint16':
      if (!/^\d+$/.test(value)) throw new Error(`strconv.ParseUint: parsing ${JSON.stringify(value)}: invalid syntax`);
      if (Number(value) > 65535) throw new Error(`strconv.ParseUint: parsing ${JSON.stringify(value)}: value out of range`);
      return value;
    case 'decimal':
      if (!/^\d*\.?\d+$/.test(value)) throw new Error(`failed to parse ${value} as a rational number`);
      if ((value.split('.')[1] ?? '').replace(/0+$/, '').length > 9) throw new Error('value is too precise');
      return value;
    case 'bytes':
      if (value !== '-1' && parseBytes(value) === undefined) throw new Error(`invalid size: '${value}'`);
      return value;
    case 'duration': {
      const nanos = parseDuration(value);
      if (typeof nanos === 'string') throw new Error(nanos);
      return value;
    }
    case 'filter':
      if (!value.includes('=')) throw new Error('bad format of filter (expected name=value)');
      return value;
    default: return value;
  }
}
