// What refers to a manifest: by the API, by the fallback tag, and with others writing there at the same time.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { openFakeRegistry, type FakeRegistry, type Misbehaviour } from '../../test/kit/fake-registry.ts';
import { openTestClient, type ClientOptions, type TestClient } from '../../test/kit/registry-client.ts';
import { until } from '../../test/kit/poll.ts';
import { digestOf } from '../oci/digest.ts';
import { MEDIA } from '../oci/manifest.ts';
import { parseReference, type Reference } from '../oci/reference.ts';
import { fallbackTag, parseReferrers } from '../oci/referrers.ts';

interface World extends AsyncDisposable { server: FakeRegistry; client: TestClient; reference: Reference; put(base: string, artifactType?: string): Promise<string>; listed(artifactType?: string): Promise<string[]> }

const SUBJECT = digestOf('the manifest');
const TAG = fallbackTag(SUBJECT);
const TYPE = 'application/vnd.test.delta';
const CALL = { auth: undefined };

/** `listed` gives the bases of what is found. */
async function world(options: ClientOptions = {}): Promise<World> {
  const server = await openFakeRegistry();
  const client = openTestClient({ ...options, limits: { stallMs: 30_000, ...options.limits } }); // a busy machine is no registry that does nothing
  const reference = parseReference(`${server.host}/a/b`);
  return {
    server, client, reference,
    async put(base, artifactType = TYPE) { return (await client.registry.putReferrer(reference, artifact(base, artifactType), CALL)).digest; },
    listed: async (artifactType = TYPE) => (await client.registry.referrers(reference, SUBJECT, { ...CALL, artifactType })).map(({ annotations }) => annotations['base'] ?? ''),
    async [Symbol.asyncDispose]() { await client[Symbol.asyncDispose](); await server[Symbol.asyncDispose](); },
  };
}

let made = 0;
function artifact(base: string, artifactType: string) {
  const annotations = { base, nth: String(++made) };
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociManifest, artifactType, annotations, subject: { mediaType: MEDIA.dockerManifest, digest: SUBJECT, size: 12 } }));
  return { subject: SUBJECT, mediaType: MEDIA.ociManifest, artifactType, bytes, annotations, sameBy: ['base'] };
}

const asked = (server: FakeRegistry) => server.requests.map(({ method, kind }) => `${method} ${kind}`);

test('a registry with the API lists by itself, in pages, filtered or not', async () => {
  await using w = await world();
  for (const filters of [true, false]) {
    w.server.shelf.api = { has: true, filters, pageEntries: 2 };
    for (const base of ['v1', 'v2', 'v3']) await w.put(`${base} ${filters}`);
    await w.put('sbom', 'application/vnd.other');
    assert.deepEqual((await w.listed()).filter((base) => base.endsWith(String(filters))).toSorted(), [`v1 ${filters}`, `v2 ${filters}`, `v3 ${filters}`]);
  }
  assert.ok(w.server.seen('referrers').length > 4, 'pages');
  assert.equal(w.server.seen('referrers')[0]?.search, `?artifactType=${encodeURIComponent(TYPE)}`);
  assert.deepEqual(await w.listed('application/vnd.nothing'), []);
  assert.equal(w.server.shelf.manifest('a/b', TAG), undefined);
  const [one] = await w.client.registry.referrers(w.reference, SUBJECT, { ...CALL, artifactType: TYPE });
  assert.ok(one);
  assert.equal(digestOf(await w.client.registry.manifestBytes(w.reference, one.descriptor, CALL)), one.descriptor.digest);
  w.server.misbehave = () => ({ status: 200, content: '{}' });
  await assert.rejects(w.client.registry.manifestBytes(w.reference, one.descriptor, CALL), { kind: 'corrupt' });
  await assert.rejects(w.client.registry.manifestBytes(w.reference, { ...one.descriptor, size: 5 << 20 }, CALL), { kind: 'corrupt', message: /5242880 bytes, at most/ });
});

