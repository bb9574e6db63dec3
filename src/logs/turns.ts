// Rotation: a full file becomes PATH.1, PATH.1 becomes PATH.2, and the oldest goes.
import { link, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from '../lib/errors.ts';
import { identityOf, liveName, rotatedNames } from './files.ts';
import type { Limits } from './options.ts';

/** conmon counts what it writes in one run; a file that an earlier run began may so grow longer than it should, and is then turned by name. */
const SLACK_BYTES = 64 * 1024;

export interface TurnNeeds {
  /** Asks conmon to open the log anew after its file was renamed. */
  reopen(): Promise<void>;
  /** The rotated files are about to get other names. */
  beforeNames(): Promise<void>;
  /** A file that is about to be deleted. */
  beforeDelete(path: string): Promise<void>;
}

/** What a look found: the length of the newest file, and whether another one was the newest before. */
export interface Look { sizeBytes: number; turned: boolean }

/**
 * conmon puts an empty file in the place of a full one. So the newest file has a second name, by which it is still there after that: no
 * moment has to be met, and what is written faster than anyone looks cannot fill the disk. undefined when conmon has made no file yet.
 */
export async function turn(path: string, limits: Limits, needs: TurnNeeds): Promise<Look | undefined> {
  const newest = await lookAt(path);
  const live = await lookAt(liveName(path));
  if (!newest) {
    if (live) await takeIn(path, limits, needs); // renamed by a daemon that died before conmon was told
    if (live) await needs.reopen();
    return undefined;
  }
  if (live && live.identity !== newest.identity) await takeIn(path, limits, needs);
  else if (newest.sizeBytes > limits.maxBytes + SLACK_BYTES) {
    if (!live) await linked(path);
    await rm(path);
    await takeIn(path, limits, needs);
    await needs.reopen();
    return { sizeBytes: 0, turned: true };
  } else if (live) return { sizeBytes: newest.sizeBytes, turned: false };
  await linked(path);
  return { sizeBytes: newest.sizeBytes, turned: true };
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
  if (limits.maxFiles > 1) return await rename(liveName(path), `${path}.1`);
  await needs.beforeDelete(liveName(path));
  await rm(liveName(path), { force: true });
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
