// What opening throws away: the traces of whatever was under way when the last daemon ended.
import { messageOf } from '../lib/errors.ts';
import type { Mounts } from '../kernel/index.ts';
import { directoryOf, STAGED_PREFIX } from './disk.ts';
import { readKept, type KeptLayers } from './kept.ts';
import { isOrphan, type Referenced } from './layer-load.ts';
import type { LayerState } from './layer-state.ts';
import { isHex64, isSnapshotId } from './layout.ts';
import { matching, readWord } from './records.ts';
import { moveToRemoved, type Room } from './room.ts';

export interface SweepNeeds { room: Room; state: LayerState; kept: KeptLayers; referenced: Referenced; mounts: Pick<Mounts, 'list'> }

/**
 * Moves everything that nobody needs out of the way and gives it back to be erased, which may take long and can happen behind the
 * opened store. Must run before anything is staged.
 */
export async function sweep(needs: SweepNeeds): Promise<string[]> {
  const { room } = needs;
  const mounted = new Set(needs.mounts.list().map(({ target }) => target));
  const inUse = (id: string) => mounted.has(`${room.at.overlay}/${id}/merged`);
  await sweepOrphans(needs, inUse);
  await sweepWriteSets(needs);
  await sweepSnapshots(needs, inUse);
  await sweepLinks(room);
  await sweepStagedFiles(room);
  for (const name of room.disk.list(room.at.own)) if (name.startsWith('new-')) await away(room, `${room.at.own}/${name}`);
  return room.disk.list(room.at.removed).map((name) => `${room.at.removed}/${name}`);
}

async function sweepOrphans({ room, state, referenced }: SweepNeeds, inUse: (id: string) => boolean): Promise<void> {
  const { at, report } = room;
  if (report.unsure) return;
  for (const active of state.actives.values()) {
    const { containerId, mountId, init } = active;
    if (!isOrphan(room, containerId) || inUse(mountId)) continue;
    if (!(await away(room, `${at.mounts}/${containerId}`))) continue;
    state.actives.delete(containerId);
    referenced.delete(mountId);
    if (init) referenced.delete(init.id);
  }
}

/** Docker's protocol: a write-set names the snapshot that was to belong to it, so that both go. Whole layers stay for the next pull. */
async function sweepWriteSets({ room, kept, referenced }: SweepNeeds): Promise<void> {
  const { at, disk } = room;
  for (const name of disk.list(at.tmp)) {
    const path = `${at.tmp}/${name}`;
    const layer = readKept(room, name);
    if (layer && !referenced.has(layer.cacheId) && !kept.has(layer.diffId)) {
      room.log.info('a whole layer of a pull that did not end is kept', { layer: layer.diffId, sizeBytes: layer.sizeBytes });
      referenced.add(layer.cacheId);
      await kept.put(layer);
      continue;
    }
    for (const file of ['cache-id', 'mount-id', 'init-id']) {
      const id = snapshotIn(room, `${path}/${file}`);
      if (id !== undefined && !referenced.has(id)) await away(room, `${at.overlay}/${id}`);
    }
    await away(room, path);
  }
}

/** Snapshots that no record names. Only names of Docker's form: BuildKit keeps its own, under shorter ones, in its own database. */
async function sweepSnapshots({ room, referenced }: SweepNeeds, inUse: (id: string) => boolean): Promise<void> {
  const { at, disk, report, log } = room;
  const unreferenced = disk.list(at.overlay).filter((name) => isHex64(name.replace(/-init$/, '')) && !referenced.has(name));
  if (unreferenced.length === 0) return;
  if (report.unsure) {
    log.warn('unreferenced snapshots kept, since a record that may need them could not be read', { count: unreferenced.length });
    return;
  }
  for (const name of unreferenced) if (!inUse(name)) await away(room, `${at.overlay}/${name}`);
}

async function sweepLinks(room: Room): Promise<void> {
  const { at, disk } = room;
  for (const name of disk.list(at.links)) {
    const target = disk.readLink(`${at.links}/${name}`);
    const id = target === undefined ? undefined : /^\.\.\/([^/]+)\/diff$/.exec(target)?.[1];
    if (id === undefined || disk.kind(`${at.overlay}/${id}`) !== undefined) continue;
    await disk.remove(`${at.links}/${name}`);
    room.report.swept.push(`${at.links}/${name}`);
  }
}

/** Files that were about to take another one's place. Those of images and containers go where these are read. */
async function sweepStagedFiles(room: Room): Promise<void> {
  const { at, disk } = room;
  for (const directory of [directoryOf(at.repositories), at.blobsByDiffId, at.diffIdsByBlob]) {
    for (const name of disk.list(directory)) if (name.startsWith(STAGED_PREFIX)) await away(room, `${directory}/${name}`);
  }
}

/** One thing that resists is no reason not to start. */
async function away(room: Room, path: string): Promise<boolean> {
  try {
    if ((await moveToRemoved(room, path)) === undefined) return false;
    room.report.swept.push(path);
    return true;
  } catch (error) {
    room.log.warn('could not sweep, will try at the next start', { path, reason: messageOf(error) });
    return false;
  }
}

function snapshotIn({ disk }: Room, path: string): string | undefined {
  try {
    return readWord(disk, path, matching(isSnapshotId, 'snapshot'));
  } catch {
    return undefined; // then the sweep of unreferenced snapshots finds it
  }
}
