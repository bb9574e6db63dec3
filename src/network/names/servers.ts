// Which servers a sandbox's questions go to, and from which namespace.
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { NetNamespace } from '../../kernel/index.ts';
import { DEFAULT_SERVERS, isLoopback, parseResolvConf, STUB } from './resolv-conf.ts';
import type { Server } from './upstream.ts';

/** Of the host. */
export const HOST_FILE = '/etc/resolv.conf';
/** How old what the host's file said may be. */
const REREAD_MS = 1000;

/** A small file of the host; undefined when there is none. */
export type ReadHostFile = (path: string) => string | undefined;

export interface HostServers {
  /** Addresses, in order, public ones when the host names none; and its options. */
  now(): { servers: readonly string[]; options: readonly string[] };
}

/** Reads the host's file when it is asked for and what is known is older than a second: no timer and no watch for a file that nobody needs. */
export function openHostServers({ clock, log, readHostFile }: { clock: Clock; log: Log; readHostFile: ReadHostFile }): HostServers {
  let known: { text: string; servers: readonly string[]; options: readonly string[]; atMs: number } | undefined;
  const look = () => {
    const now = clock.monotonicMs();
    if (known && now - known.atMs < REREAD_MS) return known;
    const text = readResolvConf(readHostFile);
    if (known?.text === text) return known = { ...known, atMs: now };
    const { servers, options } = parseResolvConf(text);
    if (servers.length === 0) log.info('No non-localhost DNS nameservers are left in resolv.conf. Using default external servers', { servers: DEFAULT_SERVERS.ipv4 });
    return known = { text, servers: servers.length > 0 ? servers : DEFAULT_SERVERS.ipv4, options, atMs: now };
  };
  return { now: look };
}

/** Where it names the stub of systemd-resolved alone, the file that names who is behind it. '' when there is none. */
export function readResolvConf(read: ReadHostFile): string {
  const text = read(HOST_FILE) ?? '';
  const { servers } = parseResolvConf(text);
  return servers.length === 1 && servers[0] === STUB.server ? read(STUB.file) ?? text : text;
}

export interface ServerQuestion {
  /** The container's or the daemon's; empty: the host's. */
  dns: readonly string[];
  host: HostServers;
  namespaces: { sandbox: NetNamespace; host: NetNamespace };
  /** Whether any of its networks leads out; one that is shut in never asks through the host. */
  external: boolean;
  /** Whether it has an IPv6 address. */
  ipv6: boolean;
}

/**
 * A server that the user named is asked from within the container, where also 127.0.0.1 is its own. Of the host's servers those on the
 * host's loopback, on one of its links (a zone), or with IPv6 where the container has none are asked from the host.
 */
export function decideServers({ dns, host, namespaces, external, ipv6 }: ServerQuestion): Server[] {
  if (dns.length > 0) return dns.map((address) => ({ address, namespace: namespaces.sandbox }));
  const fromHost = (address: string) => isLoopback(address) || address.includes('%') || (address.includes(':') && !ipv6);
  return host.now().servers.filter((address) => external || !fromHost(address)).map((address) => ({ address, namespace: fromHost(address) ? namespaces.host : namespaces.sandbox }));
}
