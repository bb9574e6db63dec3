// Who has which address in the networks that are open. Kept in memory alone: after a start it is told again by `adopt`.
import { EngineError, assert, invalid, kindOf, messageOf } from '../../lib/errors.ts';
import type { NetworkPool, NetworkRecord } from '../../store/index.ts';
import { bitsOf, formatAddress, holds, parseAddress, subnetOf, type Address, type Family, type Subnet } from './cidr.ts';
import { GATEWAY_NAMES } from './plan.ts';
import { NONE_LEFT, Space, rangeOf, recordedSubnet, type Range } from './space.ts';

/** '' leaves the choice. */
export interface LeaseWish { ipv4: string; ipv6: string; mac: string }
/** '' and 0 for what there is not. */
export interface Lease { ipv4: string; ipv4PrefixLen: number; gateway: string; ipv6: string; ipv6PrefixLen: number; ipv6Gateway: string; mac: string }

export class Leases {
  #networks = new Map<string, OpenNetwork>();
  /** By subnet: networks that share one share its addresses. */
  #shared = new Map<string, { space: Space; users: number }>();

  /** Its gateway and auxiliary addresses are never given. Nothing happens when it is open already. */
  open(network: NetworkRecord): void {
    if (this.#networks.has(network.Id)) return;
    const pools = (['v4', 'v6'] as const).flatMap((family) => network.pools[family].map((pool) => this.#openPool(pool)));
    this.#networks.set(network.Id, { network, pools });
  }

  close(networkId: string): void {
    for (const { space, text, kept } of this.#networks.get(networkId)?.pools ?? []) {
      const shared = this.#shared.get(text);
      assert(shared, `the subnet ${text} of network ${networkId} is open`);
      for (const value of kept) space.give(value);
      if (--shared.users === 0) this.#shared.delete(text);
    }
    this.#networks.delete(networkId);
  }

  /**
   * The lowest free addresses, or those that are wanted; all or nothing. Errors, in Docker's words: invalid (not of this network, not to be
   * wished for here), forbidden (in use), system (none is left).
   */
  take(networkId: string, wish: LeaseWish): Lease {
    const { network, pools } = this.#get(networkId);
    assertMayWish(network, wish);
    const askedMac = macAsked(wish.mac);
    const v4 = takeFrom(network, pools, { family: 4, wanted: wish.ipv4 });
    if (!network.EnableIPv6) return leaseOf(askedMac, v4, undefined);
    try {
      const subnet = pools.find(({ space }) => space.subnet.family === 6)?.space.subnet;
      const derived = subnet && isDefault(network) ? addressOfMac(subnet, askedMac ?? macOf(v4?.address)) : undefined;
      return leaseOf(askedMac, v4, takeFrom(network, pools, { family: 6, wanted: wish.ipv6 || (derived ?? '') }));
    } catch (error) {
      if (v4) giveBack(v4.pool, v4.address.value);
      throw error;
    }
  }

  /** Holds what an endpoint got from an earlier daemon, whatever the network looks like today; it is given back like any other. */
  adopt(networkId: string, got: Pick<Lease, 'ipv4' | 'ipv6'>): void {
    for (const { pool, value } of this.#places(networkId, got)) {
      if (!pool.space.hold(value) && !pool.leased.has(value)) continue; // a gateway today: it stays one
      pool.leased.set(value, (pool.leased.get(value) ?? 0) + 1);
    }
  }

  /** Fine for what was never taken, and for a network that is closed. */
  give(networkId: string, got: Pick<Lease, 'ipv4' | 'ipv6'>): void {
    for (const { pool, value } of this.#places(networkId, got)) giveBack(pool, value);
  }

  #places(networkId: string, got: Pick<Lease, 'ipv4' | 'ipv6'>): Array<{ pool: OpenPool; value: bigint }> {
    return [got.ipv4, got.ipv6].flatMap((text) => {
      const address = parseAddress(text);
      const pool = address && this.#networks.get(networkId)?.pools.find(({ space }) => holds(space.subnet, address));
      return pool ? [{ pool, value: address.value }] : [];
    });
  }

  #openPool(pool: NetworkPool): OpenPool {
    const subnet = recordedSubnet(pool.subnet);
    const shared = this.#shared.get(pool.subnet) ?? { space: new Space(subnet), users: 0 };
    shared.users++;
    this.#shared.set(pool.subnet, shared);
    const { space } = shared;
    const fixed = [pool.gateway, ...Object.values(pool.aux)].flatMap((text) => parseAddress(text)?.value ?? []);
    const kept = fixed.filter((value) => space.hold(value));
    const gateway = pool.aux[GATEWAY_NAMES[subnet.family]] ?? pool.gateway;
    return { space, text: pool.subnet, range: rangeOf(recordedSubnet(pool.range)), gateway, kept, leased: new Map() };
  }

  #get(networkId: string): OpenNetwork {
    const open = this.#networks.get(networkId);
    assert(open, `network ${networkId} is open`);
    return open;
  }
}

interface OpenNetwork { network: NetworkRecord; pools: readonly OpenPool[] }

interface OpenPool {
  space: Space;
  text: string;
  range: Range;
  /** The way out of those that get an address here. */
  gateway: string;
  /** Addresses that this network keeps for itself as long as it is open. */
  kept: readonly bigint[];
  /** How often an address was given: more than once only where a record of an earlier daemon says so. */
  leased: Map<bigint, number>;
}

interface Taken { pool: OpenPool; address: Address }

/** From the first subnet of the family that has one left, or from the one that the wanted address is in. */
function takeFrom(network: NetworkRecord, pools: readonly OpenPool[], { family, wanted }: { family: Family; wanted: string }): Taken | undefined {
  const own = pools.filter(({ space }) => space.subnet.family === family);
  if (own.length === 0) return undefined;
  const address = wanted === '' ? undefined : parseAddress(wanted);
  if (wanted !== '' && address?.family !== family) throw invalid(`invalid IPv${family} address: ${wanted}`);
  for (const pool of address ? own.filter(({ space }) => holds(space.subnet, address)) : own) {
    const taken = takeOne(pool, address);
    if (!taken) continue;
    pool.leased.set(taken.value, 1);
    return { pool, address: taken };
  }
  if (address) throw invalid(`Invalid address ${formatAddress(address)}: It does not belong to any of this network's subnets`);
  throw new EngineError('system', `no available IPv${family} addresses on this network's address pools: ${network.Name} (${network.Id})`);
}

/** undefined when the pool has none left and the next one may be asked. */
function takeOne(pool: OpenPool, wanted: Address | undefined): Address | undefined {
  try {
    return pool.space.take(wanted, pool.range);
  } catch (error) {
    if (!wanted && kindOf(error) === 'system' && messageOf(error) === NONE_LEFT) return undefined;
    throw error;
  }
}

function giveBack(pool: OpenPool, value: bigint): void {
  const count = pool.leased.get(value);
  if (count === undefined) return;
  if (count > 1) { pool.leased.set(value, count - 1); return; }
  pool.leased.delete(value);
  pool.space.give(value);
}

function leaseOf(mac: string | undefined, v4: Taken | undefined, v6: Taken | undefined): Lease {
  return {
    ipv4: v4 ? formatAddress(v4.address) : '', ipv4PrefixLen: v4?.pool.space.subnet.prefix ?? 0, gateway: v4?.pool.gateway ?? '',
    ipv6: v6 ? formatAddress(v6.address) : '', ipv6PrefixLen: v6?.pool.space.subnet.prefix ?? 0, ipv6Gateway: v6?.pool.gateway ?? '',
    mac: mac ?? macOf((v4 ?? v6)?.address),
  };
}

const isDefault = (network: NetworkRecord): boolean => network.Options['com.docker.network.bridge.default_bridge'] === 'true';

/** An address may be wished for where the subnet was, too: one from the pools may be another one tomorrow. */
function assertMayWish(network: NetworkRecord, wish: LeaseWish): void {
  if (wish.ipv4 === '' && wish.ipv6 === '') return;
  if (isDefault(network)) throw invalid('user specified IP address is supported on user defined networks only');
  const asked = network.IPAM.Config.flatMap(({ Subnet: text }) => text === '' ? [] : [text.includes(':') ? 6 : 4]);
  if ((wish.ipv4 !== '' && !asked.includes(4)) || (wish.ipv6 !== '' && !asked.includes(6))) {
    throw invalid('user specified IP address is supported only when connecting to networks with user configured subnets');
  }
}

function macAsked(text: string): string | undefined {
  if (text === '') return undefined;
  const digits = text.replace(/[:.-]/g, '').toLowerCase();
  if (!/^[0-9a-f]{12}$/.test(digits)) throw invalid(`invalid MAC address: ${text}`);
  return digits.replace(/..(?!$)/g, '$&:');
}

/** As Docker makes it of the IPv4 address: a neighbour that remembers the address is right about the MAC too when it is given again. */
const macOf = (address: Address | undefined): string =>
  `0242${((address?.value ?? 0n) & 0xffff_ffffn).toString(16).padStart(8, '0')}`.replace(/..(?!$)/g, '$&:');

/** In the default network an IPv6 address ends with the MAC where there is room for it; in all others it is the next one that is free. Measured with dockerd 20.10. */
function addressOfMac(subnet: Subnet, mac: string): string | undefined {
  if (bitsOf(6) - subnet.prefix < MAC_BITS) return undefined;
  const base = subnetOf({ family: 6, value: subnet.base }, bitsOf(6) - MAC_BITS).base;
  return formatAddress({ family: 6, value: base | BigInt(`0x${mac.replaceAll(':', '')}`) });
}

const MAC_BITS = 48;
