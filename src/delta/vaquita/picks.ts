// The dictionary of a content frame: ranges of entries of the base, then of entries that this layer has already.
import { crc32 } from 'node:zlib';
import { corrupt } from '../../lib/errors.ts';
import { Check } from './format.ts';
import { Decoder, Encoder, IntModel, type Coder } from './range-coder.ts';

/** Bytes `from` to `to` of an entry; entries of this layer are numbered on behind those of the base. */
export interface Pick { entry: number; from: number; to: number }

/** Ranges of one dictionary. */
export const MAX_PICKS = 1 << 16;

export function encodePicks(picks: readonly Pick[]): Uint8Array {
  const encoder = new Encoder();
  code(encoder, picks);
  return encoder.finish();
}

/** Errors: corrupt, also when they are more than `maxBytes`. */
export function decodePicks(bytes: Buffer, maxBytes: number): Pick[] {
  const decoder = new Decoder(bytes), picks = code(decoder, undefined);
  decoder.assertEnd();
  if (picks.reduce((sum, { from, to }) => sum + to - from, 0) > maxBytes) throw corrupt(`the delta has a dictionary of more than the ${maxBytes} bytes that it declares`);
  return picks;
}

function code(coder: Coder, wanted: readonly Pick[] | undefined): Pick[] {
  const numbers = new IntModel(4), picks: Pick[] = [];
  const count = numbers.code(coder, 0, wanted?.length ?? 0);
  if (count > MAX_PICKS) throw corrupt(`the delta has a dictionary of ${count} ranges`);
  for (let i = 0, entry = 0, end = 0; i < count; i++) {
    const want = wanted?.[i], step = numbers.code(coder, 1, (want?.entry ?? 0) - entry);
    if (step !== 0) end = 0;
    entry += step;
    const from = end + numbers.code(coder, 2, (want?.from ?? 0) - end);
    end = from + numbers.code(coder, 3, (want?.to ?? 0) - from);
    picks.push({ entry, from, to: end });
  }
  return picks;
}

/** Puts a dictionary together in `into`, and says how long it is and what its check is. */
export function readDictionary(picks: readonly Pick[], into: Buffer, read: (pick: Pick, into: Buffer, at: number) => void): { bytes: number; check: Check } {
  const check = new Check();
  let at = 0;
  for (const pick of picks) {
    const end = at + pick.to - pick.from;
    read(pick, into, at);
    check.add(crc32(into.subarray(at, end)));
    at = end;
  }
  return { bytes: at, check };
}
