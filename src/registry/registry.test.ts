// Finding images: manifests, indexes, mirrors, and the words of each refusal.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { openFakeRegistry, type FakeRegistry } from '../../test/kit/fake-registry.ts';
import { AMD64, collect, openTestClient, type ClientOptions, type TestClient } from '../../test/kit/registry-client.ts';
import { MEDIA } from '../oci/manifest.ts';
import { parseImageConfig } from '../oci/parse-manifest.ts';
import { parsePlatform } from '../oci/platform.ts';
import { parseReference } from '../oci/reference.ts';
import { digestOf } from '../oci/digest.ts';
import { kindOf } from '../lib/errors.ts';

interface World extends AsyncDisposable { server: FakeRegistry; client: TestClient; ref(text: string): ReturnType<typeof parseReference> }

async function world(options: ClientOptions = {}): Promise<World> {
  const server = await openFakeRegistry();
  const client = openTestClient(options);
  return {
    server, client, ref: (text) => parseReference(`${server.host}/${text}`),
    async [Symbol.asyncDispose]() { await client[Symbol.asyncDispose](); await server[Symbol.asyncDispose](); },
  };
}

const CALL = { auth: undefined, platform: AMD64 };
const bytes = (text: string) => Buffer.from(text);

test('a tag, a digest and the default tag name a manifest', async () => {
  await using w = await world();
  const image = w.server.addImage('a/b', 'latest', { layers: [bytes('one'), bytes('two')], annotations: { k: 'v' } });
  const { platform: _platform, ...top } = image.manifest;
  const expected = { top, manifest: top, config: image.config, layers: image.layers, annotations: { k: 'v' } };
  for (const text of ['a/b', 'a/b:latest', `a/b@${top.digest}`, `a/b:gone@${top.digest}`]) assert.deepEqual(await w.client.registry.resolve(w.ref(text), CALL), expected, text);
  const config = parseImageConfig(await w.client.registry.config(w.ref('a/b'), image.config, CALL));
  assert.equal(config.id, image.config.digest);
  assert.equal(config.architecture, 'amd64');
  assert.equal(w.server.requests[0]?.headers['user-agent'], 'vaquita-test');
  assert.match(w.server.requests[0]?.headers.accept ?? '', /manifest\.v2\+json.*manifest\.list\.v2\+json.*oci\.image\.manifest.*oci\.image\.index/);
});

test('an index is followed to the manifest that fits', async () => {
  await using w = await world();
  const entries = ['linux/amd64', 'linux/arm/v6', 'linux/arm64'].map((name) => w.server.addImage('a/b', undefined, { layers: [bytes(name)], platform: parsePlatform(name) }).manifest);
  const index = w.server.addIndex('a/b', 'multi', [...entries, { mediaType: MEDIA.dockerManifest, digest: digestOf('attestation'), size: 1, platform: { os: 'unknown', architecture: 'unknown' } }]);
  for (const [name, entry] of [['linux/amd64', entries[0]], ['linux/arm/v7', entries[1]], ['linux/arm64', entries[2]]] as const) {
    const resolved = await w.client.registry.resolve(w.ref('a/b:multi'), { auth: undefined, platform: parsePlatform(name) });
    assert.deepEqual([resolved.top, resolved.manifest.digest], [index, entry?.digest], name);
  }
  await assert.rejects(w.client.registry.resolve(w.ref('a/b:multi'), { auth: undefined, platform: parsePlatform('linux/arm/v5') }),
    { kind: 'not-found', message: 'no matching manifest for linux/arm/v5 in the manifest list entries' });
  w.server.addIndex('a/b', 'outer', [index]);
  assert.equal((await w.client.registry.resolve(w.ref('a/b:outer'), CALL)).manifest.digest, entries[0]?.digest);
  w.server.addIndex('a/b', 'outermost', [w.server.addIndex('a/b', 'outer2', [index])]);
  await assert.rejects(w.client.registry.resolve(w.ref('a/b:outermost'), CALL), { kind: 'not-found' });
});

