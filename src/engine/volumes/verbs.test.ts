import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFake } from '../../kernel/fake.ts';
import { silentLog } from '../../lib/log.ts';
import type { ContainerNeeds } from '../containers/needs.ts';
import { openTestStore, temporary } from '../../../test/kit/store.ts';
import { openVolumes, volumesWithUsage } from './verbs.ts';
import { Volumes } from './volumes.ts';

test('two clients remove a volume at once: the second one is told so, or nothing by force', async () => {
  const stored = new Map<string, object>();
  const store = { volumes: { get: (name: string) => stored.get(name), remove: async (name: string) => { await Promise.resolve(); stored.delete(name); } } };
  const needs = { store, kernel: openFake(), log: silentLog, events: { publish: () => {} }, table: { all: () => [] } } as unknown as ContainerNeeds;
  const volumes = openVolumes({ ...needs, volumes: new Volumes(needs) });
  const both = async (force: boolean) => {
    stored.set('v', {});
    return (await Promise.allSettled([volumes.remove('v', { force }), volumes.remove('v', { force })])).map(({ status }) => status);
  };
  assert.deepEqual(await both(true), ['fulfilled', 'fulfilled']);
  assert.deepEqual(await both(false), ['fulfilled', 'rejected']);
});

test('a volume that goes while sizes are summed has none', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  for (const name of ['goes', 'stays']) await store.volumes.create({ name, labels: null, options: null });
  const listed = store.volumes.list();
  await store.volumes.remove('goes');
  const seen = { store: { ...store, volumes: { ...store.volumes, list: () => listed } }, volumes: { users: () => [] as string[] } as unknown as Volumes };
  assert.deepEqual((await volumesWithUsage(seen)).map(({ volume, usage }) => [volume.name, usage?.sizeBytes]), [['goes', -1], ['stays', 0]]);
  await store.close();
});
