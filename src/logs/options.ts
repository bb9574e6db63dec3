// Log drivers and their options: what is refused at the creation, and what the rest means at the start. Words and order are Docker's.
import { existsSync } from 'node:fs';
import { EngineError, invalid } from '../lib/errors.ts';
import { parseTruth } from '../wire/truth.ts';
import { parseBytes, parseDecimalBytes } from '../wire/units.ts';
import { parseSyslogAddress, parseFacility, SYSLOG_FORMATS } from './syslog-format.ts';

/** Those of balenaEngine, and syslog. */
export const LOG_DRIVERS = ['journald', 'json-file', 'local', 'none', 'syslog'] as const;
export type LogDriver = typeof LOG_DRIVERS[number];

export type Options = Readonly<Record<string, string>>;
export interface LogConfig { driver: string; options: Options }

/** A log in files: so large at most, so many of them. */
export interface Limits { maxBytes: number; maxFiles: number; compress: boolean }

const EXTRAS = ['env', 'env-regex', 'labels', 'labels-regex', 'tag'];
const OPTIONS: Readonly<Record<LogDriver, readonly string[]>> = {
  'json-file': ['max-file', 'max-size', 'compress', ...EXTRAS],
  local: ['max-size', 'max-file', 'compress'],
  journald: EXTRAS,
  syslog: [...EXTRAS, 'syslog-address', 'syslog-facility', 'syslog-format', 'syslog-tls-ca-cert', 'syslog-tls-cert', 'syslog-tls-key', 'syslog-tls-skip-verify'],
  none: [],
};
/** Options that every driver takes. */
const COMMON = ['mode', 'max-buffer-size', 'cache-disabled', 'cache-max-size', 'cache-max-file', 'cache-compress'];

const isLogDriver = (name: string): name is LogDriver => (LOG_DRIVERS as readonly string[]).includes(name);

/** What a container gets: its own word, or the daemon's driver with those of its options that the container does not set. */
export function withLogDefaults(given: LogConfig, defaults: LogConfig): LogConfig {
  const driver = given.driver || defaults.driver;
  return { driver, options: driver === defaults.driver ? { ...defaults.options, ...given.options } : given.options };
}

/** Refuses what Docker refuses before there is a container. Error: invalid. */
export function validateLogConfig({ driver, options }: LogConfig): void {
  if (driver === 'none') return;
  assertMode(options);
  if (!isLogDriver(driver)) throw noSuchDriver(driver);
  for (const name of Object.keys(options)) {
    if (COMMON.includes(name) || OPTIONS[driver].includes(name)) continue;
    throw invalid(driver === 'local' ? `unknown log opt '${name}' for log driver local` : `unknown log opt '${name}' for ${driver} log driver`);
  }
  if (driver !== 'syslog') return;
  const address = parseSyslogAddress(options['syslog-address'] ?? '');
  if ((address.protocol === 'unix' || address.protocol === 'unixgram') && !existsSync(address.path)) throw invalid(`stat ${address.path}: no such file or directory`);
  parseFacility(options['syslog-facility'] ?? '');
  if (!SYSLOG_FORMATS.includes(options['syslog-format'] ?? '')) throw invalid('Invalid syslog format');
}

function assertMode(options: Options): void {
  const mode = options['mode'] ?? '';
  if (!['', 'blocking', 'non-blocking'].includes(mode)) throw invalid(`logger: logging mode not supported: ${mode}`);
  const buffer = options['max-buffer-size'];
  if (buffer !== undefined && mode !== 'non-blocking') throw invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  if (buffer !== undefined && parseBytes(buffer) === undefined) throw invalid(`error parsing option max-buffer-size: invalid size: '${buffer}'`);
  const disabled = options['cache-disabled'];
  if (disabled !== undefined && parseTruth(disabled) === undefined) throw invalid(`invalid value for option cache-disabled: ${disabled}`);
}

/** json-file's: undefined when the file may grow without end. Error: system, as Docker says it at the start. */
export function jsonFileLimits(options: Options): Limits | undefined {
  const size = options['max-size'];
  const maxBytes = size === undefined ? undefined : parseDecimalBytes(size);
  if (size !== undefined && maxBytes === undefined) throw refusal(`invalid size: '${size}'`);
  if (maxBytes !== undefined && maxBytes <= 0) throw refusal('max-size must be a positive number');
  const maxFiles = options['max-file'] === undefined ? 1 : integer(options['max-file']);
  if (maxFiles < 1) throw refusal('max-file cannot be less than 1');
  const compress = options['compress'] === undefined ? false : switchOf(options['compress']);
  if (compress && (maxFiles < 2 || maxBytes === undefined)) throw refusal('compress cannot be true when max-file is less than 2 or max-size is not set');
  return maxBytes === undefined ? undefined : { maxBytes, maxFiles, compress };
}

const LOCAL_LIMITS: Limits = { maxBytes: 20 << 20, maxFiles: 5, compress: true };

/** local's, with its defaults. */
export function localLimits(options: Options): Limits {
  const size = options['max-size'], files = options['max-file'], compressed = options['compress'];
  const maxBytes = size === undefined ? LOCAL_LIMITS.maxBytes : parseBytes(size);
  if (maxBytes === undefined) throw refusal(`invalid value for max-size: ${size}: invalid size: '${size}'`);
  const maxFiles = files === undefined ? LOCAL_LIMITS.maxFiles : worded(`invalid value for max-file: ${files}: `, () => integer(files));
  if (maxFiles < 0) throw refusal('max file count cannot be less than 0');
  const compress = compressed === undefined ? LOCAL_LIMITS.compress : worded('error reading compress log option: ', () => switchOf(compressed));
  if (compress && maxFiles <= 1) throw refusal('compression cannot be enabled when max file count is 1');
  return { maxBytes: maxBytes || LOCAL_LIMITS.maxBytes, maxFiles: Math.max(1, maxFiles), compress };
}

/** What `logs` shows of a driver that cannot be read back; undefined when the user wants none kept. Values that make no sense are passed over, as Docker does. */
export function cacheLimits(options: Options): Limits | undefined {
  if (parseTruth(options['cache-disabled'] ?? '') === true) return undefined;
  const files = Number(options['cache-max-file'] ?? LOCAL_LIMITS.maxFiles);
  const maxFiles = Number.isInteger(files) && files > 0 ? files : LOCAL_LIMITS.maxFiles;
  return {
    maxBytes: parseBytes(options['cache-max-size'] ?? '') || LOCAL_LIMITS.maxBytes, maxFiles,
    compress: maxFiles > 1 && (parseTruth(options['cache-compress'] ?? '') ?? true),
  };
}

export const noSuchDriver = (name: string) => invalid(`error looking up logging plugin ${name}: plugin "${name}" not found`);

/** An error of the start, not of the creation. */
export const refusal = (message: string, options?: { cause?: unknown }) => new EngineError('system', message, options);

function integer(text: string): number {
  if (!/^[-+]?\d{1,15}$/.test(text)) throw refusal(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

function switchOf(text: string): boolean {
  const value = parseTruth(text);
  if (value === undefined) throw refusal(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
  return value;
}

function worded<T>(prefix: string, read: () => T): T {
  try { return read(); } catch (cause) { throw cause instanceof EngineError ? refusal(`${prefix}${cause.message}`, { cause }) : cause; }
}
