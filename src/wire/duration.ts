// Lengths of time as Go spells them ("1h2m3.5s"), which is how Docker's flags, files and messages do.

const UNIT_NANOS: ReadonlyMap<string, bigint> = new Map([
  ['ns', 1n], ['us', 1000n], ['µs', 1000n], ['μs', 1000n], // the micro sign and the Greek letter
  ['ms', 1_000_000n], ['s', 1_000_000_000n], ['m', 60_000_000_000n], ['h', 3_600_000_000_000n],
]);
/** Go counts in 64 bits with a sign: about 292 years. */
const MAX_NANOS = 2n ** 63n - 1n;
/** Digits of a fraction that count, if they fit the 64 bits; one fewer always do. */
const MAX_FRACTION = 19;

/** Nanoseconds; where the text is no duration, the words in which Go says why. Source: the documentation of Go's time.ParseDuration. */
export function parseDuration(text: string): bigint | string {
  const invalid = `time: invalid duration ${quoted(text)}`;
  const negative = text.startsWith('-');
  const most = negative ? MAX_NANOS + 1n : MAX_NANOS;
  let rest = text.replace(/^[-+]/, '');
  if (rest === '0') return 0n; // the only number that needs no unit
  if (rest === '') return invalid;
  let nanos = 0n;
  while (rest !== '') {
    const [part = '', whole = '', fraction = '', unit = ''] = /^(\d*)(?:\.(\d*))?([^.\d]*)/.exec(rest) ?? [];
    if ((whole === '' && fraction === '') || BigInt(whole) > MAX_NANOS + 1n) return invalid;
    if (unit === '') return `time: missing unit in duration ${quoted(text)}`;
    const scale = UNIT_NANOS.get(unit);
    if (scale === undefined) return `time: unknown unit ${quoted(unit)} in duration ${quoted(text)}`;
    nanos += BigInt(whole) * scale + fractionOf(fraction, scale);
    if (nanos > most) return invalid;
    rest = rest.slice(part.length);
  }
  return negative ? -nanos : nanos;
}

/** 90500000000 → "1m30.5s"; below a second in the largest unit that is not zero. Source: the documentation of Go's Duration.String. */
export function formatDuration(nanos: bigint): string {
  if (nanos < 0n) return `-${formatDuration(-nanos)}`;
  if (nanos === 0n) return '0s';
  for (const [unit, above] of [['ns', 'µs'], ['µs', 'ms'], ['ms', 's']] as const) if (nanos < scaleOf(above)) return inUnit(nanos, unit);
  const [hours, minutes, seconds] = [nanos / scaleOf('h'), nanos / scaleOf('m') % 60n, nanos % scaleOf('m')];
  return `${hours > 0n ? `${hours}h` : ''}${hours > 0n || minutes > 0n ? `${minutes}m` : ''}${inUnit(seconds, 's')}`;
}

/** The same of milliseconds, as clocks give them. */
export const formatMillis = (ms: number): string => formatDuration(BigInt(Math.round(ms * 1e6)));

/** Cut to whole nanoseconds, and by Go's own way through floating point, which makes 20 minutes of 0.3333333333333333333h. */
function fractionOf(digits: string, scale: bigint): bigint {
  const counted = digits.slice(0, BigInt(digits.slice(0, MAX_FRACTION)) <= MAX_NANOS ? MAX_FRACTION : MAX_FRACTION - 1);
  return BigInt(Math.trunc(Number(counted) * (Number(scale) / 10 ** counted.length)));
}

function inUnit(nanos: bigint, unit: string): string {
  const scale = scaleOf(unit);
  const fraction = (nanos % scale).toString().padStart(scale.toString().length - 1, '0').replace(/0+$/, '');
  return `${nanos / scale}${fraction === '' ? '' : `.${fraction}`}${unit}`;
}

const scaleOf = (unit: string): bigint => UNIT_NANOS.get(unit) ?? 1n;

/** As Go quotes in these messages: all that is not printable ASCII byte by byte. */
function quoted(text: string): string {
  const hex = (c: string) => Array.from(Buffer.from(c), (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  return `"${text.replace(/["\\]/g, '\\$&').replace(/[^ -\x7f]/gu, hex)}"`;
}
