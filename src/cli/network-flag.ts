// --network and what belongs to it: names alone or with fields → the networks of a new container.
import type { EndpointSettings } from '../wire/types.ts';
import { splitFields } from './csv.ts';
import { Failure } from './failure.ts';
import type { Flags } from './flags.ts';

interface Wanted {
  name: string;
  aliases: readonly string[];
  links: readonly string[];
  ipv4: string;
  ipv6: string;
  linkLocal: readonly string[];
  mac: string;
  gwPriority: number | undefined;
  driverOpts: Readonly<Record<string, string>>;
}

export interface NetworksWanted {
  /** What HostConfig.NetworkMode says. */
  mode: string;
  /** Of the first network, for daemons that know one per container. */
  mac: string;
  endpoints: Record<string, Partial<EndpointSettings>>;
}

/** Networks that are there without anybody having made them, and the network of another container. */
const isPredefined = (name: string): boolean => ['default', 'bridge', 'host', 'none'].includes(name) || name.startsWith('container:');

/** `net`, or `name=net,alias=a,ip=…,ip6=…,link-local-ip=…,mac-address=…,gw-priority=…,driver-opt=k=v`; throws an Error that says which field is wrong. */
export function parseNetwork(text: string): Wanted {
  const lists = { aliases: [] as string[], linkLocal: [] as string[] };
  const driverOpts: Record<string, string> = {};
  let wanted: Wanted = { name: text, ...lists, links: [], ipv4: '', ipv6: '', mac: '', gwPriority: undefined, driverOpts };
  if (!/\w+=\w+/.test(text)) return wanted;
  wanted = { ...wanted, name: '' };
  for (const field of splitFields(text)) {
    const equals = field.indexOf('=');
    if (equals < 0) throw new Error(`invalid field ${field}`);
    const [key, value] = [field.slice(0, equals).trim().toLowerCase(), field.slice(equals + 1).trim()];
    switch (key) {
      case 'name': wanted = { ...wanted, name: value }; break;
      case 'alias': lists.aliases.push(value); break;
      case 'ip': wanted = { ...wanted, ipv4: value }; break;
      case 'ip6': wanted = { ...wanted, ipv6: value }; break;
      case 'link-local-ip': lists.linkLocal.push(value); break;
      case 'mac-address': wanted = { ...wanted, mac: value }; break;
      case 'gw-priority':
        if (!/^[+-]?\d+$/.test(value)) throw new Error(`invalid gw-priority (${value}): invalid syntax`);
        wanted = { ...wanted, gwPriority: Number(value) };
        break;
      case 'driver-opt': Object.assign(driverOpts, driverOption(value)); break;
      default: throw new Error(`invalid field key ${key}`);
    }
  }
  if (wanted.name === '') throw new Error('network name/id is not specified');
  return wanted;
}

/** `key=value`; throws an Error when it is not. */
export function driverOption(text: string): Record<string, string> {
  const equals = text.indexOf('=');
  if (equals < 0) throw new Error('invalid key value pair format in driver options');
  return { [text.slice(0, equals).trim()]: text.slice(equals + 1).trim() };
}

/** The flags that describe one network are meant for the first. Throws a Failure when they contradict each other. */
export function networksWanted(flags: Flags): NetworksWanted {
  const named = [...flags.list('network'), ...flags.list('net')].map(parseNetwork);
  const [first = parseNetwork('default'), ...others] = named;
  const all = [withFlags(first, flags, named.length > 0), ...others];
  const endpoints: NetworksWanted['endpoints'] = {};
  for (const one of all) {
    if (one.name.trim() === '') throw new Failure('no name set for network');
    if (isPredefined(one.name) && one.aliases.length > 0) throw new Failure('network-scoped aliases are only supported for user-defined networks');
    if (one.mac !== '' && !isMacAddress(one.mac)) throw new Failure(`${one.mac} is not a valid mac address`);
    if (Object.hasOwn(endpoints, one.name)) throw new Failure(`network ${JSON.stringify(one.name)} is specified multiple times`);
    const endpoint = endpointOf(one);
    // Who says nothing but one name leaves it to the daemon.
    if (all.length > 1 || Object.keys(endpoint).length > 0) endpoints[one.name] = endpoint;
  }
  if (all.some(({ name }) => isPredefined(name)) && !all.every(({ name }) => isPredefined(name))) throw new Failure('conflicting options: cannot attach both user-defined and non-user-defined network-modes');
  return { mode: all[0]?.name ?? '', mac: all[0]?.mac ?? '', endpoints };
}

export const isMacAddress = (text: string): boolean => /^([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}$/.test(text);

function withFlags(first: Wanted, flags: Flags, named: boolean): Wanted {
  // Names need a network that somebody made: who names none is not told of it, as with docker 20.10.
  const aliases = named ? [...flags.list('network-alias'), ...flags.list('net-alias')] : [];
  const both = (flag: string, what: string) => new Failure(`conflicting options: cannot specify both --${flag} and per-network ${what}`);
  const text = (flag: string, own: string, what: string) => {
    if (own !== '' && flags.text(flag) !== '') throw both(flag, what);
    return own || flags.text(flag);
  };
  if (aliases.length > 0 && first.aliases.length > 0) throw both('network-alias', 'alias');
  if (flags.given('link-local-ip') && first.linkLocal.length > 0) throw both('link-local-ip', 'link-local IP addresses');
  return {
    ...first,
    aliases: [...first.aliases, ...aliases], linkLocal: [...first.linkLocal, ...flags.list('link-local-ip')],
    // In the default network a link is the container's, elsewhere it is a name within the network.
    links: isPredefined(first.name) ? [] : flags.list('link'),
    ipv4: text('ip', first.ipv4, 'IPv4 address'), ipv6: text('ip6', first.ipv6, 'IPv6 address'),
    mac: (text('mac-address', first.mac, 'MAC address'), first.mac),
  };
}

function endpointOf(wanted: Wanted): Partial<EndpointSettings> {
  const addresses = {
    ...(wanted.ipv4 === '' ? {} : { IPv4Address: wanted.ipv4 }), ...(wanted.ipv6 === '' ? {} : { IPv6Address: wanted.ipv6 }),
    ...(wanted.linkLocal.length === 0 ? {} : { LinkLocalIPs: [...wanted.linkLocal] }),
  };
  return {
    ...(Object.keys(addresses).length === 0 ? {} : { IPAMConfig: addresses }),
    ...(wanted.links.length === 0 ? {} : { Links: [...wanted.links] }), ...(wanted.aliases.length === 0 ? {} : { Aliases: [...wanted.aliases] }),
    ...(wanted.mac === '' ? {} : { MacAddress: wanted.mac }), ...(Object.keys(wanted.driverOpts).length === 0 ? {} : { DriverOpts: { ...wanted.driverOpts } }),
    ...(wanted.gwPriority === undefined ? {} : { GwPriority: wanted.gwPriority }),
  };
}
