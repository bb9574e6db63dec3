// kill -9 of the daemon in the middle of a load: nothing half-made is visible, nothing stays in staging, and loading again works.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { tarBytes } from '../../src/archive/tar-write.ts';
import { dockerItems, load } from '../kit/archive.ts';
import { startDaemon } from '../kit/daemon.ts';
import { ask } from '../kit/http.ts';
import { buildImage, treeTar } from '../kit/image.ts';
import { leaksOf } from '../kit/leaks.ts';
import { until } from '../kit/poll.ts';
import { assertNoResidue } from '../kit/pull.ts';
import { openTempRoot } from '../kit/temp.ts';

const LAYERS = 5;

/** What of the archive is sent, and the folder in which so much stands then. */
const MOMENTS: ReadonlyArray<readonly [what: string, share: number, folder: string, count: number]> = [
  ['half of the archive has come', 0.5, 'layerdb/tmp', 2],
  ['the first layer is committed', 1, 'layerdb/sha256', 1],
  ['the config is written', 1, 'imagedb/content/sha256', 1],
];

test('killed in the middle of a load: the whole image or nothing is visible, nothing is staged, and it is done again', async () => {
  await using root = openTempRoot();
  let daemon = await startDaemon({ root: root.path });
  await using _last = { [Symbol.asyncDispose]: async () => { await daemon[Symbol.asyncDispose](); } };
  const images = async () => (await ask(daemon.socket, { path: '/images/json?all=1' })).json<Array<{ Id: string }>>().map(({ Id }) => Id);
  for (const [what, share, folder, count] of MOMENTS) {
    const data = Array.from({ length: LAYERS }, () => randomBytes(200_000));
    const image = buildImage({ layers: data.map((bytes, n) => treeTar({ [`data-${n}`]: bytes })), compression: 'none', config: { Cmd: ['x'] } });
    const archive = tarBytes(dockerItems(image, { tags: ['loaded:1'] }));
    const { digest } = image.config;
    const there = (path: string) => readdirSync(join(daemon.dataRoot, 'image/overlay2', path)).length;

    const sent = request({ socketPath: daemon.socket, method: 'POST', path: '/images/load', agent: false, headers: { 'Content-Length': archive.length } });
    sent.on('error', () => {}).write(archive.subarray(0, archive.length * share));
    // Closer than `until` looks: such a moment is short.
    for (const deadline = performance.now() + 60_000; there(folder) < count && there('imagedb/content/sha256') === 0;) {
      assert.ok(performance.now() < deadline, what);
      await new Promise((resolve) => { setImmediate(resolve); });
    }
    await daemon.kill();
    sent.destroy();
    await until('its workers to have ended with it', () => leaksOf(root.path).length === 0);

    daemon = await startDaemon({ root: root.path });
    await until('what was swept to be erased', () => readdirSync(join(daemon.dataRoot, 'vaquita/removed')).length === 0);
    assertNoResidue(daemon.dataRoot);
    const seen = await images();
    if (seen.length > 0) assert.deepEqual([seen, share, there('layerdb/sha256')], [[digest], 1, LAYERS], `${what}: what is seen is whole`);
    assert.deepEqual(await load(daemon.socket, archive), ['Loaded image: loaded:1'], what);
    assert.deepEqual(await images(), [digest], what);
    const { GraphDriver: { Data } } = (await ask(daemon.socket, { path: '/images/loaded:1/json' })).json<{ GraphDriver: { Data: { LowerDir: string; UpperDir: string } } }>();
    const dirs = [...Data.LowerDir.split(':').toReversed(), Data.UpperDir];
    for (const [n, bytes] of data.entries()) assert.ok(readFileSync(join(dirs[n] ?? '', `data-${n}`)).equals(bytes), what);
    await ask(daemon.socket, { method: 'DELETE', path: '/images/loaded:1' });
    assert.deepEqual([await images(), there('layerdb/sha256')], [[], 0], what);
    assertNoResidue(daemon.dataRoot);
  }
});
