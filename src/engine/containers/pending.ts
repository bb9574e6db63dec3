// An attach that came before the program runs: its output waits, its input is kept back, until a console can be handed over.
import type { Console } from '../../runtime/index.ts';

export class PendingConsole {
  #console = Promise.withResolvers<Console | undefined>();
  #settled = false;

  /** Resolves with the console at the next start, or undefined when there will be none. */
  get console(): Promise<Console | undefined> { return this.#console.promise; }

  /** False when the client has left in the meantime: the giver then closes the console. */
  give(console: Console | undefined): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#console.resolve(console);
    return true;
  }
}
