// The networks that every host has: IDs that stay and that no two daemons share.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { predefinedNetworks } from './networks.ts';

test('predefined networks keep their IDs over restarts and differ between daemons', () => {
  const ids = (daemon: string) => predefinedNetworks(daemon).map(({ id }) => id);
  assert.deepEqual(ids('one'), ids('one'));
  assert.equal(new Set([...ids('one'), ...ids('two')]).size, 4);
  for (const id of ids('one')) assert.match(id, /^[0-9a-f]{64}$/);
});
