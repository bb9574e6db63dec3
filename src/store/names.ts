// repositories.json: what images are called. Small, read once, and replaced as a whole with every change.
import { assert, messageOf } from '../lib/errors.ts';
import { isDigest, type ImageId } from '../oci/digest.ts';
import { replaceFile } from './disk.ts';
import type { NameStore } from './index.ts';
import { MODE } from './layout.ts';
import { isObject, readObject } from './records.ts';
import { passOver, setAside, type Room } from './room.ts';
import { KeyedLock } from '../lib/lock.ts';

export interface NameNeeds {
  /** Whether there is an image config of that ID at all. */
  known: (id: ImageId) => boolean;
  /** Whether the image can be used. A name of one that cannot is kept, but not told: it may come back with its layers. */
  usable: (id: ImageId) => boolean;
}

export async function openNames(room: Room, { known, usable }: NameNeeds): Promise<NameStore> {
  let names = await loadNames(room, known);
  const lock = new KeyedLock();
  return {
    get(familiar) {
      const id = names.get(familiar);
      return id !== undefined && usable(id) ? id : undefined;
    },
    all: () => new Map([...names].filter(([, id]) => usable(id))),
    of: (id) => [...names].filter(([, named]) => named === id).map(([familiar]) => familiar).toSorted(),
    async update({ set = [], remove = [] }) {
      using _guard = await lock.hold('names');
      const next = new Map(names);
      for (const familiar of remove) next.delete(familiar);
      for (const [familiar, id] of set) {
        assert(repositoryOf(familiar) !== undefined, `${JSON.stringify(familiar)} is a familiar reference with tag or digest`);
        next.set(familiar, id);
      }
      if (same(names, next)) return;
      await replaceFile(room.disk, room.at.repositories, { data: formatNames(next), mode: MODE.record });
      names = next;
    },
  };
}

/** The part of a familiar reference before its tag or digest; undefined when it has neither. */
export function repositoryOf(familiar: string): string | undefined {
  const at = familiar.indexOf('@');
  if (at > 0) return familiar.slice(0, at);
  const colon = familiar.lastIndexOf(':');
  return colon > familiar.lastIndexOf('/') + 1 ? familiar.slice(0, colon) : undefined;
}

/** The file's text, in the order that Docker writes: sorted by name. */
export function formatNames(names: ReadonlyMap<string, ImageId>): string {
  const repositories: Record<string, Record<string, string>> = Object.create(null);
  for (const [familiar, id] of [...names].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const repository = repositoryOf(familiar);
    if (repository !== undefined) (repositories[repository] ??= Object.create(null) as Record<string, string>)[familiar] = id;
  }
  const sorted = Object.fromEntries(Object.entries(repositories).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return JSON.stringify({ Repositories: sorted });
}

async function loadNames(room: Room, known: (id: ImageId) => boolean): Promise<Map<string, ImageId>> {
  const names = new Map<string, ImageId>();
  const path = room.at.repositories;
  let repositories: unknown;
  try {
    repositories = readObject(room.disk, path)?.['Repositories'];
  } catch (error) {
    await setAside(room, path, messageOf(error));
    return names;
  }
  for (const [familiar, id] of entriesOf(repositories)) {
    if (repositoryOf(familiar) === undefined || typeof id !== 'string' || !isDigest(id)) passOver(room, path, `unreadable entry ${JSON.stringify(familiar)}`);
    else if (!known(id as string as ImageId)) passOver(room, path, `${familiar} named ${id}, an image that is missing`);
    else names.set(familiar, id as string as ImageId);
  }
  return names;
}

function entriesOf(repositories: unknown): Array<[familiar: string, id: unknown]> {
  if (!isObject(repositories)) return [];
  return Object.values(repositories).flatMap((references) => (isObject(references) ? Object.entries(references) : []));
}

const same = (a: ReadonlyMap<string, ImageId>, b: ReadonlyMap<string, ImageId>): boolean =>
  a.size === b.size && [...a].every(([familiar, id]) => b.get(familiar) === id);
