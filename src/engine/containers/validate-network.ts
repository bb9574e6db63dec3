// What a create body may not say about networks, names and ports, in Docker's words where it has some.
import { invalid, messageOf } from '../../lib/errors.ts';
import { isIp, isIpv4, isIpv6, isMac, parsePortRange, splitPort } from '../../wire/address.ts';
import type { ContainerConfig, CreateBody, EndpointSettings, HostConfig } from '../../wire/types.ts';
import { PROTOCOLS } from './ports.ts';
import { assertFits, assertTogether, findNetwork, networkName, type NetworkLookup } from './networking.ts';

type Endpoints = Readonly<Record<string, Partial<EndpointSettings> | null>>;

/** Refuses what contradicts itself or needs what is not there; the warnings are for the client. `hasBridge`: whether this daemon has a default network. */
export function validateNetwork(config: ContainerConfig, host: HostConfig, hasBridge: boolean): string[] {
  if (host.NetworkMode === 'container:') throw invalid('Invalid network mode: invalid container format container:<name|id>');
  validateHosts(host.ExtraHosts ?? []);
  validatePorts(host, hasBridge);
  if (config.MacAddress && !isMac(config.MacAddress)) throw invalid(`invalid MacAddress: ${config.MacAddress} is no MAC address`);
  if (host.NetworkMode.startsWith('container:')) refuseOwnNetwork(config, host);
  else refuseUnshared(config, host);
  return host.NetworkMode === 'host' && publishes(host) ? ['Published ports are discarded when using host network mode'] : [];
}

/** The endpoints a body asks for. With `fit` they are held against their networks, as far as those are there, and all faults are told at once. */
export function validateEndpoints(body: CreateBody, { mode, networks, fit }: { mode: string; networks: NetworkLookup; fit: boolean }): void {
  const endpoints: Endpoints = body.NetworkingConfig?.EndpointsConfig ?? {};
  const main = networkName(networks, mode);
  const misfits: string[] = [];
  for (const [name, endpoint] of Object.entries(endpoints)) {
    if (endpoint === null) throw invalid(`no EndpointSettings for ${name}`);
    validateEndpoint(name, endpoint);
    if (fit && body.MacAddress && endpoint.MacAddress && networkName(networks, name) === main && endpoint.MacAddress.toLowerCase() !== body.MacAddress.toLowerCase()) {
      throw invalid('the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty');
    }
    const fault = fit ? misfitOf(networks, name, endpoint) : undefined;
    if (fault !== undefined) misfits.push(`invalid config for network ${name}: invalid endpoint settings:\n${fault}`);
  }
  const known = Object.keys(endpoints).flatMap((name) => findNetwork(networks, networkName(networks, name)) ?? []);
  if (fit && known.length > 1) assertTogether(known, mode);
  if (misfits.length > 0) throw invalid(misfits.join('\n'));
}

/** A network that is not there yet is no fault: it may come before the start. */
function misfitOf(networks: NetworkLookup, name: string, endpoint: Partial<EndpointSettings>): string | undefined {
  const network = findNetwork(networks, name === 'default' ? networkName(networks, name) : name);
  try { if (network) assertFits(network, endpoint); } catch (error) { return messageOf(error); }
  return undefined;
}

/** Addresses and names of an endpoint. Errors: invalid. */
export function validateEndpoint(name: string, { IPAMConfig: ipam, MacAddress: mac }: Partial<EndpointSettings>): void {
  if (ipam?.IPv4Address && !isIpv4(ipam.IPv4Address)) throw invalid(`invalid IPv4 address: ${ipam.IPv4Address}`);
  if (ipam?.IPv6Address && !isIpv6(ipam.IPv6Address)) throw invalid(`invalid IPv6 address: ${ipam.IPv6Address}`);
  for (const address of ipam?.LinkLocalIPs ?? []) if (!isIp(address)) throw invalid(`invalid link-local IP address: ${address}`);
  if (mac && !isMac(mac)) throw invalid(`invalid MacAddress of the endpoint in network ${name}: ${mac} is no MAC address`);
}

