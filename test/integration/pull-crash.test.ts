// kill -9 of the daemon in the middle of a pull, and a new start: no residue, whole layers used again, answered pulls kept.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { test } from 'node:test';
import { digestOf } from '../../src/oci/digest.ts';
import { startDaemon } from '../kit/daemon.ts';
import { openFakeRegistry, type FakeRegistry } from '../kit/fake-registry.ts';
import { ask } from '../kit/http.ts';
import { treeTar } from '../kit/image.ts';
import { leaksOf, processesOf } from '../kit/leaks.ts';
import { until } from '../kit/poll.ts';
import { assertNoResidue, imageIds, keptLayers, listTree, mustPull, shortOf, startPull } from '../kit/pull.ts';
import { openTempRoot } from '../kit/temp.ts';

function offer(registry: FakeRegistry, sizes: readonly number[]) {
  const tars = sizes.map((sizeBytes, n) => treeTar({ [`data-${n}`]: randomBytes(sizeBytes), [`small-${n}`]: `${n}` }));
  const diffIds = tars.map((tar) => digestOf(tar));
  const { layers, config } = registry.addImage('some/image', '1', { layers: tars.map((tar) => gzipSync(tar, { level: 1 })), diffIds });
  const requests = (n: number) => registry.seen('blob').filter(({ path }) => path.endsWith(layers[n]?.digest ?? 'none'));
  return { reference: `${registry.host}/some/image:1`, layers, diffIds, config, requests, bytesOf: (n: number) => requests(n).reduce((sum, { bytesSent }) => sum + bytesSent, 0) };
}

test('after a kill in the middle of a layer: its staging swept, whole layers reused though the one below is missing, the pull completes', async () => {
  await using root = openTempRoot();
  await using registry = await openFakeRegistry();
  const { reference, layers, diffIds, config, requests, bytesOf } = offer(registry, [500_000, 2_000_000, 3_000_000, 100_000]);
  registry.misbehave = ({ path }) => (path.endsWith(layers[2]?.digest ?? '') ? { stallAfterBytes: 2_000_000 } : undefined);
  {
    await using daemon = await startDaemon({ root: root.path });
    const pulling = startPull(daemon.socket, reference);
    for (const n of [0, 1]) await pulling.sees('Pull complete', shortOf(layers[n]?.digest ?? ''));
    await until('the third layer to be half extracted', () => listTree(join(daemon.dataRoot, 'overlay2')).some((line) => {
      const [path = ''] = line.split(' ');
      return path.endsWith('diff/data-2') && lstatSync(join(daemon.dataRoot, 'overlay2', path)).size > 1_000_000;
    }));
    await until('the fourth to wait for it', () => keptLayers(daemon.dataRoot).length === 1);
    assert.deepEqual(await imageIds(daemon.socket), [], 'nothing half-made is visible');
    const workers = processesOf(root.path).filter(({ command }) => command.endsWith('worker extract'));
    assert.ok(workers.length > 0);
    for (const { pid } of workers) process.kill(pid, 'SIGSTOP'); // on a busy machine they may get no turn for as long: the next daemon must not meet them
    await daemon.kill();
    await assert.rejects(pulling.done);
  }
  await until('its workers to have ended with it', () => leaksOf(root.path).length === 0);
  registry.misbehave = () => undefined;
  registry.requests.length = 0;
  await using daemon = await startDaemon({ root: root.path });
  assert.match(daemon.log(), /removed what an interrupted run had left/);
  await until('what was swept to be erased', () => readdirSync(join(daemon.dataRoot, 'vaquita/removed')).length === 0);
  assert.deepEqual([keptLayers(daemon.dataRoot), readdirSync(join(daemon.dataRoot, 'image/overlay2/layerdb/tmp')).length], [diffIds.slice(3), 1]);
  assert.deepEqual(['layerdb/sha256', '../../overlay2', '../../overlay2/l'].map((folder) => readdirSync(join(daemon.dataRoot, 'image/overlay2', folder)).length), [2, 4, 3]);
  assert.deepEqual(await imageIds(daemon.socket), []);

  const lines = await mustPull(daemon.socket, reference);
  for (const n of [0, 1]) assert.ok(lines.some(({ status, id }) => status === 'Already exists' && id === shortOf(layers[n]?.digest ?? '')));
  assert.deepEqual([bytesOf(0), bytesOf(1), bytesOf(2), bytesOf(3)], [0, 0, layers[2]?.size, 0]);
  assert.equal(requests(2).length, 1);
  assertNoResidue(daemon.dataRoot);
  assert.deepEqual(await imageIds(daemon.socket), [config.digest]);
});

test('killed at any moment: what was told to be complete is never fetched again, what was answered is there', async () => {
  await using root = openTempRoot();
  await using registry = await openFakeRegistry();
  const { reference, layers, config, requests } = offer(registry, [400_000, 800_000, 1_200_000, 1_600_000, 400_000, 200_000]);
  const complete = new Set<string>();
  let answered = false;
  for (let start = 0; !answered; start++) {
    assert.ok(start < 40, 'each start gets a little further');
    await using daemon = await startDaemon({ root: root.path });
    const there = await imageIds(daemon.socket);
    if (there.length > 0) { // the answer to the pull before was on its way
      assert.deepEqual(there, [config.digest]);
      break;
    }
    registry.requests.length = 0;
    const pulling = startPull(daemon.socket, reference);
    // Later each time: between the first request and the end there is a moment for every step. Where a pull takes longer than usual, the last ones have time for all of it.
    const killed = new Promise((resolve) => { setTimeout(resolve, 20 + start * 30 + Math.max(0, start - 20) ** 2 * 20); }).then(() => 'killed' as const);
    const outcome = await Promise.race([pulling.done.then(({ error }) => error ?? 'pulled'), killed]);
    await daemon.kill();
    if (outcome !== 'killed') {
      assert.equal(outcome, 'pulled');
      answered = true;
    }
    for (const [n, { digest }] of layers.entries()) if (complete.has(shortOf(digest))) assert.equal(requests(n).length, 0, `layer ${n} was complete`);
    for (const { status, id } of pulling.lines) if (status === 'Pull complete') complete.add(id ?? '');
    await until('its workers to have ended with it', () => leaksOf(root.path).length === 0);
  }
  assert.ok(complete.size > 0);
  await using daemon = await startDaemon({ root: root.path });
  assert.deepEqual(await imageIds(daemon.socket), [config.digest]);
  const { GraphDriver } = (await ask(daemon.socket, { path: `/images/${reference}/json` })).json<{ GraphDriver: { Data: { LowerDir: string; UpperDir: string } } }>();
  const dirs = [GraphDriver.Data.UpperDir, ...GraphDriver.Data.LowerDir.split(':')].toReversed();
  assert.deepEqual(dirs.map((dir, n) => readFileSync(join(dir, `small-${n}`), 'utf8')), ['0', '1', '2', '3', '4', '5']);
  await until('what was swept to be erased', () => readdirSync(join(daemon.dataRoot, 'vaquita/removed')).length === 0);
  assertNoResidue(daemon.dataRoot);
});
