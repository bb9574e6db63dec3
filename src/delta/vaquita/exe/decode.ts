// Makes an executable from an old one and its patch, in pieces, with memory that does not grow with the files.
import { corrupt } from '../../../lib/errors.ts';
import type { ByteView, Output } from '../../bytes.ts';
import { Decoder } from '../range-coder.ts';
import type { Arena } from './arena.ts';
import { ExeCodec } from './codec.ts';
import { decodeFacts, exeMemoryBytes, predictorOf } from './facts.ts';
import type { ExeModels } from './models.ts';
import { codeCount, codeHints, codeRegions, emptyRegions } from './regions.ts';

/** Longer files are not patched this way. */
export const MAX_EXE_BYTES = 2 ** 30;

export interface ExeDecoding {
  readonly old: ByteView;
  readonly newBytes: number;
  /** Puts out the next `bytes` bytes that are new; they are not in the patch. */
  literals(bytes: number): void;
  readonly emit: Output;
  /** What decoding may take, models included, the patch itself not. */
  readonly memoryBytes: number;
  /** Of that size; the same for one file after the other. */
  readonly arena: Arena;
}

/** Puts out exactly `newBytes` bytes, through `literals` and `emit` in turns. Error: corrupt, when the patch or the old file is not what it was. */
export function decodeExe(models: ExeModels, patch: Uint8Array, exe: ExeDecoding): void {
  const { old, newBytes, memoryBytes, arena } = exe, oldBytes = old.sizeBytes;
  if (oldBytes > MAX_EXE_BYTES || newBytes > MAX_EXE_BYTES) throw corrupt(`an executable of ${newBytes} bytes by one of ${oldBytes}: ${MAX_EXE_BYTES} are the most`);
  arena.reset();
  const coder = new Decoder(patch);
  const facts = decodeFacts(coder, models, old);
  const fits = (counts: { regions: number; hints: number }): number => memoryBytes - exeMemoryBytes(oldBytes, { facts, ...counts });
  const [none, one] = [fits({ regions: 0, hints: 0 }), fits({ regions: 1, hints: 0 })];
  if (none < 0) throw corrupt(`an executable of ${oldBytes} bytes needs ${memoryBytes - none} bytes of memory to be patched, ${memoryBytes} are allowed`);
  const count = codeCount(coder, models.regions.count, { count: 0, most: Math.min(newBytes, Math.floor(none / (none - one))), what: 'regions' });
  const left = fits({ regions: count, hints: 0 }), leftWithOne = fits({ regions: count, hints: 1 });
  const hints = codeHints(coder, models.regions, { hints: undefined, most: facts === undefined ? 0 : Math.floor(left / (left - leftWithOne)) });
  const regions = emptyRegions(count, arena);
  codeRegions(coder, models.regions, { regions, decoding: true, oldBytes, newBytes });
  const predictor = facts === undefined ? undefined : predictorOf(old, facts, { regions, hints, arrays: arena });
  const codec = new ExeCodec({ models, coder, predictor, old, wanted: undefined, emit: exe.emit, arrays: arena });
  let end = 0;
  for (let k = 0; k < count; k++) {
    const at = regions.newAt[k] ?? 0, bytes = regions.bytes[k] ?? 0;
    if (at > end) exe.literals(at - end);
    codec.region(at, regions.oldAt[k] ?? 0, bytes);
    end = at + bytes;
  }
  if (newBytes > end) exe.literals(newBytes - end);
  coder.assertEnd();
}
