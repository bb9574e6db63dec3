// Log records as the bytes that clients read: framed or raw, with or without the time in front of each line.
import type { LogRecord } from '../logs/index.ts';
import { frameHeader } from '../wire/frames.ts';

const NANOS_PER_SECOND = 1_000_000_000n;

export async function* logBytes(records: AsyncIterable<LogRecord>, options: { framed: boolean; timestamps: boolean; details: boolean }): AsyncGenerator<Uint8Array> {
  for await (const { stream, timeNs, bytes, attributes } of records) {
    const stamp = Buffer.from(`${options.timestamps ? `${fixedNanos(timeNs)} ` : ''}${options.details ? `${detailsOf(attributes ?? {})} ` : ''}`);
    if (options.framed) yield Buffer.concat([frameHeader(stream, stamp.length + bytes.length), stamp, bytes]);
    else yield stamp.length > 0 ? Buffer.concat([stamp, bytes]) : bytes;
  }
}

/** a=1,b=x+y: as in the query of an address, in the order of the names. */
function detailsOf(attributes: Readonly<Record<string, string>>): string {
  const escaped = (text: string) => encodeURIComponent(text).replace(/%20/g, '+').replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  return Object.entries(attributes).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => `${escaped(name)}=${escaped(value)}`).join(',');
}

/** RFC 3339 with all nine digits, so that lines align. */
function fixedNanos(nanos: bigint): string {
  const seconds = new Date(Number(nanos / 1_000_000n)).toISOString().slice(0, 19);
  return `${seconds}.${(nanos % NANOS_PER_SECOND).toString().padStart(9, '0')}Z`;
}
