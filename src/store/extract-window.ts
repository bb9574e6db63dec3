// The rolling write-out window: bytes start on their way to the disk as soon as they are written, and leave the page cache soon after.
//
// Syncing each file by itself took eight times as long for small files; leaving it all to one sync at the end keeps the whole layer in
// the page cache of a device that has better use for it. So: start the write-out at once, wait for it only when the window is full.
import { closeSync } from 'node:fs';
import type { Files } from '../kernel/index.ts';

const WINDOW_BYTES = 8 << 20;
const WINDOW_FILES = 256;
/** A large file is written out in steps of this size, the one before being waited for. */
const STEP_BYTES = 4 << 20;

interface Pending { fd: number; sizeBytes: number }

export class WriteWindow {
  readonly #files: Pick<Files, 'writeOut' | 'dropCache'>;
  #pending: Pending[] = [];
  #oldest = 0;
  #pendingBytes = 0;
  /** Of the file being written: up to where it has been started, and waited for. */
  #started = 0;
  #settled = 0;

  constructor(files: Pick<Files, 'writeOut' | 'dropCache'>) { this.#files = files; }

  /** The file being written has grown to `sizeBytes`. */
  grown(fd: number, sizeBytes: number): void {
    if (sizeBytes - this.#started < STEP_BYTES) return;
    this.#files.writeOut(fd, 'start', { offset: this.#started, bytes: sizeBytes - this.#started });
    if (this.#started > this.#settled) {
      this.#files.writeOut(fd, 'wait', { offset: this.#settled, bytes: this.#started - this.#settled });
      this.#files.dropCache(fd);
      this.#settled = this.#started;
    }
    this.#started = sizeBytes;
  }

  /** The file is complete; its descriptor is the window's now. */
  finished(fd: number, sizeBytes: number): void {
    const rest = sizeBytes - this.#settled;
    this.#started = this.#settled = 0;
    if (sizeBytes === 0) { closeSync(fd); return; }
    this.#pending.push({ fd, sizeBytes: rest });
    this.#pendingBytes += rest;
    this.#files.writeOut(fd, 'start');
    while (this.#pendingBytes > WINDOW_BYTES || this.#pending.length - this.#oldest > WINDOW_FILES) this.#settleOldest();
  }

  /** Waits for all of them. */
  flush(): void {
    while (this.#oldest < this.#pending.length) this.#settleOldest();
  }

  /** Lets go of all of them; what becomes of the bytes does not matter any more. */
  abandon(): void {
    for (const { fd } of this.#pending.slice(this.#oldest)) closeSync(fd);
    this.#pending = [];
    this.#oldest = this.#pendingBytes = this.#started = this.#settled = 0;
  }

  #settleOldest(): void {
    const file = this.#pending[this.#oldest];
    if (file === undefined) return;
    this.#files.writeOut(file.fd, 'wait');
    this.#files.dropCache(file.fd);
    this.#oldest++; // only now: if the above throws, abandon() still closes it
    this.#pendingBytes -= file.sizeBytes;
    closeSync(file.fd);
    if (this.#oldest < WINDOW_FILES) return;
    this.#pending.splice(0, this.#oldest); // seldom, so that it costs nothing per file
    this.#oldest = 0;
  }
}
