// The functions of --format templates, and how values print: Go's built-ins and Docker's additions.
import { EngineError } from '../lib/errors.ts';
import { formatG } from './units.ts';

type Value = unknown;

export interface FunctionOptions { headers: boolean }

/** What text functions change; on headers of tables they do nothing. */
const TEXT_FUNCTIONS = new Set(['json', 'join', 'title', 'lower', 'upper', 'pad', 'truncate', 'println']);

export function callFunction(name: string, args: readonly Value[], options: FunctionOptions): Value {
  if (options.headers && TEXT_FUNCTIONS.has(name)) return args[name === 'truncate' || name === 'pad' || name === 'join' ? 0 : args.length - 1];
  const run = FUNCTIONS[name];
  if (!run) throw new EngineError('invalid', `function ${JSON.stringify(name)} not defined`);
  return run(args);
}

/** False, zero, empty and nothing are false. */
export function isTrue(value: Value): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** As fmt's %v prints it: `[a b]`, `map[k:v]`, `<nil>`, `<no value>`. */
export function showValue(value: Value): string {
  if (value === undefined) return '<no value>';
  return show(value);
}

/** Marks rows of tables, whose JSON is safe inside of HTML, as Docker's is. */
export const ROW = Symbol('row');

/** As encoding/json writes it: maps by key, without methods. */
export function toJson(value: Value): string {
  const text = JSON.stringify(value, (_key, inner: unknown) => (inner === undefined ? null : inOrder(inner))) ?? 'null';
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, ROW)) return text;
  return text.replace(/[<>&]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`);
}

/** Records begin their fields with capitals and keep their order; in maps people chose the names, and Go sorts them. */
function inOrder(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const keys = Object.keys(value);
  if (keys.some((key) => /^[A-Z]/.test(key))) return value;
  return Object.fromEntries(keys.toSorted().map((key) => [key, (value as Record<string, unknown>)[key]]));
}

function show(value: Value): string {
  if (value === null || value === undefined) return '<nil>';
  if (Array.isArray(value)) return `[${value.map(show).join(' ')}]`;
  if (typeof value === 'object') return `map[${Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, one]) => `${key}:${show(one)}`).join(' ')}]`;
  if (typeof value === 'number') return showNumber(value);
  if (typeof value === 'string') return value;
  return String(value as boolean);
}

function showNumber(value: number): string {
  if (Number.isInteger(value)) return Math.abs(value) < 1e21 ? BigInt(value).toString() : formatG(value, 17);
  return String(value);
}

const text = (value: Value): string => (typeof value === 'string' ? value : showValue(value));

const number = (value: Value): number => {
  if (typeof value !== 'number') throw new EngineError('invalid', `wrong type for value; expected int; got ${typeof value}`);
  return value;
};

function compare(a: Value, b: Value): number {
  if (typeof a !== typeof b || (typeof a !== 'number' && typeof a !== 'string')) throw new EngineError('invalid', 'error calling lt: incompatible types for comparison');
  if (a === b) return 0;
  return (a as string) < (b as string) ? -1 : 1;
}

function equal(args: readonly Value[]): boolean {
  const [first, ...others] = args;
  if (others.length === 0) throw new EngineError('invalid', 'error calling eq: missing argument for comparison');
  if (others.some((other) => other !== null && first !== null && typeof other !== typeof first)) throw new EngineError('invalid', 'error calling eq: incompatible types for comparison');
  return others.includes(first);
}

function index([start, ...keys]: readonly Value[]): Value {
  let value = start;
  for (const key of keys) {
    if (value === null || value === undefined) throw new EngineError('invalid', 'error calling index: index of untyped nil');
    if (Array.isArray(value) || typeof value === 'string') {
      const at = number(key);
      if (at < 0 || at >= value.length) throw new EngineError('invalid', `error calling index: index out of range: ${at}`);
      value = typeof value === 'string' ? value.charCodeAt(at) : value[at] as Value;
    } else if (typeof value === 'object') value = (value as Record<string, Value>)[text(key)] ?? (Object.values(value).every((one) => typeof one === 'string') ? '' : undefined);
    else throw new EngineError('invalid', 'error calling index: can\'t index item');
  }
  return value;
}

function length([value]: readonly Value[]): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length;
  throw new EngineError('invalid', 'error calling len: len of nil pointer');
}

function slice([value, from = 0, to]: readonly Value[]): Value {
  if (typeof value !== 'string' && !Array.isArray(value)) throw new EngineError('invalid', 'error calling slice: can\'t slice item');
  const end = to === undefined ? value.length : number(to);
  if (number(from) < 0 || end > value.length || number(from) > end) throw new EngineError('invalid', `error calling slice: index out of range: ${end}`);
  return value.slice(number(from), end);
}

function printf([format, ...args]: readonly Value[]): string {
  let next = 0;
  return text(format).replace(/%([-+ 0#]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])/g, (_all, flags: string, width: string | undefined, precision: string | undefined, verb: string) => {
    if (verb === '%') return '%';
    if (next >= args.length) return `%!${verb}(MISSING)`;
    const shown = printOne(verb, args[next++], precision === undefined ? undefined : Number(precision));
    if (flags.includes('-')) return shown.padEnd(Number(width ?? 0));
    return shown.padStart(Number(width ?? 0), flags.includes('0') ? '0' : ' ');
  });
}

function printOne(verb: string, value: Value, precision: number | undefined): string {
  switch (verb) {
    case 'q': return JSON.stringify(text(value));
    case 'd': return typeof value === 'number' ? showNumber(value) : `%!d(string=${text(value)})`;
    case 'x': return typeof value === 'number' ? value.toString(16) : Buffer.from(text(value)).toString('hex');
    case 'f': return number(value).toFixed(precision ?? 6);
    case 'g': return precision === undefined ? String(number(value)) : formatG(number(value), precision);
    default: return precision === undefined ? showValue(value) : showValue(value).slice(0, precision);
  }
}

/** Blanks stand between operands when neither side is a string. */
const print = (args: readonly Value[]): string =>
  args.map((arg, at) => (at > 0 && typeof arg !== 'string' && typeof args[at - 1] !== 'string' ? ' ' : '') + showValue(arg)).join('');

const html = (value: string): string => value.replace(/[&<>"']/g, (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' })[char] ?? char);

const FUNCTIONS: Readonly<Record<string, (args: readonly Value[]) => Value>> = {
  not: ([value]) => !isTrue(value),
  eq: equal,
  ne: ([a, b]) => !equal([a, b]),
  lt: ([a, b]) => compare(a, b) < 0,
  le: ([a, b]) => compare(a, b) <= 0,
  gt: ([a, b]) => compare(a, b) > 0,
  ge: ([a, b]) => compare(a, b) >= 0,
  len: length,
  index,
  slice,
  print,
  printf,
  println: (args) => `${args.map(showValue).join(' ')}\n`,
  json: ([value]) => toJson(value),
  join: ([list, separator]) => (Array.isArray(list) ? list.map(text) : []).join(text(separator)),
  split: ([value, separator]) => text(value).split(text(separator)),
  title: ([value]) => text(value).replace(/(^|\s)(\S)/g, (_all, gap: string, first: string) => gap + first.toUpperCase()),
  lower: ([value]) => text(value).toLowerCase(),
  upper: ([value]) => text(value).toUpperCase(),
  pad: ([value, before, after]) => (text(value) === '' ? '' : ' '.repeat(number(before)) + text(value) + ' '.repeat(number(after))),
  truncate: ([value, limit]) => text(value).slice(0, number(limit)),
  html: (args) => html(print(args)),
  js: (args) => print(args).replace(/[\\'"<>&=]/g, (char) => (/[\\'"]/.test(char) ? `\\${char}` : `\\u${char.charCodeAt(0).toString(16).padStart(4, '0').toUpperCase()}`)),
  urlquery: (args) => encodeURIComponent(print(args)).replaceAll('%20', '+'),
};
