// What the firewall should say for what is open: a pure function from bridges, published ports and links to rules, in the spelling of iptables-save.
import { formatAddress, formatSubnet, parseAddress, parseCidr } from '../addresses/cidr.ts';
import type { Protocol } from '../index.ts';

export type Family = 'ipv4' | 'ipv6';

/** What one network or one container needs. */
export interface RuleSet { bridges?: readonly BridgeRules[]; ports?: readonly PortRule[]; links?: readonly LinkRule[] }

/** `ipv4` and `ipv6`: its subnets. `icc`: whether its containers may talk to each other. */
export interface BridgeRules { device: string; ipv4: readonly string[]; ipv6: readonly string[]; internal: boolean; icc: boolean; masquerade: boolean }

/** What comes for `hostPort` of `hostIp` ('' or 0.0.0.0 or ::: of every address) goes to `port` of `ip` behind the bridge `device`. Both of one family. */
export interface PortRule { device: string; protocol: Protocol; hostIp: string; hostPort: number; ip: string; port: number }

/** `from` may talk to a port of `to` although the bridge's containers may not talk to each other. */
export interface LinkRule { device: string; from: string; to: string; port: number; protocol: Protocol }

/**
 * Where a rule stands in its chain. 'first': before everything else, also before rules of others. 'top': rules of one `group` (a bridge) together and
 * in their order, above what was there before. 'end': behind what was there before.
 */
export type Place = { at: 'first' } | { at: 'top'; group: string } | { at: 'end' };

/** `text`: what follows `-A CHAIN ` in iptables-save. */
export interface NamedRule { table: Table; chain: string; text: string }
export interface Rule extends NamedRule { place: Place }
export type Table = 'filter' | 'nat' | 'raw' | 'mangle';

/** What holds for one family beside what is open. */
export interface Surroundings {
  /** Whether frames between two ports of one bridge pass the firewall as well (br_netfilter). */
  bridgeNetfilter: boolean;
  /** Whether the frame of chains and jumps is wanted even without a bridge: it stays once it was made. */
  frame: boolean;
  /** Where packets are refused before anything is done to them; mangle on a kernel without the table raw. */
  guardTable: 'raw' | 'mangle';
}

/** Chains that others build on, by table. They are made when they are missing and never emptied or taken away. */
export const CHAINS: Readonly<Record<Table, readonly string[]>> = {
  filter: ['DOCKER', 'DOCKER-ISOLATION-STAGE-1', 'DOCKER-ISOLATION-STAGE-2', 'DOCKER-USER'],
  nat: ['DOCKER'],
  raw: [],
  mangle: [],
};

const FIRST: Place = { at: 'first' };
const END: Place = { at: 'end' };
const ANYWHERE = new Set(['', '0.0.0.0', '::']);

/**
 * Source of chains, rules and their order: dockerd 20.10 with --userland-proxy=false, which docs/compatibility.md names the differences to. Bridges
 * in the order in which they were opened; the newest one's rules are above the others'. No rule is named twice.
 */
export function desiredRules(family: Family, open: Iterable<RuleSet>, surroundings: Surroundings): Rule[] {
  const sets = [...open];
  const bridges = sets.flatMap((set) => set.bridges ?? []);
  const concerned = bridges.filter((bridge) => subnetsOf(bridge, family).length > 0);
  if (concerned.length === 0 && !surroundings.frame) return [];
  const separated = new Set(bridges.filter(({ icc }) => !icc).map(({ device }) => device));
  const rules = [
    ...frameRules(family),
    ...concerned.flatMap((bridge) => bridgeRules(bridge, { family, ...surroundings })),
    ...sets.flatMap((set) => set.ports ?? []).filter(({ ip }) => familyOf(ip) === family).flatMap((port) => portRules(port, { separated: separated.has(port.device), ...surroundings })),
    ...sets.flatMap((set) => set.links ?? []).filter(({ to }) => familyOf(to) === family).flatMap(linkRules),
  ];
  return [...new Map(rules.map((rule) => [keyOf(rule), rule])).values()];
}

/** The same for the same rule, whatever its place. */
export const keyOf = ({ table, chain, text }: NamedRule): string => `${table} ${chain} ${text}`;

export const familyOf = (ip: string): Family => (ip.includes(':') ? 'ipv6' : 'ipv4');

const subnetsOf = (bridge: BridgeRules, family: Family): string[] => bridge[family].map((text) => {
  const parsed = parseCidr(text);
  return parsed === undefined ? text : formatSubnet(parsed.subnet);
});

/** The spelling of iptables-save, or a rule of ours would not be known again. */
function canonical(ip: string): string {
  const parsed = parseAddress(ip);
  return parsed === undefined ? ip : formatAddress(parsed);
}

function frameRules(family: Family): Rule[] {
  const local = '-m addrtype --dst-type LOCAL -j DOCKER';
  return [
    filter('FORWARD', '-j DOCKER-USER', FIRST),
    filter('FORWARD', '-j DOCKER-ISOLATION-STAGE-1', FIRST),
    // What came in by a published port may go from bridge to bridge; docker-proxy lets it, too.
    filter('DOCKER-ISOLATION-STAGE-2', '-m conntrack --ctstate DNAT -j RETURN', FIRST),
    filter('DOCKER-ISOLATION-STAGE-1', '-j RETURN', END),
    filter('DOCKER-ISOLATION-STAGE-2', '-j RETURN', END),
    filter('DOCKER-USER', '-j RETURN', END),
    nat('PREROUTING', local, END),
    // ::1 cannot leave the machine's lo in IPv6, whatever is done to the packet: a socket of the daemon takes it.
    nat('OUTPUT', family === 'ipv6' ? `! -d ::1/128 ${local}` : local, END),
  ];
}

