// Reads layerdb at opening: which layers and writable snapshots there are, and which cannot be trusted.
import { corrupt, messageOf } from '../lib/errors.ts';
import { chainIds, digestOf, parseChainId, parseDiffId, type ChainId, type DiffId } from '../oci/digest.ts';
import type { Disk } from './disk.ts';
import { containerPath, diffPath, isHex64, isSnapshotId, layerPath, MODE, type Layout } from './layout.ts';
import type { ActiveRecord, LayerRecord, LayerState } from './layer-state.ts';
import { EMPTY, linksByTarget, mendedLink, mendLower } from './overlay.ts';
import { matching, needWord, parseSize, readWord } from './records.ts';
import { passOver, setAside, type Room } from './room.ts';

/** Snapshot directories that a record names, loaded or not: the sweep spares them. */
export type Referenced = Set<string>;

/** Longest chain that overlay2 mounts: 128 lower directories, of which a container and its init layer take some. */
export const MAX_CHAIN = 125;

export async function loadLayers(room: Room, state: LayerState): Promise<Referenced> {
  const referenced: Referenced = new Set();
  const found = new Map<ChainId, LayerRecord>();
  const links = linksByTarget(room);
  for (const name of room.disk.list(room.at.layers)) {
    if (!isHex64(name)) continue;
    const chainId = parseChainId(`sha256:${name}`);
    try {
      const layer = readLayer(room, chainId);
      referenced.add(layer.cacheId);
      layer.link = await mendedLink(room, layer.cacheId, links);
      found.set(chainId, layer);
    } catch (error) {
      // Out of the way, or the layer could never be made again: its name would be taken.
      room.report.unsure = true;
      await setAside(room, layerPath(room.at, chainId), messageOf(error));
    }
  }
  for (const layer of found.values()) admit(room, state, { found, layer });
  for (const layer of state.layers.values()) await mendLower(room, layer.cacheId, state.links(layer.parent) ?? []);
  return referenced;
}

export async function loadActives(room: Room, state: LayerState, referenced: Referenced): Promise<void> {
  const links = linksByTarget(room);
  for (const name of room.disk.list(room.at.mounts)) {
    if (!isSnapshotId(name)) continue;
    const path = `${room.at.mounts}/${name}`;
    try {
      const active = readActive(room, name, referenced);
      active.link = await mendedLink(room, active.mountId, links);
      if (active.init) active.init.link = await mendedLink(room, active.init.id, links);
      state.actives.set(name, active);
      await mendActive(room, state, active);
    } catch (error) {
      if (isOrphan(room, name)) {
        await setAside(room, path, messageOf(error));
      } else { // it tells where a container's files are, so it stays, and the sweep has to wait
        room.report.unsure = true;
        passOver(room, path, messageOf(error));
      }
    }
  }
}

/**
 * Whether a writable snapshot is nobody's: its container was created or removed by half. A container that was set aside keeps its
 * files, and BuildKit's snapshots, which have other names, are not ours to judge.
 */
export function isOrphan({ disk, at }: Room, name: string): boolean {
  return isHex64(name) && disk.kind(containerPath(at, name)) === undefined && !disk.list(at.quarantine).some((aside) => aside.includes(name));
}

/** As its record has it, its link apart. Error: corrupt. */
export function readLayer({ disk, at }: { disk: Pick<Disk, 'read' | 'kind'>; at: Layout }, chainId: ChainId): LayerRecord {
  const path = layerPath(at, chainId);
  const diffId = needWord(disk, `${path}/diff`, parseDiffId);
  const parent = readWord(disk, `${path}/parent`, parseChainId);
  if (chainOn(parent, diffId) !== chainId) throw corrupt(`${path}: diff and parent do not make up its name`);
  const cacheId = needWord(disk, `${path}/cache-id`, matching(isSnapshotId, 'snapshot'));
  const sizeBytes = needWord(disk, `${path}/size`, parseSize);
  if (disk.kind(diffPath(at, cacheId)) !== 'directory') throw corrupt(`${path}: its snapshot ${cacheId} is missing`);
  return { chainId, diffId, parent, cacheId, sizeBytes, diffPath: diffPath(at, cacheId), link: '' };
}

/** ChainID of a layer on its parent. */
export const chainOn = (parent: ChainId | undefined, diffId: DiffId): ChainId =>
  parent === undefined ? chainIds([diffId])[0] ?? parseChainId(diffId) : parseChainId(digestOf(`${parent} ${diffId}`));

/** Takes a layer into the state after everything below it; one whose parent is missing stays on the disk, unseen, until it is made again. */
function admit(room: Room, state: LayerState, { found, layer }: { found: Map<ChainId, LayerRecord>; layer: LayerRecord }): void {
  const pending: LayerRecord[] = [];
  for (let at: LayerRecord | undefined = layer; at && !state.layers.has(at.chainId); at = at.parent && found.get(at.parent)) pending.push(at);
  for (const next of pending.toReversed()) {
    if (next.parent === undefined || state.layers.has(next.parent)) state.layers.set(next.chainId, next);
    else if (next === layer) passOver(room, layerPath(room.at, next.chainId), `the layer below it, ${next.parent}, is missing or damaged`);
  }
}

function readActive({ disk, at }: Room, containerId: string, referenced: Referenced): ActiveRecord {
  const path = `${at.mounts}/${containerId}`;
  const snapshot = matching(isSnapshotId, 'snapshot');
  const mountId = needWord(disk, `${path}/mount-id`, snapshot);
  referenced.add(mountId);
  const initId = readWord(disk, `${path}/init-id`, snapshot);
  if (initId !== undefined) referenced.add(initId);
  const parent = readWord(disk, `${path}/parent`, parseChainId);
  if (disk.kind(diffPath(at, mountId)) !== 'directory') throw corrupt(`${path}: its snapshot ${mountId} is missing`);
  return { containerId, mountId, link: '', init: initId === undefined ? undefined : { id: initId, link: '' }, parent };
}

/** Makes again whatever of a writable snapshot can be made again: Docker writes none of it durably. */
async function mendActive(room: Room, state: LayerState, active: ActiveRecord): Promise<void> {
  const { disk, at } = room;
  const below = state.links(active.parent);
  if (!below) return; // its image has to be pulled again first
  if (active.init && disk.kind(diffPath(at, active.init.id)) === 'directory') await mendLower(room, active.init.id, below);
  const links = active.init ? [active.init.link, ...below] : below;
  await mendLower(room, active.mountId, links);
  await disk.mkdir(`${at.overlay}/${active.mountId}/work`, MODE.private);
  await disk.mkdir(`${at.overlay}/${active.mountId}/merged`, MODE.private);
  if (links.length === 0) await disk.mkdir(`${at.overlay}/${active.mountId}/${EMPTY}`, MODE.diff);
}