/** "name:address" or "name=address"; the address may be host-gateway, or in brackets behind an equals sign. */
export function splitExtraHost(entry: string): { name: string; address: string } {
  const at = entry.includes('=') ? entry.indexOf('=') : entry.indexOf(':');
  if (at <= 0) throw invalid(`bad format for add-host: ${JSON.stringify(entry)}`);
  return { name: entry.slice(0, at), address: entry.slice(at + 1).replace(/^\[(.*)\]$/, '$1') };
}

function validateHosts(entries: readonly string[]): void {
  for (const entry of entries) {
    const { address } = splitExtraHost(entry);
    if (address !== 'host-gateway' && !isIp(address)) throw invalid(`invalid IP address in add-host: ${JSON.stringify(address)}`);
  }
}

function validatePorts(host: HostConfig, hasBridge: boolean): void {
  for (const [spec, bindings] of Object.entries(host.PortBindings ?? {})) {
    const { port, protocol } = splitPort(spec);
    const range = parsePortRange(port);
    if (range === undefined || range.first !== range.last) throw invalid(`invalid port specification: ${JSON.stringify(port)}`);
    if ((bindings ?? []).length > 0 && !PROTOCOLS.some((known) => known === protocol.toLowerCase())) throw invalid(`invalid proto: ${protocol}`);
    for (const { HostIp, HostPort } of bindings ?? []) {
      if (!parsePortRange(splitPort(HostPort ?? '').port)) throw invalid(`invalid port specification: ${JSON.stringify(HostPort)}`);
      // Docker publishes to everybody what it cannot read.
      if (HostIp && !isIp(HostIp.replace(/^\[(.*)\]$/, '$1'))) throw invalid(`invalid port specification: HostIp ${JSON.stringify(HostIp)} of port ${spec} is no IP address`);
    }
  }
  // With --network none Docker passes over them; a client that says no network means the bridge.
  if (!hasBridge && host.NetworkMode === 'default' && (publishes(host) || host.PublishAllPorts)) {
    throw invalid('published ports need a bridge network, and this daemon has no default one (--bridge=none): use --network with a network of your own, or --network host');
  }
}

const publishes = (host: HostConfig): boolean => Object.values(host.PortBindings ?? {}).some((list) => (list ?? []).length > 0);

/** Who lives in the network of another has no network settings of its own. */
function refuseOwnNetwork(config: ContainerConfig, host: HostConfig): void {
  const conflicts = (what: string) => invalid(`conflicting options: ${what}`);
  if (config.Hostname !== '') throw conflicts('hostname and the network mode');
  if ((host.Links ?? []).length > 0) throw conflicts("container type network can't be used with links. This would result in undefined behavior");
  if ((host.Dns ?? []).length > 0) throw conflicts('dns and the network mode');
  if ((host.ExtraHosts ?? []).length > 0) throw conflicts('custom host-to-IP mapping and the network mode');
  if (config.MacAddress) throw conflicts('mac-address and the network mode');
  if (publishes(host) || host.PublishAllPorts) throw conflicts('port publishing and the container type network mode');
  if (Object.keys(config.ExposedPorts ?? {}).length > 0) throw conflicts('port exposing and the container type network mode');
}

function refuseUnshared(config: ContainerConfig, host: HostConfig): void {
  const onHost = host.NetworkMode === 'host';
  const links = host.Links ?? [];
  if (links.includes('')) throw invalid('invalid Links: empty string specified for links');
  if (onHost && links.length > 0) throw invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior");
  if (onHost && config.MacAddress) throw invalid('conflicting options: mac-address and the network mode');
  if (host.UTSMode === 'host' && config.Hostname !== '') throw invalid('conflicting options: hostname and the UTS mode');
}
