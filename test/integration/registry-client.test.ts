// The registry client against a real registry: Debian's docker-registry, filled over its own API.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { buildImage, buildIndex } from '../kit/image.ts';
import { pushImage, pushIndex, startRegistry } from '../kit/registry.ts';
import { AMD64, collect, openTestClient } from '../kit/registry-client.ts';
import { openTempRoot } from '../kit/temp.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { parseReference } from '../../src/oci/reference.ts';

test('a real registry is resolved, read and refused', async () => {
  await using root = openTempRoot();
  await using server = await startRegistry({ root: join(root.path, 'registry') });
  const image = buildImage({ layers: [randomBytes(300_000)], compression: 'none', format: 'oci', platform: { os: 'linux', architecture: 'amd64' } });
  const arm = buildImage({ layers: [randomBytes(10)], platform: { os: 'linux', architecture: 'arm', variant: 'v7' } });
  const index = buildIndex([arm, image], 'oci');
  const ref = parseReference(await pushIndex(server.host, { index, images: [arm, image] }, { repository: 'some/image', tag: 'multi' }));
  const plain = parseReference(await pushImage(server.host, image, { repository: 'some/image', tag: 'plain' }));

  await using client = openTestClient();
  const call = { auth: undefined, platform: AMD64 };
  const resolved = await client.registry.resolve(ref, call);
  assert.deepEqual([resolved.top.digest, resolved.manifest.digest], [index.digest, image.manifest.digest]);
  assert.equal((await client.registry.resolve(plain, call)).top.digest, image.manifest.digest);
  assert.deepEqual(await client.registry.config(ref, resolved.config, call), Buffer.from(image.config.bytes));
  const [want] = resolved.layers;
  assert.ok(want);
  assert.deepEqual(await collect(client.registry.blob(ref, want, call)), Buffer.from(image.layers[0]?.bytes ?? []));
  assert.deepEqual((await client.registry.inspect(ref, call)).platforms, [arm.platform, image.platform]);
  assert.equal(await client.registry.login({ username: 'a', password: 'b', serveraddress: server.host }, {}), '');
  await assert.rejects(client.registry.resolve({ ...ref, tag: 'none' }, call),
    { kind: 'not-found', message: `manifest for ${server.host}/some/image:none not found: manifest unknown: manifest unknown` });
  const gone = digestOf('gone');
  await assert.rejects(collect(client.registry.blob(ref, { ...want, digest: gone }, call)), { kind: 'not-found', message: new RegExp(`^blob ${gone} not found in `) });
});
