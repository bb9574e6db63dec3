// The execs that this daemon knows: those not begun, those running, and the ended ones for as long as Docker shows them.
import { assert } from '../../lib/errors.ts';
import type { ExecProcess } from '../../runtime/index.ts';
import type { ExecCreateBody } from '../../wire/types.ts';
import type { Container } from './container.ts';

/** Docker goes through the ended ones every five minutes: those that it finds it marks, and those that it marked it forgets. */
const MARKED_AFTER_MS = 300_000;
const FORGOTTEN_AFTER_MS = 600_000;
/** A container that is looked after by execs of its own once a second must not fill the memory with ended ones; the oldest go first. */
const MAX_ENDED = 1000;

export interface Exec {
  readonly id: string;
  readonly container: Container;
  readonly body: ExecCreateBody;
  readonly argv: readonly string[];
  /** A health check of ours: nothing of it has to be known to a later daemon. */
  readonly probe: boolean;
  /** It was asked to begin, which it can be once. */
  started: boolean;
  process: ExecProcess | undefined;
  exitCode: number | null;
  /** By the clock that no one sets; undefined while it has not ended. */
  endedAtMs: number | undefined;
  /** Called when it began, or could not. */
  readonly waiting: Array<() => void>;
}

export class ExecTable {
  readonly #execs = new Map<string, Exec>();
  /** In the order of their ends. */
  readonly #ended = new Set<Exec>();
  readonly #forgotten: (exec: Exec) => void;

  /** `forgotten` is called for an ended one whose time is over. Every `now` is of the clock that no one sets. */
  constructor(forgotten: (exec: Exec) => void) { this.#forgotten = forgotten; }

  /** undefined when it is not known, or no longer. */
  find(id: string, now: number): Exec | undefined {
    this.#prune(now);
    return this.#execs.get(id);
  }

  add(exec: Exec): void {
    this.#execs.set(exec.id, exec);
    if (exec.endedAtMs !== undefined) this.#ended.add(exec);
    else exec.container.execIds.add(exec.id);
  }

  /** It ended, or could not begin. */
  end(exec: Exec, { exitCode, now }: { exitCode: number; now: number }): void {
    exec.exitCode = exitCode;
    exec.endedAtMs = now;
    exec.container.execIds.delete(exec.id);
    for (const tell of exec.waiting.splice(0)) tell();
    if (exec.probe) this.#execs.delete(exec.id); // one every few seconds for ever: nobody asks for an old one
    else this.#ended.add(exec);
    this.#prune(now);
  }

  /** The end of a container's run: what had not begun never will. */
  endOf(container: Container): void {
    for (const exec of this.#execs.values()) if (exec.container === container && !exec.started) this.#execs.delete(exec.id);
    container.execIds.clear();
  }

  /** The container is gone. */
  forget(container: Container): void {
    for (const exec of this.#execs.values()) {
      if (exec.container !== container) continue;
      this.#execs.delete(exec.id);
      this.#ended.delete(exec);
    }
  }

  /** Ended for so long that Docker would have marked it. */
  isMarked(exec: Exec, now: number): boolean { return exec.endedAtMs !== undefined && now - exec.endedAtMs >= MARKED_AFTER_MS; }

  #prune(now: number): void {
    for (const exec of this.#ended) {
      assert(exec.endedAtMs !== undefined, `exec ${exec.id} stands among the ended ones`);
      if (now - exec.endedAtMs < FORGOTTEN_AFTER_MS && this.#ended.size <= MAX_ENDED) return;
      this.#ended.delete(exec);
      this.#execs.delete(exec.id);
      this.#forgotten(exec);
    }
  }
}
