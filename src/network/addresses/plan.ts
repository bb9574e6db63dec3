// Which subnets, ranges and gateways a network gets: decided from what was asked for, what other networks have and what the host uses.
import { EngineError, invalid, messageOf, notFound } from '../../lib/errors.ts';
import type { NetworkPool, NetworkPools, NetworkRecord } from '../../store/index.ts';
import type { StringMap } from '../../wire/types.ts';
import type { NetworkSettings, NetworkWish } from '../index.ts';
import { formatAddress, formatSubnet, holds, overlap, parseAddress, parseCidr, subnetOf, bitsOf, type Family, type Subnet } from './cidr.ts';
import { AddressPools } from './pools.ts';
import { Space, narrowed, rangeOf, recordedSubnet } from './space.ts';

/** Names of auxiliary addresses that stand for the way out, where that is not the bridge itself. */
export const GATEWAY_NAMES = { 4: 'DefaultGatewayIPv4', 6: 'DefaultGatewayIPv6' } as const satisfies Record<Family, string>;

/** What is in use besides the network that is planned. */
export interface Surroundings {
  others: readonly NetworkRecord[];
  /**
   * What the host itself reaches or is: destinations of its routes, its addresses, its name servers, with prefix or without. Kept out of
   * what is chosen from the pools; a subnet that somebody asks for may overlap it. Anything that is no address is passed over.
   */
  hosts: readonly string[];
}

/** Keeps nothing but which subnet was given last; the networks that are there are told at every call. */
export class Planner {
  readonly #pools: AddressPools;

