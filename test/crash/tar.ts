// Tar layers and the tree they must unpack to, both from one description: an oracle that shares no code with the engine.
import { createHash } from 'node:crypto';

export interface Entry {
  type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'fifo';
  /** Relative, without a slash at either end. */
  path: string;
  mode: number;
  uid: number;
  gid: number;
  mtimeNs: bigint;
  /** Target of a symlink or hard link. */
  link?: string;
  device?: { major: number; minor: number };
  xattrs?: Readonly<Record<string, string>>;
  /** Made when asked for: a large image is never in memory as a whole. */
  data?: () => Buffer;
}

const BLOCK = 512;
const TYPE_FLAG: Record<Entry['type'], string> = { file: '0', hardlink: '1', symlink: '2', char: '3', directory: '5', fifo: '6' };

/** The bytes of a layer, piece by piece. */
export function* tarOf(entries: Iterable<Entry>): Generator<Buffer> {
  for (const entry of entries) {
    const data = entry.data?.() ?? Buffer.alloc(0);
    const extended = paxOf(entry);
    if (extended.length > 0) yield* record({ ...entry, path: 'pax', mode: 0o644 }, 'x', extended);
    yield* record(entry, TYPE_FLAG[entry.type], data);
  }
  yield Buffer.alloc(2 * BLOCK);
}

/** Path to description of every file of the image whose layers these are, as `describeTree` shows it. */
export function mergedTree(layers: ReadonlyArray<readonly Entry[]>): Map<string, string> {
  const files = new Map<string, { entry: Entry; layer: number }>();
  layers.forEach((entries, layer) => {
    for (const entry of entries) {
      const slash = entry.path.lastIndexOf('/');
      const [folder, name] = [entry.path.slice(0, slash + 1), entry.path.slice(slash + 1)];
      if (name === '.wh..wh..opq') forget(files, (path, below) => path.startsWith(folder) && below < layer);
      else if (name.startsWith('.wh.')) forget(files, (path) => `${path}/`.startsWith(`${folder}${name.slice(4)}/`));
      else files.set(entry.path, { entry, layer });
    }
  });
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)).map(([path, { entry }]) => [path, describeEntry(entry, files)]));
}

/** One line with all that must be equal; the tree on the disk is described by the same function. */
export function describe(file: {
  type: string; mode: number; uid: number; gid: number; mtimeNs: bigint; detail: string; xattrs: Readonly<Record<string, string>>;
}): string {
  const xattrs = Object.entries(file.xattrs).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => ` ${name}=${value}`).join('');
  return `${file.type} ${file.mode.toString(8)} ${file.uid}:${file.gid} ${file.mtimeNs} ${file.detail}${xattrs}`;
}

export const detailOfData = (data: Buffer): string => `${data.length} ${createHash('sha256').update(data).digest('hex')}`;

type Files = Map<string, { entry: Entry; layer: number }>;

function forget(files: Files, hidden: (path: string, layer: number) => boolean): void {
  for (const [path, { layer }] of files) if (hidden(path, layer)) files.delete(path);
}

function describeEntry(entry: Entry, files: Files): string {
  const original = entry.type === 'hardlink' ? files.get(entry.link ?? '')?.entry ?? entry : entry;
  return describe({
    type: original.type, mode: original.type === 'symlink' ? 0o777 : original.mode, uid: original.uid, gid: original.gid,
    mtimeNs: original.mtimeNs, xattrs: original.xattrs ?? {}, detail: detailOf(original),
  });
}

function detailOf(entry: Entry): string {
  switch (entry.type) {
    case 'file': return detailOfData(entry.data?.() ?? Buffer.alloc(0));
    case 'symlink': return entry.link ?? '';
    case 'char': return `${entry.device?.major}:${entry.device?.minor}`;
    default: return '';
  }
}

function* record(entry: Entry, flag: string, data: Buffer): Generator<Buffer> {
  const head = Buffer.alloc(BLOCK);
  const octal = (value: number, width: number) => `${value.toString(8).padStart(width - 1, '0')}\0`;
  const name = entry.type === 'directory' && flag === '5' ? `${entry.path}/` : entry.path;
  if (Buffer.byteLength(name) > 100) throw new Error(`name too long for a test: ${name}`);
  head.write(name, 0);
  head.write(octal(entry.mode, 8), 100);
  head.write(octal(entry.uid, 8), 108);
  head.write(octal(entry.gid, 8), 116);
  head.write(octal(data.length, 12), 124);
  head.write(octal(Number(entry.mtimeNs / 1_000_000_000n), 12), 136);
  head.write(' '.repeat(8), 148);
  head.write(flag, 156);
  head.write(entry.link ?? '', 157);
  head.write('ustar\x0000', 257);
  head.write(octal(entry.device?.major ?? 0, 8), 329);
  head.write(octal(entry.device?.minor ?? 0, 8), 337);
  head.write(octal(head.reduce((sum, byte) => sum + byte, 0), 8), 148);
  yield head;
  if (data.length === 0) return;
  yield data;
  const rest = data.length % BLOCK;
  if (rest > 0) yield Buffer.alloc(BLOCK - rest);
}

function paxOf(entry: Entry): Buffer {
  const fraction = entry.mtimeNs % 1_000_000_000n;
  const fields: [string, string][] = Object.entries(entry.xattrs ?? {}).map(([name, value]) => [`SCHILY.xattr.${name}`, value]);
  if (fraction !== 0n) fields.push(['mtime', `${entry.mtimeNs / 1_000_000_000n}.${fraction.toString().padStart(9, '0')}`]);
  return Buffer.from(fields.map(([key, value]) => paxLine(`${key}=${value}\n`)).join(''));
}

/** A line counts its own length, digits included. */
function paxLine(rest: string): string {
  let length = Buffer.byteLength(rest) + 2;
  while (`${length} ${rest}`.length !== length && Buffer.byteLength(`${length} ${rest}`) !== length) length++;
  return `${length} ${rest}`;
}
