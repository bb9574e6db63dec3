// Challenges and credentials: who gets in, when tokens are renewed, and that no secret leaves in an error or a log line.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { parseChallenges } from './challenge.ts';
import { openFakeRegistry, type Auth, type FakeRegistry } from '../../test/kit/fake-registry.ts';
import { AMD64, collect, openTestClient, type TestClient } from '../../test/kit/registry-client.ts';
import { parseReference } from '../oci/reference.ts';
import { messageOf } from '../lib/errors.ts';
import type { RegistryAuth } from '../wire/types.ts';

test('challenges are read as RFC 9110 writes them', () => {
  const table: ReadonlyArray<readonly [string, ReadonlyArray<readonly [string, Record<string, string>]>]> = [
    ['Basic realm="x"', [['basic', { realm: 'x' }]]],
    ['Bearer realm="https://a/t",service="s, t",scope="repository:a/b:pull,push"', [['bearer', { realm: 'https://a/t', service: 's, t', scope: 'repository:a/b:pull,push' }]]],
    ['bearer Realm = "a\\"b" , error=invalid_token', [['bearer', { realm: 'a"b', error: 'invalid_token' }]]],
    ['Negotiate, Basic realm="x", Bearer realm="y",service=z', [['negotiate', {}], ['basic', { realm: 'x' }], ['bearer', { realm: 'y', service: 'z' }]]],
    ['NTLM TlRMTVNTUAAB==, Basic realm="q"', [['ntlm', {}], ['basic', { realm: 'q' }]]],
    [', ,Basic', [['basic', {}]]],
    ['Bearer realm="unfinished', [['bearer', {}]]],
    ['Bearer realm="a",realm="b"', [['bearer', { realm: 'a' }]]],
    ['', []], ['"', []], ['=', []],
  ];
  for (const [header, expected] of table) {
    assert.deepEqual(parseChallenges(header).map(({ scheme, params }) => [scheme, Object.fromEntries(params)]), expected, header);
  }
});

test('any header ends', () => {
  const pieces = ['Bearer', ' ', ',', '=', '"', '\\', 'realm', 'a', '\t', '/'];
  for (let seed = 0; seed < 3000; seed++) {
    let state = seed;
    const next = (n: number) => { state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0; return (state >>> 8) % n; };
    parseChallenges(Array.from({ length: next(12) }, () => pieces[next(pieces.length)]).join(''));
  }
  assert.equal(parseChallenges('a,'.repeat(8000)).length, 16);
});

const LAYER = randomBytes(400_000);

interface World extends AsyncDisposable { server: FakeRegistry; client: TestClient; pull(auth?: RegistryAuth): Promise<number> }

async function world(auth: Auth): Promise<World> {
  const server = await openFakeRegistry();
  const client = openTestClient();
  server.auth = auth;
  server.addImage('a/b', 'latest', { layers: [LAYER] });
  const ref = parseReference(`${server.host}/a/b:latest`);
  return {
    server, client,
    async pull(credentials) {
      const resolved = await client.registry.resolve(ref, { auth: credentials, platform: AMD64 });
      const [layer] = resolved.layers;
      assert.ok(layer);
      return (await collect(client.registry.blob(ref, layer, { auth: credentials }))).length;
    },
    async [Symbol.asyncDispose]() { await client[Symbol.asyncDispose](); await server[Symbol.asyncDispose](); },
  };
}

const USER: RegistryAuth = { username: 'ada', password: 'correct horse' };

test('basic credentials, in either form, are shown when asked for and remembered', async () => {
  await using w = await world({ kind: 'basic', username: 'ada', password: 'correct horse' });
  assert.equal(await w.pull(USER), LAYER.length);
  assert.deepEqual(w.server.requests.map(({ status }) => status), [401, 200, 200]);
  assert.equal(await w.pull({ auth: Buffer.from('ada:correct horse').toString('base64') }), LAYER.length);
  await assert.rejects(w.pull(), { kind: 'unauthorized', message: /no basic auth credentials/ });
  await assert.rejects(w.pull({ ...USER, password: 'wrong' }), { kind: 'unauthorized', message: /unauthorized: authentication required/ });
});

test('a token is fetched once for a pull, for anyone or with the password', async () => {
  await using open = await world({ kind: 'bearer' });
  assert.equal(await open.pull(), LAYER.length);
  assert.equal(await open.pull(), LAYER.length);
  assert.equal(open.server.seen('token').length, 1);
  assert.deepEqual(Object.fromEntries(open.server.seen('token')[0]?.form ?? []), { service: 'fake registry', scope: 'repository:a/b:pull' });

  await using closed = await world({ kind: 'bearer', username: 'ada', password: 'correct horse' });
  assert.equal(await closed.pull(USER), LAYER.length);
  assert.equal(closed.server.seen('token')[0]?.form.get('account'), 'ada');
  await assert.rejects(closed.pull({ ...USER, password: 'bad password' }), { kind: 'unauthorized', message: /unauthorized: incorrect username or password/ });
});

test('transfers side by side ask for one token', async () => {
  await using w = await world({ kind: 'bearer' });
  w.server.addImage('a/b', 'other', { layers: [Buffer.from('x')] });
  await Promise.all(Array.from({ length: 8 }, () => w.pull()));
  assert.equal(w.server.seen('token').length, 1);
});

