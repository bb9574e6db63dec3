// Subnets of networks in dockerd 20.10's decisions and words; the tables were asked of it, one by one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf, messageOf } from '../../lib/errors.ts';
import type { NetworkPools, NetworkRecord } from '../../store/index.ts';
import { FAKE_SETTINGS } from '../fake.ts';
import type { NetworkSettings, NetworkWish } from '../index.ts';
import { Planner } from './plan.ts';

type Config = Partial<NetworkWish['config'][number]>;
const wish = (config: readonly Config[] = [], more: Partial<NetworkWish> = {}): NetworkWish => ({
  name: 'web', driver: 'bridge', ipv6: false, options: {}, internal: false, ...more, config: config.map((one) => ({ subnet: '', ipRange: '', gateway: '', auxAddresses: {}, ...one })),
});
const v6 = { ipv6: true };
const macvlan = { driver: 'macvlan' } as const;

const recordOf = (pools: NetworkPools, driver = 'bridge'): NetworkRecord => ({
  Id: 'a'.repeat(64), Name: 'other', Created: '', Driver: driver, EnableIPv6: false, Internal: false, Attachable: false, Ingress: false, ConfigOnly: false, ConfigFrom: '', Options: {}, Labels: {},
  IPAM: { Driver: 'default', Options: null, Config: [] }, pools,
});
const having = (driver: string, ...subnets: string[]): NetworkRecord => recordOf({ v4: subnets.map((text) => { const [subnet = '', range = subnet] = text.split(' '); return { subnet, range, gateway: '', aux: {} }; }), v6: [] }, driver);
const NOBODY = { others: [], hosts: [] };
const short = ({ v4, v6: six }: NetworkPools) => [...v4, ...six].map(({ subnet, range, gateway, aux }) => [subnet, ...(range === subnet ? [] : [`in ${range}`]), `gw ${gateway}`, ...Object.entries(aux).map(([name, text]) => `${name}=${text}`)].join(' ')).join(', ');
const outcome = (act: () => NetworkPools): string => { try { return short(act()); } catch (error) { return `${kindOf(error)}: ${messageOf(error)}`; } };

const LOCAL = 'failed to parse pool request for address space "LocalDefault" pool "10.1.0.0/16" subpool';
const EXHAUSTED = (family: number) => `not-found: could not find an available, non-overlapping IPv${family} address pool among the defaults to assign to the network`;
const OVERLAPS = 'forbidden: Pool overlaps with other one on this address space';
const S = (subnet: string, more: Config = {}): Config => ({ subnet, ...more });
const B = (more: Config): Config[] => [{ subnet: '10.1.0.0/16', ...more }];

