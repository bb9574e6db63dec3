import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOnHost } from './surroundings.ts';

test('a subnet is the host’s when another device has an address in it', () => {
  const host = { addresses: () => [{ link: 1, address: '127.0.0.1/8', scope: 'host' as const }, { link: 2, address: '192.168.1.20/24', scope: 'global' as const }, { link: 3, address: 'fd00:1::1/64', scope: 'global' as const }] };
  for (const [subnets, but, want] of [
    [['192.168.1.1/24'], undefined, true], [['192.168.1.1/24'], 2, false], [['192.168.0.0/16'], undefined, true], [['192.168.2.0/24', 'fd00:1::9/80'], undefined, true], [['192.168.2.0/24', 'fd00:2::/64'], undefined, false], [[], undefined, false], [['bogus'], undefined, false],
  ] as const) assert.equal(isOnHost(host, { subnets, but }), want, subnets.join());
});
