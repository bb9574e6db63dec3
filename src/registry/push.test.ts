// Pushing: what goes over the wire, what is tried again and what is not, and for whom tokens are asked.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { openFakeRegistry, type FakeRegistry, type Misbehaviour, type Seen } from '../../test/kit/fake-registry.ts';
import { openTestClient, type ClientOptions, type TestClient } from '../../test/kit/registry-client.ts';
import { digestOf } from '../oci/digest.ts';
import { MEDIA } from '../oci/manifest.ts';
import { parseReference, type Reference } from '../oci/reference.ts';

interface World extends AsyncDisposable { server: FakeRegistry; client: TestClient; reference: Reference }

/** A busy machine is not to be taken for a registry that does nothing. */
const PATIENT = { stallMs: 30_000, commitMs: 30_000 };

async function world(options: ClientOptions = {}): Promise<World> {
  const server = await openFakeRegistry();
  const client = openTestClient({ ...options, limits: { ...PATIENT, ...options.limits } });
  return {
    server, client, reference: parseReference(`${server.host}/a/b:1`),
    async [Symbol.asyncDispose]() { await client[Symbol.asyncDispose](); await server[Symbol.asyncDispose](); },
  };
}

const CALL = { auth: undefined };
const CONTENT = Buffer.from('a layer, packed, or anything else');
const DIGEST = digestOf(CONTENT);
const KNOWN = { ...CALL, digest: DIGEST, sizeBytes: CONTENT.length };

/** In small pieces, with a note of how often it was begun. */
function source(bytes: Uint8Array = CONTENT): { open: () => AsyncGenerator<Uint8Array>; begun: number } {
  const state = {
    begun: 0,
    // eslint-disable-next-line typescript/require-await
    async *open() {
      state.begun++;
      for (let at = 0; at < bytes.length; at += 16_384) yield bytes.subarray(at, at + 16_384);
    },
  };
  return state;
}

const spoken = (server: FakeRegistry, kind: Seen['kind'] = 'upload') => server.seen(kind).map(({ method, status }) => `${method} ${status}`);

test('a blob goes in one request when it is known, in two when its digest shows at its end', async () => {
  await using w = await world();
  const told: number[] = [];
  assert.deepEqual(await w.client.registry.upload(w.reference, source().open, { ...KNOWN, onProgress: (bytes) => { told.push(bytes); } }), { digest: DIGEST, size: CONTENT.length });
  assert.deepEqual([spoken(w.server), w.server.requests.at(-1)?.headers['content-length'], told], [['POST 202', 'PUT 201'], String(CONTENT.length), [CONTENT.length]]);
  const other = Buffer.alloc(100_000, 'x');
  assert.equal(await w.client.registry.blobSize(w.reference, digestOf(other), CALL), undefined);
  assert.deepEqual(await w.client.registry.upload(w.reference, source(other).open, CALL), { digest: digestOf(other), size: 100_000 });
  assert.deepEqual(spoken(w.server).slice(2), ['POST 202', 'PATCH 202', 'PUT 201']);
  assert.equal(w.server.seen('upload').at(-2)?.headers['transfer-encoding'], 'chunked');
  assert.equal(await w.client.registry.blobSize(w.reference, digestOf(other), CALL), 100_000);
  assert.deepEqual([w.server.shelf.blob('a/b', digestOf(other)), w.server.shelf.openUploads], [other, 0]);
  assert.deepEqual(w.server.seen('upload').filter(({ method }) => method === 'POST').map(({ headers }) => headers['content-length']), ['0', '0'], 'some registries want to hear that nothing comes');
  const empty = Buffer.alloc(0);
  await w.client.registry.upload(w.reference, source(empty).open, { ...CALL, digest: digestOf(empty), sizeBytes: 0 });
  assert.deepEqual(w.server.shelf.blob('a/b', digestOf(empty)), empty);
});

