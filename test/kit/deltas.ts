// Our own deltas between images that are in memory, put into a fake registry as a publisher would.
import { gunzipSync } from 'node:zlib';
import { openVaquitaBase } from '../../src/delta/vaquita/encode.ts';
import { viewOf } from '../../src/delta/bytes.ts';
import { buildDeltaArtifact, DELTA_ARTIFACT_TYPE, DELTA_LAYER_TYPE } from '../../src/oci/delta-artifact.ts';
import { digestOf, parseDiffId, parseImageId } from '../../src/oci/digest.ts';
import { MEDIA, type Descriptor } from '../../src/oci/manifest.ts';
import type { FakeRegistry } from './fake-registry.ts';
import type { BuiltImage } from './image.ts';

/** Images in a registry that can be told to misbehave: REPOSITORY:TAG to image. */
export function offerImages(fake: FakeRegistry, images: Readonly<Record<string, BuiltImage>>): void {
  for (const [name, image] of Object.entries(images)) {
    const [repository = '', tag = ''] = name.split(':');
    for (const blob of [...image.layers, image.config]) fake.addBlob(blob.bytes, blob.mediaType);
    fake.addManifest(repository, tag, image.manifest);
  }
}

export interface OfferedDelta { artifact: Descriptor; annotations: Readonly<Record<string, string>>; layers: ReadonlyArray<{ digest: string; size: number; diffId: string }> }

/** Puts the delta's blobs and its manifest there; `spoil` may change the delta of a layer before it gets its name. */
export function offerDelta(fake: FakeRegistry, repository: string, { base, target, spoil = (bytes) => bytes }: { base: BuiltImage; target: BuiltImage; spoil?: (bytes: Buffer) => Buffer }): OfferedDelta {
  const sources = base.layers.map(({ bytes }, index) => ({ diffId: base.diffIds[index] ?? '', tar: viewOf(gunzipSync(bytes)) }));
  const maker = openVaquitaBase(sources, { memoryBytes: 256 << 20 });
  const layers = target.layers.flatMap(({ bytes }, index) => {
    const diffId = target.diffIds[index] ?? '';
    if (base.diffIds.includes(diffId)) return [];
    const tar = gunzipSync(bytes), pieces: Buffer[] = [];
    const made = maker.make({ diffId, tar: viewOf(tar) }, (piece, start, end) => { pieces.push(Buffer.from(piece.subarray(start, end))); });
    const { digest, size } = fake.addBlob(spoil(Buffer.concat(pieces)), DELTA_LAYER_TYPE);
    return [{ digest, size, diffId: parseDiffId(diffId), sources: made.sources.map(parseDiffId), targetBytes: tar.length }];
  });
  const built = buildDeltaArtifact({
    base: parseImageId(base.config.digest), target: parseImageId(target.config.digest), baseManifest: undefined, created: '2026-11-21T00:00:00Z',
    subject: { mediaType: target.manifest.mediaType, digest: digestOf(target.manifest.bytes), size: target.manifest.size }, layers,
  });
  return { artifact: fake.addManifest(repository, undefined, { bytes: built.bytes, mediaType: MEDIA.ociManifest }), annotations: built.annotations, layers };
}

/** What the referrers API answers, and what stands under the fallback tag. */
export const referrersList = (deltas: readonly OfferedDelta[]): Buffer => Buffer.from(JSON.stringify({
  schemaVersion: 2, mediaType: MEDIA.ociIndex,
  manifests: deltas.map(({ artifact: { mediaType, digest, size }, annotations }) => ({ mediaType, digest, size, artifactType: DELTA_ARTIFACT_TYPE, annotations })),
}));

/** The fallback tag of a registry without the referrers API. */
export function listDeltas(fake: FakeRegistry, repository: string, { target, deltas }: { target: BuiltImage; deltas: readonly OfferedDelta[] }): void {
  fake.addManifest(repository, target.manifest.digest.replace(':', '-'), { bytes: referrersList(deltas), mediaType: MEDIA.ociIndex });
}