test('without the API a tag holds the list, and the API is not asked for again', async () => {
  const lacking: ReadonlyArray<Misbehaviour | undefined> = [
    undefined, { status: 405 }, { status: 400, content: '{"errors":[{"code":"NAME_INVALID"}]}' }, { status: 200, headers: { 'Content-Type': 'text/html' }, content: '<html>Welcome</html>' },
    { status: 200, content: '{"schemaVersion":2,"config":{}}' }, { status: 200, content: 'ok' }, { status: 501 },
  ];
  for (const wrong of lacking) {
    await using w = await world();
    w.server.misbehave = ({ kind }) => (kind === 'referrers' ? wrong : undefined);
    const why = JSON.stringify(wrong);
    assert.deepEqual(await w.listed(), [], why);
    await w.put('v1');
    await w.put('v2');
    w.server.requests.length = 0;
    if (wrong?.content === '{"schemaVersion":2,"config":{}}') continue; // an index without entries, for all we can tell
    assert.deepEqual(await w.listed(), ['v1', 'v2'], why);
    assert.deepEqual(asked(w.server), ['GET manifest'], why);
  }
});

test('an API that fails today is asked again tomorrow; a list that cannot be had is an error like any other', async () => {
  await using w = await world();
  await w.put('v1');
  w.server.misbehave = ({ kind }) => (kind === 'referrers' ? { status: 503 } : undefined);
  assert.deepEqual(await w.listed(), ['v1']);
  assert.deepEqual(await w.listed(), ['v1']);
  assert.equal(w.server.seen('referrers').length, 2);
  w.server.misbehave = () => ({ status: 503 });
  await assert.rejects(w.listed(), { kind: 'unavailable' });
  w.server.misbehave = ({ kind }) => (kind === 'manifest' ? { status: 200, content: '{"schemaVersion":2,"mediaType":"x/y"}' } : { status: 404 });
  assert.deepEqual(await w.listed(), [], 'something else under the tag');
});

test('who pulls through a mirror asks there', async () => {
  await using mirror = await openFakeRegistry();
  await using client = openTestClient({ registryMirrors: ['http://127.0.0.1:1', mirror.url], limits: { stallMs: 30_000 } });
  const ask = () => client.registry.referrers(parseReference('busybox'), SUBJECT, { auth: { username: 'u', password: 'of the hub' }, artifactType: TYPE });
  assert.deepEqual(await ask(), []);
  const { bytes, annotations } = artifact('v1', TYPE);
  mirror.shelf.put('library/busybox', TAG, { mediaType: MEDIA.ociIndex, bytes: Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: MEDIA.ociManifest, digest: digestOf(bytes), size: bytes.length, artifactType: TYPE, annotations }] })) });
  assert.deepEqual((await ask()).map((one) => one.annotations), [annotations]);
  assert.deepEqual(asked(mirror), ['GET referrers', 'GET manifest', 'GET manifest']);
  assert.ok(mirror.requests.every(({ authorization }) => authorization === undefined));
});

test('an entry takes the place of one that is the same; all others stay as they are', async () => {
  await using w = await world();
  const foreign = { mediaType: MEDIA.ociManifest, digest: digestOf('sbom'), size: 4, artifactType: 'application/vnd.sbom', annotations: { base: 'v1' }, data: 'e30=', 'x-later': [1] };
  w.server.shelf.put('a/b', TAG, { mediaType: MEDIA.ociIndex, bytes: Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [foreign], annotations: { kept: 'yes' } })) });
  const first = await w.put('v1');
  await w.put('v2');
  const second = await w.put('v1');
  assert.notEqual(first, second);
  assert.deepEqual(await w.listed(), ['v2', 'v1']);
  const index = JSON.parse(Buffer.from(w.server.shelf.manifest('a/b', TAG)?.bytes ?? []).toString()) as { manifests: unknown[]; annotations: unknown };
  assert.deepEqual([index.manifests[0], index.annotations, index.manifests.length], [foreign, { kept: 'yes' }, 3]);
  assert.deepEqual(parseReferrers(Buffer.from(JSON.stringify(index))).map(({ artifactType }) => artifactType), ['application/vnd.sbom', TYPE, TYPE]);
  // What others write may be beyond us: an entry that we cannot read stays, and hides no other; what is no list is not written over.
  const strange = [{ mediaType: MEDIA.ociManifest, digest: `sha512:${'a'.repeat(128)}`, size: 4, artifactType: 'application/vnd.signature' }, 7];
  w.server.shelf.put('a/b', TAG, { mediaType: MEDIA.ociIndex, bytes: Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: strange })) });
  await w.put('v3');
  const after = JSON.parse(Buffer.from(w.server.shelf.manifest('a/b', TAG)?.bytes ?? []).toString()) as { manifests: unknown[] };
  assert.deepEqual([after.manifests.slice(0, 2), after.manifests.length, await w.listed()], [strange, 3, ['v3']]);
  const full = { schemaVersion: 2, manifests: Array.from({ length: 4096 }, () => foreign) };
  for (const bytes of [JSON.stringify({ schemaVersion: 2, config: {}, layers: [] }), 'no JSON', JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.dockerList, manifests: [] }), JSON.stringify(full)].map((text) => Buffer.from(text))) {
    w.server.shelf.put('a/b', TAG, { mediaType: MEDIA.ociIndex, bytes });
    await assert.rejects(w.put('v4'), { kind: 'conflict', message: /a\/b:sha256-[0-9a-f]{64}, which cannot be added to: .*; if nobody needs what is there, delete that tag/ });
    assert.deepEqual(w.server.shelf.manifest('a/b', TAG)?.bytes, bytes);
  }
  full.manifests.push(foreign);
  assert.equal(parseReferrers(Buffer.from(JSON.stringify(full))).length, 4096, 'of more the first are read');
});

