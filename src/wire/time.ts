// Moments as clients write them: Unix seconds, RFC 3339 and all its shortenings, or a while ago.
import { parseNanos } from '../lib/clock.ts';

const NANOS_PER_SECOND = 1_000_000_000n;

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
