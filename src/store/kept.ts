// Whole layers that wait in staging for a pull that failed to be tried again: found again at every opening, taken by diffID, and not kept for ever.
import { messageOf } from '../lib/errors.ts';
import { KeyedLock, Limiter } from '../lib/lock.ts';
import { parseChainId, parseDiffId, type DiffId } from '../oci/digest.ts';
import type { StagedRecord } from './layer-state.ts';
import { diffPath, isSnapshotId, MODE } from './layout.ts';
import { chainOn } from './layer-load.ts';
import { readLink } from './overlay.ts';
import { matching, needWord, readWord } from './records.ts';
import type { Room } from './room.ts';

/** A layer in staging, as far as its files tell. */
export interface StagedFiles extends StagedRecord {
  diffId: DiffId;
  cacheId: string;
  writeSet: string;
  /** What `lower` holds; undefined where there is no such file. */
  lower: string | undefined;
  sizeBytes: number;
  /** When it was marked as whole, in ms since the epoch; undefined while it is not. */
  wholeSinceMs: number | undefined;
}

/**
 * A device behind a bad link may be days without one, and tries again when it is back; after a week the release it wanted has mostly
 * been followed by the next one.
 */
export const KEEP_MS = 7 * 24 * 3600 * 1000;

/**
 * The mark of a whole layer is its `size` in so many digits, and costs no sync of its own: that file is synced once for every layer, and an
 * integer with leading zeros is read by every engine. Half of it is no mark. Only a commit under way has fewer digits there.
 */
const MARK_DIGITS = 16;
const MAX_LOWER_BYTES = 64 * 1024;

export const markOf = (sizeBytes: number): string => String(sizeBytes).padStart(MARK_DIGITS, '0');
export const sizePath = ({ writeSet }: Pick<StagedFiles, 'writeSet'>): string => `${writeSet}/size`;
export const splitPath = ({ writeSet }: Pick<StagedFiles, 'writeSet'>): string => `${writeSet}/tar-split.json.gz`;

/** Named after the snapshot, and holding its name: a sweep of ours, or of another engine, finds by it what to remove. What is on its way out is called otherwise. */
export const writeSetName = (cacheId: string): string => `write-set-${cacheId.slice(0, 16)}`;

/** Those that nobody has taken. At most one of each content. */
export class KeptLayers implements Disposable {
  readonly #room: Room;
  readonly #layers = new Map<DiffId, { layer: StagedFiles; timer: Disposable }>();
  readonly #clearing = new KeyedLock();
  /** All that a failed pull has left is wanted at once, and looked at by this process: one after the other, or nobody else would get a turn. */
  readonly looks = new Limiter(1);
  /** Since opening: who sees it grow knows that there is more room than before. */
  clearedBytes = 0;

  constructor(room: Room) { this.#room = room; }

  has(diffId: DiffId): boolean { return this.#layers.has(diffId); }

  sizeBytes(): number { return [...this.#layers.values()].reduce((sum, { layer }) => sum + layer.sizeBytes, 0); }

  /** Whoever takes one commits it, discards it or puts it back. */
  take(diffId: DiffId): StagedFiles | undefined {
    const kept = this.#layers.get(diffId);
    kept?.timer[Symbol.dispose]();
    this.#layers.delete(diffId);
    return kept?.layer;
  }

  /** Only what has the mark of a whole layer. A second one of the same content is discarded. */
  async put(layer: StagedFiles): Promise<void> {
    if (this.#layers.has(layer.diffId)) return await discard(this.#room, layer);
    const ageMs = Math.max(0, this.#room.clock.now() - (layer.wholeSinceMs ?? 0)); // a clock that went back does not make it older
    const timer = this.#room.clock.after(Math.max(0, KEEP_MS - ageMs), () => { void this.#remove(layer.diffId, 'nobody wanted it in time'); });
    this.#layers.set(layer.diffId, { layer, timer });
  }

  /** Removes them all. One call after the other: who has waited sees what the one before has cleared. */
  async clear(): Promise<void> {
    using _turn = await this.#clearing.hold('all');
    for (const diffId of this.#layers.keys()) await this.#remove(diffId, 'its room is needed');
  }

  /** What is kept stays on the disk. */
  [Symbol.dispose](): void { for (const { timer } of this.#layers.values()) timer[Symbol.dispose](); }

  async #remove(diffId: DiffId, reason: string): Promise<void> {
    const layer = this.take(diffId);
    if (!layer) return;
    const { log } = this.#room;
    log.info('a layer that was kept for another pull is removed', { layer: diffId, sizeBytes: layer.sizeBytes, reason });
    try {
      await discard(this.#room, layer);
      this.clearedBytes += layer.sizeBytes;
    } catch (error) { log.warn('a kept layer could not be removed, will try at the next start', { layer: diffId, reason: messageOf(error) }); }
  }
}

/** Also after a failed start of it, when only some of it is there. */
export async function discard({ disk, at }: Room, layer: Pick<StagedFiles, 'cacheId' | 'link' | 'writeSet' | 'wholeSinceMs'>): Promise<void> {
  if (layer.wholeSinceMs !== undefined) { // before anything of it goes; emptying a file takes no room on a full disk
    await disk.write(sizePath(layer), '', MODE.plain);
    await disk.sync(sizePath(layer));
  }
  await disk.remove(`${at.overlay}/${layer.cacheId}`);
  await disk.remove(`${at.links}/${layer.link}`);
  await disk.remove(layer.writeSet); // last: while it is there, a sweep knows what else to remove
}

/** A write-set whose layer was marked as whole not too long ago, and has everything it needs; its files are looked at when it is taken. */
export function readKept(room: Room, name: string): StagedFiles | undefined {
  const { disk, at, clock } = room;
  const writeSet = `${at.tmp}/${name}`;
  try {
    const sizeBytes = Number(needWord(disk, sizePath({ writeSet }), matching((text) => text.length === MARK_DIGITS && /^\d+$/.test(text), 'mark of a whole layer')));
    const cacheId = needWord(disk, `${writeSet}/cache-id`, matching(isSnapshotId, 'snapshot'));
    const diffId = needWord(disk, `${writeSet}/diff`, parseDiffId);
    const parent = readWord(disk, `${writeSet}/parent`, parseChainId);
    const link = readLink(room, cacheId);
    const wholeSinceMs = disk.modifiedMs(sizePath({ writeSet }));
    if (name !== writeSetName(cacheId) || link === undefined || wholeSinceMs === undefined || clock.now() - wholeSinceMs > KEEP_MS) return undefined;
    if (disk.kind(diffPath(at, cacheId)) !== 'directory' || disk.kind(splitPath({ writeSet })) !== 'file') return undefined;
    const lower = disk.read(`${at.overlay}/${cacheId}/lower`, MAX_LOWER_BYTES);
    return { chainId: chainOn(parent, diffId), parent, link, diffId, cacheId, writeSet, lower: lower && new TextDecoder().decode(lower), sizeBytes, wholeSinceMs };
  } catch {
    return undefined; // nothing whole, or not to be trusted: the sweep takes it
  }
}
