// Extracts layers in a test with real workers of our own executable, each into a directory of its own.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openLinux } from '../../src/kernel/index.ts';
import { silentLog } from '../../src/lib/log.ts';
import { openExtractors, type ExtractWork } from '../../src/store/extractors.ts';

export const MAIN = join(import.meta.dirname, '../../src/main.ts');

export const kernel = openLinux({ selfCommand: [process.execPath, '--no-warnings', '--max-semi-space-size=1', MAIN] });

export interface Place { into: string; tarSplitPath: string }

/** Workers, and below `root` a fresh place for each layer. Dispose of it to end the workers. */
export function openExtractKit(root: string) {
  const extractors = openExtractors({ kernel, log: silentLog, limit: 1, idleMs: 60_000 });
  let count = 0;
  const place = (): Place => {
    const at = join(root, `layer-${count++}`);
    mkdirSync(join(at, 'diff'), { recursive: true });
    return { into: join(at, 'diff'), tarSplitPath: join(at, 'tar-split.json.gz') };
  };
  return {
    extractors,
    place,
    /** Extracts `bytes`, handed over in pieces. */
    async extract(bytes: Uint8Array, options?: Partial<ExtractWork>) {
      const at = place();
      const done = await extractors.extract({ ...at, compression: 'none', source: pieces(bytes), ...options });
      return { ...at, ...done };
    },
    async [Symbol.asyncDispose]() { await extractors.close(); },
  };
}

export async function* pieces(bytes: Uint8Array, stepBytes = 65_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += stepBytes) yield bytes.subarray(at, at + stepBytes);
}
