// The image that is pulled while the power goes: about 3,000 small files in three layers, and a second version of it.
import { diceOf } from './cutstates.ts';
import { mergedTree, type Entry } from './tar.ts';

export interface TestImage {
  layers: ReadonlyArray<readonly Entry[]>;
  /** What a whole one looks like. */
  tree: ReadonlyMap<string, string>;
}

/** struct vfs_cap_data, revision 2: CAP_NET_RAW permitted and effective. */
const CAPABILITY = `\x01\0\0\x02\0\x20${'\0'.repeat(14)}`;
const DAY_NS = 86_400n * 1_000_000_000n;

/**
 * Four versions that share all layers but the last, which replaces, adds and deletes. `files` is the number of files of each. The last
 * layers of the third and of the fourth are most of them what the one before is, for deltas.
 */
export function versions(files: number): Record<'first' | 'second' | 'third' | 'fourth', TestImage> {
  const base = folderTree('base', Math.ceil(files * 0.4), 1);
  const middle = [...folderTree('lib', Math.ceil(files * 0.3), 2), ...curiosities()];
  const share = files - Math.ceil(files * 0.7);
  const image = (layers: ReadonlyArray<readonly Entry[]>): TestImage => ({ layers, tree: mergedTree(layers) });
  const second = folderTree('app', share, 4), third = edited(second, 7), fourth = edited(third, 5);
  return {
    first: image([base, middle, [...folderTree('app', share, 3), ...deletions('first')]]),
    second: image([base, middle, [...second, ...deletions('second')]]),
    third: image([base, middle, [...third, ...deletions('third')]]),
    fourth: image([base, middle, [...fourth, ...deletions('fourth')]]),
  };
}

/** One of so many files has something put in, and another one has another name. */
function edited(entries: readonly Entry[], every: number): Entry[] {
  return entries.map((entry, n) => {
    const { data } = entry;
    if (data === undefined || n % every > 1) return entry;
    if (n % every === 1) return { ...entry, path: `${entry.path}-${every}` };
    return { ...entry, data: () => Buffer.concat([data().subarray(0, 3000), Buffer.from(`put in by ${every}`), data().subarray(3000)]) };
  });
}

/** `files` files of 0 to 20 KB in folders of fifty, half of every file compressible. */
function folderTree(top: string, files: number, seed: number): Entry[] {
  const entries = [directory(top, seed)];
  for (let n = 0; n < files; n++) {
    const folder = `${top}/d${Math.floor(n / 50)}`;
    if (n % 50 === 0) entries.push(directory(folder, seed + n));
    const size = (n * 7919 + seed * 104_729) % 20_001;
    entries.push({ ...common(seed + n), type: 'file', path: `${folder}/f${n}`, data: () => halfCompressible(size, seed * 1_000_003 + n) });
  }
  return entries;
}

/** Reproducible bytes, the first half noise and the second half text. */
export function halfCompressible(size: number, seed: number): Buffer {
  const data = Buffer.alloc(size, `line of text number ${seed}, as logs and scripts have them\n`);
  const dice = diceOf(seed);
  for (let n = 0; n + 4 <= size / 2; n += 4) data.writeUInt32LE(Math.floor(dice() * 2 ** 32), n);
  return data;
}

function curiosities(): Entry[] {
  // As tar writers do, the second name repeats what the first one said: an owner set again would clear the capability.
  const tool = { ...common(8), mode: 0o755, xattrs: { 'user.origin': 'power cut', 'security.capability': CAPABILITY } };
  return [
    directory('etc', 7),
    { ...tool, type: 'file', path: 'etc/tool', data: () => halfCompressible(5000, 8) },
    { ...tool, type: 'hardlink', path: 'etc/tool-again', link: 'etc/tool' },
    { ...common(9), type: 'symlink', path: 'etc/pointer', link: '../base/d0/f1' },
    { ...common(10), type: 'symlink', path: 'etc/dangling', link: '/nowhere/at all' },
    { ...common(11), type: 'fifo', path: 'etc/pipe' },
    { ...common(12), type: 'char', path: 'etc/null', device: { major: 1, minor: 3 } },
    { ...common(13), type: 'file', path: 'etc/empty' },
    directory('etc/doomed', 14),
    { ...common(15), type: 'file', path: 'etc/doomed/file', data: () => Buffer.from('deleted by the next layer') },
    directory('etc/opaque', 16),
    { ...common(17), type: 'file', path: 'etc/opaque/below', data: () => Buffer.from('hidden by the next layer') },
  ];
}

function deletions(version: string): Entry[] {
  return [
    directory('etc', 18),
    { ...common(19), type: 'file', path: 'etc/.wh.doomed' },
    directory('etc/opaque', 20),
    { ...common(21), type: 'file', path: 'etc/opaque/.wh..wh..opq' },
    { ...common(22), type: 'file', path: 'etc/opaque/above', data: () => Buffer.from(version) },
  ];
}

/** Owner, mode and time differ from file to file, so that nothing is right by accident. */
function common(seed: number): Pick<Entry, 'mode' | 'uid' | 'gid' | 'mtimeNs'> {
  return {
    mode: [0o644, 0o600, 0o755, 0o1666][seed % 4] ?? 0o644, uid: (seed * 31) % 2000, gid: (seed * 17) % 2000,
    mtimeNs: 1_600_000_000n * 1_000_000_000n + BigInt(seed % 1000) * DAY_NS + (seed % 3 === 0 ? 123_456_789n : 0n),
  };
}

const directory = (path: string, seed: number): Entry => ({ ...common(seed), mode: 0o755, type: 'directory', path });