test('what a registry refuses is said in Docker\'s words', async () => {
  const told = (code: string, message: string) => JSON.stringify({ errors: [{ code, message, detail: {} }] });
  const scopeError = { 'WWW-Authenticate': 'Bearer realm="http://127.0.0.1:1/t",error="insufficient_scope"' };
  const table = [
    [{ status: 404, content: told('MANIFEST_UNKNOWN', 'manifest unknown') }, 'not-found', 'manifest for HOST/a/b:x not found: manifest unknown: manifest unknown'],
    [{ status: 404, content: '<html>' }, 'not-found', 'manifest for HOST/a/b:x not found: manifest unknown: manifest unknown'],
    [{ status: 404, content: told('NAME_UNKNOWN', 'repository name not known to registry') }, 'not-found', 'repository HOST/a/b not found: name unknown: repository name not known to registry'],
    [{ status: 403, content: told('DENIED', 'requested access to the resource is denied') }, 'not-found',
      "pull access denied for HOST/a/b, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"],
    [{ status: 401, headers: { 'WWW-Authenticate': 'Negotiate' } }, 'unauthorized', 'HOST/a/b: unauthorized: authentication required'],
    [{ status: 403 }, 'forbidden', 'Get "http://HOST/v2/a/b/manifests/x": received unexpected HTTP status: 403 Forbidden'],
    [{ status: 429, content: told('TOOMANYREQUESTS', 'slow down') }, 'unavailable', 'Get "http://HOST/v2/a/b/manifests/x": toomanyrequests: slow down'],
    [{ status: 500 }, 'unavailable', 'Get "http://HOST/v2/a/b/manifests/x": received unexpected HTTP status: 500 Internal Server Error'],
  ] as const;
  for (const [wrong, kind, message] of table) {
    await using w = await world();
    w.server.misbehave = () => wrong;
    await assert.rejects(w.client.registry.resolve(w.ref('a/b:x'), CALL), { kind, message: message.replaceAll('HOST', w.server.host) });
    assert.equal(w.server.requests.length, kind === 'unavailable' ? 3 : 1, message);
  }
  await using w = await world();
  w.server.auth = { kind: 'bearer' };
  w.server.misbehave = ({ kind, authorization }) => (kind === 'manifest' && authorization !== undefined ? { status: 401, headers: scopeError } : undefined);
  // The second challenge names another token service, which is not asked: a fresh token was refused, and that is final.
  await assert.rejects(w.client.registry.resolve(w.ref('a/b:x'), CALL), { kind: 'not-found', message: /^pull access denied for .*denied: requested access to the resource is denied$/ });
});

test('manifests that lie or are none', async () => {
  await using w = await world({ limits: { manifestBytes: 500, configBytes: 100 } });
  const image = w.server.addImage('a/b', 'x', { layers: [] });
  const resolve = (text: string) => w.client.registry.resolve(w.ref(text), CALL);
  w.server.misbehave = ({ kind }) => (kind === 'manifest' ? { status: 200, content: '{"schemaVersion":2}' } : undefined);
  await assert.rejects(resolve(`a/b@${image.manifest.digest}`), { kind: 'corrupt', message: /^manifest verification failed for digest sha256:.*: content hashes to sha256:/ });
  w.server.misbehave = ({ kind }) => (kind === 'manifest' ? { status: 200, content: `{"schemaVersion":2,"x":"${'y'.repeat(600)}"}` } : undefined);
  await assert.rejects(resolve('a/b:x'), { kind: 'invalid', message: /larger than 500 bytes/ });
  w.server.misbehave = ({ kind }) => (kind === 'manifest' ? { status: 200, content: '<html>Welcome to the hotel</html>' } : undefined);
  await assert.rejects(resolve('a/b:x'), { kind: 'invalid', message: 'manifest is not JSON' });
  w.server.misbehave = ({ nth }) => (nth === 1 ? undefined : { cutAfterBytes: 20 });
  w.server.requests.length = 0;
  assert.equal((await resolve('a/b:x')).top.digest, image.manifest.digest);
  await assert.rejects(w.client.registry.config(w.ref('a/b:x'), { ...image.config, size: 101 }, CALL), { kind: 'invalid', message: /101 bytes, at most 100 are read/ });
});

test('a wrong digest header is noted, and the content decides', async () => {
  await using w = await world();
  const image = w.server.addImage('a/b', 'x', { layers: [] });
  w.server.misbehave = () => ({ headers: { 'Docker-Content-Digest': digestOf('other') } });
  assert.equal((await w.client.registry.resolve(w.ref('a/b:x'), CALL)).top.digest, image.manifest.digest);
  assert.match(w.client.log.join(), /names another digest/);
});

test('what cannot be reached fails at once, and says whom and why', async () => {
  await using client = openTestClient({ limits: { retryBaseMs: 30_000, retryMaxMs: 30_000 } });
  const started = performance.now();
  await assert.rejects(client.registry.resolve(parseReference('registry.invalid/a/b'), CALL), { kind: 'unavailable', message: /^Get "https:\/\/registry\.invalid\/v2\/a\/b\/manifests\/latest": lookup registry\.invalid: (no such host|the DNS does not answer)/ });
  await assert.rejects(client.registry.resolve(parseReference('127.0.0.1:1/a/b'), CALL), { kind: 'unavailable', message: /127\.0\.0\.1: connection refused/ });
  assert.ok(performance.now() - started < 25_000, 'the 30 s before another try were not waited for');
});

