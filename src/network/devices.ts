// Names of our devices, and the note (alias) on each that says whose it is: what a start after a crash goes by.
import { createHash } from 'node:crypto';
import type { NetworkRecord } from '../store/index.ts';

/** Digits of a long ID that names of devices and notes carry. */
const SHORT = 12;
const VETH_DIGITS = 7;
/** Source: IFNAMSIZ of linux/if.h, less the closing zero. */
const NAME_BYTES = 15;

export const shortId = (id: string): string => id.slice(0, SHORT);

/** Docker's option for the device of a network. */
export const BRIDGE_NAME = 'com.docker.network.bridge.name';
const DEFAULT_BRIDGE = 'com.docker.network.bridge.default_bridge';

/** The network that containers are in that name none: it has no names, and links. */
export const isDefault = ({ Name, Driver, Options }: NetworkRecord): boolean => Driver === 'bridge' && (Name === 'bridge' || Options[DEFAULT_BRIDGE] === 'true');

export const bridgeOf = ({ Id, Options }: Pick<NetworkRecord, 'Id' | 'Options'>): string => Options[BRIDGE_NAME] || `br-${shortId(Id)}`;
/** The host's end of an endpoint in a bridge. */
export const vethOf = (endpointId: string): string => `veth${endpointId.slice(0, VETH_DIGITS)}`;
/** The parent of a macvlan that has none: containers in it reach each other alone. */
export const standInOf = ({ Id }: NetworkRecord): string => `dm-${shortId(Id)}`;
/** The far end of a stand-in where the kernel has no dummy devices. */
export const standInPeerOf = ({ Id }: NetworkRecord): string => `dp-${shortId(Id)}`;

/** "eth0.10": VLAN 10 of eth0; undefined when the name is not of that form. Source: IEEE 802.1Q, IDs 1 to 4094. */
export function vlanOf(device: string): { parent: string; id: number } | undefined {
  const [, parent, digits] = /^(.+)\.(\d{1,4})$/.exec(device) ?? [];
  const id = Number(digits);
  return parent !== undefined && id >= 1 && id <= 4094 && device.length <= NAME_BYTES ? { parent, id } : undefined;
}

/** Writes and reads the notes of one daemon. */
export interface Notes {
  /** Of a network or of an endpoint. */
  alias(id: string): string;
  /** The short ID on a device of ours; undefined when it is somebody else's. */
  owned(alias: string): string | undefined;
}

export function openNotes(daemonId: string): Notes {
  const prefix = `vaquita ${createHash('sha256').update(daemonId).digest('hex').slice(0, SHORT)} `;
  return {
    alias: (id) => prefix + shortId(id),
    owned: (alias) => (alias.startsWith(prefix) && alias.length === prefix.length + SHORT ? alias.slice(prefix.length) : undefined),
  };
}
