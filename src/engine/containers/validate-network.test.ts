// What a create body may not say about networks and names; the same requests go to dockerd in test/compat/requests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf, messageOf, notFound } from '../../lib/errors.ts';
import type { ContainerConfig, CreateBody, HostConfig } from '../../wire/types.ts';
import { EMPTY_NETWORK } from '../networks/predefined.ts';
import { completeConfig, completeHostConfig } from './defaults.ts';
import { splitExtraHost, validateEndpoints, validateNetwork } from './validate-network.ts';

const judge = (config: Partial<ContainerConfig>, host: Partial<HostConfig>, hasBridge = true) => validateNetwork(completeConfig(config), completeHostConfig(host, { cgroupVersion: 1 }), hasBridge);
const BOUND = { PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '8080' }] } };

test('each invalid field about networks is refused by name', () => {
  const alone: ReadonlyArray<[Partial<ContainerConfig>, Partial<HostConfig>]> = [
    [{ Hostname: 'x' }, {}], [{ MacAddress: '02:42:ac:11:00:02' }, {}], [{ ExposedPorts: { '80/tcp': {} } }, {}], [{}, { Dns: ['1.1.1.1'] }], [{}, { ExtraHosts: ['a:1.2.3.4'] }], [{}, BOUND], [{}, { Links: ['a:b'] }],
  ];
  const refused: ReadonlyArray<[Partial<ContainerConfig>, Partial<HostConfig>, RegExp]> = [
    [{}, { NetworkMode: 'container:' }, /container:<name\|id>/], [{}, { PortBindings: { '80/xyz': [{ HostIp: '', HostPort: '1' }] } }, /invalid proto: xyz/], [{}, { PortBindings: { '80/tcp': [{ HostIp: 'x', HostPort: '1' }] } }, /HostIp "x" of port 80\/tcp is no IP address/],
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

test('without a default bridge nobody publishes a port unawares', () => {
  for (const host of [BOUND, { PublishAllPorts: true }]) {
    assert.throws(() => judge({}, host, false), /published ports need a bridge network, and this daemon has no default one/);
    for (const NetworkMode of ['none', 'own', 'bridge']) assert.deepEqual(judge({}, { ...host, NetworkMode }, false), []);
    assert.deepEqual(judge({}, host), []);
  }
});

test('endpoints are held against their networks when the client asks for it, and all faults are told', () => {
  const body = (EndpointsConfig: NonNullable<CreateBody['NetworkingConfig']>['EndpointsConfig'], MacAddress = ''): CreateBody => ({ MacAddress, NetworkingConfig: { EndpointsConfig: EndpointsConfig ?? null } });
  const find = (word: string) => {
    const Driver = { bridge: 'bridge', own: 'bridge', none: 'null', host: 'host' }[word];
    if (Driver === undefined) throw notFound(`network ${word} not found`);
    return { ...EMPTY_NETWORK, Name: word, Id: word, Created: '', Driver };
  };
  const check = (of: CreateBody, { mode = 'own', fit = false } = {}) => validateEndpoints(of, { mode, networks: { find }, fit });
  const bad: ReadonlyArray<[CreateBody, RegExp]> = [
    [body({ own: null }), /no EndpointSettings for own/], [body({ own: { IPAMConfig: { IPv4Address: 'x' } } }), /invalid IPv4 address: x/], [body({ own: { IPAMConfig: { IPv6Address: '1.2.3.4' } } }), /invalid IPv6 address: 1.2.3.4/],
    [body({ own: { IPAMConfig: { LinkLocalIPs: ['x'] } } }), /link-local IP address: x/], [body({ own: { MacAddress: 'zz' } }), /MacAddress/],
  ];
  for (const [of, words] of bad) assert.throws(() => check(of), (error) => kindOf(error) === 'invalid' && words.test(messageOf(error)), JSON.stringify(of));
  for (const [mode, other, words] of [['own', 'none', /private \(none\) mode/], ['own', 'host', /connected to host network/], ['host', 'own', /sharing network namespace/]] as const) {
    assert.throws(() => check(body({ [mode]: {}, [other]: {} }), { mode, fit: true }), words);
  }
  const misfits = body({ own: { IPAMConfig: { IPv4Address: '10.0.0.2' } }, default: { Aliases: ['x'] }, later: { Aliases: ['x'] } });
  check(misfits);
  check(body({ own: { MacAddress: '02:42:AC:11:00:02' } }, '02:42:ac:11:00:02'), { fit: true });
  const macs = body({ own: { MacAddress: '02:42:ac:11:00:02' } }, '02:42:ac:11:00:03');
  check(macs);
  assert.throws(() => check(macs, { fit: true }), /container-wide MAC address must match/);
  assert.throws(() => check(misfits, { fit: true }), {
    message: 'invalid config for network own: invalid endpoint settings:\nuser specified IP address is supported only when connecting to networks with user configured subnets\n'
      + 'invalid config for network default: invalid endpoint settings:\nnetwork-scoped alias is supported only for containers in user defined networks',
  });
});
