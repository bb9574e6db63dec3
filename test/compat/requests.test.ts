// The same HTTP requests to this engine and to Debian's dockerd: status, words, warnings and what inspect shows afterwards are compared.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CREATE_ROWS } from './requests/create.ts';
import { LIST_ROWS, VERB_ROWS } from './requests/asks.ts';
import { differences, jsonOf, neutral, wrongWith, type Json } from './requests/compare.ts';
import { bodyOf, type AskRow, type CreateRow } from './requests/rows.ts';
import { openWorld, type Reply, type World } from './requests/world.ts';

/** Creations at once on each engine. */
const AT_ONCE = 4;

describe('requests are answered here as dockerd answers them', { concurrency: false }, () => {
  let world: World;
  before(async () => { world = await openWorld(); });
  after(async () => { await world[Symbol.asyncDispose](); });

  test('create: what is taken, refused, warned of and shown', async () => {
    const wrong: string[] = [];
    const rows = [...CREATE_ROWS.entries()];
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let next = rows.shift(); next; next = rows.shift()) wrong.push(...await createBoth(world, next[1], next[0]));
    }));
    assert.equal(wrong.length, 0, `${wrong.length} of ${CREATE_ROWS.length} rows:\n${wrong.join('\n')}`);
  });

  test('list: every filter, limit and bad query', async () => {
    await makeFour(world);
    await compareAsks(world, LIST_ROWS, (replies) => namesOf(replies[0]) === namesOf(replies[1]));
  });

  test('verbs: unknown names, wrong states, bad parameters and bodies', async () => {
    await compareAsks(world, VERB_ROWS, ([ours, theirs]) => neutral(shapeOf(ours)) === neutral(shapeOf(theirs)));
  });
});

async function createBoth(world: World, row: CreateRow, at: number): Promise<string[]> {
  const { differs, version } = row;
  const query = [`name=${encodeURIComponent(row.name ?? `row-${at}`)}`, ...(row.query === undefined ? [] : [row.query])].join('&');
  const replies = await world.both({ method: 'POST', path: `/containers/create?${query}`, body: bodyOf(row), version });
  const ids = replies.map((reply) => (reply.status === 201 ? (jsonOf(reply) as { Id: string }).Id : undefined));
  const [ours, theirs] = await Promise.all([0, 1].map(async (engine) => {
    const id = ids[engine];
    if (id === undefined) return undefined;
    const shown = jsonOf(await world.one(engine as 0 | 1, { method: 'GET', path: `/containers/${id}/json`, version }));
    await world.one(engine as 0 | 1, { method: 'DELETE', path: `/containers/${id}?v=1` });
    return shown;
  }));
  const label = JSON.stringify(row).slice(0, 300);
  const problems: string[] = [];
  const wrong = wrongWith(replies, { differs, same: neutral(replies[0].text) === neutral(replies[1].text) });
  if (wrong !== undefined) problems.push(`${label}\n  ${wrong}`);
  if (ours === undefined || theirs === undefined) return problems;
  const fields = differences(ownName(ours), ownName(theirs));
  const wanted = differs?.how === 'inspect' ? differs.fields ?? [] : [];
  const unexpected = fields.filter((line) => !wanted.includes(line.split(':', 1)[0] ?? ''));
  const missing = wanted.filter((path) => !fields.some((line) => line.startsWith(`${path}:`)));
  if (unexpected.length > 0) problems.push(`${label}\n  inspect (ours | theirs): ${unexpected.join('\n    ')}`);
  if (missing.length > 0) problems.push(`${label}\n  no longer differs: ${missing.join(', ')}`);
  return problems;
}

/** A host name made of the ID is the engine's own. */
function ownName(shown: Json): Json {
  const container = shown as { Id: string; Config: { Hostname: string } };
  return { ...container, Config: { ...container.Config, Hostname: container.Id.startsWith(container.Config.Hostname || '-') ? '<own>' : container.Config.Hostname } };
}

async function makeFour(world: World): Promise<void> {
  const make = async (name: string, cmd: readonly string[], more: { config?: object; host?: object; then?: readonly string[] } = {}) => {
    const body = { Image: 'IMAGE', Cmd: cmd, ...more.config, HostConfig: { NetworkMode: 'none', ...more.host } };
    for (const reply of await world.both({ method: 'POST', path: `/containers/create?name=${name}`, body })) assert.equal(reply.status, 201, reply.text);
    for (const verb of more.then ?? []) for (const reply of await world.both({ method: 'POST', path: `/containers/${name}/${verb}` })) assert.ok(reply.status < 300, reply.text);
  };
  await make('run', ['sleep', '1000'], { config: { Labels: { a: 'b', c: '' }, ExposedPorts: { '80/tcp': {} } }, then: ['start'] });
  await make('cre', ['true'], { config: { Labels: { a: 'x' } } });
  await make('exi', ['sh', '-c', 'exit 3'], { then: ['start', 'wait'] });
  await make('pau', ['sleep', '1000'], { host: { NetworkMode: 'host' }, then: ['start', 'pause'] });
}

async function compareAsks(world: World, rows: readonly AskRow[], same: (replies: [Reply, Reply]) => boolean): Promise<void> {
  const wrong: string[] = [];
  for (const { ask, body, headers, differs } of rows) {
    const [method = '', path = ''] = ask.split(/ (.*)/s, 2);
    const replies = await world.both({ method, path, body, headers });
    const problem = wrongWith(replies, { differs, same: same(replies) });
    if (problem !== undefined) wrong.push(`${decodeURIComponent(ask)} ${body === undefined ? '' : JSON.stringify(body)}\n  ${problem}`);
  }
  assert.equal(wrong.length, 0, `${wrong.length} of ${rows.length} rows:\n${wrong.join('\n')}`);
}

const namesOf = (reply: Reply): string => {
  const list = jsonOf(reply);
  return Array.isArray(list) ? JSON.stringify(list.map((one) => (one as { Names: string[] }).Names)) : reply.text;
};

/** What was freed depends on the engine; how many were removed does not. */
const shapeOf = (reply: Reply): string => reply.text.replace(/"SpaceReclaimed":\d+/, '"SpaceReclaimed":0');
