// Settings below /proc/sys/net: the host's that a bridge needs, and a container's.
import type { NetNamespace } from '../kernel/index.ts';
import { errnoOf, invalid, messageOf } from '../lib/errors.ts';
import type { StringMap } from '../wire/types.ts';

/** Set unless it has that value; a kernel without the setting does without (IPv6 left out, no br_netfilter). */
export function wantSysctl(net: NetNamespace, path: string, value: string): void {
  const now = net.sysctl(path)?.trim();
  if (now !== undefined && now !== value) net.setSysctl(path, value);
}

/** Without asking what it is: for settings that are nearly always another. */
export function putSysctl(net: NetNamespace, path: string, value: string): void {
  try { net.setSysctl(path, value); }
  catch (error) { if (errnoOf(error) !== 'ENOENT') throw error; }
}

/** A container's own, with Docker's names ("net.ipv4.conf.eth0.rp_filter"). Dots within a name are slashes there, as with sysctl(8). */
export function applySysctls(net: NetNamespace, sysctls: StringMap): void {
  for (const [name, value] of Object.entries(sysctls)) {
    try { net.setSysctl(pathOf(name), value); }
    catch (error) { throw invalid(`cannot set ${name} to ${JSON.stringify(value)}: ${messageOf(error)}`, { cause: error }); }
  }
}

/**
 * "net.ipv4.conf.eth0/10.forwarding" and "net/ipv4/conf/eth0.10/forwarding" are "ipv4/conf/eth0.10/forwarding": the first separator decides. Nothing
 * leads out of the directory, whose files are the container's own.
 */
function pathOf(name: string): string {
  const path = name.replace(/^net[./]/, '');
  const parts = name.charAt(name.search(/[./]/)) === '/' ? path.split('/') : path.split('.').map((part) => part.replaceAll('/', '.'));
  if (parts.some((part) => ['', '.', '..'].includes(part))) throw invalid('not the name of a setting');
  return parts.join('/');
}
