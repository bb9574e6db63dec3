// --subnet, --ip-range, --gateway and --aux-address of `network create`: which of them belong together.
import { BlockList, isIP } from 'node:net';
import { isCidr } from '../wire/address.ts';
import { Failure } from './failure.ts';

export interface Subnet { Subnet: string; IPRange?: string; Gateway?: string; AuxiliaryAddresses?: Record<string, string> }

interface Asked { subnets: readonly string[]; ranges: readonly string[]; gateways: readonly string[]; aux: Readonly<Record<string, string>> }

/** Each range, gateway and address goes to the subnet it lies in. Throws a Failure in Docker's words when there is none, or two want the same place. */
export function matchSubnets({ subnets, ranges, gateways, aux }: Asked): Subnet[] {
  if (subnets.length < ranges.length || subnets.length < gateways.length) throw new Failure('every ip-range or gateway must have a corresponding subnet');
  const found: Subnet[] = [];
  for (const subnet of subnets) {
    if (found.some((other) => contains(subnet, other.Subnet) || contains(other.Subnet, subnet))) throw new Failure('multiple overlapping subnet configuration is not supported');
    found.push({ Subnet: subnet });
  }
  for (const range of ranges) {
    const home = homeOf(found, range, 'range');
    if (home.IPRange !== undefined) throw new Failure(`cannot configure multiple ranges (${range}, ${home.IPRange}) on the same subnet (${home.Subnet})`);
    home.IPRange = range;
  }
  for (const gateway of gateways) {
    const home = homeOf(found, gateway, 'gateway');
    if (home.Gateway !== undefined) throw new Failure(`cannot configure multiple gateways (${gateway}, ${home.Gateway}) for the same subnet (${home.Subnet})`);
    home.Gateway = gateway;
  }
  for (const [name, address] of Object.entries(aux)) {
    const home = homeOf(found, address, 'aux-address');
    home.AuxiliaryAddresses = { ...home.AuxiliaryAddresses, [name]: address };
  }
  return found;
}

function homeOf(found: readonly Subnet[], what: string, kind: string): Subnet {
  const home = found.find(({ Subnet: subnet }) => contains(subnet, what));
  if (!home) throw new Failure(`no matching subnet for ${kind} ${what}`);
  return home;
}

/** Whether an address, or the first one of a subnet, lies in `subnet`. */
function contains(subnet: string, what: string): boolean {
  const [base, prefix] = halves(subnet);
  const address = what.includes('/') ? halves(what)[0] : what;
  const family = isIP(address);
  if (family === 0 || family !== isIP(base)) return false;
  const list = new BlockList();
  list.addSubnet(base, Number(prefix), family === 4 ? 'ipv4' : 'ipv6');
  return list.check(address, family === 4 ? 'ipv4' : 'ipv6');
}

function halves(cidr: string): [address: string, prefix: string] {
  if (!isCidr(cidr)) throw new Failure(`invalid subnet: invalid CIDR address: ${cidr}`);
  const slash = cidr.indexOf('/');
  return [cidr.slice(0, slash), cidr.slice(slash + 1)];
}
