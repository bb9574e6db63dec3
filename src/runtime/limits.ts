// Resource limits and the OOM score of a container's processes, no higher than this machine lets us set. Pure.
import { invalid } from '../lib/errors.ts';
import type { Ulimit } from '../wire/types.ts';
import type { Machine } from './machine.ts';

export interface Rlimit { type: string; hard: number; soft: number }

const KNOWN = ['core', 'cpu', 'data', 'fsize', 'locks', 'memlock', 'msgqueue', 'nice', 'nofile', 'nproc', 'rss', 'rtprio', 'rttime', 'sigpending', 'stack'];

/** Stands for RLIM_INFINITY, which is one less and no number of JavaScript's: spec-text.ts writes it. */
const UNLIMITED = 2 ** 64;

/** Without CAP_SYS_RESOURCE a raised limit would fail every start: the highest that can be had is set instead, and noted. */
export function rlimitsOf(ulimits: readonly Ulimit[] | null, machine: Machine, notes: string[]): Rlimit[] {
  return (ulimits ?? []).map((ulimit) => {
    if (!KNOWN.includes(ulimit.Name)) throw invalid(`invalid ulimit type: ${ulimit.Name}`);
    const hard = ulimit.Hard < 0 ? Infinity : ulimit.Hard;
    const soft = ulimit.Soft < 0 ? Infinity : ulimit.Soft;
    if (soft > hard) throw invalid(`ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`);
    const own = machine.limits[ulimit.Name]?.hard ?? Infinity;
    const most = machine.capabilities.has('CAP_SYS_RESOURCE') ? Infinity : own;
    if (hard > most) notes.push(`ulimit ${ulimit.Name} stays at ${most}: raising it needs CAP_SYS_RESOURCE`);
    return { type: `RLIMIT_${ulimit.Name.toUpperCase()}`, hard: finite(Math.min(hard, most)), soft: finite(Math.min(soft, most)) };
  });
}

/** A score below this process's own needs CAP_SYS_RESOURCE too. */
export function oomScoreOf(wanted: number, machine: Machine, notes: string[]): number {
  if (wanted < -1000 || wanted > 1000) throw invalid(`Invalid value ${wanted}, range for oom score adj is [-1000, 1000]`);
  if (wanted >= machine.oomScoreAdj || machine.capabilities.has('CAP_SYS_RESOURCE')) return wanted;
  // Asking for less than Docker's default 0 is a wish of the user's; being left above 0 is only this machine's state.
  if (wanted < 0) notes.push(`OOM score stays at ${machine.oomScoreAdj} instead of ${wanted}: lowering it needs CAP_SYS_RESOURCE`);
  return machine.oomScoreAdj;
}

function finite(value: number): number {
  return value === Infinity ? UNLIMITED : value;
}
