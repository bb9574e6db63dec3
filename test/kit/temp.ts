// A folder for one test, and the proof that nothing of the test is left when it goes.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { leaksOf, sweep } from './leaks.ts';
import { until } from './poll.ts';

export interface TempRoot extends AsyncDisposable { readonly path: string }

/** Short, since sockets below it must fit into sun_path. Disposing fails when a mount, process or loop device of it is left: what is going has `patienceMs`. */
export function openTempRoot({ patienceMs = 20_000 }: { patienceMs?: number } = {}): TempRoot {
  const path = mkdtempSync(join(tmpdir(), 'vq-'));
  return {
    path,
    async [Symbol.asyncDispose]() {
      // Monitors and their exit hooks end a moment after their container: what is going does not count.
      await until('nothing to be left', () => leaksOf(path).length === 0, patienceMs).catch(() => {});
      const left = leaksOf(path);
      await sweep(path);
      rmSync(path, { recursive: true, force: true });
      if (left.length > 0) throw new Error(`left behind:\n  ${left.join('\n  ')}`);
    },
  };
}
