// A layer's tar that is held to its diffID: a delta made from a damaged layer would only be noticed on the devices it is sent to.
import { createHash } from 'node:crypto';
import type { ByteView } from '../delta/bytes.ts';
import { corrupt } from '../lib/errors.ts';
import type { DiffId } from '../oci/digest.ts';

const CHUNK_BYTES = 256 * 1024;

/** What is read in order is hashed on the way; `verify` reads what is left. */
export class HeldView implements ByteView {
  readonly #view: ByteView;
  readonly #diffId: DiffId;
  readonly #hash = createHash('sha256');
  #hashedBytes = 0;

  constructor(view: ByteView, diffId: DiffId) {
    this.#view = view;
    this.#diffId = diffId;
  }

  get sizeBytes(): number { return this.#view.sizeBytes; }

  read(position: number, into: Buffer, range: { start: number; end: number }): void {
    this.#view.read(position, into, range);
    const end = position + range.end - range.start;
    if (position > this.#hashedBytes || end <= this.#hashedBytes) return;
    this.#hash.update(into.subarray(range.start + (this.#hashedBytes - position), range.end));
    this.#hashedBytes = end;
  }

  /** Once. Error: corrupt, naming the layer. */
  verify(): void {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    while (this.#hashedBytes < this.sizeBytes) this.read(this.#hashedBytes, chunk, { start: 0, end: Math.min(CHUNK_BYTES, this.sizeBytes - this.#hashedBytes) });
    const found = `sha256:${this.#hash.digest('hex')}`;
    if (found !== this.#diffId) throw corrupt(`layer ${this.#diffId} is damaged: its files make up ${found}`);
  }
}
