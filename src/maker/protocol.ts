// What the daemon and a make worker say to each other: one job as JSON until the end of stdin, then lines of JSON back.
//
// {"fingerprint":[n,total]} while the base is read, the last one with n = total; {"layer":[index,n,total]} while a delta is made, likewise;
// and exactly one of {"done":…} and {"failed":…} at the end.
import { corrupt, EngineError, type Kind } from '../lib/errors.ts';
import type { LayerFiles } from '../store/index.ts';
import type { DeltaFormat, MadeDelta } from './index.ts';

export interface Job {
  format: DeltaFormat;
  base: readonly LayerFiles[];
  targets: readonly LayerFiles[];
  into: string;
  /** For the codec's index and windows. */
  memoryBytes: number;
}

/** `peakBytes`: the most memory that the worker had at once. */
export interface Done { made: MadeDelta[]; peakBytes: number }
export interface Failure { kind: Kind; code: string | undefined; message: string }

export type Answer =
  | { fingerprint: readonly [currentBytes: number, totalBytes: number] }
  | { layer: readonly [index: number, currentBytes: number, totalBytes: number] }
  | { done: Done }
  | { failed: Failure };

/** Lines come from our own executable; one that is none of these is a bug or a broken pipe. */
export function parseAnswer(line: string): Answer {
  let value: unknown;
  try { value = JSON.parse(line); } catch (cause) { throw corrupt(`make worker said ${JSON.stringify(line.slice(0, 200))}`, { cause }); }
  if (typeof value === 'object' && value !== null && ['fingerprint', 'layer', 'done', 'failed'].some((key) => key in value)) return value as Answer;
  throw new EngineError('system', `make worker said ${JSON.stringify(line.slice(0, 200))}`);
}
