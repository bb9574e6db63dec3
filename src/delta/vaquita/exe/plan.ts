// How to write an executable as a patch of another: the alignment, and what is known of both. The patch itself is written from it.
import type { ByteView } from '../../bytes.ts';
import { Encoder } from '../range-coder.ts';
import { FileAligner } from './align-files.ts';
import { ExeCodec } from './codec.ts';
import { MAX_EXE_BYTES } from './decode.ts';
import { readElf, type ElfImage } from './elf.ts';
import { codeFacts, exeMemoryBytes, predictorOf, withFunctionData, type Facts } from './facts.ts';
import { findFunctionData } from './go.ts';
import { findHints } from './hints.ts';
import { Mapper } from './mapper.ts';
import type { ExeModels } from './models.ts';
import { ImageReader } from './normalize.ts';
import { armCodeOf } from './arm-code.ts';
import { codeCount, codeHints, codeRegions, thinned, type Hint, type Regions } from './regions.ts';

/** What a decoder may take unless it is said otherwise; `decodeExe` is to be given at least that much. */
export const EXE_DECODER_BYTES = 24 << 20;
/** Less is not worth the work. */
const MIN_EXE_BYTES = 2048;

export interface ExePlan {
  readonly regions: Regions;
  readonly hints: readonly Hint[];
  readonly facts: Facts | undefined;
  /** Bytes of the new file that are like old ones, and those that are not: the literals. */
  readonly alignedBytes: number;
  readonly literalBytes: number;
}

export interface ExeLimits {
  /** What planning and encoding may take, besides the files themselves. */
  readonly memoryBytes: number;
  readonly decoderBytes?: number;
}

/** The files that a plan is for. */
export interface ExePair { readonly old: ByteView; readonly made: ByteView }

/** The plan, or undefined: a file is too small or too large. Whether the patch pays is for the caller to see. */
export function planExe(pair: ExePair, { memoryBytes, decoderBytes = EXE_DECODER_BYTES }: ExeLimits): ExePlan | undefined {
  const { old, made } = pair;
  if (Math.min(old.sizeBytes, made.sizeBytes) < MIN_EXE_BYTES || Math.max(old.sizeBytes, made.sizeBytes) > MAX_EXE_BYTES) return undefined;
  using aligner = new FileAligner({ oldBytes: old.sizeBytes, newBytes: made.sizeBytes, memoryBytes });
  const raw = aligner.align({ readOld: reader(old), readNew: reader(made) });
  const images = imagesOf(pair);
  if (images === undefined) return fitting({ regions: raw, hints: [], facts: undefined }, pair, decoderBytes);
  const { facts, oldReader, newReader } = images;
  // The second alignment sees both files without their addresses, the old one's sent to where the first alignment says they went.
  const mapper = mapperOf(pair, facts, { regions: raw, hints: hintsOf(pair, images, raw) });
  const regions = aligner.align({
    readOld: (from, into) => oldReader.normalize(from, into, (address) => mapper.project(address, 0)),
    readNew: (from, into) => newReader.normalize(from, into, (address) => address),
  });
  return fitting({ regions, hints: hintsOf(pair, images, regions), facts }, pair, decoderBytes);
}

/** The patch, all but the literals. `models` are the ones that the decoder will have at this point. */
export function encodeExe(models: ExeModels, plan: ExePlan, { old, made }: ExePair): Uint8Array {
  const coder = new Encoder(), { regions, hints, facts } = plan;
  codeFacts(coder, models, facts);
  codeCount(coder, models.regions.count, { count: regions.count, most: Infinity, what: 'regions' });
  codeHints(coder, models.regions, { hints, most: Infinity });
  codeRegions(coder, models.regions, { regions, decoding: false, oldBytes: old.sizeBytes, newBytes: made.sizeBytes });
  const predictor = facts === undefined ? undefined : predictorOf(old, facts, { regions, hints });
  const codec = new ExeCodec({ models, coder, predictor, old, wanted: made, emit: () => undefined });
  for (let k = 0; k < regions.count; k++) codec.region(regions.newAt[k] ?? 0, regions.oldAt[k] ?? 0, regions.bytes[k] ?? 0);
  return coder.finish();
}

/** The bytes of the new file that are in no region, one behind the other. */
export function readLiterals({ regions, literalBytes }: ExePlan, made: ByteView): Buffer {
  const literals = Buffer.alloc(literalBytes);
  let end = 0, at = 0;
  const take = (to: number): void => {
    made.read(end, literals, { start: at, end: at + to - end });
    at += to - end;
  };
  for (let k = 0; k < regions.count; k++) {
    const start = regions.newAt[k] ?? 0;
    if (start > end) take(start);
    end = start + (regions.bytes[k] ?? 0);
  }
  if (made.sizeBytes > end) take(made.sizeBytes);
  return literals;
}

interface Images { readonly facts: Facts; readonly oldReader: ImageReader; readonly newReader: ImageReader }

/** Both files as images, when they are of one machine. */
function imagesOf({ old, made }: ExePair): Images | undefined {
  const was = readElf(old), is = readElf(made);
  if (was === undefined || is === undefined || was.machine !== is.machine || was.wide !== is.wide) return undefined;
  const oldData = findFunctionData(old, was), newData = findFunctionData(made, is), known = oldData !== 0 && newData !== 0;
  const image = withFunctionData(was, known ? oldData : 0), newImage = withFunctionData(is, known ? newData : 0);
  const armCode = armCodeOf(made, newImage);
  return {
    facts: { image, anchors: newImage.anchors, armCode },
    oldReader: new ImageReader(old, image, armCode), newReader: new ImageReader(made, newImage, armCode),
  };
}

function mapperOf({ old }: ExePair, { image, anchors }: { image: ElfImage; anchors: Facts['anchors'] }, alignment: { regions: Regions; hints: readonly Hint[] }): Mapper {
  return new Mapper(image, { ...alignment, segments: anchors.segments }, { oldBytes: old.sizeBytes });
}

function hintsOf(pair: ExePair, { facts, oldReader, newReader }: Images, regions: Regions): Hint[] {
  return findHints(oldReader, newReader, { regions, mapper: mapperOf(pair, facts, { regions, hints: [] }), most: MAX_HINTS });
}
const MAX_HINTS = 1 << 15;

/** The plan without its shortest regions, if need be, so that a decoder can hold it. */
function fitting(found: { regions: Regions; hints: readonly Hint[]; facts: Facts | undefined }, { old, made }: ExePair, decoderBytes: number): ExePlan | undefined {
  const { hints, facts } = found;
  const fits = ({ count }: Regions): boolean => exeMemoryBytes(old.sizeBytes, { facts, regions: count, hints: hints.length }) <= decoderBytes;
  let { regions } = found;
  for (let least = 16; !fits(regions) && regions.count > 0; least *= 2) regions = thinned(regions, least);
  if (!fits(regions)) return undefined;
  let alignedBytes = 0;
  for (const bytes of regions.bytes) alignedBytes += bytes;
  return { regions, hints, facts, alignedBytes, literalBytes: made.sizeBytes - alignedBytes };
}

/** Bytes of a file from any place on, as many as the buffer takes. */
const reader = (file: ByteView) => (from: number, into: Buffer): void => file.read(from, into, { start: 0, end: into.length });
