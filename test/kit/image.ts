// Images made in memory: layers from a description of a directory, the config that belongs to them, and a busybox to run.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { byteStringOf } from '../../src/archive/byte-string.ts';
import { TAR_END, tarBytes, tarHeader, tarPadding, type TarItem } from '../../src/archive/tar-write.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA } from '../../src/oci/manifest.ts';

/** A file's content, or an entry with more to say; a name that ends in a slash is a directory. */
export type Entry = string | Uint8Array | null | (Partial<TarItem> & { content?: string | Uint8Array });
export type Tree = Readonly<Record<string, Entry>>;

/** {'etc/': null, 'etc/a': 'text', 'etc/b': { type: 'symlink', linkName: 'a' }} → a layer. Same tree, same bytes. */
export function treeTar(tree: Tree): Buffer {
  return tarBytes(Object.entries(tree).map(([name, entry]) => itemOf(name, entry)));
}

function itemOf(name: string, entry: Entry): TarItem & { content?: string | Uint8Array } {
  const isDir = name.endsWith('/');
  const common = { name: byteStringOf(name), type: isDir ? 'dir' as const : 'file' as const, mode: isDir ? 0o755 : 0o644, mtimeNs: 1_600_000_000_000_000_000n };
  if (entry === null) return common;
  return typeof entry === 'string' || entry instanceof Uint8Array ? { ...common, content: entry } : { ...common, ...entry };
}

/** The same for what is too large to hold: the content of each item is made while it is read. `sizeBytes` must be right. */
export async function* treeStream(items: Iterable<TarItem & { chunks?: Iterable<Uint8Array> | AsyncIterable<Uint8Array> }>): AsyncGenerator<Uint8Array> {
  for (const item of items) {
    yield tarHeader(item);
    let sizeBytes = 0;
    for await (const chunk of item.chunks ?? []) { sizeBytes += chunk.length; yield chunk; }
    if (sizeBytes !== (item.sizeBytes ?? 0)) throw new Error(`${item.name}: ${sizeBytes} bytes instead of ${item.sizeBytes ?? 0}`);
    yield tarPadding(sizeBytes);
  }
  yield TAR_END;
}

export type LayerCompression = 'gzip' | 'zstd' | 'none';

export interface ImageSpec {
  /** Uncompressed tars, the lowest first. */
  layers: readonly Uint8Array[];
  /** Of all layers; default gzip. */
  compression?: LayerCompression;
  format?: 'docker' | 'oci';
  /** The container part of the image config: Cmd, Env, Entrypoint … */
  config?: Readonly<Record<string, unknown>>;
  platform?: { architecture: string; os: string; variant?: string };
  /** Further fields of the image config itself. */
  fields?: Readonly<Record<string, unknown>>;
}

export interface Blob { mediaType: string; digest: string; size: number; bytes: Uint8Array }

export interface BuiltImage {
  manifest: Blob;
  config: Blob;
  layers: readonly Blob[];
  diffIds: readonly string[];
  platform: { architecture: string; os: string; variant?: string };
}

export const HOST_PLATFORM = { architecture: process.arch === 'arm64' ? 'arm64' : 'amd64', os: 'linux' } as const;

export function buildImage(spec: ImageSpec): BuiltImage {
  const format = spec.format ?? 'docker', compression = spec.compression ?? 'gzip', platform = spec.platform ?? HOST_PLATFORM;
  const diffIds = spec.layers.map((layer) => digestOf(layer));
  const config = blobOf(format === 'oci' ? MEDIA.ociConfig : MEDIA.dockerConfig, jsonBytes({
    ...platform, created: '2020-09-13T12:26:40Z', config: spec.config ?? {}, ...spec.fields,
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: diffIds.map((_id, n) => ({ created: '2020-09-13T12:26:40Z', created_by: `layer ${n}` })),
  }));
  const layers = spec.layers.map((tar) => blobOf(LAYER_TYPES[format][compression], compressed(tar, compression)));
  const mediaType = format === 'oci' ? MEDIA.ociManifest : MEDIA.dockerManifest;
  const manifest = blobOf(mediaType, jsonBytes({ schemaVersion: 2, mediaType, config: descriptorOf(config), layers: layers.map(descriptorOf) }));
  return { manifest, config, layers, diffIds, platform };
}

/** A manifest list (or OCI index) over images that are pushed beside it. */
export function buildIndex(images: readonly BuiltImage[], format: 'docker' | 'oci' = 'docker'): Blob {
  const mediaType = format === 'oci' ? MEDIA.ociIndex : MEDIA.dockerList;
  return blobOf(mediaType, jsonBytes({ schemaVersion: 2, mediaType, manifests: images.map(({ manifest, platform }) => ({ ...descriptorOf(manifest), platform })) }));
}

const LAYER_TYPES: Readonly<Record<'docker' | 'oci', Readonly<Record<LayerCompression, string>>>> = {
  docker: { gzip: MEDIA.dockerLayerGzip, zstd: MEDIA.dockerLayerZstd, none: MEDIA.dockerLayer },
  oci: { gzip: MEDIA.ociLayerGzip, zstd: MEDIA.ociLayerZstd, none: MEDIA.ociLayer },
};

function compressed(tar: Uint8Array, how: LayerCompression): Uint8Array {
  if (how === 'none') return tar;
  return how === 'gzip' ? gzipSync(tar, { level: 1 }) : zstdCompressSync(tar);
}

const jsonBytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const blobOf = (mediaType: string, bytes: Uint8Array): Blob => ({ mediaType, digest: digestOf(bytes), size: bytes.length, bytes });
const descriptorOf = ({ mediaType, digest, size }: Blob) => ({ mediaType, digest, size });

const busyboxTars = new Map<string, Uint8Array>();

/** Debian's static busybox with a link for each of its commands, root and nobody in passwd, /tmp. `program`: that of another processor. */
export function busyboxLayer(program = '/bin/busybox'): Uint8Array {
  const known = busyboxTars.get(program);
  if (known) return known;
  const made = treeTar({
    'bin/': null,
    'bin/busybox': { content: readFileSync(program), mode: 0o755 },
    ...Object.fromEntries(execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).split('\n').filter((name) => name !== '' && name !== 'busybox')
      .map((name) => [`bin/${name}`, { type: 'symlink', linkName: 'busybox', mode: 0o777 }])),
    'dev/': null,
    'etc/': null,
    'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n',
    'etc/group': 'root:x:0:\ndaemon:x:1:nobody\nnogroup:x:65534:\n',
    'proc/': null,
    'root/': { mode: 0o700 },
    'sys/': null,
    'tmp/': { mode: 0o1777 },
  });
  busyboxTars.set(program, made);
  return made;
}

/** An image that runs: `sh` by default, PATH set. `extra` are layers on top. */
export function busyboxImage(spec: Partial<ImageSpec> & { extra?: readonly Uint8Array[] } = {}): BuiltImage {
  const { extra = [], ...rest } = spec;
  return buildImage({
    ...rest,
    layers: [...rest.layers ?? [busyboxLayer()], ...extra],
    config: { Cmd: ['sh'], Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], ...rest.config },
  });
}
