// What of a container is open to the outside: which network publishes its ports, at which addresses, and the rules for that. Pure.
import { EngineError, kindOf, messageOf } from '../lib/errors.ts';
import { hasIcc } from './bridge.ts';
import { bridgeOf, isDefault } from './devices.ts';
import type { LinkRule, PortRule } from './firewall/index.ts';
import type { NetworkSettings, PortWish, PublishedPort, SandboxWish } from './index.ts';
import type { Place, WayOut } from './way-out.ts';

const HOST_BINDING = 'com.docker.network.bridge.host_binding_ipv4';

/** The network that ports are published for: the way out, when that is a bridge. */
export function publisherOf({ ipv4, ipv6 }: WayOut): Place | undefined {
  const place = ipv4 ?? ipv6;
  return place?.wish.network.Driver === 'bridge' ? place : undefined;
}

/** A port that names no address is bound where its network says. */
export function boundPort(port: PortWish, { wish: { network } }: Place, settings: NetworkSettings): PortWish {
  const said = network.Options[HOST_BINDING] ?? (isDefault(network) ? settings.hostIp : '');
  return port.hostIp !== '' || said === '0.0.0.0' ? port : { ...port, hostIp: said };
}

/** What the kernel can send on by itself: within one family. */
export function portRules(published: readonly PublishedPort[], way: WayOut): PortRule[] {
  return published.flatMap(({ port, protocol, hostIp, hostPort }) => {
    const family = hostIp.includes(':') ? 'ipv6' : 'ipv4';
    const place = way[family];
    if (place?.wish.network.Driver !== 'bridge' || place.endpoint[family] === '') return [];
    return [{ device: bridgeOf(place.wish.network), protocol, hostIp, hostPort, ip: place.endpoint[family], port }];
  });
}

/** Links are of use where containers of the default network may not talk to each other anyway. */
export function linkRules(linked: SandboxWish['linkedPorts'], places: readonly Place[], settings: NetworkSettings): LinkRule[] {
  const place = places.find(({ wish }) => isDefault(wish.network));
  if (place === undefined || hasIcc(place.wish.network, settings)) return [];
  return linked.map(({ ipv4, port, protocol }) => ({ device: bridgeOf(place.wish.network), from: place.endpoint.ipv4, to: ipv4, port, protocol }));
}

/** Docker's words, before those of the port. */
export const unpublished = ({ wish: { names, endpointId } }: Place, cause: unknown): EngineError =>
  new EngineError(kindOf(cause), `driver failed programming external connectivity on endpoint ${names[0] ?? ''} (${endpointId}): ${messageOf(cause)}`, { cause });
