import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completeHostConfig } from './defaults.ts';
import { decideCgroup, withDefaultUlimits } from './placement.ts';

test('cgroups stand where driver and parent say, and never outside of the hierarchy', () => {
  const at = (driver: 'cgroupfs' | 'systemd', parent: string) => decideCgroup('id', { driver, parent });
  assert.deepEqual([at('cgroupfs', ''), at('cgroupfs', '/a/b'), at('cgroupfs', 'c.slice'), at('cgroupfs', '../../x'), at('cgroupfs', '/')], ['/docker/id', '/a/b/id', '/c.slice/id', '/x/id', '/id']);
  assert.deepEqual([at('systemd', ''), at('systemd', 'my.slice')], ['system.slice:docker:id', 'my.slice:docker:id']);
});

test('the daemon\'s ulimits are added where a container has none of that name', () => {
  const own = { Name: 'nofile', Hard: 2, Soft: 1 };
  const host = completeHostConfig({ Ulimits: [own] }, { cgroupVersion: 2 });
  const core = { Name: 'core', Hard: 5, Soft: 5 };
  assert.deepEqual(withDefaultUlimits(host, [{ ...own, Hard: 9 }, core]).Ulimits, [own, core]);
  assert.equal(withDefaultUlimits(host, []), host);
});
