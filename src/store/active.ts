// Writable snapshots: made durably for a container, found again at every start, removed with it.
import { lstat, opendir } from 'node:fs/promises';
import { conflict, errnoOf, notFound } from '../lib/errors.ts';
import type { Mounts } from '../kernel/index.ts';
import type { ChainId } from '../oci/digest.ts';
import type { OverlayMount } from './index.ts';
import type { ActiveRecord, LayerState } from './layer-state.ts';
import { isSnapshotId, MODE } from './layout.ts';
import { EMPTY, makeSnapshot, newLinkId, newSnapshotId, overlayMount } from './overlay.ts';
import { erase, moveToRemoved, own, type Room } from './room.ts';

export interface ActiveNeeds { room: Room; state: LayerState; mounts: Pick<Mounts, 'list'> }

/** The snapshot as a mount; undefined while a layer below it is missing. */
export function mountOf({ room, state }: ActiveNeeds, active: ActiveRecord): OverlayMount | undefined {
  const chain = state.chain(active.parent);
  if (!chain) return undefined;
  const below = chain.map(({ cacheId, link }) => ({ id: cacheId, link }));
  return overlayMount(room.at, active.mountId, active.init ? [active.init, ...below] : below);
}

/**
 * Makes the snapshot, syncs what it is made of, and only then gives it its name in layerdb/mounts: a power cut leaves all of it or
 * something that the next opening sweeps. File by file, because one syncfs would also wait for everything else that is being written.
 */
export async function createActive(needs: ActiveNeeds, containerId: string, options: { parent: ChainId | undefined; init: boolean }): Promise<OverlayMount> {
  const { room, state } = needs;
  if (!isSnapshotId(containerId)) throw new Error(`no name for a snapshot: ${JSON.stringify(containerId)}`);
  using _keepsParent = state.lease(options.parent === undefined ? [] : [options.parent]);
  if (state.actives.has(containerId)) throw conflict(`container ${containerId} already has a writable snapshot`);
  const below = state.chain(options.parent)?.map(({ link }) => link);
  if (!below) throw notFound(`layer ${options.parent ?? ''} is missing or damaged: pull its image again`);

  const mountId = newSnapshotId(room.clock);
  const init = options.init ? { id: `${mountId}-init`, link: newLinkId(room.clock) } : undefined;
  const active: ActiveRecord = { containerId, mountId, link: newLinkId(room.clock), init, parent: options.parent };
  const writeSet = `${room.at.tmp}/write-set-${mountId.slice(0, 16)}`;

  await using undo = new AsyncDisposableStack();
  undo.defer(() => discardActive(room, active, writeSet));
  await makeActive(room, active, { below, writeSet });
  await syncActive(room, active, writeSet);
  await state.exclusively(() => room.disk.rename(writeSet, `${room.at.mounts}/${containerId}`));
  undo.defer(() => room.disk.rename(`${room.at.mounts}/${containerId}`, writeSet));
  await room.disk.syncDir(room.at.mounts);
  state.actives.set(containerId, active);
  undo.move();
  const mount = mountOf(needs, active);
  if (!mount) throw new Error(`layers of ${containerId} vanished while they were held`);
  return mount;
}

async function makeActive(room: Room, active: ActiveRecord, { below, writeSet }: { below: readonly string[]; writeSet: string }): Promise<void> {
  const { disk, at } = room;
  const { mountId, link, init } = active;
  await disk.mkdir(writeSet, 0o755);
  await disk.write(`${writeSet}/mount-id`, mountId, MODE.plain);
  if (init) await disk.write(`${writeSet}/init-id`, init.id, MODE.plain);
  if (active.parent !== undefined) await disk.write(`${writeSet}/parent`, active.parent, MODE.plain);
  if (init) {
    await makeSnapshot(room, { id: init.id, link: init.link, lower: below, committed: true, stacked: below.length > 0 });
    await fillInit(room, `${at.overlay}/${init.id}/diff`);
  }
  await makeSnapshot(room, { id: mountId, link, lower: init ? [init.link, ...below] : below, committed: false, stacked: true });
  const inside = [['merged', MODE.private] as const, ...(!init && below.length === 0 ? [[EMPTY, MODE.diff] as const] : [])];
  for (const [name, mode] of inside) {
    await disk.mkdir(`${at.overlay}/${mountId}/${name}`, mode);
    await own(room, `${at.overlay}/${mountId}/${name}`, room.owners.inside);
  }
}

/** What stands in every container for the engine to mount over, as Docker's init layer has it. */
export const INIT_LAYER = {
  directories: ['dev', 'dev/pts', 'dev/shm', 'proc', 'sys', 'etc'],
  files: ['.dockerenv', 'dev/console', 'etc/hostname', 'etc/hosts', 'etc/resolv.conf'],
  symlinks: [['etc/mtab', '/proc/mounts']],
} as const;

