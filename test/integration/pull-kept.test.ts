// Pulls that fail: their whole layers wait for the next pull, are held to their diffID again, counted, pruned, and hidden until then.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { after, before, test } from 'node:test';
import { digestOf } from '../../src/oci/digest.ts';
import { startDaemon, type Daemon } from '../kit/daemon.ts';
import { openFakeRegistry, type FakeRegistry } from '../kit/fake-registry.ts';
import { ask } from '../kit/http.ts';
import { treeTar } from '../kit/image.ts';
import { until } from '../kit/poll.ts';
import { assertNoResidue, imageIds, keptLayers, listTree, mustPull, shortOf, startPull } from '../kit/pull.ts';
import { openTempRoot } from '../kit/temp.ts';

const held = new AsyncDisposableStack();
const root = held.use(openTempRoot());
let daemon: Daemon;
let registry: FakeRegistry;

const start = async () => { daemon = await startDaemon({ root: join(root.path, 'engine'), flags: ['--shutdown-timeout=0'] }); };

before(async () => {
  registry = held.use(await openFakeRegistry());
  await start();
});
after(async () => {
  await daemon.stop();
  await held.disposeAsync();
});

/** Three layers of files of random bytes, of which the lowest does not come before it is let through. */
function offer(name: string, sizes: readonly number[] = [100_000, 300_000, 500_000]) {
  const tars = sizes.map((sizeBytes, n) => treeTar({ [`data-${n}`]: randomBytes(sizeBytes) }));
  const diffIds = tars.map((tar) => digestOf(tar));
  const { layers } = registry.addImage(name, '1', { layers: tars.map((tar) => gzipSync(tar, { level: 1 })), diffIds });
  const [lowest = ''] = layers.map(({ digest }) => digest);
  registry.misbehave = ({ path }) => (path.endsWith(lowest) ? { stallAfterBytes: 1000 } : undefined);
  return {
    reference: `${registry.host}/${name}:1`, layers, upper: diffIds.slice(1).toSorted(), shown: layers.map(({ digest }) => shortOf(digest)),
    gone: () => {
      registry.misbehave = ({ path }) => (path.endsWith(lowest) ? { status: 404 } : undefined);
      registry.cut();
    },
    back: () => { registry.misbehave = () => undefined; registry.requests.length = 0; },
    bytesSent: () => layers.map(({ digest }) => registry.seen('blob').filter(({ path }) => path.endsWith(digest)).reduce((sum, seen) => sum + seen.bytesSent, 0)),
  };
}

const upperWhole = (upper: readonly string[]) => until('the upper layers to be whole', () => keptLayers(daemon.dataRoot).join() === upper.join());
const layersSize = async () => (await ask(daemon.socket, { path: '/system/df' })).json<{ LayersSize: number }>().LayersSize;

test('a pull that fails leaves its whole layers to the next one, which looks at them and fetches only the rest', async () => {
  const { reference, layers, upper, shown, gone, back, bytesSent } = offer('failing/some');
  const stays = registry.misbehave;
  const failing = startPull(daemon.socket, reference);
  await upperWhole(upper);
  gone();
  assert.match((await failing.done).error ?? 'pulled', /unknown|not found/);
  assert.deepEqual([keptLayers(daemon.dataRoot), await imageIds(daemon.socket), await layersSize()], [upper, [], 800_000]);

  const before = listTree(daemon.dataRoot);
  registry.misbehave = stays;
  const leaving = startPull(daemon.socket, reference);
  for (const id of shown.slice(1)) await leaving.sees('Download complete', id);
  leaving.leave();
  await until('the store to be as before', () => JSON.stringify(listTree(daemon.dataRoot)) === JSON.stringify(before)).catch(() => {});
  assert.deepEqual(listTree(daemon.dataRoot), before, 'who calls a pull off takes nothing along that was kept');

  const damaged = readdirSync(join(daemon.dataRoot, 'overlay2')).map((id) => join(daemon.dataRoot, 'overlay2', id, 'diff/data-2')).find((path) => { try { return readFileSync(path).length > 0; } catch { return false; } });
  const bytes = readFileSync(damaged ?? '');
  bytes.writeUInt8(bytes.readUInt8(1000) ^ 1, 1000);
  writeFileSync(damaged ?? '', bytes);
  back();
  const dry = await mustPull(daemon.socket, reference, { dryRun: '1' });
  assert.deepEqual(dry.filter(({ id }) => id !== undefined && shown.includes(id)).map(({ status }) => status?.split(':')[0]), ['Would be downloaded', 'Already downloaded', 'Already downloaded']);
  const lines = await mustPull(daemon.socket, reference);
  assert.deepEqual(bytesSent(), [layers[0]?.size, 0, layers[2]?.size], 'what was kept and is damaged comes again');
  const told = lines.filter(({ id }) => id === shown[1]).map(({ status }) => status).filter((status) => status !== 'Waiting');
  assert.deepEqual(told.filter((status, n) => status !== told[n - 1]), ['Pulling fs layer', 'Verifying Checksum', 'Download complete', 'Extracting', 'Pull complete']);
  assert.deepEqual([(await imageIds(daemon.socket)).length, await layersSize()], [1, 900_000]);
  assertNoResidue(daemon.dataRoot);
});

test('an engine that is told to stop keeps them too; a prune removes them, one of some images does not', async () => {
  const { reference, upper } = offer('stopping/some', [100_000, 200_000, 400_000]);
  const pulling = startPull(daemon.socket, reference);
  await upperWhole(upper);
  assert.equal(await daemon.stop(), 0, daemon.log());
  await pulling.done.catch(() => {});
  await start();
  const prune = async (filters: object) => (await ask(daemon.socket, { method: 'POST', path: `/images/prune?filters=${encodeURIComponent(JSON.stringify(filters))}` })).json<{ SpaceReclaimed: number }>().SpaceReclaimed;
  assert.deepEqual([keptLayers(daemon.dataRoot), await prune({ label: ['some'] }), keptLayers(daemon.dataRoot)], [upper, 0, upper]);
  assert.deepEqual([await prune({}), await layersSize()], [600_000, 900_000]);
  assertNoResidue(daemon.dataRoot);
});
