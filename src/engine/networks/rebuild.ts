// Networks whose records are lost, as far as the records of their containers tell of them: name, ID, and the gateway with its subnet.
import type { NetworkRecord, StoredContainer } from '../../store/index.ts';
import type { EndpointSettings } from '../../wire/types.ts';
import { EMPTY_NETWORK, isPredefined } from './predefined.ts';

type Config = NetworkRecord['IPAM']['Config'];

/** Without subnets chosen yet. `isKnown`: those that are there, or went on purpose. */
export function lostNetworks(containers: readonly StoredContainer[], isKnown: (id: string) => boolean): NetworkRecord[] {
  const lost = new Map<string, NetworkRecord>();
  for (const { record } of containers) {
    for (const [name, endpoint] of Object.entries(record.NetworkSettings.Networks ?? {})) {
      const id = endpoint.NetworkID;
      if (!/^[0-9a-f]{64}$/.test(id) || isPredefined(name) || isKnown(id)) continue;
      const before = lost.get(id);
      const config = configOf(endpoint);
      // Of a stopped container only the name is left: one that ran to the end tells more.
      if (before && before.IPAM.Config.length >= config.length) continue;
      lost.set(id, {
        ...EMPTY_NETWORK, Id: id, Name: name, Created: before && before.Created < record.Created ? before.Created : record.Created, Driver: 'bridge',
        EnableIPv6: config.some(({ Subnet }) => Subnet.includes(':')), IPAM: { ...EMPTY_NETWORK.IPAM, Config: config },
      });
    }
  }
  return [...lost.values()];
}

const configOf = ({ Gateway, IPPrefixLen, IPv6Gateway, GlobalIPv6PrefixLen }: EndpointSettings): Config =>
  [[Gateway, IPPrefixLen] as const, [IPv6Gateway, GlobalIPv6PrefixLen] as const].filter(([gateway]) => gateway !== '')
    .map(([gateway, prefixLen]) => ({ Subnet: `${gateway}/${prefixLen}`, IPRange: '', Gateway: gateway, AuxiliaryAddresses: {} }));