const ASKED: ReadonlyArray<readonly [string, Config[], Partial<NetworkWish>?]> = [
  ['172.17.0.0/16 gw 172.17.0.1', []],
  ['invalid: Invalid subnet  : invalid CIDR address: ', [{}]],
  ['invalid: Invalid subnet  : invalid CIDR address: ', [{ gateway: '10.0.0.1' }]],
  ['invalid: Invalid subnet abc : invalid CIDR address: abc', [S('abc')]],
  ['invalid: Invalid subnet 10.1.0.0 : invalid CIDR address: 10.1.0.0', [S('10.1.0.0')]],
  ['invalid: Invalid subnet 10.1.0.0/33 : invalid CIDR address: 10.1.0.0/33', [S('10.1.0.0/33')]],
  ['invalid: Invalid subnet ::ffff:10.1.0.0/112 : invalid CIDR address: ::ffff:10.1.0.0/112', [S('::ffff:10.1.0.0/112')]],
  ['10.1.0.0/16 gw 10.1.0.1', [S('10.1.2.3/16')]],
  ['10.1.0.0/16 gw 10.1.2.3', [S('10.1.2.3/16', { gateway: '10.1.2.3' })]],
  ['invalid: failed to allocate gateway (): No available addresses on this pool', [S('10.1.0.0/31')]],
  ['invalid: failed to allocate gateway (10.1.0.1): No available addresses on this pool', [S('10.1.0.0/31', { gateway: '10.1.0.1' })]],
  ['invalid: failed to allocate gateway (): No available addresses on this pool', [S('10.1.0.1/32')]],
  ['10.1.0.0/30 gw 10.1.0.1', [S('10.1.0.0/30')]],
  ['0.0.0.0/0 gw 0.0.0.1', [S('0.0.0.0/0')]],
  ['invalid: invalid gateway address abc in Ipam configuration', B({ gateway: 'abc' })],
  ['invalid: invalid gateway address 10.1.0.1/16 in Ipam configuration', B({ gateway: '10.1.0.1/16' })],
  ['invalid: failed to allocate gateway (10.2.0.1): Requested address is out of range', B({ gateway: '10.2.0.1' })],
  ['invalid: failed to allocate gateway (fd00::1): Requested address is out of range', B({ gateway: 'fd00::1' })],
  ['invalid: failed to allocate gateway (10.1.0.0): Address already in use', B({ gateway: '10.1.0.0' })],
  ['invalid: failed to allocate gateway (10.1.255.255): Address already in use', B({ gateway: '10.1.255.255' })],
  ['10.1.0.0/16 gw 10.1.0.7', B({ gateway: '::ffff:10.1.0.7' })],
  ['10.1.0.0/16 in 10.1.5.0/24 gw 10.1.5.0', B({ ipRange: '10.1.5.0/24' })],
  ['10.1.0.0/16 in 10.1.5.0/24 gw 10.1.0.1', B({ ipRange: '10.1.5.7/24', gateway: '10.1.0.1' })],
  ['10.1.0.0/16 in 10.1.0.0/24 gw 10.1.0.1', B({ ipRange: '10.99.0.0/24' })],
  ['10.1.0.0/16 in 10.1.0.0/24 gw 10.1.0.1', B({ ipRange: '10.1.0.0/24' })],
  ['10.1.0.0/16 gw 10.1.0.1', B({ ipRange: '10.0.0.0/8' })],
  ['10.1.0.0/16 in 10.1.5.0/32 gw 10.1.5.0', B({ ipRange: '10.1.5.0/32' })],
  [`invalid: ${LOCAL} "abc": Invalid Address SubPool`, B({ ipRange: 'abc' })],
  [`invalid: ${LOCAL} "10.1.5.0": Invalid Address SubPool`, B({ ipRange: '10.1.5.0' })],
  [`invalid: ${LOCAL} "fd00::/64": Invalid Address SubPool`, B({ ipRange: 'fd00::/64' })],
  ['forbidden: auxiliary address: (a:10.2.0.1) must belong to the master pool: 10.1.0.0/16', B({ auxAddresses: { a: '10.2.0.1' } })],
  ['forbidden: auxiliary address: (a:fd00::1) must belong to the master pool: 10.1.0.0/16', B({ auxAddresses: { a: 'fd00::1' } })],
  ['invalid: failed to allocate secondary ip address (a:10.1.0.1): Address already in use', B({ auxAddresses: { a: '10.1.0.1' } })],
  ['invalid: failed to allocate secondary ip address (a:10.1.0.9): Address already in use', B({ gateway: '10.1.0.9', auxAddresses: { a: '10.1.0.9' } })],
  ['invalid: failed to allocate secondary ip address (a:10.1.255.255): Address already in use', B({ auxAddresses: { a: '10.1.255.255' } })],
  ['invalid: failed to allocate secondary ip address (b:10.1.0.7): Address already in use', B({ auxAddresses: { a: '10.1.0.7', b: '10.1.0.7' } })],
  ['invalid: non parsable secondary ip address (a:abc) passed for network web', B({ auxAddresses: { a: 'abc' } })],
  ['invalid: non parsable secondary ip address (a:) passed for network web', B({ auxAddresses: { a: '' } })],
  ['invalid: failed to allocate gateway (10.9.0.1): Requested address is out of range', B({ gateway: '10.9.0.1', auxAddresses: { a: 'abc' } })],
  ['10.1.0.0/16 in 10.1.5.0/24 gw 10.1.5.1 a=10.1.0.7 b=10.1.5.9', B({ ipRange: '10.1.5.0/24', gateway: '10.1.5.1', auxAddresses: { a: '10.1.0.7', b: '10.1.5.9' } })],
  ['10.1.0.0/16 gw 10.1.0.1 DefaultGatewayIPv4=10.1.0.7', B({ auxAddresses: { DefaultGatewayIPv4: '10.1.0.7' } })],
  ["forbidden: bridge driver doesn't support multiple subnets", [S('10.1.0.0/16'), S('10.2.0.0/16')]],
  ["forbidden: bridge driver doesn't support multiple subnets", [S('fd00:1::/64'), S('fd00:2::/64')], v6],
  [OVERLAPS, [S('10.1.0.0/16'), S('10.1.0.0/16')]],
  [OVERLAPS, [S('10.1.0.0/16'), S('10.1.5.0/24')]],
  ['invalid: failed to allocate gateway (10.9.0.1): Requested address is out of range', [S('10.1.0.0/16', { gateway: '10.9.0.1' }), S('10.1.0.0/16')]],
  ['10.71.0.0/16 gw 10.71.0.1, 10.72.0.0/16 gw 10.72.0.7', [S('10.71.0.0/16'), S('10.72.0.0/16', { gateway: '10.72.0.7' })], macvlan],
  // IPv6: a subnet alone gets one of IPv4 beside it; without EnableIPv6 it is kept in mind only.
  ['172.17.0.0/16 gw 172.17.0.1', [S('fd00:1::/64')]],
  ['172.17.0.0/16 gw 172.17.0.1, fd00:1::/64 gw fd00:1::1', [S('FD00:0001:0:0::5/64')], v6],
  ['10.1.0.0/16 gw 10.1.0.1, fd00:1::/64 gw fd00:1::99', [S('fd00:1::/64', { gateway: 'FD00:1:0::99' }), S('10.1.0.0/16')], v6],
  [EXHAUSTED(6), [], v6],
  [EXHAUSTED(6), B({}), v6],
  ['172.17.0.0/16 gw 172.17.0.1, fd00:1::/127 gw fd00:1::1', [S('fd00:1::/127')], v6],
  ['invalid: failed to allocate gateway (): No available addresses on this pool', [S('fd00:1::/128')], v6],
  ['invalid: failed to allocate gateway (fd00:1::): Address already in use', [S('fd00:1::/64', { gateway: 'fd00:1::' })], v6],
  ['172.17.0.0/16 gw 172.17.0.1, fd00:1::/80 gw fd00:1::ffff:ffff:ffff', [S('fd00:1::/80', { gateway: 'fd00:1::ffff:ffff:ffff' })], v6],
  ['invalid: failed to allocate gateway (fd00:2::99): Requested address is out of range', [S('fd00:1::/64', { gateway: 'fd00:2::99' })], v6],
  ['forbidden: auxiliary address: (a:fd00:2::9) must belong to the master pool: fd00:1::/64', [S('fd00:1::/64', { auxAddresses: { a: 'fd00:2::9' } })], v6],
  ['172.17.0.0/16 gw 172.17.0.1, fd00:1::/64 in fd00:1::100/120 gw fd00:1::100', [S('fd00:1::/64', { ipRange: 'fd00:1::100/120' })], v6],
];

