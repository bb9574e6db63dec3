// What every part of the store is handed, and the report of what opening found.
import type { Clock } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import { hostRoot, type IdMap } from '../lib/ids.ts';
import type { Log } from '../lib/log.ts';
import type { Disk } from './disk.ts';
import type { RecoveryReport } from './index.ts';
import type { Layout } from './layout.ts';

export interface Room {
  disk: Disk;
  at: Layout;
  log: Log;
  clock: Clock;
  report: Report;
  owners: Owners;
}

/** Where containers' users are remapped, their root must get through our directories to its own; nothing is given away otherwise. */
export interface Owners {
  /** Of a directory that it passes through (mode 0710, by its group), as Docker has it. */
  way: { uid: number; gid: number } | undefined;
  /** Of what belongs to the container. */
  inside: { uid: number; gid: number } | undefined;
}

export function ownersOf(idMap: IdMap | undefined): Owners {
  if (idMap === undefined) return { way: undefined, inside: undefined };
  const inside = hostRoot(idMap);
  return { way: { uid: 0, gid: inside.gid }, inside };
}

/** Gives the path away, where there is someone to give it to. */
export async function own({ disk }: Pick<Room, 'disk'>, path: string, owner: { uid: number; gid: number } | undefined): Promise<void> {
  if (owner !== undefined) await disk.chown(path, owner);
}

/** Fills while opening; afterwards only a damaged layer that is made again adds to it. */
export class Report implements RecoveryReport {
  readonly quarantined: Array<{ path: string; reason: string }> = [];
  readonly swept: string[] = [];
  /** True once something about layers or snapshots could not be read: then nobody knows which snapshots are in use. */
  unsure = false;
}

/** Moves an unreadable thing out of the way, to where a person finds it and no engine looks. Quarantine never deletes. */
export async function setAside(room: Room, path: string, reason: string): Promise<void> {
  const { at, disk, clock, log, report } = room;
  const stamp = new Date(clock.now()).toISOString().replace(/[-:]|\.\d+/g, '');
  const name = path.slice(at.root.length + 1).replaceAll('/', '_');
  const aside = `${at.quarantine}/${stamp}-${clock.randomHex(4)}-${name}`;
  try {
    await disk.rename(path, aside);
    log.warn('unreadable record set aside', { path, reason, now: aside });
    report.quarantined.push({ path: aside, reason });
  } catch (error) {
    log.error('unreadable record could not be set aside', { path, reason, error });
    report.quarantined.push({ path, reason: `${reason} (left in place: ${messageOf(error)})` });
  }
}

/** Notes something that is of no use now but stays where it is, because it may become useful again. */
export function passOver(room: Room, path: string, reason: string): void {
  room.log.warn('record passed over', { path, reason });
  room.report.quarantined.push({ path, reason });
}

/** Moves a thing to where a power cut cannot bring it back half removed; gives the place, or undefined when it was not there. */
export async function moveToRemoved(room: Room, path: string): Promise<string | undefined> {
  if (room.disk.kind(path) === undefined) return undefined;
  const removed = `${room.at.removed}/${path.slice(path.lastIndexOf('/') + 1)}-${room.clock.randomHex(4)}`;
  await room.disk.rename(path, removed);
  return removed;
}

/** Deletes for good what has been moved away; what resists (a forgotten mount) is left for the next opening. */
export async function erase(room: Room, paths: ReadonlyArray<string | undefined>): Promise<void> {
  for (const path of paths) {
    if (path === undefined) continue;
    await room.disk.remove(path).catch((error: unknown) => room.log.warn('could not erase, will try at the next start', { path, error }));
  }
}
