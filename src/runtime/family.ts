// The processes that belong together although they do not share a cgroup of their own: an exec and what it started.
import { readFileSync } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';

export interface Kin { pid: number; parent: number; session: number }

/** undefined when it is gone, or only waits for its parent to take note of its end. Source of the fields: proc_pid_stat(5). */
export function kinOf(pid: number): Kin | undefined {
  try {
    return parseKin(pid, readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** The program's name may itself hold spaces and brackets, so counting starts behind the last one. */
export function parseKin(pid: number, stat: string): Kin | undefined {
  const [state, parent, , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' || state === 'X' ? undefined : { pid, parent: Number(parent), session: Number(session) };
}

/**
 * Of `all`: the head itself, its children and theirs, and whoever shares its session: those whose own parent ended first are found
 * by that. What made itself a daemon, with a session and a parent of its own, is a family of its own.
 */
export function familyOf(head: { pid: number; session: number | undefined }, all: readonly Kin[]): number[] {
  const family = new Set([head.pid]);
  for (let before = 0; before !== family.size;) {
    before = family.size;
    for (const { pid, parent, session } of all) if (family.has(parent) || session === head.session) family.add(pid);
  }
  return all.map(({ pid }) => pid).filter((pid) => family.has(pid));
}
