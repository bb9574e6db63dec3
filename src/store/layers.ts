// The layer store: what is committed, what containers write to, and the way from bytes to either.
import type { Files, Mounts } from '../kernel/index.ts';
import { createActive, mountOf, removeActive, treeSizeBytes } from './active.ts';
import { collectLayers } from './collect.ts';
import type { LayerStore } from './index.ts';
import { loadActives, loadLayers, type Referenced } from './layer-load.ts';
import { LayerState } from './layer-state.ts';
import { tarSplitPath } from './layout.ts';
import type { Room } from './room.ts';
import { stageLayer, type Extraction } from './staging.ts';
import { layerTar } from './tarsplit.ts';
import { verifyLayer } from './verify.ts';
import { notFound } from '../lib/errors.ts';
import type { ChainId } from '../oci/digest.ts';

/** Headers come in pieces of 512 bytes: together they cost the reader less. */
const TAR_CHUNK_BYTES = 128 * 1024;

export interface OpenedLayers {
  store: LayerStore;
  state: LayerState;
  /** Snapshots that some record names, for the sweep. */
  referenced: Referenced;
  collect(imageRoots: () => Iterable<ChainId>): Promise<ChainId[]>;
}

export async function openLayers(room: Room, { extractors, mounts, files }: { extractors: Extraction; mounts: Pick<Mounts, 'list'>; files: Pick<Files, 'dropCache'> }): Promise<OpenedLayers> {
  const state = new LayerState();
  const referenced = await loadLayers(room, state);
  await loadActives(room, state, referenced);
  const needs = { room, state, mounts };
  const store: LayerStore = {
    get: (chainId) => state.layers.get(chainId),
    list: () => [...state.layers.values()],
    stage: (layer) => stageLayer({ room, state, extractors }, layer),
    tar: (chainId) => tarOf({ room, state, files }, chainId),
    lease: (chainIds) => state.lease(chainIds),
    createActive: (containerId, options) => createActive(needs, containerId, options),
    active(containerId) {
      const active = state.actives.get(containerId);
      return active && mountOf(needs, active);
    },
    removeActive: (containerId) => removeActive(needs, containerId),
    async activeSizeBytes(containerId) {
      const active = state.actives.get(containerId);
      return active ? await treeSizeBytes(`${room.at.overlay}/${active.mountId}/diff`) : 0;
    },
    files(chainId) {
      const layer = state.layers.get(chainId);
      return layer && { diffId: layer.diffId, diffPath: layer.diffPath, tarSplitPath: tarSplitPath(room.at, chainId) };
    },
    tarSplitPath: (chainId) => tarSplitPath(room.at, chainId),
    async verify(chainId, options) {
      const layer = state.layers.get(chainId);
      if (!layer) throw notFound(`No such layer: ${chainId}`);
      using _keeps = state.lease([chainId]);
      return await verifyLayer(layer, { tarSplitPath: tarSplitPath(room.at, chainId), clock: room.clock, signal: options?.signal });
    },
  };
  return { store, state, referenced, collect: (imageRoots) => collectLayers({ room, state, imageRoots }) };
}

async function* tarOf({ room, state, files }: { room: Room; state: LayerState; files: Pick<Files, 'dropCache'> }, chainId: ChainId): AsyncGenerator<Uint8Array> {
  using _keeps = state.lease([chainId]);
  const layer = state.layers.get(chainId);
  if (!layer) throw notFound(`no such layer: ${chainId}`);
  let pieces: Buffer[] = [];
  let sizeBytes = 0;
  for (const piece of layerTar(tarSplitPath(room.at, chainId), layer.diffPath, (fd) => files.dropCache(fd))) {
    pieces.push(Buffer.from(piece)); // its memory is used again
    sizeBytes += piece.length;
    if (sizeBytes < TAR_CHUNK_BYTES) continue;
    yield Buffer.concat(pieces);
    pieces = [];
    sizeBytes = 0;
  }
  if (sizeBytes > 0) yield Buffer.concat(pieces);
}
