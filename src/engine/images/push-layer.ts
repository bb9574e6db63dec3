// One layer on its way to a registry: what is there already is named, what another repository has is lent, only the rest is sent.
import { gzipped } from '../../archive/gzip-stream.ts';
import { detectPacking, openInflater } from '../../archive/compress.ts';
import type { Clock } from '../../lib/clock.ts';
import { kindOf, messageOf } from '../../lib/errors.ts';
import type { Limiter } from '../../lib/lock.ts';
import type { Log } from '../../lib/log.ts';
import { hexOf, type Digest, type DiffId } from '../../oci/digest.ts';
import { MEDIA, type Descriptor } from '../../oci/manifest.ts';
import { canonicalName, parseReference, type Reference } from '../../oci/reference.ts';
import type { Registry } from '../../registry/index.ts';
import type { LayerInfo, Store } from '../../store/index.ts';
import type { ProgressLine, RegistryAuth } from '../../wire/types.ts';
import type { NamingTurn } from './held.ts';
import { layerProgress, type LayerProgress } from './progress.ts';

export interface PushLayerNeeds extends NamingTurn { store: Store; registry: Registry; clock: Clock; log: Log }

export interface LayerPush {
  reference: Reference;
  layer: LayerInfo;
  auth: RegistryAuth | undefined;
  signal: AbortSignal;
  /** Layers sent at the same time, over all pushes. */
  slots: Limiter;
  onLine(line: ProgressLine): void;
}

/** How many recorded blobs are looked for, and how many repositories are asked to lend one: each is a request. */
const MAX_LOOKS = 4;
/** How much of a tar is compared: its first header. */
const HEAD_BYTES = 512;

interface Source { digest: Digest; repository: string; isOwn: boolean }

/** Resolves with the layer as the manifest will name it. */
export async function pushLayer(needs: PushLayerNeeds, push: LayerPush): Promise<Descriptor> {
  const tell = layerProgress(shortId(push.layer.diffId), push.layer.sizeBytes, { now: () => needs.clock.monotonicMs(), onLine: (line) => push.onLine(line) });
  using _slot = await push.slots.hold({ signal: push.signal });
  const here = canonicalName(push.reference);
  const sources = sourcesOf(needs, push);
  return await findThere(needs, push, { tell, sources: sources.filter(({ repository }) => repository === here) })
    ?? await mountThere(needs, push, { tell, sources })
    ?? await findThere(needs, push, { tell, sources: sources.filter(({ repository }) => repository !== here) })
    ?? await send(needs, push, tell);
}

/** How a layer is called in the lines of a push. */
export const shortId = (diffId: DiffId): string => hexOf(diffId).slice(0, 12);

/** Recorded blobs of the layer, newest first. */
const sourcesOf = ({ store }: PushLayerNeeds, { layer }: LayerPush): Source[] =>
  store.distribution.sourcesOf(layer.diffId).filter(({ digest }) => store.distribution.diffIdOf(digest) === layer.diffId).toReversed();

interface Looking { tell: LayerProgress; sources: readonly Source[] }

async function findThere(needs: PushLayerNeeds, push: LayerPush, { tell, sources }: Looking): Promise<Descriptor | undefined> {
  const { reference, auth, signal } = push;
  const firsts = sources.filter(({ digest }, i) => sources.findIndex((other) => other.digest === digest) === i);
  for (const source of firsts.slice(0, MAX_LOOKS)) {
    const size = await needs.registry.blobSize(reference, source.digest, { auth, signal });
    const found = size === undefined ? undefined : await believed(needs, push, { source, size });
    if (!found) continue;
    tell.status('Layer already exists');
    await record(needs, push, source.digest);
    return found;
  }
  return undefined;
}

async function mountThere(needs: PushLayerNeeds, push: LayerPush, { tell, sources }: Looking): Promise<Descriptor | undefined> {
  const { reference, auth, signal } = push;
  const lenders = sources.flatMap((source) => {
    const from = parsed(source.repository);
    return from && from.registry === reference.registry && from.path !== reference.path ? [{ source, from: from.path }] : [];
  });
  for (const { source, from } of lenders.slice(0, MAX_LOOKS)) {
    if (!await needs.registry.mountBlob(reference, source.digest, { auth, signal, from })) continue;
    const size = await needs.registry.blobSize(reference, source.digest, { auth, signal });
    const found = size === undefined ? undefined : await believed(needs, push, { source, size });
    if (!found) continue;
    tell.status(`Mounted from ${from}`);
    await record(needs, push, source.digest);
    return found;
  }
  return undefined;
}

