// A macvlan network has no device of its own: its containers get interfaces on a parent, a device of the host, a VLAN of one, or a stand-in of ours.
import type { NetNamespace } from '../kernel/index.ts';
import type { NetworkRecord } from '../store/index.ts';
import { EngineError, errnoOf } from '../lib/errors.ts';
import { standInOf, standInPeerOf, vlanOf, type Notes } from './devices.ts';
import { isClosed } from './way-out.ts';

export const PARENT = 'parent';
const MODE = 'macvlan_mode';
const MODES = ['bridge', 'private', 'vepa', 'passthru'];

export interface MacvlanNeeds { host: NetNamespace; notes: Notes }

/** Where its interfaces sit. */
export const parentOf = (network: NetworkRecord): string => (isStandIn(network) ? standInOf(network) : network.Options[PARENT] ?? '');

const isStandIn = (network: NetworkRecord): boolean => !network.Options[PARENT] && isClosed(network);

export function modeOf({ Options }: NetworkRecord): string {
  const mode = Options[MODE] || 'bridge';
  if (!MODES.includes(mode)) throw new EngineError('system', `requested macvlan mode '${mode}' is not valid, 'bridge' mode is the macvlan driver default`);
  return mode;
}

/** Finds the parent, or makes it. A VLAN that was there before is used and never deleted. */
export function openMacvlan({ host, notes }: MacvlanNeeds, network: NetworkRecord, undo: DisposableStack): void {
  modeOf(network);
  const name = parentOf(network);
  const found = host.link(name);
  if (found !== undefined) {
    if (notes.owned(found.alias) !== undefined) host.setLink(name, { alias: notes.alias(network.Id), up: true });
    return;
  }
  if (isStandIn(network)) addStandIn({ host, notes }, network);
  else addVlan({ host, notes }, network);
  undo.defer(() => host.deleteLink(name));
  host.setLink(name, { up: true });
}

/** Takes the parent away if we made it. */
export async function closeMacvlan({ host, notes }: MacvlanNeeds, network: NetworkRecord): Promise<void> {
  const name = parentOf(network);
  const found = host.link(name);
  if (found !== undefined && notes.owned(found.alias) !== undefined) await host.removeLinks([name]);
}

function addVlan({ host, notes }: MacvlanNeeds, network: NetworkRecord): void {
  const name = parentOf(network);
  const vlan = vlanOf(name);
  if (vlan === undefined) throw new EngineError('system', `invalid subinterface vlan name ${name}, example formatting is eth0.10`);
  if (host.link(vlan.parent) === undefined) throw new EngineError('system', `failed to find master interface ${vlan.parent} on the Docker host: no such device`);
  host.addVlan({ name, parent: vlan.parent, id: vlan.id, alias: notes.alias(network.Id) });
}

/** A pair with both ends here does what a dummy does where the kernel has none: it is up, and leads nowhere. */
function addStandIn({ host, notes }: MacvlanNeeds, network: NetworkRecord): void {
  const name = standInOf(network);
  const alias = notes.alias(network.Id);
  try { host.addDummy({ name, alias }); }
  catch (error) {
    if (errnoOf(error) !== 'EOPNOTSUPP') throw error;
    const far = standInPeerOf(network);
    host.addVeth({ name, alias, peer: { name: far, namespace: host } });
    host.setLink(far, { up: true });
  }
}

/** An interface in a container, down. */
export function addMacvlanPort({ host, notes }: MacvlanNeeds, network: NetworkRecord, port: { endpointId: string; name: string; mac: string; mtu: number; namespace: NetNamespace }): void {
  host.addMacvlan({
    name: port.name, parent: parentOf(network), mode: modeOf(network), mac: port.mac, alias: notes.alias(port.endpointId), into: port.namespace,
    ...(port.mtu > 0 ? { mtu: port.mtu } : {}),
  });
}
