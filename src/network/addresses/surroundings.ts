// What a machine reaches by itself and no container network may be chosen on top of.
import type { NetNamespace } from '../../kernel/index.ts';
import { parseResolvConf } from '../names/resolv-conf.ts';
import { overlap, parseCidr } from './cidr.ts';

/**
 * Its routes, its addresses, also those of interfaces that are down (a device may be planned before its uplink is up), and its name
 * servers, which may lie behind a default route.
 */
export function hostsOf(host: Pick<NetNamespace, 'routes' | 'addresses'>, resolvConf: string): string[] {
  return [...host.routes().map(({ destination }) => destination), ...host.addresses().map(({ address }) => address), ...parseResolvConf(resolvConf).servers];
}

/** The addresses of one device, in the kernel's order. */
export function addressesOf(host: Pick<NetNamespace, 'link' | 'addresses'>, device: string): string[] {
  const link = host.link(device);
  return link ? host.addresses().filter((one) => one.link === link.index).map(({ address }) => address) : [];
}

/** Whether the machine has an address in one of the subnets, by another device than the one with the index `but`. */
export function isOnHost(host: Pick<NetNamespace, 'addresses'>, { subnets, but }: { subnets: readonly string[]; but: number | undefined }): boolean {
  const asked = subnets.flatMap((text) => parseCidr(text)?.subnet ?? []);
  const own = host.addresses().filter(({ link }) => link !== but).flatMap(({ address }) => parseCidr(address)?.subnet ?? []);
  return own.some((subnet) => asked.some((other) => overlap(subnet, other)));
}
