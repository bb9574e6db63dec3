// Addresses beside those of a network that hold on its wire alone, as --link-local-ip gives them.
import { invalid } from '../../lib/errors.ts';
import { formatAddress, holds, parseAddress, subnetOf, type Address } from './cidr.ts';

/** Source: RFC 3927 and RFC 4291; the prefixes on the interface are Docker's. */
const LINK_LOCAL = { 4: { text: '169.254.0.0', prefix: 16, onInterface: 16 }, 6: { text: 'fe80::', prefix: 10, onInterface: 64 } } as const;

/** With the prefix that it has on the interface. Error: invalid, in Docker's words. */
export function linkLocalAddress(text: string): string {
  const address = parseAddress(text);
  if (!address || !isLinkLocal(address)) throw invalid(`invalid link local IP address: ${text}`);
  return `${formatAddress(address)}/${LINK_LOCAL[address.family].onInterface}`;
}

function isLinkLocal(address: Address): boolean {
  const { text, prefix } = LINK_LOCAL[address.family];
  const base = parseAddress(text);
  return base !== undefined && holds(subnetOf(base, prefix), address);
}
