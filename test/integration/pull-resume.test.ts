// Transfers that break: nothing that was received is fetched again, and a token that expires on the way is replaced.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { after, before, beforeEach, test } from 'node:test';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA } from '../../src/oci/manifest.ts';
import { startDaemon, type Daemon } from '../kit/daemon.ts';
import { openFakeRegistry, type FakeRegistry } from '../kit/fake-registry.ts';
import { treeTar } from '../kit/image.ts';
import { mustPull, shortOf } from '../kit/pull.ts';
import { openTempRoot } from '../kit/temp.ts';

const held = new AsyncDisposableStack();
const root = held.use(openTempRoot());
let daemon: Daemon;
let registry: FakeRegistry;

before(async () => { daemon = held.use(await startDaemon({ root: join(root.path, 'engine') })); });
beforeEach(async () => { registry = held.use(await openFakeRegistry()); });
after(() => held.disposeAsync());

function offer(name: string, pack: (tar: Uint8Array) => Uint8Array = (tar) => gzipSync(tar, { level: 1 }), layerType: string = MEDIA.dockerLayerGzip) {
  const tar = treeTar({ 'data': randomBytes(3 << 20), 'text': 'abc '.repeat(500_000) });
  const bytes = pack(tar);
  const { layers: [layer] } = registry.addImage(name, '1', { layers: [bytes], diffIds: [digestOf(tar)], layerType });
  assert.ok(layer);
  const requests = () => registry.seen('blob').filter(({ path }) => path.endsWith(layer.digest));
  return { reference: `${registry.host}/${name}:1`, bytes, layer, requests, bytesSent: () => requests().reduce((sum, { bytesSent }) => sum + bytesSent, 0) };
}

const FORMATS = [
  ['gzip', (tar: Uint8Array) => gzipSync(tar, { level: 1 }), MEDIA.dockerLayerGzip],
  ['zstd', (tar: Uint8Array) => zstdCompressSync(tar), MEDIA.ociLayerZstd],
  ['plain', (tar: Uint8Array) => tar, MEDIA.dockerLayer],
] as const;

test('layers of each format whose connection breaks three times are fetched once', async () => {
  const offers = FORMATS.map(([format, pack, type]) => offer(`broken/${format}`, pack, type));
  registry.misbehave = ({ path }) => {
    const broken = offers.find(({ layer }) => path.endsWith(layer.digest));
    return broken && broken.requests().length <= 3 ? { cutAfterBytes: 700_001 } : undefined;
  };
  const pulled = await Promise.all(offers.map(({ reference }) => mustPull(daemon.socket, reference)));
  for (const [n, { layer, requests, bytesSent }] of offers.entries()) {
    assert.deepEqual(requests().map(({ range, status }) => [range, status]), [[undefined, 200], ['bytes=700001-', 206], ['bytes=1400002-', 206], ['bytes=2100003-', 206]]);
    assert.equal(bytesSent(), layer.size, 'each byte was sent once');
    const told = pulled[n]?.filter(({ id, status }) => id === shortOf(layer.digest) && status === 'Retrying in 1 second');
    assert.equal(told?.length, 3, 'and a person was told why nothing moved');
  }
});

test('a registry without ranges costs traffic, not the pull', async () => {
  const { reference, layer, requests } = offer('broken/rangeless');
  registry.misbehave = ({ path }) => (path.endsWith(layer.digest) ? { ignoreRange: true, ...(requests().length === 1 ? { cutAfterBytes: 1_000_000 } : {}) } : undefined);
  await mustPull(daemon.socket, reference);
  assert.deepEqual(requests().map(({ status }) => status), [200, 200]);
});

test('errors that pass are waited out, as long as the server asks for', async () => {
  const { reference, layer, requests, bytesSent } = offer('broken/busy');
  registry.misbehave = ({ path }) => {
    if (!path.endsWith(layer.digest)) return undefined;
    return [{ status: 429, headers: { 'Retry-After': '2' } }, { hangUp: true }][requests().length - 1];
  };
  const lines = await mustPull(daemon.socket, reference);
  assert.equal(requests().length, 3);
  assert.equal(bytesSent(), layer.size);
  assert.deepEqual(lines.map(({ status }) => status).filter((status) => status?.startsWith('Retrying')), ['Retrying in 2 seconds'], 'an idle connection that turns out to be dead is no failure');
});

test('a token that expires in the middle of a layer is replaced, and the layer goes on where it was', async () => {
  // One use for the manifest, one for the config, one for the layer: each continuation needs a new one.
  registry.auth = { kind: 'bearer', tokenUses: 3 };
  const { reference, layer, requests, bytesSent } = offer('expiring/token');
  registry.misbehave = ({ path, authorization }) => (path.endsWith(layer.digest) && authorization !== undefined && requests().length === 1 ? { cutAfterBytes: 900_000 } : undefined);
  await mustPull(daemon.socket, reference, { delta: '0' }); // asking for deltas would use the token up before
  const answers = requests().map(({ range, status }) => [range, status]);
  assert.deepEqual(answers, [[undefined, 200], ['bytes=900000-', 401], ['bytes=900000-', 206]]);
  assert.equal(registry.seen('token').length, 2);
  const refusals = requests().filter(({ status }) => status === 401).reduce((sum, one) => sum + one.bytesSent, 0);
  assert.equal(bytesSent() - refusals, layer.size);
});

test('a redirect to storage is followed, also when going on, and the storage is not shown the token', async () => {
  await using storage = await openFakeRegistry();
  registry.auth = { kind: 'bearer' };
  const { reference, bytes, layer, requests } = offer('stored/elsewhere');
  storage.misbehave = ({ nth }) => (nth === 1 ? { cutAfterBytes: 1_000_000 } : undefined);
  storage.addBlob(bytes, 'application/octet-stream');
  registry.misbehave = ({ path, authorization }) => (path.endsWith(layer.digest) && authorization !== undefined ? { redirect: `${storage.url}${path}` } : undefined);
  await mustPull(daemon.socket, reference);
  assert.deepEqual(storage.requests.map(({ range, authorization }) => [range, authorization]), [[undefined, undefined], ['bytes=1000000-', undefined]]);
  assert.equal(storage.bytesSent, layer.size);
  assert.ok(requests().every(({ bytesSent }) => bytesSent < 1000));
});
