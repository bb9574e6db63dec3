// The life of connections: who is let in, what happens when a side goes away, and how the door is closed.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import { systemClock, type Clock } from '../lib/clock.ts';
import { kindOf } from '../lib/errors.ts';
import type { EventLine } from '../wire/types.ts';
import { EVENTS, FakeSession } from './fake-engine.ts';
import { askSocket, eventually, openTestApi } from './test-kit.ts';

test('a client that goes away aborts the signal of its request', async () => {
  let aborted = false;
  const waiting = Promise.withResolvers<void>();
  await using api = await openTestApi({ containers: {
    stop: (_name, { signal }) => new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => { aborted = true; reject(signal.reason as Error); });
      waiting.resolve();
    }),
  } });
  const client = await api.raw();
  client.send('POST /containers/probe/stop HTTP/1.1\r\nHost: d\r\n\r\n');
  await waiting.promise;
  client.socket.destroy();
  await eventually(() => aborted, 'signal aborted');
});

test('a client that half-closes behind its request still gets the answer, and what is endless ends', async () => {
  await using api = await openTestApi({
    system: { info: async () => { await new Promise((resolve) => { setTimeout(resolve, 20); }); return (await import('./fake-engine.ts')).INFO; } },
    events: { async *subscribe({ signal }): AsyncGenerator<EventLine> { yield* EVENTS; await new Promise((resolve) => { signal.addEventListener('abort', resolve); }); } },
  });
  for (const [path, body] of [['/info', '"ID":"3a3abf0f"'], ['/events', '"Action":"create"']] as const) {
    const client = await api.raw();
    client.socket.end(`GET ${path} HTTP/1.1\r\nHost: d\r\n\r\n`);
    assert.ok((await client.ended()).includes(body), path);
  }
});

