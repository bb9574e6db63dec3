// Text of addresses and subnets as Go's net package reads and writes it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress, formatSubnet, holds, lastOf, overlap, parseAddress, parseCidr } from './cidr.ts';

test('addresses are written in canonical text', () => {
  for (const [text, want] of [
    ['10.1.0.7', '10.1.0.7'], ['0.0.0.0', '0.0.0.0'], ['255.255.255.255', '255.255.255.255'], ['::ffff:10.1.0.7', '10.1.0.7'], ['::FFFF:0A01:0007', '10.1.0.7'],
    ['::', '::'], ['::1', '::1'], ['1::', '1::'], ['FD00:0001:0:0::', 'fd00:1::'], ['fd00:1:0::00AB', 'fd00:1::ab'], ['::1.2.3.4', '::102:304'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'], ['1:0:0:2:0:0:3:4', '1::2:0:0:3:4'], ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'], ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'], ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
    ['fd00:1::ffff:ffff:ffff:ffff', 'fd00:1::ffff:ffff:ffff:ffff'],
  ] as const) {
    const address = parseAddress(text);
    assert.ok(address, text);
    assert.equal(formatAddress(address), want);
    assert.deepEqual(parseAddress(want), address);
  }
});

test('what is no address is refused', () => {
  for (const text of ['', 'abc', '10.1.0', '10.1.0.0.0', '010.1.0.0', '10.1.0.256', '1000.0.0.1', ' 10.1.0.1', '10.1.0.1/16', '-1.0.0.0', '10.1.0.+1', ':', ':::', '1', '1:2', '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7:8::',
    '::1:2:3:4:5:6:7:8', 'fe80::1%eth0', '12345::', 'g::', '::1.2.3', '1.2.3.4::', '::1.2.3.4:5', ':1:2:3:4:5:6:7', '1:2:3:4:5:6:7:', '0x10.0.0.1']) assert.equal(parseAddress(text), undefined, text);
});

test('subnets lose what is behind their prefix', () => {
  for (const [text, want, last] of [
    ['10.1.2.3/16', '10.1.0.0/16', '10.1.255.255'], ['10.1.0.0/016', '10.1.0.0/16', '10.1.255.255'], ['1.2.3.4/0', '0.0.0.0/0', '255.255.255.255'], ['10.0.0.1/32', '10.0.0.1/32', '10.0.0.1'],
    ['fd00:1::5/64', 'fd00:1::/64', 'fd00:1::ffff:ffff:ffff:ffff'], ['fd00:1::5/127', 'fd00:1::4/127', 'fd00:1::5'], ['::/0', '::/0', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ] as const) {
    const { subnet } = parseCidr(text) ?? assert.fail(text);
    assert.deepEqual([formatSubnet(subnet), formatAddress({ family: subnet.family, value: lastOf(subnet) })], [want, last]);
  }
  for (const text of ['', '/', 'abc', '10.1.0.0', '10.1.0.0/', '10.1.0.0/33', '10.1.0.0/-1', '10.1/16', '300.1.0.0/16', ' 10.1.0.0/16', '10.1.0.0/16 ', 'fd00::/129', '10.1.0.0/16/8', '::ffff:10.1.0.0/112']) assert.equal(parseCidr(text), undefined, text);
});

test('subnets hold and overlap within their family', () => {
  const subnet = (text: string) => (parseCidr(text) ?? assert.fail(text)).subnet;
  for (const [one, other, want] of [['10.1.0.0/16', '10.1.5.0/24', true], ['10.1.0.0/16', '10.2.0.0/16', false], ['0.0.0.0/0', '10.2.0.0/16', true], ['::/0', '10.2.0.0/16', false], ['fd00::/8', 'fd12::/64', true], ['fd00::/64', 'fd00:0:0:1::/64', false]] as const) {
    assert.equal(overlap(subnet(one), subnet(other)), want, `${one} ${other}`);
    assert.equal(overlap(subnet(other), subnet(one)), want, `${other} ${one}`);
  }
  for (const [net, text, want] of [['10.1.0.0/16', '10.1.255.255', true], ['10.1.0.0/16', '10.2.0.0', false], ['::/0', '10.1.0.0', false], ['fd00::/64', 'fd00::1', true]] as const) {
    assert.equal(holds(subnet(net), parseAddress(text) ?? assert.fail(text)), want, `${net} ${text}`);
  }
});
