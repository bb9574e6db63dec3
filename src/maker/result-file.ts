// The file that one delta goes to: written in large pieces, hashed on the way, synced, and out of the page cache at its end.
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import type { Output } from '../delta/bytes.ts';
import type { Files } from '../kernel/index.ts';
import { parseDigest, type Digest } from '../oci/digest.ts';

/** Codecs give out a few bytes at a time. */
const BUFFER_BYTES = 256 * 1024;
/** So much waits for the disk at most. */
const WRITE_OUT_BYTES = 8 << 20;

export class ResultFile implements Disposable {
  readonly output: Output;
  readonly #files: Pick<Files, 'writeOut' | 'dropCache'>;
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  readonly #hash = createHash('sha256');
  #length = 0;
  #sizeBytes = 0;
  #startedBytes = 0;
  #open = true;

  constructor(path: string, files: Pick<Files, 'writeOut' | 'dropCache'>) {
    this.#files = files;
    this.#fd = openSync(path, 'wx', 0o600);
    this.output = (bytes, start, end) => {
      for (let at = start; at < end;) {
        const n = bytes.copy(this.#buffer, this.#length, at, end);
        this.#length += n;
        at += n;
        if (this.#length === BUFFER_BYTES) this.#flush();
      }
    };
  }

  /** It is on the disk when this returns. */
  finish(): { sizeBytes: number; digest: Digest } {
    this.#flush();
    fsyncSync(this.#fd);
    this.#files.dropCache(this.#fd);
    return { sizeBytes: this.#sizeBytes, digest: parseDigest(`sha256:${this.#hash.digest('hex')}`) };
  }

  [Symbol.dispose](): void {
    if (this.#open) closeSync(this.#fd);
    this.#open = false;
  }

  #flush(): void {
    this.#hash.update(this.#buffer.subarray(0, this.#length));
    for (let at = 0; at < this.#length;) at += writeSync(this.#fd, this.#buffer, at, this.#length - at);
    this.#sizeBytes += this.#length;
    this.#length = 0;
    if (this.#sizeBytes - this.#startedBytes < WRITE_OUT_BYTES) return;
    this.#files.writeOut(this.#fd, 'start');
    this.#startedBytes = this.#sizeBytes;
  }
}
