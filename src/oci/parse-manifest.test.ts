// Manifests, indexes and configs: what real tools write is read, everything else is invalid with a reason.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { compressionOf, parseImageConfig, parseIndex, parseManifest, parseManifestOrIndex } from './parse-manifest.ts';
import { MEDIA } from './manifest.ts';
import { digestOf } from './digest.ts';
import { kindOf } from '../lib/errors.ts';

const D = digestOf('x');
const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const layer = { mediaType: MEDIA.ociLayerGzip, digest: D, size: 3 };
const MANIFEST = { schemaVersion: 2, mediaType: MEDIA.ociManifest, config: { mediaType: MEDIA.ociConfig, digest: D, size: 2 }, layers: [layer] };
const INDEX = {
  schemaVersion: 2, mediaType: MEDIA.ociIndex,
  manifests: [{ mediaType: MEDIA.ociManifest, digest: D, size: 9, platform: { os: 'linux', architecture: 'arm', variant: 'v7', 'os.version': '1' }, annotations: { a: 'b' } }],
};
const CONFIG = {
  architecture: 'amd64', os: 'linux', created: '2024-01-01T00:00:00Z', docker_version: '20.10',
  config: { Env: ['A=b'], Cmd: ['sh'], Labels: { __proto__: null, x: 'y' }, ExposedPorts: { '80/tcp': {} }, Healthcheck: { Test: ['NONE'], Interval: 5 }, Extra: 1 },
  rootfs: { type: 'layers', diff_ids: [D] }, history: [{ created_by: 'COPY', empty_layer: true }],
};

test('a manifest of either family', () => {
  assert.deepEqual(parseManifest(bytes(MANIFEST), ''), { mediaType: MEDIA.ociManifest, config: MANIFEST.config, layers: [layer] });
  const docker = { ...MANIFEST, mediaType: MEDIA.dockerManifest, config: { ...MANIFEST.config, mediaType: MEDIA.dockerConfig }, annotations: { k: 'v' } };
  const parsed = parseManifest(bytes(docker), `${MEDIA.dockerManifest}; charset=utf-8`);
  assert.equal(parsed.mediaType, MEDIA.dockerManifest);
  assert.deepEqual(parsed.annotations, { k: 'v' });
  const { mediaType: _, ...untyped } = MANIFEST;
  assert.equal(parseManifest(bytes(untyped), 'application/json').mediaType, MEDIA.ociManifest);
});

test('an index, with and without its name', () => {
  const [entry] = parseIndex(bytes(INDEX), MEDIA.ociIndex).manifests;
  assert.deepEqual(entry, { mediaType: MEDIA.ociManifest, digest: D, size: 9, platform: { os: 'linux', architecture: 'arm', variant: 'v7', osVersion: '1' }, annotations: { a: 'b' } });
  const { mediaType: _, ...untyped } = INDEX;
  assert.equal(parseManifestOrIndex(bytes(untyped), '').kind, 'index');
});

test('what is refused, and that the reason is named', () => {
  const table: ReadonlyArray<readonly [unknown, string, RegExp]> = [
    [INDEX, '', /a manifest is needed, an index/],
    [{ schemaVersion: 1, fsLayers: [] }, '', /manifest schema 1 is not supported/],
    [MANIFEST, 'application/vnd.docker.distribution.manifest.v1+prettyjws', /schema 1/],
    [MANIFEST, MEDIA.dockerManifest, /the server calls it .* it calls itself/],
    [{ ...MANIFEST, manifests: [] }, '', /fields of a manifest and of an index/],
    [{ ...MANIFEST, mediaType: 'application/x' }, '', /unsupported manifest media type "application\/x"; supported are .*manifest\.v2\+json/],
    [{ ...MANIFEST, schemaVersion: 3 }, '', /schemaVersion 3/],
    [{ ...MANIFEST, layers: undefined }, '', /manifest\.layers: an array is needed, nothing is there/],
    [{ ...MANIFEST, layers: [{ ...layer, mediaType: 'application/zip' }] }, '', /unsupported layer media type "application\/zip"/],
    [{ ...MANIFEST, layers: [{ ...layer, mediaType: MEDIA.dockerForeign }] }, '', /foreign layers/],
    [{ ...MANIFEST, layers: [{ ...layer, size: -1 }] }, '', /layers\[0\]\.size/],
    [{ ...MANIFEST, layers: [{ ...layer, size: 1e18 }] }, '', /layers\[0\]\.size/],
    [{ ...MANIFEST, layers: [{ ...layer, digest: 'sha256:00' }] }, '', /layers\[0\]\.digest/],
    [{ ...MANIFEST, layers: Array.from({ length: 4097 }, () => layer) }, '', /4097 entries, at most 4096/],
    [{ ...MANIFEST, config: { ...MANIFEST.config, mediaType: 'application/vnd.cncf.helm.config.v1+json' } }, '', /not a container image: its config is .*helm/],
    [[], '', /an object is needed, an array is there/],
    [null, '', /an object is needed, null is there/],
  ];
  for (const [value, hint, message] of table) assert.throws(() => parseManifest(bytes(value), hint), { kind: 'invalid', message });
  assert.throws(() => parseManifest(new Uint8Array([0xff]), ''), { kind: 'invalid', message: 'manifest is not JSON' });
});