test('an upload goes on where the registry says, whatever form that has', async () => {
  await using w = await world();
  await using storage = await openFakeRegistry();
  const auth = { username: 'u', password: 'password' };
  w.server.auth = { kind: 'basic', ...auth };
  const forms: ReadonlyArray<readonly [form: string, location: (path: string) => string]> = [
    ['relative', (path) => path],
    ['absolute', (path) => `${w.server.url}${path}`],
    ['with a query', (path) => `${path}?_state=a%2Bb%3D~%20c+d`],
    ['relative to the path', (path) => path.slice(path.lastIndexOf('/') + 1)],
  ];
  for (const [form, location] of forms) {
    w.server.shelf.location = location;
    const bytes = Buffer.from(form);
    await w.client.registry.upload(w.reference, source(bytes).open, { auth });
    assert.deepEqual(w.server.shelf.blob('a/b', digestOf(bytes)), bytes, form);
    const query = w.server.requests.at(-1)?.search ?? '';
    if (form === 'with a query') assert.equal(query, `?_state=a%2Bb%3D~%20c+d&digest=${encodeURIComponent(digestOf(bytes))}`);
  }
  // Another host is told nothing but what its URL says.
  w.server.shelf.location = (path) => `${storage.url}${path}`;
  storage.misbehave = ({ method }) => ({ status: method === 'PUT' ? 201 : 202 });
  await w.client.registry.upload(w.reference, source().open, { ...KNOWN, auth });
  assert.deepEqual(storage.requests.map(({ method, authorization }) => [method, authorization]), [['PUT', undefined]]);
  w.server.shelf.location = () => 'ftp://somewhere/else';
  await assert.rejects(w.client.registry.upload(w.reference, source().open, { auth }), { kind: 'unavailable', message: /the registry does not say where the upload goes on/ });
});

test('what breaks on the way is begun anew, so many times; each time it is told', async () => {
  const bytes = Buffer.alloc(300_000, 'y');
  const troubles: ReadonlyArray<readonly [what: string, wrong: (seen: Seen) => Misbehaviour | undefined]> = [
    ['a 503', ({ method, nth }) => (method === 'POST' && nth === 1 ? { status: 503 } : undefined)],
    ['a cut connection', ({ method, nth }) => (method === 'PATCH' && nth === 2 ? { hangUpAfterBytes: 100_000 } : undefined)],
    ['an upload that is forgotten', ({ method, nth }) => (method === 'PUT' && nth === 3 ? { status: 404 } : undefined)],
    ['bytes that came otherwise', ({ method, nth }) => (method === 'PUT' && nth === 3 ? { status: 400, content: '{"errors":[{"code":"DIGEST_INVALID"}]}' } : undefined)],
    ['a server that stops reading', ({ method, nth }) => (method === 'PATCH' && nth === 2 ? { deaf: true } : undefined)],
  ];
  for (const [what, misbehave] of troubles) {
    const isDeaf = what === 'a server that stops reading';
    await using w = await world({ limits: isDeaf ? { stallMs: 300, commitMs: 300, uploadAttempts: 20 } : {} });
    w.server.misbehave = (seen) => (seen.kind === 'upload' ? misbehave(seen) : undefined);
    const retries: number[] = [];
    const { digest } = await w.client.registry.upload(w.reference, source(bytes).open, { ...CALL, onRetry: ({ attempt }) => { retries.push(attempt); } });
    assert.deepEqual([digest, w.server.shelf.blob('a/b', digest)?.length, isDeaf ? retries.slice(0, 1) : retries], [digestOf(bytes), 300_000, [1]], what);
  }
  await using w = await world({ limits: { uploadAttempts: 2 } });
  w.server.misbehave = () => ({ status: 500 });
  await assert.rejects(w.client.registry.upload(w.reference, source().open, CALL), { kind: 'unavailable', message: /^Post "http.*uploads\/": received unexpected HTTP status: 500 Internal Server Error \(gave up after 2 attempts\)$/ });
  assert.equal(w.server.requests.length, 2);
});

test('what is refused is refused at once, in Docker\'s words', async () => {
  const told = (code: string, message: string) => JSON.stringify({ errors: [{ code, message, detail: {} }] });
  const table = [
    [{ status: 403, content: told('DENIED', 'requested access to the resource is denied') }, 'forbidden', 'denied: requested access to the resource is denied'],
    [{ status: 401, headers: { 'WWW-Authenticate': 'Negotiate' }, content: told('UNAUTHORIZED', 'authentication required') }, 'unauthorized', 'unauthorized: authentication required'],
    [{ status: 403 }, 'forbidden', 'denied: requested access to the resource is denied'],
    [{ status: 404, content: told('NAME_UNKNOWN', 'repository name not known to registry') }, 'not-found', 'name unknown: repository name not known to registry'],
    [{ status: 413 }, 'invalid', /^(Post|Patch|Put) ".*": received unexpected HTTP status: 413 Payload Too Large$/],
    [{ status: 405, content: told('UNSUPPORTED', 'The operation is unsupported.') }, 'invalid', 'unsupported: The operation is unsupported.'],
  ] as const;
  for (const [wrong, kind, message] of table) {
    for (const step of ['POST', 'PATCH', 'manifest'] as const) {
      if (step === 'PATCH' && wrong.status === 404) continue;
      await using w = await world();
      w.server.misbehave = (seen) => (seen.method === step || seen.kind === step ? wrong : undefined);
      const big = Buffer.alloc(4 << 20, 'z'); // so that the answer comes long before the end
      const done = step === 'manifest' ? w.client.registry.putManifest(w.reference, { at: '1', mediaType: MEDIA.dockerManifest, bytes: CONTENT }, CALL) : w.client.registry.upload(w.reference, source(big).open, CALL);
      await assert.rejects(done, typeof message === 'string' ? { kind, message } : { kind, message }, `${step} ${wrong.status}`);
      assert.equal(w.server.requests.length, step === 'PATCH' ? 2 : 1, `${step} ${wrong.status}`);
    }
  }
});

