// What the coder of executables knows; it learns from file to file of a layer.
import { IntModel, Mixer, Model } from '../range-coder.ts';
import { RegionModels } from './regions.ts';
import { KINDS } from './scanner.ts';

/** Bytes of memory `ExeModels` takes: four for each of its slots, and what the runtime adds. */
export const EXE_MODEL_BYTES = 7 << 20;

/** Places a reference or a byte can be in: no known address, code, data. */
export const PLACES = 4;
/** Hits in a row, as far as they are counted. */
export const RUNS = 16;

export class ExeModels {
  readonly regions = new RegionModels();
  /** Facts about the pair: flags, then addresses of the new file as differences. */
  readonly facts = new IntModel(2);
  readonly anchors = new IntModel(8);
  /** Is a block of 16 bytes as predicted? By the last four blocks, the least sure reference, and the place. */
  readonly block = new Model(16 * 8 * 8);
  /** Is a reference as predicted? Is it unchanged? Is it one of its kind to another address? By how much? */
  readonly reference = new Model(KINDS * 8 * 2 * 2 * 16);
  readonly unchanged = new Model(KINDS * 256);
  readonly sameKind = new Model(KINDS * 256);
  readonly distance = new IntModel(KINDS * 2);
  /** Is a byte the old one? If not, its bits: three estimates each, mixed. */
  readonly kept: readonly Model[] = [new Model(PLACES * RUNS * 256), new Model(65536 * 2), new Model(PLACES * 256 * RUNS)];
  readonly keptMixer = new Mixer(3, PLACES * RUNS);
  readonly byte: readonly Model[] = [new Model(PLACES * 65536), new Model(65536 * 4), new Model(4096 * 256)];
  readonly byteMixer = new Mixer(3, PLACES * 256);
  /** Is a word the old one, a difference or bytes? Is the difference one of the last eight? Which? If not, what? */
  readonly sameWord = new Model(256 * 2);
  readonly wordForm = new Model(256 * 4);
  readonly wordRecent = new Model(8 * 8);
  readonly wordDistance = new IntModel(1);
}
