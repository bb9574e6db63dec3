// What a container's settings ask of ports, and what its record says of them; dockerd 20.10 gave the same answers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PortWish, PublishedPort } from '../../network/index.ts';
import type { PortBinding } from '../../wire/types.ts';
import { exposedPorts, portWishes, recordedPorts, shownPorts } from './ports.ts';

const exposed = (...ports: string[]) => ({ ExposedPorts: Object.fromEntries(ports.map((port) => [port, {}])) });
const binding = (HostPort: string, HostIp = ''): PortBinding => ({ HostIp, HostPort });
const told = ({ port, protocol, hostIp, hostPorts: { first, last } }: PortWish) => `${hostIp}:${first}-${last}>${port}/${protocol}`;

test('exposed ports are in the order of their numbers, and what is no port is passed over', () => {
  assert.deepEqual(exposedPorts(exposed('90', '81/udp', '80/udp', '80/TCP', '83/sctp', 'x/tcp', '80-82/tcp', '0/tcp', '70000/tcp', '9/xyz', '')).map(({ spec }) => spec), ['80/TCP', '80/udp', '81/udp', '83/sctp', '90']);
});

test('only what is exposed is published, fixed ports before those to be chosen', () => {
  const table: ReadonlyArray<[PortBinding[] | null | undefined, boolean, string[]]> = [
    [undefined, false, []], [undefined, true, [':0-0>80/tcp']], [null, true, [':0-0>80/tcp']], [[], false, []],
    [[binding('8080')], true, [':8080-8080>80/tcp']], [[binding('')], false, [':0-0>80/tcp']], [[binding('5000-5010', '127.0.0.1')], false, ['127.0.0.1:5000-5010>80/tcp']],
    [[binding(''), binding('80'), binding('8080', '[::1]')], false, ['::1:8080-8080>80/tcp', ':80-80>80/tcp', ':0-0>80/tcp']],
  ];
  for (const [bindings, all, wanted] of table) assert.deepEqual(portWishes(exposed('80/tcp'), { PortBindings: bindings === undefined ? null : { '80/tcp': bindings }, PublishAllPorts: all }).map(told), wanted, JSON.stringify(bindings));
  assert.deepEqual(portWishes({}, { PortBindings: { '80/tcp': [binding('80')] }, PublishAllPorts: true }), []);
  assert.deepEqual(portWishes(exposed('9/udp', '7/tcp', '8/tcp'), { PortBindings: { '8/tcp': [binding('800')] }, PublishAllPorts: true }).map(told), [':800-800>8/tcp', ':0-0>7/tcp', ':0-0>9/udp']);
});

test('what was published is shown by port, and read back as it was', () => {
  const published: PublishedPort[] = [
    { port: 80, protocol: 'tcp', hostIp: '0.0.0.0', hostPort: 8080 }, { port: 80, protocol: 'tcp', hostIp: '::', hostPort: 8080 }, { port: 80, protocol: 'tcp', hostIp: '127.0.0.1', hostPort: 32768 },
    { port: 9, protocol: 'udp', hostIp: '0.0.0.0', hostPort: 9 },
  ];
  const shown = shownPorts(exposed('80', '9/udp', '443/tcp'), published);
  assert.deepEqual(shown, {
    '443/tcp': null, '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }, { HostIp: '::', HostPort: '8080' }, { HostIp: '127.0.0.1', HostPort: '32768' }], '9/udp': [{ HostIp: '0.0.0.0', HostPort: '9' }],
  });
  assert.deepEqual(Object.keys(shown), ['443/tcp', '80/tcp', '9/udp'], 'as Go sorts keys');
  assert.deepEqual(recordedPorts(shown), published);
  assert.deepEqual([recordedPorts(null), shownPorts({}, [])], [[], {}]);
});