test('what the source says goes through as it is, and is not tried again', async () => {
  await using w = await world();
  const failure = Object.assign(new Error('read /x: EIO'), { code: 'EIO' });
  // eslint-disable-next-line typescript/require-await
  async function* broken() { yield CONTENT; throw failure; }
  await assert.rejects(w.client.registry.upload(w.reference, broken, CALL), { kind: 'system', message: 'read /x: EIO' });
  await assert.rejects(w.client.registry.upload(w.reference, source().open, { ...KNOWN, sizeBytes: 5 }), { kind: 'corrupt', message: /more than 5 bytes/ });
  await assert.rejects(w.client.registry.upload(w.reference, source().open, { ...KNOWN, sizeBytes: 500 }), { kind: 'corrupt', message: /33 of 500 bytes/ });
  const controller = new AbortController();
  // eslint-disable-next-line typescript/require-await
  async function* aborting() { yield CONTENT; controller.abort(); yield CONTENT; }
  await assert.rejects(w.client.registry.upload(w.reference, aborting, { ...CALL, signal: controller.signal }), { name: 'AbortError' });
  assert.equal(w.server.seen('upload').filter(({ method }) => method === 'POST').length, 4);
});

test('a registry that for a moment does not find what a manifest names is asked again', async () => {
  const refused = (code: string) => ({ status: 400, content: JSON.stringify({ errors: [{ code, message: 'no' }] }) });
  for (const code of ['DIGEST_INVALID', 'MANIFEST_BLOB_UNKNOWN', 'BLOB_UNKNOWN']) {
    await using w = await world();
    const put = () => w.client.registry.putManifest(w.reference, { at: '1', mediaType: MEDIA.dockerManifest, bytes: CONTENT }, CALL);
    w.server.misbehave = ({ nth }) => (nth === 1 ? refused(code) : undefined);
    assert.equal((await put()).digest, DIGEST, code);
    w.server.misbehave = () => refused(code);
    await assert.rejects(put(), { kind: 'unavailable', message: new RegExp(`${code.toLowerCase().replaceAll('_', ' ')}: no$`) });
    assert.deepEqual(spoken(w.server, 'manifest'), ['PUT 400', 'PUT 201', 'PUT 400', 'PUT 400', 'PUT 400'], code);
  }
  await using w = await world();
  w.server.misbehave = () => refused('MANIFEST_INVALID');
  await assert.rejects(w.client.registry.putManifest(w.reference, { at: '1', mediaType: MEDIA.dockerManifest, bytes: CONTENT }, CALL), { kind: 'invalid', message: 'manifest invalid: no' });
  assert.deepEqual(spoken(w.server, 'manifest'), ['PUT 400']);
});

test('a blob is mounted where the registry does that, and left to an upload where not', async () => {
  await using w = await world();
  w.server.auth = { kind: 'bearer', grants: /:(a\/b|c\/d):/ };
  await w.client.registry.upload({ ...w.reference, path: 'c/d' }, source().open, KNOWN);
  assert.equal(await w.client.registry.mountBlob(w.reference, DIGEST, { ...CALL, from: 'c/d' }), true);
  assert.equal(await w.client.registry.blobSize(w.reference, DIGEST, CALL), CONTENT.length);
  assert.deepEqual(w.server.seen('token').at(-2)?.form.getAll('scope'), ['repository:a/b:pull,push', 'repository:c/d:pull']);
  // What it does not have it would rather be sent; the place it keeps for that is given back.
  assert.equal(await w.client.registry.mountBlob(w.reference, digestOf('other'), { ...CALL, from: 'c/d' }), false);
  assert.deepEqual([spoken(w.server).slice(-2), w.server.shelf.openUploads], [['POST 202', 'DELETE 204'], 0]);
  assert.equal(await w.client.registry.mountBlob(w.reference, DIGEST, { ...CALL, from: 'not/ours' }), false);
  w.server.misbehave = ({ kind }) => (kind === 'upload' ? { status: 500 } : undefined);
  assert.equal(await w.client.registry.mountBlob(w.reference, DIGEST, { ...CALL, from: 'c/d' }), false);
  w.server.misbehave = () => ({ hangUp: true });
  await assert.rejects(w.client.registry.mountBlob(w.reference, DIGEST, { ...CALL, from: 'c/d' }), { kind: 'unavailable' });
});

