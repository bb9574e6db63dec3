// Executables of a target layer as patches of executables of the base, where that pays.
import { constants, zstdCompressSync } from 'node:zlib';
import type { ByteView } from '../bytes.ts';
import { exeMemoryBytes } from './exe/facts.ts';
import { ExeModels } from './exe/models.ts';
import { encodeExe, planExe, readLiterals, type ExePair, type ExePlan } from './exe/plan.ts';

export interface PreparedPatch {
  payload: Uint8Array;
  /** What is new of the file; travels with the other new content. */
  literals: Buffer;
  /** What the decoder needs for it. */
  memoryBytes: number;
}

export interface ExecutableLimits {
  /** For making patches. */
  memoryBytes: number;
  /** For applying them. */
  decoderBytes: number;
  /** Literals and patch wait in the decoder together. */
  waitingBytes: number;
}

/** Less of the file that is like the old one is not worth a patch; up to more than that both ways are tried. */
const MIN_ALIKE = 0.3, SURELY_ALIKE = 0.8;
/** The two ways are compared by the beginning of the file. */
const TRIAL_BYTES = 4 << 20, TRIAL_LEVEL = 15;
/** What a byte costs at most that is not as it was, and a region. */
const COST_OF_BYTE = 2, COST_OF_REGION = 12;

export class Executables {
  readonly #limits: ExecutableLimits;
  #models: ExeModels | undefined;

  constructor(limits: ExecutableLimits) {
    this.#limits = limits;
  }

  /** The next executable's patch; undefined when there is a better way. In the order in which the decoder meets them. */
  prepare(pair: ExePair): PreparedPatch | undefined {
    if (!isElf(pair.old) || !isElf(pair.made)) return undefined;
    const plan = planExe(pair, this.#limits);
    if (plan === undefined || plan.alignedBytes < pair.made.sizeBytes * MIN_ALIKE) return undefined;
    const { regions } = plan, room = this.#limits.waitingBytes - plan.literalBytes - regions.count * COST_OF_REGION;
    if (room < 0 || (plan.alignedBytes * COST_OF_BYTE > room && changedBytes(pair, regions) * COST_OF_BYTE > room)) return undefined;
    if (plan.alignedBytes < pair.made.sizeBytes * SURELY_ALIKE && !pays(plan, pair)) return undefined;
    this.#models ??= new ExeModels();
    return {
      payload: encodeExe(this.#models, plan, pair), literals: readLiterals(plan, pair.made),
      memoryBytes: exeMemoryBytes(pair.old.sizeBytes, { facts: plan.facts, regions: regions.count, hints: plan.hints.length }),
    };
  }
}

/** Whether a patch by untaught models is smaller than the file packed with the old one as its dictionary. */
function pays(plan: ExePlan, pair: ExePair): boolean {
  const [old, made] = [pair.old, pair.made].map((file) => {
    const bytes = Buffer.alloc(Math.min(file.sizeBytes, TRIAL_BYTES));
    file.read(0, bytes, { start: 0, end: bytes.length });
    return bytes;
  });
  const packed = (bytes: Uint8Array) => zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: TRIAL_LEVEL }, ...(old === undefined ? {} : { dictionary: old }) }).length;
  if (made === undefined) return false;
  const patch = encodeExe(new ExeModels(), plan, pair).length + packed(readLiterals(plan, pair.made));
  return patch / pair.made.sizeBytes < packed(made) / made.length;
}

const isElf = (file: ByteView) => {
  const magic = Buffer.alloc(4);
  if (file.sizeBytes >= magic.length) file.read(0, magic, { start: 0, end: magic.length });
  return magic.equals(Buffer.from('\x7fELF', 'latin1'));
};

/** How many bytes in the regions are not as they were. */
function changedBytes({ old, made }: ExePair, regions: { count: number; newAt: ArrayLike<number>; oldAt: ArrayLike<number>; bytes: ArrayLike<number> }): number {
  const [was, is] = [Buffer.alloc(1 << 16), Buffer.alloc(1 << 16)];
  let changed = 0;
  for (let k = 0; k < regions.count; k++) {
    for (let at = 0, bytes = regions.bytes[k] ?? 0; at < bytes; at += was.length) {
      const end = Math.min(was.length, bytes - at);
      old.read((regions.oldAt[k] ?? 0) + at, was, { start: 0, end });
      made.read((regions.newAt[k] ?? 0) + at, is, { start: 0, end });
      for (let i = 0; i < end; i++) if (was[i] !== is[i]) changed++;
    }
  }
  return changed;
}
