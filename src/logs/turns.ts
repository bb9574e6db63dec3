// Rotation: a full file becomes PATH.1, PATH.1 becomes PATH.2, and the oldest goes.
import { rmSync, statSync } from 'node:fs';
import { link, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { errnoOf } from '../lib/errors.ts';
import { identityOf, liveName, rotatedNames } from './files.ts';
import type { Limits } from './options.ts';

/** What conmon may write on beyond a full file before it begins anew by itself: what a starved daemon is given to come round. */
const ROOM_BYTES = 1 << 20;
/** conmon opens its log anew within a moment. It is never asked twice without need: each time it puts an empty file in the place. */
const REOPEN_MS = 2000;
const POLL_MS = 5;

/**
 * When conmon is to begin a file anew whatever happens: a log cannot fill the disk even when no daemon lives. (It counts what it writes
 * in one run, so that this comes about in any case now and then, at any length of a file.)
 */
export function hardBound({ maxBytes, maxFiles }: Limits): number {
  return maxFiles === 1 ? maxBytes : maxBytes + Math.max(maxBytes, ROOM_BYTES);
}

export interface TurnNeeds {
  clock: Clock;
  /** Asks conmon to open the log anew after its file was renamed; false when it does not listen, or not yet. */
  reopen(): Promise<boolean>;
  /** Whether conmon still writes: when its program has ended there is nobody to put a new file in the place of a full one. */
  isWritten(): boolean;
  /** The rotated files are about to get other names. */
  beforeNames(): Promise<void>;
  /** A file that is about to be deleted. */
  beforeDelete(path: string): Promise<void>;
}

/** What a look found: the length of the newest file, and whether another one was the newest before. */
export interface Look { sizeBytes: number; turned: boolean }

/**
 * Turns a full file. The newest one has a second name, by which it is still there when conmon has put an empty one in its place: so no
 * moment has to be met. undefined when conmon has made no file yet.
 */
export async function turn(path: string, limits: Limits, needs: TurnNeeds): Promise<Look | undefined> {
  const newest = await lookAt(path);
  const live = await lookAt(liveName(path));
  if (!newest) {
    if (live) await turnByName(path, limits, needs); // a daemon died before conmon was told
    return undefined;
  }
  if (live && live.identity !== newest.identity) await takeIn(path, limits, needs);
  else if (newest.sizeBytes >= limits.maxBytes) {
    if (!live) await linked(path);
    if (unnamed(path, newest.identity)) await turnByName(path, limits, needs);
    else await takeIn(path, limits, needs); // conmon was quicker
  } else if (live) return { sizeBytes: newest.sizeBytes, turned: false };
  await linked(path);
  return { sizeBytes: (await lookAt(path))?.sizeBytes ?? 0, turned: true };
}

/** Nothing is at the path. */
async function turnByName(path: string, limits: Limits, needs: TurnNeeds): Promise<void> {
  await takeIn(path, limits, needs);
  let told = false;
  for (const end = needs.clock.monotonicMs() + REOPEN_MS; needs.isWritten() && !await lookAt(path) && needs.clock.monotonicMs() < end; await needs.clock.sleep(POLL_MS)) {
    told ||= await needs.reopen();
  }
}

/** Takes the name from a file, unless another one has it meanwhile. In one go: conmon may put an empty one there at any moment, and begin to write to it. */
function unnamed(path: string, identity: string): boolean {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (found && identityOf(found) !== identity) return false;
  rmSync(path, { force: true });
  return true;
}

/** Makes PATH.now the newest of the rotated files. */
async function takeIn(path: string, limits: Limits, needs: TurnNeeds): Promise<void> {
  await needs.beforeNames();
  const folder = dirname(path);
  const numbers = new Map((await rotatedNames(path)).map((name) => [Number(/\.(\d+)(?:\.gz)?$/.exec(name)?.[1]), `${folder}/${name}`]));
  let first = 1;
  while (numbers.has(first)) first++; // a gap that a death left is filled: what lies behind it stays
  for (const [number, name] of [...numbers].toSorted(([a], [b]) => b - a)) {
    const next = number < first ? number + 1 : number;
    if (next >= limits.maxFiles) {
      await needs.beforeDelete(name);
      await rm(name, { force: true });
    } else if (next !== number) await rename(name, `${path}.${next}${name.endsWith('.gz') ? '.gz' : ''}`);
  }
  if (limits.maxFiles > 1) {
    await rename(liveName(path), `${path}.1`);
    return await keepWithin(path, limits, needs);
  }
  await needs.beforeDelete(liveName(path));
  await rm(liveName(path), { force: true });
}

/** Files that grew beyond their length while the daemon was away count for as many as they are long. */
async function keepWithin(path: string, { maxBytes, maxFiles }: Limits, needs: TurnNeeds): Promise<void> {
  let bytes = 0;
  for (const [index, name] of (await rotatedNames(path)).map((one) => `${dirname(path)}/${one}`).entries()) {
    bytes += (await lookAt(name))?.sizeBytes ?? 0;
    if (index === 0 || bytes <= maxBytes * maxFiles) continue;
    await needs.beforeDelete(name);
    await rm(name, { force: true });
  }
}

async function linked(path: string): Promise<void> {
  try {
    await link(path, liveName(path));
  } catch (error) {
    if (!['ENOENT', 'EEXIST'].includes(errnoOf(error) ?? '')) throw error; // turned again meanwhile: the next look finds it
  }
}

async function lookAt(path: string): Promise<{ identity: string; sizeBytes: number } | undefined> {
  try {
    const found = await stat(path, { bigint: true });
    return { identity: identityOf(found), sizeBytes: Number(found.size) };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
