// Descriptions in archives: those that engines wrote are read, and written again byte for byte; legacy IDs are theirs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CORPUS_CASES, corpusFiles } from '../../test/kit/corpus.ts';
import { archivePath, formatArchiveManifest, formatRepositories, legacyLayers, nameInIndex, parseArchiveManifest } from './archive-layout.ts';
import { chainIds } from './digest.ts';
import { parseImageConfig } from './parse-manifest.ts';
import { parseReference } from './reference.ts';

test('what balenaEngine saved is described here with the same bytes', () => {
  for (const name of CORPUS_CASES) {
    for (const which of ['base', 'target', 'delta'] as const) {
      const files = corpusFiles(name, which);
      const text = (path: string) => files(path).toString('utf8');
      const images = parseArchiveManifest(files('manifest.json'));
      assert.equal(formatArchiveManifest(images), text('manifest.json'));
      for (const { config: path, layers: paths, repoTags } of images) {
        const config = parseImageConfig(files(path));
        const layers = legacyLayers(config, chainIds(config.diffIds));
        assert.deepEqual(layers.map(({ id }) => `${id}/layer.tar`), paths, `${name}/${which}`);
        for (const { id, json } of layers) assert.equal(json, text(`${id}/json`), `${name}/${which}`);
        const tags = repoTags.map((tag) => ({ name: tag.slice(0, tag.lastIndexOf(':')), tag: parseReference(tag).tag ?? '', id: layers.at(-1)?.id ?? '' }));
        assert.equal(formatRepositories(tags), text('repositories'));
      }
    }
  }
});

test('odd configs are described as Go writes them', () => {
  const described = (config: object) => {
    const parsed = parseImageConfig(Buffer.from(JSON.stringify({ rootfs: { type: 'layers', diff_ids: [`sha256:${'a'.repeat(64)}`] }, ...config })));
    return JSON.parse(legacyLayers(parsed, chainIds(parsed.diffIds))[0]?.json ?? '') as Record<string, unknown>;
  };
  assert.equal(described({})['created'], '0001-01-01T00:00:00Z');
  assert.equal(described({ created: '2020-09-13T12:26:40.120000000Z' })['created'], '2020-09-13T12:26:40.12Z');
  assert.equal(described({ created: '2020-09-13T12:26:40.000Z' })['created'], '2020-09-13T12:26:40Z');
  assert.equal(described({ created: '2020-09-13T12:26:40.5+02:00' })['created'], '2020-09-13T12:26:40.5+02:00');
  assert.equal(described({ config: null })['config'], undefined);
  const odd = described({ container_config: { Env: ['a', [[1]], {}], Volumes: { v: { deep: [] } }, Labels: { b: [], a: 'x' }, Healthcheck: { Test: [], Retries: 'x', Interval: 5 }, Cmd: {} } })['container_config'] as Record<string, unknown>;
  assert.deepEqual([odd['Env'], odd['Volumes'], odd['Labels'], odd['Healthcheck'], odd['Cmd']], [['a'], { v: {} }, { a: 'x', b: '' }, { Interval: 5 }, null]);
  assert.deepEqual(described({ config: { Cmd: 'one', ExposedPorts: {}, Shell: [], StopTimeout: 3, unknown: 1 } })['config'], {
    Hostname: '', Domainname: '', User: '', AttachStdin: false, AttachStdout: false, AttachStderr: false, Tty: false, OpenStdin: false, StdinOnce: false, Env: null, Cmd: ['one'],
    Image: '', Volumes: null, WorkingDir: '', Entrypoint: null, OnBuild: null, Labels: null, StopTimeout: 3,
  });
});

test('paths stay in the archive, names are whole', () => {
  for (const [path, want] of [['./a//b/', 'a/b'], ['a/../b', 'b'], ['/a', 'a'], ['../a', undefined], ['a/../../b', undefined], ['.', undefined], ['', undefined]] as const) assert.equal(archivePath(path), want, path);
  assert.equal(nameInIndex({ 'org.opencontainers.image.ref.name': 'latest' }), undefined);
  assert.equal(nameInIndex({ 'org.opencontainers.image.ref.name': 'a/b:1' }), 'a/b:1');
  assert.equal(nameInIndex({ 'org.opencontainers.image.ref.name': 'a/b:1', 'io.containerd.image.name': 'docker.io/a/b:2' }), 'docker.io/a/b:2');
  assert.equal(nameInIndex(undefined), undefined);
});
