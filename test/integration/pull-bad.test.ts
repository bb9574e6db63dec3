// What registries can get wrong: a clear error that names the thing, the daemon lives on, and the store is as it was.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { before, test } from 'node:test';
import { digestOf } from '../../src/oci/digest.ts';
import { MEDIA } from '../../src/oci/manifest.ts';
import type { Misbehaviour, Seen } from '../kit/fake-registry.ts';
import { ask } from '../kit/http.ts';
import { treeTar } from '../kit/image.ts';
import { freePort } from '../kit/net.ts';
import { imageIds, listTree, mustPull, pull } from '../kit/pull.ts';
import { openPullBench } from '../kit/pull-bench.ts';

const TAR = treeTar({ 'dir/': null, 'dir/data': randomBytes(1 << 20) });
const LAYER = gzipSync(TAR, { level: 1 });
/** Of what came down the wire and of what it unpacks to. */
const DIGEST = digestOf(LAYER), DIFF_ID = digestOf(TAR);
const LONGER = Buffer.concat([LAYER, randomBytes(100)]);
/** For an answer that no second try could change; a try more would take a second, and this machine has other work too. */
const PROMPT_MS = 10_000;

const { daemon, registry } = await openPullBench({ config: { 'max-download-attempts': 2 } });

before(async () => {
  registry.addImage('fine', '1', { layers: [gzipSync(treeTar({ 'fine': 'fine' }))], diffIds: [digestOf(treeTar({ 'fine': 'fine' }))] });
  await mustPull(daemon.socket, `${registry.host}/fine:1`);
});

/** Pulls what is bad and checks everything that has to be so whatever is bad about it. */
async function refused(reference: string, expected: RegExp): Promise<{ elapsedMs: number; status: number }> {
  registry.requests.length = 0;
  const treeBefore = listTree(daemon.dataRoot), imagesBefore = await imageIds(daemon.socket);
  const startedMs = performance.now();
  const { error, status } = await pull(daemon.socket, reference);
  const elapsedMs = performance.now() - startedMs;
  assert.match(error ?? 'pulled', expected);
  assert.deepEqual(listTree(daemon.dataRoot), treeBefore, `store unchanged after: ${error}`);
  assert.deepEqual(await imageIds(daemon.socket), imagesBefore);
  assert.equal((await ask(daemon.socket, { path: `/images/${reference}/json` })).status, 404, 'nothing of it has a name');
  assert.ok(daemon.running);
  registry.misbehave = () => undefined;
  return { elapsedMs, status };
}

const isLayer = ({ path }: Seen) => path.endsWith(DIGEST);
const reference = () => `${registry.host}/some/image:1`;
const offer = () => registry.addImage('some/image', '1', { layers: [LAYER], diffIds: [DIFF_ID] });
const onLayer = (wrong: Misbehaviour) => (seen: Seen) => (isLayer(seen) ? wrong : undefined);

const BAD_LAYERS: ReadonlyArray<readonly [what: string, wrong: Misbehaviour, message: RegExp]> = [
  ['other bytes of the right length', { content: randomBytes(LAYER.length) }, new RegExp(DIGEST)],
  ['one bit another', { content: Buffer.from(LAYER.map((byte, at) => (at === LAYER.length - 20 ? byte ^ 1 : byte))) }, new RegExp(DIGEST)],
  ['fewer bytes than promised, ended in order', { endAfterBytes: 500_000, ignoreRange: true }, new RegExp(`${DIGEST}: the connection ended after 500000 of ${LAYER.length} bytes \\(gave up after 2 attempts`)],
  ['fewer bytes than promised, broken off', { cutAfterBytes: 500_000, ignoreRange: true }, /gave up after 2 attempts without a new byte/],
  ['more bytes than promised', { content: LONGER, endAfterBytes: LONGER.length }, new RegExp(`${DIGEST}: more than the promised ${LAYER.length} bytes`)],
  ['a Content-Length that is too large', { contentLength: LAYER.length + 7 }, new RegExp(`${DIGEST}: the registry has ${LAYER.length + 7} bytes, the manifest promises ${LAYER.length}`)],
  ['a Content-Length that is too small', { contentLength: LAYER.length - 7 }, new RegExp(`${DIGEST}: the registry has ${LAYER.length - 7} bytes, the manifest promises ${LAYER.length}`)],
  ['no answer', { hangUp: true }, new RegExp(`${DIGEST}.*(hang up|reset|closed).*gave up after 2 attempts`)],
  ['an error that may pass, but does not', { status: 503, content: 'overloaded' }, new RegExp(`${DIGEST}.*503 Service Unavailable.*gave up after 2 attempts`)],
];

