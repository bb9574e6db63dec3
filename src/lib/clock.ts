// Time and chance, handed to whoever needs them, so that a test can hold them still.
import { randomBytes } from 'node:crypto';

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Nanoseconds since the epoch, never going back within this process. */
  nowNanos(): bigint;
  /** Milliseconds of a clock that no one sets. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when that comes first. */
  sleep(ms: number, options?: { signal?: AbortSignal | undefined }): Promise<void>;
  /** Calls back once after `ms` unless disposed; does not keep the process alive. */
  after(ms: number, run: () => void): Disposable;
  /** `bytes` random bytes as lower-case hex. */
  randomHex(bytes: number): string;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  nowNanos: monotonicNanos(),
  monotonicMs: () => performance.now(),
  sleep: (ms, options) => new Promise((resolve, reject) => {
    const signal = options?.signal;
    if (signal?.aborted) return reject(signal.reason as Error);
    const timer = setTimeout(() => { signal?.removeEventListener('abort', stop); resolve(); }, ms);
    const stop = () => { clearTimeout(timer); reject(signal?.reason as Error); };
    signal?.addEventListener('abort', stop, { once: true });
  }),
  after: (ms, run) => {
    const timer = setTimeout(run, ms).unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
  randomHex: (bytes) => randomBytes(bytes).toString('hex'),
};

function monotonicNanos(): () => bigint {
  const offset = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
  let last = 0n;
  return () => {
    // The wall clock may be set while we run; within a second of it the finer clock is used for the digits below.
    const wall = BigInt(Date.now()) * 1_000_000n;
    const fine = process.hrtime.bigint() + offset;
    const drift = fine > wall ? fine - wall : wall - fine;
    const now = drift < 50_000_000n ? fine : wall;
    last = now > last ? now : last + 1n;
    return last;
  };
}

/** RFC 3339 with nanoseconds, trailing zeros trimmed, in UTC: how Docker writes times. */
export function formatNanos(nanos: bigint): string {
  const ms = Number(nanos / 1_000_000n);
  const rest = nanos % 1_000_000_000n;
  const fraction = rest.toString().padStart(9, '0').replace(/0+$/, '');
  return new Date(ms).toISOString().replace(/\.\d+Z$/, fraction === '' ? 'Z' : `.${fraction}Z`);
}

/** Nanoseconds of an RFC 3339 time, with any offset and up to nine fractional digits; undefined when it is none. */
export function parseNanos(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/.exec(text);
  if (!match) return undefined;
  const seconds = Date.parse(`${match[1]}T${match[2]}${(match[4] ?? 'Z').toUpperCase()}`);
  if (Number.isNaN(seconds)) return undefined;
  return BigInt(seconds) * 1_000_000n + BigInt((match[3] ?? '').padEnd(9, '0'));
}

/** The zero time of Docker's JSON: "never". */
export const ZERO_TIME = '0001-01-01T00:00:00Z';
