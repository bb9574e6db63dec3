import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linkLocalAddress } from './link-local.ts';

test('only addresses of the link are taken, and get its prefix', () => {
  for (const [text, want] of [['169.254.7.7', '169.254.7.7/16'], ['FE80::0:7', 'fe80::7/64'], ['febf::1', 'febf::1/64']] as const) assert.equal(linkLocalAddress(text), want);
  for (const text of ['10.9.9.9', '169.253.255.255', 'fec0::1', 'fd00::1', 'abc', '', '169.254.7.7/16']) assert.throws(() => linkLocalAddress(text), { kind: 'invalid', message: `invalid link local IP address: ${text}` });
});
