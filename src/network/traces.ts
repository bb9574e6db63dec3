// What a running sandbox leaves in the exec root (tmpfs): the link to its namespace that Docker calls SandboxKey.
import { mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../lib/errors.ts';
import { shortId } from './devices.ts';

const LINK = /^[0-9a-f]{12}$/;

export class Traces {
  readonly #links: string;

  constructor(execRoot: string) { this.#links = join(execRoot, 'netns'); }

  keyOf(sandboxId: string): string { return join(this.#links, shortId(sandboxId)); }

  /** Points the key at the namespace of a process. */
  link(sandboxId: string, pid: number): void {
    mkdirSync(this.#links, { recursive: true, mode: 0o755 });
    this.unlink(sandboxId);
    symlinkSync(`/proc/${pid}/ns/net`, this.keyOf(sandboxId));
  }

  unlink(sandboxId: string): void { rmSync(this.keyOf(sandboxId), { force: true }); }

  /** Takes away what belongs to none of these sandboxes. */
  sweep(sandboxIds: readonly string[]): void {
    const known = new Set(sandboxIds.map(shortId));
    for (const name of this.#listed()) if (LINK.test(name) && !known.has(name)) rmSync(join(this.#links, name), { force: true });
  }

  /** Nobody's directory before the first link: a daemon without networks leaves no trace. */
  #listed(): string[] {
    try { return readdirSync(this.#links); }
    catch (error) {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    }
  }
}
