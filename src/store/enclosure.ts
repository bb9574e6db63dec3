// A directory as this process's root, with a way out for a moment. All of it is synchronous: nothing else runs while it is outside.
import { closeSync, constants, openSync } from 'node:fs';
import type { Files } from '../kernel/index.ts';
import { assert } from '../lib/errors.ts';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;

/** Inside from construction until `leave`. */
export class Enclosure {
  readonly #files: Pick<Files, 'chroot' | 'fchdir'>;
  /** The roots to go to and to come back to. */
  readonly #outer: number;
  readonly #inner: number;
  #state: 'inside' | 'outside' | 'left' = 'inside';

  constructor(files: Pick<Files, 'chroot' | 'fchdir'>, path: string) {
    this.#files = files;
    this.#outer = openSync('/', DIRECTORY);
    try { this.#inner = openSync(path, DIRECTORY | constants.O_NOFOLLOW); } catch (error) {
      closeSync(this.#outer);
      throw error;
    }
    try { this.#enter(this.#inner); } catch (error) {
      this.leave();
      throw error;
    }
  }

  /** False also where coming back has failed: then nothing of the archive may be touched any more. */
  get isInside(): boolean { return this.#state === 'inside'; }

  /** Runs in the root that was left. It must not touch anything that comes from the archive. */
  outside<T>(run: () => T): T {
    assert(this.#state === 'inside', 'one steps out from inside');
    this.#state = 'outside';
    this.#enter(this.#outer);
    try { return run(); } finally {
      this.#enter(this.#inner);
      this.#state = 'inside';
    }
  }

  /** Back out for good; calling it twice does no harm. */
  leave(): void {
    if (this.#state === 'left') return;
    this.#state = 'left';
    try { this.#enter(this.#outer); } finally {
      closeSync(this.#inner);
      closeSync(this.#outer);
    }
  }

  #enter(root: number): void {
    this.#files.fchdir(root);
    this.#files.chroot('.');
  }
}