test('how layers are packed', () => {
  assert.deepEqual([MEDIA.dockerLayer, MEDIA.ociLayerGzip, MEDIA.ociLayerZstd, MEDIA.dockerLayerZstd].map(compressionOf), ['none', 'gzip', 'zstd', 'zstd']);
  assert.throws(() => compressionOf('constructor'), { kind: 'invalid' });
});

test('an image config, absent fields as zero values', () => {
  const raw = bytes(CONFIG);
  const config = parseImageConfig(raw);
  assert.equal(config.id, digestOf(raw));
  assert.deepEqual([config.variant, config.author, config.diffIds, config.dockerVersion], ['', '', [D], '20.10']);
  assert.deepEqual(config.history, [{ created: '', createdBy: 'COPY', author: '', comment: '', emptyLayer: true }]);
  assert.deepEqual(config.config.ExposedPorts, { '80/tcp': {} });
  assert.deepEqual(config.config.Healthcheck, { Test: ['NONE'], Interval: 5 });
  assert.equal(config.config.raw['Extra'], 1);
  const empty = parseImageConfig(bytes({ rootfs: { type: 'layers', diff_ids: null }, config: null, created: null }));
  assert.deepEqual({ ...empty.config }, {
    User: '', WorkingDir: '', StopSignal: '', Env: [], Entrypoint: null, Cmd: null, Shell: null, ArgsEscaped: false, ExposedPorts: null, Volumes: null,
    Labels: null, StopTimeout: null, Healthcheck: null, OnBuild: null, raw: {},
  });
  assert.deepEqual(parseImageConfig(bytes({ ...CONFIG, config: { Cmd: 'one word' } })).config.Cmd, ['one word']);
});

test('a config that is none, and labels that attack', () => {
  for (const [value, message] of [
    [{ ...CONFIG, rootfs: undefined }, /no rootfs/], [{ ...CONFIG, rootfs: { type: 'x' } }, /rootfs\.type "x"/], [{ ...CONFIG, config: { Env: [1] } }, /config\.Env\[0\]/],
    [{ ...CONFIG, rootfs: { type: 'layers', diff_ids: ['x'] } }, /diff_ids\[0\]/], [{ ...CONFIG, config: { Volumes: { '/v': 3 } } }, /config\.Volumes/],
  ] as const) assert.throws(() => parseImageConfig(bytes(value)), { kind: 'invalid', message });
  const attack = parseImageConfig(new TextEncoder().encode(`{"rootfs":{"type":"layers"},"config":{"Labels":{"__proto__":"x"}}}`));
  assert.deepEqual(Object.keys(attack.config.Labels ?? {}), ['__proto__']);
});

test('any bytes are read or are invalid', () => {
  const samples = [MANIFEST, INDEX, CONFIG].map((value) => JSON.stringify(value));
  const scraps = ['null', '[]', '{}', '-1', '1e999', '"x"', 'true', '[[]]', '{"a":1}'];
  let state = Number(process.env['FUZZ_SEED'] ?? 7);
  const next = (n: number) => { state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0; return (state >>> 8) % n; };
  for (let run = 0; run < 4000; run++) {
    const seed = state;
    const sample = samples[next(samples.length)] ?? '';
    // Either some bytes are changed, or one JSON value is replaced by another one.
    const mutated = next(2) === 0
      ? Buffer.from(sample).map((byte) => (next(40) === 0 ? next(256) : byte))
      : Buffer.from(replaceNth(sample, next(30), scraps[next(scraps.length)] ?? ''));
    for (const parse of [() => parseManifestOrIndex(mutated, ''), () => parseImageConfig(mutated)]) {
      try { parse(); } catch (error) { if (kindOf(error) !== 'invalid') throw new Error(`FUZZ_SEED=${seed}`, { cause: error }); }
    }
  }
});

/** Puts `scrap` in the place of the n-th value behind a colon. */
function replaceNth(json: string, n: number, scrap: string): string {
  let seen = 0;
  return json.replace(/:("[^"]*"|\d+|\[[^\]]*\])/g, (all) => (seen++ === n ? `:${scrap}` : all));
}
