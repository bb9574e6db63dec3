// Addresses of endpoints as dockerd 20.10 gives them; the tables were asked of it with containers, one by one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf, messageOf } from '../../lib/errors.ts';
import type { NetworkPool, NetworkRecord } from '../../store/index.ts';
import { Leases, type Lease, type LeaseWish } from './leases.ts';

const ID = 'a'.repeat(64);
const IN_USE = 'forbidden: Address already in use';
const NO_SUBNET = 'invalid: user specified IP address is supported only when connecting to networks with user configured subnets';
const outside = (address: string) => `invalid: Invalid address ${address}: It does not belong to any of this network's subnets`;
const noneLeft = (family: number) => `system: no available IPv${family} addresses on this network's address pools: web (${ID})`;

const pool = (subnet: string, more: Partial<NetworkPool> = {}): NetworkPool => ({ subnet, range: subnet, gateway: subnet.replace(/(\d*)\/\d+$/, (_, last: string) => String(Number(last) + 1)), aux: {}, ...more });

/** A network that asked for its subnets, unless `more` says otherwise. */
const network = (pools: readonly NetworkPool[], more: Partial<NetworkRecord> = {}): NetworkRecord => ({
  Id: ID, Name: 'web', Created: '', Driver: 'bridge', EnableIPv6: pools.some(({ subnet }) => subnet.includes(':')), Internal: false, Attachable: false, Ingress: false, ConfigOnly: false, ConfigFrom: '', Options: {}, Labels: {},
  IPAM: { Driver: 'default', Options: null, Config: pools.map(({ subnet }) => ({ Subnet: subnet, IPRange: '', Gateway: '', AuxiliaryAddresses: {} })) },
  pools: { v4: pools.filter(({ subnet }) => !subnet.includes(':')), v6: pools.filter(({ subnet }) => subnet.includes(':')) }, ...more,
});
const STANDARD = { Name: 'bridge', Options: { 'com.docker.network.bridge.default_bridge': 'true' } };

function opened(...networks: NetworkRecord[]) {
  const leases = new Leases();
  for (const one of networks) leases.open(one);
  const take = (wish: Partial<LeaseWish> = {}, id = ID): Lease => leases.take(id, { ipv4: '', ipv6: '', mac: '', ...wish });
  const told = (wish: Partial<LeaseWish> = {}, id = ID): string => { try { return short(take(wish, id)); } catch (error) { return `${kindOf(error)}: ${messageOf(error)}`; } };
  return { leases, take, told };
}
const short = ({ ipv4, ipv6 }: Lease): string => [ipv4, ipv6].filter((text) => text !== '').join(' ');

test('the lowest free address is given, and what is given back comes first', () => {
  const { leases, take, told } = opened(network([pool('10.41.0.0/29')]));
  const first = take();
  assert.deepEqual(first, { ipv4: '10.41.0.2', ipv4PrefixLen: 29, gateway: '10.41.0.1', ipv6: '', ipv6PrefixLen: 0, ipv6Gateway: '', mac: '02:42:0a:29:00:02' });
  const others = [take(), take(), take(), take()];
  assert.deepEqual([...others.map(short), told(), told({ ipv4: '10.41.0.3' })], ['10.41.0.3', '10.41.0.4', '10.41.0.5', '10.41.0.6', noneLeft(4), 'system: No available addresses on this pool']);
  for (const one of [first, others[2]]) if (one) leases.give(ID, one);
  assert.deepEqual([told(), told(), told()], ['10.41.0.2', '10.41.0.5', noneLeft(4)]);
});