test('a registry that takes no artifacts is named as the reason', async () => {
  await using w = await world();
  w.server.misbehave = ({ method }) => (method === 'PUT' ? { status: 400, content: '{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid"}]}' } : undefined);
  await assert.rejects(w.put('v1'), { kind: 'invalid', message: 'manifest invalid: manifest invalid (does this registry take artifacts of OCI 1.1?)' });
  w.server.misbehave = () => ({ status: 403 });
  await assert.rejects(w.put('v1'), { kind: 'forbidden', message: 'denied: requested access to the resource is denied' });
});

test('one repository without the API says nothing about its neighbours; a page that leads elsewhere leaves no connection', async () => {
  await using w = await world();
  w.server.shelf.api = { has: true, filters: true, pageEntries: 2 };
  w.server.misbehave = ({ kind, path }) => (kind === 'referrers' && path.includes('/old/') ? { status: 404 } : undefined);
  await w.put('v1');
  assert.deepEqual(await w.client.registry.referrers({ ...w.reference, path: 'old/c' }, SUBJECT, { ...CALL, artifactType: TYPE }), []);
  assert.deepEqual(await w.listed(), ['v1']);
  w.server.misbehave = ({ kind }) => (kind === 'referrers' ? { status: 200, headers: { Link: '<http://elsewhere.invalid/v2/>; rel="next"' }, content: 'x'.repeat(1 << 20) } : undefined);
  for (let i = 0; i < 4; i++) await assert.rejects(w.listed(), { kind: 'unavailable', message: /its next page is on another host/ });
  await until('the connection to be closed', async () => await w.server.connections() <= 1);
});

test('writers of one list do not lose each other\'s entries', async () => {
  await using w = await world();
  // Of one daemon they take turns; of several they find out.
  const clients = Array.from({ length: 3 }, () => openTestClient({ limits: { retryBaseMs: 400, stallMs: 30_000 } }));
  const [first] = clients;
  assert.ok(first);
  await Promise.all([first, ...clients].map((client, i) => client.registry.putReferrer(w.reference, artifact(`v${i}`, TYPE), CALL)));
  assert.deepEqual((await w.listed()).toSorted(), ['v0', 'v1', 'v2', 'v3']);
  // One whose list was read before ours stood there, and written after it.
  let overwrites = 0;
  w.server.shelf.onPut = (name, at) => {
    if (at !== TAG || ++overwrites > 2) return;
    w.server.shelf.put(name, TAG, { mediaType: MEDIA.ociIndex, bytes: Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: [] })) });
  };
  await w.put('late');
  assert.deepEqual([await w.listed(), overwrites], [['late'], 3]);
  w.server.shelf.onPut = (name, at) => { if (at === TAG) w.server.shelf.put(name, TAG, { mediaType: MEDIA.ociIndex, bytes: Buffer.from('{"schemaVersion":2}') }); };
  await assert.rejects(w.put('never'), { kind: 'unavailable', message: /changes faster than it can be written/ });
  for (const client of clients) await client[Symbol.asyncDispose]();
});
