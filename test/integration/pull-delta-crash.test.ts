// kill -9 of the daemon, and of the worker, in the middle of a delta of either format: no residue, the base as it was, and the pull done again by delta.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { corpusImage, vectorOf } from '../kit/corpus.ts';
import { startDaemon } from '../kit/daemon.ts';
import { listDeltas, offerDelta, offerImages } from '../kit/deltas.ts';
import { openFakeRegistry, type FakeRegistry } from '../kit/fake-registry.ts';
import { ask } from '../kit/http.ts';
import { buildImage, treeTar } from '../kit/image.ts';
import { leaksOf, processesOf } from '../kit/leaks.ts';
import { until } from '../kit/poll.ts';
import { assertNoResidue, imageIds, listTree, mustPull, startPull } from '../kit/pull.ts';
import { openTempRoot } from '../kit/temp.ts';

interface Update { base: string; next: string; baseId: string; nextId: string; blob: string }

/** A real delta image of balenaEngine's; its target is nowhere, so what comes has come by delta. */
function balenas(registry: FakeRegistry): Update {
  const [base, delta, { target }] = [corpusImage('unrelated', 'base'), corpusImage('unrelated', 'delta'), vectorOf('unrelated')];
  offerImages(registry, { 'balena:base': base, 'balena:delta': delta });
  return { base: `${registry.host}/balena:base`, next: `${registry.host}/balena:delta`, baseId: base.config.digest, nextId: target, blob: delta.layers.at(-1)?.digest ?? '' };
}

function ours(registry: FakeRegistry): Update {
  const data = randomBytes(600_000);
  const base = buildImage({ layers: [treeTar({ 'data': data, 'version': '1' })] });
  const target = buildImage({ layers: [treeTar({ 'data': Buffer.concat([data.subarray(0, 300_000), randomBytes(150_000), data.subarray(300_000)]), 'version': '2' })] });
  offerImages(registry, { 'ours:1': base, 'ours:2': target });
  const delta = offerDelta(registry, 'ours', { base, target });
  listDeltas(registry, 'ours', { target, deltas: [delta] });
  return { base: `${registry.host}/ours:1`, next: `${registry.host}/ours:2`, baseId: base.config.digest, nextId: target.config.digest, blob: delta.layers[0]?.digest ?? '' };
}

for (const [format, offer] of [['of balenaEngine', balenas], ['of ours', ours]] as const) test(`killed in the middle of a delta ${format}: nothing of it stays, and it is done again`, async () => {
  await using root = openTempRoot();
  await using registry = await openFakeRegistry();
  const { base, next, baseId, nextId, blob } = offer(registry);
  const requests = () => registry.seen('blob').filter(({ path }) => path.endsWith(blob));
  let before: string[] = [];
  const stall = () => { registry.misbehave = ({ path }) => (path.endsWith(blob) ? { stallAfterBytes: 40_000 } : undefined); };
  const midway = (dataRoot: string) => until('the delta to be on its way', () => requests().length > 0 && readdirSync(join(dataRoot, 'image/overlay2/layerdb/tmp')).length === 1);
  {
    await using daemon = await startDaemon({ root: root.path });
    await mustPull(daemon.socket, base);
    before = listTree(join(daemon.dataRoot, 'overlay2'));
    stall();
    const pulling = startPull(daemon.socket, next);
    await midway(daemon.dataRoot);
    const worker = await until('the worker to be in the layer', () => processesOf(join(daemon.dataRoot, 'overlay2')).find(({ command }) => command.endsWith('worker extract')));
    process.kill(worker.pid, 'SIGKILL');
    const { error } = await pulling.done;
    if (format === 'of ours') { // the whole layer has come instead
      assert.deepEqual([error, await imageIds(daemon.socket)], [undefined, [baseId, nextId].toSorted()]);
      await ask(daemon.socket, { method: 'DELETE', path: `/images/${next}` });
    } else assert.match(error ?? '', /extract worker \(process \d+\) ended by SIGKILL/);
    assert.deepEqual(listTree(join(daemon.dataRoot, 'overlay2')), before);
    assertNoResidue(daemon.dataRoot);
    registry.requests.length = 0;
    const again = startPull(daemon.socket, next);
    await midway(daemon.dataRoot);
    await daemon.kill();
    await assert.rejects(again.done);
  }
  await until('its workers to have ended with it', () => leaksOf(root.path).length === 0);
  registry.cut();
  registry.misbehave = () => undefined;
  registry.requests.length = 0;
  await using daemon = await startDaemon({ root: root.path });
  await until('what was swept to be erased', () => readdirSync(join(daemon.dataRoot, 'vaquita/removed')).length === 0);
  assert.deepEqual([listTree(join(daemon.dataRoot, 'overlay2')), await imageIds(daemon.socket)], [before, [baseId]]);
  assertNoResidue(daemon.dataRoot);
  await mustPull(daemon.socket, next);
  assert.deepEqual([await imageIds(daemon.socket), requests().length], [[baseId, nextId].toSorted(), 1]);
  assertNoResidue(daemon.dataRoot);
});