test('how long a blob is has to be said, and storage that answers downloads alone is not asked twice', async () => {
  await using w = await world();
  await using storage = await openFakeRegistry();
  await w.client.registry.upload(w.reference, source().open, KNOWN);
  const size = () => w.client.registry.blobSize(w.reference, DIGEST, CALL);
  assert.equal(await size(), CONTENT.length);
  for (const length of ['0', '2000000000000']) {
    w.server.misbehave = () => ({ status: 200, headers: { 'Content-Length': length } });
    assert.equal(await size(), undefined, length);
  }
  w.server.misbehave = () => ({ redirect: `${storage.url}/signed?x=1` });
  for (const status of [403, 405, 404, 400]) {
    storage.misbehave = () => ({ status });
    assert.equal(await size(), undefined, String(status));
  }
  w.server.misbehave = () => ({ status: 403 });
  await assert.rejects(size(), { kind: 'forbidden' });
});

test('tokens are asked for with the right to push, and anew when they end in the middle', async () => {
  await using w = await world();
  w.server.auth = { kind: 'bearer', grants: /./, tokenUses: 2 };
  assert.equal(await w.client.registry.blobSize(w.reference, DIGEST, CALL), undefined);
  assert.deepEqual(w.server.seen('token').map(({ form }) => form.getAll('scope')), [['repository:a/b:pull,push']]);
  const begun = source();
  await w.client.registry.upload(w.reference, begun.open, CALL); // its PATCH is the third use, and is sent again
  assert.deepEqual(spoken(w.server), ['POST 202', 'PATCH 401', 'PATCH 202', 'PUT 201']);
  assert.deepEqual([begun.begun, w.server.seen('token').length, w.server.shelf.blob('a/b', DIGEST)], [2, 2, CONTENT]);
  w.server.auth = { kind: 'bearer', grants: /:pull$/ };
  await assert.rejects(w.client.registry.upload(w.reference, source().open, CALL), { kind: 'unauthorized', message: /denied/ });
});

test('a sending that was refused while it waited for its source does not count for the next one', async () => {
  await using w = await world();
  w.server.auth = { kind: 'bearer', grants: /./, tokenUses: 2 };
  await w.client.registry.blobSize(w.reference, DIGEST, CALL);
  const again = Promise.withResolvers<void>();
  let begun = 0;
  async function* slow() {
    const isFirst = ++begun === 1;
    yield CONTENT.subarray(0, 10);
    if (isFirst) await again.promise;
    else {
      again.resolve();
      await new Promise((resolve) => { setImmediate(resolve); }); // the first one goes on now
    }
    yield CONTENT.subarray(10);
  }
  assert.deepEqual(await w.client.registry.upload(w.reference, slow, KNOWN), { digest: DIGEST, size: CONTENT.length });
  assert.deepEqual([begun, spoken(w.server), w.server.shelf.blob('a/b', DIGEST)], [2, ['POST 202', 'PUT 401', 'PUT 201'], CONTENT]);
});

test('a manifest is put as it is, and the registry\'s answer is held to it', async () => {
  await using w = await world();
  const bytes = Buffer.from('{"schemaVersion":2}');
  const put = () => w.client.registry.putManifest(w.reference, { at: '1', mediaType: MEDIA.dockerManifest, bytes }, CALL);
  assert.deepEqual(await put(), { digest: digestOf(bytes), subjectTaken: false });
  assert.deepEqual(w.server.shelf.manifest('a/b', '1'), { bytes, mediaType: MEDIA.dockerManifest });
  w.server.misbehave = ({ kind }) => (kind === 'manifest' ? { headers: { 'OCI-Subject': digestOf('subject') } } : undefined);
  assert.deepEqual(await put(), { digest: digestOf(bytes), subjectTaken: true });
  w.server.misbehave = () => ({ headers: { 'Docker-Content-Digest': digestOf('other') } });
  await assert.rejects(put(), { kind: 'corrupt', message: /has kept the manifest .* as sha256:/ });
  w.server.misbehave = ({ nth }) => (nth < 6 ? { status: 502 } : undefined);
  assert.equal((await put()).digest, digestOf(bytes));
  await using small = await world({ limits: { manifestBytes: 10 } });
  await assert.rejects(small.client.registry.putManifest(small.reference, { at: '1', mediaType: MEDIA.dockerManifest, bytes }, CALL), { kind: 'invalid', message: 'the manifest has 19 bytes, at most 10 are pushed' });
});