test('wanted addresses', () => {
  const v4 = network([pool('10.41.0.0/29')]);
  const dual = network([pool('10.41.0.0/16'), pool('fd00:4::/64', { gateway: 'fd00:4::1' })]);
  const cases: ReadonlyArray<readonly [string, NetworkRecord, Partial<LeaseWish>]> = [
    ['10.41.0.4', v4, { ipv4: '10.41.0.4' }], ['10.41.0.5', v4, { ipv4: '::ffff:10.41.0.5' }], [IN_USE, v4, { ipv4: '10.41.0.0' }], [IN_USE, v4, { ipv4: '10.41.0.1' }], [IN_USE, v4, { ipv4: '10.41.0.7' }],
    [outside('10.2.0.4'), v4, { ipv4: '10.2.0.4' }], [outside('0.0.0.0'), v4, { ipv4: '0.0.0.0' }], ['invalid: invalid IPv4 address: abc', v4, { ipv4: 'abc' }], ['invalid: invalid IPv4 address: fd00::1', v4, { ipv4: 'fd00::1' }],
    [NO_SUBNET, v4, { ipv6: 'fd00::5' }],
    ['10.41.0.2 fd00:4::2', dual, {}], ['10.41.0.77 fd00:4::77', dual, { ipv4: '10.41.0.77', ipv6: 'fd00:4::77' }], ['10.41.0.2 fd00:4::ab', dual, { ipv6: 'FD00:4:0::00AB' }],
    [IN_USE, dual, { ipv6: 'fd00:4::' }], [IN_USE, dual, { ipv6: 'fd00:4::1' }], [outside('fd00:5::1'), dual, { ipv6: 'fd00:5::1' }],
    // Subnets that were chosen by us are another matter tomorrow.
    [NO_SUBNET, { ...v4, IPAM: { ...v4.IPAM, Config: [] } }, { ipv4: '10.41.0.4' }], [NO_SUBNET, { ...dual, IPAM: { ...dual.IPAM, Config: dual.IPAM.Config.slice(1) } }, { ipv4: '10.41.0.4' }],
    ['10.41.0.2 fd00:4::9', { ...dual, IPAM: { ...dual.IPAM, Config: dual.IPAM.Config.slice(1) } }, { ipv6: 'fd00:4::9' }],
    ['invalid: user specified IP address is supported on user defined networks only', { ...v4, ...STANDARD }, { ipv4: '10.41.0.4' }],
    // A subnet of IPv6 in a network without it is not used, and not looked at.
    ['10.41.0.2', { ...dual, EnableIPv6: false, pools: { ...dual.pools, v6: [] } }, { ipv6: 'fd00:4::9' }],
  ];
  for (const [want, on, wish] of cases) assert.equal(opened(on).told(wish), want, JSON.stringify(wish));
});

test('ranges, auxiliary addresses and small subnets', () => {
  const ranged = opened(network([pool('10.3.0.0/16', { range: '10.3.5.0/30', gateway: '10.3.5.1', aux: { nas: '10.3.5.2', far: '10.3.9.9' } })]));
  assert.deepEqual([ranged.told(), ranged.told(), ranged.told(), ranged.told({ ipv4: '10.3.200.1' }), ranged.told({ ipv4: '10.3.5.2' }), ranged.told({ ipv4: '10.3.9.9' })], ['10.3.5.0', '10.3.5.3', noneLeft(4), '10.3.200.1', IN_USE, IN_USE]);
  const one = opened(network([pool('10.13.0.0/16', { range: '10.13.9.0/32', gateway: '10.13.9.0' })]));
  assert.deepEqual([one.told(), one.told({ ipv4: '10.13.0.5' })], [noneLeft(4), '10.13.0.5']);
  const low = opened(network([pool('10.11.0.0/16', { gateway: '10.11.2.3' })]));
  assert.equal(low.told(), '10.11.0.1');
  const last = opened(network([pool('10.16.0.0/16', { range: '10.16.255.0/24', gateway: '10.16.0.1' })]));
  assert.equal(last.told(), '10.16.255.0');
  const tiny = opened(network([pool('10.12.0.0/30'), pool('fd00:a::/126', { gateway: 'fd00:a::1' })]));
  assert.deepEqual([tiny.told(), tiny.told()], ['10.12.0.2 fd00:a::2', noneLeft(4)]);
  const way = opened(network([pool('10.7.0.0/16', { aux: { DefaultGatewayIPv4: '10.7.0.9' } }), pool('fd00:7::/64', { gateway: 'fd00:7::1', aux: { DefaultGatewayIPv6: 'fd00:7::9' } })])).take();
  assert.deepEqual([way.gateway, way.ipv6Gateway], ['10.7.0.9', 'fd00:7::9']);
});

test('a failed take leaves nothing taken', () => {
  const { told } = opened(network([pool('10.41.0.0/29'), pool('fd00:a::/127', { gateway: 'fd00:a::1' })]));
  for (let again = 0; again < 9; again++) assert.equal(told(), noneLeft(6));
  const dual = opened(network([pool('10.41.0.0/16'), pool('fd00:4::/64', { gateway: 'fd00:4::1' })]));
  for (const wish of [{ ipv6: 'fd00:4::1' }, { ipv6: 'fd00:9::1' }, { ipv6: 'abc' }, { mac: '02:42' }, { ipv4: '10.41.0.2', ipv6: 'fd00:4::' }]) assert.match(dual.told(wish), /^\w+: /);
  assert.equal(dual.told(), '10.41.0.2 fd00:4::2');
});

