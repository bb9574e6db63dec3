import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ImageRunConfig } from '../../oci/manifest.ts';
import type { CreateBody } from '../../wire/types.ts';
import { completeConfig } from './defaults.ts';
import { mergeImageConfig } from './merge.ts';

const IMAGE: ImageRunConfig = {
  User: 'app', Env: ['PATH=/bin', 'A=image'], Entrypoint: ['/entry'], Cmd: ['default'], ArgsEscaped: false, WorkingDir: '/srv',
  ExposedPorts: { '80/tcp': {} }, Volumes: null, Labels: { a: 'image', b: 'image' }, StopSignal: 'SIGINT', StopTimeout: null,
  Healthcheck: { Test: ['CMD', 'true'], Interval: 5e9 }, OnBuild: null, Shell: null, raw: {},
};
const merged = (body: CreateBody) => mergeImageConfig(completeConfig(body), IMAGE);

test('entrypoint and command follow Docker: an own entrypoint drops the command of the image', () => {
  const table: Array<[CreateBody, string[] | null, string[] | null]> = [
    [{}, ['/entry'], ['default']],
    [{ Cmd: ['own'] }, ['/entry'], ['own']],
    [{ Entrypoint: ['/mine'] }, ['/mine'], null],
    [{ Entrypoint: ['/mine'], Cmd: ['x'] }, ['/mine'], ['x']],
    [{ Entrypoint: [''], Cmd: ['x'] }, null, ['x']],
  ];
  for (const [body, entrypoint, cmd] of table) {
    const config = merged(body);
    assert.deepEqual([config.Entrypoint, config.Cmd], [entrypoint, cmd], JSON.stringify(body));
  }
});

test('variables of the client come first and hide those of the image', () => {
  assert.deepEqual(merged({ Env: ['B=1', 'A=own'] }).Env, ['B=1', 'A=own', 'PATH=/bin']);
  assert.deepEqual(merged({}).Env, ['PATH=/bin', 'A=image']);
});

test('what the client leaves out is the image\'s: user, directory, labels, ports, stop signal, health', () => {
  const config = merged({ Labels: { a: 'own' } });
  assert.equal(config.User, 'app');
  assert.equal(config.WorkingDir, '/srv');
  assert.deepEqual(config.Labels, { a: 'own', b: 'image' });
  assert.deepEqual(config.ExposedPorts, { '80/tcp': {} });
  assert.equal(config.StopSignal, 'SIGINT');
  assert.deepEqual(config.Healthcheck, { Test: ['CMD', 'true'], Interval: 5e9 });
  assert.deepEqual(merged({ Healthcheck: { Retries: 2 } }).Healthcheck, { Test: ['CMD', 'true'], Interval: 5e9, Retries: 2 });
});
