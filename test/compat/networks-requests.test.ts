// The same HTTP requests about networks to this engine and to Debian's dockerd, each with a machine of its own: status, words and what inspect shows.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startDaemon } from '../kit/daemon.ts';
import { startDockerd } from '../kit/dockerd.ts';
import { ask } from '../kit/http.ts';
import { openNetns } from '../kit/netns.ts';
import { openTempRoot } from '../kit/temp.ts';
import { differences, jsonOf, neutral, wrongWith, type Json } from './requests/compare.ts';
import { NETWORK_ASKS, NETWORK_ROWS } from './requests/networks.ts';
import { COMMON_VERSION, type Reply, type Request } from './requests/world.ts';

const parts = new AsyncDisposableStack();
let sockets: readonly [ours: string, theirs: string];

before(async () => {
  const root = parts.use(openTempRoot());
  const [ours, theirs] = [parts.use(openNetns()), parts.use(openNetns())];
  const engines = await Promise.all([startDaemon({ root: join(root.path, 'ours'), netns: ours }), startDockerd({ root: join(root.path, 'theirs'), netns: theirs })]);
  for (const engine of engines) parts.use(engine);
  // What dockerd has refused late, or was never told to remove, leaves its device.
  parts.defer(async () => { for (const device of theirs.devices().filter((name) => name !== 'docker0')) await theirs.run(['ip', 'link', 'del', device]); });
  sockets = [engines[0].socket, engines[1].socket];
});
after(() => parts.disposeAsync());

const one = async (socket: string, { method, path, body, headers }: Request): Promise<Reply> => {
  const json = body !== undefined && typeof body !== 'string';
  return await ask(socket, { method, path: `/v${COMMON_VERSION}${path}`, body: json ? JSON.stringify(body) : body, headers: headers ?? (json ? { 'Content-Type': 'application/json' } : {}), timeoutMs: 60_000 });
};
const both = (request: Request): Promise<[Reply, Reply]> => Promise.all([one(sockets[0], request), one(sockets[1], request)]);
const made = async (body: object) => { for (const reply of await both({ method: 'POST', path: '/networks/create', body })) assert.equal(reply.status, 201, reply.text); };

/** Subnets that nobody asked for, and devices called by an ID, are each engine's own. */
const plain = (text: string): string => neutral(text).replace(/\b(172\.(1[89]|2\d|3[01])|192\.168)\.\d+\.(\d+)(\/\d+)?/g, 'SUBNET.$3').replace(/"Created":"[^"]*"/g, '"Created":""');
const same = ([ours, theirs]: readonly [Reply, Reply]) => isAlike(ours, theirs);
const isAlike = (ours: Reply, theirs: Reply): boolean => sorted(ours) === sorted(theirs);
/** dockerd's lists are in the order of a map; its default network tells its gateway from the second start on. */
function sorted(reply: Reply): string {
  const json = jsonOf({ ...reply, text: plain(reply.text).replace('{"Subnet":"172.17.0.0/16","Gateway":"172.17.0.1"}', '{"Subnet":"172.17.0.0/16"}') });
  return JSON.stringify(Array.isArray(json) ? json.map((each) => JSON.stringify(each)).toSorted() : json);
}

test('create: what is taken, refused, warned of and shown', async () => {
  await made({ Name: 'template', ConfigOnly: true, Labels: { t: '1' }, IPAM: { Config: [{ Subnet: '10.128.0.0/24' }] } });
  await made({ Name: 'own', IPAM: { Config: [{ Subnet: '10.129.0.0/24' }] }, Options: { 'com.docker.network.bridge.name': 'ownbr' } });
  const wrong: string[] = [];
  for (const { body, differs } of NETWORK_ROWS) {
    const replies = await both({ method: 'POST', path: '/networks/create', body });
    // With another status the words may differ too, where no client could know them.
    const problem = wrongWith(replies, { differs, same: same(replies) });
    if (problem !== undefined) wrong.push(`${JSON.stringify(body)}\n  ${problem}`);
    const shown = await Promise.all(replies.map(async ({ status, text }, engine) => {
      if (status !== 201) return undefined;
      const path = `/networks/${(JSON.parse(text) as { Id: string }).Id}`;
      const inspected = await one(sockets[engine] ?? '', { method: 'GET', path });
      assert.equal((await one(sockets[engine] ?? '', { method: 'DELETE', path })).status, 204);
      return jsonOf({ ...inspected, text: plain(inspected.text) });
    })) as [Json | undefined, Json | undefined];
    const fields = shown[0] === undefined || shown[1] === undefined ? [] : differences(shown[0], shown[1]);
    if (fields.length > 0) wrong.push(`${JSON.stringify(body)}\n  inspect (ours | dockerd's): ${fields.join('\n    ')}`);
  }
  assert.equal(wrong.length, 0, `${wrong.length} of ${NETWORK_ROWS.length} rows:\n${wrong.join('\n')}`);
});

test('list, inspect, remove, connect, prune: every filter, name and bad body', async () => {
  await made({ Name: 'twin', Labels: { a: 'b', c: '' } });
  await made({ Name: 'twin', Labels: { a: 'b' } });
  const wrong: string[] = [];
  for (const { ask: words, body, headers, differs } of NETWORK_ASKS) {
    const [method = '', path = ''] = words.split(' ', 2);
    const replies = await both({ method, path, body, headers });
    const problem = wrongWith(replies, { differs, same: same(replies) });
    if (problem !== undefined) wrong.push(`${decodeURIComponent(words)} ${JSON.stringify(body) ?? ''}\n  ${problem}`);
  }
  assert.equal(wrong.length, 0, `${wrong.length} of ${NETWORK_ASKS.length} rows:\n${wrong.join('\n')}`);
  for (const path of ['/networks/own', '/networks/template']) await both({ method: 'DELETE', path });
});