test('MAC addresses, and IPv6 addresses made of them in the default network', () => {
  for (const [want, mac] of [['02:42:0a:29:00:02', ''], ['02:42:00:00:00:99', '02:42:00:00:00:99'], ['02:42:00:00:00:ab', '02-42-00-00-00-AB'], ['02:42:00:00:00:ab', '0242.0000.00ab']] as const) assert.equal(opened(network([pool('10.41.0.0/16')])).take({ mac }).mac, want);
  assert.equal(opened(network([pool('10.41.0.0/16')])).told({ mac: '02:42:zz' }), 'invalid: invalid MAC address: 02:42:zz');
  assert.equal(opened(network([pool('fd00:1::/64', { gateway: 'fd00:1::1' })])).take().mac, '02:42:00:00:00:02');
  const standard = (subnet: string) => opened(network([pool('172.17.0.0/16'), pool(subnet, { gateway: subnet.replace(/\/.*/, '1') })], STANDARD));
  for (const [want, subnet] of [['fd00:1::242:ac11:2', 'fd00:1::/64'], ['fd00:1::242:ac11:2', 'fd00:1::/80'], ['fd00:1::2', 'fd00:1::/81']] as const) assert.equal(standard(subnet).take().ipv6, want, subnet);
  const twice = standard('fd00:1::/64');
  assert.deepEqual([twice.told({ mac: '02:42:00:00:00:99' }), twice.told({ mac: '02:42:00:00:00:99' }), twice.told()], ['172.17.0.2 fd00:1::242:0:99', IN_USE, '172.17.0.3 fd00:1::242:ac11:3']);
});

test('several subnets: the first that has one left, or the one that was meant', () => {
  const { told, take } = opened(network([pool('10.64.0.0/30'), pool('10.65.0.0/24'), pool('fd00:64::/64', { gateway: 'fd00:64::1' }), pool('fd00:65::/64', { gateway: 'fd00:65::1' })], { Driver: 'macvlan' }));
  assert.deepEqual([told(), told(), told({ ipv4: '10.65.0.7', ipv6: 'fd00:65::7' }), told({ ipv4: '10.66.0.7' })], ['10.64.0.2 fd00:64::2', '10.65.0.2 fd00:64::3', '10.65.0.7 fd00:65::7', outside('10.66.0.7')]);
  const { gateway, ipv4PrefixLen, ipv6Gateway } = take({ ipv6: 'fd00:65::8' });
  assert.deepEqual([gateway, ipv4PrefixLen, ipv6Gateway], ['10.65.0.1', 24, 'fd00:65::1']);
});

test('networks that share a subnet share its addresses', () => {
  const second = 'b'.repeat(64);
  const { leases, told } = opened(network([pool('10.62.0.0/16', { range: '10.62.1.0/24', gateway: '10.62.1.0' })]), network([pool('10.62.0.0/16', { range: '10.62.2.0/24', gateway: '10.62.0.9' })], { Id: second }));
  assert.deepEqual([told(), told({}, second), told({ ipv4: '10.62.1.1' }, second), told({ ipv4: '10.62.1.0' }, second), told({ ipv4: '10.62.0.9' })], ['10.62.1.1', '10.62.2.0', IN_USE, IN_USE, IN_USE]);
  leases.close(second);
  assert.deepEqual([told({ ipv4: '10.62.0.9' }), told()], ['10.62.0.9', '10.62.1.2']);
});

test('what an earlier daemon gave is held again, whatever the network is by now', () => {
  const { leases, told } = opened(network([pool('10.41.0.0/29')], { Options: STANDARD.Options }));
  leases.adopt(ID, { ipv4: '10.41.0.2', ipv6: '' });
  leases.adopt(ID, { ipv4: '10.41.0.4', ipv6: 'fd00::5' });
  leases.adopt(ID, { ipv4: '10.99.0.4', ipv6: '' }); // of a subnet that was
  leases.adopt(ID, { ipv4: '10.41.0.1', ipv6: '' }); // a gateway today
  leases.adopt(ID, { ipv4: '10.41.0.4', ipv6: '' }); // two records that say the same
  assert.deepEqual([told(), told()], ['10.41.0.3', '10.41.0.5']);
  leases.give(ID, { ipv4: '10.99.0.4', ipv6: '' });
  leases.give(ID, { ipv4: '10.41.0.1', ipv6: '' });
  leases.give(ID, { ipv4: '10.41.0.4', ipv6: '' });
  leases.give(ID, { ipv4: '10.41.0.6', ipv6: '' }); // never taken
  assert.deepEqual([told(), told()], ['10.41.0.6', noneLeft(4)]);
  leases.give(ID, { ipv4: '10.41.0.4', ipv6: '' });
  assert.deepEqual([told(), told()], ['10.41.0.4', noneLeft(4)]);
  leases.close(ID);
  leases.give(ID, { ipv4: '10.41.0.4', ipv6: '' });
  leases.close(ID);
});

test('a thousand leases of a /8 in any order', () => {
  const { leases, take } = opened(network([pool('10.0.0.0/8')]));
  const taken = Array.from({ length: 1000 }, () => take());
  assert.deepEqual([taken[0]?.ipv4, taken[999]?.ipv4], ['10.0.0.2', '10.0.3.233']);
  for (let round = 0; round < 1000; round++) {
    const at = round * 7919 % taken.length;
    const old = taken[at] ?? assert.fail();
    leases.give(ID, old);
    const next = take();
    assert.equal(next.ipv4, old.ipv4);
    taken[at] = next;
  }
  assert.equal(new Set(taken.map(({ ipv4 }) => ipv4)).size, 1000);
});