function bridgeRules(bridge: BridgeRules, { family, bridgeNetfilter, guardTable }: Surroundings & { family: Family }): Rule[] {
  const { device, internal, icc, masquerade } = bridge;
  const subnets = subnetsOf(bridge, family);
  const top: Place = { at: 'top', group: device };
  // The bridge lets 127.0.0.0/8 through (route_localnet), so that the host reaches containers from there; containers must not reach the host's services the same way.
  const guards: Rule[] = family === 'ipv4' ? [{ table: guardTable, chain: 'PREROUTING', text: `-d 127.0.0.0/8 -i ${device} -j DROP`, place: top }] : [];
  const among = icc ? filter('FORWARD', `-i ${device} -o ${device} -j ACCEPT`, top) : filter('FORWARD', `-i ${device} -o ${device} -j DROP`, END);
  if (internal) {
    const [subnet = ''] = subnets;
    return [
      among,
      filter('DOCKER-ISOLATION-STAGE-1', `! -s ${subnet} -o ${device} -j DROP`, top),
      filter('DOCKER-ISOLATION-STAGE-1', `! -d ${subnet} -i ${device} -j DROP`, top),
      ...guards,
    ];
  }
  return [
    filter('FORWARD', `-o ${device} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`, top),
    filter('FORWARD', `-o ${device} -j DOCKER`, top),
    filter('FORWARD', `-i ${device} ! -o ${device} -j ACCEPT`, top),
    among,
    filter('DOCKER-ISOLATION-STAGE-1', `-i ${device} ! -o ${device} -j DOCKER-ISOLATION-STAGE-2`, top),
    filter('DOCKER-ISOLATION-STAGE-2', `-o ${device} -j DROP`, top),
    nat('POSTROUTING', `-o ${device} -m addrtype --src-type LOCAL -j MASQUERADE`, top),
    ...subnets.flatMap((subnet) => [
      ...(masquerade ? [nat('POSTROUTING', `-s ${subnet} ! -o ${device} -j MASQUERADE`, top)] : []),
      // The answer of one container to another would go straight through the bridge, past the place where its address is changed back. By IPv6 it would
      // not even find its way when they may not talk to each other: the question for the neighbour's hardware address is dropped as well.
      ...(bridgeNetfilter && (icc || family === 'ipv4') ? [] : [nat('POSTROUTING', `-s ${subnet} -d ${subnet} -o ${device} -m conntrack --ctstate DNAT -j MASQUERADE`, top)]),
    ]),
    ...guards,
  ];
}

function portRules({ device, protocol, hostIp, hostPort, ip, port }: PortRule, { separated, guardTable }: Surroundings & { separated: boolean }): Rule[] {
  const [target, at] = [hostOf(ip), canonical(ip)];
  const onHost = ANYWHERE.has(hostIp) ? '' : `-d ${hostOf(hostIp)} `;
  const to = `-p ${protocol} -m ${protocol} --dport ${port}`;
  const rules = [
    filter('DOCKER', `-d ${target} ! -i ${device} -o ${device} ${to} -j ACCEPT`, END),
    // By the host's port, not by its own: docker-proxy lets containers do that, too.
    ...(separated ? [filter('DOCKER', `-d ${target} -i ${device} -o ${device} ${to} -m conntrack --ctstate DNAT -j ACCEPT`, END)] : []),
    nat('POSTROUTING', `-s ${target} -d ${target} ${to} -j MASQUERADE`, END),
    nat('DOCKER', `${onHost}-p ${protocol} -m ${protocol} --dport ${hostPort} -j DNAT --to-destination ${at.includes(':') ? `[${at}]` : at}:${port}`, END),
  ];
  // Rules change the address before the kernel would refuse it: a neighbour could send to 127.0.0.1 and reach what was published for the host alone.
  if (hostIp.startsWith('127.')) {
    rules.push({ table: guardTable, chain: 'PREROUTING', text: `${onHost}! -i lo -p ${protocol} -m ${protocol} --dport ${hostPort} -j DROP`, place: { at: 'top', group: `${hostIp} ${protocol} ${hostPort}` } });
  }
  return rules;
}

function linkRules({ device, from, to, port, protocol }: LinkRule): Rule[] {
  const [source, target] = [hostOf(from), hostOf(to)];
  const within = `-i ${device} -o ${device} -p ${protocol} -m ${protocol}`;
  return [
    filter('DOCKER', `-s ${source} -d ${target} ${within} --dport ${port} -j ACCEPT`, END),
    filter('DOCKER', `-s ${target} -d ${source} ${within} --sport ${port} -j ACCEPT`, END),
  ];
}

const hostOf = (ip: string): string => `${canonical(ip)}/${ip.includes(':') ? 128 : 32}`;
const filter = (chain: string, text: string, place: Place): Rule => ({ table: 'filter', chain, text, place });
const nat = (chain: string, text: string, place: Place): Rule => ({ table: 'nat', chain, text, place });