test('a network of its own gets what dockerd 20.10 gives it', () => {
  for (const [want, config, more] of ASKED) assert.equal(outcome(() => new Planner([]).plan(wish(config, more), NOBODY)), want, JSON.stringify([config, more]));
});

test('networks keep out of each other', () => {
  const others = [having('bridge', '172.17.0.0/16'), having('bridge', '10.60.0.0/16 10.60.1.0/24'), having('macvlan', '10.61.0.0/16'), having('macvlan', '10.62.0.0/16 10.62.1.0/24')];
  for (const [want, config, more] of [
    ['172.18.0.0/16 gw 172.18.0.1', []],
    [OVERLAPS, [S('172.17.0.0/16')]], [OVERLAPS, [S('172.17.5.0/24')]], [OVERLAPS, [S('172.0.0.0/8')]], [OVERLAPS, [S('0.0.0.0/0')]], [OVERLAPS, [S('10.61.0.0/16')]], [OVERLAPS, [S('10.61.0.0/16')], macvlan],
    // A bridge is alone in its subnet; on one wire each network may have a part.
    [OVERLAPS, [S('10.60.0.0/16', { ipRange: '10.60.2.0/24' })]],
    ['10.60.0.0/16 in 10.60.9.0/24 gw 10.60.9.0', [S('10.60.0.0/16', { ipRange: '10.60.9.0/24' })], macvlan],
    [OVERLAPS, [S('10.62.0.0/16', { ipRange: '10.62.1.0/24' })], macvlan],
    ['10.62.0.0/16 in 10.62.2.0/24 gw 10.62.0.9', [S('10.62.0.0/16', { ipRange: '10.62.2.0/24', gateway: '10.62.0.9' })], macvlan],
    ['10.62.0.0/17 in 10.62.3.0/24 gw 10.62.3.0', [S('10.62.0.0/17', { ipRange: '10.62.3.0/24' })], macvlan],
  ] as const) assert.equal(outcome(() => new Planner([]).plan(wish(config, more), { others, hosts: [] })), want, JSON.stringify([config, more]));

  const sharing = recordOf({ v4: [{ subnet: '10.1.0.0/16', range: '10.1.1.0/24', gateway: '10.1.0.1', aux: { nas: '10.1.2.1' } }], v6: [] }, 'macvlan');
  const second = (more: Config) => outcome(() => new Planner([]).plan(wish([S('10.1.0.0/16', { ipRange: '10.1.2.0/31', ...more })], macvlan), { others: [sharing], hosts: [] }));
  assert.equal(second({ gateway: '10.1.0.1' }), 'invalid: failed to allocate gateway (10.1.0.1): Address already in use');
  assert.equal(second({ gateway: '10.1.2.0', auxAddresses: { a: '10.1.2.1' } }), 'invalid: failed to allocate secondary ip address (a:10.1.2.1): Address already in use');
  assert.equal(second({}), '10.1.0.0/16 in 10.1.2.0/31 gw 10.1.2.0');
});

