// Images that a real balenaEngine saved, out of test/corpus/balena-deltas, as images to be pushed.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { TarReader } from '../../src/archive/tar-read.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA } from '../../src/oci/manifest.ts';
import { HOST_PLATFORM, type Blob, type BuiltImage } from './image.ts';

const CORPUS = join(import.meta.dirname, '../corpus/balena-deltas');

export const CORPUS_CASES: readonly string[] = readdirSync(CORPUS, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name);

/** What vector.json says; IDs are image IDs. */
export interface Vector { base: string; target: string; delta: string; base_layers: readonly string[]; target_layers: readonly string[] }

export const vectorOf = (name: string): Vector => JSON.parse(readFileSync(join(CORPUS, name, 'vector.json'), 'utf8')) as Vector;

/** The files of an archive as balenaEngine wrote it, by their paths. */
export function corpusFiles(name: string, which: 'base' | 'target' | 'delta'): (path: string) => Buffer {
  const tar = gunzipSync(readFileSync(join(CORPUS, name, `${which}.tar.gz`)));
  const files = new Map<string, Buffer[]>();
  let content: Buffer[] = [];
  const reader = new TarReader({
    raw() {}, hole() {}, entryEnd() {},
    entry: (entry) => { files.set(entry.name, content = []); },
    data: (bytes, start, end) => { content.push(bytes.subarray(start, end)); },
  });
  reader.write(tar);
  return (path) => {
    const pieces = files.get(path);
    if (!pieces) throw new Error(`${name}/${which}: no ${path} in it`);
    return Buffer.concat(pieces);
  };
}

/** As a push sends it: the config's very bytes, each layer gzip'd. `change` may spoil the layers. */
export function corpusImage(name: string, which: 'base' | 'target' | 'delta', change: (tar: Buffer, index: number) => Buffer = (tar) => tar): BuiltImage {
  const archive = join(CORPUS, name, `${which}.tar.gz`);
  const file = (path: string) => execFileSync('tar', ['-xzOf', archive, path], { maxBuffer: 64 << 20 });
  const [saved] = JSON.parse(file('manifest.json').toString('utf8')) as Array<{ Config: string; Layers: string[] }>;
  if (!saved) throw new Error(`${name}/${which}: no image in it`);
  return imageOf(file(saved.Config), saved.Layers.map((layer, index) => change(file(layer), index)));
}

/** An image whose config is given by its bytes, true or not. */
export function imageOf(configBytes: Uint8Array, tars: readonly Uint8Array[]): BuiltImage {
  const blob = (mediaType: string, bytes: Uint8Array): Blob => ({ mediaType, digest: digestOf(bytes), size: bytes.length, bytes });
  const plain = ({ mediaType, digest, size }: Blob) => ({ mediaType, digest, size });
  const config = blob(MEDIA.dockerConfig, configBytes);
  const layers = tars.map((tar) => blob(MEDIA.dockerLayerGzip, gzipSync(tar, { level: 6 })));
  const manifest = blob(MEDIA.dockerManifest, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.dockerManifest, config: plain(config), layers: layers.map(plain) })));
  return { manifest, config, layers, diffIds: tars.map((tar) => digestOf(tar)), platform: HOST_PLATFORM };
}
