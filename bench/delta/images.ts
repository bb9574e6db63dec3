// The pairs of images that deltas are made between, put together from the parts, and what balenaEngine's own encoder makes of them.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { deltaLayerTar } from '../../src/delta/rsync/layer.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA } from '../../src/oci/manifest.ts';
import { HOST_PLATFORM, type Blob, type BuiltImage } from '../../test/kit/image.ts';
import { openLibrsyncReference } from '../../test/kit/librsync-reference.ts';
import type { Parts } from './parts.ts';

export interface Pair {
  name: string;
  what: string;
  base: readonly string[];
  target: readonly string[];
  /** The factor over a pull of the missing layers that balenaEngine was announced with. */
  announced?: number;
}

/** `from` and `to`: two versions of ghost. */
export const pairsOf = ({ from, to }: { from: string; to: string }): Pair[] => [
  { name: 'S1', what: 'Debian base, one more package in apt-get install', base: ['base', 'three-packages'], target: ['base', 'four-packages'], announced: 71.6 },
  { name: 'S2', what: `ghost ${from} → ${to} on Node.js 6`, base: ['base', 'node-6', `ghost-${from}`], target: ['base', 'node-6', `ghost-${to}`], announced: 16.9 },
  { name: 'S3', what: 'the same app on Node.js 6 → 4', base: ['base', 'node-6', `ghost-${from}`], target: ['base', 'node-4', `ghost-${from}-again`], announced: 7.5 },
  { name: 'S4b', what: 'a bundled TypeScript app, one function edited', base: ['base', 'bundle'], target: ['base', 'bundle-edited'] },
  { name: 'S5', what: 'a whole Debian base moved to its updates', base: ['debian-oldest'], target: ['debian-newest'] },
  { name: 'S6', what: 'system libraries and a TLS library, one update to the next', base: ['libraries-last-but-one'], target: ['libraries-newest'] },
  { name: 'S6arm', what: 'the same as S6 for 32-bit ARM', base: ['libraries-armhf-last-but-one'], target: ['libraries-armhf-newest'] },
  { name: 'S6c', what: 'one C program (redis), rebuilt', base: ['redis-last-but-one'], target: ['redis-newest'] },
  { name: 'S7', what: 'one large statically linked program (esbuild), next version', base: ['esbuild-0.28.1'], target: ['esbuild-0.28.2'] },
  { name: 'S7n', what: 'Node.js 26.9 → 26.10, one program of 150 MB', base: ['node-26.9.0'], target: ['node-26.10.0'] },
];

export interface PairImages {
  base: BuiltImage;
  target: BuiltImage;
  /** Of those layers of the target that the base has not: packed as they are pulled. */
  missingBytes: number;
  /** balenaEngine's delta, packed as its push does. */
  referenceBytes: number;
}

interface Layer { name: string; tar: Buffer; blob: Blob }

/** Packs layers and makes deltas once, and keeps what it made in `cache`. */
export async function imagesOf(pair: Pair, { parts, cache }: { parts: Parts; cache: string }): Promise<PairImages> {
  const layerOf = async (name: string): Promise<Layer> => {
    const tar = readFileSync(await parts.tar(name));
    const bytes = kept(`${cache}/${name}.tar.gz`, () => gzipSync(tar));
    return { name, tar, blob: { mediaType: MEDIA.dockerLayerGzip, digest: digestOf(bytes), size: bytes.length, bytes } };
  };
  const [base, target]: [Layer[], Layer[]] = [[], []];
  for (const name of pair.base) base.push(await layerOf(name));
  for (const name of pair.target) target.push(await layerOf(name));
  const shared = target.findIndex(({ name }, n) => pair.base[n] !== name);
  const missing = shared < 0 ? [] : target.slice(shared);
  const referenceBytes = Number(kept(`${cache}/reference-${pair.base.join('_')}-${pair.target.join('_')}`, () => {
    console.error(`making balenaEngine's delta of ${pair.name}`);
    const make = openLibrsyncReference(Buffer.concat(base.map(({ tar }) => tar)));
    return Buffer.from(String(missing.reduce((sum, { tar }) => sum + packedDelta(make(tar)), 0)));
  }).toString());
  return { base: imageOf(base), target: imageOf(target), missingBytes: missing.reduce((sum, { blob }) => sum + blob.size, 0), referenceBytes };
}

function packedDelta(delta: Buffer): number {
  const { header, trailer } = deltaLayerTar(delta.length);
  return gzipSync(Buffer.concat([header, delta, trailer])).length;
}

function imageOf(layers: readonly Layer[]): BuiltImage {
  const diffIds = layers.map(({ tar }) => digestOf(tar));
  const json = (mediaType: string, value: unknown): Blob => {
    const bytes = Buffer.from(JSON.stringify(value));
    return { mediaType, digest: digestOf(bytes), size: bytes.length, bytes };
  };
  const config = json(MEDIA.dockerConfig, {
    ...HOST_PLATFORM, created: '2020-09-13T12:26:40Z', config: { Cmd: ['/bin/sh'] }, rootfs: { type: 'layers', diff_ids: diffIds },
    history: diffIds.map((_id, n) => ({ created: '2020-09-13T12:26:40Z', created_by: `layer ${n}` })),
  });
  const descriptor = ({ mediaType, digest, size }: Blob) => ({ mediaType, digest, size });
  const manifest = json(MEDIA.dockerManifest, { schemaVersion: 2, mediaType: MEDIA.dockerManifest, config: descriptor(config), layers: layers.map(({ blob }) => descriptor(blob)) });
  return { manifest, config, layers: layers.map(({ blob }) => blob), diffIds, platform: HOST_PLATFORM };
}

function kept(file: string, make: () => Buffer): Buffer {
  if (!existsSync(file)) {
    writeFileSync(`${file}.part`, make());
    renameSync(`${file}.part`, file);
  }
  return readFileSync(file);
}
