import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notFound, unavailable } from '../../lib/errors.ts';
import { silentLog } from '../../lib/log.ts';
import { digestOf, type Digest } from '../../oci/digest.ts';
import { MEDIA, type Descriptor } from '../../oci/manifest.ts';
import { parseReference } from '../../oci/reference.ts';
import type { Registry } from '../../registry/index.ts';
import { imageOf } from '../../../test/kit/store.ts';
import { searchWhole } from './pull-balena.ts';

const target = imageOf('a', 'b');
const blob = (digest: Digest): Descriptor => ({ mediaType: MEDIA.dockerConfig, digest, size: 1 });
const layers = ['a', 'b'].map((name) => blob(digestOf(name)));

/** A repository whose tags are these images; what it was asked for is noted. */
async function search(tags: Readonly<Record<string, Digest | Error>>, options: { named?: string; list?: Registry['tags'] } = {}) {
  const asked: string[] = [];
  const registry: Pick<Registry, 'resolve' | 'tags'> = {
    resolve({ tag = '' }) {
      asked.push(tag);
      const found = tags[tag];
      if (found === undefined || found instanceof Error) return Promise.reject(found ?? notFound('manifest unknown'));
      const manifest = blob(digestOf(`manifest ${tag}`));
      return Promise.resolve({ top: manifest, manifest, config: blob(found), layers: found === digestOf('fewer layers') ? [] : layers, annotations: {} });
    },
    tags: options.list ?? (() => Promise.resolve(Object.keys(tags))),
  };
  const platform = { os: 'linux', architecture: 'amd64' };
  const reference = parseReference(options.named ?? 'r.example.com/app:delta');
  const pulling = { platform: undefined, auth: undefined, all: false, signal: new AbortController().signal, onLine() {} };
  const found = await searchWhole({ log: silentLog, platform, registry }, { reference, options: pulling, target });
  return { asked, name: found?.name, layers: found?.layers };
}

const whole = target.id as string as Digest, other = digestOf('other');

test('the whole target is looked for under latest, then under the other tags, each once', async () => {
  assert.deepEqual(await search({ a: other, latest: whole, z: whole }), { asked: ['latest'], name: 'r.example.com/app:latest', layers });
  assert.deepEqual(await search({ a: other, delta: other, latest: other, v5: whole }), { asked: ['latest', 'a', 'v5'], name: 'r.example.com/app:v5', layers });
  assert.deepEqual(await search({ [`sha256-${'a'.repeat(64)}`]: whole, b: whole }), { asked: ['latest', 'b'], name: 'r.example.com/app:b', layers });
  assert.deepEqual(await search({ a: unavailable('503'), b: whole }), { asked: ['latest', 'a', 'b'], name: 'r.example.com/app:b', layers });
  assert.equal((await search({ latest: other, v5: whole }, { named: 'r.example.com/app:latest' })).name, 'r.example.com/app:v5');
});

test('a repository that has it not, or does not say, has it not; a thousand tags are not read', async () => {
  assert.deepEqual(await search({ a: other }), { asked: ['latest', 'a'], name: undefined, layers: undefined });
  assert.deepEqual(await search({ a: whole }, { list: () => Promise.reject(unavailable('503')) }), { asked: ['latest'], name: undefined, layers: undefined });
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`t${n}`, n === 999 ? whole : other]));
  const { asked, name } = await search(many);
  assert.deepEqual([asked.length, name], [32, undefined]);
});
