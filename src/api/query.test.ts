// What clients write is read in every spelling, or refused as theirs: never a 500.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rng } from '../../test/kit/random.ts';
import { kindOf } from '../lib/errors.ts';
import { parseTime } from '../wire/time.ts';
import { parseFilters, Query } from './query.ts';
import type { Shape } from './shape.ts';
import { createBody, execCreateBody } from './shapes.ts';
import { openTestApi } from './test-kit.ts';

const NOW = 1_800_000_000_000_000_000n;
const query = (text: string) => new Query(text, () => NOW);
const NANOS = 1_000_000_000n;

test('flags: empty, 0, no, false and none are false, the rest is true', () => {
  for (const word of ['', '0', 'no', 'false', 'none', 'False', ' NO ']) assert.equal(query(`f=${encodeURIComponent(word)}`).flag('f'), false, word);
  for (const word of ['1', 'true', 'True', 'yes', '2', 'x']) assert.equal(query(`f=${word}`).flag('f'), true, word);
  assert.deepEqual([query('').flag('f'), query('').flag('f', true), query('f').flag('f', true)], [false, true, false]);
});

test('times: seconds, fractions, RFC 3339 and its short forms, durations', () => {
  const table: Array<[string, bigint | undefined]> = [
    ['0', 0n], ['1795203142', 1795203142n * NANOS], ['1.5', 1_500_000_000n], ['1.000000001', 1_000_000_001n], ['-1', -NANOS],
    ['2026-11-20T19:33:11.672329143Z', 1795203191672329143n], ['2026-11-20T20:33:11+01:00', 1795203191n * NANOS], ['2026-11-20T19:33:11', 1795203191n * NANOS],
    ['2026-11-20T19:33', 1795203180n * NANOS], ['2026-11-20T19', 1795201200n * NANOS], ['2026-11-20', 1795132800n * NANOS], ['2026-11-20Z', 1795132800n * NANOS],
    ['10m', NOW - 600n * NANOS], ['1h30m', NOW - 5400n * NANOS], ['-1.5s', NOW + 1_500_000_000n], ['2ms', NOW - 2_000_000n],
    ['yesterday', undefined], ['2026-13-45', undefined], ['1e9', undefined], ['10', 10n * NANOS], ['', undefined], ['m', undefined],
  ];
  for (const [text, nanos] of table) assert.equal(parseTime(text, () => NOW), nanos, text);
});

test('filters: both styles of JSON, and nothing else', () => {
  const plain = (text: string) => Object.fromEntries(parseFilters(text));
  assert.deepEqual(plain('{"label":["a=b","c"],"status":["running"]}'), { label: ['a=b', 'c'], status: ['running'] });
  assert.deepEqual(plain('{"label":{"a=b":true,"c":false}}'), { label: ['a=b', 'c'] }); // as Docker reads it
  assert.deepEqual([plain(''), plain('{}'), plain('null'), plain('{"a":null}')], [{}, {}, {}, { a: [] }]);
  for (const bad of ['bad', '[]', '"x"', '1', '{"a":"b"}', '{"a":[1]}', '{"a":{"b":1}}', '{"a":1}', '{"a"'])
    assert.throws(() => parseFilters(bad), (error) => kindOf(error) === 'invalid' && (error as Error).message === 'invalid filter', bad);
  assert.throws(() => parseFilters(JSON.stringify({ a: Array.from({ length: 2000 }, String) })), /more than 1000/);
});

