// The same HTTP requests to this engine and to Debian's dockerd: status, words, warnings and what inspect shows afterwards are compared.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createBody } from '../../src/api/shapes.ts';
import type { CreateBody } from '../../src/wire/types.ts';
import { brokenBodies, withField } from '../integration/create-bodies/broken.ts';
import { CREATE_ROWS } from './requests/create.ts';
import { IMAGE_ROWS, LIST_ROWS, VERB_ROWS } from './requests/asks.ts';
import { differences, jsonOf, neutral, wrongWith, type Json } from './requests/compare.ts';
import { bodyOf, type AskRow, type CreateRow } from './requests/rows.ts';
import { FULL_SERVICE, PLAIN_DEFAULTS, PLAIN_SERVICE } from './requests/supervisor.ts';
import { openWorld, type Reply, type World } from './requests/world.ts';

/** Creations at once on each engine. */
const AT_ONCE = 4;
/** Fields that came after dockerd 20.10, and balenaEngine's own. */
const NEWER = /StartInterval|Annotations|CreateMountpoint|ReadOnlyNonRecursive|ReadOnlyForceRecursive|Subpath|TmpfsOptions\.Options|GwPriority|DNSNames|ContainerIDEnv/;

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

  test('inspect and list of containers that run, are paused, have ended, have never run', async () => {
    for (const name of ['run', 'pau', 'exi', 'cre']) {
      const [ours, theirs] = await world.both({ method: 'GET', path: `/containers/${name}/json?size=1` });
      assert.deepEqual(differences(ownName(jsonOf(ours)), ownName(jsonOf(theirs))), [], `${name} (ours | dockerd's)`);
      // What a run makes anew is there when Docker's is: while it runs, or once it has run. 20.10 goes on naming a sandbox that is no more.
      const sandbox = name === 'exi' ? [] : [/"SandboxID":"\w+"/, /"SandboxKey":"[^"]+"/];
      for (const field of [...sandbox, /"NetworkID":"\w+"/, /"EndpointID":"\w+"/]) assert.equal(field.test(ours.text), field.test(theirs.text), `${name}: ${field}`);
    }
    for (const query of ['?all=1', '?all=1&size=1']) {
      const [ours, theirs] = (await world.both({ method: 'GET', path: `/containers/json${query}` })).map(jsonOf) as [Json[], Json[]];
      assert.deepEqual(ours.flatMap((one, at) => differences(one, theirs[at] ?? null)), [], `list${query} (ours | dockerd's)`);
    }
  });

  test('balena-supervisor finds in inspect what it sent, field by field', async () => {
    for (const [what, body] of Object.entries({ plain: PLAIN_SERVICE, full: FULL_SERVICE })) {
      const [ours, theirs] = await inspectUnversioned(world, body);
      // Fields that are here alone are those of newer versions, which a client that names none gets as well.
      const fields = differences(ours, theirs).filter((line) => !line.endsWith('| "<absent>"'));
      assert.deepEqual(fields, [], `${what} (ours | dockerd's)`);
      if (body === PLAIN_SERVICE) for (const [path, value] of Object.entries(PLAIN_DEFAULTS)) assert.deepEqual(fieldOf(ours, path), value, path);
      else for (const [field, value] of Object.entries(body.HostConfig ?? {})) if (JSON.stringify(value) !== '[]') assert.deepEqual(fieldOf(ours, `HostConfig.${field}`), value, field);
    }
  });

  test('a field of a wrong JSON type is refused by both', async () => {
    const taken: string[] = [];
    for (const { path, value } of brokenBodies(createBody)) {
      const body = { Image: 'IMAGE', Cmd: ['true'], ...withField(path, value) };
      const { status, text } = await world.one(1, { method: 'POST', path: '/containers/create', body });
      if (status === 201) await world.one(1, { method: 'DELETE', path: `/containers/${(JSON.parse(text) as { Id: string }).Id}` });
      // dockerd does not know the fields of later versions, and passes over them.
      if (status < 400 && !NEWER.test(path.join('.'))) taken.push(`${path.join('.')} = ${JSON.stringify(value)}: ${status} ${text}`);
    }
    assert.deepEqual(taken, []);
  });

  test('verbs: unknown names, wrong states, bad parameters and bodies; names, prunes and removals of images', () => compareVerbs(world));
});

async function compareVerbs(world: World): Promise<void> {
  await compareShares(world);
  await compareAsks(world, [...IMAGE_ROWS, ...VERB_ROWS], ([ours, theirs]) => neutral(shapeOf(ours)) === neutral(shapeOf(theirs)));
}

/** What images have in common, which some do, and how many containers each has. */
async function compareShares(world: World): Promise<void> {
  const shared = (await world.both({ method: 'GET', path: '/system/df' })).map((reply) => (jsonOf(reply) as { Images: Array<{ Id: string; SharedSize: number; Containers: number }> }).Images.map(({ Id, SharedSize, Containers }) => `${Id}: ${SharedSize} shared, ${Containers} containers`).toSorted((a, b) => (a < b ? -1 : 1)));
  assert.deepEqual(shared[0], shared[1]);
  assert.ok(shared[0]?.some((line) => /: [1-9]\d* shared/.test(line)), 'two images have the same layer');
}

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

async function inspectUnversioned(world: World, body: CreateBody): Promise<[Json, Json]> {
  const shown = await Promise.all(([0, 1] as const).map(async (engine) => {
    const made = await world.one(engine, { method: 'POST', path: '/containers/create', body, version: '' });
    assert.equal(made.status, 201, made.text);
    const { Id } = jsonOf(made) as { Id: string };
    const inspected = jsonOf(await world.one(engine, { method: 'GET', path: `/containers/${Id}/json`, version: '' }));
    await world.one(engine, { method: 'DELETE', path: `/containers/${Id}?v=1` });
    return ownName(inspected);
  }));
  return shown as [Json, Json];
}

const fieldOf = (shown: Json, path: string): unknown => path.split('.').reduce<unknown>((value, name) => (value as Record<string, unknown>)[name], shown);

async function makeFour(world: World): Promise<void> {
  const make = async (name: string, cmd: readonly string[], more: { config?: object; host?: object; verbs?: readonly string[] } = {}) => {
    const body = { Image: 'IMAGE', Cmd: cmd, ...more.config, HostConfig: { NetworkMode: 'none', RestartPolicy: { Name: 'no' }, ...more.host } };
    for (const reply of await world.both({ method: 'POST', path: `/containers/create?name=${name}`, body })) assert.equal(reply.status, 201, reply.text);
    for (const verb of more.verbs ?? []) for (const reply of await world.both({ method: 'POST', path: `/containers/${name}/${verb}` })) assert.ok(reply.status < 300, reply.text);
  };
  await make('run', ['sleep', '1000'], { config: { Labels: { a: 'b', c: '' }, ExposedPorts: { '80/tcp': {} } }, verbs: ['start'] });
  await make('cre', ['true'], { config: { Labels: { a: 'x' } } });
  await make('exi', ['sh', '-c', 'exit 3'], { verbs: ['start', 'wait'] });
  await make('pau', ['sleep', '1000'], { host: { NetworkMode: 'host' }, verbs: ['start', 'pause'] });
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
