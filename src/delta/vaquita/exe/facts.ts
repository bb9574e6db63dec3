// What the patch of an executable begins with: whether both files are images whose addresses are predicted, and the addresses of the new one.
import { corrupt } from '../../../lib/errors.ts';
import type { ByteView } from '../../bytes.ts';
import type { Coder } from '../range-coder.ts';
import type { Arrays } from './arena.ts';
import type { Predictor } from './block.ts';
import { MAX_SEGMENTS, readElf, type Anchors, type ElfImage, type Span } from './elf.ts';
import { Mapper, mapperBytes } from './mapper.ts';
import { EXE_MODEL_BYTES, type ExeModels } from './models.ts';
import { References, type ArmCode } from './references.ts';
import type { Hint, Regions } from './regions.ts';
import { readWordTables, wordTableBytes } from './tables.ts';

/** The pair as images; undefined where no addresses are predicted. */
export interface Facts { readonly image: ElfImage; readonly anchors: Anchors; readonly armCode: ArmCode }

const NO_IMAGE = 0, IMAGE = 1, IMAGE_OF_ARM_CODE = 2;
const MAX_ANCHOR = 2 ** 48, MAX_GO_ANCHORS = 8;
/** Where in Go's anchors the one is that no table tells: what offsets of function data count from. */
const GO_FUNCTION_DATA = 7;
/** Windows on both files, and small things. */
const FIXED_BYTES = 512 << 10;
const REGION_BYTES = 12;

/** Memory that decoding takes, models included. */
export function exeMemoryBytes(oldBytes: number, { facts, regions, hints }: { facts: Facts | undefined; regions: number; hints: number }): number {
  const plain = EXE_MODEL_BYTES + FIXED_BYTES + regions * REGION_BYTES;
  return facts === undefined ? plain : plain + mapperBytes(oldBytes, { regions, hints }) + wordTableBytes(facts.image) + HINT_BYTES * hints;
}
/** As an object of three numbers. */
const HINT_BYTES = 64;

export function codeFacts(coder: Coder, models: ExeModels, pair: Facts | undefined): void {
  models.facts.code(coder, 0, pair === undefined ? NO_IMAGE : pair.armCode === 'arm' ? IMAGE_OF_ARM_CODE : IMAGE);
  if (pair === undefined) return;
  models.facts.code(coder, 1, pair.image.anchors.go[GO_FUNCTION_DATA] ?? 0);
  codeAnchors(coder, models, { from: pair.image.anchors, to: pair.anchors });
}

/** Error: corrupt, when the old file is not the image it was or when there is nonsense. */
export function decodeFacts(coder: Coder, models: ExeModels, old: ByteView): Facts | undefined {
  const kind = models.facts.code(coder, 0, 0);
  if (kind === NO_IMAGE) return undefined;
  if (kind > IMAGE_OF_ARM_CODE) throw corrupt(`an executable of kind ${kind}, which this version does not know`);
  const plain = readElf(old);
  if (plain === undefined) throw corrupt('the file that an executable is a patch of is no executable');
  const image = withFunctionData(plain, within(models.facts.code(coder, 1, 0)));
  const anchors = codeAnchors(coder, models, { from: image.anchors, to: undefined });
  return { image, anchors, armCode: kind === IMAGE_OF_ARM_CODE ? 'arm' : 'thumb' };
}

/** The image with the anchor that only Go's runtime knows; 0: it was not found. */
export function withFunctionData(image: ElfImage, address: number): ElfImage {
  return image.go === undefined ? image : { ...image, anchors: { ...image.anchors, go: [...image.anchors.go.slice(0, GO_FUNCTION_DATA), address] } };
}

export function predictorOf(old: ByteView, facts: Facts, { arrays, ...alignment }: { regions: Regions; hints: readonly Hint[]; arrays?: Arrays }): Predictor {
  const { image, anchors, armCode } = facts, { segments } = anchors;
  const references = new References(image, { tables: readWordTables(old, image, arrays), anchors, armCode });
  return { image, references, segments, mapper: new Mapper(image, { ...alignment, segments }, { oldBytes: old.sizeBytes, arrays }) };
}

/** Each address as its difference from the old one. */
function codeAnchors(coder: Coder, models: ExeModels, { from, to }: { from: Anchors; to: Anchors | undefined }): Anchors {
  const code = (context: number, was: number | undefined, is: number | undefined): number => {
    const base = was ?? 0;
    return within(base + models.anchors.signed(coder, context, to === undefined ? 0 : (is ?? 0) - base));
  };
  const count = code(0, from.segments.length, to?.segments.length), segments: Span[] = [];
  if (count > MAX_SEGMENTS) throw corrupt(`an executable of ${count} segments; ${MAX_SEGMENTS} are the most`);
  for (let k = 0; k < count; k++) {
    const is = to?.segments[k], was = from.segments[k];
    const offset = code(1, was?.offset, is?.offset), address = code(2, was?.address, is?.address), bytes = code(3, was?.bytes, is?.bytes);
    segments.push({ offset, address, bytes, code: code(4, was?.code === true ? 1 : 0, is?.code === true ? 1 : 0) === 1 });
  }
  const frameIndex = code(5, from.frameIndex, to?.frameIndex), symbols = code(6, from.symbols, to?.symbols), names = code(6, from.names, to?.names), got = code(6, from.got, to?.got);
  const goCount = code(0, from.go.length, to?.go.length), go: number[] = [];
  if (goCount > MAX_GO_ANCHORS) throw corrupt(`${goCount} anchors of Go; ${MAX_GO_ANCHORS} are the most`);
  for (let k = 0; k < goCount; k++) go.push(code(7, from.go[k], to?.go[k]));
  return { segments, frameIndex, symbols, names, got, go };
}

function within(anchor: number): number {
  if (anchor < 0 || anchor > MAX_ANCHOR) throw corrupt(`address ${anchor} of an executable is beyond its limits`);
  return anchor;
}