test('a layer that is not what the manifest promises', async (t) => {
  for (const [what, wrong, message] of BAD_LAYERS) await t.test(what, async () => {
    offer();
    registry.misbehave = onLayer(wrong);
    await refused(reference(), message);
  });
});

const PERMANENT: ReadonlyArray<readonly [what: string, wrong: Misbehaviour, message: RegExp]> = [
  ['401', { status: 401, headers: { 'WWW-Authenticate': 'Basic realm="r"' }, content: '{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}' }, /registry 127\.0\.0\.1:\d+: no basic auth credentials; log in with 'docker login/],
  ['401 without a challenge', { status: 401, content: '{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}' }, /some\/image: unauthorized: authentication required/],
  ['403', { status: 403, content: '<html>no</html>' }, new RegExp(`${DIGEST}.*403 Forbidden`)],
  ['403 denied', { status: 403, content: '{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}' }, /pull access denied for .*some\/image, repository does not exist or may require 'docker login': denied: requested access/],
  ['404', { status: 404, content: '{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}' }, new RegExp(`blob ${DIGEST} not found in .*some/image: blob unknown`)],
];

test('permanent answers for a blob fail promptly with a clear message', async (t) => {
  for (const [what, wrong, message] of PERMANENT) await t.test(what, async () => {
    offer();
    registry.misbehave = onLayer(wrong);
    const { elapsedMs } = await refused(reference(), message);
    assert.equal(registry.seen('blob').filter(isLayer).length, 1, 'asked once');
    assert.ok(elapsedMs < PROMPT_MS, `${elapsedMs} ms`);
  });
});

test('permanent answers for a manifest are HTTP answers', async () => {
  assert.equal((await refused(`${registry.host}/some/image:none`, /^manifest for .*some\/image:none not found: manifest unknown/)).status, 404);
  registry.misbehave = ({ kind }) => (kind === 'manifest' ? { status: 401, content: '{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}' } : undefined);
  await refused(reference(), /unauthorized: authentication required/);
  registry.misbehave = ({ kind }) => (kind === 'manifest' ? { status: 403, content: '{"errors":[{"code":"DENIED","message":"no"}]}' } : undefined);
  await refused(reference(), /pull access denied/);
});

test('layers whose digest is right and whose content is not', async (t) => {
  const bad: ReadonlyArray<readonly [string, { layers: Uint8Array[]; diffIds: string[]; layerType?: string }, RegExp]> = [
    ['a layer that unpacks to another diffID', { layers: [LAYER], diffIds: [digestOf('other')] }, /^failed to register layer sha256:[0-9a-f]{64}: filesystem layer verification failed for sha256:/],
    ['no archive at all', { layers: [gzipSync(randomBytes(100_000))], diffIds: [DIFF_ID] }, /^failed to register layer sha256:[0-9a-f]{64}: tar/],
    ['a stream that ends in the middle', { layers: [LAYER.subarray(0, 400_000)], diffIds: [DIFF_ID] }, /^failed to register layer sha256:[0-9a-f]{64}: .*gzip/],
    ['a layer of an unknown media type', { layers: [LAYER], diffIds: [DIFF_ID], layerType: 'application/vnd.example.squashfs' }, /unsupported layer media type "application\/vnd.example.squashfs"; supported are/],
    ['fewer layers than the config names', { layers: [LAYER], diffIds: [DIFF_ID, DIFF_ID] }, /manifest sha256:[0-9a-f]{64} of .*: 1 layers, but its image config names 2/],
    ['more layers than the config names', { layers: [LAYER, LAYER], diffIds: [DIFF_ID] }, /manifest sha256:[0-9a-f]{64} of .*: 2 layers, but its image config names 1/],
  ];
  for (const [what, spec, message] of bad) await t.test(what, async () => {
    registry.addImage('some/image', '1', spec);
    await refused(reference(), message);
  });
});

test('manifests and configs that are none', async (t) => {
  const put = (bytes: Uint8Array | string, mediaType: string = MEDIA.dockerManifest) => { registry.addManifest('some/image', '1', { bytes: Buffer.from(bytes), mediaType }); };
  const manifestOf = (config: Uint8Array, fields: object = {}) => {
    const { digest, size } = registry.addBlob(config, MEDIA.dockerConfig);
    const layer = registry.addBlob(LAYER, MEDIA.dockerLayerGzip);
    return JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.dockerManifest, config: { mediaType: MEDIA.dockerConfig, digest, size }, layers: [layer], ...fields });
  };
  const bad: ReadonlyArray<readonly [string, () => void, RegExp]> = [
    ['garbage for a manifest', () => put('{"schemaVersion":2,'), /manifest.*JSON/i],
    ['an empty manifest', () => put(''), /manifest/],
    ['bytes for a manifest', () => put(randomBytes(1000)), /manifest.*JSON/i],
    ['an unknown media type', () => put('{"schemaVersion":2,"mediaType":"application/vnd.example.v9"}', 'application/vnd.example.v9'), /unsupported manifest media type "application\/vnd.example.v9"; supported are/],
    ['a manifest of long ago', () => put('{"schemaVersion":1,"name":"x"}', 'application/vnd.docker.distribution.manifest.v1+json'), /manifest schema 1 is not supported/],
    ['a manifest that is too large', () => put(JSON.stringify({ schemaVersion: 2, pad: 'x'.repeat(5 << 20) })), /larger than \d+ bytes/],
    ['a digest that is a path', () => put(manifestOf(Buffer.from('{}'), { layers: [{ mediaType: MEDIA.dockerLayerGzip, size: 5, digest: '../../../etc/passwd' }] })), /manifest\.layers\[0\]\.digest: "\.\.\/\.\.\/\.\.\/etc\/passwd"/],
    ['garbage for a config', () => put(manifestOf(Buffer.from('{"rootfs":'))), /image config/],
    ['a config without layers', () => put(manifestOf(Buffer.from('{"architecture":"amd64","os":"linux"}'))), /config/],
    ['other bytes for a config', () => {
      const { config } = offer();
      registry.misbehave = ({ path }) => (path.endsWith(config.digest) ? { content: 'x'.repeat(config.size) } : undefined);
    }, /content hashes to sha256:/],
  ];
  for (const [what, make, message] of bad) await t.test(what, async () => {
    make();
    await refused(reference(), message);
  });
});

test('other bytes for a manifest that was asked for by its digest', async () => {
  const { manifest } = offer();
  registry.misbehave = ({ kind }) => (kind === 'manifest' ? { status: 200, content: '{"schemaVersion":2}', headers: { 'Content-Type': MEDIA.dockerManifest } } : undefined);
  await refused(`${registry.host}/some/image@${manifest.digest}`, new RegExp(`manifest verification failed for digest ${manifest.digest}: content hashes to sha256:`));
});

test('a registry that is down, or not there', async () => {
  const port = await freePort();
  const { elapsedMs } = await refused(`127.0.0.1:${port}/some/image:1`, new RegExp(`127\\.0\\.0\\.1.*connection refused; is a registry running there`));
  assert.ok(elapsedMs < PROMPT_MS, `${elapsedMs} ms`);
  await refused('registry.invalid/some/image:1', /registry\.invalid.*(no such host|DNS|network)/);
});

test('after all of that the image is pulled', async () => {
  offer();
  await mustPull(daemon.socket, reference());
});
