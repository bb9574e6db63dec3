// Addresses and ports: what is one and what is not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCidr, isIp, isIpv4, isIpv6, isMac, isSearchDomain, parsePortRange, splitPort } from './address.ts';

test('IP addresses are told from what only looks like them', () => {
  for (const good of ['0.0.0.0', '1.2.3.4', '255.255.255.255']) assert.ok(isIpv4(good) && isIp(good) && !isIpv6(good), good);
  for (const good of ['::', '::1', 'fe80::1', '2001:db8::1.2.3.4', '1:2:3:4:5:6:7:8']) assert.ok(isIpv6(good) && isIp(good) && !isIpv4(good), good);
  for (const bad of ['', '1.2.3', '1.2.3.4.5', '256.1.1.1', '01.2.3.4', '1.2.3.4:5', '[::1]', ':::', '1::2::3', 'fe80::1%eth0', 'host-gateway', 'a', '::1/64', '12345::']) assert.ok(!isIp(bad), bad);
});

test('subnets and search domains', () => {
  for (const good of ['10.0.0.1/8', '0.0.0.0/0', '1.2.3.4/32', 'fd00::/64', '::/0', '::1/128']) assert.ok(isCidr(good), good);
  for (const bad of ['', '10.0.0.1', '10.0.0.0/33', '10.0.0/8', '10.0.0.0/', '10.0.0.0/08', '10.0.0.0/8/8', 'fd00::/129', '/8', 'x/8']) assert.ok(!isCidr(bad), bad);
  for (const good of ['.', 'a', 'a.b', 'x-1.example.', '1.a', 'A.B ']) assert.ok(isSearchDomain(good), good);
  for (const bad of ['', 'a_b', '1.2', 'a..b', '-a', 'a-', 'a b', '..', `${'x'.repeat(254)}.a`]) assert.ok(!isSearchDomain(bad), bad);
});

test('MAC addresses have one separator and 48, 64 or 160 bits', () => {
  for (const good of ['02:42:ac:11:00:02', '02-42-AC-11-00-02', '0242.ac11.0002', '02:00:5e:10:00:00:00:01', '0200.5e10.0000.0001', Array(20).fill('00').join(':')]) assert.ok(isMac(good), good);
  for (const bad of ['', 'zz', '02:42:ac:11:00', '02:42-ac:11:00:02', '0242ac110002', '02:42:ac:11:00:02:03', '02:42:ac:11:00:02\n']) assert.ok(!isMac(bad), bad);
});

test('ports and ranges of ports', () => {
  assert.deepEqual(['80', '80-90', '0', '', '65535'].map(parsePortRange), [{ first: 80, last: 80 }, { first: 80, last: 90 }, { first: 0, last: 0 }, { first: 0, last: 0 }, { first: 65535, last: 65535 }]);
  for (const bad of ['x', '-1', '65536', '90-80', '1-', '1-2-3', ' 1', '1e3']) assert.equal(parsePortRange(bad), undefined, bad);
  assert.deepEqual(['80', '53/udp', '80/', ''].map(splitPort), [{ port: '80', protocol: 'tcp' }, { port: '53', protocol: 'udp' }, { port: '80', protocol: 'tcp' }, { port: '', protocol: 'tcp' }]);
});
