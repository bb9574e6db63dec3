// The ports of a container: what its settings ask for, and what its record says was published. Pure.
import type { PortWish, Protocol, PublishedPort } from '../../network/index.ts';
import type { RecordedNetworkSettings } from '../../store/index.ts';
import { parsePortRange, splitPort } from '../../wire/address.ts';
import type { ContainerConfig, HostConfig } from '../../wire/types.ts';

export type Ports = NonNullable<RecordedNetworkSettings['Ports']>;
interface Exposed { spec: string; port: number; protocol: Protocol }

export const PROTOCOLS: readonly Protocol[] = ['tcp', 'udp', 'sctp'];
const ANY = { first: 0, last: 0 };

/** Those of the image and of the client, by number, tcp first; what is no port is passed over. */
export function exposedPorts(config: Pick<ContainerConfig, 'ExposedPorts'>): Exposed[] {
  return Object.keys(config.ExposedPorts ?? {}).flatMap((text) => {
    const { port, protocol } = splitPort(text);
    const range = port === '' ? undefined : parsePortRange(port);
    const known = PROTOCOLS.find((one) => one === protocol.toLowerCase());
    return known && range && range.first === range.last && range.first > 0 ? [{ spec: text, port: range.first, protocol: known }] : [];
  }).toSorted(byNumber);
}

const byNumber = (a: Exposed, b: Exposed): number => a.port - b.port || PROTOCOLS.indexOf(a.protocol) - PROTOCOLS.indexOf(b.protocol);

/**
 * What is to be published, of what is exposed alone, as Docker has it. Those of a fixed port come first, so that no random one takes it.
 */
export function portWishes(config: Pick<ContainerConfig, 'ExposedPorts'>, host: Pick<HostConfig, 'PortBindings' | 'PublishAllPorts'>): PortWish[] {
  const exposed = exposedPorts(config);
  return exposed.flatMap(({ spec, port, protocol }): PortWish[] => {
    const bindings = host.PortBindings?.[spec] ?? [];
    if (bindings.length === 0) return host.PublishAllPorts ? [{ port, protocol, hostIp: '', hostPorts: ANY }] : [];
    return bindings.map(({ HostIp, HostPort }) => ({ port, protocol, hostIp: (HostIp ?? '').replace(/^\[(.*)\]$/, '$1'), hostPorts: parsePortRange(splitPort(HostPort ?? '').port) ?? ANY }));
  }).toSorted((a, b) => fixedPort(b) - fixedPort(a));
}

const fixedPort = ({ hostPorts: { first, last } }: PortWish): number => (first === last ? first : 0);

/** Every exposed port, null for one that nobody outside reaches; as Docker writes it down, in the order of the texts. */
export function shownPorts(config: Pick<ContainerConfig, 'ExposedPorts'>, published: readonly PublishedPort[]): Ports {
  const shown = new Map<string, Ports[string]>(exposedPorts(config).map(({ port, protocol }) => [`${port}/${protocol}`, null]));
  for (const { port, protocol, hostIp, hostPort } of published) {
    const key = `${port}/${protocol}`;
    shown.set(key, [...shown.get(key) ?? [], { HostIp: hostIp, HostPort: String(hostPort) }]);
  }
  return Object.fromEntries([...shown].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** What the record says was published, as it was given by the network. */
export function recordedPorts(ports: RecordedNetworkSettings['Ports']): PublishedPort[] {
  return Object.entries(ports ?? {}).flatMap(([text, bindings]) => {
    const { port, protocol } = splitPort(text);
    const known = PROTOCOLS.find((one) => one === protocol);
    return known ? (bindings ?? []).map(({ HostIp, HostPort }) => ({ port: Number(port), protocol: known, hostIp: HostIp, hostPort: Number(HostPort) })) : [];
  });
}
