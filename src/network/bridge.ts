// The device of a bridge network: made or adopted, with its addresses and settings; and the interfaces that containers get in it.
import type { NetNamespace } from '../kernel/index.ts';
import type { NetworkPool, NetworkRecord } from '../store/index.ts';
import type { NetworkSettings } from './index.ts';
import type { BridgeRules } from './firewall/index.ts';
import { bridgeOf, isDefault, vethOf, type Notes } from './devices.ts';
import { putSysctl, wantSysctl } from './sysctls.ts';
import type { Clock } from '../lib/clock.ts';
import { EngineError } from '../lib/errors.ts';
import { parseTruth } from '../wire/truth.ts';

const ICC = 'com.docker.network.bridge.enable_icc';
const MASQUERADE = 'com.docker.network.bridge.enable_ip_masquerade';
const INHIBIT_IPV4 = 'com.docker.network.bridge.inhibit_ipv4';
export const MTU = 'com.docker.network.driver.mtu';
/** What Docker gives every bridge with IPv6, for containers that look for a router. */
const LINK_LOCAL = 'fe80::1/64';
const KIND = 'bridge';
const BRIDGE_FILTER = 'bridge/bridge-nf-call-iptables';

export interface BridgeNeeds { host: NetNamespace; notes: Notes; clock: Clock; settings: NetworkSettings }

/** Docker reads anything but a false word as true. */
const isOff = (value = ''): boolean => parseTruth(value) === false;
const isOn = (value = ''): boolean => parseTruth(value) === true;

export function hasIcc(network: NetworkRecord, settings: NetworkSettings): boolean {
  return isDefault(network) && network.Options[ICC] === undefined ? settings.icc : !isOff(network.Options[ICC]);
}

/** 0: the kernel's. */
export function mtuOf(network: NetworkRecord, settings: NetworkSettings): number {
  const asked = Number(network.Options[MTU] ?? '');
  return Number.isInteger(asked) && asked > 0 ? asked : isDefault(network) ? settings.mtu : 0;
}

/** What the firewall is to know about it. */
export function rulesOf(network: NetworkRecord, settings: NetworkSettings): BridgeRules {
  const masquerade = isDefault(network) && network.Options[MASQUERADE] === undefined ? settings.ipMasq : !isOff(network.Options[MASQUERADE]);
  const subnets = (pools: readonly NetworkPool[]) => pools.map(({ subnet }) => subnet);
  return {
    device: bridgeOf(network), ipv4: subnets(network.pools.v4), ipv6: network.EnableIPv6 ? subnets(network.pools.v6) : [],
    internal: network.Internal, icc: hasIcc(network, settings), masquerade,
  };
}

/**
 * Makes the device, or takes the one that is there, with at least the network's addresses. One that is not ours keeps whatever else it has and is
 * never deleted. `undo` takes back what was made here.
 */
export function openBridge(needs: BridgeNeeds, network: NetworkRecord, undo: DisposableStack): void {
  const { host, notes, clock, settings } = needs;
  const name = bridgeOf(network);
  const mtu = mtuOf(network, settings);
  const found = host.link(name);
  if (found !== undefined && found.kind !== KIND) throw new EngineError('forbidden', `cannot use ${name} for network ${network.Name}: it is there already and is no bridge`);
  if (found === undefined) {
    // An address of its own: without one a bridge takes the lowest of its ports', and neighbours forget the gateway with each container.
    host.addBridge({ name, mac: randomMac(clock), alias: notes.alias(network.Id), ...(mtu > 0 ? { mtu } : {}) });
    undo.defer(() => host.deleteLink(name));
  } else if (notes.owned(found.alias) !== undefined && found.alias !== notes.alias(network.Id)) {
    host.setLink(name, { alias: notes.alias(network.Id) });
  }
  if (found !== undefined && mtu > 0 && found.mtu !== mtu && notes.owned(found.alias) !== undefined) host.setLink(name, { mtu });
  putBridgeSysctls(needs, network);
  putAddresses(needs, network, { index: found?.index, ours: found === undefined || notes.owned(found.alias) !== undefined, undo });
  host.setLink(name, { up: true });
}

