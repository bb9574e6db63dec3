// The layer store: what is committed, what containers write to, and the way from bytes to either.
import type { Files, Mounts } from '../kernel/index.ts';
import { createActive, mountOf, removeActive, treeSizeBytes } from './active.ts';
import { collectLayers } from './collect.ts';
import type { LayerStore } from './index.ts';
import { KeptLayers } from './kept.ts';
import { loadActives, loadLayers, type Referenced } from './layer-load.ts';
import { LayerState } from './layer-state.ts';
import { tarSplitPath } from './layout.ts';
import type { Room } from './room.ts';
import { stageKept, stageLayer, type Extraction } from './staging.ts';
import { layerTarChunks, readTarSplit } from './tarsplit.ts';
import { verifyLayer } from './verify.ts';
import { notFound } from '../lib/errors.ts';
import type { ChainId } from '../oci/digest.ts';

export interface OpenedLayers {
  store: LayerStore;
  state: LayerState;
  kept: KeptLayers;
  /** Snapshots that some record names, for the sweep. */
  referenced: Referenced;
  collect(imageRoots: () => Iterable<ChainId>): Promise<ChainId[]>;
}

export async function openLayers(room: Room, { extractors, mounts, files }: { extractors: Extraction; mounts: Pick<Mounts, 'list'>; files: Pick<Files, 'dropCache'> }): Promise<OpenedLayers> {
  const state = new LayerState();
  const referenced = await loadLayers(room, state);
  await loadActives(room, state, referenced);
  const needs = { room, state, mounts };
  const kept = new KeptLayers(room);
  const staging = { room, state, kept, extractors, files };
  const store: LayerStore = {
    get: (chainId) => state.layers.get(chainId),
    list: () => [...state.layers.values()],
    stage: (layer) => stageLayer(staging, layer),
    kept: {
      has: (diffId) => kept.has(diffId),
      sizeBytes: () => kept.sizeBytes(),
      stage: (diffId, options) => stageKept(staging, diffId, options),
      clear: () => kept.clear(),
      get clearedBytes() { return kept.clearedBytes; },
    },
    tar: (chainId) => tarOf({ room, state, files }, chainId),
    tarSizeBytes: (chainId) => tarSizeOf({ room, state, files }, chainId),
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
  return { store, state, kept, referenced, collect: (imageRoots) => collectLayers({ room, state, imageRoots }) };
}

type TarNeeds = { room: Room; state: LayerState; files: Pick<Files, 'dropCache'> };

/** Lines of a tar-split that are read in one go: some 20 ms of the daemon's thread on a small device. */
const LINES_IN_ONE_GO = 1000;

async function tarSizeOf({ room, state, files }: TarNeeds, chainId: ChainId): Promise<number> {
  using _keeps = state.lease([chainId]);
  if (!state.layers.has(chainId)) throw notFound(`no such layer: ${chainId}`);
  let sizeBytes = 0, lines = 0;
  for (const entry of readTarSplit(tarSplitPath(room.at, chainId), (fd) => files.dropCache(fd))) {
    sizeBytes += entry.type === 'segment' ? entry.bytes.length : entry.sizeBytes;
    if (++lines % LINES_IN_ONE_GO === 0) await new Promise((resolve) => { setImmediate(resolve); });
  }
  return sizeBytes;
}

// eslint-disable-next-line typescript/require-await -- reading is synchronous, what takes it is not
async function* tarOf({ room, state, files }: TarNeeds, chainId: ChainId): AsyncGenerator<Uint8Array> {
  using _keeps = state.lease([chainId]);
  const layer = state.layers.get(chainId);
  if (!layer) throw notFound(`no such layer: ${chainId}`);
  yield* layerTarChunks(tarSplitPath(room.at, chainId), layer.diffPath, (fd) => files.dropCache(fd));
}
