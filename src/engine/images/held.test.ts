// Layers that are held: those of an image that is made while others collect what nobody needs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chainIds } from '../../oci/digest.ts';
import { diffIdOf, openTestStore, stageText, temporary } from '../../../test/kit/store.ts';
import { commitHeld } from './held.ts';

test('a layer that is committed while someone waits to collect is there afterwards, for as long as it is leased', async () => {
  using root = temporary();
  const store = await openTestStore(root.path);
  const lease = store.layers.lease([]);
  const diffIds = [diffIdOf('below'), diffIdOf('above')];
  const [bottom, top] = chainIds(diffIds);
  assert.ok(bottom && top);
  for (const [index, text] of ['below', 'above'].entries()) {
    await using staged = await stageText(store, text, index === 0 ? undefined : bottom);
    const committed = commitHeld(staged, { below: diffIds.slice(0, index), lease });
    const collected = store.collect(); // waits for the commit, and is next
    await committed;
    assert.deepEqual(await collected, [], text);
  }
  assert.deepEqual([store.layers.get(bottom)?.diffId, store.layers.get(top)?.parent], [diffIds[0], bottom]);
  lease[Symbol.dispose]();
  assert.deepEqual(await store.collect(), [top, bottom]);
  await store.close();
});