test('chosen subnets keep out of what the host uses', () => {
  for (const [want, hosts] of [
    ['172.18.0.0/16', ['172.17.0.5/16', '172.20.0.0/14']],
    ['172.19.0.0/16', ['172.17.0.0/24', '172.18.0.0/16', '0.0.0.0/0', '::/0']],
    ['192.168.0.0/20', ['172.16.0.0/12']],
    ['172.18.0.0/16', ['172.17.3.53']], // a name server
    ['172.17.0.0/16', ['0.0.0.0/1', '128.0.0.0/1', '2000::/3', 'not an address', '']], // a VPN's halves of the default route
    ['192.168.16.0/20', ['172.16.0.0/12', '192.168.1.0/24']],
  ] as const) assert.equal(new Planner([]).plan(wish(), { others: [], hosts }).v4[0]?.subnet, want, hosts.join(' '));
  assert.equal(outcome(() => new Planner([]).plan(wish(), { others: [], hosts: ['172.16.0.0/12', '192.168.0.0/16'] })), EXHAUSTED(4));
  assert.equal(outcome(() => new Planner([]).plan(wish([S('172.17.0.0/16')]), { others: [], hosts: ['172.16.0.0/12'] })), '172.17.0.0/16 gw 172.17.0.1');
});

/** What one network after the other gets until there is nothing left; every one stays. */
function fill(planner: Planner, limit = 40): string[] {
  const others: NetworkRecord[] = [];
  while (others.length < limit) {
    const got = outcome(() => { const pools = planner.plan(wish(), { others, hosts: [] }); others.push(recordOf(pools)); return pools; });
    if (got === EXHAUSTED(4)) break;
  }
  return others.map(({ pools }) => pools.v4[0]?.subnet ?? '');
}

