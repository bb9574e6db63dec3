// The networks that every host has: none of them is recorded, and clients know them by name.
import { createHash } from 'node:crypto';
import { isIpv4 } from '../../wire/address.ts';
import type { NetworkSettings } from '../../network/index.ts';
import type { NetworkPools, NetworkRecord } from '../../store/index.ts';

export const BRIDGE = 'bridge';
const DRIVERS = { [BRIDGE]: 'bridge', host: 'host', none: 'null' } as const;
const ID_SALT = 'vaquita predefined network';

/** `default` stands for one of the others wherever a client says it. */
export const isPredefined = (name: string): boolean => Object.hasOwn(DRIVERS, name) || name === 'default';

/** IDs are the same at every start of one daemon, and differ between daemons. */
const idOf = (name: string, daemonId: string): string => createHash('sha256').update(`${ID_SALT} ${name} ${daemonId}`).digest('hex');

export const NO_POOLS: NetworkPools = { v4: [], v6: [] };

/** What a network has of which nothing was said. */
export const EMPTY_NETWORK: Omit<NetworkRecord, 'Id' | 'Name' | 'Created' | 'Driver'> = {
  EnableIPv6: false, Internal: false, Attachable: false, Ingress: false, ConfigOnly: false, ConfigFrom: '', Options: {}, Labels: {},
  IPAM: { Driver: 'default', Options: null, Config: [] }, pools: NO_POOLS,
};

export const plainNetwork = (name: 'host' | 'none', { daemonId, created }: { daemonId: string; created: string }): NetworkRecord =>
  ({ ...EMPTY_NETWORK, Id: idOf(name, daemonId), Name: name, Created: created, Driver: DRIVERS[name] });

/** MTU that Docker shows where none was set: the one of Ethernet. */
const USUAL_MTU = 1500;

/** The default network, with what the daemon was told in the words of a bridge's options. */
export function defaultNetwork(pools: NetworkPools, { daemonId, created, settings }: { daemonId: string; created: string; settings: NetworkSettings }): NetworkRecord {
  return {
    ...EMPTY_NETWORK, Id: idOf(BRIDGE, daemonId), Name: BRIDGE, Created: created, Driver: DRIVERS[BRIDGE], EnableIPv6: settings.ipv6, pools,
    Options: {
      'com.docker.network.bridge.default_bridge': 'true',
      'com.docker.network.bridge.enable_icc': String(settings.icc),
      'com.docker.network.bridge.enable_ip_masquerade': String(settings.ipMasq),
      'com.docker.network.bridge.host_binding_ipv4': isIpv4(settings.hostIp) ? settings.hostIp : '0.0.0.0',
      'com.docker.network.bridge.name': settings.bridge,
      'com.docker.network.driver.mtu': String(settings.mtu || USUAL_MTU),
    },
    IPAM: { Driver: 'default', Options: null, Config: configOf(pools) },
  };
}

/** The subnets of a network that nobody asked for in words of their own, as if they had been. */
export const configOf = ({ v4, v6 }: NetworkPools): NetworkRecord['IPAM']['Config'] => [...v4, ...v6].map(({ subnet, range, gateway, aux }) =>
  ({ Subnet: subnet, IPRange: range === subnet ? '' : range, Gateway: gateway, AuxiliaryAddresses: aux }));
