// Questions about hosts and addresses that proxies and registries share.
import { BlockList, isIP } from 'node:net';

/** A URL's host without the brackets of IPv6. */
export const bareHost = (hostname: string): string => hostname.replace(/^\[|\]$/g, '');

/** 'localhost', 127.0.0.0/8 or ::1, with or without brackets. */
export function isLoopback(hostname: string): boolean {
  const host = bareHost(hostname);
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Whether `hostname` is an address inside `cidr`; names and malformed networks never are. */
export function inNetwork(hostname: string, cidr: string): boolean {
  const [network = '', prefix = ''] = cidr.split('/');
  const family = isIP(network);
  const bits = Number(prefix);
  const address = bareHost(hostname);
  if (family === 0 || isIP(address) !== family || !/^\d{1,3}$/.test(prefix) || bits > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, bits, family === 4 ? 'ipv4' : 'ipv6');
  return list.check(address, family === 4 ? 'ipv4' : 'ipv6');
}
