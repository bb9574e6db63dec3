// What a guest finds in its registry: images for its processor and a delta between two of them, made outside, where that takes no time.
import { readFileSync } from 'node:fs';
import { listDeltas, offerDelta, offerImages } from '../kit/deltas.ts';
import { FakeRegistry } from '../kit/fake-registry.ts';
import { buildImage, busyboxLayer, treeTar } from '../kit/image.ts';

/** Bytes are base64. */
export interface Offered {
  ids: { first: string; second: string; plain: string };
  blobs: Array<{ mediaType: string; bytes: string }>;
  manifests: Array<{ name: string; tag?: string; mediaType: string; bytes: string }>;
}

const M = 1 << 20;
/** Of both names of one file. */
const FILE = { mode: 0o4711, uid: 70_000, gid: 3, mtimeNs: 1_500_000_000_123_456_789n };
/** Everything that an entry can say; inside/arm64.ts tells what became of it. */
const KINDS = treeTar({
  'kinds/': { mode: 0o2750, uid: 1, gid: 2 },
  'kinds/file': { content: 'content', ...FILE, xattrs: new Map([['user.note', Buffer.from('kept')]]) },
  'kinds/hard': { type: 'hardlink', linkName: 'kinds/file', ...FILE },
  'kinds/soft': { type: 'symlink', linkName: '../nowhere', uid: 5, mtimeNs: 1_400_000_000_000_000_001n },
  'kinds/char': { type: 'char', devMajor: 1, devMinor: 3, mode: 0o666 },
  'kinds/block': { type: 'block', devMajor: 259, devMinor: 70_000, mode: 0o600 },
  'kinds/pipe': { type: 'fifo', mode: 0o622 },
});

/** `own:1`, `own:2` with a delta from the first, and `plain:1`, packed otherwise. `busybox` and `program` are files of the guest's processor. */
export function offered({ busybox, program }: { busybox: string; program: string }): Offered {
  const system = busyboxLayer(busybox);
  const whole = readFileSync(program).subarray(16 * M, 18 * M);
  const image = { config: { Env: ['PATH=/bin'] }, platform: { os: 'linux', architecture: 'arm64' } };
  const first = buildImage({ ...image, layers: [system, KINDS, treeTar({ program: whole, version: 'one' })] });
  const second = buildImage({ ...image, layers: [system, KINDS, treeTar({ program: Buffer.concat([whole.subarray(0, M), Buffer.from('patched'), whole.subarray(M)]), version: 'two' })] });
  const plain = buildImage({ ...image, compression: 'zstd', format: 'oci', layers: [system, KINDS, treeTar({ '.wh.kinds': '' })] });
  const registry = new Recorder();
  offerImages(registry, { 'own:1': first, 'own:2': second, 'plain:1': plain });
  listDeltas(registry, 'own', { target: second, deltas: [offerDelta(registry, 'own', { base: first, target: second })] });
  return { ids: { first: first.config.digest, second: second.config.digest, plain: plain.config.digest }, blobs: registry.blobs, manifests: registry.manifests };
}

/** Never serves: keeps what it is given. */
class Recorder extends FakeRegistry {
  readonly blobs: Offered['blobs'] = [];
  readonly manifests: Offered['manifests'] = [];

  override addBlob(bytes: Uint8Array, mediaType: string): ReturnType<FakeRegistry['addBlob']> {
    this.blobs.push({ mediaType, bytes: Buffer.from(bytes).toString('base64') });
    return super.addBlob(bytes, mediaType);
  }

  override addManifest(name: string, tag: string | undefined, manifest: { bytes: Uint8Array; mediaType: string }): ReturnType<FakeRegistry['addManifest']> {
    this.manifests.push({ name, ...(tag === undefined ? {} : { tag }), mediaType: manifest.mediaType, bytes: Buffer.from(manifest.bytes).toString('base64') });
    return super.addManifest(name, tag, manifest);
  }
}
