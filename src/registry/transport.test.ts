// Connections: HTTPS and whose word is taken, proxies, redirects, reuse, and the end of it all.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFakeRegistry, type FakeRegistry } from '../../test/kit/fake-registry.ts';
import { AMD64, collect, openTestClient } from '../../test/kit/registry-client.ts';
import { parseReference } from '../oci/reference.ts';
import { chooseProxy } from './proxy.ts';
import { isInsecure } from './hosts.ts';

const CALL = { auth: undefined, platform: AMD64 };

test('which requests go through a proxy', () => {
  const proxy = { http: 'http://plain:3128', https: 'secure:3129' };
  const table: ReadonlyArray<readonly [url: string, no: string, host: string | undefined]> = [
    ['http://example.com/', '', 'plain:3128'], ['https://example.com/', '', 'secure:3129'],
    ['http://localhost:5000/', '', undefined], ['http://127.0.0.9/', '', undefined], ['http://[::1]/', '', undefined],
    ['https://example.com/', '*', undefined], ['https://example.com/', 'example.com', undefined], ['https://a.example.com/', 'other, EXAMPLE.com', undefined],
    ['https://a.example.com/', '.example.com', undefined], ['https://example.com/', '.example.com', 'secure:3129'], ['https://a.example.com/', '*.example.com', undefined],
    ['https://notexample.com/', 'example.com', 'secure:3129'], ['https://example.com/', 'example.com:443', undefined], ['https://example.com/', 'example.com:5000', 'secure:3129'],
    ['http://10.1.2.3/', '10.0.0.0/8', undefined], ['http://11.1.2.3/', '10.0.0.0/8', 'plain:3128'], ['http://10.1.2.3/', '10.1.2.3', undefined],
    ['http://[fd00::5]/', 'fd00::/8', undefined], ['http://[fd00::5]:80/', '[fd00::5]:80', undefined], ['http://10.1.2.3/', 'nonsense/8, 10.0.0.0/99', 'plain:3128'],
    ['http://110.1.2.3/', '10.1.2.3', 'plain:3128'],
  ];
  for (const [url, no, host] of table) assert.equal(chooseProxy(new URL(url), { ...proxy, no })?.host, host, `${url} ${no}`);
  assert.equal(chooseProxy(new URL('http://example.com'), {}), undefined);
  assert.throws(() => chooseProxy(new URL('http://example.com'), { http: 'socks5://user:secret@x' }), { kind: 'invalid', message: /^(?!.*secret)/ });
});

test('who may be spoken to in the open', () => {
  const insecure = ['registry.lan:5000', 'other.lan', '10.0.0.0/8', 'http://third.lan'];
  for (const url of ['https://127.0.0.1:5000', 'https://localhost', 'https://[::1]:1', 'https://registry.lan:5000', 'https://other.lan', 'https://10.9.8.7:5000', 'https://third.lan']) assert.ok(isInsecure(new URL(url), insecure), url);
  for (const url of ['https://registry.lan', 'https://other.lan:5000', 'https://11.0.0.1', 'https://127.0.0.1.example.com', 'https://notlocalhost']) assert.ok(!isInsecure(new URL(url), insecure), url);
});

test('a connection is used again, and a dead one is replaced unnoticed', async () => {
  await using server = await openFakeRegistry();
  await using client = openTestClient();
  server.addImage('a/b', 'x', { layers: [] });
  const ref = parseReference(`${server.host}/a/b:x`);
  server.misbehave = ({ nth }) => (nth === 4 ? { hangUp: true } : undefined);
  for (let i = 0; i < 3; i++) await client.registry.resolve(ref, CALL);
  assert.equal(await server.connections(), 1);
  await client.registry.resolve(ref, CALL);
  assert.equal(server.requests.length, 5);
});

