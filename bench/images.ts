// The two images that the pull benchmark pulls, the same bytes at every run: many small files, and few big ones.
import { halfCompressible } from '../test/crash/image.ts';
import type { Entry } from '../test/crash/tar.ts';

export interface BenchImage {
  name: 'small' | 'big';
  layers: ReadonlyArray<readonly Entry[]>;
  files: number;
  bytes: number;
}

const PATTERN = { uid: 0, gid: 0, mtimeNs: 1_700_000_000n * 1_000_000_000n };

/** 20,000 files of 0 to 9 KB in 1,000 folders, four layers. */
export const smallFiles = (): BenchImage => imageOf('small', { layers: 4, files: 20_000, perFolder: 20, size: (n) => (n * 7919) % 9001 });

/** 26 files of 15.4 MB, two layers: 400 MB. */
export const bigFiles = (): BenchImage => imageOf('big', { layers: 2, files: 26, perFolder: 13, size: () => 15_400_000 });

function imageOf(name: BenchImage['name'], what: { layers: number; files: number; perFolder: number; size: (n: number) => number }): BenchImage {
  const layers: Entry[][] = [];
  let bytes = 0;
  for (let n = 0; n < what.files; n++) {
    const layer = Math.floor((n * what.layers) / what.files);
    const entries = layers[layer] ??= [];
    const folder = `l${layer}d${Math.floor(n / what.perFolder)}`;
    if (!entries.some((entry) => entry.path === folder)) entries.push({ ...PATTERN, type: 'directory', path: folder, mode: 0o755 });
    const size = what.size(n);
    bytes += size;
    entries.push({ ...PATTERN, type: 'file', path: `${folder}/f${n}`, mode: 0o644, data: () => halfCompressible(size, n + 1) });
  }
  return { name, layers, files: what.files, bytes };
}
