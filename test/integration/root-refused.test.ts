// Data roots that the daemon cannot have or cannot read: it says why and touches nothing, or sets the damage aside and lives.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { test } from 'node:test';
import { digestOf, hexOf } from '../../src/oci/digest.ts';
import { startDaemon } from '../kit/daemon.ts';
import { openFakeRegistry, type FakeRegistry } from '../kit/fake-registry.ts';
import { treeTar } from '../kit/image.ts';
import { imageIds, listTree, mustPull } from '../kit/pull.ts';
import { openSmallDisk } from '../kit/small-disk.ts';
import { openTempRoot } from '../kit/temp.ts';

function offer(registry: FakeRegistry) {
  const tars = [treeTar({ 'lower': randomBytes(1000) }), treeTar({ 'upper': randomBytes(1000) })];
  const { config, layers } = registry.addImage('some/image', '1', { layers: tars.map((tar) => gzipSync(tar)), diffIds: tars.map((tar) => digestOf(tar)) });
  return { reference: `${registry.host}/some/image:1`, config, layers };
}

test('a second daemon on the same root is refused by name, and the first one does not notice', async () => {
  await using root = openTempRoot();
  await using registry = await openFakeRegistry();
  const { reference, config } = offer(registry);
  await using first = await startDaemon({ root: join(root.path, 'first') });
  await mustPull(first.socket, reference);
  const before = listTree(first.dataRoot);
  const second = startDaemon({ root: join(root.path, 'second'), flags: ['--data-root', first.dataRoot] });
  await assert.rejects(second, new RegExp(`failed to start: data root ${first.dataRoot} is in use by another daemon \\(pid \\d+\\)`));
  assert.deepEqual(listTree(first.dataRoot), before);
  assert.deepEqual(await imageIds(first.socket), [config.digest]);
  await first.kill();
  await using third = await startDaemon({ root: join(root.path, 'first') });
  assert.deepEqual(await imageIds(third.socket), [config.digest], 'a lock of the dead holds nobody up');
});

test('a data root that is read-only is refused by name, nothing is changed, and it is fine again when it can be written', async () => {
  await using root = openTempRoot();
  await using registry = await openFakeRegistry();
  const { reference, config } = offer(registry);
  await using disk = openSmallDisk({ file: join(root.path, 'disk'), path: join(root.path, 'engine/data'), sizeBytes: 16 << 20 });
  disk.remount('ro');
  const refusal = new RegExp(`failed to start: .*${disk.path}.*read-only file system`);
  await assert.rejects(startDaemon({ root: join(root.path, 'engine') }), refusal, 'an empty one');
  disk.remount('rw');
  {
    await using daemon = await startDaemon({ root: join(root.path, 'engine') });
    await mustPull(daemon.socket, reference);
  }
  const before = listTree(disk.path);
  disk.remount('ro');
  await assert.rejects(startDaemon({ root: join(root.path, 'engine') }), refusal, 'one in use');
  assert.deepEqual(listTree(disk.path), before);
  disk.remount('rw');
  await using daemon = await startDaemon({ root: join(root.path, 'engine') });
  assert.deepEqual(await imageIds(daemon.socket), [config.digest]);
});

test('a data root that is a file, or below one, is refused by name', async () => {
  await using root = openTempRoot();
  const file = join(root.path, 'file');
  writeFileSync(file, '');
  for (const dataRoot of [file, join(file, 'below')]) {
    await assert.rejects(startDaemon({ root: join(root.path, 'engine'), flags: ['--data-root', dataRoot] }), new RegExp(`failed to start: .*${dataRoot}`));
  }
});

const DAMAGES = {
  emptied: (path: string) => truncateSync(path),
  garbled: (path: string) => writeFileSync(path, randomBytes(100)),
  'cut in half': (path: string) => truncateSync(path, Math.floor(readFileSync(path).length / 2)),
  gone: (path: string) => rmSync(path),
  'a directory': (path: string) => { rmSync(path); mkdirSync(path); },
};

test('corrupt files under the data root: the daemon starts, names them, and a pull makes the image whole again', async (t) => {
  await using root = openTempRoot();
  await using registry = await openFakeRegistry();
  const { reference, config } = offer(registry);
  {
    await using daemon = await startDaemon({ root: root.path });
    await mustPull(daemon.socket, reference);
  }
  const image = join(root.path, 'data/image/overlay2');
  const [layer = ''] = readdirSync(join(image, 'layerdb/sha256'));
  const victims = ['repositories.json', `imagedb/content/sha256/${hexOf(config.digest)}`, ...['cache-id', 'diff', 'size'].map((name) => `layerdb/sha256/${layer}/${name}`)];
  const kinds = Object.entries(DAMAGES);
  // Each file in one way, each way on one file: all pairs stand in the store's own tests.
  for (const [n, victim] of victims.entries()) {
    const [kind = '', damage] = kinds[n % kinds.length] ?? [];
    await t.test(`${victim.replace(layer, 'LAYER').replace(hexOf(config.digest), 'IMAGE')} ${kind}`, async () => {
      damage?.(join(image, victim));
      await using daemon = await startDaemon({ root: root.path });
      assert.match(daemon.log(), new RegExp(victim.startsWith('layerdb/') ? `set aside.*${layer}` : `set aside.*${victim.split('/').at(-1)}`));
      await mustPull(daemon.socket, reference);
      assert.deepEqual(await imageIds(daemon.socket), [config.digest]);
      assert.equal(await daemon.stop(), 0, daemon.log());
      await using again = await startDaemon({ root: root.path });
      assert.deepEqual(await imageIds(again.socket), [config.digest]);
      assert.doesNotMatch(again.log(), /WARN|ERROR|warn|error/, again.log());
    });
  }
});

test('files of nobody under the data root harm nobody and stay', async () => {
  await using root = openTempRoot();
  await using registry = await openFakeRegistry();
  const { reference } = offer(registry);
  const strange = ['stray', 'image/stray', 'image/overlay2/layerdb/sha256/stray', 'image/overlay2/imagedb/content/sha256/stray', 'overlay2/stray', 'containers/stray', 'containers/stray-2/config.v2.json', 'buildkit/cache.db'];
  for (const name of strange) {
    mkdirSync(join(root.path, 'data', name, '..'), { recursive: true });
    writeFileSync(join(root.path, 'data', name), randomBytes(50));
  }
  await using daemon = await startDaemon({ root: root.path });
  await mustPull(daemon.socket, reference);
  assert.deepEqual(strange.filter((name) => !existsSync(join(root.path, 'data', name))), []);
});
