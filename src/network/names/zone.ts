// Who is called what in which network, as each sandbox sees it: only the networks it is on, its own links first. Names are compared without regard to case, as dockerd does.
import { fullIpv6 } from './message.ts';

export interface ZoneEndpoint {
  networkId: string;
  /** The network's own name: the domain of its members. */
  networkName: string;
  /** '' for what it has not. */
  ipv4: string;
  ipv6: string;
  /** What others may call it; the first one is what its addresses are resolved to. */
  names: readonly string[];
  /** Alias, for this sandbox alone, to what is meant in the same network: the ID of a sandbox, or any name. */
  links: ReadonlyMap<string, string>;
  /** Whether the network has no way out. */
  internal: boolean;
}

export type Family = 'ipv4' | 'ipv6';

interface Member { sandboxId: string; endpoint: ZoneEndpoint; links: ReadonlyMap<string, string> }
interface Domain { name: string; members: Map<string, Member>; byName: Map<string, Member[]>; byAddress: Map<string, Member> }

export class Zone {
  /** By network ID; those with members. */
  #domains = new Map<string, Domain>();
  /** The networks of each sandbox. */
  #networksOf = new Map<string, Set<string>>();

  /** Joining again replaces what was said before. */
  join(sandboxId: string, endpoint: ZoneEndpoint): void {
    this.#remove(sandboxId, endpoint.networkId);
    const domain = this.#domains.get(endpoint.networkId) ?? { name: endpoint.networkName, members: new Map(), byName: new Map(), byAddress: new Map() };
    this.#domains.set(endpoint.networkId, domain);
    domain.name = endpoint.networkName;
    const member = { sandboxId, endpoint, links: new Map([...endpoint.links].map(([alias, target]) => [alias.toLowerCase(), target])) };
    domain.members.set(sandboxId, member);
    for (const name of wordsOf(endpoint)) domain.byName.set(name, [...domain.byName.get(name) ?? [], member]);
    for (const address of addressesOf(endpoint)) domain.byAddress.set(address, member);
    const networks = this.#networksOf.get(sandboxId) ?? new Set();
    this.#networksOf.set(sandboxId, networks.add(endpoint.networkId));
  }

  /** Fine when it is not there. */
  leave(sandboxId: string, networkId: string): void {
    this.#remove(sandboxId, networkId);
    const networks = this.#networksOf.get(sandboxId);
    networks?.delete(networkId);
    if (networks?.size === 0) this.#networksOf.delete(sandboxId);
  }

  leaveAll(sandboxId: string): void {
    for (const networkId of this.#networksOf.get(sandboxId) ?? []) this.leave(sandboxId, networkId);
  }

  endpoints(sandboxId: string): ZoneEndpoint[] {
    return this.#membersOf(sandboxId).map(({ self }) => self.endpoint);
  }

  /** Its addresses of that family, possibly none; undefined when there is nothing of that name for this sandbox. `name`: without the last dot, in lower case. */
  resolve(sandboxId: string, name: string, family: Family): string[] | undefined {
    const places = this.#membersOf(sandboxId);
    if (places.length === 0) return undefined;
    // A name may have dots, and a network's name too: "a.b.c" is looked up as it is, as "a.b" in network "c", and as "a" in network "b.c".
    for (let dot = name.length; dot > 0; dot = name.lastIndexOf('.', dot - 1)) {
      const [host, network] = [name.slice(0, dot), name.slice(dot + 1)];
      const within = network === '' ? places : places.filter(({ domain }) => domain.name.toLowerCase() === network);
      const meant = [
        ...within.map(({ domain, self }) => linked(domain, self, host)),
        ...within.map(({ domain, self }) => (self.links.has(host) ? undefined : domain.byName.get(host))),
      ].filter((members) => members !== undefined);
      const addresses = meant.map((members) => [...new Set(members.map(({ endpoint }) => endpoint[family]).filter((address) => address !== ''))]);
      if (meant.length > 0) return addresses.find((some) => some.length > 0) ?? [];
    }
    return undefined;
  }

  /** "name.network" of the member with that address in a network of this sandbox. IPv6 in full. */
  reverse(sandboxId: string, address: string): string | undefined {
    for (const { domain } of this.#membersOf(sandboxId)) {
      const [name] = domain.byAddress.get(address)?.endpoint.names ?? [];
      if (name !== undefined) return `${name}.${domain.name}`;
    }
    return undefined;
  }

  /** In the order of the networks' names, as dockerd asks them. */
  #membersOf(sandboxId: string): Array<{ domain: Domain; self: Member }> {
    return [...this.#networksOf.get(sandboxId) ?? []].flatMap((networkId) => {
      const domain = this.#domains.get(networkId);
      const self = domain?.members.get(sandboxId);
      return domain && self ? [{ domain, self }] : [];
    }).toSorted((a, b) => (a.domain.name < b.domain.name ? -1 : 1));
  }

  #remove(sandboxId: string, networkId: string): void {
    const domain = this.#domains.get(networkId);
    const member = domain?.members.get(sandboxId);
    if (!domain || !member) return;
    domain.members.delete(sandboxId);
    for (const name of wordsOf(member.endpoint)) {
      const rest = (domain.byName.get(name) ?? []).filter((one) => one !== member);
      if (rest.length > 0) domain.byName.set(name, rest); else domain.byName.delete(name);
    }
    for (const address of addressesOf(member.endpoint)) if (domain.byAddress.get(address) === member) domain.byAddress.delete(address);
    if (domain.members.size === 0) this.#domains.delete(networkId);
  }
}

const wordsOf = ({ names }: ZoneEndpoint): Set<string> => new Set(names.filter((name) => name !== '').map((name) => name.toLowerCase()));
const addressesOf = ({ ipv4, ipv6 }: ZoneEndpoint): string[] => [ipv4, ipv6 === '' ? '' : fullIpv6(ipv6)].filter((address) => address !== '');

/** Who is meant by an alias of this member's own; undefined also while that one is not there. */
function linked(domain: Domain, self: Member, alias: string): Member[] | undefined {
  const target = self.links.get(alias);
  if (target === undefined) return undefined;
  const member = domain.members.get(target);
  return member ? [member] : domain.byName.get(target.toLowerCase());
}
