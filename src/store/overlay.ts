// One directory of overlay2: its names, its small files, and the mount of a stack of them as a plain value.
import type { Clock } from '../lib/clock.ts';
import type { OverlayMount } from './index.ts';
import { diffPath, isLinkId, MODE, type Layout } from './layout.ts';
import { matching, readWord } from './records.ts';
import { own, type Room } from './room.ts';

/** mount(2) takes one page, the last byte of which must be zero. */
const MAX_MOUNT_DATA_BYTES = 4095;
const LINK_ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

export const newSnapshotId = (clock: Clock): string => clock.randomHex(32);

/** 26 letters and digits of base32: the short second name under which a snapshot stands in mount data. */
export const newLinkId = (clock: Clock): string =>
  Array.from(Buffer.from(clock.randomHex(26), 'hex'), (byte) => LINK_ALPHABET[byte % 32]).join('');

/** Content of `lower`: the links of the snapshots below, nearest first. */
export const lowerText = (links: readonly string[]): string => links.map((link) => `l/${link}`).join(':');
export const linkTarget = (snapshotId: string): string => `../${snapshotId}/diff`;

export interface Snapshot {
  id: string;
  link: string;
  /** Links below, nearest first; undefined when they are not known yet. */
  lower: readonly string[] | undefined;
  /** Marks it as one that nobody writes to any more, as Docker does: it is then never mounted writable. */
  committed: boolean;
  /** Whether anything lies below. */
  stacked: boolean;
}

/** Makes the directory with everything but the files in diff. Nothing is synced. */
export async function makeSnapshot(room: Room, snapshot: Snapshot): Promise<void> {
  const { disk, at, owners } = room;
  const path = `${at.overlay}/${snapshot.id}`;
  await disk.mkdir(path, MODE.layerDir);
  await own(room, path, owners.way);
  await disk.mkdir(`${path}/diff`, MODE.diff);
  await own(room, `${path}/diff`, owners.inside);
  if (snapshot.stacked) {
    await disk.mkdir(`${path}/work`, MODE.private);
    await own(room, `${path}/work`, owners.inside);
  }
  await disk.write(`${path}/link`, snapshot.link, MODE.plain);
  if (snapshot.lower && snapshot.lower.length > 0) await disk.write(`${path}/lower`, lowerText(snapshot.lower), MODE.plain);
  if (snapshot.committed) await disk.write(`${path}/committed`, '', MODE.record);
  await disk.symlink(linkTarget(snapshot.id), `${at.links}/${snapshot.link}`);
}

/** The link of a snapshot as its file and its symlink both say; undefined when they do not agree. */
export function readLink({ disk, at }: Room, snapshotId: string): string | undefined {
  try {
    const link = readWord(disk, `${at.overlay}/${snapshotId}/link`, matching(isLinkId, 'link'));
    return link !== undefined && disk.readLink(`${at.links}/${link}`) === linkTarget(snapshotId) ? link : undefined;
  } catch {
    return undefined; // an empty file after a power cut: Docker writes it without a sync
  }
}

/** Every symlink under l/: target to link. */
export function linksByTarget({ disk, at }: Room): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of disk.list(at.links)) {
    const target = disk.readLink(`${at.links}/${name}`);
    if (target !== undefined && isLinkId(name)) found.set(target, name);
  }
  return found;
}

/**
 * The link of a snapshot, mended where file and symlink are damaged or do not agree: both can be made again from the directory's
 * own name, so losing them is no reason to lose the snapshot.
 */
export async function mendedLink(room: Room, snapshotId: string, known: ReadonlyMap<string, string>): Promise<string> {
  const good = readLink(room, snapshotId);
  if (good !== undefined) return good;
  const { disk, at, clock, log } = room;
  const target = linkTarget(snapshotId);
  const existing = known.get(target);
  const link = existing ?? newLinkId(clock);
  if (existing === undefined) await disk.symlink(target, `${at.links}/${link}`);
  const path = `${at.overlay}/${snapshotId}/link`;
  await disk.write(path, link, MODE.plain);
  await disk.sync(path);
  log.warn('link of a snapshot mended', { snapshot: snapshotId, link });
  return link;
}

/** Rewrites `lower` where it does not name the snapshots that are below. */
export async function mendLower({ disk, at, log }: Room, snapshotId: string, links: readonly string[]): Promise<void> {
  if (links.length === 0) return;
  const path = `${at.overlay}/${snapshotId}/lower`;
  const want = lowerText(links);
  const have = disk.read(path, 64 * 1024);
  if (have !== undefined && new TextDecoder().decode(have) === want) return;
  await disk.write(path, want, MODE.plain);
  await disk.sync(path);
  log.warn('lower of a snapshot mended', { snapshot: snapshotId });
}

/** A stack of snapshots as a mount. `below`: id and link of each, nearest first. */
export function overlayMount(at: Layout, mountId: string, below: ReadonlyArray<{ id: string; link: string }>): OverlayMount {
  const path = `${at.overlay}/${mountId}`;
  const nothing = below.length === 0; // refused by the kernel: an empty directory takes the place
  const mount = {
    lowerDirs: nothing ? [`${path}/${EMPTY}`] : below.map(({ id }) => diffPath(at, id)),
    upperDir: `${path}/diff`, workDir: `${path}/work`, mergedDir: `${path}/merged`,
  };
  const links = nothing ? [`${mountId}/${EMPTY}`] : below.map(({ link }) => `l/${link}`);
  const absolute = mountData(links.map((link) => `${at.overlay}/${link}`), mount.upperDir, mount.workDir);
  // A colon or comma in the root's own path would be read as a separator.
  if (Buffer.byteLength(absolute) <= MAX_MOUNT_DATA_BYTES && !/[:,\\]/.test(at.overlay)) return { ...mount, data: absolute };
  return { ...mount, data: mountData(links, `${mountId}/diff`, `${mountId}/work`), cwd: at.overlay };
}

/** Directory that stands below a snapshot that has nothing below it. */
export const EMPTY = 'empty';

function mountData(lower: readonly string[], upper: string, work: string): string {
  return `lowerdir=${lower.join(':')},upperdir=${upper},workdir=${work}`;
}
