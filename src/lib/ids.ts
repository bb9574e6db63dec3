// Numbers of users and groups inside a container and outside of it: the same, unless the daemon remaps them into a range of its own. Pure.
import { EngineError } from './errors.ts';

/** `size` numbers from `containerId` on stand outside as those from `hostId` on. */
export interface IdRange { containerId: number; hostId: number; size: number }

/** How the root and everybody else in a container are numbered on the host. */
export interface IdMap { uids: readonly IdRange[]; gids: readonly IdRange[] }

/** The number on the host; the same without ranges. Error: `container ID N cannot be mapped to a host ID`. */
export function hostId(ranges: readonly IdRange[] | undefined, id: number): number {
  if (ranges === undefined) return id;
  const range = ranges.find((one) => id >= one.containerId && id < one.containerId + one.size);
  if (range === undefined) throw new EngineError('system', `container ID ${id} cannot be mapped to a host ID`);
  return range.hostId + id - range.containerId;
}

/** The number inside; the same without ranges. Error: `host ID N cannot be mapped to a container ID`. */
export function containerId(ranges: readonly IdRange[] | undefined, id: number): number {
  if (ranges === undefined) return id;
  const range = ranges.find((one) => id >= one.hostId && id < one.hostId + one.size);
  if (range === undefined) throw new EngineError('system', `host ID ${id} cannot be mapped to a container ID`);
  return range.containerId + id - range.hostId;
}

/** Who the container's root is on the host. */
export function hostRoot(map: IdMap | undefined): { uid: number; gid: number } {
  return { uid: hostId(map?.uids, 0), gid: hostId(map?.gids, 0) };
}
