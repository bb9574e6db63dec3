// Limits of a process as they are typed: "nofile=1024:2048".
import type { Ulimit } from './types.ts';

/** Source: getrlimit(2). */
const NAMES: ReadonlySet<string> = new Set(['core', 'cpu', 'data', 'fsize', 'locks', 'memlock', 'msgqueue', 'nice', 'nofile', 'nproc', 'rss', 'rtprio', 'rttime', 'sigpending', 'stack']);

/** One number stands for both limits, -1 for none. Throws an Error in Docker's words. */
export function parseUlimit(text: string): Ulimit {
  const match = /^([^=]+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (!match?.[1]) throw new Error(`invalid ulimit argument: ${text}`);
  if (!NAMES.has(match[1])) throw new Error(`invalid ulimit type: ${match[1]}`);
  const soft = Number(match[2]);
  const hard = Number(match[3] ?? match[2]);
  if (hard !== -1 && (soft === -1 || soft > hard)) throw new Error(`ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`);
  return { Name: match[1], Hard: hard, Soft: soft };
}
