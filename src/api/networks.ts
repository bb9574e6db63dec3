// Networks: the two that every host has. Networks that users make come with a later release.
import type { Filters, PredefinedNetwork, SystemFace } from '../engine/index.ts';
import { formatNanos, type Clock } from '../lib/clock.ts';
import { EngineError, invalid, notFound } from '../lib/errors.ts';
import { readJson } from './body.ts';
import { required, since, type ApiVersion, type Route } from './routes.ts';
import { networkCreateBody } from './shapes.ts';

/** Names that no user's network may take, also those this release does not offer. */
const RESERVED: readonly string[] = ['bridge', 'host', 'none', 'default'];

type Network = PredefinedNetwork;

export const networkRoutes = (system: SystemFace, clock: Clock): readonly Route[] => {
  const created = formatNanos(clock.nowNanos());
  const present = (network: Network, version: ApiVersion) => presentNetwork(network, { created, version });
  return [
    { method: 'GET', path: '/networks', async handle({ query, version }) {
        const matches = filterOf(query.filters());
        return { status: 200, json: system.networks().filter(matches).map((network) => present(network, version)) };
    } },
    { method: 'GET', path: '/networks/{name}', async handle(request) {
        return { status: 200, json: present(find(system, required(request, 'name')), request.version) };
    } },
    { method: 'POST', path: '/networks/create', async handle(request) {
        const name = (await readJson<{ Name?: string }>(request, networkCreateBody, { required: true }))?.Name ?? '';
        if (name === '') throw invalid('network name cannot be empty');
        if (RESERVED.includes(name)) throw new EngineError('forbidden', `operation is not permitted on predefined ${name} network `);
        throw missing(`cannot create network ${name}`);
    } },
    { method: 'POST', path: '/networks/prune', async handle({ query }) {
        query.filters();
        return { status: 200, json: { NetworksDeleted: null } };
    } },
    { method: 'DELETE', path: '/networks/{name}', async handle(request) {
        const { name } = find(system, required(request, 'name'));
        throw new EngineError('forbidden', `${name} is a pre-defined network and cannot be removed`);
    } },
    { method: 'POST', path: '/networks/{name}/connect', async handle(request) {
        const { name } = find(system, required(request, 'name'));
        throw missing(`cannot connect a container to network ${name}`);
    } },
    { method: 'POST', path: '/networks/{name}/disconnect', async handle(request) {
        const { name } = find(system, required(request, 'name'));
        throw missing(`cannot disconnect a container from network ${name}`);
    } },
  ];
};

const missing = (what: string) => new EngineError('not-implemented', `${what}: this release has the networks host and none; networks of your own come with a later one`);

/** By ID, name, or prefix of an ID, in this order. */
function find(system: SystemFace, asked: string): Network {
  const networks = system.networks();
  const found = networks.find((network) => network.id === asked) ?? networks.find((network) => network.name === asked);
  if (found) return found;
  const byPrefix = networks.filter((network) => network.id.startsWith(asked));
  if (byPrefix.length > 1) throw invalid(`network ${asked} is ambiguous (${byPrefix.length} matches found on ID prefix)`);
  if (!byPrefix[0]) throw notFound(`network ${asked} not found`);
  return byPrefix[0];
}

/** Every key must match, by any of its values. */
function filterOf(filters: Filters): (network: Network) => boolean {
  const tests = [...filters].map(([key, values]) => {
    const test = testOf(key, values);
    return (network: Network) => values.length === 0 || values.some((value) => test(network, value));
  });
  return (network) => tests.every((test) => test(network));
}

function testOf(key: string, values: readonly string[]): (network: Network, value: string) => boolean {
  switch (key) {
    case 'name': return (network, value) => network.name.includes(value);
    case 'id': return (network, value) => network.id.startsWith(value);
    case 'driver': return (network, value) => network.driver === value;
    case 'scope': return (_network, value) => value === 'local';
    case 'label': return () => false;
    case 'dangling': return (_network, value) => ['false', '0'].includes(value.toLowerCase());
    case 'type': {
      const unknown = values.find((value) => value !== 'builtin' && value !== 'custom');
      if (unknown !== undefined) throw invalid(`invalid filter: 'type'='${unknown}'`);
      return (_network, value) => value === 'builtin';
    }
    default: throw invalid(`invalid filter '${key}'`);
  }
}

function presentNetwork(network: Network, { created, version }: { created: string; version: ApiVersion }) {
  return {
    Name: network.name, Id: network.id, Created: created, Scope: 'local', Driver: network.driver, ...(since(version, 48) ? { EnableIPv4: true } : {}),
    EnableIPv6: false, IPAM: { Driver: 'default', Options: null, Config: [] }, Internal: false, Attachable: false, Ingress: false,
    ConfigFrom: { Network: '' }, ConfigOnly: false, Containers: {}, Options: {}, Labels: {},
  };
}
