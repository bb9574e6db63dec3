// What clients write behind the question mark: flags, numbers, times and filters, in all the spellings that Docker takes.
import type { Filters } from '../engine/index.ts';
import { parseNanos } from '../lib/clock.ts';
import { invalid } from '../lib/errors.ts';

/** Keys and values that one filter may have: clients send a handful. */
const MAX_FILTER_VALUES = 1000;
/** Rows and columns are 16 bits in the kernel's struct winsize. */
const MAX_TERMINAL = 0xffff;
const NANOS_PER_SECOND = 1_000_000_000n;
const FALSE_WORDS: ReadonlySet<string> = new Set(['', '0', 'no', 'false', 'none']);

export class Query {
  readonly #params: URLSearchParams;
  readonly #nowNanos: () => bigint;

  constructor(text: string, nowNanos: () => bigint) {
    this.#params = new URLSearchParams(text);
    this.#nowNanos = nowNanos;
  }

  has(name: string): boolean { return this.#params.has(name); }
  /** The first value, or ''. */
  text(name: string): string { return this.#params.get(name) ?? ''; }
  /** The first value; undefined when absent or empty. */
  optional(name: string): string | undefined { return this.#params.get(name) || undefined; }
  all(name: string): string[] { return this.#params.getAll(name); }

  /** Empty, 0, no, false and none are false, everything else is true. */
  flag(name: string, absent = false): boolean {
    const value = this.#params.get(name);
    return value === null ? absent : !FALSE_WORDS.has(value.trim().toLowerCase());
  }

  /** A whole number; undefined when absent or empty. */
  int(name: string): number | undefined {
    const text = this.optional(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(value)) throw invalid(`invalid value for ${name}: ${JSON.stringify(text)} is no whole number`);
    return value;
  }

  /** Nanoseconds since the epoch; undefined when absent or empty. */
  time(name: string): bigint | undefined {
    const text = this.optional(name);
    if (text === undefined) return undefined;
    const nanos = parseTime(text, this.#nowNanos);
    if (nanos === undefined) throw invalid(`invalid value for ${name}: ${JSON.stringify(text)} is no time: use seconds since 1970, RFC 3339, or a duration like 10m`);
    return nanos;
  }

  /** A terminal's `h` and `w`; both are needed. */
  size(): { width: number; height: number } {
    const [height, width] = [this.int('h'), this.int('w')];
    if (height === undefined || width === undefined || height < 0 || width < 0 || height > MAX_TERMINAL || width > MAX_TERMINAL)
      throw invalid(`invalid terminal size: h=${JSON.stringify(this.text('h'))} w=${JSON.stringify(this.text('w'))}`);
    return { width, height };
  }

  filters(): Filters { return parseFilters(this.text('filters')); }
}

/** Unix seconds with a fraction, RFC 3339 down to a date (UTC where no zone is said), or a Go duration before now. */
export function parseTime(text: string, nowNanos: () => bigint): bigint | undefined {
  const unix = /^(-?)(\d{1,12})(?:\.(\d{1,9})\d*)?$/.exec(text);
  if (unix) {
    const nanos = BigInt(unix[2] ?? '0') * NANOS_PER_SECOND + BigInt((unix[3] ?? '').padEnd(9, '0'));
    return unix[1] === '-' ? -nanos : nanos;
  }
  const duration = parseDuration(text);
  if (duration !== undefined) return nowNanos() - duration;
  const date = /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(\.\d{1,9})?)?)?)?(Z|[+-]\d\d:\d\d)?$/.exec(text);
  return date ? parseNanos(`${date[1]}T${date[2] ?? '00'}:${date[3] ?? '00'}:${date[4] ?? '00'}${date[5] ?? ''}${date[6] ?? 'Z'}`) : undefined;
}

const UNIT_NANOS: Readonly<Record<string, bigint>> = {
  ns: 1n, us: 1000n, 'µs': 1000n, 'μs': 1000n, ms: 1_000_000n, s: NANOS_PER_SECOND, m: 60n * NANOS_PER_SECOND, h: 3600n * NANOS_PER_SECOND,
};

/** Go's spelling of a duration ("1h30m", "-1.5s") in nanoseconds. */
export function parseDuration(text: string): bigint | undefined {
  if (!/^[+-]?(?:\d{1,12}(?:\.\d{1,9})?(?:ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return undefined;
  let nanos = 0n;
  for (const [, whole = '0', fraction = '', unit = ''] of text.matchAll(/(\d+)(?:\.(\d+))?(ns|us|µs|μs|ms|s|m|h)/g)) {
    const scale = UNIT_NANOS[unit] ?? 0n;
    nanos += BigInt(whole) * scale + (BigInt(fraction.padEnd(9, '0')) * scale) / NANOS_PER_SECOND;
  }
  return text.startsWith('-') ? -nanos : nanos;
}

/** `{"key":["value"]}`, or as older clients write it, `{"key":{"value":true}}`. */
export function parseFilters(text: string): Filters {
  const filters = new Map<string, readonly string[]>();
  if (text.trim() === '') return filters;
  let parsed: unknown;
  try { parsed = JSON.parse(text); }
  catch (cause) { throw badFilter(cause); }
  if (parsed === null) return filters;
  if (typeof parsed !== 'object' || Array.isArray(parsed)) throw badFilter();
  let count = 0;
  for (const [key, value] of Object.entries(parsed)) {
    const values = filterValues(value);
    count += values.length + 1;
    if (count > MAX_FILTER_VALUES) throw invalid(`invalid filter: more than ${MAX_FILTER_VALUES} keys and values`);
    filters.set(key, values);
  }
  return filters;
}

function filterValues(value: unknown): readonly string[] {
  if (value === null) return [];
  if (Array.isArray(value)) return value.map((entry) => { if (typeof entry !== 'string') throw badFilter(); return entry; });
  if (typeof value !== 'object') throw badFilter();
  const entries = Object.entries(value as Record<string, unknown>);
  if (entries.some(([, wanted]) => typeof wanted !== 'boolean')) throw badFilter();
  return entries.filter(([, wanted]) => wanted === true).map(([entry]) => entry);
}

const badFilter = (cause?: unknown) => invalid('invalid filter', { cause });
