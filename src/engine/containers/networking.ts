// The networks of a container as its record and its inspect show them; without a bridge they are names and identities, no addresses.
import { createHash } from 'node:crypto';
import type { RecordedNetworkSettings } from '../../store/index.ts';
import type { CreateBody, EndpointSettings } from '../../wire/types.ts';
import { predefinedNetworks } from '../networks.ts';
import type { Container } from './container.ts';
import { ownName } from './validate-network.ts';

const ENDPOINT: EndpointSettings = {
  IPAMConfig: null, Links: null, Aliases: null, MacAddress: '', NetworkID: '', EndpointID: '', Gateway: '', IPAddress: '', IPPrefixLen: 0, IPv6Gateway: '',
  GlobalIPv6Address: '', GlobalIPv6PrefixLen: 0, DriverOpts: null,
};

/** What the record of a new container says; what the client asked of its endpoint is kept. */
export function newNetworkSettings(body: CreateBody, mode: string): RecordedNetworkSettings {
  return {
    Bridge: '', SandboxID: '', HairpinMode: false, LinkLocalIPv6Address: '', LinkLocalIPv6PrefixLen: 0, Networks: networksOf(body, mode), Service: null, Ports: {}, SandboxKey: '',
    SecondaryIPAddresses: null, SecondaryIPv6Addresses: null, IsAnonymousEndpoint: false, HasSwarmEndpoint: false,
  };
}

function networksOf(body: CreateBody, mode: string): Record<string, EndpointSettings> {
  if (mode.startsWith('container:') || body.NetworkDisabled) return {};
  const [asked] = Object.values(body.NetworkingConfig?.EndpointsConfig ?? {});
  const { IPAMConfig, Links, Aliases, MacAddress, DriverOpts, GwPriority } = asked ?? {};
  return {
    [ownName(mode)]: {
      ...ENDPOINT, IPAMConfig: IPAMConfig ?? null, Links: Links ?? null, Aliases: Aliases ?? null, MacAddress: MacAddress ?? '', DriverOpts: DriverOpts ?? null,
      ...(GwPriority ? { GwPriority } : {}),
    },
  };
}

/**
 * The record's settings with what Docker makes anew for every run: a network has its ID once the container has run, a sandbox and an
 * endpoint have theirs while it runs. They are worked out of the run itself, so that nothing has to be written down for them.
 */
export function shownNetworkSettings({ id, record, hostConfig }: Container, daemonId: string): RecordedNetworkSettings {
  const { NetworkSettings: settings, State: { StartedAt: startedAt, Pid: pid } } = record;
  const running = record.State.Running && !record.State.Restarting;
  if (hostConfig.NetworkMode.startsWith('container:')) return settings;
  const known = predefinedNetworks(daemonId);
  const idOf = (what: string) => createHash('sha256').update(`${what} ${id} ${startedAt}`).digest('hex');
  const Networks = Object.fromEntries(Object.entries(settings.Networks ?? {}).map(([name, endpoint]) => {
    const network = known.find((one) => one.name === name);
    return [name, network ? { ...endpoint, NetworkID: record.HasBeenStartedBefore ? network.id : '', EndpointID: running ? idOf(`endpoint ${name}`) : '' } : endpoint];
  }));
  return { ...settings, Networks, SandboxID: running ? idOf('sandbox') : '', SandboxKey: running && pid > 0 ? `/proc/${pid}/ns/net` : '' };
}
