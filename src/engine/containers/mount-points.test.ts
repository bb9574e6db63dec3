import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf, messageOf } from '../../lib/errors.ts';
import type { MountSpec } from '../../wire/types.ts';
import { assertPlainVolume, assertTmpfs, cleanPath, parseBind, parseMount, parseVolumesFrom, tmpfsData } from './mount-points.ts';

const refusal = (run: () => unknown): string => {
  try { run(); } catch (error) { assert.equal(kindOf(error), 'invalid'); return messageOf(error); }
  throw new assert.AssertionError({ message: 'it was taken' });
};

test('binds and volumes of -v are recorded as Docker records them', () => {
  assert.deepEqual(parseBind('/a/../b/:/c//d/.:ro,rshared', ''), { copy: false, point: {
    Source: '/b', Destination: '/c/d', RW: false, Name: '', Driver: '', Type: 'bind', Relabel: 'ro,rshared', Propagation: 'rshared', SkipMountpointCreation: false,
    Spec: { Type: 'bind', Source: '/a/../b/', Target: '/c//d/.', ReadOnly: true, BindOptions: { Propagation: 'rshared' } },
  } });
  assert.deepEqual(parseBind('data:/c:nocopy', 'local'), { copy: false, point: {
    Source: '', Destination: '/c', RW: true, Name: 'data', Driver: 'local', Type: 'volume', Relabel: 'nocopy', SkipMountpointCreation: false,
    Spec: { Type: 'volume', Source: 'data', Target: '/c', VolumeOptions: { DriverConfig: { Name: 'local' }, NoCopy: true } },
  } });
  assert.equal(parseBind('data:/c', '').copy, true);
});

test('what is wrong with -v is told in Docker\'s words', () => {
  const spec = (text: string, why: string) => [text, `invalid volume specification: '${text}'${why}`] as const;
  for (const [text, words] of [
    spec(':/x', ''), spec('/a:', ''), spec('/a:/b:c:d', ''), spec('/x:ro', ''), ['/a:/b:nosuch', 'invalid mode: nosuch'], ['/a:/b:ro,rw', 'invalid mode: ro,rw'], ['/a:/b:z,Z', 'invalid mode: z,Z'],
    spec('/a:/', ': invalid mount config for type "bind": invalid specification: destination can\'t be \'/\''), spec('a:x', ': invalid mount config for type "volume": invalid mount path: \'x\' mount path must be absolute'),
    spec('a:/x:rshared', ': invalid mount config for type "volume": field BindOptions must not be specified'), spec('/a:/x:nocopy', ': invalid mount config for type "bind": field VolumeOptions must not be specified'),
  ] as const) assert.equal(refusal(() => parseBind(text, '')), words, text);
});

test('what is wrong with --mount is told in Docker\'s words', () => {
  const wrong: ReadonlyArray<readonly [spec: Partial<MountSpec> & { Type: string }, why: string]> = [
    [{ Type: 'bind', Source: '/a', Target: '' }, 'field Target must not be empty'], [{ Type: 'bind', Source: '/a', Target: '/x/..' }, "invalid specification: destination can't be '/'"], [{ Type: 'nosuch', Target: '/x' }, 'mount type unknown'],
    [{ Type: 'bind', Target: '/x' }, 'field Source must not be empty'], [{ Type: 'bind', Source: 'a', Target: '/x' }, "invalid mount path: 'a' mount path must be absolute"], [{ Type: 'bind', Source: '/a', Target: '/x', BindOptions: { Propagation: 'odd' } }, 'invalid propagation mode: odd'],
    [{ Type: 'bind', Source: '/a', Target: '/x', TmpfsOptions: {} }, 'field TmpfsOptions must not be specified'], [{ Type: 'volume', Target: '/x', BindOptions: {} }, 'field BindOptions must not be specified'],
    [{ Type: 'tmpfs', Target: '/x', VolumeOptions: {} }, 'field VolumeOptions must not be specified'], [{ Type: 'tmpfs', Source: 'a', Target: '/x' }, 'field Source must not be specified'],
    [{ Type: 'volume', Target: '/x', ReadOnly: true }, 'must not set ReadOnly mode when using anonymous volumes'], [{ Type: 'volume', Source: 'v', Target: '/x', VolumeOptions: { Subpath: '/a' } }, 'subpath must be a relative path within the volume'],
    [{ Type: 'volume', Source: 'v', Target: '/x', VolumeOptions: { Subpath: 'a/../../b' } }, 'subpath must not leave the volume'], [{ Type: 'tmpfs', Target: '/x', TmpfsOptions: { Options: [['suid']] } }, 'invalid option: suid'],
    [{ Type: 'tmpfs', Target: '/x', TmpfsOptions: { Options: [['uid', '1', '2']] } }, 'invalid option array length'],
    [{ Type: 'bind', Source: '/a', Target: '/x', ReadOnly: true, BindOptions: { ReadOnlyForceRecursive: true, ReadOnlyNonRecursive: true } }, 'must not set both ReadOnlyNonRecursive and ReadOnlyForceRecursive'],
  ];
  for (const [spec, why] of wrong) assert.equal(refusal(() => parseMount({ Target: '/x', ...spec })), `invalid mount config for type "${spec.Type}": ${why}`);
});

test('the rest of the words', () => {
  assert.deepEqual([parseVolumesFrom('one'), parseVolumesFrom('one:ro,z')], [{ word: 'one', readOnly: false }, { word: 'one', readOnly: true }]);
  for (const text of ['one:nosuch', 'one:rslave', 'one:nocopy']) assert.equal(refusal(() => parseVolumesFrom(text)), `invalid mode: ${text.slice(4)}`);
  assert.match(refusal(() => parseVolumesFrom('')), /cannot be an empty string/);
  for (const path of ['', '/', 'x', '/x/..']) assert.match(refusal(() => assertPlainVolume(path)), /^invalid volume specification: /);
  assertTmpfs({ '/x': 'nosuch', '/y': '' });
  assert.match(refusal(() => assertTmpfs({ x: '' })), /must be absolute/);
  assert.match(refusal(() => assertTmpfs({ '/': '' })), /can't be '\/'/);
  assert.deepEqual(tmpfsData({ ReadOnly: true, TmpfsOptions: { Mode: 0o1770, SizeBytes: 10 << 20, Options: [['exec'], ['uid', '5']] } }), ['ro', 'mode=1770', 'size=10m', 'exec', 'uid=5']);
  assert.deepEqual(tmpfsData({ TmpfsOptions: { SizeBytes: 1025 } }), ['size=1025']);
  assert.deepEqual(['/', '//a/./b/', '/../a', 'a/..', '/a/b/../c'].map(cleanPath), ['/', '/a/b', '/a', '/', '/a/c']);
});
