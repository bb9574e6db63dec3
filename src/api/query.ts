// What clients write behind the question mark: flags, numbers, times and filters, in all the spellings that Docker takes.
import type { Filters } from '../engine/index.ts';
import { invalid } from '../lib/errors.ts';
import { parseTime } from '../wire/time.ts';

/** Keys and values that one filter may have: clients send a handful. */
const MAX_FILTER_VALUES = 1000;
/** Rows and columns are 16 bits in the kernel's struct winsize. */
const MAX_TERMINAL = 0xffff;
const FALSE_WORDS: ReadonlySet<string> = new Set(['', '0', 'no', 'false', 'none']);

export class Query {
  readonly #params: URLSearchParams;
  readonly #nowNanos: () => bigint;

  constructor(text: string, nowNanos: () => bigint) {
    this.#params = new URLSearchParams(text);
    this.#nowNanos = nowNanos;
  }

  /** With the words of a form, which come first. */
  with(form: string): Query { return new Query(`${form}&${this.#params.toString()}`, this.#nowNanos); }

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

/** `{"key":["value"]}`, or as older clients write it, `{"key":{"value":true}}`; the value counts even if it says false. */
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
  return entries.map(([entry]) => entry);
}

const badFilter = (cause?: unknown) => invalid('invalid filter', { cause });