test('pools are used in order, in the sizes that were said', () => {
  const own = fill(new Planner([]));
  assert.deepEqual([own.length, own[0], own[14], own[15], own[16], own[30]], [31, '172.17.0.0/16', '172.31.0.0/16', '192.168.0.0/20', '192.168.16.0/20', '192.168.240.0/20']);
  for (const [want, pools] of [
    [['10.0.0.0/9', '10.128.0.0/9'], [{ base: '10.0.0.0/8', size: 9 }]],
    [['10.0.0.0/24', '10.0.1.0/24', '10.0.2.0/24', '10.0.3.0/24'], [{ base: '10.0.0.7/22', size: 24 }]],
    [['10.0.0.0/24', '10.0.1.0/24', '10.8.0.0/25', '10.8.0.128/25'], [{ base: '10.0.0.0/23', size: 24 }, { base: '10.8.0.0/24', size: 25 }]],
    [['10.0.0.0/24', '10.0.1.0/24', '10.0.2.0/24', '10.0.3.0/24'], [{ base: '10.0.0.0/22', size: 24 }, { base: '10.0.2.0/23', size: 25 }]],
    [['0.0.0.0/2', '64.0.0.0/2', '128.0.0.0/2', '192.0.0.0/2'], [{ base: '0.0.0.0/0', size: 2 }]],
  ] as const) assert.deepEqual(fill(new Planner(pools)), want);
  assert.equal(short(new Planner([{ base: '10.0.0.0/24', size: 24 }, { base: 'fd00::/62', size: 64 }]).plan(wish([], v6), NOBODY)), '10.0.0.0/24 gw 10.0.0.1, fd00::/64 gw fd00::1');
  assert.deepEqual(fill(new Planner([{ base: '10.0.0.0/8', size: 30 }]), 100).at(-1), '10.0.1.140/30');
});

test('what was given back is given again only after all others', () => {
  const planner = new Planner([{ base: '10.0.0.0/23', size: 24 }, { base: '10.8.0.0/24', size: 24 }]);
  const next = (...taken: string[]) => planner.plan(wish(), { others: taken.map((subnet) => having('bridge', subnet)), hosts: [] }).v4[0]?.subnet;
  assert.deepEqual([next(), next(), next(), next(), next('10.0.1.0/24'), next('10.0.1.0/24'), next('10.0.1.0/24', '10.0.0.0/24')],
    ['10.0.0.0/24', '10.0.1.0/24', '10.8.0.0/24', '10.0.0.0/24', '10.8.0.0/24', '10.0.0.0/24', '10.8.0.0/24']);
});

test('pools that cannot be are refused', () => {
  for (const [base, size, want] of [
    ['10.0.0.0/24', 16, 'invalid pools size: 16'], ['10.0.0.0/24', 0, 'invalid pools size: 0'], ['10.0.0.0/24', -1, 'invalid pools size: -1'], ['10.0.0.0/24', 33, 'invalid pools size: 33'],
    ['abc', 24, 'invalid base pool "abc": invalid CIDR address: abc'], ['', 24, 'invalid base pool "": invalid CIDR address: '], ['10.0.0.0', 24, 'invalid base pool "10.0.0.0": invalid CIDR address: 10.0.0.0'],
  ] as const) assert.throws(() => new Planner([{ base, size }]), { kind: 'invalid', message: want });
});

