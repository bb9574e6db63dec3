// Where a container's cgroup stands, and what a daemon's defaults add to its limits. Pure.
import type { HostConfig, Ulimit } from '../../wire/types.ts';

/** As flags of the daemon say. */
export interface ResourceDefaults {
  /** '' for the driver's own: /docker, or system.slice. */
  cgroupParent: string;
  shmSizeBytes: number;
  ulimits: readonly Ulimit[];
}

/** A path below the root of the hierarchies; for the systemd driver slice, prefix and name, which crun turns into SLICE/docker-ID.scope. */
export function decideCgroup(id: string, { driver, parent }: { driver: 'cgroupfs' | 'systemd'; parent: string }): string {
  if (driver === 'systemd') return `${parent || 'system.slice'}:docker:${id}`;
  // Nothing leads out of the hierarchy, whatever a client writes.
  const parts: string[] = [];
  for (const part of `${parent || '/docker'}/${id}`.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

/** The container's own come first, the daemon's only where it has none of that name. */
export function withDefaultUlimits(host: HostConfig, defaults: readonly Ulimit[]): HostConfig {
  const own = host.Ulimits ?? [];
  const added = defaults.filter(({ Name }) => !own.some((ulimit) => ulimit.Name === Name));
  return added.length === 0 ? host : { ...host, Ulimits: [...own, ...added] };
}
