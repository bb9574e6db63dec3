// An image becomes what a registry has: top layer first, those that it lacks, then the config, and the manifest under its name last.
import { corrupt, kindOf } from '../../lib/errors.ts';
import type { Limiter } from '../../lib/lock.ts';
import { chainIds, digestOf, type DiffId } from '../../oci/digest.ts';
import { MEDIA, type Descriptor, type ImageConfig } from '../../oci/manifest.ts';
import { DEFAULT_TAG, familiarWithDigest, type Reference } from '../../oci/reference.ts';
import type { LayerInfo } from '../../store/index.ts';
import type { TransferFace } from '../index.ts';
import { holdLayers } from './held.ts';
import { pushLayer, shortId, type PushLayerNeeds } from './push-layer.ts';

/** What a push of one image needs to know besides the image. */
export type PushingOptions = Pick<Parameters<TransferFace['push']>[1], 'auth' | 'signal' | 'onLine'>;

/** What the registry has now: the manifest, and how long each layer is there. */
export interface Pushed { manifest: Descriptor; sizes: ReadonlyMap<DiffId, number> }

/** `reference` has a tag. `slots`: layers sent at the same time, over all pushes. */
export interface Pushing { reference: Reference; config: ImageConfig; options: PushingOptions; slots: Limiter }

export async function pushImage(needs: PushLayerNeeds, push: Pushing): Promise<Pushed> {
  const { reference, config, options } = push;
  const { store, registry } = needs;
  const { auth, signal, onLine } = options;
  const chain = chainIds(config.diffIds);
  await using _held = holdLayers(needs, chain);
  const layers = chain.map((chainId) => {
    const layer = store.layers.get(chainId);
    if (!layer) throw corrupt(`layer ${chainId} of image ${config.id} is not here`);
    return layer;
  });
  const configThere = registry.blobSize(reference, digestOf(config.bytes), { auth, signal });
  // Whether anyone is there is said before anything is prepared, all refusals after it, as with Docker.
  await configThere.catch((error: unknown) => { if (kindOf(error) === 'unavailable') throw error; });
  const descriptors = await pushLayers(needs, push, layers);
  const configBlob = await pushConfig(needs, push, await configThere);
  signal.throwIfAborted();
  const bytes = manifestOf(configBlob, descriptors);
  const tag = reference.tag ?? DEFAULT_TAG;
  const { digest } = await registry.putManifest(reference, { at: tag, mediaType: MEDIA.dockerManifest, bytes }, { auth, signal });
  const byDigest = familiarWithDigest(reference, digest);
  {
    using _turn = await needs.turn.hold();
    const isHere = store.images.get(config.id) !== undefined; // it may have been removed since
    if (isHere && store.names.get(byDigest) !== config.id) await store.names.update({ set: [[byDigest, config.id]] });
  }
  onLine({ status: `${tag}: digest: ${digest} size: ${bytes.length}` });
  onLine({ progressDetail: {}, aux: { Tag: tag, Digest: digest, Size: bytes.length } });
  return { manifest: { mediaType: MEDIA.dockerManifest, digest, size: bytes.length }, sizes: new Map(layers.map(({ diffId }, i) => [diffId, descriptors[i]?.size ?? 0])) };
}

/** Top layer first, as Docker does; one that stands in an image twice is sent once. The result is in the order of the image. */
async function pushLayers(needs: PushLayerNeeds, { reference, options, slots }: Pushing, layers: readonly LayerInfo[]): Promise<Descriptor[]> {
  const own = new AbortController(); // one layer's failure stops the others of this push
  const signal = AbortSignal.any([options.signal, own.signal]);
  for (const { diffId } of layers.toReversed()) options.onLine({ status: 'Preparing', progressDetail: {}, id: shortId(diffId) });
  const work = new Map<DiffId, Promise<Descriptor>>();
  for (const layer of layers.toReversed()) {
    if (work.has(layer.diffId)) continue;
    if (slots.isFull) options.onLine({ status: 'Waiting', progressDetail: {}, id: shortId(layer.diffId) });
    const pushing = pushLayer(needs, { reference, layer, auth: options.auth, signal, slots, onLine: (line) => options.onLine(line) });
    pushing.catch((error: unknown) => own.abort(error));
    work.set(layer.diffId, pushing);
  }
  await Promise.allSettled(work.values());
  options.signal.throwIfAborted();
  if (own.signal.aborted) throw own.signal.reason;
  const done: Descriptor[] = [];
  for (const { diffId } of layers) done.push(await work.get(diffId) ?? unknownLayer(diffId));
  return done;
}

function unknownLayer(diffId: DiffId): never { throw corrupt(`layer ${diffId} was not pushed`); }

async function pushConfig({ registry }: PushLayerNeeds, { reference, config, options }: Pushing, thereBytes: number | undefined): Promise<Descriptor> {
  const { auth, signal } = options;
  const { bytes } = config;
  const digest = digestOf(bytes);
  if (thereBytes !== bytes.length) await registry.upload(reference, () => only(bytes), { auth, signal, digest, sizeBytes: bytes.length });
  return { mediaType: MEDIA.dockerConfig, digest, size: bytes.length };
}

// eslint-disable-next-line typescript/require-await
export async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> { yield bytes; }

/** Byte for byte what dockerd would push for the same blobs. */
function manifestOf(config: Descriptor, layers: readonly Descriptor[]): Uint8Array {
  const named = ({ mediaType, size, digest }: Descriptor) => ({ mediaType, size, digest });
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.dockerManifest, config: named(config), layers: layers.map(named) }, null, 3));
}
