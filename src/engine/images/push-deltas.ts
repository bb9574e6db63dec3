// Our deltas to an image that was pushed: their blobs, then an artifact for each that refers to the image's manifest.
import { messageOf } from '../../lib/errors.ts';
import {
  buildDeltaArtifact, DELTA_ANNOTATIONS, DELTA_ARTIFACT_TYPE, EMPTY_BLOB, EMPTY_DESCRIPTOR, type DeltaArtifact,
} from '../../oci/delta-artifact.ts';
import { digestOf, isDigest, type Digest, type ImageId } from '../../oci/digest.ts';
import { MEDIA, type ImageConfig } from '../../oci/manifest.ts';
import { familiarName, type Reference } from '../../oci/reference.ts';
import type { DeltaRecord } from '../../store/index.ts';
import { humanSize } from '../../wire/units.ts';
import { layerProgress } from './progress.ts';
import { only, type Pushed, type PushingOptions } from './push-image.ts';
import type { PushLayerNeeds } from './push-layer.ts';

/** Where deltas go: beside which manifest, and what they are measured by. */
export interface DeltaPush { reference: Reference; target: ImageConfig; pushed: Pushed; options: PushingOptions }

/** All that are kept here. One that cannot be pushed is told of and left: the image itself is there. */
export async function pushDeltas(needs: PushLayerNeeds, push: DeltaPush): Promise<void> {
  const { target, options } = push;
  for (const record of needs.store.deltas.of(target.id)) {
    const id = lineOf(shownImage(needs, record.base));
    try {
      const { isNew } = await pushDelta(needs, push, { record, id });
      const sizes = `${humanSize(bytesOf(record))} instead of ${humanSize(wholeBytes(push, record))}`;
      options.onLine({ status: isNew ? `Pushed, ${sizes}` : `Already pushed, ${sizes}`, progressDetail: {}, id });
    } catch (error) {
      options.signal.throwIfAborted();
      needs.log.warn('a delta could not be pushed', { base: record.base, target: record.target, error });
      options.onLine({ status: `Not pushed: ${messageOf(error)}`, progressDetail: {}, id });
    }
  }
}

/** Pushes one, its progress told under `id`. `isNew` is false when the registry has this very artifact. */
export async function pushDelta(needs: PushLayerNeeds, { reference, pushed, options }: DeltaPush, { record, id }: { record: DeltaRecord; id: string }): Promise<{ isNew: boolean }> {
  const { registry, store } = needs;
  const { auth, signal } = options;
  const { bytes, annotations } = buildDeltaArtifact(artifactOf(needs, { reference, pushed, record }));
  const listed = await registry.referrers(reference, pushed.manifest.digest, { auth, signal, artifactType: DELTA_ARTIFACT_TYPE });
  const digest = digestOf(bytes);
  if (listed.some(({ descriptor }) => descriptor.digest === digest)) return { isNew: false };
  const tell = layerProgress(id, bytesOf(record), { now: () => needs.clock.monotonicMs(), onLine: (line) => options.onLine(line) });
  let sent = 0;
  for (const layer of record.layers) {
    const [before, blob] = [sent, { digest: layer.digest, sizeBytes: layer.sizeBytes }];
    await pushBlob(needs, { reference, options, ...blob, open: () => store.deltas.blob(record, layer.digest), onProgress: (bytesSent) => tell.moved('Pushing', before + bytesSent) });
    sent += layer.sizeBytes;
  }
  await pushBlob(needs, { reference, options, digest: EMPTY_DESCRIPTOR.digest, sizeBytes: EMPTY_BLOB.length, open: () => only(EMPTY_BLOB), onProgress() {} });
  signal.throwIfAborted();
  const sameBy = [DELTA_ANNOTATIONS.base, DELTA_ANNOTATIONS.target];
  await registry.putReferrer(reference, { subject: pushed.manifest.digest, mediaType: MEDIA.ociManifest, artifactType: DELTA_ARTIFACT_TYPE, bytes, annotations, sameBy }, { auth, signal });
  return { isNew: true };
}

interface BlobPush { reference: Reference; options: PushingOptions; digest: Digest; sizeBytes: number; open: () => AsyncIterable<Uint8Array>; onProgress(sentBytes: number): void }

async function pushBlob({ registry }: PushLayerNeeds, blob: BlobPush): Promise<void> {
  const { reference, digest, sizeBytes, options: { auth, signal } } = blob;
  if (await registry.blobSize(reference, digest, { auth, signal }) === sizeBytes) return;
  await registry.upload(reference, () => blob.open(), { auth, signal, digest, sizeBytes, onProgress: (sentBytes) => blob.onProgress(sentBytes) });
}

function artifactOf({ store }: PushLayerNeeds, { reference, pushed, record }: { reference: Reference; pushed: Pushed; record: DeltaRecord }): DeltaArtifact {
  return {
    base: record.base, target: record.target, created: record.created, subject: pushed.manifest, baseManifest: manifestIn(store.names.of(record.base), reference),
    layers: record.layers.map(({ digest, sizeBytes, diffId, sources, targetBytes }) => ({ digest, size: sizeBytes, diffId, sources, targetBytes })),
  };
}

/** The digest that an image is known by in the repository. */
function manifestIn(names: readonly string[], reference: Reference): Digest | undefined {
  const prefix = `${familiarName(reference)}@`;
  const digest = names.find((name) => name.startsWith(prefix))?.slice(prefix.length) ?? '';
  return isDigest(digest) ? digest : undefined;
}

/** What pulling the delta costs. */
export const bytesOf = (record: DeltaRecord): number => record.layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

/** What pulling those layers costs without it. */
export const wholeBytes = ({ pushed }: Pick<DeltaPush, 'pushed'>, record: DeltaRecord): number =>
  record.layers.reduce((sum, { diffId }) => sum + (pushed.sizes.get(diffId) ?? 0), 0);

/** What the lines about a delta are called. */
export const lineOf = (base: string): string => `Delta from ${base}`;

/** What people call an image: a tag of it, or else the start of its ID. */
const shownImage = ({ store }: Pick<PushLayerNeeds, 'store'>, id: ImageId): string => store.names.of(id).find((name) => !name.includes('@')) ?? id.slice('sha256:'.length, 'sha256:'.length + 12);
