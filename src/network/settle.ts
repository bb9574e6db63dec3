// After a start: devices that carry our note and belong to nothing go. Everything else on the machine is somebody else's.
import type { NetLink, NetNamespace } from '../kernel/index.ts';
import type { Log } from '../lib/log.ts';
import { shortId, type Notes } from './devices.ts';

export interface Known { networks: readonly string[]; endpoints: readonly string[] }

/** Names of devices that are ours and have no owner any more; ports before the bridges they are in. */
export function decideStrays(links: readonly NetLink[], notes: Notes, { networks, endpoints }: Known): string[] {
  const known = new Set([...networks, ...endpoints].map(shortId));
  const strays = links.filter(({ alias }) => {
    const owner = notes.owned(alias);
    return owner !== undefined && !known.has(owner);
  });
  return strays.sort((a, b) => Number(a.kind === 'bridge') - Number(b.kind === 'bridge')).map(({ name }) => name);
}

/** One that stays does not keep the others. Returns what was to go. */
export async function removeStrays({ host, notes, log }: { host: NetNamespace; notes: Notes; log: Log }, known: Known): Promise<string[]> {
  const strays = decideStrays(host.links(), notes, known);
  await host.removeLinks(strays).catch((error: unknown) => log.warn('a device that nothing uses could not be removed', { devices: strays, error }));
  return strays;
}
