// Makes deltas between layers apart from the daemon: in workers, with bounded memory, a few at a time.
import type { DiffId, Digest } from '../oci/digest.ts';
import type { LayerFiles } from '../store/index.ts';

/** `balena`: librsync deltas against the whole base, as balenaEngine applies them. `vaquita`: our own (docs/delta-format.md). */
export type DeltaFormat = 'balena' | 'vaquita';

export interface MakeWork {
  format: DeltaFormat;
  /** All layers of the base image, the bottom first. */
  base: readonly LayerFiles[];
  /** The layers to make deltas of. */
  targets: readonly LayerFiles[];
  /** An existing directory for the results; what a failure leaves in it is the caller's to remove. */
  into: string;
  signal?: AbortSignal | undefined;
  /** How much of the base is read into the index. */
  onFingerprint?(currentBytes: number, totalBytes: number): void;
  /** How much of a target's tar is done; comes with its size at the end. */
  onLayer?(index: number, currentBytes: number, totalBytes: number): void;
}

export interface MadeDelta {
  diffId: DiffId;
  /** A file in `into`. Of `balena` it is the delta alone, not yet in a tar. */
  path: string;
  sizeBytes: number;
  digest: Digest;
  targetBytes: number;
  /** The layers that applying it reads, by their diffIDs. */
  sources: readonly DiffId[];
}

export interface Maker {
  /** The results stand in the order of `targets` and are synced. Errors: corrupt (a layer is not what it was: names it), cancelled, system (disk full, no memory). */
  make(work: MakeWork): Promise<MadeDelta[]>;
  /** Ends the workers. */
  close(): Promise<void>;
}

export interface MakerLimits {
  /** Deltas made at the same time. */
  workers: number;
  /** What one worker may take beyond what it is itself. */
  memoryBytes: number;
}

export const DEFAULT_MAKER_LIMITS: MakerLimits = { workers: 2, memoryBytes: 512 << 20 };

export { openMaker } from './maker.ts';
