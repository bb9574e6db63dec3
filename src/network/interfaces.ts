// The interface of one endpoint inside a container's namespace: made with addresses and link, found again after a restart, taken away.
import type { NetLink, NetNamespace } from '../kernel/index.ts';
import { EngineError, invalid } from '../lib/errors.ts';
import type { NetworkRecord } from '../store/index.ts';
import { linkLocalAddress } from './addresses/link-local.ts';
import { addBridgePort, mtuOf, type BridgeNeeds } from './bridge.ts';
import { vethOf } from './devices.ts';
import { addMacvlanPort } from './macvlan.ts';
import { putSysctl } from './sysctls.ts';
import type { Place } from './way-out.ts';

const PREFIX = 'com.docker.network.container_iface_prefix';
const NAME = 'com.docker.network.endpoint.ifname';
const SYSCTLS = 'com.docker.network.endpoint.sysctls';
const DEFAULT_PREFIX = 'eth';
/** Source: dev_valid_name of the kernel. */
const VALID_NAME = /^(?!\.\.?$)[^\s/:]{1,15}$/;

/** Whether the namespace has an interface without a far end on a bridge of ours. */
const onBridge = ({ Driver }: NetworkRecord): boolean => Driver === 'bridge';

/** The name of the next interface in this network, as Docker counts: per prefix, never one again that was given in this run. */
export function nextName({ wish }: Place, given: ReadonlySet<string>): string {
  const asked = wish.driverOpts[NAME];
  if (asked !== undefined && asked !== '') {
    if (!VALID_NAME.test(asked) || asked === 'lo') throw invalid(`invalid interface name ${JSON.stringify(asked)}`);
    if (given.has(asked)) throw invalid(`interface name ${asked} is given to two networks of the container`);
    return asked;
  }
  const prefix = wish.network.Options[PREFIX] || DEFAULT_PREFIX;
  for (let number = 0; ; number++) if (!given.has(`${prefix}${number}`)) return `${prefix}${number}`;
}

/** Makes it under the name that the endpoint has. Its near end goes with it: one undo takes back all. */
export function makeInterface(needs: BridgeNeeds, { wish, endpoint }: Place, namespace: NetNamespace): void {
  const { network, endpointId } = wish;
  const port = { endpointId, name: endpoint.interfaceName, mac: endpoint.mac, namespace };
  if (onBridge(network)) addBridgePort(needs, network, port);
  else addMacvlanPort(needs, network, { ...port, mtu: mtuOf(network, needs.settings) });
  try { configure(needs, { wish, endpoint }, namespace); }
  catch (error) {
    dropInterface(needs, { wish, endpoint }, namespace);
    throw error;
  }
}

function configure({ host }: BridgeNeeds, { wish, endpoint }: Place, namespace: NetNamespace): void {
  const name = endpoint.interfaceName;
  // On a wire others may know the addresses by another MAC, and switches this MAC by another port: when the interface comes up, the kernel tells them.
  // A bridge's port lets nothing through at that moment; there the MAC follows from the address.
  const tells = !onBridge(wish.network);
  if (tells) putSysctl(namespace, `ipv4/conf/${name}/arp_notify`, '1');
  if (endpoint.ipv6 !== '') {
    putSysctl(namespace, 'ipv6/conf/lo/disable_ipv6', '0');
    putSysctl(namespace, `ipv6/conf/${name}/disable_ipv6`, '0');
    if (tells) putSysctl(namespace, `ipv6/conf/${name}/ndisc_notify`, '1');
  }
  if (endpoint.ipv4 !== '') namespace.addAddress(name, `${endpoint.ipv4}/${endpoint.ipv4PrefixLen}`);
  if (endpoint.ipv6 !== '') namespace.addAddress(name, `${endpoint.ipv6}/${endpoint.ipv6PrefixLen}`);
  for (const address of wish.linkLocal) namespace.addAddress(name, linkLocalAddress(address));
  namespace.setLink(name, { up: true });
  if (onBridge(wish.network)) host.setLink(vethOf(wish.endpointId), { up: true });
  for (const [path, value] of endpointSysctls(wish.driverOpts[SYSCTLS] ?? '', name)) namespace.setSysctl(path, value);
}

/** "net.ipv4.conf.IFNAME.log_martians=1,…": IFNAME is the interface. Source: docker network connect, API 1.46. */
function endpointSysctls(text: string, name: string): Array<[path: string, value: string]> {
  return text.split(',').filter((one) => one !== '').map((one) => {
    const [, family, kind, key, value] = /^net\.(ipv4|ipv6|mpls)\.(conf|neigh)\.IFNAME\.([a-z0-9_]+)=(.*)$/.exec(one) ?? [];
    if (family === undefined || kind === undefined || key === undefined || value === undefined) throw invalid(`unrecognised network interface sysctl '${one}'; must be in format 'net.X.Y.IFNAME.Z=V'`);
    return [`${family}/${kind}/${name}/${key}`, value];
  });
}

/** While the container runs on, and without holding the daemon up. */
export function removeInterface({ host }: BridgeNeeds, { wish, endpoint }: Place, namespace: NetNamespace): Promise<void> {
  return onBridge(wish.network) ? host.removeLinks([vethOf(wish.endpointId)]) : namespace.removeLinks([endpoint.interfaceName]);
}

/** The same at once, for an undo. */
export function dropInterface({ host }: BridgeNeeds, { wish, endpoint }: Place, namespace: NetNamespace): void {
  if (onBridge(wish.network)) host.deleteLink(vethOf(wish.endpointId));
  else namespace.deleteLink(endpoint.interfaceName);
}

/** What the endpoint's interface is called in there; undefined when it has none. */
export function findInterface({ host, notes }: BridgeNeeds, { wish }: Place, inside: readonly NetLink[]): string | undefined {
  if (!onBridge(wish.network)) return inside.find(({ alias }) => alias === notes.alias(wish.endpointId))?.name;
  const near = host.link(vethOf(wish.endpointId));
  return near === undefined ? undefined : inside.find(({ index, kind }) => index === near.peer && kind === 'veth')?.name;
}

/** The near end leaves the bridge at once, so that nobody is answered any more under the address; the rest goes with the namespace. */
export function cutOff({ host }: BridgeNeeds, { wish }: Place): void {
  if (!onBridge(wish.network) || host.link(vethOf(wish.endpointId)) === undefined) return;
  host.setLink(vethOf(wish.endpointId), { master: null, up: false });
}

/** For an endpoint of a driver that this room does not know. */
export function assertKnownDriver({ Driver, Name }: NetworkRecord): void {
  if (Driver !== 'bridge' && Driver !== 'macvlan') throw new EngineError('system', `network ${Name} has the driver ${Driver}, which has no endpoints`);
}
