// Every field of a create body broken alone: 400, the field named, nothing left behind. And whatever is valid is taken and shown again as it was.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createBody } from '../../src/api/shapes.ts';
import { openBench, type Bench } from '../kit/engine.ts';
import { rng } from '../kit/random.ts';
import { brokenBodies, withField } from './create-bodies/broken.ts';
import { MALFORMED } from './create-bodies/malformed.ts';
import { randomBody, shownOf, unlisted } from './create-bodies/valid.ts';

const RANDOM_BODIES = 60;
/** Left for the next daemon. */
const RESTARTED_BODIES = 20;
/** Requests at once. */
const AT_ONCE = 4;

describe('create bodies', () => {
  let bench: Bench;
  let clean: string[];
  before(async () => { bench = await openBench(); clean = everythingOf(bench); });
  after(async () => { await bench[Symbol.asyncDispose](); });

  test('each field of a wrong JSON type is refused by name and leaves nothing', async () => {
    const broken = brokenBodies(createBody);
    assert.ok(broken.length > 600, `only ${broken.length} bodies were made of the shape`);
    await refusesAll(bench, broken.map(({ path, value }) => ({ path, body: complete(bench, withField(path, value)), names: new RegExp(path.at(-1)?.replaceAll('[0]', '') ?? '-') })));
    assert.deepEqual(everythingOf(bench), clean);
  });

  test('each field with a malformed value is refused by name and leaves nothing', async () => {
    await refusesAll(bench, MALFORMED.map(({ path, value, names, status }) => ({ path: path.split('.'), body: complete(bench, withField(path.split('.'), value)), names, ...(status === undefined ? {} : { status }) })));
    assert.deepEqual(everythingOf(bench), clean);
  });

  test('every field of the shape has valid values here', () => assert.deepEqual(unlisted(createBody), []));

  test('random valid bodies are taken, and inspect shows what was sent', async () => {
    const first = Number(process.env['FUZZ_SEED'] ?? 1);
    const seeds = Array.from({ length: RANDOM_BODIES }, (_none, i) => first + i);
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let seed = seeds.shift(); seed !== undefined; seed = seeds.shift()) {
        try { await roundTrip(bench, seed); }
        catch (cause) { throw new Error(`FUZZ_SEED=${seed}`, { cause }); }
      }
    }));
    assert.deepEqual(everythingOf(bench), clean);
  });

  test('the next daemon shows the same', async () => {
    const first = Number(process.env['FUZZ_SEED'] ?? 1);
    const ids = await Promise.all(Array.from({ length: RESTARTED_BODIES }, async (_none, i) => {
      const body = i === 0 ? { HostConfig: {} } : randomBody(rng(first + 1000 + i));
      return (await bench.api('POST', '/containers/create', { body: complete(bench, body), status: 201 })).json<{ Id: string }>().Id;
    }));
    const shown = async () => await Promise.all(ids.map(async (id) => (await bench.api('GET', `/containers/${id}/json`, { status: 200 })).json()));
    const before = await shown();
    await bench.restart('kill');
    assert.deepEqual(await shown(), before, `FUZZ_SEED=${first}`);
    for (const id of ids) await bench.api('DELETE', `/containers/${id}?v=1`, { status: 204 });
    assert.deepEqual(everythingOf(bench), clean);
  });
});

async function refusesAll(bench: Bench, list: ReadonlyArray<{ path: readonly string[]; body: object; names: RegExp; status?: number }>): Promise<void> {
  const wrong: string[] = [];
  const left = [...list];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let next = left.shift(); next; next = left.shift()) {
      // One name for all: a refusal that kept it would make the next one a conflict.
      const { status, text } = await bench.api('POST', '/containers/create?name=broken', { body: next.body });
      if (status !== (next.status ?? 400) || !next.names.test(text)) wrong.push(`${JSON.stringify(next.body)}: ${status} ${text.trim()} (should name ${next.names})`);
      if (status === 201) await bench.api('DELETE', '/containers/broken?v=1');
    }
  }));
  assert.equal(wrong.length, 0, `${wrong.length} of ${list.length}:\n${wrong.join('\n')}`);
}

async function roundTrip(bench: Bench, seed: number): Promise<void> {
  const body = randomBody(rng(seed));
  const answer = await bench.api('POST', '/containers/create', { body: complete(bench, body), status: 201 });
  const { Id } = answer.json<{ Id: string }>();
  const shown = (await bench.api('GET', `/containers/${Id}/json`, { status: 200 })).json<Record<string, never>>();
  await bench.api('DELETE', `/containers/${Id}?v=1`, { status: 204 });
  for (const { path, sent, got } of shownOf(body, shown)) assert.deepEqual(got, sent, `${path} of ${JSON.stringify(body)}`);
}

/** With an image, a command and no network, unless the body says otherwise. */
function complete({ image }: Bench, body: Readonly<Record<string, unknown>>): object {
  const { HostConfig: host } = body;
  const isRecord = typeof host === 'object' && !Array.isArray(host);
  return { Image: image, Cmd: ['true'], ...body, HostConfig: isRecord ? { NetworkMode: 'none', ...host } : host ?? {} };
}

/** Names of everything that a create may leave in the data root. */
function everythingOf({ daemon }: Bench): string[] {
  return ['containers', 'overlay2', 'overlay2/l', 'image/overlay2/layerdb/mounts', 'volumes'].flatMap((folder) => {
    try { return readdirSync(join(daemon.dataRoot, folder)).map((name) => `${folder}/${name}`); } catch { return []; }
  }).toSorted();
}
