// Deltas of our own over tars in memory: made, applied, taken apart and put together again.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { tarBytes, type TarItem } from '../../src/archive/tar-write.ts';
import { viewOf, type ByteView } from '../../src/delta/bytes.ts';
import { openVaquitaPatch } from '../../src/delta/vaquita/decode.ts';
import { openVaquitaBase } from '../../src/delta/vaquita/encode.ts';
import { readHeader, uint32, varint } from '../../src/delta/vaquita/format.ts';
import { rng } from './random.ts';

export interface Layer { diffId: string; tar: Buffer }

export const layerOf = (tar: Buffer): Layer => ({ diffId: `sha256:${createHash('sha256').update(tar).digest('hex')}`, tar });

export type Item = Partial<TarItem> & { name: string; content?: string | Uint8Array };

/** A layer of files (and what else is said of them). */
export const layer = (items: readonly Item[]): Layer => layerOf(tarBytes(items.map((item) => ({ type: 'file', mode: 0o644, mtimeNs: 1_600_000_000n * 1_000_000_000n, ...item }))));

/** Text that packs about as programs do, the same for the same seed. */
export function text(seed: number, bytes: number): Buffer {
  const random = rng(seed), words = Array.from({ length: 400 }, () => Array.from({ length: 3 + Math.floor(random() * 8) }, () => String.fromCharCode(97 + Math.floor(random() * 26))).join(''));
  const parts: string[] = [];
  for (let length = 0; length < bytes;) {
    const word = `${words[Math.floor(random() * random() * words.length)]}${random() < 0.1 ? ';\n' : ' '}`;
    parts.push(word);
    length += word.length;
  }
  return Buffer.from(parts.join('').slice(0, bytes), 'latin1');
}

/** The same with some places changed. */
export function edited(content: Buffer, seed: number, edits = 5): Buffer {
  const random = rng(seed), parts: Buffer[] = [];
  let from = 0;
  for (let edit = 0; edit < edits; edit++) {
    const to = Math.min(content.length, from + Math.floor(random() * 2 * (content.length / (edits + 1))));
    parts.push(content.subarray(from, to), Buffer.from(`edit ${Math.floor(random() * 1e6)}`));
    from = Math.min(content.length, to + Math.floor(random() * 20));
  }
  return Buffer.concat([...parts, content.subarray(from)]);
}

export function makeDelta(base: readonly Layer[], target: Layer, memoryBytes = 64 << 20): { delta: Buffer; sources: string[] } {
  const parts: Buffer[] = [], views = base.map(({ diffId, tar }) => ({ diffId, tar: viewOf(tar) }));
  const { sources } = openVaquitaBase(views, { memoryBytes }).make({ diffId: target.diffId, tar: viewOf(target.tar) }, (bytes, start, end) => { parts.push(Buffer.from(bytes.subarray(start, end))); });
  return { delta: Buffer.concat(parts), sources };
}

export interface Applied {
  tar: Buffer;
  /** What was thrown. */
  error: unknown;
}

/** Feeds a delta in pieces and keeps what comes out. */
export function applyDelta(base: readonly Layer[], delta: Buffer, { pieceBytes = 1 << 16, memoryBytes = 64 << 20, view = viewOf }: { pieceBytes?: number; memoryBytes?: number; view?: (tar: Buffer) => ByteView } = {}): Applied {
  let tar = Buffer.alloc(1 << 16), bytes = 0;
  const made: ByteView = { get sizeBytes() { return bytes; }, read: (position, into, range) => { viewOf(tar.subarray(0, bytes)).read(position, into, range); } };
  const output = (piece: Buffer, start: number, end: number) => {
    while (bytes + end - start > tar.length) tar = Buffer.concat([tar, Buffer.alloc(tar.length)]);
    bytes += piece.copy(tar, bytes, start, end);
  };
  try {
    const decoder = openVaquitaPatch({
      source: (diffId) => base.filter((source) => source.diffId === diffId).map((source) => view(source.tar))[0], made, output, limits: { memoryBytes },
    });
    // Each piece alone in memory that is written over afterwards, as that of a socket is.
    const piece = Buffer.alloc(pieceBytes);
    for (let at = 0; at < delta.length; at += pieceBytes) {
      const n = delta.copy(piece, 0, at, at + pieceBytes);
      decoder.write(piece, 0, n);
      piece.fill(0xa5);
    }
    decoder.finish();
    return { tar: tar.subarray(0, bytes), error: undefined };
  } catch (error) { return { tar: tar.subarray(0, bytes), error }; }
}

export interface TakenApart { head: Buffer; frames: Array<{ type: number; payload: Buffer }> }

/** Header and frames; the checksums are left out. */
export function takeApart(delta: Buffer): TakenApart {
  const headerBytes = readHeader(delta)?.headerBytes ?? 0, frames: TakenApart['frames'] = [];
  for (let at = headerBytes; at < delta.length;) {
    let from = at + 1, bytes = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = delta[from++] ?? 0;
      bytes += (byte & 127) * factor;
      if (byte < 128) break;
    }
    frames.push({ type: delta[at] ?? 0, payload: delta.subarray(from, from + bytes) });
    at = from + bytes + 4;
  }
  return { head: delta.subarray(0, headerBytes - 4), frames };
}

/** Puts together what may have been changed, with right checksums. */
export const putTogether = ({ head, frames }: TakenApart): Buffer => Buffer.concat([
  seal(head), ...frames.map(({ type, payload }) => seal(Buffer.concat([Buffer.from([type]), varint(payload.length), payload]))),
]);

const seal = (bytes: Buffer) => Buffer.concat([bytes, uint32(crc32(bytes))]);
