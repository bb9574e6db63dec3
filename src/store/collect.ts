// Removes the layers that nothing needs: images, writable snapshots, leases and what is being staged are the roots.
import type { ChainId } from '../oci/digest.ts';
import type { LayerRecord, LayerState } from './layer-state.ts';
import { layerPath } from './layout.ts';
import { erase, type Room } from './room.ts';

/** Layers that no root stands on, children before their parents. Pure. */
export function decideCollect(layers: ReadonlyMap<ChainId, LayerRecord>, roots: Iterable<ChainId>): LayerRecord[] {
  const needed = new Set<ChainId>();
  for (const root of roots) {
    for (let at: ChainId | undefined = root; at !== undefined && !needed.has(at); at = layers.get(at)?.parent) needed.add(at);
  }
  const depths = new Map<ChainId, number>();
  const depthOf = (layer: LayerRecord): number => {
    const path: LayerRecord[] = [];
    let at: LayerRecord | undefined = layer;
    for (; at && !depths.has(at.chainId); at = at.parent === undefined ? undefined : layers.get(at.parent)) path.push(at);
    let depth = at ? depths.get(at.chainId) ?? 0 : 0;
    for (const next of path.toReversed()) depths.set(next.chainId, ++depth);
    return depth;
  };
  return [...layers.values()].filter(({ chainId }) => !needed.has(chainId)).toSorted((a, b) => depthOf(b) - depthOf(a));
}

export interface CollectNeeds { room: Room; state: LayerState; imageRoots: () => Iterable<ChainId> }

/**
 * Each victim's record is first moved to where a power cut leaves it as something to sweep; one sync makes that final for all
 * of them, and only then are files deleted. Deciding and forgetting happen in one go, so that nobody can lease what is leaving.
 */
export async function collectLayers({ room, state, imageRoots }: CollectNeeds): Promise<ChainId[]> {
  const { disk, at, clock } = room;
  const { victims, moved } = await state.exclusively(async () => {
    const going = decideCollect(state.layers, roots(state, imageRoots));
    for (const { chainId } of going) state.layers.delete(chainId);
    const writeSets: string[] = [];
    for (const { chainId } of going) {
      const writeSet = `${at.tmp}/write-set-${clock.randomHex(8)}`;
      await disk.rename(layerPath(at, chainId), writeSet);
      writeSets.push(writeSet);
    }
    if (going.length > 0) await disk.syncDir(at.layers);
    return { victims: going, moved: writeSets };
  });
  for (const { cacheId, link } of victims) {
    await erase(room, [`${at.overlay}/${cacheId}`, `${at.links}/${link}`]);
  }
  await erase(room, moved);
  return victims.map(({ chainId }) => chainId);
}

function* roots(state: LayerState, imageRoots: () => Iterable<ChainId>): Iterable<ChainId> {
  yield* imageRoots();
  yield* state.leased();
  for (const { parent } of state.actives.values()) if (parent !== undefined) yield parent;
  for (const { parent } of state.staged) if (parent !== undefined) yield parent;
}
