import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containerId, hostId, hostRoot, type IdMap } from './ids.ts';

const MAP: IdMap = {
  uids: [{ containerId: 0, hostId: 100_000, size: 1000 }, { containerId: 1000, hostId: 500_000, size: 10 }],
  gids: [{ containerId: 0, hostId: 200_000, size: 1000 }],
};

test('numbers go out and come back, over the seam of two ranges', () => {
  for (const id of [0, 1, 999, 1000, 1009]) assert.equal(containerId(MAP.uids, hostId(MAP.uids, id)), id);
  assert.deepEqual([hostId(MAP.uids, 999), hostId(MAP.uids, 1000), hostId(MAP.gids, 5)], [100_999, 500_000, 200_005]);
  assert.deepEqual(hostRoot(MAP), { uid: 100_000, gid: 200_000 });
});

test('a number without a place is refused in both directions', () => {
  assert.throws(() => hostId(MAP.uids, 1010), /^EngineError: container ID 1010 cannot be mapped to a host ID$/);
  assert.throws(() => containerId(MAP.uids, 0), /^EngineError: host ID 0 cannot be mapped to a container ID$/);
});

test('without a map every number is itself', () => {
  assert.deepEqual([hostId(undefined, 70_000), containerId(undefined, 0), hostRoot(undefined)], [70_000, 0, { uid: 0, gid: 0 }]);
});
