// resolv.conf as containers get it: the text, and what the host's own says. Pure. Source: resolv.conf(5), and what dockerd 20.10 writes.

export interface ResolvConf { servers: string[]; search: string[]; options: string[] }

export interface ResolvConfWish {
  /** Of the host, as it is. */
  host: string;
  /** The container's own, or the daemon's, or empty: the host's. */
  dns: readonly string[];
  dnsSearch: readonly string[];
  dnsOptions: readonly string[];
}

/** The address that the resolver of user-defined networks is asked at. */
export const RESOLVER_ADDRESS = '127.0.0.11';

/** Who is asked when the host names nobody that a container can reach, as dockerd decides. */
export const DEFAULT_SERVERS = { ipv4: ['8.8.8.8', '8.8.4.4'], ipv6: ['2001:4860:4860::8888', '2001:4860:4860::8844'] } as const;

/** Where systemd-resolved keeps what its stub asks. The stub itself is on the host's loopback. */
export const STUB = { server: '127.0.0.53', file: '/run/systemd/resolve/resolv.conf' } as const;

/** Of several search or options lines the last one holds; what is no address is no server. */
export function parseResolvConf(text: string): ResolvConf {
  const found: ResolvConf = { servers: [], search: [], options: [] };
  for (const line of text.split('\n')) {
    const [word, ...rest] = line.replace(/[#;].*$/, '').trim().split(/\s+/);
    if (word === 'nameserver' && rest.length === 1 && /^(?:[\d.]+|[\da-f:.]*:[\da-f:.]*(?:%\S+)?)$/i.test(rest[0] ?? '')) found.servers.push(...rest);
    if (word === 'search') found.search = rest;
    if (word === 'options') found.options = rest;
  }
  return found;
}

/** For a container in the host's network, or in none: the host's file, or one made of what the container says and the host for the rest. */
export function hostResolvConf(wish: ResolvConfWish): string {
  return saysNothing(wish) ? wish.host : write(merged(wish));
}

/**
 * For the default bridge, whose containers ask servers themselves: the host's without those on its loopback, which is not theirs.
 * `usesDefaults`: nobody was left, so that public servers were put in.
 */
export function bridgeResolvConf(wish: ResolvConfWish, ipv6: boolean): { text: string; usesDefaults: boolean } {
  if (!saysNothing(wish)) return { text: write(merged(wish)), usesDefaults: false };
  const drops = (line: string) => {
    const [server] = parseResolvConf(line).servers;
    return server !== undefined && (isLoopback(server) || (!ipv6 && server.includes(':')));
  };
  const kept = wish.host.split('\n').filter((line) => !drops(line)).join('\n');
  if (parseResolvConf(kept).servers.length > 0) return { text: kept, usesDefaults: false };
  const servers = [...DEFAULT_SERVERS.ipv4, ...(ipv6 ? DEFAULT_SERVERS.ipv6 : [])];
  return { text: [kept, ...servers.map((server) => `nameserver ${server}`), ''].join('\n'), usesDefaults: true };
}

/** For a container that asks the resolver in the daemon. Names without a dot are asked as they are first, unless the user says how many dots it takes. */
export function embeddedResolvConf(wish: ResolvConfWish): string {
  const { search, options } = merged(wish);
  return write({ servers: [RESOLVER_ADDRESS], search, options: options.some((option) => option.startsWith('ndots')) ? options : [...options, 'ndots:0'] });
}

/** Whether names without a dot are for the containers only: the user asked for dots, so the client comes again with a search domain. */
export const wantsDots = (options: readonly string[]): boolean => options.some((option) => /^ndots:[0-9]+$/.test(option));

export const isLoopback = (server: string): boolean => server.startsWith('127.') || server === '::1';

const saysNothing = ({ dns, dnsSearch, dnsOptions }: ResolvConfWish): boolean => dns.length + dnsSearch.length + dnsOptions.length === 0;

function merged({ host, dns, dnsSearch, dnsOptions }: ResolvConfWish): ResolvConf {
  const { servers, search, options } = parseResolvConf(host);
  return {
    servers: dns.length > 0 ? [...dns] : servers,
    search: dnsSearch.length > 0 ? [...dnsSearch] : search,
    options: dnsOptions.length > 0 ? [...dnsOptions] : options,
  };
}

/** A search list of nothing but a dot means none. */
function write({ servers, search, options }: ResolvConf): string {
  const lines = [
    ...(search.length > 0 && search.join(' ') !== '.' ? [`search ${search.join(' ')}`] : []),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
  ];
  return lines.map((line) => `${line}\n`).join('');
}
