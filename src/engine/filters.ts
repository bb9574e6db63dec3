// Filters as every list of Docker knows them: known keys, label matching, booleans.
import { invalid } from '../lib/errors.ts';
import { parseTime } from '../wire/time.ts';
import type { StringMap } from '../wire/types.ts';
import { parseTruth } from '../wire/truth.ts';
import type { Filters } from './index.ts';

/** Refuses a key that the verb does not know. */
export function assertFilterKeys(filters: Filters, known: readonly string[]): void {
  for (const key of filters.keys()) if (!known.includes(key)) throw invalid(`invalid filter '${key}'`);
}

/** All of `wanted` ("key" or "key=value") must be there. */
export function matchesLabels(wanted: readonly string[], labels: Readonly<StringMap> | null): boolean {
  return wanted.every((want) => {
    const at = want.indexOf('=');
    const key = at < 0 ? want : want.slice(0, at);
    const have = labels?.[key];
    return have !== undefined && (at < 0 || have === want.slice(at + 1));
  });
}

/** The filters `label` and `label!`: all of the first, none of the second. */
export function fitsLabels(filters: Filters, labels: Readonly<StringMap> | null): boolean {
  return matchesLabels(filters.get('label') ?? [], labels) && !(filters.get('label!') ?? []).some((label) => matchesLabels([label], labels));
}

/** The filter `until` of a prune, in ns since the epoch; undefined when it is not given. */
export function untilFilter(filters: Filters, nowNanos: () => bigint): bigint | undefined {
  const [until, ...more] = filters.get('until') ?? [];
  if (more.length > 0) throw invalid('more than one until filter specified');
  if (until === undefined) return undefined;
  const limit = parseTime(until, nowNanos);
  if (limit === undefined) throw invalid(`failed to parse value as time or duration: ${JSON.stringify(until)}`);
  return limit;
}

/** A boolean filter such as dangling: undefined when it is not given. */
export function booleanFilter(filters: Filters, key: string): boolean | undefined {
  const values = filters.get(key);
  if (values === undefined || values.length === 0) return undefined;
  const truths = new Set(values.map((value) => {
    const truth = parseTruth(value);
    if (truth === undefined) throw invalid(`invalid filter '${key}=[${values.join(' ')}]'`);
    return truth;
  }));
  if (truths.size > 1) throw invalid(`invalid filter '${key}': both true and false`);
  return truths.has(true);
}
