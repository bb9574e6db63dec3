import assert from 'node:assert/strict';
import { closeSync, openSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openLinux } from '../kernel/index.ts';
import { systemClock } from '../lib/clock.ts';
import { silentLog } from '../lib/log.ts';
import { digestOf, parseDiffId } from '../oci/digest.ts';
import { treeTar } from '../../test/kit/image.ts';
import { temporary } from '../../test/kit/store.ts';
import { openStore } from './index.ts';

const kernel = openLinux({ selfCommand: [process.execPath, join(import.meta.dirname, '../main.ts')] });

test('every damaged file of a layer is told, and nothing of one that is whole', async () => {
  using root = temporary();
  const store = await openStore({ root: root.path, kernel, log: silentLog, clock: systemClock });
  const tar = treeTar({ 'd/': null, 'd/flipped': 'x'.repeat(300_000), 'd/short': 'abc', 'd/gone': 'gone', 'd/fine': 'fine', 'd/empty': '', 'link': 'a file', '.wh.deleted': '' });
  async function* source(): AsyncGenerator<Uint8Array> { await Promise.resolve(); yield tar; }
  await using staged = await store.layers.stage({ diffId: parseDiffId(digestOf(tar)), parent: undefined, compression: 'none', source: source() });
  const { chainId, diffPath } = await staged.commit();
  assert.deepEqual(await store.layers.verify(chainId), []);

  const fd = openSync(`${diffPath}/d/flipped`, 'r+');
  writeSync(fd, 'y', 299_999);
  closeSync(fd);
  truncateSync(`${diffPath}/d/short`, 2);
  rmSync(`${diffPath}/d/gone`);
  renameSync(`${diffPath}/link`, `${diffPath}/elsewhere`);
  symlinkSync('elsewhere', `${diffPath}/link`);
  const damages = await store.layers.verify(chainId);
  assert.deepEqual(damages.map(({ file }) => file), ['d/flipped', 'd/short', 'd/gone', 'link']);
  assert.match(damages.map(({ reason }) => reason).join('\n'), /checksum differs.*\nhas 2 bytes instead of 3\nENOENT.*\nELOOP/);

  writeFileSync(store.layers.tarSplitPath(chainId), 'garbage');
  assert.deepEqual((await store.layers.verify(chainId)).map(({ file }) => file), [undefined]);
  rmSync(store.layers.tarSplitPath(chainId));
  assert.deepEqual((await store.layers.verify(chainId)).map(({ file }) => file), [undefined]);
  await store.close();
});