test('redirects are followed, without the registry\'s credentials and not for ever', async () => {
  await using server = await openFakeRegistry();
  await using storage = await openFakeRegistry();
  await using client = openTestClient();
  server.auth = { kind: 'bearer' };
  const image = server.addImage('a/b', 'x', { layers: [Buffer.from('layer bytes')] });
  const [layer] = image.layers;
  assert.ok(layer);
  storage.addBlob(Buffer.from('layer bytes'), 'x');
  server.misbehave = ({ kind, authorization }) => (kind === 'blob' && authorization ? { redirect: `${storage.url}/v2/s/blobs/${layer.digest}?sig=secret` } : undefined);
  storage.misbehave = ({ nth }) => (nth === 1 ? { cutAfterBytes: 5 } : undefined);
  const ref = parseReference(`${server.host}/a/b:x`);
  assert.equal((await collect(client.registry.blob(ref, layer, CALL))).toString(), 'layer bytes');
  assert.deepEqual(storage.requests.map(({ authorization, range }) => [authorization, range]), [[undefined, undefined], [undefined, 'bytes=5-']]);
  storage.misbehave = () => ({ status: 403 });
  await assert.rejects(collect(client.registry.blob(ref, layer, CALL)), { kind: 'forbidden', message: /^(?!.*secret).*\?…": received unexpected HTTP status: 403/ });
  storage.misbehave = () => ({ status: 401 });
  await assert.rejects(collect(client.registry.blob(ref, layer, CALL)), { kind: 'unauthorized' });

  server.requests.length = 0;
  server.misbehave = ({ path }) => ({ redirect: `${server.url}${path}` });
  await assert.rejects(client.registry.resolve(ref, CALL), { kind: 'unavailable', message: /stopped after 10 redirects/ });
  assert.equal(server.requests.length, 11);
  for (const target of ['file:///etc/passwd', 'http://', 'ftp://x/']) {
    server.misbehave = () => ({ redirect: target });
    await assert.rejects(client.registry.resolve(ref, CALL), { kind: 'unavailable' }, target);
  }
});

test('a closed client lets go of everything and takes no more calls', async () => {
  await using server = await openFakeRegistry();
  const client = openTestClient({ limits: { stallMs: 60_000 } });
  const image = server.addImage('a/b', 'x', { layers: [Buffer.alloc(100_000)] });
  const [layer] = image.layers;
  assert.ok(layer);
  server.misbehave = ({ kind }) => (kind === 'blob' ? { stallAfterBytes: 10 } : undefined);
  const ref = parseReference(`${server.host}/a/b:x`);
  await client.registry.resolve(ref, CALL);
  const stream = client.registry.blob(ref, layer, CALL)[Symbol.asyncIterator]();
  await stream.next();
  const rest = stream.next();
  await client.registry.close();
  await assert.rejects(rest, { message: 'the registry client is closed' });
  await assert.rejects(client.registry.resolve(ref, CALL), { message: 'the registry client is closed' });
});

interface Proxy extends AsyncDisposable { url: string; seen: string[] }

/** A proxy that takes every name to `target`. */
async function openProxy(target: FakeRegistry, refuseWith?: number): Promise<Proxy> {
  const seen: string[] = [];
  const server = createServer((incoming, outgoing) => {
    seen.push(`${incoming.method} ${incoming.url} ${incoming.headers['proxy-authorization'] ?? ''}`.trim());
    const { pathname } = new URL(incoming.url ?? '');
    request({ port: target.port, host: '127.0.0.1', path: pathname, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(outgoing);
    }).end();
  });
  server.on('connect', (incoming, socket) => {
    seen.push(`CONNECT ${incoming.url} ${incoming.headers['proxy-authorization'] ?? ''}`.trim());
    if (refuseWith !== undefined) return void socket.end(`HTTP/1.1 ${refuseWith} No\r\nContent-Length: 0\r\n\r\n`);
    const there = connect(target.port, '127.0.0.1', () => { socket.write('HTTP/1.1 200 OK\r\n\r\n'); there.pipe(socket); socket.pipe(there); });
    for (const end of [there, socket]) end.on('error', () => {}).on('close', () => { there.destroy(); socket.destroy(); });
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    seen, url: `http://user:p%40ss@127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () => new Promise((resolve) => { server.close(() => resolve()); server.closeAllConnections(); }),
  };
}

const PROXY_AUTH = `Basic ${Buffer.from('user:p@ss').toString('base64')}`;

/** A certificate for registry.test that vouches for itself. */
function makeCertificate(folder: string): { cert: string; key: string } {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=registry.test',
    '-addext', 'subjectAltName=DNS:registry.test', '-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')], { stdio: 'ignore' });
  return { cert: readFileSync(join(folder, 'cert.pem'), 'utf8'), key: readFileSync(join(folder, 'key.pem'), 'utf8') };
}

test('plain HTTP through a proxy', async () => {
  await using server = await openFakeRegistry();
  await using proxy = await openProxy(server);
  server.addImage('a/b', 'x', { layers: [] });
  await using client = openTestClient({ proxy: { http: proxy.url, https: 'http://127.0.0.1:1' }, insecureRegistries: ['registry.test'] });
  await client.registry.resolve(parseReference('registry.test/a/b:x'), CALL);
  assert.deepEqual(proxy.seen, [`GET http://registry.test/v2/a/b/manifests/x ${PROXY_AUTH}`]);
  assert.equal(server.requests[0]?.headers.host, 'registry.test');
});

test('who finds out at the same time that only the system vouches for a registry is served as well', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vaquita-certs-'));
  try {
    const pair = makeCertificate(folder);
    process.env['SSL_CERT_FILE'] = join(folder, 'cert.pem'); // read once in a process: the tests below ask for it as well
    await using server = await openFakeRegistry(pair);
    await using proxy = await openProxy(server);
    await using client = openTestClient({ proxy: { https: proxy.url } });
    const image = server.addImage('a/b', 'x', { layers: [] });
    const all = await Promise.all(Array.from({ length: 3 }, () => client.registry.resolve(parseReference('registry.test/a/b:x'), CALL)));
    assert.deepEqual(all.map(({ top }) => top.digest), Array.from({ length: 3 }, () => image.manifest.digest));
  } finally {
    delete process.env['SSL_CERT_FILE'];
    rmSync(folder, { recursive: true });
  }
});

test('HTTPS: through a tunnel, on the word of certs.d, or on nobody\'s where that is allowed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vaquita-certs-'));
  try {
    const pair = makeCertificate(folder);
    await using server = await openFakeRegistry({ ...pair, requestCert: true, ca: pair.cert });
    await using proxy = await openProxy(server);
    const image = server.addImage('a/b', 'x', { layers: [Buffer.from('through the tunnel')] });
    const ref = parseReference('registry.test/a/b:x');
    const certsDir = join(folder, 'certs.d');
    const config = { proxy: { https: proxy.url }, certsDir };

    await using client = openTestClient(config);
    await assert.rejects(client.registry.resolve(ref, CALL), { kind: 'unavailable', message: /x509: the certificate of registry\.test is not trusted .*certs\.d\/registry\.test\/ca\.crt/ });
    mkdirSync(join(certsDir, 'registry.test'), { recursive: true });
    writeFileSync(join(certsDir, 'registry.test', 'ca.crt'), pair.cert);
    writeFileSync(join(certsDir, 'registry.test', 'client.cert'), pair.cert);
    await assert.rejects(client.registry.resolve(ref, CALL), { kind: 'invalid', message: /its key client\.key is missing/ });
    writeFileSync(join(certsDir, 'registry.test', 'client.key'), pair.key);
    // The same client believes the certificate as soon as it lies there.
    const resolved = await client.registry.resolve(ref, CALL);
    assert.equal(resolved.top.digest, image.manifest.digest);
    const connects = proxy.seen.length;
    const [layer] = image.layers;
    assert.ok(layer);
    assert.equal((await collect(client.registry.blob(ref, layer, CALL))).toString(), 'through the tunnel');
    assert.equal(proxy.seen.length, connects, 'the tunnel is used again');
    assert.ok(proxy.seen.every((line) => line === `CONNECT registry.test:443 ${PROXY_AUTH}`), proxy.seen.join('\n'));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('certificates that nobody vouches for are taken from loopback and insecure registries only', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vaquita-certs-'));
  try {
    await using server = await openFakeRegistry(makeCertificate(folder));
    await using proxy = await openProxy(server);
    server.addImage('a/b', 'x', { layers: [] });
    await using client = openTestClient({ proxy: { https: proxy.url }, insecureRegistries: ['registry.test:5000'] });
    await client.registry.resolve(parseReference(`${server.host}/a/b:x`), CALL);
    await client.registry.resolve(parseReference('registry.test:5000/a/b:x'), CALL);
    await assert.rejects(client.registry.resolve(parseReference('other.test/a/b:x'), CALL), { message: /x509: the certificate of other\.test is not trusted/ });
    // Behind what ends TLS for them, registries think that they speak plain HTTP. Only the same host may be meant; another one in plain text is not followed.
    const upload = (name: string) => client.registry.upload(parseReference(name), async function* () { yield Buffer.from('layer'); }, CALL); // eslint-disable-line typescript/require-await
    for (const host of [server.host, 'registry.test:5000']) {
      server.shelf.location = (path) => `http://${host}${path}`;
      assert.equal((await upload(`${host}/a/b`)).size, 5);
    }
    server.shelf.location = (path) => `http://storage.test${path}`;
    await assert.rejects(upload('registry.test:5000/a/b'), { kind: 'unavailable', message: /the upload is to go on over plain HTTP \(http:\/\/storage\.test\/.*\); refused/ });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a registry whose TLS fails once is not taken for one of plain HTTP for ever', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vaquita-certs-'));
  try {
    await using server = await openFakeRegistry(makeCertificate(folder));
    const image = server.addImage('a/b', 'x', { layers: [] });
    // As it starts: the first connection is not answered, the second one in plain text as Go's servers answer it.
    const openings: Array<(socket: Socket) => void> = [
      (socket) => socket.destroy(),
      (socket) => socket.once('data', () => socket.end('HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n')),
    ];
    const front = createTcpServer((socket) => {
      const opening = openings.shift();
      if (opening) return opening(socket);
      const there = connect(server.port, '127.0.0.1');
      for (const [from, to] of [[socket, there], [there, socket]] as const) from.on('error', () => {}).on('close', () => to.destroy()).pipe(to);
    });
    await new Promise<void>((resolve) => { front.listen(0, '127.0.0.1', resolve); });
    using _front = { [Symbol.dispose]: () => { front.close(); } };
    await using client = openTestClient();
    const ref = parseReference(`127.0.0.1:${(front.address() as AddressInfo).port}/a/b:x`);
    await assert.rejects(client.registry.resolve(ref, CALL), { kind: 'invalid', message: /400 Bad Request/ });
    assert.equal((await client.registry.resolve(ref, CALL)).top.digest, image.manifest.digest);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a proxy that refuses, or is not there, is named without its password', async () => {
  await using server = await openFakeRegistry();
  await using proxy = await openProxy(server, 407);
  const ref = parseReference('registry.test/a/b:x');
  await using refused = openTestClient({ proxy: { https: proxy.url } });
  await assert.rejects(refused.registry.resolve(ref, CALL), { kind: 'unavailable', message: /^proxy 127\.0\.0\.1:\d+ refused to connect to registry\.test:443: HTTP status 407; it wants credentials/ });
  await using absent = openTestClient({ proxy: { https: 'http://user:p%40ss@127.0.0.1:1' } });
  await assert.rejects(absent.registry.resolve(ref, CALL), { kind: 'unavailable', message: /^proxy 127\.0\.0\.1:1 for registry\.test:443: (?!.*ss@).*connection refused/ });
});
