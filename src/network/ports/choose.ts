// Which host addresses and port numbers a published port may take: decisions without a socket.
import { formatAddress, parseAddress } from '../addresses/cidr.ts';
import type { PortWish, Protocol } from '../index.ts';

/** Where ports come from when the kernel does not say. Source: dockerd, IANA's dynamic range. */
const FALLBACK = { first: 49153, last: 65535 };
const PORT_MAX = 65535;

const isV6 = (address: string): boolean => address.includes(':');

/**
 * Addresses a port is bound to, all with the same number: where none is asked for and none is set, both 0.0.0.0 and ::. `ipv6`: whether something can be done
 * with what comes by IPv6; 'asked': only if the wish names it.
 */
export function addressesOf({ hostIp }: Pick<PortWish, 'hostIp'>, { defaultIp, ipv6 }: { defaultIp: string; ipv6: 'yes' | 'asked' | 'no' }): string[] {
  const asked = canonical(hostIp !== '' ? hostIp : defaultIp);
  if (asked === '' || (hostIp === '' && asked === '0.0.0.0')) return ipv6 === 'yes' ? ['0.0.0.0', '::'] : ['0.0.0.0'];
  return isV6(asked) && ipv6 === 'no' ? [] : [asked];
}

/** One spelling for one address, or two containers could have its port. */
function canonical(ip: string): string {
  const parsed = parseAddress(ip);
  return parsed === undefined ? ip : formatAddress(parsed);
}

/** First and last port of what net.ipv4.ip_local_port_range says. */
export function portRange(sysctl: string | undefined): { first: number; last: number } {
  const [, first = 0, last = 0] = (/^(\d+)\s+(\d+)$/.exec(sysctl?.trim() ?? '') ?? []).map(Number);
  return first > 0 && first <= last && last <= PORT_MAX ? { first, last } : FALLBACK;
}

/** Numbers to try, in this order. A free choice goes on behind the last one given, so that a port that was just let go is not given to somebody else at once. */
export function * candidates({ hostPorts }: Pick<PortWish, 'hostPorts'>, { range, last }: { range: { first: number; last: number }; last: number | undefined }): Generator<number> {
  const { first, last: end } = hostPorts.first > 0 ? hostPorts : range;
  const count = end - first + 1;
  const start = hostPorts.first > 0 || last === undefined || last < first || last >= end ? 0 : last + 1 - first;
  for (let n = 0; n < count; n++) yield first + ((start + n) % count);
}

/** 0.0.0.0:80, or :::80 as Docker writes it where it names a mapping. */
export const toldMapping = (address: string, port: number): string => `${address}:${port}`;

/** What dockerd says when the port is somebody else's, with the words of the kernel. Clients match on both. */
export function listenWords({ protocol, address, port }: { protocol: Protocol; address: string; port: number }, code: string | undefined): string {
  const place = isV6(address) ? `[${address}]:${port}` : `${address}:${port}`;
  return `Error starting userland proxy: listen ${protocol}${isV6(address) ? 6 : 4} ${place}: bind: ${KERNEL_WORDS[code ?? ''] ?? code ?? 'failed'}`;
}

/** Source: strerror(3), in Go's lower case. */
const KERNEL_WORDS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'address already in use', EADDRNOTAVAIL: 'cannot assign requested address', EACCES: 'permission denied', EMFILE: 'too many open files', ENFILE: 'too many open files in system',
};