async function fillInit(room: Room, diff: string): Promise<void> {
  const { disk, owners } = room;
  for (const name of INIT_LAYER.directories) await disk.mkdir(`${diff}/${name}`, 0o755);
  for (const name of INIT_LAYER.files) await disk.write(`${diff}/${name}`, '', 0o755);
  for (const name of [...INIT_LAYER.directories, ...INIT_LAYER.files]) await own(room, `${diff}/${name}`, owners.inside);
  for (const [name, target] of INIT_LAYER.symlinks) await disk.symlink(target, `${diff}/${name}`);
}

/** All at once: the journal then commits them in two or three goes instead of one each. */
async function syncActive({ disk, at }: Room, { mountId, init, parent }: ActiveRecord, writeSet: string): Promise<void> {
  const path = `${at.overlay}/${mountId}`;
  const initPath = init && `${at.overlay}/${init.id}`;
  const files = [`${writeSet}/mount-id`, `${path}/link`];
  if (disk.kind(`${path}/lower`) === 'file') files.push(`${path}/lower`);
  if (parent !== undefined) files.push(`${writeSet}/parent`);
  const directories = [writeSet, path, at.overlay, at.links];
  if (initPath !== undefined) {
    files.push(`${writeSet}/init-id`, `${initPath}/link`);
    if (disk.kind(`${initPath}/lower`) === 'file') files.push(`${initPath}/lower`);
    directories.push(initPath, `${initPath}/diff`, `${initPath}/diff/dev`, `${initPath}/diff/etc`);
  }
  await Promise.all(files.map((file) => disk.sync(file)));
  await Promise.all(directories.map((directory) => disk.syncDir(directory)));
}

async function discardActive({ disk, at }: Room, active: ActiveRecord, writeSet: string): Promise<void> {
  for (const { id, link } of snapshotsOf(active)) {
    await disk.remove(`${at.overlay}/${id}`);
    await disk.remove(`${at.links}/${link}`);
  }
  await disk.remove(writeSet);
}

/** The record goes first and durably; without it the directories are nobody's, and the next opening would sweep what is left of them. */
export async function removeActive({ room, state, mounts }: ActiveNeeds, containerId: string): Promise<void> {
  const { disk, at } = room;
  const record = `${at.mounts}/${containerId}`;
  const active = state.actives.get(containerId);
  if (!isSnapshotId(containerId) || (!active && disk.kind(record) === undefined)) return;
  const path = active && `${at.overlay}/${active.mountId}`;
  const mounted = mounts.list().find(({ target }) => path !== undefined && target.startsWith(`${path}/`));
  if (mounted) throw conflict(`cannot remove the snapshot of container ${containerId}: ${mounted.target} is still mounted`);
  state.actives.delete(containerId);
  const removed = await moveToRemoved(room, record);
  await disk.syncDir(at.mounts);
  const snapshots = active ? snapshotsOf(active) : [];
  await erase(room, [...snapshots.flatMap(({ id, link }) => [`${at.overlay}/${id}`, `${at.links}/${link}`]), removed]);
}

const snapshotsOf = ({ mountId, link, init }: ActiveRecord): Array<{ id: string; link: string }> =>
  [{ id: mountId, link }, ...(init ? [init] : [])];

/** Sum of the sizes of the files in a tree, each inode once; names may be any bytes, and directories may vanish or become files meanwhile. */
export async function treeSizeBytes(path: string): Promise<number> {
  const seen = new Set<bigint>();
  const pending: Buffer[] = [Buffer.from(path)];
  let bytes = 0;
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    for (const name of await namesIn(at)) {
      const child = Buffer.concat([at, Buffer.from('/'), name]);
      const stat = await lstat(child, { bigint: true }).catch(ignoreAbsent);
      if (!stat) continue;
      if (stat.isDirectory()) pending.push(child);
      else if (stat.nlink === 1n || !seen.has(stat.ino)) {
        if (stat.nlink > 1n) seen.add(stat.ino);
        bytes += Number(stat.size);
      }
    }
  }
  return bytes;
}

async function namesIn(directory: Buffer): Promise<Buffer[]> {
  const names: Buffer[] = [];
  // @types/node does not know that names can be bytes here.
  const entries = await opendir(directory, { encoding: 'buffer' as BufferEncoding }).catch(ignoreAbsent);
  if (!entries) return names;
  for await (const { name } of entries as AsyncIterable<{ name: unknown }>) if (Buffer.isBuffer(name)) names.push(name);
  return names;
}

function ignoreAbsent(error: unknown): undefined {
  if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return undefined;
  throw error;
}
