// Opens the store on the real disk, with real extractors.
import type { Kernel } from '../kernel/index.ts';
import type { Clock } from '../lib/clock.ts';
import type { IdMap } from '../lib/ids.ts';
import type { Log } from '../lib/log.ts';
import { assembleStore } from './assemble.ts';
import { openTreeCopy } from './copier.ts';
import { openDisk } from './disk.ts';
import { openExtractors } from './extractors.ts';
import type { Store } from './index.ts';

/** Extraction is bound by one core and one flash; a second one only adds memory. */
const DEFAULT_EXTRACTORS = 1;
/** An idle extractor is a process: it is let go between pulls, and kept within one. */
const EXTRACTOR_IDLE_MS = 5_000;

export interface StoreOptions {
  root: string;
  kernel: Kernel;
  log: Log;
  clock: Clock;
  /** Layers extracted at the same time. */
  extractorLimit?: number;
  /** What applying a delta may take beyond what extracting takes. */
  deltaMemoryBytes?: number | undefined;
  /** Of the root: see Store. */
  idMap?: IdMap | undefined;
}

/** Recovers whatever the last daemon left and opens the root; `conflict` when another daemon has it. */
export async function openStore({ root, kernel, log, clock, extractorLimit = DEFAULT_EXTRACTORS, deltaMemoryBytes, idMap }: StoreOptions): Promise<Store> {
  const extractors = openExtractors({ kernel, log, limit: extractorLimit, idleMs: EXTRACTOR_IDLE_MS, idMap, deltaMemoryBytes });
  return await assembleStore({ root, kernel, log, clock, disk: openDisk(kernel.files), extractors, copier: openTreeCopy(kernel), idMap });
}