function parsed(repository: string): Reference | undefined {
  try { return parseReference(repository); } catch { return undefined; }
}

/**
 * The blob as the manifest may name it. What an older engine recorded is looked at first: balenaEngine records deltas as if they were the
 * layers they make, and a manifest that names one is an image that nobody can pull.
 */
async function believed(needs: PushLayerNeeds, push: LayerPush, { source, size }: { source: Source; size: number }): Promise<Descriptor | undefined> {
  const blob = { mediaType: MEDIA.dockerLayerGzip, digest: source.digest, size };
  if (source.isOwn) return blob;
  try {
    const [theirs, ours] = await Promise.all([headOfBlob(needs, push, blob), headOf(needs.store.layers.tar(push.layer.chainId))]);
    if (theirs !== undefined && theirs.equals(ours)) return blob;
    needs.log.info('a recorded blob is not the layer: it is uploaded anew', { layer: push.layer.chainId, blob: source.digest });
  } catch (error) {
    push.signal.throwIfAborted();
    if (kindOf(error) !== 'corrupt') throw error;
    needs.log.info('a recorded blob cannot be read: the layer is uploaded anew', { layer: push.layer.chainId, blob: source.digest, reason: messageOf(error) });
  }
  return undefined;
}

/** The first bytes that a blob unpacks to; undefined when it is not packed with gzip. */
async function headOfBlob({ registry }: PushLayerNeeds, { reference, auth, signal }: LayerPush, blob: Descriptor): Promise<Buffer | undefined> {
  const head: Buffer[] = [];
  let bytes = 0, isFirst = true;
  const codec = openInflater('gzip', { buffer: Buffer.alloc(4096), output: (from, start, end) => {
    if (bytes < HEAD_BYTES) head.push(Buffer.from(from.subarray(start, Math.min(end, start + HEAD_BYTES - bytes))));
    bytes += end - start;
  } });
  try {
    for await (const chunk of registry.blob(reference, blob, { auth, signal })) {
      if (isFirst && detectPacking(chunk) !== 'gzip') return undefined;
      isFirst = false;
      codec.write(Buffer.from(chunk.buffer, chunk.byteOffset, Math.min(chunk.length, HEAD_BYTES * 8)));
      if (bytes >= HEAD_BYTES || chunk.length > HEAD_BYTES * 8) break;
    }
  } finally { codec.close(); }
  return Buffer.concat(head);
}

async function headOf(tar: AsyncIterable<Uint8Array>): Promise<Buffer> {
  for await (const chunk of tar) return Buffer.from(chunk.subarray(0, HEAD_BYTES));
  return Buffer.alloc(0);
}

async function send(needs: PushLayerNeeds, push: LayerPush, tell: LayerProgress): Promise<Descriptor> {
  const { reference, layer, auth, signal } = push;
  const { digest, size } = await needs.registry.upload(reference, () => gzipped(shown(needs.store.layers.tar(layer.chainId), layer, tell)), {
    auth, signal,
    onRetry: ({ waitMs }) => tell.status(`Retrying in ${Math.max(1, Math.round(waitMs / 1000))} second${waitMs >= 1500 ? 's' : ''}`),
  });
  tell.status('Pushed');
  await record(needs, push, digest);
  return { mediaType: MEDIA.dockerLayerGzip, digest, size };
}

/** Counts what goes in: how long the packed layer will be, nobody knows. */
async function* shown(tar: AsyncIterable<Uint8Array>, layer: LayerInfo, tell: LayerProgress): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of tar) {
    bytes += chunk.length;
    yield chunk;
    // Headers are not in the total: the last of it is told once, at the end.
    if (layer.sizeBytes > 0) tell.moved('Pushing', Math.min(bytes, layer.sizeBytes - 1));
  }
  if (layer.sizeBytes > 0) tell.moved('Pushing', layer.sizeBytes);
}

const record = ({ store }: PushLayerNeeds, { layer, reference }: LayerPush, digest: Digest): Promise<void> => store.distribution.record(layer.diffId, digest, canonicalName(reference));
