// Delta artifacts: what is built is read back, and what others write is refused without harm.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { rng } from '../../test/kit/random.ts';
import { kindOf } from '../lib/errors.ts';
import { digestOf, type DiffId, type ImageId } from './digest.ts';
import { DELTA_ANNOTATIONS, DELTA_ARTIFACT_TYPE, EMPTY_DESCRIPTOR, buildDeltaArtifact, parseDeltaArtifact, parseDeltaReferrer, type DeltaArtifact } from './delta-artifact.ts';
import { MEDIA } from './manifest.ts';
import { parseReferrers, withReferrer } from './referrers.ts';

const id = <T>(text: string) => digestOf(text) as string as T;

const ARTIFACT: DeltaArtifact = {
  base: id<ImageId>('old'), target: id<ImageId>('new'), baseManifest: digestOf('old manifest'), created: '2026-11-21T06:00:00Z',
  subject: { mediaType: MEDIA.dockerManifest, digest: digestOf('manifest'), size: 527 },
  layers: [
    { digest: digestOf('delta 1'), size: 1000, diffId: id<DiffId>('layer 1'), sources: [id<DiffId>('a'), id<DiffId>('b')], targetBytes: 20_480 },
    { digest: digestOf('delta 2'), size: 24, diffId: id<DiffId>('layer 2'), sources: [], targetBytes: 1024 },
  ],
};
const { bytes: _sum, ...EXPECTED } = { ...ARTIFACT, bytes: 1024 };

test('an artifact says what it is, and is read back', () => {
  const { bytes, annotations } = buildDeltaArtifact(ARTIFACT);
  assert.deepEqual(parseDeltaArtifact(bytes), EXPECTED);
  assert.deepEqual(buildDeltaArtifact(ARTIFACT).bytes, bytes);
  const json = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
  assert.deepEqual([json['artifactType'], json['config'], json['annotations']], [DELTA_ARTIFACT_TYPE, { ...EMPTY_DESCRIPTOR }, annotations]);
  assert.equal(EMPTY_DESCRIPTOR.digest, 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a');
  const { layers: _layers, subject: _subject, ...offer } = ARTIFACT;
  assert.deepEqual(parseDeltaReferrer(annotations), { ...offer, bytes: 1024 });
});

test('an artifact without layers has the empty one, and one without a known manifest of its base names none', () => {
  const bare = { ...ARTIFACT, layers: [], baseManifest: undefined };
  const { bytes, annotations } = buildDeltaArtifact(bare);
  assert.deepEqual(parseDeltaArtifact(bytes), bare);
  assert.deepEqual((JSON.parse(Buffer.from(bytes).toString()) as { layers: unknown }).layers, [{ ...EMPTY_DESCRIPTOR }]);
  assert.equal(DELTA_ANNOTATIONS.baseManifest in annotations, false);
});

test('what is not as we write it is refused', () => {
  const text = Buffer.from(buildDeltaArtifact(ARTIFACT).bytes).toString();
  const cases: ReadonlyArray<readonly [why: string, changed: string]> = [
    ['no JSON', text.slice(0, -1)],
    ['another type', text.replace(DELTA_ARTIFACT_TYPE, 'application/vnd.other')],
    ['another version', text.replace('"schemaVersion":2', '"schemaVersion":3')],
    ['no subject', text.replace('"subject"', '"subjekt"')],
    ['a wrong sum', text.replace('delta.bytes":"1024"', 'delta.bytes":"1025"')],
    ['a size below zero', text.replace('"size":1000', '"size":-1000')],
    ['a size too large', text.replace('"vaquita.delta.target-bytes":"1024"', '"vaquita.delta.target-bytes":"99999999999999"')],
    ['a size that is none', text.replace('"vaquita.delta.target-bytes":"1024"', '"vaquita.delta.target-bytes":"1e3"')],
    ['a source that is none', text.replace(`${digestOf('a')},`, 'sha256:1,')],
    ['a source twice', text.replace(`${digestOf('a')},`, `${digestOf('a')},${digestOf('a')},`)],
    ['an empty source', text.replace(`${digestOf('a')},`, ',')],
    ['no sources', text.replace('vaquita.delta.sources', 'vaquita.delta.sourced')],
    ['a layer of another type', text.replace('vnd.vaquita.delta.layer.v1', 'vnd.vaquita.delta.layer.v2')],
    ['a base that is none', text.replace(`"vaquita.delta.base":"${ARTIFACT.base}"`, '"vaquita.delta.base":"busybox"')],
    ['annotations that are none', text.replace('"2026-11-21T06:00:00Z"', '7')],
    ['a config of its own', text.replace(EMPTY_DESCRIPTOR.digest, digestOf('config'))],
  ];
  for (const [why, changed] of cases) {
    assert.notEqual(changed, text, why);
    assert.throws(() => parseDeltaArtifact(Buffer.from(changed)), { kind: 'corrupt', message: /^delta artifact: / }, why);
  }
  assert.equal(parseDeltaReferrer({}), undefined);
  assert.equal(parseDeltaReferrer(JSON.parse('{"__proto__":"x"}') as Record<string, string>), undefined);
});

test('any bytes are an artifact, a list, or refused', () => {
  const { bytes, annotations } = buildDeltaArtifact(ARTIFACT);
  const list = withReferrer(undefined, { descriptor: { mediaType: MEDIA.ociManifest, digest: digestOf(bytes), size: bytes.length }, artifactType: DELTA_ARTIFACT_TYPE, annotations }, []);
  const pieces = ['null', '[]', '{}', '""', '-1', '1e99', 'true', '"sha256:', '":', ',', '}', '\u0000', '"__proto__":'];
  for (let seed = Number(process.env['FUZZ_SEED'] ?? 1), last = seed + 2000; seed < last; seed++) {
    const chance = rng(seed);
    const pick = (limit: number) => Math.floor(chance() * limit);
    for (const [whole, parse, kind] of [[bytes, parseDeltaArtifact, 'corrupt'], [list, (changed: Uint8Array) => parseReferrers(changed).map((one) => parseDeltaReferrer(one.annotations)), 'invalid']] as const) {
      let text = Buffer.from(whole).toString();
      for (let n = 1 + pick(3); n > 0; n--) {
        const at = pick(text.length);
        text = text.slice(0, at) + (pieces[pick(pieces.length)] ?? '') + text.slice(at + pick(20));
      }
      try { parse(Buffer.from(text)); } catch (error) { if (kindOf(error) !== kind) throw new Error(`FUZZ_SEED=${seed}`, { cause: error }); }
    }
  }
});
