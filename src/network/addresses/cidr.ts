// Addresses and subnets of both families as numbers: read and written as Go's net package does, whose text clients get from Docker.

export type Family = 4 | 6;
export interface Address { family: Family; value: bigint }
/** `base` has no bits behind the prefix. */
export interface Subnet { family: Family; base: bigint; prefix: number }

/** Length of an address in bits. */
export const bitsOf = (family: Family): number => family === 4 ? 32 : 128;

/**
 * An address without prefix; undefined when it is none. As in Go, IPv4 numbers have no leading zeros, an IPv6 address has no zone, and one
 * that maps an IPv4 address (::ffff:10.0.0.1) is that IPv4 address.
 */
export function parseAddress(text: string): Address | undefined {
  if (!text.includes(':')) {
    const value = parseIpv4(text);
    return value === undefined ? undefined : { family: 4, value };
  }
  const value = parseIpv6(text);
  if (value === undefined) return undefined;
  return value >> 32n === MAPPED ? { family: 4, value: value & 0xffff_ffffn } : { family: 6, value };
}

/** An address with its prefix, and the subnet that it is in; undefined when it is none. A mapped IPv4 address has no subnet here. */
export function parseCidr(text: string): { address: Address; subnet: Subnet } | undefined {
  const slash = text.indexOf('/');
  const prefix = slash < 0 ? '' : text.slice(slash + 1);
  const address = parseAddress(text.slice(0, Math.max(slash, 0)));
  if (!address || !/^[0-9]{1,6}$/.test(prefix) || Number(prefix) > bitsOf(address.family)) return undefined;
  if (address.family === 4 && text.includes(':')) return undefined;
  return { address, subnet: subnetOf(address, Number(prefix)) };
}

/** The subnet of this prefix that an address is in. */
export function subnetOf(address: Address, prefix: number): Subnet {
  const hostBits = BigInt(bitsOf(address.family) - prefix);
  return { family: address.family, base: address.value >> hostBits << hostBits, prefix };
}

/** Canonical text: dotted, or RFC 5952 (lower case, the first longest run of two or more zero groups left out). */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => value >> shift & 0xffn).join('.');
  const groups = Array.from({ length: GROUPS }, (_, at) => Number(value >> BigInt(16 * (GROUPS - 1 - at)) & 0xffffn));
  const zeros = longestZeros(groups);
  const hex = (some: number[]) => some.map((group) => group.toString(16)).join(':');
  return zeros.length < 2 ? hex(groups) : `${hex(groups.slice(0, zeros.at))}::${hex(groups.slice(zeros.at + zeros.length))}`;
}

export const formatSubnet = (subnet: Subnet): string => `${formatAddress({ family: subnet.family, value: subnet.base })}/${subnet.prefix}`;

/** The highest address of a subnet: for IPv4 the one that means all. */
export const lastOf = (subnet: Subnet): bigint => subnet.base + sizeOf(subnet) - 1n;

export const sizeOf = (subnet: Subnet): bigint => 1n << BigInt(bitsOf(subnet.family) - subnet.prefix);

export const holds = (subnet: Subnet, address: Address): boolean =>
  subnet.family === address.family && address.value >= subnet.base && address.value <= lastOf(subnet);

/** Whether they have an address in common: then one lies in the other. */
export const overlap = (one: Subnet, other: Subnet): boolean =>
  one.family === other.family && one.base <= lastOf(other) && other.base <= lastOf(one);

/** First group of bits of ::ffff:0:0/96. */
const MAPPED = 0xffffn;
const GROUPS = 8;

function parseIpv4(text: string): bigint | undefined {
  if (!/^(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}$/.test(text)) return undefined;
  let value = 0n;
  for (const part of text.split('.')) {
    if (Number(part) > 255) return undefined;
    value = value << 8n | BigInt(part);
  }
  return value;
}

function parseIpv6(text: string): bigint | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1] ?? '', true) : [];
  if (!head || !tail) return undefined;
  const missing = GROUPS - head.length - tail.length;
  // What is left out stands for one group at least.
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  return [...head, ...Array.from({ length: missing }, () => 0n), ...tail].reduce((value, group) => value << 16n | group, 0n);
}

/** The groups of one side of '::'; `last`: it ends the address, so an IPv4 address may end it. */
function groupsOf(text: string, last: boolean): bigint[] | undefined {
  if (text === '') return [];
  const groups: bigint[] = [];
  const parts = text.split(':');
  for (const [at, part] of parts.entries()) {
    const dotted = last && at === parts.length - 1 && part.includes('.') ? parseIpv4(part) : undefined;
    if (dotted !== undefined) groups.push(dotted >> 16n, dotted & 0xffffn);
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(BigInt(`0x${part}`));
    else return undefined;
  }
  return groups;
}

function longestZeros(groups: readonly number[]): { at: number; length: number } {
  let best = { at: 0, length: 0 };
  for (let at = 0, length = 0; at < groups.length; at++) {
    length = groups[at] === 0 ? length + 1 : 0;
    if (length > best.length) best = { at: at - length + 1, length };
  }
  return best;
}
