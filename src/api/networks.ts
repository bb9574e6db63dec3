// Networks: parse the request, call one verb, present the result.
import type { NetworksFace, NetworkView } from '../engine/index.ts';
import { invalid } from '../lib/errors.ts';
import type { NetworkPool, NetworkRecord } from '../store/index.ts';
import { parseTruth } from '../wire/truth.ts';
import type { NetworkConnectBody, NetworkCreateBody } from '../wire/types.ts';
import { readJson } from './body.ts';
import { sorted } from './present-containers.ts';
import { required, since, type ApiVersion, type Route } from './routes.ts';
import { networkConnectBody, networkCreateBody, networkDisconnectBody } from './shapes.ts';

export const networkRoutes = (networks: NetworksFace): readonly Route[] => [
  // Some clients end this path in a slash, as Docker lets them.
  ...['/networks', '/networks/'].map((path): Route => ({ method: 'GET', path, async handle({ query, version }) {
      // Who is in them: only clients from before 1.28 are told in the list.
      return { status: 200, json: networks.list({ filters: query.filters() }).map((view) => presentNetwork(since(version, 28) ? { ...view, endpoints: [] } : view, version)) };
  } })),
  { method: 'GET', path: '/networks/{name}', async handle(request) {
      assertFlag('verbose', request.query.text('verbose'));
      return { status: 200, json: presentNetwork(networks.inspect(required(request, 'name'), { scope: request.query.text('scope') }), request.version) };
  } },
  { method: 'POST', path: '/networks/create', async handle(request) {
      const body = await readJson<NetworkCreateBody>(request, networkCreateBody, { required: true }) ?? {};
      const { id, warning } = await networks.create(body, { unique: body.CheckDuplicate === true || since(request.version, 44) });
      return { status: 201, json: { Id: id, Warning: warning } };
  } },
  { method: 'POST', path: '/networks/prune', async handle({ query }) {
      const deleted = await networks.prune({ filters: query.filters() });
      return { status: 200, json: { NetworksDeleted: deleted.length > 0 ? deleted : null } };
  } },
  { method: 'DELETE', path: '/networks/{name}', async handle(request) {
      await networks.remove(required(request, 'name'));
      return { status: 204 };
  } },
  { method: 'POST', path: '/networks/{name}/connect', async handle(request) {
      const { Container, EndpointConfig } = await readJson<NetworkConnectBody>(request, networkConnectBody, { required: true }) ?? {};
      await networks.connect(required(request, 'name'), { container: containerIn(Container), endpoint: EndpointConfig ?? {} });
      return { status: 200 };
  } },
  { method: 'POST', path: '/networks/{name}/disconnect', async handle(request) {
      const { Container, Force } = await readJson<NetworkConnectBody>(request, networkDisconnectBody, { required: true }) ?? {};
      await networks.disconnect(required(request, 'name'), { container: containerIn(Container), force: Force ?? false });
      return { status: 200 };
  } },
];

/** Nothing at all is false. */
function assertFlag(name: string, text: string): void {
  if (text !== '' && parseTruth(text) === undefined) throw invalid(`invalid value for ${name}: ${text}: strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}

function containerIn(word = ''): string {
  if (word === '') throw invalid('invalid name or ID supplied: ""');
  return word;
}

function presentNetwork({ network, endpoints }: NetworkView, version: ApiVersion) {
  return {
    Name: network.Name, Id: network.Id, Created: network.Created, Scope: 'local', Driver: network.Driver, ...(since(version, 48) ? { EnableIPv4: true } : {}),
    EnableIPv6: network.EnableIPv6, IPAM: { Driver: network.IPAM.Driver, Options: network.IPAM.Options && sorted(network.IPAM.Options), Config: presentSubnets(network) },
    Internal: network.Internal, Attachable: network.Attachable, Ingress: network.Ingress, ConfigFrom: { Network: network.ConfigFrom }, ConfigOnly: network.ConfigOnly,
    Containers: Object.fromEntries(endpoints.toSorted((one, other) => (one.containerId < other.containerId ? -1 : 1)).map((endpoint) => [endpoint.containerId, {
      Name: endpoint.containerName, EndpointID: endpoint.endpointId, MacAddress: endpoint.mac, IPv4Address: endpoint.ipv4, IPv6Address: endpoint.ipv6,
    }])),
    Options: sorted(network.Options), Labels: sorted(network.Labels),
  };
}

/** Each family as it was asked for, and as it was chosen where nothing was asked. */
function presentSubnets({ IPAM: { Config: asked }, pools }: NetworkRecord): object[] {
  const isV6 = (subnet: string) => subnet.includes(':');
  const family = (v6: boolean, chosen: readonly NetworkPool[]) => {
    const own = asked.filter(({ Subnet }) => isV6(Subnet) === v6);
    return own.length > 0 ? own.map(presentAsked) : chosen.map(({ subnet, gateway }) => ({ Subnet: subnet, ...(gateway === '' ? {} : { Gateway: gateway }) }));
  };
  return [...family(false, pools.v4), ...family(true, pools.v6)];
}

const presentAsked = ({ Subnet, IPRange, Gateway, AuxiliaryAddresses }: NetworkRecord['IPAM']['Config'][number]) => ({
  Subnet, ...(IPRange === '' ? {} : { IPRange }), ...(Gateway === '' ? {} : { Gateway }), ...(Object.keys(AuxiliaryAddresses).length === 0 ? {} : { AuxiliaryAddresses: sorted(AuxiliaryAddresses) }),
});
