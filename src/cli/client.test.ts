import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { openCannedDaemon } from '../../test/kit/canned-daemon.ts';
import { filtersParameter, jsonLines, openClient, textLines } from './client.ts';
import { waitFor } from './commands/wait-exit.ts';

test('refusals carry the words of the daemon', async () => {
  await using daemon = await openCannedDaemon({ 'GET /info': { status: 500, json: { message: 'boom' } }, 'GET /version': { status: 502, bytes: 'bad gateway' } });
  const client = openClient({ host: daemon.host });
  await assert.rejects(client.json('GET', '/info'), { message: 'Error response from daemon: boom' });
  await assert.rejects(client.json('GET', '/version'), { message: 'Error response from daemon: bad gateway' });
  await assert.rejects(client.json('GET', '/containers/x/json', { missing: { object: 'container', name: 'x' } }), { message: 'Error: No such container: x' });
});

test('a daemon that is not there is said to be not there', async () => {
  for (const host of ['unix:///nonexistent/x.sock', 'tcp://127.0.0.1:1']) {
    await assert.rejects(openClient({ host }).json('GET', '/info'), { message: `Cannot connect to the Vaquita daemon at ${host}. Is the vaquita daemon running?` });
  }
  assert.throws(() => openClient({ host: 'ftp://x' }), /unable to parse docker host/);
});

test('an answer that breaks off is no end, and says where to look', async () => {
  await using held = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'broken-'));
  held.defer(() => rmSync(directory, { recursive: true }));
  const server = createServer((_request, response) => { response.writeHead(200).write('half'); setImmediate(() => response.destroy()); });
  await new Promise<void>((resolve) => { server.listen(join(directory, 'sock'), resolve); });
  held.defer(() => new Promise<void>((resolve) => { server.close(() => resolve()); }));
  const client = openClient({ host: `unix://${join(directory, 'sock')}` });
  await assert.rejects(Array.fromAsync(await client.stream('GET', '/images/get')), { name: 'Failure', message: 'unexpected EOF: the daemon broke off its answer; its log says why' });
  await assert.rejects((await waitFor(client, 'x', 'removed')).code, { code: 125, message: /^error waiting for container: unexpected EOF/ });
});

test('queries and bodies go out as the API wants them', async () => {
  await using daemon = await openCannedDaemon({ 'POST /x': { json: 1 } });
  assert.equal(await openClient({ host: daemon.host }).json('POST', '/x', { query: { a: true, b: undefined, c: ['1', '2'], d: 0 }, body: { k: 'é' } }), 1);
  assert.deepEqual([daemon.asked[0]?.query.toString(), daemon.asked[0]?.body, daemon.asked[0]?.headers['content-type']], ['a=1&c=1&c=2&d=0', '{"k":"é"}', 'application/json']);
});

test('lines are read whole, however they are cut', async () => {
  async function* cut() { for (const byte of Buffer.from('{"a":"é"}\r\n\n{"b":2}')) yield Uint8Array.of(byte); }
  assert.deepEqual(await Array.fromAsync(jsonLines(cut())), [{ a: 'é' }, { b: 2 }]);
  assert.deepEqual(await Array.fromAsync(textLines(cut())), ['{"a":"é"}', '{"b":2}']);
});

test('filters are sorted, with one entry per value', () => {
  assert.equal(filtersParameter(new Map([['name', ['a']], ['label', ['x', 'y']]])), '{"label":{"x":true,"y":true},"name":{"a":true}}');
  assert.equal(filtersParameter(new Map()), undefined);
});
