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

/** Of small files every 20th has new content, every 50th another name; of big ones 64 KB at one place are new. Nothing else is touched, not even times. */
export function nextVersion(image: BenchImage): BenchImage {
  const layers = image.layers.map((entries, layer) => entries.map((entry, n): Entry => {
    const { data } = entry;
    if (data === undefined) return entry;
    if (image.name === 'big') return { ...entry, data: () => edited(data(), layer * 1000 + n) };
    if (n % 20 === 3) return { ...entry, data: () => halfCompressible(data().length, layer * 100_000 + n + 7_000_000) };
    return n % 50 === 7 ? { ...entry, path: `${entry.path}-moved` } : entry;
  }));
  return { ...image, layers };
}

const EDIT_BYTES = 64 * 1024;

function edited(bytes: Buffer, seed: number): Buffer {
  halfCompressible(2 * EDIT_BYTES, seed + 9_000_000).copy(bytes, (seed * 7919 * 4096) % (bytes.length - EDIT_BYTES), 0, EDIT_BYTES);
  return bytes;
}

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
