// Points in time: read from what people type, written as Docker's tables and events show them.
import { parseNanos } from '../lib/clock.ts';
import { Failure } from './failure.ts';
import { parseDuration } from '../wire/duration.ts';

/** `42m` ago, RFC 3339, a local date, or Unix seconds → what the API's since and until take. */
export function parseTimestamp(text: string, nowMs: number): string {
  const nanos = parseDuration(text);
  if (typeof nanos === 'bigint' && text !== '0') return String(Math.floor((nowMs - Number(nanos) / 1e6) / 1000));
  if (/^\d+(?:\.\d{1,9})?$/.test(text)) return text;
  const whole = dateNanos(text);
  if (whole === undefined) throw new Failure(`failed to parse value as time or duration: ${JSON.stringify(text)}`);
  return `${whole / 1_000_000_000n}.${(whole % 1_000_000_000n).toString().padStart(9, '0')}`;
}

/** `2026-11-20 18:59:14 +0000 UTC` of Unix seconds. */
export function goTime(unixSeconds: number): string {
  const { date, time, sign, zone } = local(unixSeconds * 1000);
  return `${date} ${time} ${sign.replace(':', '')} ${zone}`;
}

/** The same of a time in RFC 3339, in its own zone and with its fraction. */
export function goTimeOf(text: string): string {
  const [, date, time, fraction = '', zone = 'Z'] = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(text) ?? [];
  if (date === undefined) return text;
  const offset = zone.replace(':', '');
  return `${date} ${time}${fraction.replace(/\.?0+$/, '')} ${zone === 'Z' ? '+0000 UTC' : `${offset} ${offset}`}`;
}

/** RFC 3339 in local time, with seconds. */
export function rfc3339(unixSeconds: number): string {
  const { date, time, sign } = local(unixSeconds * 1000);
  return `${date}T${time}${sign === '+00:00' ? 'Z' : sign}`;
}

/** RFC 3339 in local time with all nine digits, so that lines of events stand below each other. */
export function rfc3339Nanos(nanos: bigint): string {
  const { date, time, sign } = local(Number(nanos / 1_000_000n));
  return `${date}T${time}.${(nanos % 1_000_000_000n).toString().padStart(9, '0')}${sign === '+00:00' ? 'Z' : sign}`;
}

/** `Fri Nov 20 10:00:00 2026`, or the text itself when it is no time. */
export function buildTime(text: string): string {
  const nanos = parseNanos(text);
  if (nanos === undefined) return text;
  const at = new Date(Number(nanos / 1_000_000n));
  const [day, month] = [at.toUTCString().slice(0, 3), at.toUTCString().slice(8, 11)];
  return `${day} ${month} ${String(at.getUTCDate()).padStart(2)} ${at.toISOString().slice(11, 19)} ${at.getUTCFullYear()}`;
}

function dateNanos(text: string): bigint | undefined {
  const exact = parseNanos(text);
  if (exact !== undefined) return exact;
  const match = /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(Z|[+-]\d\d:\d\d)?$/.exec(text);
  if (!match) return undefined;
  const ms = Date.parse(`${match[1]}T${match[2] ?? '00:00'}:${match[3] ?? '00'}${match[5] ?? ''}`);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000_000n + BigInt((match[4] ?? '').padEnd(9, '0'));
}

function local(ms: number): { date: string; time: string; sign: string; zone: string } {
  const offset = -new Date(ms).getTimezoneOffset();
  const iso = new Date(ms + offset * 60_000).toISOString();
  const two = (n: number) => String(Math.trunc(Math.abs(n))).padStart(2, '0');
  const sign = `${offset < 0 ? '-' : '+'}${two(offset / 60)}:${two(offset % 60)}`;
  return { date: iso.slice(0, 10), time: iso.slice(11, 19), sign, zone: offset === 0 ? 'UTC' : sign.replace(':', '') };
}
