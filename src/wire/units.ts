// Sizes and times in words, and read from words, with the roundings that Docker's users know.

const DECIMAL = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB', 'ZB', 'YB'];
const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB', 'ZiB', 'YiB'];

/** 1985000 → `1.985MB`; with `digits` 3 → `1.99MB`. */
export const humanSize = (bytes: number, digits = 4): string => scaled(bytes, { base: 1000, names: DECIMAL, digits });
/** 1073741824 → `1GiB`. */
export const bytesSize = (bytes: number): string => scaled(bytes, { base: 1024, names: BINARY, digits: 4 });

/** How long, roughly: `5 seconds`, `About a minute`, `3 weeks`. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(seconds / 3600); // rounded, where all the others are cut: 90 minutes are 2 hours
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.trunc(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.trunc(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24 / 30)} months`;
  return `${Math.trunc(seconds / 3600 / 24 / 365)} years`;
}

/** `64m`, `1.5g`, `512kb` → bytes, in powers of 1024; undefined when it is no size. */
export const parseBytes = (text: string): number | undefined => parseScaled(text, 1024);
/** The same in powers of 1000. */
export const parseDecimalBytes = (text: string): number | undefined => parseScaled(text, 1000);

function parseScaled(text: string, base: number): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?(?:([kKmMgGtTpP])[iI]?)?[bB]?$/.exec(text);
  if (!match?.[1]) return undefined;
  const power = match[2] === undefined ? 0 : 'kmgtp'.indexOf(match[2].toLowerCase()) + 1;
  return Math.trunc(Number(match[1]) * base ** power);
}

/** Go's %.<digits>g: as few digits as needed, exponents as `1e+03`. */
export function formatG(value: number, digits: number): string {
  const exact = value.toPrecision(digits);
  const [mantissa = '', exponent] = exact.split('e');
  const short = mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa;
  if (exponent === undefined) return short;
  return `${short}e${exponent.startsWith('-') ? '-' : '+'}${exponent.replace(/^[-+]/, '').padStart(2, '0')}`;
}

function scaled(bytes: number, how: { base: number; names: readonly string[]; digits: number }): string {
  let value = bytes;
  let step = 0;
  while (value >= how.base && step < how.names.length - 1) {
    value /= how.base;
    step++;
  }
  return formatG(value, how.digits) + (how.names[step] ?? '');
}
