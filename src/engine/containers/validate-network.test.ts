// What a create body may not say about networks and names; the same requests go to dockerd in test/compat/requests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf } from '../../lib/errors.ts';
import type { ContainerConfig, CreateBody, HostConfig } from '../../wire/types.ts';
import { completeConfig, completeHostConfig } from './defaults.ts';
import { newNetworkSettings } from './networking.ts';
import { splitExtraHost, validateEndpoints, validateNetwork } from './validate-network.ts';

const judge = (config: Partial<ContainerConfig>, host: Partial<HostConfig>) => validateNetwork(completeConfig(config), completeHostConfig(host, { cgroupVersion: 1 }));
const BOUND = { PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '8080' }] } };

test('each invalid field about networks is refused by name', () => {
  const alone: ReadonlyArray<[Partial<ContainerConfig>, Partial<HostConfig>]> = [
    [{ Hostname: 'x' }, {}], [{ MacAddress: '02:42:ac:11:00:02' }, {}], [{ ExposedPorts: { '80/tcp': {} } }, {}], [{}, { Dns: ['1.1.1.1'] }], [{}, { ExtraHosts: ['a:1.2.3.4'] }], [{}, BOUND], [{}, { Links: ['a:b'] }],
  ];
  const refused: ReadonlyArray<[Partial<ContainerConfig>, Partial<HostConfig>, RegExp]> = [
    [{}, BOUND, /published ports/], [{}, { PublishAllPorts: true }, /published ports/], [{}, { NetworkMode: 'bridge' }, /"bridge"/], [{}, { NetworkMode: 'container:' }, /container:<name\|id>/],
    [{}, { NetworkMode: 'none', PortBindings: { 'x/tcp': [] } }, /invalid port specification: "x"/], [{}, { NetworkMode: 'none', PortBindings: { '80-81/tcp': [] } }, /"80-81"/],
    [{}, { NetworkMode: 'none', PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '99999' }] } }, /"99999"/],
    [{}, { ExtraHosts: ['a'] }, /bad format for add-host: "a"/], [{}, { ExtraHosts: [':1.2.3.4'] }, /bad format/], [{}, { ExtraHosts: ['a:1.2.3'] }, /invalid IP address in add-host: "1.2.3"/],
    [{}, { Links: [''] }, /Links/], [{}, { NetworkMode: 'host', Links: ['a:b'] }, /links/], [{ MacAddress: 'zz' }, {}, /MacAddress/],
    [{ MacAddress: '02:42:ac:11:00:02' }, { NetworkMode: 'host' }, /mac-address/], [{ Hostname: 'x' }, { UTSMode: 'host' }, /hostname and the UTS mode/],
    ...alone.map(([config, host]): [Partial<ContainerConfig>, Partial<HostConfig>, RegExp] => [config, { ...host, NetworkMode: 'container:other' }, /conflicting options/]),
  ];
  for (const [config, host, words] of refused) assert.throws(() => judge(config, host), (error) => kindOf(error) === 'invalid' && words.test((error as Error).message), JSON.stringify([config, host]));
});

test('what does no harm is taken', () => {
  for (const [config, host] of [
    [{ ExposedPorts: { '80/tcp': {} } }, {}], [{}, { NetworkMode: 'none', ...BOUND }], [{}, { PortBindings: { '80/tcp': null, '81/tcp': [] } }], [{}, { Links: ['a:b'] }], [{ MacAddress: '02:42:ac:11:00:02' }, {}],
    [{ Hostname: 'x' }, { NetworkMode: 'host' }], [{}, { ExtraHosts: ['a:1.2.3.4', 'b:::1', 'c=[::1]', 'd=1.2.3.4', 'e:host-gateway'] }],
  ] as Array<[Partial<ContainerConfig>, Partial<HostConfig>]>) assert.deepEqual(judge(config, host), [], JSON.stringify([config, host]));
  assert.deepEqual(judge({}, { NetworkMode: 'host', ...BOUND }), ['Published ports are discarded when using host network mode']);
  assert.deepEqual(['b:::1', 'c=[::1]', 'e:host-gateway'].map(splitExtraHost), [{ name: 'b', address: '::1' }, { name: 'c', address: '::1' }, { name: 'e', address: 'host-gateway' }]);
});

test('an endpoint is of the network that the container is on, and keeps what the client asked of it', () => {
  const body = (EndpointsConfig: NonNullable<CreateBody['NetworkingConfig']>['EndpointsConfig']): CreateBody => ({ NetworkingConfig: { EndpointsConfig: EndpointsConfig ?? null } });
  const bad: ReadonlyArray<[CreateBody, string, RegExp]> = [
    [body({ none: null }), 'none', /no EndpointSettings for none/], [body({ none: {}, host: {} }), 'none', /none, host/], [body({ host: {} }), 'none', /none, host/], [body({ own: {} }), 'none', /"own"/],
    [body({ none: { IPAMConfig: { IPv4Address: 'x' } } }), 'none', /invalid IPv4 address: x/], [body({ none: { IPAMConfig: { IPv6Address: '1.2.3.4' } } }), 'none', /invalid IPv6 address: 1.2.3.4/],
    [body({ none: { IPAMConfig: { LinkLocalIPs: ['x'] } } }), 'none', /link-local IP address: x/], [body({ none: { MacAddress: 'zz' } }), 'none', /MacAddress/],
  ];
  for (const [of, mode, words] of bad) assert.throws(() => validateEndpoints(of, mode), words, JSON.stringify(of));
  const asked = body({ default: { Aliases: ['a'], IPAMConfig: { IPv4Address: '10.0.0.2' }, DriverOpts: { k: 'v' }, MacAddress: '02:42:ac:11:00:02' } });
  validateEndpoints(asked, 'default');
  const { Networks } = newNetworkSettings(asked, 'default');
  const none = Networks['none'];
  assert.deepEqual([Object.keys(Networks), none?.Aliases, none?.IPAMConfig, none?.DriverOpts, none?.MacAddress, none?.Links], [['none'], ['a'], { IPv4Address: '10.0.0.2' }, { k: 'v' }, '02:42:ac:11:00:02', null]);
  assert.deepEqual(newNetworkSettings(body({}), 'container:x').Networks, {});
});