/**
 * Where containers may not talk to each other: has the kernel load what lets frames between two ports of one bridge meet the firewall, if that is a
 * module. Without it ports are isolated from each other, which knows no exceptions for links.
 */
export async function prepareWalls({ host, settings }: Pick<BridgeNeeds, 'host' | 'settings'>, network: NetworkRecord): Promise<void> {
  if (!settings.iptables || hasIcc(network, settings) || host.sysctl(BRIDGE_FILTER) !== undefined) return;
  await host.run(['modprobe', 'br_netfilter']).catch(() => { /* no such module, or no modprobe */ });
}

/** Takes it away if it is ours. */
export async function closeBridge({ host, notes }: Pick<BridgeNeeds, 'host' | 'notes'>, network: NetworkRecord): Promise<void> {
  const name = bridgeOf(network);
  const found = host.link(name);
  if (found !== undefined && notes.owned(found.alias) !== undefined) await host.removeLinks([name]);
}

/** As dockerd 20.10 sets them. */
function putBridgeSysctls({ host, settings }: BridgeNeeds, network: NetworkRecord): void {
  const name = bridgeOf(network);
  putSysctl(host, `ipv6/conf/${name}/accept_ra`, '0');
  // What a program of the host sends to a port published on 127.0.0.1 leaves through the bridge with a local source.
  if (settings.iptables) putSysctl(host, `ipv4/conf/${name}/route_localnet`, '1');
  if (network.EnableIPv6) wantSysctl(host, `ipv6/conf/${name}/disable_ipv6`, '0');
  // Frames between two ports of one bridge meet the firewall only so.
  if (settings.iptables && !hasIcc(network, settings)) {
    wantSysctl(host, BRIDGE_FILTER, '1');
    if (network.EnableIPv6) wantSysctl(host, 'bridge/bridge-nf-call-ip6tables', '1');
  }
}

function putAddresses({ host }: BridgeNeeds, network: NetworkRecord, device: { index: number | undefined; ours: boolean; undo: DisposableStack }): void {
  const name = bridgeOf(network);
  const wanted = [
    ...(isOn(network.Options[INHIBIT_IPV4]) ? [] : network.pools.v4.slice(0, 1).map(addressOf)),
    ...(network.EnableIPv6 ? [LINK_LOCAL, ...network.pools.v6.slice(0, 1).map(addressOf)] : []),
  ].filter((address) => address !== '');
  const there = device.index === undefined ? [] : host.addresses().filter(({ link }) => link === device.index).map(({ address }) => address);
  for (const address of wanted.filter((one) => !there.includes(one))) {
    host.addAddress(name, address);
    if (device.index !== undefined) device.undo.defer(() => host.deleteAddress(name, address));
  }
  // Settings may have changed since we made it: two gateways would lead containers' answers astray.
  const stale = device.ours ? there.filter((one) => !wanted.includes(one) && !one.startsWith('fe80:')) : [];
  for (const address of stale) host.deleteAddress(name, address);
}

const addressOf = ({ subnet, gateway }: NetworkPool): string => (gateway === '' ? '' : `${gateway}/${subnet.split('/')[1] ?? ''}`);

/** Locally administered, as Docker makes them. */
function randomMac(clock: Clock): string {
  return `02:42:${clock.randomHex(4).replace(/(..)(?=.)/g, '$1:')}`;
}

/** An interface in a container: the far end of a pair whose near end is a port of the bridge. Both are down. */
export function addBridgePort(needs: BridgeNeeds, network: NetworkRecord, port: { endpointId: string; name: string; mac: string; namespace: NetNamespace }): void {
  const { host, notes, settings } = needs;
  const mtu = mtuOf(network, settings);
  host.addVeth({
    name: vethOf(port.endpointId), master: bridgeOf(network), alias: notes.alias(port.endpointId),
    // A container may call a port that itself has published.
    hairpin: true,
    isolated: !hasIcc(network, settings) && host.sysctl(BRIDGE_FILTER) === undefined,
    ...(mtu > 0 ? { mtu } : {}), peer: { name: port.name, mac: port.mac, namespace: port.namespace },
  });
}