test('bodies: names in any case, null for not said, defaults in lists, strange keys kept harmless', () => {
  const read = (value: unknown, shape: Shape = createBody) => shape(value, '');
  assert.deepEqual(read({ image: 'a', CMD: 'sh', Env: null, Tty: true, unknown: {}, Labels: JSON.parse('{"__proto__":"x"}') as object, ExposedPorts: { '80/tcp': null } }),
    { Image: 'a', Cmd: ['sh'], Tty: true, Labels: JSON.parse('{"__proto__":"x"}') as object, ExposedPorts: { '80/tcp': {} } });
  assert.deepEqual(read({ HostConfig: { PortBindings: { '80/tcp': [{ HostPort: '1' }], '81/tcp': null }, RestartPolicy: { Name: 'always' }, Dns: null, MemorySwap: -1 } }),
    { HostConfig: { PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '1' }], '81/tcp': null }, RestartPolicy: { Name: 'always', MaximumRetryCount: 0 }, MemorySwap: -1 } });
  assert.deepEqual(read({ NetworkingConfig: { EndpointsConfig: { n: null, m: { Aliases: ['x'] } } } }), { NetworkingConfig: { EndpointsConfig: { n: null, m: { Aliases: ['x'] } } } });
  assert.deepEqual(read({ Cmd: [], ConsoleSize: [1, 2] }, execCreateBody), { Cmd: [], ConsoleSize: [1, 2] });
  for (const bad of [{ Image: 1 }, { Env: ['a', 2] }, { Env: {} }, { Labels: [] }, { Labels: { a: 1 } }, { HostConfig: [] }, { HostConfig: { Memory: 1.5 } }, { StopTimeout: '1' },
    { HostConfig: { Mounts: [null] } }, { HostConfig: { ConsoleSize: [-1, 2] } }, [], 'x', 3])
    assert.throws(() => read(bad), (error) => kindOf(error) === 'invalid', JSON.stringify(bad));
});

test('whatever a client sends, it is never our fault', async () => {
  await using api = await openTestApi();
  const seed = Number(process.env['FUZZ_SEED'] ?? 1);
  const random = rng(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const value = (depth = 0): unknown => {
    const kind = Math.floor(random() * (depth > 3 ? 6 : 8));
    if (kind < 6) return [null, true, 'x', -1, 1.5, '']  [kind];
    return kind === 6 ? [value(depth + 1), value(depth + 1)] : Object.fromEntries([pick(FIELDS), pick(FIELDS)].map((name) => [name, value(depth + 1)]));
  };
  for (let run = 0; run < 400; run++) {
    const text = () => pick(['1', 'x', '', '%', '%00', '-5', '{"a":["b"]}', '{"a":', '[[[', '9'.repeat(30), '../..', 'ä', '__proto__']);
    const parameters = [pick(PARAMETERS), pick(PARAMETERS)].map((name) => `${name}=${random() < 0.5 ? encodeURIComponent(text()) : text().replace(/[^\x21-\x7e]/g, '')}`).join('&');
    const [method = '', path = ''] = pick(REQUESTS).split(' ');
    const body = method === 'POST' ? { body: random() < 0.2 ? pick(['{', '[]', 'null', '\0', '"']) : JSON.stringify(value()) } : {};
    const reply = await api.ask(method, `${path}?${parameters}`, body);
    assert.ok(reply.status < 500 || reply.status === 501, `FUZZ_SEED=${seed} run ${run}: ${method} ${path}?${parameters} ${JSON.stringify(body)} gave ${reply.status} ${reply.body}`);
  }
});

const FIELDS = ['Image', 'Cmd', 'Env', 'HostConfig', 'Labels', 'NetworkingConfig', 'EndpointsConfig', 'PortBindings', 'Mounts', 'Healthcheck', 'Detach', 'ConsoleSize', '__proto__', 'toString', 'username'];
const PARAMETERS = ['filters', 'all', 'limit', 'since', 'until', 'tail', 'stdout', 't', 'signal', 'h', 'w', 'platform', 'name', 'fromImage', 'tag', 'condition', 'type', 'constructor'];
const REQUESTS = ['POST /containers/create', 'POST /containers/probe/exec', 'POST /exec/x/start', 'GET /containers/json', 'GET /images/json', 'GET /events', 'POST /auth', 'GET /networks',
  'POST /networks/create', 'GET /containers/probe/logs', 'POST /containers/probe/stop', 'POST /containers/probe/resize', 'POST /images/create', 'POST /containers/probe/wait', 'GET /system/df', 'GET /images/%2e%2e/json'];