  /** Error: invalid, for pools that cannot be. */
  constructor(pools: NetworkSettings['addressPools']) { this.#pools = new AddressPools(pools); }

  /** Errors, in Docker's words: invalid, forbidden (overlaps, several subnets of a bridge), not-found (the pools are exhausted). */
  plan(wish: NetworkWish, around: Surroundings): NetworkPools {
    const asked = wish.config.map(askedPool);
    for (const family of FAMILIES) for (const { gateway } of asked.filter((one) => one.subnet.family === family)) assertGateway(gateway);
    const plan = new Plan(this.#pools, wish, around);
    const v4 = plan.family(4, asked);
    const v6 = wish.ipv6 ? plan.family(6, asked) : [];
    if (wish.driver === 'bridge' && (v4.length > 1 || v6.length > 1)) throw new EngineError('forbidden', "bridge driver doesn't support multiple subnets");
    return { v4, v6 };
  }

  /**
   * The default network's. `device`: the addresses that its bridge has already, with prefix, in the kernel's order; they hold unless --bip
   * says otherwise. Errors: invalid (settings), forbidden (another network has it), not-found; all in the words of Docker's failed start.
   */
  planDefault(settings: NetworkSettings, around: Surroundings & { device: readonly string[] }): NetworkPools {
    const device = around.device.flatMap((text) => parseCidr(text) ?? []);
    const plan = new Plan(this.#pools, { name: 'bridge', driver: 'bridge' }, around);
    const fixed = cidrSetting(settings.fixedCidr, 4);
    const v4: Asked = {
      ...(bridgeAddress(settings, device, fixed)),
      range: settings.fixedCidr,
      aux: settings.defaultGateway === '' ? {} : { [GATEWAY_NAMES[4]]: settings.defaultGateway },
    };
    const v6 = cidrSetting(settings.fixedCidrV6, 6);
    if (settings.ipv6 && !v6) throw invalid('IPv6 is enabled for the default bridge, but no subnet is configured. Specify an IPv6 subnet using --fixed-cidr-v6');
    const v4Pools = [plan.pool(4, v4)];
    if (!settings.ipv6 || !v6) return { v4: v4Pools, v6: [] };
    const own = device.find(({ address }) => holds(v6, address));
    const aux: StringMap = settings.defaultGatewayV6 === '' ? {} : { [GATEWAY_NAMES[6]]: settings.defaultGatewayV6 };
    return { v4: v4Pools, v6: [plan.pool(6, { subnet: v6, range: '', gateway: own ? formatAddress(own.address) : '', aux })] };
  }
}

const FAMILIES = [4, 6] as const;

/** One subnet as asked; without one it comes from the pools. */
interface Asked { subnet: Subnet | undefined; range: string; gateway: string; aux: StringMap }

/** One network in the making: its own subnets are in each other's way too. */
class Plan {
  readonly #pools: AddressPools;
  readonly #own: { name: string; driver: string };
  readonly #hosts: readonly Subnet[];
  readonly #inUse: Taken[];

  constructor(pools: AddressPools, own: { name: string; driver: string }, { others, hosts }: Surroundings) {
    this.#pools = pools;
    this.#own = own;
    this.#hosts = hosts.flatMap(hostSubnet);
    this.#inUse = others.flatMap((network) => [...network.pools.v4, ...network.pools.v6].map((pool) => takenBy(network.Driver, pool)));
  }

  family(family: Family, asked: ReadonlyArray<Asked & { subnet: Subnet }>): NetworkPool[] {
    const own = asked.filter(({ subnet }) => subnet.family === family);
    return own.length > 0 ? own.map((one) => this.pool(family, one)) : [this.pool(family, NOTHING_ASKED)];
  }

  pool(family: Family, asked: Asked): NetworkPool {
    const subnet = asked.subnet ?? this.#choose(family);
    const range = asked.range === '' ? subnet : narrowed(subnet, asked.range);
    if (!range) throw invalid(`failed to parse pool request for address space "LocalDefault" pool "${formatSubnet(subnet)}" subpool "${asked.range}": Invalid Address SubPool`);
    if (asked.subnet) this.#assertFree(subnet, asked.range === '' ? undefined : range);

    const space = new Space(subnet);
    for (const { pool } of this.#inUse) if (pool.subnet === formatSubnet(subnet)) for (const text of [pool.gateway, ...Object.values(pool.aux)]) holdIfAny(space, text);
    const pool: NetworkPool = { subnet: formatSubnet(subnet), range: formatSubnet(range), gateway: gatewayIn(space, range, asked.gateway), aux: auxIn(space, asked.aux, this.#own.name) };
    this.#inUse.push(takenBy(this.#own.driver, pool));
    return pool;
  }

  #choose(family: Family): Subnet {
    const subnet = this.#pools.next(family, [...this.#inUse.map((one) => one.subnet), ...this.#hosts]);
    if (!subnet) throw notFound(`could not find an available, non-overlapping IPv${family} address pool among the defaults to assign to the network`);
    return subnet;
  }

  /** Networks on the same wire, which macvlans often are, may share a subnet when each one says which part is its own. */
  #assertFree(subnet: Subnet, range: Subnet | undefined): void {
    for (const other of this.#inUse) {
      if (!overlap(other.subnet, subnet)) continue;
      const onWire = this.#own.driver === 'macvlan' || other.driver === 'macvlan';
      const samePart = range !== undefined && other.pool.subnet === formatSubnet(subnet) && other.pool.range === formatSubnet(range);
      if (!onWire || range === undefined || samePart) throw new EngineError('forbidden', 'Pool overlaps with other one on this address space');
    }
  }
}

interface Taken { driver: string; subnet: Subnet; pool: NetworkPool }
const takenBy = (driver: string, pool: NetworkPool): Taken => ({ driver, subnet: recordedSubnet(pool.subnet), pool });

const NOTHING_ASKED: Asked = { subnet: undefined, range: '', gateway: '', aux: {} };

function askedPool({ subnet, ipRange, gateway, auxAddresses }: NetworkWish['config'][number]): Asked & { subnet: Subnet } {
  const parsed = parseCidr(subnet)?.subnet;
  if (!parsed) throw invalid(`Invalid subnet ${subnet} : invalid CIDR address: ${subnet}`);
  return { subnet: parsed, range: ipRange, gateway, aux: auxAddresses };
}

function assertGateway(text: string): void {
  if (text !== '' && !parseAddress(text)) throw invalid(`invalid gateway address ${text} in Ipam configuration`);
}

function gatewayIn(space: Space, range: Subnet, asked: string): string {
  try {
    return formatAddress(space.take(asked === '' ? undefined : parseAddress(asked), rangeOf(range)));
  } catch (error) {
    throw invalid(`failed to allocate gateway (${asked}): ${messageOf(error)}`);
  }
}

/** Canonical, by the names that were given. They belong to the subnet, also outside of the range. */
function auxIn(space: Space, asked: StringMap, network: string): StringMap {
  return Object.fromEntries(Object.entries(asked).map(([name, text]) => {
    const address = parseAddress(text);
    if (!address) throw invalid(`non parsable secondary ip address (${name}:${text}) passed for network ${network}`);
    if (!holds(space.subnet, address)) throw new EngineError('forbidden', `auxiliary address: (${name}:${text}) must belong to the master pool: ${formatSubnet(space.subnet)}`);
    if (!space.hold(address.value)) throw invalid(`failed to allocate secondary ip address (${name}:${text}): Address already in use`);
    return [name, formatAddress(address)];
  }));
}

function holdIfAny(space: Space, text: string): void {
  const address = parseAddress(text);
  if (address) space.hold(address.value);
}

/**
 * Routes that stand for everything are in nobody's way: a default route, also in the two halves that VPNs make of it, and the part of IPv6
 * that is the internet (2000::/3).
 */
function hostSubnet(text: string): Subnet[] {
  const address = parseAddress(text);
  const subnet = address ? subnetOf(address, bitsOf(address.family)) : parseCidr(text)?.subnet;
  return subnet && subnet.prefix > (subnet.family === 4 ? 1 : 3) ? [subnet] : [];
}

function cidrSetting(text: string, family: Family): Subnet | undefined {
  if (text === '') return undefined;
  const subnet = parseCidr(text)?.subnet;
  if (subnet?.family !== family) throw invalid(`invalid CIDR address: ${text}`);
  return subnet;
}

/** Subnet and gateway of the default network, from --bip or from the device: of several addresses the first one in --fixed-cidr, or else the first. */
function bridgeAddress({ bip }: NetworkSettings, device: ReadonlyArray<NonNullable<ReturnType<typeof parseCidr>>>, fixed: Subnet | undefined): Pick<Asked, 'subnet' | 'gateway'> {
  if (bip !== '') {
    const parsed = parseCidr(bip);
    if (parsed?.address.family !== 4) throw invalid(`invalid CIDR address: ${bip}`);
    return { subnet: parsed.subnet, gateway: formatAddress(parsed.address) };
  }
  const own = device.filter(({ address }) => address.family === 4);
  const chosen = own.find(({ address }) => fixed && holds(fixed, address)) ?? own[0];
  if (!chosen) return { subnet: undefined, gateway: '' };
  return { subnet: chosen.subnet, gateway: chosen.address.value === chosen.subnet.base ? '' : formatAddress(chosen.address) };
}
