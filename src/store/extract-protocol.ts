// What the store and its extract worker say to each other: frames of bytes in, lines of JSON out.
//
// A layer is one frame JOB (JSON of Job), then frames DATA with its packed bytes, then one frame END. The worker answers with lines:
// {"consumed":n} now and then, and after the END frame, or as soon as something is wrong, exactly one of {"done":{…}} and {"failed":{…}}.
// After "failed" it passes over what else comes of that layer, up to END, which must still be sent; then it takes the next one.
// The end of its stdin ends it. There is no frame that aborts: to give a layer up in the middle is to kill the worker.
import { EngineError, type Kind } from '../lib/errors.ts';
import type { IdMap } from '../lib/ids.ts';
import type { LayerDelta } from './index.ts';

export interface Job { into: string; tarSplitPath: string; idMap?: IdMap; delta?: DeltaJob }

/** The bytes that come are a delta. `memoryBytes`: what applying it may take beyond what extracting takes. */
export interface DeltaJob extends LayerDelta { memoryBytes: number }

export interface Extracted {
  /** sha256 of the whole unpacked stream. */
  diffId: string;
  /** What Docker calls the size of a layer: the lengths of its files and symlinks, each inode once. */
  sizeBytes: number;
  tarBytes: number;
  entries: number;
}

/** `blames`: the delta could be read, and what came of it is no layer. Then its base may be to blame, or whoever made it. */
export interface Failure { kind: Kind; code: string | undefined; message: string; blames?: 'result' }

/** What a delta made is not what it was to make, and the delta itself does not tell why. */
export class WrongResult extends EngineError {
  constructor(message: string, options?: { cause?: unknown }) { super('corrupt', message, options); }
}

export type Answer = { consumed: number } | { done: Extracted } | { failed: Failure };

/** One byte of type, four bytes of length (little-endian), then so many bytes. */
export const FRAME_HEADER_BYTES = 5;
export const FRAME = { job: 0x4a, data: 0x44, end: 0x45 } as const;
/** A base of 127 layers, with two paths of 4096 bytes each. */
export const MAX_JOB_BYTES = 2 << 20;

export function frameHeader(type: number, length: number): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUInt8(type, 0);
  header.writeUInt32LE(length, 1);
  return header;
}

/** Lines come from our own executable; one that is none of these is a bug or a broken pipe. */
export function parseAnswer(line: string): Answer {
  const value: unknown = JSON.parse(line);
  if (typeof value === 'object' && value !== null && ('consumed' in value || 'done' in value || 'failed' in value)) return value as Answer;
  throw new EngineError('system', `extract worker said ${JSON.stringify(line.slice(0, 200))}`);
}