test('mirrors are asked first for names of the hub, and the hub for what they lack', async () => {
  await using mirror = await openFakeRegistry();
  await using second = await openFakeRegistry();
  const image = mirror.addImage('library/busybox', 'latest', { layers: [bytes('layer')] });
  const deeper = second.addImage('library/alpine', 'latest', { layers: [bytes('other')] });
  await using client = openTestClient({ registryMirrors: ['http://127.0.0.1:1', mirror.url, `${second.url}/`] });
  const ref = parseReference('busybox');
  const auth = { username: 'hub', password: 'hub password' };
  const resolved = await client.registry.resolve(ref, { ...CALL, auth });
  assert.equal(resolved.top.digest, image.manifest.digest);
  const [layer] = image.layers;
  assert.ok(layer);
  assert.deepEqual(await collect(client.registry.blob(ref, layer, { auth })), bytes('layer'));
  assert.ok(mirror.requests.every(({ authorization }) => authorization === undefined), 'the hub\'s password is not for mirrors');
  assert.equal((await client.registry.resolve(parseReference('alpine'), CALL)).top.digest, deeper.manifest.digest);
  // The layer goes on at the next mirror, from where the first one left it.
  second.addBlob(bytes('layer'), 'x');
  mirror.misbehave = ({ kind }) => (kind === 'blob' ? { cutAfterBytes: 2 } : undefined);
  const stream = client.registry.blob(ref, layer, { auth })[Symbol.asyncIterator]();
  assert.deepEqual((await stream.next()).value, bytes('la'));
  mirror.misbehave = () => ({ status: 404 });
  assert.deepEqual(await collect({ [Symbol.asyncIterator]: () => stream }), bytes('yer'));
  assert.equal(second.seen('blob').at(-1)?.range, 'bytes=2-');
  const missing = await client.registry.resolve(parseReference('nowhere'), CALL).then(() => assert.fail(), (error: unknown) => error as Error);
  assert.equal(kindOf(missing), 'unavailable');
  assert.match(missing.message, /registry-1\.docker\.io.*\(mirror http:\/\/127\.0\.0\.1:\d+\/: .*not found.*; mirror/);
  await using elsewhere = openTestClient({ registryMirrors: [mirror.url] });
  const before = mirror.requests.length;
  await assert.rejects(elsewhere.registry.resolve(parseReference('127.0.0.1:1/busybox'), CALL));
  assert.equal(mirror.requests.length, before);
  assert.throws(() => openTestClient({ registryMirrors: ['mirror.example.com'] }), { kind: 'invalid', message: /registry mirror/ });
});

test('inspect tells the descriptor and the platforms', async () => {
  await using w = await world();
  const amd64 = w.server.addImage('a/b', 'one', { layers: [] });
  const arm = w.server.addImage('a/b', undefined, { layers: [], platform: { os: 'linux', architecture: 'arm', variant: 'v7' } });
  const index = w.server.addIndex('a/b', 'multi', [amd64.manifest, arm.manifest]);
  assert.deepEqual(await w.client.registry.inspect(w.ref('a/b:multi'), CALL), { top: index, platforms: [amd64.manifest.platform, arm.manifest.platform] });
  const { platform, ...top } = amd64.manifest;
  assert.deepEqual(await w.client.registry.inspect(w.ref('a/b:one'), CALL), { top, platforms: [platform] });
});

test('tags on pages that lead round in a circle end', async () => {
  await using w = await world();
  w.server.misbehave = ({ path }) => (path.endsWith('/tags/list') ? { status: 200, headers: { Link: '</v2/a/b/tags/list?last=x>; rel="next"' }, content: '{"tags":[]}' } : undefined);
  assert.deepEqual([await w.client.registry.tags(w.ref('a/b'), { auth: undefined }), w.server.requests.length], [[], 256]);
});

test('an aborted call is cancelled, whatever it waits for', async () => {
  await using w = await world({ limits: { stallMs: 60_000 } });
  w.server.misbehave = () => ({ stallAfterBytes: 0 });
  const controller = new AbortController();
  const waiting = w.client.registry.resolve(w.ref('a/b:x'), { ...CALL, signal: controller.signal });
  setTimeout(() => controller.abort(), 20);
  await assert.rejects(waiting, { name: 'AbortError' });
  await assert.rejects(w.client.registry.resolve(w.ref('a/b:x'), { ...CALL, signal: controller.signal }), { name: 'AbortError' });
});