test('events: headers at once, a line each, the signal ends it; a bad filter is refused before the headers', async () => {
  let ended = false;
  const more = Promise.withResolvers<void>();
  await using api = await openTestApi({ events: {
    async *subscribe({ filters, signal }): AsyncGenerator<EventLine> {
      if (filters.has('bad')) throw new (await import('../lib/errors.ts')).EngineError('invalid', "invalid filter 'bad'");
      try {
        await Promise.race([more.promise, new Promise((resolve) => { signal.addEventListener('abort', resolve); })]);
        yield* EVENTS;
        await new Promise((resolve) => { signal.addEventListener('abort', resolve); });
      } finally { ended = true; }
    },
  } });
  const client = await api.raw();
  client.send('GET /events?since=1 HTTP/1.1\r\nHost: d\r\n\r\n');
  const head = await client.until('\r\n\r\n');
  assert.match(head, /^HTTP\/1.1 200 OK\r\n[^]*Content-Type: application\/json\r\n/);
  assert.ok(head.endsWith('\r\n\r\n'));
  more.resolve();
  assert.match(await client.until('"create"'), /\{"status":"start","id":"388d[^]*\}\n[^]*\{"status":"pull"/);
  client.socket.destroy();
  await eventually(() => ended, 'subscription ended');
  const refused = await api.ask('GET', '/events?filters=%7B%22bad%22%3A%5B%5D%7D');
  assert.deepEqual([refused.status, refused.body], [400, '{"message":"invalid filter \'bad\'"}\n']);
});

test('closing cuts what has no end, lets the rest finish, and gives up after the grace', async () => {
  const finish = Promise.withResolvers<void>(), grace = Promise.withResolvers<void>();
  const session = new FakeSession();
  const clock: Clock = { ...systemClock, sleep: (ms, options) => (ms === 30_000 ? grace.promise : systemClock.sleep(ms, options)) };
  await using api = await openTestApi({
    containers: { attach: async () => session, restart: () => finish.promise, pause: () => new Promise(() => {}) },
    events: { async *subscribe({ signal }): AsyncGenerator<EventLine> { yield* EVENTS; await new Promise((resolve) => { signal.addEventListener('abort', resolve); }); } },
  }, {}, clock);
  const open = async (head: string) => { const client = await api.raw(); client.send(`${head} HTTP/1.1\r\nHost: d\r\n\r\n`); return client; };
  const events = await open('GET /events');
  const attach = await open('POST /containers/probe/attach?stream=1&stdout=1');
  const slow = await open('POST /containers/probe/restart');
  const stuck = await open('POST /containers/probe/pause');
  const idle = await open('GET /_ping');
  const second = await open('GET /_ping');
  await second.until('OK');
  second.send('POST /containers/probe/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n');
  await second.until('raw-stream');
  await Promise.all([events.until('\r\n\r\n'), attach.until('\r\n\r\n'), idle.until('OK'), eventually(() => api.calls.some(([verb]) => verb === 'containers.pause'), 'requests arrived')]);

  const closed = api.api.close({ graceMs: 30_000 });
  await Promise.all([events.until('0\r\n\r\n'), attach.ended(), second.until('\r\n\r\n0\r\n\r\n')]);
  await eventually(() => session.disposed, 'session disposed');
  finish.resolve();
  assert.match(await slow.until('\r\n\r\n'), /^HTTP\/1.1 204/);
  grace.resolve();
  await closed;
  assert.equal(await stuck.ended(), '');
  await idle.ended();
  await assert.rejects(api.ask('GET', '/_ping'), /ENOENT|ECONNREFUSED/);
});

test('the socket is for owner and group, a dead one is replaced, a living one is not', async () => {
  await using api = await openTestApi();
  assert.equal((await stat(api.path)).mode & 0o777, 0o660);
  await assert.rejects(openTestApi({}, { listen: [{ kind: 'unix', path: api.path, gid: undefined }] }), (error) => kindOf(error) === 'conflict' && /another engine answers/.test(String(error)));
  assert.equal((await api.ask('GET', '/_ping')).body, 'OK');

  const directory = await mkdtemp(join(tmpdir(), 'vaquita-api-'));
  try {
    const path = join(directory, 'dead.sock');
    await writeFile(path, '');
    await using other = await openTestApi({}, { listen: [{ kind: 'unix', path, gid: undefined }] });
    assert.deepEqual(other.api.addresses, [`unix://${path}`]);
    assert.equal((await askSocket({ socketPath: path }, { method: 'GET', path: '/_ping' })).body, 'OK');
  } finally { await rm(directory, { recursive: true, force: true }); }
});

test('an inherited socket is served', async () => {
  const inherited = createServer();
  await new Promise<void>((resolve) => { inherited.listen(0, '127.0.0.1', resolve); });
  const { fd } = (inherited as unknown as { _handle: { fd: number } })._handle;
  const bound = inherited.address();
  assert.ok(typeof bound === 'object' && bound !== null);
  // In a process of its own, as systemd would start it: one process cannot listen twice on one descriptor.
  const code = `import { openTestApi } from ${JSON.stringify(new URL('./test-kit.ts', import.meta.url).href)};
    const api = await openTestApi({}, { listen: [{ kind: 'fd', fd: 3 }] });
    process.stdout.write(api.api.addresses.join());
    process.stdin.on('end', () => { void api[Symbol.asyncDispose](); }).resume();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['pipe', 'pipe', 'inherit', fd] });
  try {
    let said = '';
    child.stdout?.on('data', (chunk: Buffer) => { said += chunk.toString(); });
    await eventually(() => said === 'fd://3', 'the child listens');
    inherited.close();
    assert.equal((await askSocket({ host: '127.0.0.1', port: bound.port }, { method: 'GET', path: '/_ping' })).body, 'OK');
    const exited = new Promise((resolve) => { child.once('exit', resolve); });
    child.stdin?.end();
    assert.equal(await exited, 0);
  } finally { child.kill('SIGKILL'); inherited.close(); }
});

test('TCP without TLS is refused unless allowed; a refusal leaves nothing listening', async () => {
  const tcp = { kind: 'tcp' as const, host: '127.0.0.1', port: 0, tls: undefined };
  await assert.rejects(openTestApi({}, { listen: [tcp] }), (error) => kindOf(error) === 'invalid' && /without TLS/.test(String(error)));
  await using api = await openTestApi({}, { listen: [tcp], allowPlainTcp: true });
  const [address = ''] = api.api.addresses;
  assert.match(address, /^tcp:\/\/127\.0\.0\.1:\d+$/);
  const port = Number(address.split(':').at(-1));
  assert.equal((await askSocket({ host: '127.0.0.1', port }, { method: 'GET', path: '/_ping' })).body, 'OK');
});

test('with tlsverify only clients with a certificate of the authority are served, takeovers too', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'vaquita-tls-'));
  try {
    const pem = await makeCertificates(directory);
    await using api = await openTestApi({}, { listen: [{ kind: 'tcp', host: '127.0.0.1', port: 0, tls: { ca: pem.ca, cert: pem.server, key: pem.serverKey, verify: true } }] });
    const port = Number(api.api.addresses[0]?.split(':').at(-1));
    const ask = (client: { cert?: string; key?: string }) => new Promise<number>((resolve, reject) => {
      const sent = httpsRequest({ host: '127.0.0.1', port, path: '/_ping', ca: pem.ca, agent: false, ...client }, (response) => { response.resume(); resolve(response.statusCode ?? 0); });
      sent.on('error', reject);
      sent.end();
    });
    assert.equal(await ask({ cert: pem.client, key: pem.clientKey }), 200);
    await assert.rejects(ask({}));
    await assert.rejects(ask({ cert: pem.stranger, key: pem.strangerKey }));

    const socket = tlsConnect({ host: '127.0.0.1', port, ca: pem.ca, cert: pem.client, key: pem.clientKey });
    let seen = '';
    socket.on('data', (chunk: Buffer) => { seen += chunk.toString('latin1'); });
    socket.on('error', () => {});
    socket.write('POST /containers/probe/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n');
    await eventually(() => seen.endsWith('\x01\0\0\0\0\0\0\x04out\n'), 'output over TLS');
    socket.destroy();
  } finally { await rm(directory, { recursive: true, force: true }); }
});

test('what is no HTTP is told so, an endless head and an endless body are cut off', async () => {
  await using api = await openTestApi();
  const junk = await api.raw();
  junk.send('\x16\x03\x01 hello\r\n\r\n');
  assert.match(await junk.ended(), /^HTTP\/1.1 400 Bad Request/);
  const head = await api.raw();
  head.send(`POST /containers/probe/attach HTTP/1.1\r\nX: ${'x'.repeat(200_000)}`);
  assert.match(await head.ended(), /^HTTP\/1.1 400 Bad Request/);
  const body = await api.ask('POST', '/containers/create', { body: `{"Image":"${'x'.repeat(5 * 1024 * 1024)}"}` });
  assert.deepEqual([body.status, body.body], [400, '{"message":"the request body is larger than 4194304 bytes"}\n']);
});

async function makeCertificates(directory: string) {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  const authority = (name: string) => openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.pem`);
  const signed = async (name: string, by: string) => {
    openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    await writeFile(join(directory, 'ext'), 'subjectAltName=IP:127.0.0.1\n');
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', `${by}.pem`, '-CAkey', `${by}.key`, '-CAcreateserial', '-days', '2', '-extfile', 'ext', '-out', `${name}.pem`);
  };
  authority('ca');
  authority('other');
  await signed('server', 'ca');
  await signed('client', 'ca');
  await signed('stranger', 'other');
  const read = (name: string) => readFile(join(directory, name), 'utf8');
  return {
    ca: await read('ca.pem'), server: await read('server.pem'), serverKey: await read('server.key'), client: await read('client.pem'), clientKey: await read('client.key'),
    stranger: await read('stranger.pem'), strangerKey: await read('stranger.key'),
  };
}
