// The flags about networks: what the default network is like, where subnets come from, and what names are resolved by. Pure.
import { invalid } from '../lib/errors.ts';
import type { NetworkSettings } from '../network/index.ts';
import { isCidr } from '../wire/address.ts';

/** Source: dockerd's own. */
const DEFAULT_BRIDGE = 'docker0';
/** Longest name of a device, in bytes: IFNAMSIZ without the zero at its end. */
const DEVICE_NAME_BYTES = 15;

interface Given { text: (name: string, fallback: string) => string; flag: (name: string, fallback: boolean) => boolean; all: (name: string) => readonly string[] }

/** Error: invalid, in dockerd's words where it finds the same before it starts anything. */
export function networkSettingsOf({ text, flag, all }: Given): NetworkSettings {
  const bridge = text('bridge', '');
  const bip = cidr(text('bip', ''), 'bip');
  if (bridge !== '' && bip !== '') throw invalid('You specified -b & --bip, mutually exclusive options. Please specify only one');
  if (Buffer.byteLength(bridge) > DEVICE_NAME_BYTES || /[\s/:]/.test(bridge) || bridge === '.' || bridge === '..') throw invalid(`invalid argument ${JSON.stringify(bridge)} for "--bridge" flag: expected the name of a device, at most ${DEVICE_NAME_BYTES} bytes`);
  const iptables = flag('iptables', true);
  const icc = flag('icc', true);
  if (!iptables && !icc) throw invalid('You specified --iptables=false with --icc=false. ICC=false uses iptables to function. Please set --icc or --iptables to true');
  const mtu = Number(text('mtu', '0'));
  if (mtu < 0) throw invalid(`invalid MTU number: ${mtu}`);
  return {
    bridge: bridge === '' ? DEFAULT_BRIDGE : bridge, bip, mtu, icc, iptables,
    fixedCidr: cidr(text('fixed-cidr', ''), 'fixed-cidr'), fixedCidrV6: cidr(text('fixed-cidr-v6', ''), 'fixed-cidr-v6'),
    defaultGateway: text('default-gateway', '').trim(), defaultGatewayV6: text('default-gateway-v6', '').trim(),
    ipv6: flag('ipv6', false),
    // Without rules there is nothing to masquerade with.
    ipMasq: iptables && flag('ip-masq', true),
    ipForward: flag('ip-forward', true),
    // Who says --iptables=false means no rules at all: once there was nothing else to say.
    ip6tables: flag('ip6tables', iptables),
    hostIp: text('ip', '').trim(), userlandProxy: flag('userland-proxy', true),
    dns: all('dns').map((server) => server.trim()), dnsSearch: all('dns-search').map((domain) => domain.trim()), dnsOptions: all('dns-opt'),
    hostGatewayIp: text('host-gateway-ip', '').trim(), addressPools: all('default-address-pool').map(poolOf),
  };
}

function cidr(text: string, name: string): string {
  if (text !== '' && !isCidr(text)) throw invalid(`invalid argument ${JSON.stringify(text)} for "--${name}" flag: invalid CIDR address: ${text}`);
  return text;
}

/** "base=172.30.0.0/16,size=24" */
function poolOf(text: string): { base: string; size: number } {
  const refused = (why: string) => invalid(`invalid argument ${JSON.stringify(text)} for "--default-address-pool" flag: ${why}`);
  let [base, size] = ['', 0];
  for (const field of text.split(',')) {
    const equals = field.indexOf('=');
    if (equals < 0) throw refused(`invalid field '${field}' must be a key=value pair`);
    const [key, value] = [field.slice(0, equals).toLowerCase(), field.slice(equals + 1)];
    if (key === 'base') base = value;
    else if (key !== 'size') throw refused(`unexpected key '${field.slice(0, equals)}' in '${field}'`);
    else if (!/^[+-]?\d+$/.test(value)) throw refused(`invalid size value: ${JSON.stringify(value)} (must be integer): strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`);
    else size = Number(value);
  }
  if (!isCidr(base)) throw refused(`invalid base pool ${JSON.stringify(base)}: invalid CIDR address: ${base}`);
  // A subnet needs room for a gateway and a container; a smaller number than the base's would be more than there is.
  if (size < Number(base.slice(base.indexOf('/') + 1)) || size > (base.includes(':') ? 126 : 30)) throw refused(`invalid pools size: ${size}`);
  return { base, size };
}