test('the default network follows the settings and its device', () => {
  const one = ['10.55.0.7/16'];
  const two = ['10.55.0.1/16', '10.57.0.1/16', 'fe80::1/64'];
  const six = { ipv6: true, fixedCidrV6: 'fd00:1::5/64' };
  const NO_V6 = 'invalid: IPv6 is enabled for the default bridge, but no subnet is configured. Specify an IPv6 subnet using --fixed-cidr-v6';
  const cases: ReadonlyArray<readonly [string, Partial<NetworkSettings>, (readonly string[])?]> = [
    ['172.17.0.0/16 gw 172.17.0.1', {}],
    ['192.168.77.0/24 gw 192.168.77.5', { bip: '192.168.77.5/24' }],
    ['invalid: failed to allocate gateway (192.168.77.0): Address already in use', { bip: '192.168.77.0/24' }],
    ['invalid: failed to allocate gateway (192.168.77.255): Address already in use', { bip: '192.168.77.255/24' }],
    ['invalid: failed to allocate gateway (192.168.77.5): No available addresses on this pool', { bip: '192.168.77.5/31' }],
    ['invalid: invalid CIDR address: abc', { bip: 'abc' }], ['invalid: invalid CIDR address: 10.0.0.1', { bip: '10.0.0.1' }], ['invalid: invalid CIDR address: fd00::1/64', { bip: 'fd00::1/64' }],
    ['192.168.77.0/24 in 192.168.77.128/25 gw 192.168.77.5', { bip: '192.168.77.5/24', fixedCidr: '192.168.77.128/25' }],
    ['192.168.77.0/24 in 192.168.77.128/25 gw 192.168.77.5', { bip: '192.168.77.5/24', fixedCidr: '192.168.78.128/25' }],
    ['192.168.77.0/24 gw 192.168.77.5', { bip: '192.168.77.5/24', fixedCidr: '192.168.0.0/16' }],
    ['172.17.0.0/16 in 172.17.5.0/24 gw 172.17.5.0', { fixedCidr: '172.17.5.0/24' }],
    ['172.17.0.0/16 in 172.17.0.0/24 gw 172.17.0.1', { fixedCidr: '10.5.0.0/24' }],
    ['invalid: invalid CIDR address: abc', { fixedCidr: 'abc' }], ['invalid: invalid CIDR address: fd00::/64', { fixedCidr: 'fd00::/64' }],
    ['172.17.0.0/16 gw 172.17.0.1 DefaultGatewayIPv4=172.17.0.9', { defaultGateway: '172.17.0.9' }],
    ['forbidden: auxiliary address: (DefaultGatewayIPv4:10.0.0.9) must belong to the master pool: 172.17.0.0/16', { defaultGateway: '10.0.0.9' }],
    ['invalid: failed to allocate secondary ip address (DefaultGatewayIPv4:172.17.0.1): Address already in use', { defaultGateway: '172.17.0.1' }],
    [NO_V6, { ipv6: true }], [NO_V6, { ipv6: true, defaultGatewayV6: 'fd00:2::9' }],
    ['172.17.0.0/16 gw 172.17.0.1', { fixedCidrV6: 'fd00:1::/64' }], ['172.17.0.0/16 gw 172.17.0.1', { defaultGatewayV6: 'fd00:2::9' }],
    ['172.17.0.0/16 gw 172.17.0.1, fd00:1::/64 gw fd00:1::1', six],
    ['172.17.0.0/16 gw 172.17.0.1, fd00:1::/64 gw fd00:1::1 DefaultGatewayIPv6=fd00:1::9', { ...six, defaultGatewayV6: 'fd00:1::9' }],
    ['forbidden: auxiliary address: (DefaultGatewayIPv6:fd00:2::9) must belong to the master pool: fd00:1::/64', { ...six, defaultGatewayV6: 'fd00:2::9' }],
    ['invalid: invalid CIDR address: abc', { fixedCidrV6: 'abc' }], ['invalid: invalid CIDR address: 10.0.0.0/24', { ipv6: true, fixedCidrV6: '10.0.0.0/24' }],
    ['10.55.0.0/16 gw 10.55.0.7', {}, one], ['10.56.0.0/16 gw 10.56.0.1', { bip: '10.56.0.1/16' }, one], ['10.55.0.0/16 gw 10.55.0.9', { bip: '10.55.0.9/16' }, one],
    ['10.55.0.0/16 in 10.55.3.0/24 gw 10.55.0.7', { fixedCidr: '10.55.3.0/24' }, one], ['172.17.0.0/16 gw 172.17.0.1', {}, []],
    ['10.55.0.0/16 gw 10.55.0.1', {}, two], ['10.55.0.0/16 in 10.55.3.0/24 gw 10.55.0.1', { fixedCidr: '10.57.3.0/24' }, two], ['10.57.0.0/16 gw 10.57.0.1', { fixedCidr: '10.57.0.0/16' }, two],
    ['10.55.0.0/16 gw 10.55.0.1, fd00:9::/64 gw fd00:9::7', { ipv6: true, fixedCidrV6: 'fd00:9::/64' }, ['fd00:9::7/64', '10.55.0.1/16', 'fd00:8::1/64']],
  ];
  for (const [want, settings, device = []] of cases) {
    assert.equal(outcome(() => new Planner([]).planDefault({ ...FAKE_SETTINGS, ...settings }, { ...NOBODY, device })), want, JSON.stringify([settings, device]));
  }
  const beside = (settings: Partial<NetworkSettings>) => outcome(() => new Planner([]).planDefault({ ...FAKE_SETTINGS, ...settings }, { others: [having('bridge', '172.17.0.0/16')], hosts: ['172.18.0.0/16'], device: [] }));
  assert.deepEqual([beside({}), beside({ bip: '172.17.0.1/16' }), beside({ bip: '172.18.0.1/16' })], ['172.19.0.0/16 gw 172.19.0.1', OVERLAPS, '172.18.0.0/16 gw 172.18.0.1']);
});
