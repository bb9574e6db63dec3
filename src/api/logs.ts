// Log records as the bytes that clients read: framed or raw, with or without the time in front of each line.
import type { LogRecord } from '../logs/index.ts';
import { frameHeader } from '../wire/frames.ts';

const NEWLINE = 0x0a;
const NANOS_PER_SECOND = 1_000_000_000n;

export async function* logBytes(records: AsyncIterable<LogRecord>, options: { framed: boolean; timestamps: boolean; details: boolean }): AsyncGenerator<Uint8Array> {
  // A long line comes in parts; only its first part begins a line.
  const midLine = { stdout: false, stderr: false };
  for await (const { stream, timeNs, bytes } of records) {
    // Details are labels and variables that a driver was told to keep with each line; ours keeps none, and the space behind them stays.
    const stamp = midLine[stream] ? Buffer.alloc(0) : Buffer.from(`${options.timestamps ? `${fixedNanos(timeNs)} ` : ''}${options.details ? ' ' : ''}`);
    midLine[stream] = bytes.length > 0 && bytes[bytes.length - 1] !== NEWLINE;
    if (options.framed) yield Buffer.concat([frameHeader(stream, stamp.length + bytes.length), stamp, bytes]);
    else yield stamp.length > 0 ? Buffer.concat([stamp, bytes]) : bytes;
  }
}

/** RFC 3339 with all nine digits, so that lines align. */
function fixedNanos(nanos: bigint): string {
  const seconds = new Date(Number(nanos / 1_000_000n)).toISOString().slice(0, 19);
  return `${seconds}.${(nanos % NANOS_PER_SECOND).toString().padStart(9, '0')}Z`;
}
