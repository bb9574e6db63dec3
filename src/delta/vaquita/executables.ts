// Executables of a target layer as patches of executables of the base, where that pays.
import { constants, zstdCompressSync } from 'node:zlib';
import type { ByteView } from '../bytes.ts';
import { exeMemoryBytes } from './exe/facts.ts';
import { ExeModels } from './exe/models.ts';
import { encodeExe, planExe, readLiterals, type ExePair } from './exe/plan.ts';

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
/** New content is packed better than in the trial, with more to refer to: a patch must be so much smaller. */
const PAYS = 0.9;
/** A patch can be so much larger than the trial, whose models were taught by other files. */
const TRIAL_MARGIN = 1.1;

export class Executables {
  readonly #limits: ExecutableLimits;
  #models: ExeModels | undefined;
  /** For trials, which teach it other things. */
  #trial: ExeModels | undefined;

  constructor(limits: ExecutableLimits) {
    this.#limits = limits;
  }

  /** The next executable's patch; undefined when there is a better way. In the order in which the decoder meets them. */
  prepare(pair: ExePair): PreparedPatch | undefined {
    if (!isElf(pair.old) || !isElf(pair.made)) return undefined;
    const plan = planExe(pair, this.#limits);
    if (plan === undefined || plan.alignedBytes < pair.made.sizeBytes * MIN_ALIKE) return undefined;
    if (plan.literalBytes > this.#limits.waitingBytes) return undefined;
    const literals = readLiterals(plan, pair.made), room = this.#limits.waitingBytes - packedLiterals(literals);
    if (room < 0) return undefined;
    const sure = plan.alignedBytes >= pair.made.sizeBytes * SURELY_ALIKE && plan.alignedBytes * 2 <= room;
    if (!sure && !isWorthwhile(encodeExe(this.#trial ??= new ExeModels(), plan, pair).length, { pair, literals, room })) return undefined;
    this.#models ??= new ExeModels();
    return {
      payload: encodeExe(this.#models, plan, pair), literals,
      memoryBytes: exeMemoryBytes(pair.old.sizeBytes, { facts: plan.facts, regions: plan.regions.count, hints: plan.hints.length }),
    };
  }
}

/** What they take while they wait, at most: they are packed harder in the end, with a dictionary. */
function packedLiterals(literals: Buffer): number {
  return Math.min(literals.length, zstdCompressSync(literals, { params: { [constants.ZSTD_c_compressionLevel]: 3 } }).length + PACKING_MARGIN_BYTES);
}
const PACKING_MARGIN_BYTES = 64 << 10;

/** Whether a patch of so many bytes fits, and is smaller with its literals than the file packed with the old one as its dictionary. */
function isWorthwhile(patchBytes: number, { pair, literals, room }: { pair: ExePair; literals: Buffer; room: number }): boolean {
  if (patchBytes * TRIAL_MARGIN > room) return false;
  const dictionary = beginning(pair.old), made = beginning(pair.made);
  const packed = (bytes: Buffer) => zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: TRIAL_LEVEL }, dictionary }).length;
  return (patchBytes + packed(literals)) / pair.made.sizeBytes < packed(made) / made.length * PAYS;
}

function beginning(file: ByteView): Buffer {
  const bytes = Buffer.alloc(Math.min(file.sizeBytes, TRIAL_BYTES));
  file.read(0, bytes, { start: 0, end: bytes.length });
  return bytes;
}

export const isElf = (file: ByteView): boolean => {
  const magic = Buffer.alloc(4);
  if (file.sizeBytes >= magic.length) file.read(0, magic, { start: 0, end: magic.length });
  return magic.equals(Buffer.from('\x7fELF', 'latin1'));
};