test('a token that ends in the middle of a layer is renewed, and the layer goes on', async () => {
  await using w = await world({ kind: 'bearer', tokenUses: 2 });
  w.server.misbehave = ({ kind, authorization }) => (kind === 'blob' && authorization !== undefined ? { cutAfterBytes: 70_000 } : undefined);
  assert.equal(await w.pull(), LAYER.length);
  assert.equal(w.client.registry.bytesReceived - w.server.requests.filter(({ status, kind }) => status === 401 || kind !== 'blob').reduce((sum, { bytesSent }) => sum + bytesSent, 0), LAYER.length);
  assert.ok(w.server.seen('token').length >= 3);
});

test('a token that ended by the clock is replaced before it is refused', async () => {
  await using w = await world({ kind: 'bearer', expiresInS: -1 });
  await w.pull();
  const refused = w.server.requests.filter(({ status }) => status === 401);
  assert.equal(refused.length, 1, 'only the first request, which had no token');
  assert.equal(w.server.seen('token').length, 2);
});

test('a registrytoken is used as it is, and its end is final', async () => {
  await using w = await world({ kind: 'bearer', fixedToken: 'delta-token' });
  assert.equal(await w.pull({ registrytoken: 'delta-token' }), LAYER.length);
  assert.deepEqual([w.server.seen('token').length, w.server.requests.length], [0, 2]);
  await assert.rejects(w.pull({ registrytoken: 'expired-token' }), { kind: 'unauthorized', message: /authentication required/ });
  assert.equal(w.server.requests.length, 3);
});

test('an identity token is traded by form, not by address', async () => {
  await using w = await world({ kind: 'bearer', username: 'ada', password: 'correct horse', identityToken: 'long-lived' });
  assert.equal(await w.pull({ identitytoken: 'long-lived' }), LAYER.length);
  const [asked] = w.server.seen('token');
  assert.equal(asked?.method, 'POST');
  assert.deepEqual(Object.fromEntries(asked?.form ?? []), { grant_type: 'refresh_token', refresh_token: 'long-lived', client_id: 'vaquita', scope: 'repository:a/b:pull', service: 'fake registry' });
});

test('login tells right from wrong, and gives the identity token', async () => {
  await using bearer = await world({ kind: 'bearer', username: 'ada', password: 'correct horse', identityToken: 'long-lived' });
  const at = (w: World) => ({ ...USER, serveraddress: w.server.host });
  assert.equal(await bearer.client.registry.login(at(bearer), {}), 'long-lived');
  await assert.rejects(bearer.client.registry.login({ ...at(bearer), password: 'wrong' }, {}), { kind: 'unauthorized', message: /unauthorized: incorrect username or password/ });
  await using basic = await world({ kind: 'basic', username: 'ada', password: 'correct horse' });
  assert.equal(await basic.client.registry.login({ ...at(basic), serveraddress: `http://${basic.server.host}/v2/` }, {}), '');
  await assert.rejects(basic.client.registry.login({ ...at(basic), password: 'wrong' }, {}), { kind: 'unauthorized' });
  await using open = await world({ kind: 'none' });
  assert.equal(await open.client.registry.login(at(open), {}), '');
});

test('a token service that breaks is named', async () => {
  await using w = await world({ kind: 'bearer' });
  for (const [wrong, message] of [
    [{ status: 500 }, /\/token\?…": received unexpected HTTP status: 500/], [{ status: 200, content: 'no json' }, /there is no token in its answer/],
    [{ status: 200, content: JSON.stringify({ token: 'a\nb' }) }, /characters that no token has/], [{ hangUp: true }, /token service: .*connection reset/],
  ] as const) {
    w.server.misbehave = ({ kind }) => (kind === 'token' ? wrong : undefined);
    await assert.rejects(w.pull(), { message });
  }
  w.server.misbehave = ({ kind }) => (kind === 'manifest' ? { status: 401, headers: { 'WWW-Authenticate': 'Bearer realm="ftp://x"' } } : undefined);
  await assert.rejects(w.pull(), { message: /its challenge names no token service/ });
});

test('no secret is in an error or in the log', async () => {
  await using w = await world({ kind: 'bearer', username: 'ada', password: 'x' });
  const encoded = Buffer.from('ada:correct horse').toString('base64');
  const users: ReadonlyArray<readonly [RegistryAuth, string[]]> = [
    [USER, ['correct horse', encoded]], [{ auth: encoded }, ['correct horse', encoded]],
    [{ registrytoken: 'delta-token' }, ['delta-token']], [{ identitytoken: 'long-lived' }, ['long-lived']],
  ];
  let said = 0;
  for (const [auth, secrets] of users) {
    const echo = `${secrets.join(' and ')} are wrong`;
    const wrongs = [
      undefined, { status: 401, content: JSON.stringify({ details: echo }) }, { hangUp: true }, { status: 500, content: JSON.stringify({ message: echo }) },
      { status: 403, content: JSON.stringify({ errors: [{ code: 'DENIED', message: echo }] }) },
      { redirect: 'http://127.0.0.1:1/storage?signature=sig-123' }, { status: 200, content: echo },
    ];
    for (const wrong of wrongs) {
      w.server.misbehave = ({ kind }) => (kind === 'token' || (auth.registrytoken !== undefined && kind === 'manifest') ? wrong : undefined);
      for (let error: unknown = await w.pull(auth).then(() => assert.fail(), (failure: unknown) => failure); error instanceof Error; error = error.cause) {
        const text = [messageOf(error), error.stack, JSON.stringify(error)].join('\n');
        for (const secret of [...secrets, 'sig-123']) assert.ok(!text.includes(secret), text);
        said++;
      }
    }
  }
  assert.ok(said >= 28);
  assert.doesNotMatch(w.client.log.join(), /correct horse|delta-token|long-lived|sig-123/);
});
