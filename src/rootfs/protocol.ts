// What the daemon and a rootfs worker say to each other: one line of JSON each way, then bytes.
//
// The daemon writes a line with a Job, and for 'write' the archive behind it until the end of the worker's stdin. The worker writes a line
// with an Answer as soon as it can tell, and behind it whatever was asked for; exit code 0 says that this is whole. 'write' has its only
// answer when everything is done.
import { EngineError, type Kind } from '../lib/errors.ts';
import type { IdMap } from '../lib/ids.ts';
import type { View } from './index.ts';

export interface ViewJob {
  what: 'stat' | 'read' | 'write' | 'export' | 'changes' | 'layer';
  view: View;
  /** As the client wrote it. */
  path?: string;
  write?: { keepKinds: boolean; user: string };
  idMap?: IdMap;
}

/** What comes behind it is packed, and goes back unpacked as it comes. */
export type Job = ViewJob | { what: 'unpack' };

/** How 'unpack' ends when it was given broken bytes; what is wrong with them stands on its stderr. */
export const CORRUPT_EXIT = 3;

/** The stat of 'stat' and 'read'; nanoseconds as text, since they are no JSON number. */
export interface StatLine { name: string; sizeBytes: number; mode: number; mtimeNs: string; linkTarget: string }

export type Answer = { done: StatLine | null } | { failed: { kind: Kind; message: string } };

/** A view has some dozens of mounts, their paths of a few KiB at most. */
export const MAX_LINE_BYTES = 1 << 20;

/** Lines come from our own executable; one that is none of these is a bug or a broken pipe. */
export function parseAnswer(line: string): Answer {
  const value: unknown = JSON.parse(line);
  if (typeof value === 'object' && value !== null && ('done' in value || 'failed' in value)) return value as Answer;
  throw new EngineError('system', `rootfs worker said ${JSON.stringify(line.slice(0, 200))}`);
}
