// Deltas between test images, put into a registry: an image of balenaEngine's, and an artifact of ours beside its target.
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { joinViews, viewOf } from '../../src/delta/bytes.ts';
import { indexBase } from '../../src/delta/rsync/index.ts';
import { deltaLayerTar, EMPTY_LAYER } from '../../src/delta/rsync/layer.ts';
import { openVaquitaBase } from '../../src/delta/vaquita/encode.ts';
import { buildDeltaArtifact, DELTA_ARTIFACT_TYPE, EMPTY_BLOB } from '../../src/oci/delta-artifact.ts';
import { digestOf, parseDiffId, parseImageId } from '../../src/oci/digest.ts';
import { MEDIA } from '../../src/oci/manifest.ts';
import type { TestImage } from './image.ts';
import { configOf, type TestRegistry } from './registry.ts';
import { tarOf } from './tar.ts';

export interface Between { base: TestImage; target: TestImage }
interface Named { name: string; tag: string }

const MEMORY_BYTES = 256 << 20;
const tarsOf = (image: TestImage): Buffer[] => image.layers.map((layer) => Buffer.concat([...tarOf(layer)]));
const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** The tag is the delta's, and the target is nowhere: what is pulled by that name has come by delta. */
export async function pushBalenaDelta(registry: TestRegistry, { name, tag }: Named, { base, target }: Between): Promise<void> {
  const [old, made] = [tarsOf(base), tarsOf(target)];
  const index = indexBase(joinViews(old.map(viewOf)), { memoryBytes: MEMORY_BYTES });
  const layers = made.map((tar, n) => {
    if (old[n]?.equals(tar)) return Buffer.from(EMPTY_LAYER);
    const pieces: Buffer[] = [];
    index.diff(viewOf(tar), (bytes, start, end) => { pieces.push(Buffer.from(bytes.subarray(start, end))); });
    const delta = Buffer.concat(pieces);
    const { header, trailer } = deltaLayerTar(delta.length);
    return Buffer.concat([header, delta, trailer]);
  });
  const labels = { 'io.resin.delta.base': sha256(configOf(old.map(sha256))), 'io.resin.delta.config': configOf(made.map(sha256)).toString('utf8') };
  const config = Buffer.from(JSON.stringify({ created: '2026-01-01T00:00:00Z', config: { Labels: labels }, rootfs: { type: 'layers', diff_ids: layers.map(sha256) } }));
  const blobs = [];
  for (const layer of layers) blobs.push({ mediaType: MEDIA.dockerLayerGzip, ...await registry.addBlob(name, gzipSync(layer)) });
  const manifest = { schemaVersion: 2, mediaType: MEDIA.dockerManifest, config: { mediaType: MEDIA.dockerConfig, ...await registry.addBlob(name, config) }, layers: blobs };
  await registry.addManifest(name, tag, { bytes: Buffer.from(JSON.stringify(manifest)), mediaType: MEDIA.dockerManifest });
}

/** Pushes the target under the tag, and beside it a delta from the base, found by the fallback tag. */
export async function pushOwnDelta(registry: TestRegistry, { name, tag }: Named, { base, target }: Between): Promise<void> {
  const { manifest } = await registry.push(name, tag, target.layers);
  const [old, made] = [tarsOf(base).map((tar) => ({ diffId: sha256(tar), tar: viewOf(tar) })), tarsOf(target)];
  const maker = openVaquitaBase(old, { memoryBytes: MEMORY_BYTES });
  const layers = [];
  for (const tar of made) {
    const diffId = parseDiffId(sha256(tar));
    if (old.some((layer) => layer.diffId === diffId)) continue;
    const pieces: Buffer[] = [];
    const { sources } = maker.make({ diffId, tar: viewOf(tar) }, (bytes, start, end) => { pieces.push(Buffer.from(bytes.subarray(start, end))); });
    const bytes = Buffer.concat(pieces);
    await registry.addBlob(name, bytes);
    layers.push({ digest: digestOf(bytes), size: bytes.length, diffId, sources: sources.map(parseDiffId), targetBytes: tar.length });
  }
  await registry.addBlob(name, EMPTY_BLOB);
  const { bytes, annotations } = buildDeltaArtifact({
    base: parseImageId(sha256(configOf(old.map(({ diffId }) => diffId)))), target: parseImageId(sha256(configOf(made.map(sha256)))), baseManifest: undefined,
    subject: { mediaType: manifest.mediaType, digest: digestOf(manifest.bytes), size: manifest.bytes.length }, created: '2026-01-01T00:00:00Z', layers,
  });
  const digest = sha256(bytes);
  await registry.addManifest(name, digest, { bytes, mediaType: MEDIA.ociManifest });
  const list = { schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [{ mediaType: MEDIA.ociManifest, digest, size: bytes.length, artifactType: DELTA_ARTIFACT_TYPE, annotations }] };
  await registry.addManifest(name, sha256(manifest.bytes).replace(':', '-'), { bytes: Buffer.from(JSON.stringify(list)), mediaType: MEDIA.ociIndex });
}
