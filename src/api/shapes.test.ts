// Every body that a client may send, each of its fields of a wrong type alone: refused by name before the engine hears of it.
// The body of a create is broken in test/integration/create-fuzz, where it could leave something behind.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brokenBodies, withField } from '../../test/integration/create-bodies/broken.ts';
import { CONTAINER_ID, EXEC_ID } from './fake-engine.ts';
import type { Shape } from './shape.ts';
import { execCreateBody, execStartBody, networkConnectBody, networkCreateBody, networkDisconnectBody, registryAuth, updateBody } from './shapes.ts';
import { openTestApi } from './test-kit.ts';

const BODIES: ReadonlyArray<[path: string, shape: Shape, least: number]> = [
  [`/containers/${CONTAINER_ID}/update`, updateBody, 400], [`/containers/${CONTAINER_ID}/exec`, execCreateBody, 40], [`/exec/${EXEC_ID}/start`, execStartBody, 10],
  ['/auth', registryAuth, 20], ['/networks/create', networkCreateBody, 60], ['/networks/pn/connect', networkConnectBody, 60], ['/networks/pn/disconnect', networkDisconnectBody, 5],
];

for (const [path, shape, least] of BODIES) {
  test(`POST ${path.replace(/[0-9a-f]{64}/, 'ID')}: each field of a wrong type is refused by name`, async () => {
    await using api = await openTestApi();
    const asked = api.calls.length;
    const broken = brokenBodies(shape);
    assert.ok(broken.length >= least, `only ${broken.length} bodies`);
    for (const { path: field, value } of broken) {
      const body = withField(field, value);
      const { status, body: said } = await api.ask('POST', path, { body });
      assert.ok(status === 400 && said.includes(field.at(-1)?.replaceAll('[0]', '') ?? '-'), `${JSON.stringify(body)}: ${status} ${said}`);
    }
    assert.equal(api.calls.length, asked, 'the engine was asked all the same');
  });
}
