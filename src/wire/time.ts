// Moments as clients write them: Unix seconds, RFC 3339 and all its shortenings, or a while ago.
import { parseNanos } from '../lib/clock.ts';
import { parseDuration } from './duration.ts';

const NANOS_PER_SECOND = 1_000_000_000n;

/** Unix seconds with a fraction, RFC 3339 down to a date (UTC where no zone is said), or a Go duration before now. */
export function parseTime(text: string, nowNanos: () => bigint): bigint | undefined {
  const unix = /^(-?)(\d{1,12})(?:\.(\d{1,9})\d*)?$/.exec(text);
  if (unix) {
    const nanos = BigInt(unix[2] ?? '0') * NANOS_PER_SECOND + BigInt((unix[3] ?? '').padEnd(9, '0'));
    return unix[1] === '-' ? -nanos : nanos;
  }
  const duration = parseDuration(text);
  if (typeof duration === 'bigint') return nowNanos() - duration;
  const date = /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(\.\d{1,9})?)?)?)?(Z|[+-]\d\d:\d\d)?$/.exec(text);
  return date ? parseNanos(`${date[1]}T${date[2] ?? '00'}:${date[3] ?? '00'}:${date[4] ?? '00'}${date[5] ?? ''}${date[6] ?? 'Z'}`) : undefined;
}
